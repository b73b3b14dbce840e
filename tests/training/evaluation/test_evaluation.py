"""Object lists, classical methods, and evaluations from end to end."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from _toy import toy_segmenter
from gpcis_training.evaluation import (
    DrawingRule,
    EvaluationObject,
    compare,
    create_peer,
    draw_objects,
    evaluate,
    load_objects,
    load_results,
    object_sets,
    save_results,
    table,
)
from gpcis_training.evaluation.cli import add_arguments, run
from gpcis_training.evaluation.datasets import (
    RULES,
    ObjectSet,
    first_view,
    ground_truth,
    save_objects,
)
from gpcis_training.evaluation.tables import NOTE, cells
from napari_gpcis.errors import InputError
from training._folders import write_pair_of_disks

SETS = {
    "bsds500_val": (89, 2),
    "tiny_coco_val": (48, 2),
    "ccp_val_person": (101, 1),
    "ccp_val_garment": (101, 1),
    "dsb2018_val": (100, 2),
    "isbi2012_em_val": (6, 8),
    "wbc_val_cell": (30, 1),
    "wbc_val_nucleus": (30, 1),
    "voc_val": (163, 1),
    "coco_things_val": (60, 2),
    "car_parts_val": (20, 2),
    "food_val": (20, 2),
    "flowers_val": (15, 2),
    "bbbc039_val": (4, 4),
    "em_axons_val": (2, 8),
    "emps_val": (20, 4),
    "usiigaci_phase_val": (8, 4),
    "yeast_brightfield_val": (6, 4),
    "monuseg_val": (8, 4),
    "gbm_nuclei_val": (5, 4),
    "glas_val": (7, 8),
    "sorghum_seeds_val": (2, 4),
    "dsb2018_planes": (4, 25),
}


@pytest.fixture
def root(tmp_path):
    """Two images with two bright disks each, ids 3 and 7, the second one larger."""
    write_pair_of_disks(tmp_path / "disks")
    return tmp_path


# -- objects -------------------------------------------------------------------


def test_lists_of_the_protocol_are_there():
    assert set(object_sets()) == set(SETS)
    for name, (images, per_image) in SETS.items():
        found = load_objects(name)
        assert (found.folder, found.rule) == RULES[name]
        names = [item.image for item in found.objects]
        assert len(set(found.objects)) == len(found.objects) > 0.9 * images
        assert len(set(names)) > 0.95 * images
        assert max(map(names.count, names)) == per_image
        assert all(item.ids and min(item.ids) > 0 for item in found.objects)


def test_drawing_takes_one_annotation_and_every_label(root):
    assert draw_objects(root / "disks") == (
        EvaluationObject("a.png", "a.png", (3,)),
        EvaluationObject("a.png", "a.png", (7,)),
        EvaluationObject("b.png", "b__0.png", (3,)),
        EvaluationObject("b.png", "b__0.png", (7,)),
    )


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (DrawingRule(min_area=300), {(7,)}),
        (DrawingRule(max_fraction=0.08), {(3,)}),
        (DrawingRule(min_fraction=0.08), {(7,)}),
        (DrawingRule(exclude=(7,)), {(3,)}),
        (DrawingRule(combine="all"), {(3, 7)}),
        (DrawingRule(combine=((1, 3), (7,))), {(1, 3), (7,)}),
    ],
)
def test_rules(root, rule, expected):
    assert {item.ids for item in draw_objects(root / "disks", rule)} == expected


def test_draws_repeat_and_depend_on_the_seed_alone(root):
    folder = root / "disks"
    draws = [
        draw_objects(folder, DrawingRule(per_image=1, seed=seed)) for seed in range(20)
    ]
    assert len({item.ids for items in draws for item in items}) == 2
    assert draws[4] == draw_objects(folder, DrawingRule(per_image=1, seed=4))
    for part, name in (("images", "b.png"), ("labels", "b__0.png")):
        (folder / part / name).unlink()
    (folder / "labels" / "b__1.png").unlink()
    alone = draw_objects(folder, DrawingRule(per_image=1, seed=4))
    assert alone == draws[4][:1]


def test_object_lists_survive_the_disk(root, tmp_path):
    rule = DrawingRule(per_image=1, combine="each")
    items = draw_objects(root / "disks", rule)
    save_objects(tmp_path / "list.json", ObjectSet("mine", "disks", rule, items))
    data = json.loads((tmp_path / "list.json").read_text())
    assert data["objects"] == [[o.image, o.label, list(o.ids)] for o in items]
    assert DrawingRule(**{**data["rule"], "exclude": ()}) == rule


def test_ground_truth_is_the_union_of_the_ids(root):
    gt = ground_truth(root / "disks", EvaluationObject("a.png", "a.png", (3, 7)))
    assert set(np.unique(gt)) == {0, 1}
    assert gt[20, 22] == gt[36, 62] == 1


def test_nothing_to_draw(root):
    with pytest.raises(InputError, match="found none"):
        draw_objects(root / "disks", DrawingRule(min_area=10_000))
    with pytest.raises(InputError, match="objects must be a folder or one of"):
        load_objects("sbd")


@pytest.mark.parametrize(
    ("shape", "click", "window", "expected"),
    [
        ((1000, 900), (500, 500), 256, (372, 372, 628, 628)),
        ((1000, 900), (3, 899), 256, (0, 644, 256, 900)),
        ((200, 900), (100, 10), 256, (0, 0, 200, 256)),
        ((256, 200), (100, 10), 256, None),
        ((1000, 900), (500, 500), None, None),
    ],
)
def test_first_view(shape, click, window, expected):
    assert first_view(shape, click, window) == expected


# -- evaluations ---------------------------------------------------------------


def test_evaluating_a_model(root):
    result = evaluate(toy_segmenter(), root, "disks", max_clicks=8, progress=False)
    assert result.method == "toy"
    assert [len(run.ious) >= 5 or run.ious[-1] == 1 for run in result.runs]
    assert result.summary.objects == 4
    assert result.summary.noic == 0
    assert all(len(run.ious) <= 8 for run in result.runs)


@pytest.mark.slow
def test_workers_give_the_same_figures(root):
    one = evaluate("peer:watershed", root, "disks", progress=False)
    two = evaluate("peer:watershed", root, "disks", workers=2, progress=False)
    assert one.items == two.items
    assert [r.ious for r in one.runs] == [r.ious for r in two.runs]
    assert [r.clicks for r in one.runs] == [r.clicks for r in two.runs]


class Counting:
    """Count the objects that are really evaluated."""

    def __init__(self, crash_after=100):
        self.peer = create_peer("watershed")
        self.started = 0
        self.crash_after = crash_after

    def __repr__(self):
        return "Counting"

    def start(self, image, first_view):
        self.started += 1
        if self.started > self.crash_after:
            raise KeyboardInterrupt
        self.peer.start(image, first_view)

    def click(self, row, col, positive):
        return self.peer.click(row, col, positive)


def test_an_interrupted_evaluation_goes_on(root, tmp_path):
    kept = tmp_path / "runs.partial"
    arguments = {"partial": kept, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        evaluate(Counting(crash_after=2), root, "disks", **arguments)
    with kept.open("a") as stream:
        stream.write('\n{"settings": "cut o')
    again = Counting()
    result = evaluate(again, root, "disks", **arguments)
    assert again.started == 2
    whole = evaluate(Counting(), root, "disks", progress=False)
    assert [r.ious for r in result.runs] == [r.ious for r in whole.runs]
    other = Counting()
    evaluate(other, root, "disks", max_clicks=7, **arguments)
    assert other.started == 4


def test_results_survive_the_disk(root, tmp_path):
    result = evaluate("peer:watershed", root, "disks", progress=False)
    save_results(tmp_path / "out.json", [result])
    (again,) = load_results(tmp_path / "out.json")
    assert cells(again) == cells(result)
    assert again.items == result.items
    assert json.loads((tmp_path / "out.json").read_text())["results"][0]["summary"]
    (tmp_path / "out.json").write_text('{"results": [{}]}')
    with pytest.raises(InputError, match="path must be a result file"):
        load_results(tmp_path / "out.json")


def test_table_says_what_it_is_not(root):
    result = evaluate("peer:watershed", root, "disks", progress=False)
    lines = table([result]).splitlines()
    assert lines[0] == "**disks**"
    assert [line.count("|") for line in lines[2:5]] == [12, 12, 12]
    assert lines[4].startswith("| peer:watershed | 4 | whole image | ")
    assert lines[-1] == f"- {NOTE}"
    assert "not comparable with the paper" in NOTE


def test_paired_comparison(root):
    one = evaluate("peer:watershed", root, "disks", progress=False)
    two = evaluate(toy_segmenter(), root, "disks", progress=False)
    values = iter([2, 4, 6, 8, 1, 2, 3, 4])
    found = compare(one, two, lambda _: next(values))
    assert found.difference.mean == 2.5
    assert found.ratio.mean == 2.0
    assert found.ratio.error == pytest.approx(0, abs=1e-12)
    sums = np.array([1 + 2, 3 + 4]) - 2 * 2.5
    assert found.difference.error == pytest.approx(np.sqrt(2 * (sums**2).sum()) / 4)
    fewer = evaluate("peer:watershed", root, "disks", limit=3, progress=False)
    with pytest.raises(InputError, match="objects of first"):
        compare(one, fewer)


def test_objects_that_are_not_in_the_labels(root):
    wrong = ObjectSet(
        "wrong", "disks", DrawingRule(), (EvaluationObject("a.png", "a.png", (5,)),)
    )
    with pytest.raises(InputError, match="must be in the label image"):
        evaluate("peer:watershed", root, wrong, progress=False)
    with pytest.raises(InputError, match="workers must be at least 1"):
        evaluate("peer:watershed", root, "disks", workers=0)
    with pytest.raises(InputError, match="limit must be at least 1"):
        evaluate("peer:watershed", root, "disks", limit=0)


# -- the command ---------------------------------------------------------------


def command(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([str(argument) for argument in arguments]))


def test_command(root, tmp_path, capsys):
    output = tmp_path / "out.json"
    base = ("--root", root, "--objects", "disks", "-o", output)
    assert command("peer:watershed", "--peer", "grabcut", *base) == 0
    shown = capsys.readouterr().out
    assert "| peer:watershed | 4 | whole image |" in shown
    assert "NoC@85 of peer:watershed - peer:grabcut:" in shown
    assert len(load_results(output)) == 2
    assert list(tmp_path.glob("*.partial")) == []
    assert command("--peer", "watershed", *base[:4], "--compare", output) == 0
    assert "+0.00 ± 0.00; ratio 1.00 ± 0.00 (4 objects)" in capsys.readouterr().out
    fewer = ("--peer", "grabcut", *base[:4], "--limit", "3", "--compare", output)
    assert command(*fewer) == 0
    assert "(3 objects)" in capsys.readouterr().out


def test_command_explains_errors(root, tmp_path, capsys):
    assert command("--root", root) == 1
    assert "name a model or --peer" in capsys.readouterr().err
    assert command("peer:watershed", "--root", root, "--objects", "nothing") == 1
    assert "objects must be a folder or one of" in capsys.readouterr().err
    base = ("--root", root, "--objects", "disks")
    assert command(tmp_path / "no.safetensors", *base) == 1
    assert "no.safetensors" in capsys.readouterr().err
