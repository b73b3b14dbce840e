"""Clicks on a photograph beyond those from which on the default model sees more of it.

Window, file, Python and command line have the same masks, and the preview shows them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from skimage.data import astronaut
from skimage.io import imsave
from tifffile import imread

from napari_gpcis import Segmenter, Session
from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.cli import main
from napari_gpcis.clicks import Click
from napari_gpcis.plugin.annotation import jobs
from napari_gpcis.plugin.dock.panels.files import FilesPanel
from napari_gpcis.plugin.dock.recovery import RecoveryManager
from napari_gpcis.plugin.saving.export import file_names
from napari_gpcis.plugin.tools.alternatives import AlternativeMasks
from napari_gpcis.plugin.tools.early_encoding import EarlyEncoding
from napari_gpcis.prompts import read_prompts, replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_gpcis.inference.prediction import Prediction

PICTURE = astronaut()
BACK = (150, 220), (350, 220), (450, 100), (480, 330), (300, 330), (200, 150)
ABOUT = (60, 60), (420, 420), (250, 470)
SHUTTLE = (60, 420), (150, 440), (30, 460), (100, 400)
HELMET = (420, 420), (440, 440), (400, 440), (460, 420), (450, 470), (380, 420)
BESIDE = (300, 250), (30, 200), (250, 300), (350, 400), (200, 230)


@pytest.fixture(scope="module")
def model() -> Any:
    found: Any = Segmenter.from_pretrained(DEFAULT_MODEL, "cpu")
    found.gate = threading.Event()  # the bench opens it in the end
    return found


@pytest.fixture
def segmenter(model: Any) -> Any:
    return model


@pytest.fixture
def kept(bench: Any, qtbot: Any) -> Iterator[Any]:
    """A bench with tools, and a section of files."""
    keeping = RecoveryManager(bench.viewer, bench.controller, bench.controller)
    bench.panel = FilesPanel(bench.controller)
    for part in (bench.panel, keeping.banner):
        qtbot.addWidget(part)
    keeping.serve([bench.panel], lambda: bench.viewer.layers[0])
    bench.others = AlternativeMasks(bench.controller)
    EarlyEncoding(bench.controller)
    bench.start(PICTURE, rgb=True, name="picture")
    yield bench
    bench.panel.close_links()
    keeping.end()


def click(bench: Any, places: Sequence[tuple[int, int]], positive: bool = True) -> None:
    """Click one after the other, each seen before the next."""
    for place in places:
        count = len(bench.current.clicks) + 1
        (bench.positive if positive else bench.negative).add(place)
        bench.settled(count)


def accept(bench: Any) -> None:
    bench.controller.command("accept")
    bench.settled(0)


def test_saved_clicks_make_the_same_masks_everywhere(
    kept: Any, model: Segmenter, tmp_path: Path
) -> None:
    fine = model.info.inference
    assert fine.fine_size > 0
    click(kept, BACK)
    assert len(kept.current.clicks) == fine.fine_clicks
    assert kept.controller.session.prediction.seen.size == fine.fine_size
    before = kept.labels.data.copy()
    kept.controller.command("alternative_next")
    kept.until(lambda: kept.others.offer is not None and not kept.current.busy)
    assert len(kept.others.offer.found) > 1
    assert (kept.labels.data != before).any()
    click(kept, ABOUT, positive=False)
    accept(kept)
    click(kept, SHUTTLE)
    click(kept, BESIDE, positive=False)
    kept.controller.command("undo")
    kept.settled(8)
    kept.controller.command("redo")
    kept.settled(9)
    accept(kept)
    click(kept, HELMET)
    click(kept, BESIDE, positive=False)  # is not finished
    shown = kept.labels.data.copy()
    assert set(np.unique(shown)) == {0, 1, 2, 3}

    kept.panel.write("save", tmp_path / "work")
    clicks, labels = file_names(tmp_path / "work")
    kept.until(lambda: "Saved" in kept.panel.message.text())
    accepted = np.where(shown == 3, 0, shown)
    assert_array_equal(imread(labels), accepted)
    saved = read_prompts(clicks)
    again = Segmenter.from_pretrained(DEFAULT_MODEL, "cpu")
    assert_array_equal(replay(saved, again, PICTURE, colour=True), accepted)
    for words in ("All masks are as they were saved", "were made again"):
        kept.controller.stop()
        kept.panel.open_file(clicks)
        kept.until(lambda words=words: words in kept.panel.message.text())
        kept.settled(11)
        assert_array_equal(kept.labels.data, shown)
        labels.unlink(missing_ok=True)

    one = saved.planes[0].objects[1]
    view = ",".join(str(side) for side in one.view or (0, 0, *PICTURE.shape[:2]))
    imsave(tmp_path / "picture.png", PICTURE, check_contrast=False)
    typed = [
        f"--click={it.row:g},{it.col:g}{'' if it.positive else ',-'}"
        for it in one.clicks
    ]
    words = ["segment", str(tmp_path / "picture.png"), *typed, f"--view={view}"]
    made, prompts = tmp_path / "made.tif", tmp_path / "made.json"
    words += ["--device=cpu", "--output", str(made), "--prompts", str(prompts)]
    assert main(words) == 0
    session = Session(again, PICTURE)
    session.view = one.view
    session.replace_clicks(one.clicks)
    session.accept()
    assert_array_equal(imread(made), session.labels)
    assert_array_equal(Session.load(prompts, model, PICTURE).labels, session.labels)


def preview(session: Session, place: Click, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the prediction whose contour follows the mouse."""
    shown: list[Prediction] = []
    monkeypatch.setattr(jobs, "_smooth", lambda found: shown.append(found) or [])
    plane: Any = None
    question = jobs.Question(
        session.segmenter,
        session.prepared,
        plane,
        place,
        session.threshold,
        session.tidy,
        session.prediction,
        session.view,
        session.start,
        session.typical_size,
    )
    assert jobs.Answers().find(question, lambda: False) is not None
    return shown[0].trimmed


@pytest.mark.parametrize("begun", ["clicked", "chosen", "corrected"])
def test_the_preview_is_the_mask_of_the_click(
    model: Segmenter, begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(model, PICTURE)
    first = model.info.inference.fine_clicks - 1
    places = [Click(*place) for place in BACK]
    places += [Click(*place, False) for place in ABOUT]
    session.replace_clicks(places[:first])
    if begun == "chosen":
        assert len(session.alternatives()) > 1
        session.choose(1)
    elif begun == "corrected":
        session.refine(session.accept())
    for place in places[first:]:
        box, mask = preview(session, place, monkeypatch)
        found_box, found = session.add_click(*place.pixel, place.positive).trimmed
        assert box == found_box
        assert_array_equal(mask, found)
