"""The Gaussian process on superpixels: features, posterior, clicks, boxes."""

import numpy as np
import pytest
import torch

from napari_gpcis import Click, Segmenter
from napari_gpcis.checkpoints import ModelInfo
from napari_gpcis.errors import InputError
from napari_gpcis.inference.engine import FrameFeatures
from napari_gpcis.inference.image import prepare_image
from napari_gpcis.superpixels import SuperpixelGP, superpixels
from napari_gpcis.superpixels import superpixel_gp as module
from napari_gpcis.superpixels.cds import CDS, MEAN
from napari_gpcis.superpixels.connectivity import grid_labels
from napari_gpcis.superpixels.learned import ContentFeatures
from napari_gpcis.superpixels.region_features import region_features
from napari_gpcis.superpixels.weights import save_superpixels


class Places:
    """A network whose features are the places of its cells; remembers its frames."""

    def __init__(self, cells=64):
        self.cells, self.frames = cells, []

    def features(self, prepared, frame):
        self.frames.append(frame)
        sides = frame[2] - frame[0], frame[3] - frame[1]
        rows, cols = (
            frame[axis]
            + (np.arange(self.cells) + 0.5)
            * (frame[axis + 2] - frame[axis])
            / self.cells
            - 0.5
            for axis, side in enumerate(sides)
        )
        deep = np.stack(np.meshgrid(rows, cols, indexing="ij")).astype(np.float32)
        return FrameFeatures(deep / 100, np.zeros((3, self.cells, self.cells)))


def disks(shape=(120, 150), centres=((40, 40), (80, 110)), radius=22, seed=0):
    """Bright disks on a dark ground, with a little noise; and the disks."""
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    masks = [(rows - r) ** 2 + (cols - c) ** 2 <= radius**2 for r, c in centres]
    rng = np.random.default_rng(seed)
    image = rng.integers(20, 50, (*shape, 3), dtype=np.uint8)
    image[np.any(masks, axis=0)] += 150
    return image, masks


@pytest.fixture(scope="module")
def process():
    return SuperpixelGP(disks()[0], n=150)


def iou(one, two):
    return np.count_nonzero(one & two) / np.count_nonzero(one | two)


CLICKS = (
    Click(40, 40),
    Click(5, 80, positive=False),
    Click(40, 52),
    Click(40, 75, False),
)


# -- features --------------------------------------------------------------------------


def test_frames_join_without_a_seam():
    shape = 400, 330
    prepared = prepare_image(
        np.zeros(shape, np.uint8) + np.eye(400, 330, dtype=np.uint8)
    )
    labels = grid_labels(shape, (25, 21)) + 1
    network, seen = Places(), []
    found = region_features(prepared, labels, network, lambda *now: seen.append(now))
    assert found.cells.side == 4
    assert len(network.frames) == len(seen) == 4
    assert seen[-1] == (4, 4)
    # exact but for the half cell at the border of the plane
    rows, cols = (np.arange(1, n - 1) * 4 + 2 for n in found.cells.deep.shape[:2])
    inside = found.cells.deep[1:-1, 1:-1].astype(float) * 100
    assert np.abs(inside[..., 0] - rows[:, None]).max() < 0.2
    assert np.abs(inside[..., 1] - cols).max() < 0.2
    middle = found.areas > 0
    assert np.abs(found.deep * 100 - found.centres)[middle].max() < 1.1


def test_means_are_those_of_the_pixels(monkeypatch):
    monkeypatch.setattr("napari_gpcis.superpixels.region_features._STRIP", 700)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)
    labels = rng.integers(0, 12, (9, 9)).repeat(8, 0).repeat(10, 1)[:70]
    labels[labels == 5] = 6  # an id that no pixel has
    found = region_features(prepare_image(image), labels)
    for label in set(range(12)) - {5}:
        pixels = labels == label
        assert found.areas[label] == pixels.sum()
        np.testing.assert_allclose(
            found.colour[label], image[pixels].mean(axis=0) / 255, atol=1e-5
        )
        np.testing.assert_allclose(found.centres[label], np.argwhere(pixels).mean(0))
    assert found.areas[5] == 0
    pairs = set()
    for one, two in ((labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])):
        across = np.sort(np.stack([one, two])[:, one != two], axis=0)
        pairs |= set(map(tuple, across.T.tolist()))
    assert set(map(tuple, np.stack(found.borders).T.tolist())) == pairs


def test_features_of_the_model_are_used():
    segmenter = Segmenter.from_pretrained("gpcis-efficientnet-lite0", "cpu", exact=True)
    image = disks((96, 96), ((48, 48),))[0]
    found = SuperpixelGP(image, segmenter, n=36).features
    assert found.deep.shape[1] == 32
    lengths = np.linalg.norm(found.deep[found.areas > 0], axis=1)
    assert lengths.max() <= 1.001
    assert lengths.min() > 0.3


def test_contents_of_a_network_of_superpixels_are_used(tmp_path):
    torch.manual_seed(0)
    network = CDS(8, 4).eval()
    path = tmp_path / "tiny.safetensors"
    info = ModelInfo("tiny", "cds", {"width": 8, "content": 4})
    save_superpixels(path, network, info, half=False)
    source = ContentFeatures(str(path))
    image = disks((256, 256), ((128, 128),), radius=60)[0]
    prepared = prepare_image(image)
    found = source.features(prepared, (0, 0, 256, 256))
    rgb = torch.from_numpy(prepared.read(slice(None), slice(None)))
    normalised = (rgb - torch.tensor(MEAN)[:, None, None])[None]
    with torch.no_grad():
        # the overview is the plane itself but for its size
        attention = network.gate(network.encoder(normalised))
        whole = network.encoder(normalised) * (1 - attention)
    expected = torch.nn.functional.avg_pool2d(whole, 4)[0].numpy()
    expected /= np.linalg.norm(expected, axis=0)
    assert found.deep.shape == (4, 64, 64)
    assert (found.deep * expected).sum(axis=0).min() > 0.98
    process = SuperpixelGP(image, source, n=200)
    assert process.features.deep.shape[1] == 4
    clicks = [Click(128, 128), Click(30, 30, positive=False)]
    assert process.predict(clicks).mask()[128, 128]


# -- posterior -------------------------------------------------------------------------


def dense(process, clicks):
    """Return the posterior mean of superpixels, by plain NumPy in one go."""
    found, rgb = process.features, process._prepared.read(slice(None), slice(None))
    places = np.array([click.pixel for click in clicks])
    regions = found.deep, found.colour, found.centres
    clicked = (
        found.cells.deep_at(*places.T),
        np.array(
            [rgb[:, r - 1 : r + 2, c - 1 : c + 2].mean((1, 2)) for r, c in places]
        ),
        places,
    )
    lengths = module.DEEP, module.COLOUR, module.REACH * found.side

    def kernel(one, two):
        deep, colour, place = (
            np.exp(-(((a[:, None].astype(float) - b[None]) / length) ** 2).sum(-1) / 2)
            for a, b, length in zip(one, two, lengths, strict=True)
        )
        if found.deep.shape[1] == 0:
            return place * colour
        return place * (deep + module.COLOUR_WEIGHT * colour)

    signs = np.array([1 if click.positive else -1 for click in clicks])
    noise = module.NOISE * np.eye(len(clicks))
    residual = module.TARGET * signs - module.PRIOR
    weights = np.linalg.solve(kernel(clicked, clicked) + noise, residual)
    return module.PRIOR + kernel(regions, clicked) @ weights


@pytest.mark.parametrize("network", [None, Places()], ids=["colour", "deep"])
def test_the_posterior_is_that_of_the_formula(network):
    process = SuperpixelGP(disks()[0], network, n=150)
    found = process.predict(CLICKS)
    logits = np.log(found.regions / (1 - found.regions))
    free = process.features.areas > 0
    free[[process.labels[click.pixel] for click in CLICKS]] = False
    np.testing.assert_allclose(
        logits[free], dense(process, CLICKS)[free], atol=2e-4, rtol=1e-4
    )
    assert (found.variances[free] > 0).all()
    assert (found.variances[free] < (1 if network is None else 1.5)).all()


def test_a_prediction_depends_on_its_clicks_alone(process):
    fresh = SuperpixelGP(disks()[0], n=150)
    for clicks in (CLICKS, CLICKS[:1], CLICKS[1::-1], CLICKS):
        process.predict(clicks)
    np.testing.assert_allclose(
        process.predict(CLICKS).regions, fresh.predict(CLICKS).regions, atol=1e-6
    )


def test_a_disk_is_found_and_the_other_only_if_wanted(process):
    one, two = disks()[1]
    found = process.predict(CLICKS)
    assert iou(found.mask(), one) > 0.8
    wide = Click(40, 40), Click(5, 80, positive=False), Click(80, 110)
    assert iou(process.predict(wide).mask(), one | two) > 0.75
    alike = process.predict((*wide, Click(60, 75, positive=False)), everywhere=True)
    assert (alike.mask() & two).any()


def test_pieces_without_a_click_are_left_out():
    image, (one, two) = disks(centres=((40, 40), (40, 90)))
    process = SuperpixelGP(image, n=150)
    clicks = Click(40, 40), Click(10, 65, positive=False)
    joined = process.predict(clicks)
    everywhere = process.predict(clicks, everywhere=True)
    assert np.array_equal(joined.regions, everywhere.regions)
    assert not (joined.mask() & two).any()
    assert iou(everywhere.mask() & two, two) > 0.5
    assert iou(joined.mask(), one) > 0.7
    none = process.predict([Click(40, 40, positive=False)])
    assert not none.mask().any()


# -- clicks and boxes ------------------------------------------------------------------


@pytest.mark.parametrize("refine", [False, True])
def test_every_click_is_obeyed(process, refine):
    rng = np.random.default_rng(1)
    for _ in range(10):
        clicks = [
            Click(int(row), int(col), bool(sign))
            for row, col, sign in zip(
                rng.integers(20, 60, 12),
                rng.integers(20, 60, 12),
                rng.integers(0, 2, 12),
                strict=True,
            )
        ]
        mask = process.predict(clicks).mask(refine=refine)
        wanted = {click.pixel: click.positive for click in clicks}  # the last counts
        assert all(mask[pixel] == sign for pixel, sign in wanted.items())


def test_a_superpixel_with_both_signs_is_split_by_pixels():
    image, masks = disks()
    labels = grid_labels(image.shape[:2], (3, 3))
    process = SuperpixelGP(image, labels=labels)
    clicks = Click(40, 45), Click(42, 90, positive=False)
    assert labels[40, 45] != labels[42, 90]
    assert not process.predict(clicks).split.any()
    clicks = Click(45, 56), Click(45, 70, positive=False)
    assert labels[45, 56] == labels[45, 70]
    found = process.predict(clicks)
    assert np.flatnonzero(found.split) == [labels[45, 56]]
    mask, inside = found.mask(), labels == labels[45, 56]
    assert mask[45, 56]
    assert not mask[45, 70]
    assert iou(mask & inside, (masks[0] | masks[1]) & inside) > 0.8


@pytest.mark.parametrize("refine", [False, True])
def test_a_box_has_what_the_plane_has(process, refine):
    clicks = (*CLICKS, Click(44, 60, positive=False), Click(43, 60))
    found = process.predict(clicks)
    whole, values = found.mask(refine=refine), found.probability(refine=refine)
    for box in (
        (0, 0, 120, 150),
        (37, 41, 44, 61),
        (44, 60, 45, 61),
        (100, 9, 200, 30),
    ):
        part = np.s_[box[0] : box[2], box[1] : box[3]]
        assert np.array_equal(found.mask(box, refine=refine), whole[part])
        np.testing.assert_array_equal(
            found.probability(box, refine=refine), values[part]
        )


def test_refining_changes_unsure_superpixels_alone_and_helps():
    image, (disk, _) = disks()
    labels = grid_labels(image.shape[:2], (12, 15))  # borders of no object
    process = SuperpixelGP(image, labels=labels)
    found = process.predict(CLICKS)
    rough, fine = found.mask(), found.mask(refine=True)
    changed = (rough != fine) | (found.probability() != found.probability(refine=True))
    assert changed.any()
    assert found.unsure[np.unique(labels[changed])].all()
    assert not found.unsure.all()
    assert iou(fine, disk) > iou(rough, disk) + 0.05


def test_an_answer_is_the_callers_to_change(process):
    found = process.predict(CLICKS)
    before = found.mask()
    found.mask()[:] = True
    found.probability()[:] = 2
    assert np.array_equal(found.mask(), before)


# -- bad input -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((9, 9), int), "labels must be integers of the image's shape"),
        (np.zeros((30, 40)), "labels must be integers of the image's shape"),
        (np.full((30, 40), -1), "labels must be ids from 0"),
        (np.full((30, 40), 9999), "at most the 1200 pixels"),
    ],
)
def test_labels_that_are_no_superpixels(labels, message):
    with pytest.raises(InputError, match=message):
        SuperpixelGP(np.eye(30, 40), labels=labels)


def test_clicks_and_boxes_must_be_on_the_plane(process):
    with pytest.raises(InputError, match="at least one click, got none"):
        process.predict([])
    with pytest.raises(InputError, match="a click must lie inside"):
        process.predict([Click(500, 2)])
    with pytest.raises(InputError, match="box"):
        process.predict(CLICKS).mask((500, 500, 600, 600))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (7, 3)])
def test_small_and_constant_planes(shape):
    process = SuperpixelGP(np.zeros(shape, np.uint8), n=min(4, shape[0] * shape[1]))
    found = process.predict([Click(0, 0)])
    assert found.mask()[0, 0]
    assert np.isfinite(found.probability(refine=True)).all()


def test_superpixels_that_are_given_are_used():
    image = disks()[0]
    labels = superpixels(image, 60)
    assert SuperpixelGP(image, labels=labels).labels is labels
