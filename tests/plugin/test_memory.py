"""Images that were annotated and closed do not stay in memory."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
import pytest
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from _fake_segmenter import FakeSegmenter
from napari_gpcis.plugin.background import LatestWins
from napari_gpcis.plugin.widget import GPCISWidget

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (3, 80, 100)


def unwrapped(layer: Any) -> Any:
    return getattr(layer, "__wrapped__", layer)


def annotate(desk: Any, name: str) -> dict[str, ref[Any]]:
    """Open an image, finish an object, save nothing, and remove all its layers."""
    image = desk.viewer.add_image(np.zeros(SHAPE, np.uint8), name=name)
    desk.widget.image_combo.layer = image
    assert desk.widget.start()
    desk.until(lambda: desk.widget.session is not None)
    annotation = desk.controller.annotation
    desk.robot.click(image, (0, 30, 40))
    desk.until(lambda: annotation.layers.labels.data.any())
    desk.controller.command("accept")
    desk.until(lambda: len(desk.widget.session.objects) == 1)
    known = {
        "image": ref(unwrapped(image)),
        "labels": ref(unwrapped(annotation.layers.labels)),
        "clicks": ref(unwrapped(annotation.layers.positive)),
        "pixels": ref(unwrapped(image).data),
        "ids": ref(annotation.layers.labels.data),
        "annotation": ref(annotation),
    }
    for layer in (image, *annotation.layers):
        desk.viewer.layers.remove(layer)
    desk.segmenter.runs.clear()  # the fake remembers all that it was asked
    desk.segmenter.previews.clear()
    return known


def alive(known: dict[str, ref[Any]]) -> list[str]:
    """Return what is still in memory, once Qt and Python have tidied up."""
    for _ in range(2):
        QApplication.processEvents()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        gc.collect()
    return [name for name, thing in known.items() if thing() is not None]


def test_what_is_closed_is_freed(open_desk: Callable[..., Any]) -> None:
    desk = open_desk(np.zeros(SHAPE, np.uint8))
    desk.viewer.layers.clear()
    first = annotate(desk, "first")
    # The last one's labels can still be saved, though not its image.
    desk.until(lambda: set(alive(first)) <= {"labels", "ids"})
    second = annotate(desk, "second")
    desk.until(lambda: not alive(first))
    desk.until(lambda: set(alive(second)) <= {"labels", "ids"})
    _, (earlier, _), (latest, _) = desk.widget.recovery.autosaver._writers
    assert earlier.image_name == "first"
    assert len(earlier.saved().planes[0].objects) == 1
    assert latest.labels.data.any()


def open_and_close(viewer: Any, qtbot: Any, way: str) -> dict[str, ref[Any]]:
    """Open the widget in a dock, start, and take the dock away."""
    image = viewer.add_image(np.zeros(SHAPE, np.uint8))
    model = FakeSegmenter()
    widget = GPCISWidget(viewer, lambda _name, models=[model]: models.pop())
    dock = viewer.window.add_dock_widget(widget)
    assert widget.start()
    qtbot.waitUntil(lambda: widget.session is not None, timeout=60_000)
    known = {
        "widget": ref(widget),
        "annotation": ref(widget.controller.annotation),
        "model": ref(model),
        "pixels": ref(image.data),
        "ids": ref(widget.controller.annotation.layers.labels.data),
    }
    if way == "closed":
        dock.destroyOnClose()
    else:
        viewer.window.remove_dock_widget(widget)
    viewer.layers.clear()
    return known


@pytest.mark.parametrize("way", ["closed", "removed"])
def test_a_closed_dock_is_freed(
    make_napari_viewer_proxy: Any, qtbot: Any, way: str
) -> None:
    """With all that a user who opens it again and again would collect."""
    viewer = make_napari_viewer_proxy().__wrapped__
    known = open_and_close(viewer, qtbot, way)
    qtbot.waitUntil(lambda: not alive(known), timeout=60_000)


@pytest.mark.parametrize("fails", [False, True])
def test_a_thread_holds_nothing_while_it_waits(qtbot: Any, fails: bool) -> None:
    class Large:
        def work(self, _cancelled: Any) -> Large:
            if fails:
                raise ValueError
            return self

    done: list[bool] = []
    queue = LatestWins(lambda answer: done.append(queue.forget(answer)))
    large = Large()
    weak = ref(large)
    queue.submit("key", large.work)
    del large
    qtbot.waitUntil(lambda: done == [True])
    qtbot.waitUntil(lambda: gc.collect() >= 0 and weak() is None)
    assert queue.close()
