"""Texts of the windows keep to the words of the glossary."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from qtpy.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QWidget,
)

import napari_gpcis.plugin
from napari_gpcis.plugin.dock.panels.model import ModelPanel
from napari_gpcis.plugin.finetune.widget import FinetuneWidget
from napari_gpcis.plugin.settings.commands import COMMANDS

ROOT = Path(__file__).parents[3]
PLUGIN = Path(napari_gpcis.plugin.__file__).parent
FORBIDDEN = re.compile(
    r"\b(running object|usual|follow|cover|flip|person|she\b|he\b|her\b|his\b)",
    re.IGNORECASE,
)
"""Words for which the glossary has others: current object, default, propagate,
overwrite, switch, user."""


def test_texts_of_the_widgets(open_desk: Any) -> None:
    desk = open_desk()
    other = FinetuneWidget(desk.viewer)
    desk.qtbot.addWidget(other)
    found = {text for root in (desk.widget, other) for text in shown(root)}
    other.shut_down()
    (panel,) = (p for p in desk.widget.panels if isinstance(p, ModelPanel))
    found.remove(panel.facts.text())  # names data sets, one of them of persons
    assert len(found) > 100
    assert not [text for text in found if FORBIDDEN.search(text)]


def shown(root: QWidget) -> list[str]:
    """Texts and tooltips of a widget and all its parts."""
    texts: list[str] = []
    for part in (root, *root.findChildren(QWidget)):
        texts += [part.toolTip(), part.accessibleName()]
        if isinstance(part, QLabel | QAbstractButton | QLineEdit | QCheckBox):
            texts.append(part.text())
        if isinstance(part, QComboBox):
            texts += [part.itemText(place) for place in range(part.count())]
    return [text for text in texts if text]


def test_texts_of_the_manifest_and_the_commands() -> None:
    texts = [text for command in COMMANDS for text in (command.title, command.help)]
    texts += values(yaml.safe_load((ROOT / "napari.yaml").read_text("utf-8")))
    assert len(texts) > 100
    assert not [text for text in texts if FORBIDDEN.search(text)]


def values(part: Any) -> list[str]:
    """All texts of a manifest, without the keys."""
    if isinstance(part, dict):
        return [text for one in part.values() for text in values(one)]
    if isinstance(part, list):
        return [text for one in part for text in values(one)]
    return [part] if isinstance(part, str) else []


MODULES = sorted(PLUGIN.rglob("*.py"))


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(PLUGIN)))
def test_sentences_in_the_source(file: Path) -> None:
    """Messages are not all shown in a test: their strings are read."""
    tree = ast.parse(file.read_text("utf-8"))
    docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docs
        and " " in node.value.strip()
    ]
    assert not [text for text in strings if FORBIDDEN.search(text)]


def test_there_are_modules_to_read() -> None:
    assert len(MODULES) > 50
