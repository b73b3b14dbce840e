"""HRNet-W18-small-v2 with OCR head, computed from the names in a state dict.

It builds no modules: what is connected with what is read from the published names
alone (``stage3.1.fuse_layers.2.0.1.0``: stage 3, module 1, to branch 2 from branch 0,
second convolution). So it shares neither wiring nor code with the network it checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


class HRNetOracle:
    """The network of a state dict in evaluation mode, names as in FocalClick."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = state

    def convolve(self, x: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        weight = self.state[f"{conv}.weight"]
        bias = self.state.get(f"{conv}.bias")
        x = functional.conv2d(x, weight, bias, stride, weight.shape[-1] // 2)
        names = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(self.state[f"{norm}.{n}"] for n in names))

    def residual(self, x: Tensor, name: str, convolutions: int) -> Tensor:
        out = x
        for i in range(1, convolutions + 1):
            out = self.convolve(out, f"{name}.conv{i}", f"{name}.bn{i}")
            out = out.relu() if i < convolutions else out
        if f"{name}.downsample.0.weight" in self.state:
            x = self.convolve(x, f"{name}.downsample.0", f"{name}.downsample.1")
        return (out + x).relu()

    def exchange(self, x: Tensor, name: str, source: int, target: int) -> Tensor:
        if source >= target:
            return x if source == target else self.convolve(x, f"{name}.0", f"{name}.1")
        for i in range(target - source):
            x = self.convolve(x, f"{name}.{i}.0", f"{name}.{i}.1", stride=2)
            x = x.relu() if i < target - source - 1 else x
        return x

    def module(self, branches: list[Tensor], name: str) -> list[Tensor]:
        for block in range(2):
            branches = [
                self.residual(x, f"{name}.branches.{i}.{block}", 2)
                for i, x in enumerate(branches)
            ]
        fused = []
        for target, own in enumerate(branches):
            parts = [
                _resize(
                    self.exchange(
                        x, f"{name}.fuse_layers.{target}.{source}", source, target
                    ),
                    own,
                )
                for source, x in enumerate(branches)
            ]
            fused.append(torch.stack(parts).sum(0).relu())
        return fused

    def branches(self, image: Tensor, guidance: Tensor) -> list[list[Tensor]]:
        """Return the branches after stages 2, 3 and 4."""
        x = self.convolve(image, "conv1", "bn1", 2).relu() + guidance
        x = self.convolve(x, "conv2", "bn2", 2).relu()
        for block in range(2):
            x = self.residual(x, f"layer1.{block}", 3)
        first = self.convolve(x, "transition1.0.0", "transition1.0.1")
        name = "transition1.1.0"
        second = self.convolve(x, f"{name}.0", f"{name}.1", stride=2)
        branches, stages = [first.relu(), second.relu()], []
        for stage, modules in ((2, 1), (3, 3), (4, 2)):
            if stage > 2:
                name = f"transition{stage - 1}.{stage - 1}.0"
                new = self.convolve(branches[-1], f"{name}.0", f"{name}.1", stride=2)
                branches = [*branches, new.relu()]
            for index in range(modules):
                branches = self.module(branches, f"stage{stage}.{index}")
            stages.append(branches)
        return stages

    def features(self, branches: list[Tensor]) -> Tensor:
        """Return the output of ``cls_head``."""
        feats = torch.cat([_resize(x, branches[0]) for x in branches], dim=1)
        aux = self.convolve(feats, "aux_head.0", "aux_head.1").relu()
        aux = functional.conv2d(
            aux, self.state["aux_head.3.weight"], self.state["aux_head.3.bias"]
        )
        pixels = self.convolve(feats, "conv3x3_ocr.0", "conv3x3_ocr.1").relu()
        mass = aux.exp()
        region = (pixels * mass).sum((2, 3), keepdim=True)
        region = region / mass.sum((2, 3), keepdim=True)
        context = self._attend(pixels, region)
        head = "ocr_distri_head.conv_bn_dropout"
        joined = torch.cat([context, pixels], dim=1)
        joined = self.convolve(joined, f"{head}.0", f"{head}.1.0").relu()
        return functional.conv2d(
            joined, self.state["cls_head.weight"], self.state["cls_head.bias"]
        )

    def _attend(self, pixels: Tensor, region: Tensor) -> Tensor:
        """Attend from pixels to regions, the number of regions left open."""
        query, key = (
            self._chain(pixels, "f_pixel", 2),
            self._chain(region, "f_object", 2),
        )
        value = self._chain(region, "f_down", 1)
        similarity = query.flatten(2).transpose(1, 2) @ key.flatten(2) * 48**-0.5
        context = similarity.softmax(-1) @ value.flatten(2).transpose(1, 2)
        maps = context.transpose(1, 2).unflatten(2, pixels.shape[2:])
        return self._chain(maps, "f_up", 1)

    def _chain(self, x: Tensor, name: str, length: int) -> Tensor:
        name = f"ocr_distri_head.object_context_block.{name}"
        for index in range(length):
            x = self.convolve(x, f"{name}.{2 * index}", f"{name}.{2 * index + 1}.0")
            x = x.relu()
        return x


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(
        x, size=like.shape[2:], mode="bilinear", align_corners=True
    )
