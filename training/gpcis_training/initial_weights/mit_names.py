"""Parameter names of MiT-B0: the two published namings, brought to ours."""

from __future__ import annotations

import re

_NVIDIA = re.compile(r"(patch_embed|block|norm)([1-4])\.(.*)")
_NVIDIA_PARTS = {"patch_embed": "embed", "block": "blocks", "norm": "norm"}

_TRANSFORMERS = re.compile(
    r"(?:segformer\.)?(?:encoder\.)?(patch_embeddings|block|layer_norm)\.(\d)\.(.*)"
)
_TRANSFORMERS_PARTS = {
    "patch_embeddings": "embed",
    "block": "blocks",
    "layer_norm": "norm",
}
_TRANSFORMERS_LAYERS = (
    ("attention.self.query.", "attn.q."),
    ("attention.self.key.", "attn.kv."),  # values are joined to the keys
    ("attention.self.sr.", "attn.sr."),
    ("attention.self.layer_norm.", "attn.norm."),
    ("attention.output.dense.", "attn.proj."),
    ("layer_norm_1.", "norm1."),
    ("layer_norm_2.", "norm2."),
    ("mlp.dense1.", "mlp.fc1."),
    ("mlp.dense2.", "mlp.fc2."),
    ("mlp.dwconv.dwconv.", "mlp.dwconv."),
)


def nvidia_name(key: str) -> str | None:
    """Return our name in the encoder for one of NVIDIA's.

    Parameters
    ----------
    key
        For instance ``block1.0.mlp.dwconv.dwconv.weight``.

    Returns
    -------
    str or None
        ``None`` if the key is no part of the encoder.
    """
    match = _NVIDIA.fullmatch(key)
    if match is None:
        return None
    rest = match[3].replace("dwconv.dwconv.", "dwconv.")
    return f"stages.{int(match[2]) - 1}.{_NVIDIA_PARTS[match[1]]}.{rest}"


def transformers_name(key: str) -> str | None:
    """Return our name in the encoder for one of transformers.

    Parameters
    ----------
    key
        For instance ``segformer.encoder.block.0.0.mlp.dense1.weight``. The layers of
        keys and values are one of ours; the name is given for the keys.

    Returns
    -------
    str or None
        ``None`` if the key is no part of the encoder.
    """
    match = _TRANSFORMERS.fullmatch(key)
    if match is None:
        return None
    rest = match[3]
    if match[1] == "patch_embeddings":
        rest = rest.replace("layer_norm.", "norm.")
    for theirs, ours in _TRANSFORMERS_LAYERS:
        rest = rest.replace(theirs, ours)
    return f"stages.{match[2]}.{_TRANSFORMERS_PARTS[match[1]]}.{rest}"
