"""Typical size: what the accepted objects tell about the next one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from _fake_segmenter import RADIUS, FakeSegmenter
from napari_gpcis import Session
from napari_gpcis.errors import InputError
from napari_gpcis.session.saved import read_session

IMAGE = np.zeros((90, 120), np.uint8)


@pytest.fixture
def segmenter() -> FakeSegmenter:
    return FakeSegmenter()


@pytest.fixture
def session(segmenter: FakeSegmenter) -> Session:
    return Session(segmenter, IMAGE)


def finish(session: Session, row: int, col: int) -> None:
    session.add_click(row, col)
    session.accept()


def test_two_objects_tell_the_size_of_the_next(
    session: Session, segmenter: FakeSegmenter
) -> None:
    assert session.typical_size is None
    finish(session, 20, 20)
    assert session.typical_size is None
    finish(session, 20, 60)
    assert session.typical_size == pytest.approx(2 * RADIUS, rel=0.03)
    session.add_click(60, 60)
    session.add_click(60, 70)
    sizes = [run.typical_size for run in segmenter.runs]
    assert sizes == [None, None, session.typical_size, session.typical_size]
    known = session.typical_size
    session.accept()
    assert session.typical_size > known * 0.99  # the median
    session.undo_accept()
    assert session.typical_size == known
    session.delete(2)
    assert session.typical_size is None


def test_an_expected_size_holds_until_two_objects_are_known(
    session: Session, segmenter: FakeSegmenter
) -> None:
    session.expected_size = 70
    assert session.typical_size == 70
    finish(session, 20, 20)
    assert segmenter.runs[-1].typical_size == 70
    finish(session, 20, 60)
    assert session.typical_size == pytest.approx(2 * RADIUS, rel=0.03)
    session.undo_accept()
    assert session.typical_size == 70
    session.expected_size = None
    assert session.typical_size is None
    for wrong in (0, -3.0, np.nan, np.inf, "large", True + 0j):
        with pytest.raises(InputError, match="expected_size must be a"):
            session.expected_size = wrong
    assert session.expected_size is None


def test_it_is_the_median_of_equivalent_diameters(session: Session) -> None:
    for row, cols in ((15, (15,)), (15, (60, 70)), (70, (20, 40, 60))):
        for col in cols:
            session.add_click(row, col)
        session.accept()
    areas = np.bincount(session.labels.ravel())[1:]
    assert session.typical_size == pytest.approx(np.sqrt(4 * areas[1] / np.pi))


def test_saved_clicks_keep_the_size_they_were_made_with(
    session: Session, segmenter: FakeSegmenter, tmp_path
) -> None:
    for col in (20, 60, 100):
        finish(session, 20, col)
    session.add_click(70, 60)
    session.save(tmp_path / "clicks.json")
    data = json.loads((tmp_path / "clicks.json").read_text())
    first, second, third = data["objects"]
    assert "typical_size" not in first.keys() | second.keys()
    assert third["typical_size"] == pytest.approx(2 * RADIUS, rel=0.03)
    made = [run.typical_size for run in segmenter.runs]
    segmenter.runs.clear()
    again = Session.load(tmp_path / "clicks.json", segmenter, IMAGE)
    assert [run.typical_size for run in segmenter.runs] == made
    again.accept()
    again.undo_accept()
    assert again.current.prompts.typical_size == made[-1]
    for wrong in ("-3.0", "NaN", "0.0", "Infinity", '"big"'):
        data["objects"][2]["typical_size"] = json.loads(wrong)
        (tmp_path / "wrong.json").write_text(json.dumps(data))
        with pytest.raises(ValueError, match="damaged file of saved prompts"):
            read_session(tmp_path / "wrong.json")
