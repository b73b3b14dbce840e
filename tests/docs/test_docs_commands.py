"""Every command line of the documentation is one that the programs understand."""

from __future__ import annotations

import argparse
import re
import runpy
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import gpcis_training.cli
import napari_gpcis.cli
from _documented import PAGES, ROOT, code_words, command_lines
from gpcis_training.evaluation import suggestions

Main = Callable[[list[str]], Any]


class UnderstoodError(Exception):
    """The parser has understood its arguments; nothing is to be done with them."""


@pytest.fixture
def parsers(monkeypatch: pytest.MonkeyPatch) -> list[argparse.ArgumentParser]:
    """Programs parse their arguments and end there; the parsers that were asked."""
    seen: list[argparse.ArgumentParser] = []
    parse = argparse.ArgumentParser.parse_args

    def only_parse(self: argparse.ArgumentParser, *given: Any, **more: Any) -> None:
        seen.append(self)
        parse(self, *given, **more)
        raise UnderstoodError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    return seen


def run_script(path: str, words: list[str]) -> None:
    """Run a script of the repository as a user does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [path, *words])
        patch.syspath_prepend(str((ROOT / path).parent))
        runpy.run_path(str(ROOT / path), run_name="__main__")


def program(words: list[str]) -> tuple[Main, list[str]] | None:
    """Return what a command line runs and with which arguments, if it is ours."""
    places = range(len(words)) if words[:1] and words[0] in RUNNERS else range(1)
    for start, main in PROGRAMS.items():
        for place in places:
            if tuple(words[place : place + len(start)]) == start:
                return main, words[place + len(start) :]
    return None


RUNNERS = ("python", "srun", "torchrun", "xvfb-run")
"""Programs that run others."""
PROGRAMS: dict[tuple[str, ...], Main] = {
    ("napari-gpcis",): napari_gpcis.cli.main,
    ("gpcis-train",): gpcis_training.cli.main,
    ("-m", "gpcis_training.cli"): gpcis_training.cli.main,
    ("-m", "gpcis_training.evaluation.suggestions"): suggestions.main,
    ("python", "benchmarks/table.py"): partial(run_script, "benchmarks/table.py"),
}


def documented() -> Iterator[Any]:
    """Yield every command line of ours, with the page where it stands."""
    for page in PAGES:
        for words in command_lines(page):
            found = program(words)
            if found is not None:
                yield pytest.param(*found, id=f"{page.stem}: {' '.join(found[1])}"[:80])


@pytest.mark.parametrize(("main", "words"), [*documented()])
def test_the_program_understands_it(
    main: Main, words: list[str], parsers: list[argparse.ArgumentParser]
) -> None:
    with pytest.raises(UnderstoodError):
        main(words)


def test_every_option_that_pages_name_exists(
    parsers: list[argparse.ArgumentParser], capsys: pytest.CaptureFixture[str]
) -> None:
    for main in PROGRAMS.values():
        with pytest.raises(SystemExit):
            main(["--help"])
    with pytest.raises(UnderstoodError):
        napari_gpcis.cli.main(["demo"])
    known = {option for parser in parsers for option in options_of(parser)}
    assert {"--clicks", "--union", "--headless", "--cpu", "--dataset"} <= known
    for page in PAGES:
        for word in code_words(page):
            ours = program(word.split())
            text = word if word.startswith("--") else " ".join(ours[1] if ours else ())
            named = set(re.findall(r"(?<!\S)--[a-z][\w-]*", text))
            assert named <= known, f"{page.name}: {word}"


def options_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the options of a parser and of its sub-commands."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for choice in action.choices.values():
                yield from options_of(choice)


def test_make_targets_and_extras_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = set(project["project"]["optional-dependencies"])
    targets, wanted = set(), set()
    for page in PAGES:
        for words in (*command_lines(page), *(w.split() for w in code_words(page))):
            if words[:1] == ["make"] and len(words) > 1:
                targets.add(words[1])
            if "install" in words:
                wanted |= set(re.findall(r"\[([\w,]+)\]", words[-1])[:1])
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert {name for names in wanted for name in names.split(",")} <= extras


def test_files_that_commands_name_are_there() -> None:
    for page in PAGES:
        for words in command_lines(page):
            for word in words:
                if word.startswith(("training/configs/", "benchmarks/", "scripts/")):
                    assert (ROOT / word).exists(), f"{page.name}: {word}"
