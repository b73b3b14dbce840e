"""The models that can be downloaded: where they are, and what they are.

To add one, measure its size and SHA-256 and write a `PublishedModel`. The weights are
those of the network that its description names, in the form ``torch.save`` writes;
conversion checks every key and shape against that network.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_gpcis.checkpoints.download import RemoteFile
from napari_gpcis.checkpoints.info import InferenceSettings, ModelInfo

_SBD_SHA256 = "1b59a4c8b7f1ea300abe8add185f8ab98beeeac01bd80bb2a2d029200195c3c9"
_SBD_PATH = "7f64cba5ca2190ead769be843242fd88fcf5b7b6/checkpoints/GPCIS_Resnet50.pth"
_SBD_REPOSITORY = "zmhhmz/GPCIS_CVPR2023"


@dataclass(frozen=True)
class PublishedModel:
    """A model that others publish.

    Parameters
    ----------
    info
        What the converted checkpoint says about itself.
    file
        Where its weights are.
    """

    info: ModelInfo
    file: RemoteFile

    @property
    def name(self) -> str:
        """What a user types."""
        return self.info.name


_SBD = PublishedModel(
    info=ModelInfo(
        name="gpcis-resnet50-sbd",
        architecture="resnet50",
        inference=InferenceSettings(
            infer_size=384,
            epsilon2=1e-7,
            gp_stride=1,
            expansion=1.4,
            crop_threshold=0.49,
            mask_threshold=0.5,
            antialias=False,
        ),
        licence="MIT (Minghao Zhou and others, 2023)",
        training_data="SBD (8,498 photographs), from ImageNet weights",
        description=(
            "The paper's network with its authors' weights, run as published: for "
            "comparing with published figures, and everyday photographs. Slow "
            "without a GPU."
        ),
        extra={
            "source": f"github.com/{_SBD_REPOSITORY}",
            "source_sha256": _SBD_SHA256,
            "fingerprint": _SBD_SHA256[:16],
        },
    ),
    file=RemoteFile(
        name="GPCIS_Resnet50.pth",
        urls=(
            f"https://github.com/{_SBD_REPOSITORY}/raw/{_SBD_PATH}",
            f"https://media.githubusercontent.com/media/{_SBD_REPOSITORY}/{_SBD_PATH}",
        ),
        size=157_934_784,
        sha256=_SBD_SHA256,
    ),
)

PUBLISHED = {model.name: model for model in (_SBD,)}
"""All models that can be downloaded, by name."""
