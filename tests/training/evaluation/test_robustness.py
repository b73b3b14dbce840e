"""Loss and spread of methods whose answer to any click is known."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.io import imread

from _toy import toy_segmenter
from gpcis_training.evaluation import evaluate, robustness
from gpcis_training.evaluation.robot import LAWS, depth_map
from gpcis_training.evaluation.robustness import robustness_table
from napari_gpcis.errors import InputError
from training._folders import write_disks

SHARE = 0.5


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three images with two disks each; labels are the same for both annotators."""
    folder = tmp_path_factory.mktemp("sets")
    write_disks(folder / "disks", images=3)
    return folder


class Oracle:
    """Knows the disks; a click counts as `accepts` says of its relative depth."""

    def __init__(self, root):
        self.planes = []
        for path in sorted((root / "disks" / "labels").glob("*__0.png")):
            labels = imread(path)
            self.planes += [labels == ident for ident in (1, 2)]
        self.images = [
            imread(path) for path in sorted((root / "disks" / "images").glob("*"))
        ]

    def __repr__(self):
        return type(self).__name__

    def start(self, image, first_view):
        (number,) = [n for n, im in enumerate(self.images) if np.array_equal(im, image)]
        self.candidates = self.planes[2 * number : 2 * number + 2]
        self.clicks = 0

    def click(self, row, col, positive):
        """Return the disk under the click once enough good clicks were made."""
        chosen = next(plane for plane in self.candidates if plane[row, col])
        depth = depth_map(chosen)
        self.clicks += self.accepts(depth[row, col] / depth.max())
        return chosen if self.clicks >= self.needs else np.zeros_like(chosen)


class Indifferent(Oracle):
    """Needs three clicks, wherever they are."""

    needs = 3

    def accepts(self, depth):
        return True


class Touchy(Oracle):
    """Needs one click, deeper than half of the greatest depth."""

    needs = 1

    def accepts(self, depth):
        return depth > SHARE


def measured(method, root, laws=LAWS, repeats=3, **options):
    return [
        evaluate(
            method,
            root,
            "disks",
            clicks=law,
            repeat=repeat,
            min_clicks=1,
            progress=False,
            **options,
        )
        for law in laws
        for repeat in range(1 if law == "centre" else repeats)
    ]


def test_an_indifferent_method_loses_nothing(root):
    (found,) = robustness(measured(Indifferent(root), root))
    assert {law: value.mean for law, value in found.noc.items()} == dict.fromkeys(
        LAWS, 3
    )
    assert (found.loss.mean, found.loss.error) == (0, 0)
    assert (found.spread.mean, found.spread.error) == (0, 0)
    assert found.repeats == 3
    assert found.deviation["hard"] == 0
    assert np.isnan(found.deviation["centre"])


def test_a_touchy_method_needs_deep_clicks(root):
    """A quarter of a disk lies deeper than half of its depth.

    The deepest third reaches to 1 - sqrt(1/3) = 0.42 of the depth: three of four easy
    clicks count, and none of the others. The mean number of tries is 1 over the share.
    """
    (found,) = robustness(measured(Touchy(root), root, repeats=8))
    assert found.noc["centre"].mean == 1
    assert found.noc["hard"].mean == found.noc["middle"].mean == 20
    assert found.noc["easy"].mean == pytest.approx(4 / 3, abs=0.25)
    assert found.noc["inside"].mean == pytest.approx(4, abs=1.5)
    assert found.loss.mean == pytest.approx(found.noc["inside"].mean - 1)
    assert found.spread.mean == pytest.approx(20 / found.noc["easy"].mean - 1)
    assert found.deviation["inside"] > 0


def test_what_was_not_measured_is_left_out(root):
    results = measured(Indifferent(root), root, ("inside", "easy"), repeats=1)
    (found,) = robustness(results)
    assert (found.loss, found.spread) == (None, None)
    assert "hard" not in robustness_table(results).splitlines()[2]


def test_targets_beyond_the_end_of_the_runs_are_left_out(root):
    results = measured(Indifferent(root), root, repeats=1, target=0.85)
    table = robustness_table(results)
    assert "85 %" in table
    assert "90 %" not in table


def test_methods_stand_apart(root):
    results = measured(Indifferent(root), root, repeats=1)
    results += measured(Touchy(root), root, repeats=1)
    assert [row.method for row in robustness(results)] == ["Indifferent", "Touchy"]
    lines = robustness_table(results).splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines[2:8]]
    loss, spread = rows[0].index("Loss"), rows[0].index("Spread")
    assert rows[2][rows[0].index("Set")] == "disks"
    assert rows[2][rows[0].index("Objects")] == "6"
    assert rows[2][loss] == rows[2][spread] == "+0 ± 0 %"
    assert rows[3][loss].startswith("+")
    assert rows[3][loss] != "+0 ± 0 %"
    targets = [row[rows[0].index("IoU")] for row in rows[2:]]
    assert targets == ["85 %", "85 %", "90 %", "90 %"]


def test_repeats_differ_and_repeat(root):
    def clicks(repeat, seed=0):
        result = evaluate(
            toy_segmenter(),
            root,
            "disks",
            clicks="inside",
            repeat=repeat,
            seed=seed,
            max_clicks=3,
            progress=False,
        )
        return [run.clicks for run in result.runs]

    assert clicks(0) == clicks(0)
    assert len({str(clicks(0)), str(clicks(1)), str(clicks(0, seed=1))}) == 3


def test_runs_that_stop_too_early(root):
    results = measured(Indifferent(root), root, ("centre",), target=0.8)
    with pytest.raises(InputError, match=r"must go on to an IoU of 0\.9, got 0\.8"):
        robustness(results)
    some = measured(Indifferent(root), root, ("centre",), limit=2)
    more = measured(Indifferent(root), root, ("inside",), repeats=1)
    with pytest.raises(InputError, match="must be on the same objects"):
        robustness([*some, *more])
