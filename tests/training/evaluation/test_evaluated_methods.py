"""Predictors for the robot: classical methods, sessions."""

from __future__ import annotations

import numpy as np
import pytest

from _toy import toy_segmenter
from gpcis_training.evaluation import (
    SessionPredictor,
    create_peer,
    draw_objects,
    evaluate,
    run_robot,
)
from gpcis_training.evaluation.datasets import (
    ground_truth,
)
from gpcis_training.evaluation.peers import PEERS
from gpcis_training.evaluation.predictors import create_predictor
from napari_gpcis.errors import InputError, UnknownModelError
from training._folders import write_pair_of_disks


@pytest.fixture
def root(tmp_path):
    """Two images with two bright disks each, ids 3 and 7, the second one larger."""
    write_pair_of_disks(tmp_path / "disks")
    return tmp_path


@pytest.mark.parametrize("name", sorted(PEERS))
def test_peers_segment_disks_and_obey_clicks(root, name):
    result = evaluate(f"peer:{name}", root, "disks", target=None, progress=False)
    assert result.summary.noc[0.9].mean < 3
    assert result.summary.noic_steps == 0
    assert all(run.violations[-1] == 0 for run in result.runs)


@pytest.mark.parametrize("name", sorted(PEERS))
def test_peers_forget_the_object_before(root, name):
    item = draw_objects(root / "disks")[0]
    gt = ground_truth(root / "disks", item)
    image = np.where(gt[..., None] == 1, 220, 20).astype(np.uint8).repeat(3, axis=-1)
    peer = create_peer(name)
    runs = []
    for _ in range(2):
        peer.start(image, None)
        runs.append(run_robot(peer, gt, max_clicks=3, target=None))
    assert runs[0].ious == runs[1].ious
    assert runs[0].clicks == runs[1].clicks


@pytest.mark.parametrize("name", sorted(PEERS))
def test_peers_prepare_an_image_once_and_the_next_one_anew(root, name, monkeypatch):
    prepared = []
    kind = PEERS[name]
    prepare = kind._prepare
    monkeypatch.setattr(
        kind, "_prepare", lambda self, rgb: prepared.append(rgb) or prepare(self, rgb)
    )
    evaluate(f"peer:{name}", root, "disks", max_clicks=1, progress=False)
    assert len(prepared) == 2  # images, with two objects each
    assert not np.array_equal(*prepared)


@pytest.mark.parametrize("name", sorted(PEERS))
def test_peers_take_grey_images_and_negative_clicks_first(name):
    image = np.zeros((40, 30), dtype=np.uint16)
    image[10:30, 5:25] = 50_000
    peer = create_peer(name)
    peer.start(image, None)
    assert not peer.click(2, 2, False).any()
    mask = peer.click(20, 15, True)
    assert mask[20, 15]
    assert not mask[2, 2]


def test_unknown_methods():
    with pytest.raises(InputError, match="peer must be one of grabcut, random_walker"):
        create_predictor("peer:lasso")
    with pytest.raises(UnknownModelError, match="unknown model"):
        create_predictor("gpcis-nothing")


def test_session_predictor_starts_anew_with_the_view():
    predictor = SessionPredictor(toy_segmenter())
    with pytest.raises(RuntimeError, match="start must be called"):
        predictor.click(1, 1, True)
    image = np.zeros((300, 300, 3), np.uint8)
    predictor.start(image, (100, 100, 164, 164))
    seen = predictor.click(130, 130, True)
    assert not seen[:100].any()
    predictor.start(image, None)
    assert predictor.click(130, 130, True).sum() > 4 * seen.sum()
