"""Training of latent diversity: the proposals, then the selector; resumable."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from skimage.transform import resize
from tqdm import tqdm

from gpcis_training.data.folders import MIN_OBJECT, make_target
from gpcis_training.diversity.clicks import training_clicks
from gpcis_training.diversity.losses import (
    distance,
    permuted,
    proposals_loss,
    selector_loss,
)
from gpcis_training.diversity.maps import click_maps
from gpcis_training.diversity.system import System
from gpcis_training.engine.state import clear_drafts, read_state, write_state
from gpcis_training.seeds import Stream, generator
from napari_gpcis.errors import CheckpointError, InputError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from gpcis_training.data.folders import DataFolder, Pair
    from gpcis_training.diversity.options import DiversityConfig
    from gpcis_training.diversity.vgg19 import VGG19

STAGES = ("proposals", "selector")
REPORT = 50
"""Steps of which the log has the means."""
_CHANGEABLE = ("steps", "selector_steps", "epochs", "checkpoint_minutes")


class TrainingObject(NamedTuple):
    """One object: its image, its annotation and its label."""

    folder: DataFolder
    pair: Pair
    labels: Path
    label: int


class Example(NamedTuple):
    """One step: an image and an object with its clicks."""

    image: Tensor
    """Shape ``(1, 3, H, W)``, from 0 to 255."""
    target: Tensor
    """Shape ``(H, W)``, bool."""
    ignore: Tensor
    """Shape ``(H, W)``, bool."""
    guidance: Tensor
    """Shape ``(1, 4, H, W)``, see :func:`.click_maps`."""


class Trainer:
    """Both stages of the training, a pure function of configuration and data.

    Parameters
    ----------
    config
        The run.
    root
        Folder that holds the data sets.
    output
        Folder of the run: ``state.pt``, ``log.json`` and ``NAME.safetensors``.
    vgg
        The frozen network of the hypercolumn, if it is used.
    device
        Where the networks are.

    Raises
    ------
    InputError
        If a set cannot be read or holds no object.
    """

    def __init__(
        self,
        config: DiversityConfig,
        root: Path,
        output: Path,
        vgg: VGG19 | None = None,
        device: str = "cpu",
    ) -> None:
        self.config, self.output = config, output
        self.system = System.create(config, vgg).to(device)
        self.objects = list_objects([each.open(root) for each in config.data])
        self.steps = config.count_steps(len(self.objects))
        self.stage, self.step = 0, 0
        self.log: list[dict[str, Any]] = []
        self._recent: list[list[float]] = []
        self._optimiser = self._adam()

    @property
    def state_file(self) -> Path:
        """File from which the run resumes."""
        return self.output / "state.pt"

    @property
    def result_file(self) -> Path:
        """File of the trained networks."""
        return self.output / f"{self.config.name}.safetensors"

    def resume(self) -> bool:
        """Go on with the run of the folder, and return whether there is one.

        Raises
        ------
        CheckpointError
            If its state is damaged.
        InputError
            If it has another configuration.
        """
        if not self.state_file.is_file():
            return False
        state = read_state(self.state_file)
        if state.get("settings") != self._settings():
            msg = (
                f"the run in {self.output} has another configuration or VGG-19: choose "
                "another folder, or --restart"
            )
            raise InputError(msg)
        try:
            self.stage, self.step = state["stage"], state["step"]
            self.log, self._recent = state["log"], state["recent"]
            self.system.proposals.load_state_dict(state["proposals"])
            if self.system.selector is not None:
                self.system.selector.load_state_dict(state["selector"])
            self._optimiser = self._adam()
            self._optimiser.load_state_dict(state["optimiser"])
        except (KeyError, RuntimeError, ValueError) as error:
            msg = f"training state {str(self.state_file)!r} is damaged: {error}"
            raise CheckpointError(msg.partition("\n")[0]) from error
        return True

    def fit(self, *, stop_after: int | None = None, progress: bool = True) -> None:
        """Train what is left of both stages, and write the networks.

        Parameters
        ----------
        stop_after
            Stop after so many steps of this call, with the state written.
        progress
            Show a progress bar.
        """
        self.output.mkdir(parents=True, exist_ok=True)
        clear_drafts(self.state_file)
        left, saved = stop_after, time.monotonic()
        while self.stage < len(STAGES):
            total = self.steps[self.stage]
            title = STAGES[self.stage]
            with tqdm(
                total=total, initial=self.step, desc=title, disable=not progress
            ) as bar:
                while self.step < total:
                    if left == 0:
                        self.save_state()
                        return
                    self._recent.append(self._learn())
                    self.step += 1
                    left = None if left is None else left - 1
                    if len(self._recent) == REPORT or self.step == total:
                        self._report()
                        bar.set_postfix(self._shown(), refresh=False)
                    bar.update()
                    if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                        self.save_state()
                        saved = time.monotonic()
            self.stage, self.step = self.stage + 1, 0
            self._optimiser = self._adam()
        self.save_state()
        self.system.save(self.result_file)
        with replacing(self.output / "log.json") as draft:
            draft.write_text(json.dumps(self.log, indent=1), encoding="utf-8")

    def example(self, visit: int) -> Example:
        """Return the example of a visit; each epoch visits every object once."""
        epoch, position = divmod(visit, len(self.objects))
        seed = self.config.seed
        order = generator(seed, Stream.ORDER, epoch).permutation(len(self.objects))
        number = int(order[position])
        return self._example(self.objects[number], (seed, number, visit))

    def save_state(self) -> None:
        """Write the state from which the run resumes exactly."""
        selector = self.system.selector
        state = {
            "settings": self._settings(),
            "stage": self.stage,
            "step": self.step,
            "log": self.log,
            "recent": self._recent,
            "proposals": self.system.proposals.state_dict(),
            "selector": {} if selector is None else selector.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        write_state(self.state_file, state)

    def _example(self, chosen: TrainingObject, seed: tuple[int, int, int]) -> Example:
        labels = chosen.folder.labels(chosen.labels)
        found = make_target(chosen.pair, labels, np.array([chosen.label]))
        image, mask = found.image.astype(np.float32), found.mask
        empty = np.zeros_like(mask)
        ignore = empty if found.ignore is None else found.ignore
        side = self.config.side
        if side is not None and max(mask.shape) > side:
            shape = smaller_shape(mask.shape, side)
            image = resize(image, shape, anti_aliasing=True).astype(np.float32)
            labels = _nearest(labels, shape).astype(labels.dtype)
            mask = _nearest(mask, shape).astype(bool)
            ignore = _nearest(ignore, shape).astype(bool)
            if not mask.any():  # a thin object that fell between the pixels
                mask = _shrunk(found.mask, shape)
                ignore = ignore & ~mask
        names = np.unique(labels[~mask & ~ignore & (labels > 0)])
        others = [(labels == name) & ~mask & ~ignore for name in names]
        clicks = training_clicks(mask, others, self.config.clicks, seed, ignore)
        guidance = click_maps(clicks, (mask.shape[0], mask.shape[1]))
        device = self.system.device
        return Example(
            torch.from_numpy(image).permute(2, 0, 1)[None].contiguous().to(device),
            torch.from_numpy(mask).to(device),
            torch.from_numpy(ignore).to(device),
            guidance.to(device),
        )

    def _learn(self) -> list[float]:
        """Make one step; return its loss, and what the log is made of."""
        example = self.example(self.step)
        if STAGES[self.stage] == "proposals":
            return self._learn_proposals(example)
        return self._learn_selector(example)

    def _learn_proposals(self, example: Example) -> list[float]:
        encoded = self.system.encode(example.image)
        masks = self.system.proposals(encoded, example.guidance)
        loss = proposals_loss(
            masks, example.target, example.guidance, self.config.loss, example.ignore
        )
        self._descend(loss.total)
        with torch.no_grad():
            overlap = 1 - distance(masks[0], example.target, kept=~example.ignore)
        return [float(loss.total.detach()), float(overlap.max()), float(overlap.mean())]

    def _learn_selector(self, example: Example) -> list[float]:
        selector = self.system.selector
        assert selector is not None
        with torch.no_grad():
            encoded = self.system.encode(example.image)
            masks = self.system.proposals(encoded, example.guidance)
            gaps = distance(masks[0], example.target, kept=~example.ignore)
        rng = generator(self.config.seed, Stream.PASSES, self.step)
        order = rng.permutation(self.config.masks).tolist()
        masks, target = permuted(masks, int(gaps.argmin()), order)
        logits = selector(example.image, example.guidance, masks)
        loss = selector_loss(logits, target)
        self._descend(loss)
        chosen = int(logits.argmax())
        gap = gaps[order[chosen]]
        return [float(loss.detach()), float(1 - gaps.min()), float(1 - gap)]

    def _descend(self, loss: Tensor) -> None:
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()

    def _adam(self) -> torch.optim.Adam:
        """Return a new optimiser of the network that this stage trains."""
        chosen: torch.nn.Module = self.system.proposals
        if self.stage == 1 and self.system.selector is not None:
            chosen = self.system.selector
        return torch.optim.Adam(chosen.parameters(), lr=self.config.lr)

    def _report(self) -> None:
        """Add the means of the last steps to the log."""
        loss, best, other = np.mean(self._recent, axis=0).tolist()
        name = "mean_iou" if self.stage == 0 else "selected_iou"
        head = {"stage": STAGES[self.stage], "step": self.step}
        self.log.append({**head, "loss": loss, "best_iou": best, name: other})
        self._recent = []

    def _shown(self) -> dict[str, str]:
        """Return the last line of the log, short."""
        values = self.log[-1].items()
        return {key: f"{value:.3f}" for key, value in values if key[0] not in "s"}

    def _settings(self) -> str:
        """Return what a run that is resumed must share, as text."""
        entries = asdict(self.config)
        for name in _CHANGEABLE:
            del entries[name]
        vgg = self.system.vgg
        entries["vgg19"] = None if vgg is None else vgg.source
        return json.dumps(entries, sort_keys=True)


def list_objects(folders: list[DataFolder]) -> list[TrainingObject]:
    """Return the objects of all sets that have at least 80 pixels.

    Raises
    ------
    InputError
        If there is none, or a file cannot be read.
    """
    found = []
    files = [(folder, pair) for folder in folders for pair in folder.pairs]
    for folder, pair in tqdm(files, "listing objects", unit="image", leave=False):
        for path in pair.labels:
            areas = np.bincount(folder.labels(path).ravel())
            areas[0] = 0
            names = np.flatnonzero(areas >= MIN_OBJECT).tolist()
            found += [TrainingObject(folder, pair, path, name) for name in names]
    if not found:
        roots = ", ".join(str(folder.root) for folder in folders)
        msg = f"no object of at least {MIN_OBJECT} pixels: {roots}"
        raise InputError(msg)
    return found


def smaller_shape(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Return height and width with the longer one at most ``side``.

    Examples
    --------
    >>> smaller_shape((480, 640), 160), smaller_shape((30, 40), 160)
    ((120, 160), (30, 40))
    """
    scale = min(side / max(shape), 1)
    return max(round(shape[0] * scale), 1), max(round(shape[1] * scale), 1)


def _nearest(
    labels: NDArray[np.generic], shape: tuple[int, int]
) -> NDArray[np.generic]:
    """Return labels at another size; each pixel has the label of its middle."""
    rows, cols = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(shape, labels.shape, strict=True)
    )
    return np.ascontiguousarray(labels[np.ix_(rows, cols)])


def _shrunk(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask at a smaller size; no part of it is lost."""
    small = np.zeros(shape, dtype=bool)
    rows, cols = np.nonzero(mask)
    small[rows * shape[0] // mask.shape[0], cols * shape[1] // mask.shape[1]] = True
    return small
