"""The CDS network."""

import numpy as np
import pytest
import torch

from napari_gpcis.superpixels.cds import CDS, count_parameters


def image(height=48, width=64, batch=1):
    torch.manual_seed(3)
    return torch.rand(batch, 3, height, width) - 0.43


def test_the_published_network_has_its_parameters():
    assert count_parameters(CDS()) == 396_649
    both = sum(p.numel() for p in CDS(auxiliary=True).parameters())
    assert both == 396_649 + 252_352
    assert count_parameters(CDS(auxiliary=True)) == 396_649


def test_the_lite_network_has_about_a_tenth_of_a_million():
    assert count_parameters(CDS(32, 16)) == 100_793


@pytest.mark.parametrize("strict", [False, True])
def test_associations_sum_to_one(strict):
    association = CDS(8, 4, strict_reference=strict).eval()(image())
    assert association.shape == (1, 9, 48, 64)
    torch.testing.assert_close(association.sum(dim=1), torch.ones(1, 48, 64))
    assert (association[:, 0, :16].sum() > 0) == strict


def test_content_and_style_are_the_features():
    network = CDS(8, 4).eval()
    features = network.encoder(image(batch=2))
    attention = network.gate(features)
    content, style = network._separate(features)
    torch.testing.assert_close(content + features * attention, features)
    torch.testing.assert_close(style, (features * attention).mean(dim=(2, 3)))
    assert attention.min() > 0
    assert attention.max() < 1


def test_without_a_gate_all_is_content():
    network = CDS(8, 4, gate=False).eval()
    features = network.encoder(image())
    content, style = network._separate(features)
    assert torch.equal(content, features)
    assert not style.any()


def test_the_grid_may_be_chosen():
    association = CDS(8, 4).eval()(image(), grid=(2, 5))
    assert association.shape == (1, 9, 32, 80)


def test_both_modalities_share_gate_decoder_and_head():
    network = CDS(8, 4, auxiliary=True).eval()
    network.auxiliary_encoder.load_state_dict(network.encoder.state_dict())
    pair = network.forward_pair(image(), image())
    torch.testing.assert_close(pair.association, pair.auxiliary_association)
    torch.testing.assert_close(pair.association, network(image()))
    other = network.forward_pair(image(), -image())
    torch.testing.assert_close(other.association, pair.association)
    assert not torch.allclose(other.auxiliary_association, pair.association)


@pytest.mark.parametrize("own", [True, False])
def test_statistics_of_the_decoder_may_be_those_of_the_image(own):
    network = CDS(8, 4, auxiliary=True, own_statistics=own).train()
    layer = network.decoder.stages[0].fuse[1]
    seen = []
    layer.register_forward_hook(lambda *_: seen.append(layer.running_mean.clone()))
    network.forward_pair(image(batch=2), 3 * image(batch=2))
    assert bool(seen[0].any()) == (not own)
    assert seen[1].any()


def test_it_is_deterministic():
    network = CDS(8, 4).eval()
    assert torch.equal(network(image()), network(image()))


def test_initial_weights_are_kaiming_normal():
    torch.manual_seed(0)
    convolution = CDS().encoder.levels[1][0][0]
    expected = np.sqrt(2 / (1 + 0.1**2) / (64 * 9))
    assert abs(convolution.weight.std().item() / expected - 1) < 0.02
    assert convolution.bias is None
