"""A search that needs no network: candidates where a fixed stride of places lies.

Each is the answer of the segmenter to one click, as that of the real search is, so that
its saved click gives its mask again.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from napari_gpcis.clicks import Click
from napari_gpcis.geometry import slices
from napari_gpcis.inference.segmenter import Request
from napari_gpcis.plugin.tools.similar import search as search_module
from napari_gpcis.similar import Candidate, Found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import pytest

STRIDE = 11, 17


def replace_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search by :func:`search` from now on."""
    monkeypatch.setattr(search_module, "collect", collect)
    monkeypatch.setattr(search_module, "search", search)


class Examples:
    """Examples that know nothing."""

    def joined(self, _other: Examples) -> Examples:
        return self


def collect(*_: Any) -> Examples:
    return Examples()


def search(
    segmenter: Any,
    prepared: Any,
    labels: np.ndarray,
    _examples: Any,
    *,
    threshold: float,
    tidy: Any,
    cancelled: Callable[[], bool],
) -> Iterator[Found]:
    """Yield one tile for each place that is free."""
    rows, cols = (range(5, n, s) for n, s in zip(labels.shape, STRIDE, strict=True))
    places = [place for place in product(rows, cols) if labels[place] <= 0]
    for number, place in enumerate(places, start=1):
        if cancelled():
            return
        request = Request(prepared, (Click(*place),))
        answer = segmenter.run(request)[-1].with_threshold(threshold).with_tidy(tidy)
        box, mask = answer.trimmed
        found = ()
        if mask.any() and not (labels[slices(box)][mask] > 0).all():
            confidence = (number * 37 % 100) / 100
            one = Candidate(
                box,
                mask,
                answer.clicks[0],
                (0, 0, *labels.shape),
                threshold,
                confidence,
                confidence,
                1.0,
                tidy,
            )
            found = (one,)
        yield Found(found, number, len(places))
