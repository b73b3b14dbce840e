"""Ablation of CDS: the network without one of its parts each, on one schedule."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpcis_training.data.folders import find_pairs
from gpcis_training.superpixels.config import VARIANTS, load_superpixel_config
from gpcis_training.superpixels.evaluation import (
    NUMBERS,
    evaluate,
    save_evaluation,
    table_rows,
)
from gpcis_training.superpixels.export import export_superpixels
from gpcis_training.superpixels.trainer import SuperpixelTrainer
from napari_gpcis.errors import InputError
from napari_gpcis.files import fitting_stem

if TYPE_CHECKING:
    from collections.abc import Sequence


def train_variants(
    config_file: Path,
    data_root: Path,
    output: Path,
    *,
    variants: Sequence[str] = tuple(VARIANTS),
    assignments: Sequence[str] = (),
    precision: str = "32-true",
) -> list[Path]:
    """Train variants one after the other; each goes on where it was stopped.

    Parameters
    ----------
    config_file
        Configuration of the full network.
    data_root
        Folder below which its data paths lie.
    output
        Folder that gets a folder for each run, and a checkpoint beside it.
    variants
        Some of `VARIANTS`.
    assignments
        Entries of the configuration that all variants change, as ``steps=1000``.
    precision
        For Fabric.

    Returns
    -------
    list of Path
        The checkpoints.

    Raises
    ------
    InputError
        If there is no such variant, or the full network lacks a part.
    """
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown:
        msg = f"variants must be some of {', '.join(VARIANTS)}, got {unknown[0]!r}"
        raise InputError(msg)
    full = load_superpixel_config(config_file, assignments)
    weights = full.losses.alignment and full.losses.information
    if full.auxiliary == "none" or not (full.gate and weights):
        msg = (
            "the configuration of an ablation must have an auxiliary modality, a gate, "
            "alignment and information"
        )
        raise InputError(msg)
    found = []
    for name in variants:
        changed = (*assignments, *VARIANTS[name], f"name={full.name}-{name}")
        config = load_superpixel_config(config_file, changed)
        trainer = SuperpixelTrainer(
            config, data_root, output / name, precision=precision
        )
        trainer.resume()
        print(f"{name}: from step {trainer.step} to {config.steps}")
        trainer.fit()
        checkpoint = output / f"{name}.safetensors"
        export_superpixels(trainer.state_file, config, checkpoint)
        found.append(checkpoint)
    return found


def evaluate_variants(
    checkpoints: Sequence[Path],
    roots: Sequence[Path],
    output: Path,
    *,
    numbers: Sequence[int] = NUMBERS,
    images: int | None = None,
    workers: int = 1,
) -> list[Path]:
    """Evaluate checkpoints beside SLIC, and print a table for each folder.

    Parameters
    ----------
    checkpoints
        Of the variants.
    roots
        Folders of images and labels.
    output
        Folder that gets a file of results for each, which an interrupted evaluation
        goes on with.
    numbers, workers
        See `gpcis_training.superpixels.evaluation.evaluate`.
    images
        So many of each folder, evenly spaced by name; all of one that has fewer.

    Returns
    -------
    list of Path
        The files of results, JSON; table and curves are beside them.
    """
    methods = ["slic", *map(str, checkpoints)]
    written = []
    output.mkdir(parents=True, exist_ok=True)
    for root in roots:
        name = fitting_stem("_".join(root.parts[-3:]).strip("/"), ".partial")
        file = output / f"{name}.json"
        several = images is not None and images < len(find_pairs(root))
        results = evaluate(
            methods,
            root,
            numbers=numbers,
            images=images if several else None,
            workers=workers,
            partial=file.with_suffix(".partial"),
        )
        save_evaluation(file, results, methods)
        print(f"\n{root}")
        for row in table_rows(results, methods):
            print("  ".join([Path(row[0]).stem.ljust(15), *row[1:]]))
        written.append(file)
    return written
