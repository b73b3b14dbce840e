"""Lists of the new sets, groups of lists, subsets, and all sets in one table."""

from __future__ import annotations

import numpy as np
import pytest

from gpcis_training.evaluation import evaluate, load_results
from gpcis_training.evaluation.datasets import (
    PLANE_LISTS,
    RULES,
    draw_list,
    evenly_spread,
    grouped_sets,
    load_objects,
    object_sets,
)
from gpcis_training.evaluation.metrics import iou_at
from gpcis_training.evaluation.tables import overview
from napari_gpcis.errors import InputError
from training._evaluating import command, rows_of
from training._folders import write_disks


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two folders of three images with two disks each."""
    folder = tmp_path_factory.mktemp("sets")
    write_disks(folder / "one", images=3)
    write_disks(folder / "two", images=3, seed=1)
    return folder


def test_the_protocol_of_the_new_sets():
    for name in ("coco_things_val", "car_parts_val", "food_val", "flowers_val"):
        rule = RULES[name][1]
        assert (rule.per_image, rule.min_fraction, rule.window) == (2, 0.005, None)
    voc = RULES["voc_val"][1]
    assert (voc.per_image, voc.min_fraction, voc.window) == (1, 0.005, None)
    new = ["bbbc039", "em_axons", "emps", "usiigaci_phase", "yeast_brightfield"]
    new += ["monuseg", "gbm_nuclei", "glas", "sorghum_seeds"]
    for name in new:
        folder, rule = RULES[f"{name}_val"]
        assert folder == f"microscopy/{name}/val"
        assert rule.per_image == (8 if name in ("glas", "em_axons") else 4)
        assert (rule.min_area, rule.window, rule.seed) == (64, 256, 0)


def test_groups_of_lists():
    natural, microscopy = grouped_sets("natural"), grouped_sets("microscopy")
    assert grouped_sets("all") == sorted(natural + microscopy)
    assert {*grouped_sets("all")} == {*object_sets()} - {*PLANE_LISTS}
    assert "voc_val" in natural
    assert "glas_val" in microscopy
    assert grouped_sets("my-cells/val") == ["my-cells/val"]


def test_a_list_is_drawn_and_read(root, tmp_path, monkeypatch):
    rule = RULES["voc_val"][1]
    monkeypatch.setitem(RULES, "one_val", ("one", rule))
    drawn = draw_list("one_val", root, tmp_path / "one.json")
    assert len(drawn.objects) == 3
    again = draw_list("one_val", root, tmp_path / "two.json")
    assert again == drawn
    text = (tmp_path / "one.json").read_text()
    assert text == (tmp_path / "two.json").read_text()


def test_subsets_are_evenly_spread(root):
    assert evenly_spread(range(10), 4) == (0, 2, 5, 7)
    assert evenly_spread(range(3), 5) == (0, 1, 2)
    whole = load_objects("voc_val")
    few = whole.subset(8)
    assert few.objects == whole.objects[::20]
    assert whole.subset(None) is whole
    with pytest.raises(InputError, match="limit must be at least 1"):
        whole.subset(0)


def test_a_subset_of_each_set(root, tmp_path, capsys):
    output = tmp_path / "out.json"
    base = ["peer:watershed", "--root", root, "--set", "one", "two", "one"]
    assert command(*base, "--subset", 3, "--max-clicks", 2, "-o", output) == 0
    results = load_results(output)
    assert [r.objects for r in results] == ["one", "two"]
    for result in results:
        names = [(item.image, item.ids) for item in result.items]
        assert names == [("p0.png", (1,)), ("p1.png", (1,)), ("p2.png", (1,))]


def test_all_sets_stand_in_one_table(root, capsys):
    arguments = ["peer:watershed", "--peer", "grabcut", "--root", root]
    assert command(*arguments, "--set", "one", "two", "--max-clicks", 3) == 0
    text = capsys.readouterr().out
    rows = rows_of(text[text.index("**All sets**") :].split("\n\n")[1])
    assert [row["Set"] for row in rows] == ["one", "two"]
    ours, theirs = (
        evaluate(f"peer:{name}", root, "two", max_clicks=3, progress=False)
        for name in ("watershed", "grabcut")
    )
    assert rows[1]["peer:grabcut: NoC@90"] == str(theirs.summary.noc[0.9])
    assert rows[1]["peer:watershed: IoU&1"] == str(ours.summary.iou_at[1])
    clicks = [result.summary.noc[0.9].mean for result in (ours, theirs)]
    difference = rows[1]["peer:watershed - peer:grabcut: NoC@90"].split(" ± ")[0]
    assert difference == f"{clicks[0] - clicks[1]:+.2f}"
    assert iou_at(ours.runs[0].ious, 1) == ours.runs[0].ious[0]
    assert overview([ours, theirs]).count("\n") == 4


class Nothing:
    """Finds nothing, so that no target is ever reached."""

    def start(self, image, first_view):
        self.shape = image.shape[:2]

    def click(self, row, col, positive):
        return np.zeros(self.shape, bool)


def test_a_miss_counts_as_all_clicks_that_were_allowed(root):
    options = {"max_clicks": 3, "limit": 1, "progress": False}
    found = evaluate("peer:watershed", root, "one", **options)
    missed = evaluate(Nothing(), root, "one", **options)
    (row,) = rows_of(overview([missed, found]))
    needed = found.summary.noc[0.9].mean
    assert needed < 3
    assert row["Nothing: NoC@90"].startswith("3.00 ± ")
    name = "Nothing - peer:watershed: NoC@90"
    assert row[name].startswith(f"{3 - needed:+.2f} ± ")


def test_one_set_needs_no_such_table(root, capsys):
    assert command("peer:watershed", "--root", root, "--set", "one", "--limit", 1) == 0
    assert "**All sets**" not in capsys.readouterr().out
