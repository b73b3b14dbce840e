"""Fixtures: a controller on a viewer model, and a widget in a real viewer."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari import settings
from napari._vispy import canvas
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication

from _fake_segmenter import FakeSegmenter
from napari_gpcis.plugin.annotation.controller import Controller
from napari_gpcis.plugin.robot import Robot
from napari_gpcis.plugin.settings.preferences import PREFERENCES, unlink
from napari_gpcis.plugin.widget import GPCISWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari.layers import Image, Labels, Points

    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation

os.environ["NAPARI_ENSURE_PLUGIN_MAIN_THREAD"] = "1"
WAIT = 60_000
"""Milliseconds; long, for a slow and busy machine."""


class Layers:
    """Short names for what an annotation works on."""

    controller: Controller
    qtbot: Any

    @property
    def positive(self) -> Points:
        assert self.controller.annotation is not None
        return self.controller.annotation.layers.positive

    @property
    def negative(self) -> Points:
        assert self.controller.annotation is not None
        return self.controller.annotation.layers.negative

    @property
    def labels(self) -> Labels:
        assert self.controller.annotation is not None
        return self.controller.annotation.layers.labels

    @property
    def current(self) -> PlaneAnnotation:
        assert self.controller.annotation is not None
        assert self.controller.annotation.current is not None
        return self.controller.annotation.current

    def until(self, condition: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=WAIT)

    def settled(self, clicks: int) -> None:
        """Wait until the mask of so many clicks is drawn."""
        self.until(lambda: self._drawn(clicks))

    def _drawn(self, clicks: int) -> bool:
        annotation = self.controller.annotation
        if annotation is None or annotation.current is None:
            return False
        session = annotation.current.session
        return (
            session is not None
            and not annotation.current.busy
            and len(session.clicks) == clicks
            and len(annotation.current.clicks) == clicks
            and (clicks == 0 or session.prediction is not None)
        )


@dataclass
class Bench(Layers):
    """A controller on a viewer without a window."""

    viewer: ViewerModel
    controller: Controller
    segmenter: FakeSegmenter
    qtbot: Any

    def start(self, data: Any = None, **options: Any) -> Image:
        """Add an image and annotate it."""
        data = np.zeros((80, 100), dtype=np.uint8) if data is None else data
        image = self.viewer.add_image(data, **options)
        assert self.controller.start(image)
        self.until(lambda: self.controller.session is not None)
        return image


@dataclass
class Desk(Layers):
    """A widget in a real viewer, with a robot at the mouse."""

    viewer: Any
    widget: GPCISWidget
    robot: Robot
    segmenter: FakeSegmenter
    image: Image
    qtbot: Any

    @property
    def controller(self) -> Controller:
        return self.widget.controller

    def close_while_busy(self) -> None:
        """Close the window while a click is computed: nothing of it is drawn."""
        self.segmenter.gate.clear()
        self.robot.click(self.image, (30, 40))
        self.until(lambda: self.segmenter.runs)
        labels, queue = self.labels, self.controller._worker._queue
        assert queue.alive
        self.segmenter.gate.set()
        self.viewer.close()
        self.until(lambda: not queue.alive)
        assert not labels.data.any()


@pytest.fixture(scope="session", autouse=True)
def manifests_read_once() -> Iterator[None]:
    """Let each viewer find the installed plugins where they were found before.

    napari asks five times a viewer, and each time all manifests were parsed again.
    """
    with pytest.MonkeyPatch.context() as patch:
        found = list(PluginManifest.discover())
        patch.setattr(PluginManifest, "discover", lambda paths=(): iter(found))
        yield


@pytest.fixture(scope="session", autouse=True)
def layers_without_garbage_collection() -> Iterator[None]:
    """Let layers go without the collection by which napari spares drivers of Windows.

    It takes a tenth of a second for each layer of each test.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "gc", SimpleNamespace(collect=lambda: 0))
        yield


@pytest.fixture(scope="module", autouse=True)
def garbage_of_the_module_alone() -> None:
    """Leave what was there before a file of tests out of garbage collection.

    napari's fixture collects twice a test, to find what was not closed; each time took
    up to half a second to look at modules and at what other tests have left, which
    stays.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def segmenter() -> FakeSegmenter:
    return FakeSegmenter()


@pytest.fixture
def errors() -> Iterator[list[str]]:
    """Texts of the notifications shown as errors."""
    seen: list[str] = []

    def note(notification: Any) -> None:
        if str(notification.severity) == "error":
            seen.append(notification.message)

    notification_manager.notification_ready.connect(note)
    yield seen
    notification_manager.notification_ready.disconnect(note)


@pytest.fixture
def bench(qtbot: Any, segmenter: FakeSegmenter) -> Iterator[Bench]:
    viewer, owner = ViewerModel(), QObject()
    controller = Controller(viewer, lambda name: segmenter, "fake", owner)
    yield Bench(viewer, controller, segmenter, qtbot)
    segmenter.gate.set()
    assert controller.close()
    # Without an owner Python would delete it, in whatever thread it tidies up.
    owner.deleteLater()
    QApplication.sendPostedEvents(owner, QEvent.Type.DeferredDelete)


@pytest.fixture
def open_desk(
    make_napari_viewer_proxy: Any, qtbot: Any, segmenter: FakeSegmenter
) -> Iterator[Callable[..., Desk]]:
    """Open a real viewer with an image and the started widget."""
    desks: list[Desk] = []
    if os.environ.get("NAPARI_ASYNC", "0") != "0":  # napari's fixture has reset it
        settings.get_settings().experimental.async_ = True

    def open_it(
        data: Any = None, model: FakeSegmenter = segmenter, **options: Any
    ) -> Desk:
        data = np.zeros((80, 100), dtype=np.uint8) if data is None else data
        proxy = make_napari_viewer_proxy(show=True)
        viewer = proxy.__wrapped__
        image = viewer.add_image(data, **options)
        widget = GPCISWidget(proxy, lambda name: model)
        viewer.window.add_dock_widget(widget, name="GPCIS")
        viewer.window.resize(1200, 700)
        qtbot.waitUntil(viewer.window._qt_window.isVisible, timeout=WAIT)
        viewer.reset_view()
        desk = Desk(viewer, widget, Robot(viewer), model, image, qtbot)
        assert widget.start()
        desk.until(lambda: widget.session is not None)
        desks.append(desk)
        return desk

    yield open_it
    for desk in desks:
        desk.segmenter.gate.set()
        desk.widget.shut_down()  # it waits two seconds for the thread
        desk.until(lambda desk=desk: not desk.controller.worker.alive)


@pytest.fixture
def open_async_desk(open_desk: Callable[..., Desk]) -> Callable[..., Desk]:
    """Open a desk where napari reads planes on a thread of its own."""
    settings.get_settings().experimental.async_ = True
    return open_desk


def forget_plugin_settings() -> None:
    """Let napari make settings of plugins anew; before 0.9 it has none."""
    getattr(settings, "_clear_plugin_settings_cache", lambda: None)()


@pytest.fixture(autouse=True)
def default_preferences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Each test begins with the default preferences; the user's own are not touched."""
    monkeypatch.setenv("NAPARI_GPCIS_STATE", str(tmp_path / "state"))
    path = str(tmp_path / "settings.yaml")
    monkeypatch.setattr(settings, "_CFG_PATH", path, raising=False)  # before 0.9
    monkeypatch.setattr(settings.NapariSettings, "_maybe_save", lambda _: None)
    forget_plugin_settings()
    unlink()
    PREFERENCES.reset()
    yield
    settings.get_settings().experimental.async_ = False
    unlink()
    PREFERENCES.reset()
    forget_plugin_settings()
