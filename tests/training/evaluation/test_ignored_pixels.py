"""Pixels that are neither object nor background: no figure counts them, no click."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.io import imsave

from _toy import toy_segmenter
from gpcis_training.evaluation import (
    DrawingRule,
    EvaluationObject,
    draw_objects,
    evaluate,
)
from gpcis_training.evaluation.datasets import ground_truth
from gpcis_training.evaluation.robot import LAWS, make_clicker
from gpcis_training.evaluation.suggestions import labelled, run
from gpcis_training.finetuning.validation import Validation
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.session.session import Session

ITEM = EvaluationObject("a.png", "a.png", (1,))
SHAPE = (20, 30)


def write_set(folder):
    """Write a 10 x 10 object whose middle is ignored, and one that is all ignored.

    Ignored are also the two columns beside the first object.
    """
    labels, ignored = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    labels[5:15, 5:15] = 1
    labels[1:4, 20:28] = 2
    ignored[8:12, 8:12] = 255
    ignored[5:15, 15:17] = 255
    ignored[1:4, 20:28] = 255
    for part, array in (("images", labels), ("labels", labels), ("ignore", ignored)):
        (folder / part).mkdir(parents=True)
        imsave(folder / part / "a.png", array, check_contrast=False)
        if part != "ignore":
            imsave(folder / part / "b.png", array, check_contrast=False)
    return ignored > 0


@pytest.fixture
def root(tmp_path):
    write_set(tmp_path / "set")
    return tmp_path


def test_the_truth_is_unknown_there(root):
    ignored = np.zeros(SHAPE, bool)
    ignored[8:12, 8:12] = ignored[5:15, 15:17] = ignored[1:4, 20:28] = True
    gt = ground_truth(root / "set", ITEM)
    assert ((gt == -1) == ignored).all()
    assert (gt == 1).sum() == 100 - 16
    free = ground_truth(root / "set", EvaluationObject("b.png", "b.png", (1,)))
    assert (free == 1).sum() == 100
    assert (free != -1).all()


def test_objects_are_drawn_by_the_area_that_is_known(root):
    known = {(item.image, item.ids) for item in draw_objects(root / "set")}
    assert known == {("a.png", (1,)), ("b.png", (1,)), ("b.png", (2,))}
    large = draw_objects(root / "set", DrawingRule(min_area=85))
    assert [(item.image, item.ids) for item in large] == [("b.png", (1,))]


class Painter:
    """Returns one mask, and keeps the clicks."""

    def __init__(self, mask):
        self.mask = mask
        self.clicks = []

    def start(self, image, first_view):
        self.clicks.append([])

    def click(self, row, col, positive):
        self.clicks[-1].append((row, col))
        return self.mask


def test_an_answer_there_is_neither_right_nor_wrong(root):
    mask = np.zeros(SHAPE, bool)
    mask[5:15, 5:17] = True  # the object, and the ignored columns beside it
    result = evaluate(Painter(mask), root, "set", limit=1, progress=False)
    assert result.runs[0].ious == (1.0,)
    mask = np.zeros(SHAPE, bool)
    mask[8:12, 8:12] = True  # nothing but ignored pixels
    result = evaluate(Painter(mask), root, "set", limit=1, progress=False)
    assert set(result.runs[0].ious) == {0.0}
    mask[5:12, 5:15] = True  # 54 of the 84 known pixels of the object
    result = evaluate(Painter(mask), root, "set", limit=1, progress=False)
    assert result.runs[0].ious[0] == (70 - 16) / 84


@pytest.mark.parametrize("law", LAWS)
def test_no_click_falls_there(root, law):
    gt = ground_truth(root / "set", ITEM)
    everything = Painter(np.ones(SHAPE, bool))
    nothing = Painter(np.zeros(SHAPE, bool))
    for painter in (everything, nothing):
        evaluate(painter, root, "set", clicks=law, limit=1, progress=False)
        assert len(painter.clicks[0]) == 20
        assert all(gt[click] != -1 for click in painter.clicks[0])
    # without the mask, the middle of the object is the first click
    free = Painter(np.zeros(SHAPE, bool))
    evaluate(free, root, "set", progress=False)
    assert free.clicks[1][0] == (9, 9)
    assert gt[9, 9] == -1


planes = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: st.tuples(
        arrays(np.int8, shape, elements=st.sampled_from([-1, -1, 0, 1, 1])),
        arrays(np.bool_, shape),
    )
)


@given(planes, st.sampled_from(LAWS), st.integers(0, 3))
def test_every_law_clicks_on_known_errors(plane, law, repeat):
    gt, mask = plane
    click = make_clicker(law, ITEM, 0, repeat)(gt, mask, np.ones(gt.shape, bool))
    if click is not None:
        assert gt[click.pixel] != -1
        assert mask[click.pixel] != (gt[click.pixel] == 1)


def test_a_mask_of_another_size(root):
    imsave(root / "set/ignore/a.png", np.zeros((9, 9), np.uint8), check_contrast=False)
    with pytest.raises(InputError, match=r"a\.png has \(9, 9\) pixels, but its labels"):
        evaluate(Painter(np.zeros(SHAPE, bool)), root, "set", progress=False)


# -- places that a model suggests, and the validation of fine-tuning -----------------


def test_a_suggested_place_moves_to_where_the_truth_is_known(root):
    gt = ground_truth(root / "set", ITEM)
    assert labelled((6, 6), gt) == Click(6, 6)
    assert labelled((0, 0), gt) == Click(0, 0, positive=False)
    assert labelled((10, 16), gt) == Click(10, 17, positive=False)
    assert labelled((9, 8), gt) == Click(9, 7)
    assert labelled(None, gt) is None


@pytest.mark.parametrize("pixel", [(9, 9), (10, 16)])
def test_suggested_clicks_are_known(root, pixel):
    gt = ground_truth(root / "set", ITEM)
    session = Session(toy_segmenter(), np.zeros((*SHAPE, 3), np.uint8))
    frees = []

    def place(found, free):
        frees.append(free.copy())
        return pixel

    run(session, gt, None, place, 3)
    assert len(session.clicks) == 3
    assert all(gt[click.pixel] != -1 for click in session.clicks)
    assert not frees[0][gt == -1].any()


def test_fine_tuning_validates_without_them(tmp_path):
    write_set(tmp_path / "val")
    chosen = Validation.draw(tmp_path, DrawingRule(), union=False)
    assert ITEM in chosen.objects
    result = chosen.run(toy_segmenter(), objects=(ITEM,))
    gt = ground_truth(tmp_path / "val", ITEM)
    (done,) = result.runs
    assert all(gt[click.pixel] != -1 for click in done.clicks)
    assert done.clicks[0].pixel != (9, 9)
