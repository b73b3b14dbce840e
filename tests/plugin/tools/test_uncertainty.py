"""Maps of what the model is unsure about, and the ring around the next click."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from _fake_segmenter import FakeSegmenter
from napari_gpcis.inference.prediction import GridMaps, Prediction
from napari_gpcis.next_click import doubt, next_click
from napari_gpcis.plugin.dock.panels.uncertainty import UncertaintyPanel
from napari_gpcis.plugin.tools.display.uncertainty import FADED, MAPS
from napari_gpcis.plugin.viewer.overlays import is_display

LEFT = Qt.MouseButton.LeftButton


class Unsure(FakeSegmenter):
    """A sure disk at each positive click; a square right of it may belong to it."""

    doubtful = 0.6

    def _predict(self, request: Any, clicks: Any) -> Prediction:
        found = super()._predict(request, clicks)
        roi = (0, 0, 60, 90)
        whole = np.clip(found.maps.probability, 0.01, 0.99)[:60, :90]
        row, col = clicks[0].pixel
        spot = whole[row - 10 : row + 11, col + 14 : col + 35]
        spot[...] = np.maximum(spot, self.doubtful if len(clicks) == 1 else 0.01)
        variance = np.linspace(1, 0.5, whole.size, dtype=np.float32)
        maps = GridMaps(
            whole.copy(), whole.copy(), whole.copy(), variance.reshape(whole.shape)
        )
        return Prediction(request.prepared.shape, roi, clicks, 0.5, maps, True)


@pytest.fixture
def segmenter() -> Unsure:
    return Unsure()


@pytest.fixture
def panel(bench):
    made = UncertaintyPanel(bench.controller)
    yield made
    bench.controller.stop()
    made.deleteLater()


def camera(bench) -> Any:
    return getattr(bench.viewer, "scene", bench.viewer).camera


def shown(bench) -> dict[str, Any]:
    """Layers that only show something and are seen, by the beginning of the name."""
    layers = [one for one in bench.viewer.layers if is_display(one) and one.visible]
    return {layer.name.split(" on ")[0]: layer for layer in layers}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": (-2.0, 0.5), "translate": (7, -3), "rotate": 20},
        {"affine": [[0.8, -0.6, 4], [0.6, 0.8, 9], [0, 0, 1]], "units": ("um", "um")},
    ],
    ids=["plain", "scaled", "affine"],
)
def test_a_map_lies_where_the_network_looked(bench, panel, options) -> None:
    image = bench.start(**options)
    bench.positive.add(bench.positive.world_to_data(image.data_to_world([30, 30])))
    bench.settled(1)
    panel.boxes["variance"].click()
    (layer,) = shown(bench).values()
    found = bench.controller.session.prediction
    np.testing.assert_array_equal(layer.data, found.maps.variance)
    assert layer.data.shape == (60, 90)  # the roi, not the plane
    for pixel in ([0, 0], [59, 89], [30, 12]):
        world = image.data_to_world(pixel)
        np.testing.assert_allclose(layer.data_to_world(pixel), world, atol=1e-9)
    assert layer.units == image.units


def test_maps_follow_the_clicks_and_go_on_stop(bench, panel) -> None:
    bench.start()
    for box in panel.boxes.values():
        box.click()
    assert not shown(bench)  # nothing is known yet
    bench.positive.add([30, 30])
    bench.settled(1)
    layers = shown(bench)
    assert set(layers) == {kind.title for kind in MAPS.values()}
    for kind in MAPS.values():
        layer = layers[kind.title]
        assert tuple(layer.contrast_limits) == kind.limits
        assert layer.colormap.name == f"{kind.colormap}, faded"
        low, quarter, high = layer.colormap.map(np.array([0, FADED, 1]))
        assert low[3] == 0  # the image is seen where nothing is to be told
        np.testing.assert_allclose([quarter[3], high[3]], 1, atol=0.01)
    before = layers[MAPS["doubt"].title].data.copy()
    bench.positive.add([30, 60])
    bench.settled(2)
    found = bench.controller.session.prediction
    after = shown(bench)[MAPS["doubt"].title].data
    np.testing.assert_allclose(after, doubt(found), atol=1e-6)
    assert not np.array_equal(before, after)
    assert bench.viewer.layers.selection.active == bench.positive
    bench.controller.command("clear")
    bench.until(lambda: not shown(bench))
    bench.positive.add([30, 30])
    bench.settled(1)
    assert len(shown(bench)) == 3
    bench.controller.stop()
    assert not any(is_display(layer) for layer in bench.viewer.layers)


def test_the_key_brings_the_last_maps_back(bench, panel) -> None:
    bench.start()
    bench.positive.add([30, 30])
    bench.settled(1)
    bench.controller.command("uncertainty")
    assert set(shown(bench)) == {MAPS["doubt"].title}
    assert panel.boxes["doubt"].isChecked()
    panel.boxes["doubt"].click()
    panel.boxes["probability"].click()
    bench.controller.command("uncertainty")
    assert not shown(bench)
    bench.controller.command("uncertainty")
    assert set(shown(bench)) == {MAPS["probability"].title}
    bench.viewer.layers.remove(shown(bench)[MAPS["probability"].title])
    assert not panel.boxes["probability"].isChecked()
    bench.positive.add([30, 60])
    bench.settled(2)
    assert not shown(bench)


def test_maps_of_a_stack_lie_in_their_plane(bench, panel) -> None:
    bench.start(np.zeros((3, 80, 100), np.uint8))
    bench.viewer.dims.set_current_step(0, 1)
    panel.boxes["doubt"].click()
    bench.positive.add([1, 30, 30])
    bench.settled(1)
    (layer,) = shown(bench).values()
    assert layer.data.shape == (1, 60, 90)
    np.testing.assert_allclose(layer.data_to_world([0, 5, 6]), [1, 5, 6])
    bench.viewer.dims.set_current_step(0, 2)
    bench.until(lambda: not shown(bench))
    bench.viewer.dims.set_current_step(0, 1)
    bench.until(lambda: shown(bench))


def test_the_ring_marks_the_next_click(bench, panel) -> None:
    bench.start()
    panel.ring.click()
    assert "Click on an object first" in panel.message.text()
    bench.positive.add([30, 30])
    bench.settled(1)
    bench.until(lambda: shown(bench))
    (ring,) = shown(bench).values()
    place = next_click(bench.controller.session.prediction)
    assert place is not None
    np.testing.assert_array_equal(ring.data, [[place.row, place.col]])
    assert abs(place.row - 30) < 10
    assert 40 < place.col < 65  # in the doubtful square
    assert "ring" in panel.message.text()
    assert bench.viewer.layers.selection.active == bench.positive
    bench.negative.add([30, 54])
    bench.settled(2)
    bench.until(lambda: "No click needed" in panel.message.text())
    assert not shown(bench)
    bench.controller.command("undo")
    bench.until(lambda: shown(bench))
    panel.ring.click()
    assert not shown(bench)
    bench.controller.stop()
    assert not any(is_display(layer) for layer in bench.viewer.layers)


def test_the_ring_is_under_advanced_and_off_until_asked_for(open_desk) -> None:
    desk = open_desk()
    found = next(p for p in desk.widget.panels if isinstance(p, UncertaintyPanel))
    section = next(s for s in desk.widget.sections if s.content is found)
    QTest.mouseClick(section.header, LEFT)
    assert found.boxes["doubt"].isVisible()
    assert not found.ring.isVisible()
    assert not found.guide.wanted
    desk.robot.click(desk.image, (30, 30))
    desk.settled(1)
    assert not displays(desk)
    QTest.mouseClick(found.advanced.header, LEFT)
    assert found.ring.isVisible()
    assert not found.ring.isChecked()
    QTest.mouseClick(found.advanced.header, LEFT)
    desk.robot.press(Qt.Key.Key_H)  # who asks for it by the key sees what it says
    assert found.ring.isVisible()
    assert found.ring.isChecked()
    QTest.mouseClick(found.advanced.header, LEFT)
    desk.robot.press(Qt.Key.Key_H)
    assert not found.ring.isVisible(), "it was folded by hand"


def test_the_ring_goes_with_its_object(bench, panel) -> None:
    bench.start()
    panel.ring.click()
    bench.positive.add([30, 30])
    bench.settled(1)
    bench.until(lambda: shown(bench))
    bench.controller.command("accept")
    bench.settled(0)
    assert not shown(bench)
    assert panel.guide.advice is None
    assert "Click on an object first" in panel.message.text()
    bench.controller.command("undo")
    bench.until(lambda: shown(bench))


def test_the_key_goes_to_the_ring(bench, panel) -> None:
    image = bench.start(scale=(2.0, 3.0))
    bench.positive.add([30, 30])
    bench.settled(1)
    bench.controller.command("next_click")
    bench.until(lambda: shown(bench))
    assert panel.ring.isChecked()
    place = next_click(bench.controller.session.prediction)
    assert place is not None
    wanted = image.data_to_world((place.row, place.col))
    np.testing.assert_allclose(camera(bench).center[1:], wanted)
    camera(bench).center = (0, 0, 0)
    bench.controller.command("next_click")
    np.testing.assert_allclose(camera(bench).center[1:], wanted)
    ring = next(iter(shown(bench).values()))
    bench.viewer.layers.remove(ring)
    assert not panel.ring.isChecked()


def test_keys_in_a_real_viewer(open_desk) -> None:
    desk = open_desk()
    desk.robot.click(desk.image, (30, 30))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_H, Qt.KeyboardModifier.ShiftModifier)
    desk.until(lambda: len(displays(desk)) == 1)
    desk.robot.press(Qt.Key.Key_H)
    desk.until(lambda: len(displays(desk)) == 2)
    assert desk.viewer.layers.selection.active == desk.positive
    combo = desk.widget.image_combo
    assert [combo.itemText(i) for i in range(combo.count())] == [desk.image.name]
    (ring,) = (one for one in displays(desk) if one.name.startswith("next click"))
    right = Qt.MouseButton.RightButton
    desk.robot.click(ring, ring.data[0], right)  # clicks go on below the ring
    desk.settled(2)
    assert not desk.controller.session.clicks[1].positive
    desk.widget.start_button.click()
    assert not displays(desk)


def displays(desk) -> list[Any]:
    return [one for one in desk.viewer.layers if is_display(one)]
