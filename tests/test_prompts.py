"""Prompts of many planes: one file, the same masks again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from _fake_segmenter import FakeSegmenter
from napari_gpcis import Segmenter, Session
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.prompts import (
    SavedAnnotation,
    SavedPlane,
    read_prompts,
    replay,
    write_prompts,
)
from napari_gpcis.session.saved import SavedObject, SavedSession, SavedStart

if TYPE_CHECKING:
    from pathlib import Path

STACK = np.random.default_rng(0).integers(0, 255, (2, 3, 60, 70)).astype(np.uint8)


def annotate(segmenter: Any) -> tuple[SavedAnnotation, np.ndarray]:
    """Two objects in one plane, one and a running one in another."""
    labels = np.zeros(STACK.shape, np.int32)
    planes = []
    for steps, places in {
        (0, 2, 0, 0): ((20, 20), (22, 40)),
        (1, 0, 0, 0): ((40, 30),),
    }.items():
        plane = SavedPlane((2, 3), steps, ())
        session = Session(segmenter, STACK[plane.index])
        for row, col in places:
            session.view = (0, 0, 50, 60)
            session.add_click(row, col)
            session.add_click(row + 6, col + 6, False)
            session.accept()
        labels[plane.index] = session.labels
        if steps[0]:
            session.add_click(10, 50)
            free = labels[plane.index] == 0
            labels[plane.index][session.prediction.mask & free] = 9
            plane = replace(plane, running=9)
        planes.append(replace(plane, sessions=(session.saved(),)))
    return SavedAnnotation("stack", STACK.shape, tuple(planes)), labels


def test_real_masks_come_back_bit_for_bit(tmp_path: Path) -> None:
    segmenter = Segmenter.from_pretrained("gpcis-mobilenet-v2", device="cpu")
    saved, labels = annotate(segmenter)
    write_prompts(tmp_path / "stack.clicks.json", saved)
    read = read_prompts(tmp_path / "stack.clicks.json")
    assert read == saved
    assert read.models == ("gpcis-mobilenet-v2",)
    assert read.planes[0].sessions[0].fingerprint == segmenter.info.extra["fingerprint"]
    finished = np.where(labels == 9, 0, labels)
    np.testing.assert_array_equal(replay(read, segmenter, STACK), finished)
    running = Session(segmenter, STACK[1, 0])
    current = read.planes[1].sessions[-1].current
    running.view = current.view
    running.replace_clicks(current.clicks)
    np.testing.assert_array_equal(
        running.prediction.mask & (finished[1, 0] == 0), labels[1, 0] == 9
    )


def test_objects_that_wait_for_their_masks_are_kept_and_counted(
    tmp_path: Path,
) -> None:
    new, next_one = (SavedObject((Click(n, n),), None, 0.5) for n in (3, 5))
    start = SavedStart((0, 0, 2, 2), (0, 4), (), 7)
    corrected = SavedObject((Click(4, 4),), None, 0.5, start=start)
    session = SavedSession((8, 9), "model", None, None, None, None, (), new)
    plane = SavedPlane((0, 1), (0, 0), (session,))
    file = tmp_path / "stack.clicks.json"
    for following, accepted, words in (
        ((), (), "1 click"),
        ((SavedObject((), None, 0.5),), (new,), "1 object"),
        ((next_one,), (new,), "1 object, 1 further click"),
        ((corrected, next_one), (new, corrected), "1 object, 1 further click"),
    ):
        known = replace(plane, following=following)
        saved = SavedAnnotation("", (8, 9), (known,))
        assert known.accepted == accepted
        assert known.unfinished == (new, *(one for one in following if one.clicks))
        assert saved.amount == words
        write_prompts(file, saved)
        assert read_prompts(file) == saved


def test_an_object_that_has_no_pixel_left_is_not_counted() -> None:
    """As one from which another mask has taken all."""
    clicked = SavedObject((Click(3, 3),), None, 0.5)
    done = tuple(replace(clicked, id=number) for number in (1, 2, 3))
    session = SavedSession((8, 9), "model", None, None, None, None, done, clicked)
    planes = (SavedPlane((0, 1), (0, 0), (session,), running=4),)
    saved = SavedAnnotation("", (8, 9), planes)
    assert saved.count_objects([0, 1, 3, 4, 9]) == 3  # 9 was drawn by hand
    corrected = replace(saved, planes=(replace(planes[0], running=3),))
    assert corrected.count_objects([0, 1, 3]) == 2


def test_the_digest_of_the_image_is_kept_where_it_is_known(tmp_path: Path) -> None:
    file = tmp_path / "stack.clicks.json"
    plain = SavedAnnotation("stack", (8, 9), ())
    for saved in (replace(plain, image_digest="5eed"), plain):
        write_prompts(file, saved)
        assert read_prompts(file) == saved
    assert "image_digest" not in file.read_text()  # as in files of earlier versions


def test_objects_without_prompts_are_kept() -> None:
    segmenter = FakeSegmenter()
    saved, labels = annotate(segmenter)
    by_hand = labels.copy()
    by_hand[0, 2, 50:, 50:] = 77
    by_hand[1, 2, :5] = 3
    made = replay(saved, segmenter, STACK, labels=by_hand)
    np.testing.assert_array_equal(made == 77, by_hand == 77)
    np.testing.assert_array_equal(made[1, 2], by_hand[1, 2])
    assert not (made == 9).any()


class Counting:
    """An array on disk, as it were."""

    def __init__(self) -> None:
        self.shape, self.asked = STACK.shape, []

    def __getitem__(self, index: Any) -> np.ndarray:
        self.asked.append(index)
        return STACK[index]


def test_only_planes_with_prompts_are_read() -> None:
    segmenter, image = FakeSegmenter(), Counting()
    saved, _ = annotate(segmenter)
    replay(saved, segmenter, image)
    assert image.asked == [plane.index for plane in saved.planes]


def test_a_colour_image_and_a_file_of_a_session(tmp_path: Path) -> None:
    segmenter = FakeSegmenter()
    picture = np.zeros((40, 50, 4), np.uint8)
    session = Session(segmenter, picture[..., :3])
    session.add_click(20, 20)
    session.accept()
    session.save(tmp_path / "clicks.json")
    saved = read_prompts(tmp_path / "clicks.json")
    again = replay(saved, segmenter, picture, colour=True)
    np.testing.assert_array_equal(again, session.labels)


def test_another_model_is_refused_unless_it_is_allowed() -> None:
    saved, labels = annotate(FakeSegmenter("one"))
    other = FakeSegmenter("another")
    with pytest.raises(InputError, match=r"model 'another'.*saved with 'one'"):
        replay(saved, other, STACK)
    made = replay(saved, other, STACK, any_model=True)
    np.testing.assert_array_equal(made, np.where(labels == 9, 0, labels))
    with pytest.raises(InputError, match=r"image has shape \(2, 3\)"):
        replay(saved, other, STACK[..., 0, 0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "else"}, "is not a file of saved clicks"),
        ({"version": 99}, "has version 99 of the format"),
        ({"planes": [{}]}, "is a damaged file of saved clicks"),
        ({"shape": [2, 3, 60, 71]}, "a session of shape"),
        ({"shape": [2, 1, 60, 70]}, "is not in an image"),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    saved, _ = annotate(FakeSegmenter())
    file = tmp_path / "clicks.json"
    file.write_text(json.dumps({**json.loads(saved.to_json()), **change}))
    with pytest.raises(InputError, match=words):
        read_prompts(file)
    file.write_text("no JSON")
    with pytest.raises(InputError, match="it is no JSON"):
        read_prompts(file)
    file.write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"it holds no text$"):
        read_prompts(file)


def test_the_expected_quality_is_kept(tmp_path: Path) -> None:
    saved, _ = annotate(FakeSegmenter())
    (session,) = saved.planes[0].sessions
    first, *others = session.objects
    judged = replace(session, objects=(replace(first, quality=0.875), *others))
    saved = replace(saved, planes=(replace(saved.planes[0], sessions=(judged,)),))
    file = tmp_path / "clicks.json"
    write_prompts(file, saved)
    assert read_prompts(file) == saved
    known = [one.quality for one in read_prompts(file).planes[0].objects]
    assert known == [0.875, None]
    file.write_text(file.read_text().replace("0.875", "1.875"))
    with pytest.raises(InputError, match="quality must be a number from 0 to 1"):
        read_prompts(file)


def test_who_made_an_object_is_kept(tmp_path: Path) -> None:
    """In the file, and by a session that makes its mask again."""
    segmenter = FakeSegmenter()
    saved, _ = annotate(segmenter)
    (session,) = saved.planes[0].sessions
    first, *others = session.objects
    first = replace(first, made_by="propagated", digest="0a1b")
    by_run = replace(session, objects=(first, *others))
    saved = replace(saved, planes=(replace(saved.planes[0], sessions=(by_run,)),))
    file = tmp_path / "clicks.json"
    write_prompts(file, saved)
    assert read_prompts(file) == saved
    assert file.read_text().count("made_by") == file.read_text().count("digest") == 1
    again = Session(segmenter, np.zeros(by_run.shape, np.uint8))
    for step in by_run.objects:
        again.repeat(step)
    assert (again.steps[0].made_by, again.steps[0].digest) == ("propagated", "0a1b")
    assert again.saved().objects[0] == first
    assert {step.made_by for step in again.steps[1:]} <= {None}
    file.write_text(file.read_text().replace('"propagated"', '"guessed"'))
    with pytest.raises(InputError, match="made_by must be one of propagated, interp"):
        read_prompts(file)
    write_prompts(file, saved)
    file.write_text(file.read_text().replace('"0a1b"', "12"))
    with pytest.raises(InputError, match="expected str, got 12"):
        read_prompts(file)


def test_what_there_is_is_told_in_words() -> None:
    """Clicks of an object that is not finished are no objects, but not nothing."""
    clicks = (Click(1, 2), Click(3, 4, False))
    nothing = SavedSession((8, 9), "m", None, None, None, None)
    clicked = replace(nothing, current=SavedObject(clicks, None, 0.5))
    done = replace(clicked, objects=(SavedObject(clicks, None, 0.5, id=1),))

    def words(*sessions: SavedSession) -> str:
        planes = (SavedPlane((0, 1), (0, 0), sessions),)
        return SavedAnnotation("cells", (8, 9), planes).amount

    assert words(nothing) == "no objects"
    deleted = (*done.objects, replace(done.objects[0], clicks=(), how="delete"))
    assert words(replace(nothing, objects=deleted)) == "all objects deleted"
    assert words(replace(done, objects=deleted)) == "2 clicks"
    assert words(clicked) == "2 clicks"
    assert words(done) == "1 object, 2 further clicks"
    assert words(done, nothing) == "1 object"
    one = replace(nothing, current=SavedObject(clicks[:1], None, 0.5))
    assert words(one) == "1 click"
