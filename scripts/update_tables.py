"""Write what is made from the table of commands: parts of the manifest and the docs.

Run it after changing ``napari_gpcis.plugin.settings.commands.COMMANDS``;
a test compares.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from napari_gpcis.plugin.settings.shortcuts import commands, default_keys

ROOT = Path(__file__).parents[1]
MADE = "made by scripts/update_tables.py"


def manifest_commands() -> str:
    """Return the commands of the manifest: what the palette offers."""
    lines = []
    for command in commands():
        lines += [
            f"    - id: napari-gpcis.{command.name}",
            f"      title: {quoted(command.title)}",
            f"      python_name: napari_gpcis.plugin.menu:{command.name}",
        ]
    return "\n".join(lines)


def manifest_shortcuts() -> str:
    """Return the preferences of the manifest that hold the keys."""
    lines = []
    for command in commands():
        lines += [
            f"        {command.name}:",
            f"          title: {quoted(command.title)}",
            "          type: string",
            f"          default: {quoted(default_keys(command))}",
            f"          description: {quoted(command.help)}",
        ]
    return "\n".join(lines)


def docs_table() -> str:
    """Return the table of the documentation."""
    lines = ["", "| does | anywhere | on the clicks' layer | |", "|---|---|---|---|"]
    for command in commands():
        others = ", ".join(f"`{key}`" for key in command.on_points)
        key = f"`{command.anywhere}`" if command.anywhere else ""
        lines.append(f"| {command.title} | {key} | {others} | {command.help} |")
    return "\n".join([*lines, ""])


def quoted(text: str) -> str:
    """Return a text as YAML."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def with_parts(text: str, parts: dict[str, str]) -> str:
    """Return a file's text with the named parts made anew."""
    for name, content in parts.items():
        pattern = rf"(?m)^(.*{name}: {MADE}.*\n)(?:.*\n)*?(.*end of {name}.*)$"
        if not re.search(pattern, text):
            msg = f"the part {name!r} is not marked"
            raise ValueError(msg)

        def fill(found: re.Match[str], content: str = content) -> str:
            return f"{found[1]}{content}\n{found[2]}"

        text = re.sub(pattern, fill, text)
    return text


def made() -> dict[Path, str]:
    """Return the files as they should be."""
    parts = {
        ROOT / "napari.yaml": {
            "commands": manifest_commands(),
            "shortcuts": manifest_shortcuts(),
        },
        ROOT / "docs" / "shortcuts.md": {"table": docs_table()},
    }
    return {
        file: with_parts(file.read_text(encoding="utf-8"), wanted)
        for file, wanted in parts.items()
    }


def main() -> int:
    """Write the files."""
    for file, text in made().items():
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
