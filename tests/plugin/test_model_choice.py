"""The widget offers the models that can be used at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_gpcis.checkpoints import ModelEntry, ModelInfo
from napari_gpcis.plugin import widget


@pytest.mark.parametrize("here", [["gpcis-mobilenet-v2", "nuclei"], ["nuclei"], []])
def test_only_models_that_are_here_are_offered(
    here: list[str], qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [
        ModelEntry(ModelInfo(name, "mobilenet_v2"), 1000, Path(name)) for name in here
    ]
    far = ModelEntry(ModelInfo("far-away", "resnet50"), 10**8, None)
    monkeypatch.setattr(widget, "list_models", lambda: [*entries, far])
    combo = widget._model_combo()
    qtbot.addWidget(combo)
    offered = [combo.itemText(index) for index in range(combo.count())]
    assert offered == (here or [widget.DEFAULT_MODEL])
    assert combo.currentText() == offered[0]
