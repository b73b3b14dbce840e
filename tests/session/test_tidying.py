"""Tidying in a session: shown, accepted, undone and saved like the clicks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from skimage.draw import disk

from _fake_segmenter import FakeSegmenter
from napari_gpcis import Click, Prediction, Session, Tidy
from napari_gpcis.inference.prediction import GridMaps
from napari_gpcis.inference.segmenter import Segmenter
from napari_gpcis.prompts import (
    SavedAnnotation,
    SavedPlane,
    read_prompts,
    write_prompts,
)
from napari_gpcis.propagation import propagate_step
from napari_gpcis.session.saved import read_session

SHAPE = (60, 90)
IMAGE = np.zeros(SHAPE, np.uint8)
OTHER = (30, 70)
"""Whatever is clicked, the mask jumps to this place as well."""


def spot(*places, radius=8):
    mask = np.zeros(SHAPE, bool)
    for place in places:
        mask[disk(place, radius, shape=SHAPE)] = True
    return mask


class JumpingSegmenter(FakeSegmenter):
    """Takes a disk at each positive click, with a hole, and one elsewhere."""

    def _predict(self, request, clicks) -> Prediction:
        mask = spot(OTHER)
        for click in clicks:
            mask |= spot(click.pixel) & click.positive
        for click in clicks:
            row, col = click.pixel
            mask[row + 3 : row + 5, col : col + 2] = False
        grid = np.where(mask, 0.9, 0.1).astype(np.float32)
        maps = GridMaps(grid, grid.copy(), grid.copy(), grid.copy())
        return Prediction(SHAPE, (0, 0, *SHAPE), clicks, 0.5, maps, True)


@pytest.fixture
def segmenter() -> JumpingSegmenter:
    return JumpingSegmenter()


@pytest.fixture
def session(segmenter: JumpingSegmenter) -> Session:
    return Session(segmenter, IMAGE)


def untidy(*places: tuple[int, int]) -> np.ndarray:
    mask = spot(OTHER, *places)
    for row, col in places:
        mask[row + 3 : row + 5, col : col + 2] = False
    return mask


def test_shown_and_accepted_are_tidied_alike(session: Session) -> None:
    shown = session.add_click(30, 30)
    assert_array_equal(shown.mask, spot((30, 30)))
    assert_array_equal(session.prediction.mask, shown.mask)
    session.accept()
    assert_array_equal(session.labels, spot((30, 30)))


def test_the_neighbour_is_not_punched(session: Session) -> None:
    session.add_click(*OTHER)
    session.accept()
    neighbour = session.labels == 1
    session.add_click(30, 30)
    session.accept(overwrite=True)
    assert_array_equal(session.labels == 1, neighbour)


def test_a_session_may_leave_masks_as_they_are(segmenter: JumpingSegmenter) -> None:
    session = Session(segmenter, IMAGE, tidy=None)
    assert_array_equal(session.add_click(30, 30).mask, untidy((30, 30)))
    session.accept()
    assert_array_equal(session.add_click(10, 10).mask, untidy((10, 10)))


def test_tidying_is_a_step_of_undo(
    session: Session, segmenter: JumpingSegmenter
) -> None:
    session.add_click(30, 30)
    asked = len(segmenter.runs)
    session.tidy = None
    assert_array_equal(session.prediction.mask, untidy((30, 30)))
    assert session.clicks == (Click(30, 30),)
    session.undo()
    assert session.tidy == Tidy()
    assert_array_equal(session.prediction.mask, spot((30, 30)))
    session.redo()
    assert session.tidy is None
    assert_array_equal(session.prediction.mask, untidy((30, 30)))
    session.tidy = None  # no step
    session.undo()
    session.undo()
    assert not session.clicks
    assert not session.can_undo
    assert len(segmenter.runs) == asked


def test_more_clicks_keep_the_rules_of_the_object(session: Session) -> None:
    session.add_click(30, 30)
    session.current.tidy = Tidy(holes=0)
    session.add_click(12, 12)
    assert session.tidy == Tidy(holes=0)
    assert_array_equal(
        session.prediction.mask, untidy((30, 30), (12, 12)) & ~spot(OTHER)
    )
    session.accept()
    assert session.tidy == Tidy()  # of the next object: the default
    session.tidy = None
    session.add_click(12, 50)
    session.accept()
    assert session.tidy is None  # set in the session: it stays


def test_reopened_objects_have_their_rules_again(session: Session) -> None:
    session.add_click(30, 30)
    session.current.tidy = None
    session.accept()
    assert session.objects[0].tidy is None
    session.undo_accept()
    assert session.tidy is None
    assert_array_equal(session.prediction.mask, untidy((30, 30)))


def test_an_object_that_is_refined_keeps_its_pieces() -> None:
    labels = np.zeros(SHAPE, np.int32)
    labels[spot((15, 15), (45, 15), radius=6)] = 7
    session = Session(FakeSegmenter(), IMAGE, labels=labels)
    assert_array_equal(session.refine(7).mask, labels == 7)
    assert len(session.clicks) == 1
    session.add_click(30, 60)
    grown = spot((30, 60), session.clicks[0].pixel, radius=13)
    expected = (labels == 7) | grown
    assert_array_equal(session.prediction.mask & (labels == 7), labels == 7)
    assert not (session.prediction.mask & ~expected).any()


def test_saved_objects_are_made_again_as_they_were(
    session: Session, segmenter: JumpingSegmenter, tmp_path
) -> None:
    session.add_click(30, 30)
    session.accept()
    session.add_click(10, 12)
    session.tidy = None
    session.accept()
    session.add_click(10, 40)
    session.tidy = Tidy(clicked=False, holes=2, smoothing=1.5)
    session.accept()
    session.add_click(50, 40)
    session.tidy = Tidy(holes=0)
    session.save(tmp_path / "clicks.json")
    again = Session.load(tmp_path / "clicks.json", segmenter, IMAGE)
    assert_array_equal(again.labels, session.labels)
    assert_array_equal(again.prediction.mask, session.prediction.mask)
    assert [one.tidy for one in again.objects] == [one.tidy for one in session.objects]
    assert again.tidy == Tidy(holes=0)
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (
        tmp_path / "clicks.json"
    ).read_text()


def test_files_from_before_are_made_again_as_before(
    session: Session, segmenter: JumpingSegmenter, tmp_path
) -> None:
    session.add_click(30, 30)
    session.accept()
    session.add_click(10, 12)
    session.save(tmp_path / "clicks.json")
    data = json.loads((tmp_path / "clicks.json").read_text())
    assert data["version"] == 3
    data["version"] = 2
    for one in (*data["objects"], data["current"]):
        assert one.pop("tidy") == {
            "clicked": True, "smallest": 0, "holes": 64, "smoothing": 0.0
        }  # fmt: skip
    (tmp_path / "before.json").write_text(json.dumps(data))
    before = Session.load(tmp_path / "before.json", segmenter, IMAGE)
    assert_array_equal(before.labels, untidy((30, 30)))
    assert_array_equal(before.prediction.mask, untidy((10, 12)))
    before.save(tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text())
    assert again == data
    before.accept()
    before.add_click(50, 10)
    assert before.tidy == Tidy()  # objects to come are tidied


def test_a_damaged_rule_is_told(session: Session, tmp_path) -> None:
    session.add_click(30, 30)
    session.accept()
    session.save(tmp_path / "clicks.json")
    text = (tmp_path / "clicks.json").read_text()
    for wrong in ('"holes": -4', '"holes": null', '"gaps": 64'):
        (tmp_path / "wrong.json").write_text(text.replace('"holes": 64', wrong))
        with pytest.raises(ValueError, match="damaged file of saved prompts"):
            read_session(tmp_path / "wrong.json")


def test_prompts_of_all_planes_keep_the_rules(session: Session, tmp_path) -> None:
    session.add_click(30, 30)
    session.accept()
    plane = SavedPlane((1, 2), (3, 0, 0), (session.saved(),))
    saved = SavedAnnotation("cells", (5, *SHAPE), (plane,))
    write_prompts(tmp_path / "clicks.json", saved)
    assert json.loads((tmp_path / "clicks.json").read_text())["version"] == 2
    assert read_prompts(tmp_path / "clicks.json") == saved


def test_the_segmenter_tidies_as_well() -> None:
    from _toy import ToyModel, toy_info

    segmenter = Segmenter(ToyModel(), toy_info())
    image = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    clicks = [Click(30, 40), Click(20, 45)]
    assert segmenter.predict(image, clicks).tidy == Tidy()
    plain = segmenter.predict(image, clicks, tidy=None)
    assert plain.tidy is None
    assert_array_equal(
        plain.with_tidy(Tidy()).mask, segmenter.predict(image, clicks).mask
    )


def test_propagated_masks_are_tidied(segmenter: JumpingSegmenter) -> None:
    mask = spot((30, 30))
    found = propagate_step(segmenter, IMAGE, mask)
    assert found.mask.sum() == mask.sum()
    plain = propagate_step(segmenter, IMAGE, mask, tidy=None)
    assert plain.box[3] == OTHER[1] + 8
