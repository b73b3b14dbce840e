"""What a session asks of a segmenter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.start_mask import Start


@dataclass(frozen=True, eq=False)
class Request:
    """A snapshot of what there is to predict; may cross threads.

    Attributes
    ----------
    prepared
        The image.
    clicks
        All clicks of the object, in order.
    done
        The predictions known already, of the first ``len(done)`` clicks.
    view
        What the first click is zoomed to; ``None`` for the whole image.
    start
        The mask before the first click; ``None`` for none.
    """

    prepared: PreparedImage
    clicks: tuple[Click, ...]
    done: tuple[Prediction, ...] = ()
    view: Box | None = None
    start: Start | None = None
