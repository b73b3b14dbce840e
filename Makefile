# Each target does its own set-up in .venv; the second time it is quick.
#
#   make demo    open napari with a sample image, ready to click
#   make test    run all tests in a virtual screen
#   make bench   time clicks as ratios, print the table, write it to docs/speed.md
#   make lint    check style and types
#   make format  apply the style
#   make docs    build the documentation into site/, and check its links
#   make wheel   build the distribution into dist/
#   make clean   remove everything that the targets made, .venv included
#
#   make test-pyqt6     run the tests that open windows with PyQt6 (in .venv-pyqt6)
#   make docs-pictures  take the pictures of the documentation anew
#
# PYTHON=/path/to/python chooses the interpreter, ARGS="..." goes to the program.

ARGS ?=

.PHONY: help demo test test-pyqt6 bench lint format docs docs-pictures wheel clean

help:
	@sed -n 's/^#   //p' Makefile

demo:
	@scripts/demo $(ARGS)

test:
	@scripts/test $(ARGS)

test-pyqt6:
	@scripts/test-pyqt6 $(ARGS)

bench:
	@scripts/bench $(ARGS)

lint:
	@scripts/lint

format:
	@scripts/lint --fix

docs:
	@scripts/docs $(ARGS)

docs-pictures:
	@scripts/docs-pictures $(ARGS)

wheel:
	@scripts/wheel

clean:
	rm -rf .venv .venv-pyqt6 dist build site demo-output .pytest_cache .mypy_cache .ruff_cache \
	    .hypothesis .benchmarks
	find src training tests -name __pycache__ -type d -prune -exec rm -rf {} +
