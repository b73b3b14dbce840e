"""Loss and clicks over the training, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from gpcis_training.finetuning._events import Event


def draw_curves(
    path: Path, steps: list[Event], validations: list[Event], start: float
) -> None:
    """Draw loss and clicks per object to a PNG file.

    Parameters
    ----------
    path
        The file.
    steps
        Events with ``minutes`` and ``loss``.
    validations
        Events with ``minutes`` and ``figures``.
    start
        Clicks to 85 % of the model that training starts from, on the same objects.

    Raises
    ------
    InputError
        If matplotlib is not installed.
    """
    figure = _figure()
    loss, clicks = figure.subplots(1, 2)
    loss.plot(_column(steps, "minutes"), _column(steps, "loss"), lw=0.6, color="0.7")
    smooth = _smoothed(_column(steps, "loss"))
    loss.plot(_column(steps, "minutes"), smooth, color="tab:blue")
    loss.set(xlabel="minutes of training", ylabel="normalised focal loss")
    minutes = [0.0, *_column(validations, "minutes")]
    values = [start, *(entry["figures"]["clicks85"] for entry in validations)]
    clicks.plot(minutes, values, "o-", ms=4, color="tab:orange")
    best = [entry for entry in validations if entry["best"]]
    if best:
        kept = best[-1]
        place = (kept["minutes"], kept["figures"]["clicks85"])
        clicks.plot(*place, "o", ms=10, mfc="none", color="tab:green", label="kept")
        clicks.legend(frameon=False)
    clicks.set(xlabel="minutes of training", ylabel="clicks to 85 % overlap")
    clicks.set_ylim(bottom=0)
    for axes in (loss, clicks):
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as draft:
        figure.savefig(draft, dpi=120)


def _figure() -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        msg = "the curves need matplotlib: pip install 'napari-gpcis[training]'"
        raise InputError(msg) from error
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display
    return figure


def _column(entries: list[Event], name: str) -> list[float]:
    return [float(entry[name]) for entry in entries]


def _smoothed(values: list[float], weight: float = 0.9) -> list[float]:
    """Return an exponential mean, without the pull of its start."""
    smooth: list[float] = []
    total = share = 0.0
    for value in values:
        total = weight * total + (1 - weight) * value
        share = weight * share + (1 - weight)
        smooth.append(total / share)
    return smooth
