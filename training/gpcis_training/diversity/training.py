"""Training: the network that proposes, then the one that selects, one image a step."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from gpcis_training.diversity.checkpoint import save_diversity
from gpcis_training.diversity.clicks import sample_negatives, sample_positives
from gpcis_training.diversity.guidance import clicked, guidance
from gpcis_training.diversity.losses import (
    best_mask,
    permuted_index,
    proposal_loss,
    selection_loss,
)
from gpcis_training.diversity.network import Proposals, Selector
from gpcis_training.diversity.visits import Visits
from gpcis_training.engine.state import clear_drafts, read_state, write_state
from gpcis_training.seeds import Stream, generator
from napari_gpcis.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from gpcis_training.diversity.config import DiversityConfig
    from gpcis_training.diversity.vgg19 import VGG19
    from gpcis_training.diversity.visits import Example

PROPOSALS, SELECTOR = "proposals", "selector"
_LOG_EVERY = 50
_KEPT = 4
"""Images whose features are kept."""


class DiversityTrainer:
    """One training run in a folder.

    Parameters
    ----------
    config
        The run.
    data_root
        Folder below which the configuration's data paths lie.
    output
        Folder for the state (``state.pt``), the log (``log.jsonl``) and the networks
        (``NAME.safetensors``).
    vgg
        VGG-19; ``None`` for a design without its features.
    device
        Where to compute.
    progress
        Show bars.

    Attributes
    ----------
    phase, step
        Network that is trained, and its steps so far.
    figures
        Figures of the last step: ``loss``; ``best``, the IoU of the best mask, and
        ``first``, that of the first; with a selector ``right``, whether it chose the
        best.

    Raises
    ------
    InputError
        If VGG-19 is missing or not wanted, or the data cannot be used.
    """

    def __init__(
        self,
        config: DiversityConfig,
        data_root: str | Path,
        output: str | Path,
        vgg: VGG19 | None = None,
        device: str = "cpu",
        *,
        progress: bool = True,
    ) -> None:
        if (vgg is not None) != config.design.vgg:
            given = "none" if vgg is None else "one"
            msg = f"weights of VGG-19 must be given as design.vgg says, got {given}"
            raise InputError(msg)
        self.config, self.device = config, torch.device(device)
        self.vgg = None if vgg is None else vgg.to(self.device)
        folders = [entry.open(Path(data_root)) for entry in config.data]
        self.visits = Visits(
            folders, config.size, config.min_object, config.seed, progress=progress
        )
        self.output = Path(output)
        self.output.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        self.proposals = Proposals(config.design).to(self.device)
        self.selector: Selector | None = None
        if config.selector:
            self.selector = Selector(config.design).to(self.device)
        self.optimiser = self._optimiser(self.proposals)
        self.phase, self.step, self.minutes = PROPOSALS, 0, 0.0
        self.figures: dict[str, float] = {}
        self._progress = progress
        self._order: tuple[tuple[str, int], list[int]] | None = None
        self._features: OrderedDict[tuple[int, int], tuple[Tensor, ...]] = OrderedDict()

    @property
    def state_file(self) -> Path:
        """File of the resumable state."""
        return self.output / "state.pt"

    @property
    def checkpoint(self) -> Path:
        """File of the trained networks."""
        return self.output / f"{self.config.name}.safetensors"

    def count_steps(self, phase: str) -> int:
        """Return the steps of a phase."""
        config = self.config
        given = config.steps if phase == PROPOSALS else config.selector_steps
        whole = max(round(config.epochs * len(self.visits.objects)), 1)
        return whole if given is None else given

    def resume(self) -> bool:
        """Load the last state of the folder; ``False`` if there is none.

        The run goes on as if it had not been stopped, bit by bit on one machine.

        Raises
        ------
        CheckpointError
            If the state is damaged or from another configuration or other data.
        """
        if not self.state_file.is_file():
            return False
        state = read_state(self.state_file)
        try:
            same = state["recipe"] == self._identity()
            if not same:
                msg = "its configuration, data or VGG-19 differ"
                raise ValueError(msg)
            self.proposals.load_state_dict(state[PROPOSALS])
            self.phase = state["phase"]
            network: torch.nn.Module = self.proposals
            if self.selector is not None:
                self.selector.load_state_dict(state[SELECTOR])
                network = self.selector if self.phase == SELECTOR else network
            self.optimiser = self._optimiser(network)
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.minutes = state["step"], state["minutes"]
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            msg = f"{str(self.state_file)!r} is not from this run: {reason}"
            raise CheckpointError(msg) from error
        return True

    def save(self) -> None:
        """Write the state; a crash while writing leaves the previous one.

        Raises
        ------
        CheckpointError
            If the disk refuses; the previous state is kept.
        """
        state: dict[str, Any] = {
            "recipe": self._identity(),
            PROPOSALS: self.proposals.state_dict(),
            "phase": self.phase,
            "step": self.step,
            "minutes": self.minutes,
            "optimiser": self.optimiser.state_dict(),
        }
        if self.selector is not None:
            state[SELECTOR] = self.selector.state_dict()
        write_state(self.state_file, state)

    def fit(self, most: int | None = None) -> Path:
        """Train to the end of the schedule and return the file of the networks.

        Parameters
        ----------
        most
            Stop after so many steps of this call, with the state written; ``None``:
            at the end.

        Raises
        ------
        CheckpointError
            If the disk refuses, or the loss is no finite number any more.
        """
        clear_drafts(self.state_file)
        left = most
        left = self._train(PROPOSALS, left)
        if self.selector is not None and left != 0:
            if self.phase == PROPOSALS:
                self.phase, self.step = SELECTOR, 0
                self.optimiser = self._optimiser(self.selector)
                self.proposals.requires_grad_(False)
            self._train(SELECTOR, left)
        self.save()
        source = None if self.vgg is None else self.vgg.source
        save_diversity(
            self.checkpoint, self.config, self.proposals, self.selector, source
        )
        return self.checkpoint

    def make_step(self) -> dict[str, float]:
        """Make one step and return its figures, see :attr:`figures`.

        Raises
        ------
        CheckpointError
            If the loss is no finite number; the state on disk is from before.
        """
        number = self._number()
        example = self.visits.read(number)
        positive, negative = self._clicks(number, example)
        target, valid, spots = (
            [torch.from_numpy(m.astype(np.float32)).to(self.device) for m in maps]
            for maps in ((example.target,), (example.valid,), (positive, negative))
        )
        design = self.config.design
        maps = guidance(
            positive,
            negative,
            distances=design.distances,
            clicks=design.clicks,
            far=design.far,
        )
        shown = torch.from_numpy(maps)[None].to(self.device)
        image = to_tensor(example.image).to(self.device)
        taps = self._taps(self.visits.image_key(number), image)
        with torch.set_grad_enabled(self.phase == PROPOSALS):
            masks = self.proposals(self.proposals.project(image / 255, taps), shown)[0]
        self.figures = agreements(masks.detach(), target[0], valid[0])
        if self.phase == PROPOSALS:
            loss = proposal_loss(
                target[0], masks, spots[0], spots[1], self.config.loss, valid[0]
            )
        else:
            assert self.selector is not None
            rng = generator(self.config.seed, Stream.PERMUTATION, self.step)
            order = torch.from_numpy(rng.permutation(len(masks))).to(self.device)
            logits = self.selector(image / 255, shown, masks[order][None])[0]
            best = best_mask(target[0], masks, valid[0])
            loss = selection_loss(logits, best, order)
            right = int(logits.argmax()) == int(permuted_index(best, order))
            self.figures["right"] = float(right)
        self.figures["loss"] = float(loss.detach())
        if not np.isfinite(self.figures["loss"]):
            found = self.figures["loss"]
            msg = f"the loss is {found} at step {self.step}; a lower lr may help"
            raise CheckpointError(msg)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.step += 1
        return self.figures

    def _train(self, phase: str, left: int | None) -> int | None:
        """Make the steps of a phase; return how many this call may still make."""
        if self.phase != phase:
            return left
        steps = self.count_steps(phase)
        until = steps if left is None else min(steps, self.step + left)
        began, before, saved = time.monotonic(), self.minutes, self.minutes
        done, window = self.step, []
        bar = tqdm(
            total=steps, initial=self.step, desc=phase, disable=not self._progress
        )
        with bar:
            while self.step < until:
                window.append(self.make_step())
                bar.update()
                self.minutes = before + (time.monotonic() - began) / 60
                if self.step % _LOG_EVERY == 0:
                    bar.set_postfix(self._log(window))
                    window.clear()
                if self.minutes - saved >= self.config.checkpoint_minutes:
                    self.save()
                    saved = self.minutes
        return None if left is None else left - (self.step - done)

    def _number(self) -> int:
        """Return the number of the object to visit."""
        epoch, place = divmod(self.step, len(self.visits.objects))
        if self._order is None or self._order[0] != (self.phase, epoch):
            order = self.visits.epoch(epoch, int(self.phase == SELECTOR))
            self._order = (self.phase, epoch), order
        return self._order[1][place]

    def _clicks(
        self, number: int, example: Example
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return click maps: one of the object's sets of either sign."""
        options, seed = self.config.clicks, self.config.seed
        phase = int(self.phase == SELECTOR)
        visit = generator(seed, Stream.CLICK, phase, self.step)
        if options.sets:
            positive, negative = (
                generator(seed, Stream.CLICK_SETS, number, sign, drawn)
                for sign, drawn in enumerate(visit.integers(options.sets, size=2))
            )
        else:
            positive = negative = visit
        shape = example.target.shape
        height, width = shape
        ones = sample_positives(example.target, options, positive)
        others = sample_negatives(
            example.target, example.others, options, negative, example.valid
        )
        return clicked((height, width), ones), clicked((height, width), others)

    def _taps(self, key: tuple[int, int], image: Tensor) -> tuple[Tensor, ...]:
        """Return the features of an image, kept for the next object in it."""
        if self.vgg is None:
            return ()
        if key not in self._features:
            self._features[key] = self.vgg(image)
            while len(self._features) > _KEPT:
                self._features.popitem(last=False)
        return self._features[key]

    def _optimiser(self, network: torch.nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr=self.config.lr)

    def _identity(self) -> str:
        """Return what decides the run but its length."""
        free = ("epochs", "steps", "selector_steps", "checkpoint_minutes", "name")
        recipe = {k: v for k, v in self.config.recipe().items() if k not in free}
        source = None if self.vgg is None else list(self.vgg.source)
        return json.dumps([recipe, source, len(self.visits.objects)])

    def _log(self, window: list[dict[str, float]]) -> dict[str, float]:
        """Write means of the last steps to the log and return them."""
        names = sorted({name for figures in window for name in figures})
        means = {
            name: round(float(np.mean([figures[name] for figures in window])), 5)
            for name in names
        }
        entry = {"phase": self.phase, "step": self.step, **means}
        entry["minutes"] = round(self.minutes, 2)
        with (self.output / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        return means


def to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """Return an image ``(H, W, 3)`` as ``(1, 3, H, W)``, float32 from 0 to 255."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32)
    return torch.from_numpy(planes)[None]


def agreements(masks: Tensor, target: Tensor, valid: Tensor) -> dict[str, float]:
    """Return the IoU of the best mask and that of the first, cut at 0.5.

    Parameters
    ----------
    masks
        Shape ``(M, H, W)``, in [0, 1].
    target, valid
        The object, and 1 where it is known, shape ``(H, W)``.
    """
    shown, truth = (masks > 0.5) & (valid > 0), (target > 0.5) & (valid > 0)
    both, either = (shown & truth).sum((1, 2)), (shown | truth).sum((1, 2))
    ious = both / either.clamp_min(1)
    return {"best": float(ious.max()), "first": float(ious[0])}
