"""SegFormer-B0 against the implementation in transformers."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from gpcis_training.initial_weights import load_initial_weights
from napari_gpcis.backbones.segformer_b0 import SegFormerB0
from napari_gpcis.model.gpcis import GPCIS, build_model

_DECODER = {
    "linear_fuse": "fuse",
    "batch_norm": "norm",
    "classifier": "predict",
    **{f"linear_c.{i}.proj": f"project.{i}" for i in range(4)},
}


@pytest.fixture(scope="module")
def reference() -> SegformerForSemanticSegmentation:
    """A network of their code with random weights and 96 classes."""
    torch.manual_seed(5)
    network = SegformerForSemanticSegmentation(SegformerConfig(num_labels=96))
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_normal_(layer.weight, gain=1.4)
        elif isinstance(layer, nn.LayerNorm | nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
        else:
            continue
        if layer.bias is not None:
            nn.init.normal_(layer.bias, std=0.2)
    norm = network.decode_head.batch_norm
    nn.init.normal_(norm.running_mean, std=0.2)
    nn.init.uniform_(norm.running_var, 0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def model(
    reference: SegformerForSemanticSegmentation,
    tmp_path_factory: pytest.TempPathFactory,
) -> GPCIS:
    """Our network with the weights of the reference, by the file that it writes."""
    folder = tmp_path_factory.mktemp("reference")
    reference.save_pretrained(folder)
    model = build_model("segformer_b0")
    load_initial_weights(model, folder / "model.safetensors")
    written = load_file(folder / "model.safetensors")
    for theirs, ours in _DECODER.items():
        layer = model.get_submodule(f"model.decoder.{ours}")
        prefix = f"decode_head.{theirs}."
        layer.load_state_dict(
            {
                key.removeprefix(prefix): value
                for key, value in written.items()
                if key.startswith(prefix)
            }
        )
    return model.eval()


@pytest.mark.parametrize("size", [(64, 96), (70, 45), (128, 128)])
def test_equals_transformers_without_clicks(
    model: GPCIS,
    reference: SegformerForSemanticSegmentation,
    size: tuple[int, int],
) -> None:
    network = model.model
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        expected = reference(network.normalise(image), output_hidden_states=True)
        c1, finest = network.encode(image)
        features = network.fuse((c1, finest), torch.zeros_like(c1))
        maps = c1
        for stage, wanted in zip(
            network.backbone.stages, expected.hidden_states, strict=True
        ):
            maps = c1 if stage is network.backbone.stages[0] else stage(maps)
            torch.testing.assert_close(maps, wanted, rtol=0, atol=1e-4)
    assert features.std() > 0.1
    torch.testing.assert_close(features, expected.logits, rtol=0, atol=1e-4)


def test_clicks_enter_behind_stage_1_and_do_not_reach_the_decoder_directly(
    model: GPCIS,
) -> None:
    network = model.model
    x = torch.rand(1, 3, 64, 64)
    guidance = torch.randn(1, 32, 16, 16)
    with torch.no_grad():
        c1, finest = network.encode(x)
        maps, coarser = c1 + guidance, []
        for stage in network.backbone.stages[1:]:
            maps = stage(maps)
            coarser.append(maps)
        expected = _published_decoder(network, [c1, *coarser])
        features = network.fuse((c1, finest), guidance)
        without = network.fuse((c1, finest), torch.zeros_like(guidance))
    assert not torch.allclose(features, without, atol=1e-2)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-4)


def _published_decoder(network: SegFormerB0, stages: list[Tensor]) -> Tensor:
    """Resize first, concatenate stages 4 to 1, then convolve: as described."""
    decoder = network.decoder
    size = stages[0].shape[2:]
    resized = [
        nn.functional.interpolate(
            decoder.project[index](maps.movedim(1, -1)).movedim(-1, 1),
            size=size,
            mode="bilinear",
            align_corners=False,
        )
        for index, maps in enumerate(stages)
    ]
    fused = decoder.fuse(torch.cat(resized[::-1], dim=1))
    return decoder.predict(decoder.norm(fused).relu())


def test_number_of_parameters() -> None:
    # FocalClick's network has 3,740,773: 16,483 of them are its refiner, 5,089 a
    # Conv1S that it does not use, and 257 its classifier, here 96 features wide.
    model = build_model("segformer_b0")
    gaussian_process = (99 + 1) * 128 + (99 + 1) * 96 + 97 + 128 + 1 + 96 + 1
    published = 3_740_773 - 16_483 - 5_089 - 257 + 96 * 257
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == published + gaussian_process


def test_blocks_are_left_out_at_rising_rates_in_training_only() -> None:
    torch.manual_seed(0)
    network = SegFormerB0()
    blocks = [block for stage in network.backbone.stages for block in stage.blocks]
    rates = [block.drop_path for block in blocks]
    assert rates == pytest.approx([0.1 * i / 7 for i in range(8)])
    block, tokens = blocks[-1], torch.randn(1000, 1, 256)
    nn.init.zeros_(block.mlp.fc2.weight)  # attention alone remains
    with torch.no_grad():
        attention = block.attn(block.norm1(tokens), (1, 1))
        trained = block(tokens, (1, 1)) - tokens
        predicted = block.eval()(tokens, (1, 1)) - tokens
    torch.testing.assert_close(predicted, attention, rtol=0, atol=1e-5)
    left_out = (trained == 0).all(dim=2).squeeze(1)
    assert 0.05 < left_out.float().mean() < 0.15
    kept = attention[~left_out] / 0.9
    torch.testing.assert_close(trained[~left_out], kept, rtol=0, atol=1e-5)
