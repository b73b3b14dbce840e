"""What the pages of the documentation show: Python blocks, commands, code words."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def python_blocks(page: Path) -> list[tuple[int, str]]:
    """Return line number and text of each Python block, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, block.start(2)), block[2])
        for block in _FENCED.finditer(text)
        if block[1] == "python"
    ]


def command_lines(page: Path) -> list[list[str]]:
    """Return the words of all indented lines that a user types into a terminal."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    joined = re.sub(r"\\\n\s*", "", text)
    return [
        shlex.split(line, comments=True)
        for line in re.findall(r"^ {4,}(\S.*)$", joined, re.MULTILINE)
        if line.count('"') % 2 == 0 and line.count("'") % 2 == 0
    ]


def code_words(page: Path) -> list[str]:
    """Return what stands between single backticks."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    return re.findall(r"`([^`\n]+)`", text)
