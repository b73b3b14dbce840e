"""Many clicks on one object: what is known is found, in time that grows as they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis import Click
from napari_gpcis.inference.image import prepare_image
from napari_gpcis.inference.prediction import GridMaps, Prediction
from napari_gpcis.session.current import CurrentObject

if TYPE_CHECKING:
    import pytest

    from napari_gpcis.inference.segmenter import Request

SHAPE = (64, 64)
IMAGE = prepare_image(np.zeros(SHAPE, np.uint8))


def answer(request: Request) -> list[Prediction]:
    """Return what a model would: a prediction for each click that has none."""
    found = []
    for number in range(len(request.done) + 1, len(request.clicks) + 1):
        maps = GridMaps(*(np.zeros((2, 2), np.float32) for _ in GridMaps._fields))
        whole, clicks = (0, 0, *SHAPE), request.clicks[:number]
        found.append(Prediction(SHAPE, whole, clicks, 0.5, maps, True))
    return found


def click(current: CurrentObject, rng: np.random.Generator) -> None:
    row, col = rng.integers(0, SHAPE[0], 2).tolist()
    current.add_click(row, col, bool(rng.integers(2)))


def predict(current: CurrentObject) -> int:
    """Predict what is missing; return how many predictions that was."""
    request = current.request(IMAGE)
    if request is None:
        return 0
    found = answer(request)
    assert current.fulfil(request, found)
    return len(found)


def test_a_click_hashes_those_before_it_a_few_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not each once more for each of them: that is minutes for some thousand."""
    current, rng = CurrentObject(SHAPE), np.random.default_rng(0)
    for _ in range(200):
        click(current, rng)
        assert predict(current) == 1
    plain, hashed = Click.__hash__, []

    def count(one: Click) -> int:
        hashed.append(one)
        return plain(one)

    monkeypatch.setattr(Click, "__hash__", count)
    click(current, rng)
    assert predict(current) == 1
    assert current.prediction is not None
    assert 0 < len(hashed) <= 4 * len(current.clicks)


def test_what_is_known_is_what_undo_and_redo_can_reach() -> None:
    current, rng = CurrentObject(SHAPE), np.random.default_rng(1)
    reachable: list[set[tuple[Click, ...]]] = [set()]
    position = 0
    for _ in range(300):
        kind = rng.integers(5)
        if kind < 3:
            click(current, rng)
            del reachable[position + 1 :]
            reachable.append({*reachable[position], current.clicks})
            position += 1
            missing = 1
        elif kind == 3 and current.can_undo:
            current.undo()
            position -= 1
            missing = 0
        elif kind == 4 and current.can_redo:
            current.redo()
            position += 1
            missing = 0
        else:
            continue
        assert predict(current) == missing
        if current.clicks:
            assert current.prediction is not None
            assert current.prediction.clicks == current.clicks
        assert len(current._known) == len(reachable[-1])
    assert len(current._known) > 20


def test_clicks_that_were_moved_keep_what_came_before() -> None:
    current, rng = CurrentObject(SHAPE), np.random.default_rng(2)
    for _ in range(6):
        click(current, rng)
    assert predict(current) == 6
    clicks = current.clicks
    current.set_clicks((*clicks[:3], Click(1, 1), *clicks[4:]))
    assert predict(current) == 3
    assert len(current._known) == 9
    current.undo()
    assert predict(current) == 0
    click(current, rng)  # the moved one cannot come back
    assert predict(current) == 1
    assert len(current._known) == 7
