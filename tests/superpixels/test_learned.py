"""Superpixels by a network: tiles without seams, files, kinds of images."""

import copy

import numpy as np
import pytest
import torch
from skimage.measure import label as connected_parts

from napari_gpcis.checkpoints import ModelInfo
from napari_gpcis.errors import CheckpointError
from napari_gpcis.inference.image import prepare_image
from napari_gpcis.superpixels import learned, methods, superpixels
from napari_gpcis.superpixels.association import hard_labels
from napari_gpcis.superpixels.cds import CDS, MEAN, Gate, fused
from napari_gpcis.superpixels.methods import connected
from napari_gpcis.superpixels.weights import (
    find_weights,
    load_superpixels,
    save_superpixels,
)


def network(seed=0, **options):
    """A small network whose answers depend on the image."""
    torch.manual_seed(seed)
    made = CDS(8, 4, **options)
    with torch.no_grad():
        made(torch.randn(2, 3, 96, 96) / 4)  # statistics of batch norm
        made.head.weight *= 5
    return made.eval()


@pytest.fixture
def checkpoint(tmp_path):
    info = ModelInfo("tiny", "cds", {"width": 8, "content": 4})
    path = tmp_path / "tiny.safetensors"
    save_superpixels(path, network(), info, half=False)
    return str(path)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("gate", [True, False])
def test_tiles_give_what_the_whole_gives(monkeypatch, gate):
    made = network(gate=gate)
    image = torch.randn(3, 16 * 23, 16 * 30) / 4
    with torch.no_grad():
        attention = None
        if gate:
            attention = made.gate(made.encoder(image[None]))
        whole = hard_labels(made(image[None], attention=attention))[0]
    monkeypatch.setattr(learned, "TILE", 8)
    monkeypatch.setattr(learned, "_attention", lambda *_: attention)
    tiled = learned.network_labels(made, image)
    assert np.array_equal(tiled, whole.numpy())


def test_one_tile_is_the_network(monkeypatch):
    made = network()
    image = torch.randn(3, 16 * 9, 16 * 12) / 4
    with torch.no_grad():
        whole = hard_labels(made(image[None]))[0]
    assert np.array_equal(learned.network_labels(made, image), whole.numpy())


def test_a_fused_network_is_the_same():
    made, image = network(), torch.randn(1, 3, 64, 96) / 4
    faster = fused(copy.deepcopy(made))
    assert not any(
        isinstance(one, torch.nn.BatchNorm2d) for one in faster.encoder.modules()
    )
    with torch.no_grad():
        torch.testing.assert_close(faster(image), made(image), atol=1e-5, rtol=1e-4)


def test_the_attention_of_tiles_is_that_of_the_whole(monkeypatch):
    made = network()
    image = torch.randn(3, 16 * 24, 16 * 24) / 4
    monkeypatch.setattr(learned, "TILE", 8)
    with torch.no_grad():
        tiles = list(learned._tiles((24, 24)))
        found = learned._attention(made, image, tiles)
        whole = made.gate(made.encoder(image[None]))
    assert len(tiles) == 9
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)


def test_a_plane_in_tiles_is_the_plane_in_one(checkpoint, monkeypatch):
    image, gates = noise(200, 260, 3), []
    whole = superpixels(image, 500, method=checkpoint)
    monkeypatch.setattr(learned, "TILE", 8)
    monkeypatch.setattr(learned, "_STRIP", 4000)
    of_mean = Gate.of_mean
    monkeypatch.setattr(
        Gate, "of_mean", lambda *given: gates.append(1) or of_mean(*given)
    )
    tiled = superpixels(image, 500, method=checkpoint)
    assert len(gates) == 1
    assert (tiled == whole).mean() > 0.999


def test_a_large_plane_is_connected_before_it_is_enlarged(checkpoint, monkeypatch):
    image, sizes = noise(30, 40, 3).repeat(12, axis=0).repeat(13, axis=1), []
    monkeypatch.setattr(
        methods,
        "connected",
        lambda labels, n: sizes.append(labels.shape) or connected(labels, n),
    )
    labels = superpixels(image, 12, method=checkpoint)
    assert sizes == [(48, 64)]
    assert labels.shape == (360, 520)
    assert labels.dtype == np.int32
    parts = connected_parts(labels, connectivity=1)
    assert parts.max() == labels.max() == len(np.unique(labels))
    assert abs(int(labels.max()) - 12) <= 1
    firsts = np.unique(labels, return_index=True)[1]
    assert (np.diff(firsts) > 0).all()


def test_tiles_cover_each_cell_once():
    counts = np.zeros((70, 33), int)
    for tile in learned._tiles((70, 33)):
        counts[tile.core] += 1
        for core, seen, cells in zip(tile.core, tile.seen, (70, 33), strict=True):
            assert seen.start == max(core.start - 6, 0)
            assert seen.stop == min(core.stop + 6, cells)
    assert (counts == 1).all()


def test_the_image_is_resized_to_sixteen_pixels_a_cell():
    prepared = prepare_image(np.full((50, 70, 3), 255, np.uint8))
    image = learned.to_network_grid(prepared, (3, 4))
    expected = (1 - torch.tensor(MEAN))[:, None, None].expand(3, 48, 64)
    torch.testing.assert_close(image, expected)


def test_resizing_in_strips_leaves_no_trace(monkeypatch):
    prepared = prepare_image(noise(100, 130, 3))
    whole = learned.to_network_grid(prepared, (4, 5))
    monkeypatch.setattr(learned, "_STRIP", 700)
    strips = learned.to_network_grid(prepared, (4, 5))
    torch.testing.assert_close(strips, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("n", [1, 7, 40, 400])
@pytest.mark.parametrize("shape", [(70, 90, 3), (70, 90), (33, 200)])
def test_superpixels_of_a_checkpoint(checkpoint, n, shape):
    labels = superpixels(noise(*shape), n, method=checkpoint)
    assert labels.shape == shape[:2]
    assert abs(int(labels.max()) - n) <= 0.1 * n


def test_the_same_image_gives_the_same_superpixels(checkpoint):
    image = noise(70, 90, 3)
    first = superpixels(image, 40, method=checkpoint)
    assert np.array_equal(first, superpixels(image, 40, method=checkpoint))


def test_float16_weights_are_half_as_large(tmp_path):
    info = ModelInfo("tiny", "cds", {"width": 8, "content": 4})
    half, full = tmp_path / "half.safetensors", tmp_path / "full.safetensors"
    save_superpixels(half, network(auxiliary=True), info)
    save_superpixels(full, network(), info, half=False)
    assert half.stat().st_size < 0.7 * full.stat().st_size
    loaded, found = load_superpixels(half)
    assert found == info
    assert loaded.auxiliary_encoder is None
    assert not loaded.training


def test_a_checkpoint_of_clicks_is_no_superpixels():
    from napari_gpcis.checkpoints import find_checkpoint

    with pytest.raises(CheckpointError, match="is a mobilenet_v2 network, not cds"):
        load_superpixels(find_checkpoint("gpcis-mobilenet-v2"))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"width": 9, "content": 4}, "does not fit"), ({"depth": 3}, "cannot be built")],
)
def test_a_checkpoint_must_fit_its_network(tmp_path, options, message):
    path = tmp_path / "odd.safetensors"
    save_superpixels(path, network(), ModelInfo("odd", "cds", options))
    with pytest.raises(CheckpointError, match=message):
        load_superpixels(path)


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        superpixels(noise(20, 20), 5, method=str(tmp_path / "none.safetensors"))
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"x" * 200)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        superpixels(noise(20, 20), 5, method=str(bad))


def test_weights_that_are_not_here(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_GPCIS_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match="the weights of cds are not here"):
        find_weights("cds")
