"""Deterministic weights for the parity tests: a value for every state-dict key.

The parity fixtures were computed with weights that follow this rule, so no
published checkpoint is needed. The rule depends on the key and the shape alone.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def _standard_normal(key: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return standard normal numbers seeded by the key."""
    rng = np.random.default_rng(zlib.crc32(key.encode("utf-8")))
    return np.asarray(rng.standard_normal(shape))


def _head_value(key: str, n: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the value of a Gaussian-process parameter, None for other keys."""
    values = {
        "omega": n,
        "omega_var": np.full_like(n, 0.025),
        "logsigma2": 1 + 0.1 * n,
        "weights": 0.1 * n,
        "theta.weight": n,
        "theta.bias": np.pi * np.tanh(n),
        "maps_transform.3.scale": -(2 + 0.1 * n),
    }
    return values.get(key)


def _layer_value(
    key: str, n: NDArray[np.float64], *, batch_norm: bool
) -> NDArray[np.float64]:
    """Return the value of a weight, bias or running statistic of a layer."""
    stem, _, leaf = key.rpartition(".")
    if leaf == "running_var":
        return np.asarray(np.exp(0.1 * n))
    if leaf != "weight":
        return np.asarray(0.1 * n)
    if batch_norm:
        return (1 + 0.1 * n) * (0.3 if stem.endswith(".bn3") else 1.0)
    return np.asarray(n * np.sqrt(2 / np.prod(n.shape[1:])))


def _rule_array(
    key: str, shape: tuple[int, ...], keys: dict[str, list[int]]
) -> NDArray[np.generic]:
    """Return the array that the rule gives for one key."""
    stem, _, leaf = key.rpartition(".")
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    n = _standard_normal(key, shape)
    value = _head_value(key, n)
    if value is None:
        value = _layer_value(key, n, batch_norm=f"{stem}.running_var" in keys)
    return value.astype(np.float32)


def rule_state_dict(keys_json_path: Path, without: str = "") -> dict[str, torch.Tensor]:
    """Return a state dict that follows the rule.

    Parameters
    ----------
    keys_json_path
        JSON file that maps every key to its shape.
    without
        Leave out the keys with this prefix (the large ones, where not needed).

    Returns
    -------
    dict
        Tensors (float32; counters int64) by key.
    """
    keys: dict[str, list[int]] = json.loads(keys_json_path.read_text("utf-8"))
    return {
        key: torch.tensor(_rule_array(key, tuple(shape), keys))
        for key, shape in keys.items()
        if not (without and key.startswith(without))
    }


def state_dict_digest(state: dict[str, torch.Tensor]) -> str:
    """Return the SHA-256 over all keys and tensors, in the order of the keys."""
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode("utf-8"))
        digest.update(state[key].numpy().tobytes())
    return digest.hexdigest()
