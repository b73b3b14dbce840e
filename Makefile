# Each target does its own set-up in .venv; the second time it is quick.
#
#   make demo    open napari with a sample image, ready to click
#   make test    run all tests in a virtual screen
#   make bench   time clicks as ratios, print the table, write it to docs/speed.md
#   make lint    check style and types
#   make format  apply the style
#   make wheel   build the distribution into dist/
#   make clean   remove everything that the targets made, .venv included
#
# PYTHON=/path/to/python chooses the interpreter, ARGS="..." goes to the program.

ARGS ?=

.PHONY: help demo test bench lint format wheel clean

help:
	@sed -n 's/^#   //p' Makefile

demo:
	@scripts/demo $(ARGS)

test:
	@scripts/test $(ARGS)

bench:
	@scripts/bench $(ARGS)

lint:
	@scripts/lint

format:
	@scripts/lint --fix

wheel:
	@scripts/wheel

clean:
	rm -rf .venv dist build demo-output .pytest_cache .mypy_cache .ruff_cache \
	    .hypothesis .benchmarks
	find src training tests -name __pycache__ -type d -prune -exec rm -rf {} +
