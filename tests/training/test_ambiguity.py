"""The worth of alternatives, by hand and on sets whose alternatives are known."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from _toy import toy_segmenter
from gpcis_training import ambiguity as module
from gpcis_training.ambiguity import (
    Ambiguity,
    Offer,
    Outcome,
    ambiguity,
    ambiguity_table,
)
from gpcis_training.cli import main
from gpcis_training.evaluation.datasets import EvaluationObject, folder_objects
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from training._evaluating import rows_of, write_sets, write_tiny
from training._folders import write_disks


def offer(*ious, scores=None):
    scores = scores or tuple(1 - 0.1 * k for k in range(len(ious)))
    return Offer(ious, tuple(scores), 0.5 if len(ious) > 1 else None)


def found(*outcomes):
    items = [EvaluationObject(f"{k}.png", "x", (1,)) for k in range(len(outcomes))]
    return Ambiguity("set", tuple(items), tuple(Outcome(tuple(o)) for o in outcomes))


def test_figures_by_hand():
    one = found(
        [offer(0.4, 0.9, 0.2, scores=(0.5, 0.6, 0.4)), offer(0.9)],
        [
            offer(0.6, 0.3, 0.5, 0.8, scores=(0.9, 0.1, 0.1, 0.1)),
            offer(0.7),
            offer(0.86),
        ],
        [offer(0.95, 0.1)],
        [offer(0.1)],
    )
    assert one.plain.mean == pytest.approx((0.4 + 0.6 + 0.95 + 0.1) / 4)
    assert one.oracle(3).mean == pytest.approx((0.9 + 0.6 + 0.95 + 0.1) / 4)
    assert one.oracle(6).mean == pytest.approx((0.9 + 0.8 + 0.95 + 0.1) / 4)
    assert one.selected.mean == pytest.approx((0.9 + 0.6 + 0.95 + 0.1) / 4)
    assert one.first_right == (1, 2)
    assert one.distinct == 0.5
    assert [o.clicks(0.85) for o in one.outcomes] == [2, 3, 1, 20]
    assert [o.actions(0.85) for o in one.outcomes] == [2, 3, 1, 20]
    assert [o.actions(0.8) for o in one.outcomes] == [2, 4, 1, 20]
    assert one.actions(0.75).mean == pytest.approx((2 + 4 + 1 + 20) / 4)


def test_keys_count_as_actions():
    one = found([offer(0.1, 0.2, 0.9), offer(0.1, 0.9), offer(0.9)])
    assert one.outcomes[0].actions(0.85) == 3
    assert one.outcomes[0].clicks(0.85) == 3
    assert one.outcomes[0].by_number(0.85) == 2
    late = found([offer(0.1), offer(0.1), offer(0.1), offer(0.1, 0.9)])
    assert late.outcomes[0].actions(0.85) == late.outcomes[0].by_number(0.85) == 5


def test_ambiguous_clicks_are_counted_apart():
    one = found(
        [offer(0.5, 0.6, 0.9), offer(0.9)],  # a key, or a second click
        [offer(0.6, 0.75), offer(0.8), offer(0.9)],  # right, yet below the target
        [offer(0.6, 0.65), offer(0.9)],  # no mask is right
        [offer(0.9, 0.1)],
    )
    assert one.ambiguous(0.85) == ((2 + 3) / 2, (2 + 3) / 2, 2)
    assert one.ambiguous(0.75) == ((2 + 2) / 2, (2 + 2) / 2, 2)
    assert one.by_number(0.75).mean == pytest.approx((2 + 2 + 2 + 1) / 4)
    four = found([offer(0.1, 0.2, 0.1, 0.9), *[offer(0.2)] * 5, offer(0.9)])
    assert four.ambiguous(0.85) == (7, 2, 1)
    assert np.isnan(found([offer(0.9)]).ambiguous(0.85)[0])


def test_thresholds_of_a_toy_model_are_judged(tmp_path):
    write_disks(tmp_path / "disks", images=2)
    chosen = folder_objects("disks", tmp_path, None)
    one = ambiguity(toy_segmenter(), tmp_path, chosen, clicks=3, target=1.0)
    assert len(one.outcomes) == len(chosen.objects)
    for outcome in one.outcomes:
        for each in outcome.offers:
            assert 1 <= len(each.ious) <= 4
            assert all(0 <= value <= 1 for value in (*each.ious, *each.scores))
    assert one.oracle(6).mean >= one.oracle(3).mean >= one.plain.mean
    again = ambiguity(toy_segmenter(), tmp_path, chosen, clicks=3, target=1.0)
    assert again.to_dict(1.0) == one.to_dict(1.0)
    other = ambiguity(toy_segmenter(), tmp_path, chosen, clicks=3, target=1.0, seed=1)
    assert other.to_dict(1.0) != one.to_dict(1.0)
    rows = rows_of(ambiguity_table([one], 1.0))
    assert rows[0]["Objects"] == str(len(chosen.objects))
    assert np.isfinite(float(rows[0]["Plain"].split()[0]))


def test_a_robot_goes_on_from_other_masks(tmp_path, monkeypatch):
    """What two keys gain must be worth them; what is clicked next belongs to it."""
    offered = iter(
        [
            offer(0.3, 0.35, 0.7),  # the second other: 0.4 for two keys
            offer(0.75, 0.8),  # 0.05 for a key
            offer(0.8, 0.83, 0.9),  # reached by two keys
        ]
    )
    chosen = []

    class Clicked:
        def __init__(self, *_):
            self.view = None

        def add_click(self, *_):
            return SimpleNamespace(mask=np.zeros((20, 20), bool))

        def alternatives(self, count):
            return count

        def choose(self, place):
            chosen.append(place)
            return SimpleNamespace(mask=np.ones((20, 20), bool))

    monkeypatch.setattr(module, "Session", Clicked)
    monkeypatch.setattr(module, "_offer", lambda *_: next(offered))
    seen = []

    def clicker(gt, mask, free):
        seen.append(bool(mask.any()))
        return Click(3, len(seen))

    robot = module._Robot(None, None, np.ones((20, 20), int), clicker, None)
    assert robot.go_on(20, 0.85) == (1 + 2) + 1 + (1 + 2)
    assert chosen == [2]
    assert seen == [False, True, False]


def test_wrong_first_masks_are_counted_apart():
    one = found([offer(0.5), offer(0.9)], [offer(0.9)], [offer(0.6)])
    outcomes = [each._replace(going_on=k) for k, each in enumerate(one.outcomes, 3)]
    one = replace(one, outcomes=tuple(outcomes))
    assert one.wrong_first(0.85) == ((2 + 20) / 2, (3 + 5) / 2, 2)
    assert one.going_on.mean == 4
    assert np.isnan(found([offer(0.9)]).wrong_first(0.85)[0])


def test_numbers_out_of_range(tmp_path):
    write_disks(tmp_path / "disks", images=1)
    chosen = folder_objects("disks", tmp_path, None)
    for options in ({"clicks": 0}, {"clicks": 21}, {"target": 0}, {"target": 1.1}):
        with pytest.raises(InputError, match="clicks must be from 1 to 20"):
            ambiguity(toy_segmenter(), tmp_path, chosen, **options)


def test_command(tmp_path, capsys):
    root, tiny = write_sets(tmp_path / "sets"), write_tiny(tmp_path)
    output = tmp_path / "out.json"
    arguments = ["ambiguity", tiny, "--root", root, "--set", "disks", "--max-clicks", 2]
    arguments += ["--subset", 2, "-o", output]
    assert main([str(each) for each in arguments]) == 0
    (row,) = rows_of(capsys.readouterr().out)
    data = json.loads(output.read_text())
    (one,) = data["results"]
    assert row["Plain"].startswith(f"{one['plain'][0]:.3f} ± ")
    assert len(one["results"]) == 2
    firsts = [each["offers"][0]["ious"][0] for each in one["results"]]
    assert one["plain"][0] == pytest.approx(np.mean(firsts))
    assert main([*map(str, arguments[:-1]), "no-such-folder/out.json"]) == 1
    assert "in a folder that exists" in capsys.readouterr().err
