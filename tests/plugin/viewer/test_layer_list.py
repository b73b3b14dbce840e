"""The layer list while an annotation goes on: layers that come, go and come back."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Points
from qtpy.QtCore import Qt

from _fake_search import replace_search
from napari_gpcis.plugin.dock.panels.uncertainty import UncertaintyPanel
from napari_gpcis.plugin.tools.display.uncertainty import MAPS
from napari_gpcis.plugin.viewer.segments import Segments


def test_layers_that_a_script_takes_away_and_puts_back(open_desk, errors) -> None:
    """A proxy of napari's in the layer list makes Qt crash, with all of napari."""
    desk = open_desk()
    layers, annotation = desk.viewer.layers, desk.controller.annotation
    rows = desk.viewer.window._qt_viewer.layers.model()
    for role in ("labels", "negative", "positive", "image"):
        names = [layer.name for layer in layers]
        annotation = desk.controller.annotation
        layer = annotation.image if role == "image" else getattr(desk, role)
        assert any(layer is one for one in layers), role  # itself, no proxy
        layers.remove(layer)
        assert desk.controller.annotation is None
        layers.append(layer)
        desk.qtbot.wait(50)
        assert rows.rowCount() == len(layers) == len(names) - 1  # without outlines
        assert desk.widget.start()
        desk.until(lambda: desk.widget.session is not None)
        assert sorted(layer.name for layer in layers) == sorted(names)
    both = [desk.positive, desk.labels]
    for layer in both:
        layers.remove(layer)
    for layer in both:
        layers.append(layer)
    desk.qtbot.wait(50)
    everything = [*layers]
    layers.clear()
    desk.qtbot.wait(50)
    layers.extend(everything)
    desk.qtbot.wait(50)
    assert rows.rowCount() == len(layers) == len(everything) == 4
    assert desk.widget.start()
    desk.until(lambda: desk.widget.session is not None)
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    assert not errors


def test_layers_for_display_are_few_and_go_at_stop(open_desk, monkeypatch) -> None:
    replace_search(monkeypatch)
    desk = open_desk()
    ours = [desk.image, desk.positive, desk.negative, desk.labels]
    layers = desk.viewer.layers

    def helpers() -> list[str]:
        return sorted(
            layer.name.split(" on ")[0] for layer in layers if layer not in ours
        )

    assert set(helpers()) <= {"outlines"}
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    desk.robot.click(desk.image, (60, 80))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_F, Qt.KeyboardModifier.ShiftModifier)  # candidates
    desk.robot.press(Qt.Key.Key_W)  # preview
    desk.robot.press(Qt.Key.Key_H)  # next click
    desk.robot.move(desk.image, (20, 80))
    panels = desk.widget.panels
    for name in MAPS:
        next(p for p in panels if isinstance(p, UncertaintyPanel)).maps.show(name, True)
    maps = {one.title for one in MAPS.values()}
    desk.until(lambda: {"outlines", *maps} <= set(helpers()))
    desk.qtbot.wait(200)
    assert set(helpers()) <= {"outlines", "next click", *maps}
    assert len(set(helpers())) == len(helpers())
    assert layers.selection.active in (desk.positive, desk.negative)
    desk.widget.start_button.click()
    desk.until(lambda: helpers() == [])
    assert all(layer in layers for layer in ours)


def test_all_layers_selected_and_deleted(open_desk, errors) -> None:
    desk = open_desk()
    layers = desk.viewer.layers
    layers.select_all()
    layers.remove_selected()
    desk.qtbot.wait(50)
    assert not layers
    assert desk.controller.annotation is None
    assert not errors


@pytest.mark.parametrize("first", range(4))
def test_several_layers_deleted_at_once(bench, first: int) -> None:
    """Whatever of an annotation goes, a layer of somebody else's stays."""
    bench.start()
    mine = Points(np.zeros((1, 2)), name="mine")
    bench.viewer.layers.insert(0, mine)
    curves = bench.controller.annotation.curves.prepare()
    names = [layer.name for layer in bench.viewer.layers]
    gone = names[1 + first : 3 + first]  # of image, labels, outlines and clicks
    del bench.viewer.layers[1 + first : 3 + first]
    assert bench.controller.annotation is None
    bench.until(lambda: curves not in bench.viewer.layers)
    left = [name for name in names if name not in (*gone, curves.name)]
    assert [layer.name for layer in bench.viewer.layers] == left
    assert mine in bench.viewer.layers


@pytest.mark.parametrize("gone", [("labels",), ("negative",), ("positive", "labels")])
def test_layers_made_anew_lie_where_they_lay(bench, gone) -> None:
    image = bench.start()
    bench.controller.annotation.curves.prepare()
    before = [layer.name for layer in bench.viewer.layers]
    layers = [getattr(bench, role) for role in gone]
    for layer in layers:
        bench.viewer.layers.remove(layer)
    bench.qtbot.wait(10)
    assert bench.controller.start(image)
    bench.controller.annotation.curves.prepare()
    bench.qtbot.wait(10)
    assert [layer.name for layer in bench.viewer.layers] == before
    assert bench.viewer.layers.selection.active == bench.positive


@pytest.mark.parametrize("shape", [(1, 100), (80, 1)])
def test_accepting_is_told_in_images_of_one_row_or_column(bench, shape) -> None:
    """The sliders changed with the outlines, and the plane was entered anew."""
    bench.start(np.zeros(shape, np.uint8))
    bench.positive.add(tuple(size // 2 for size in shape))
    bench.settled(1)
    annotation = bench.controller.annotation
    pieces = Segments.of_labels(np.ones(shape, bool), (0, 0))
    annotation.curves.show("all", annotation.current.plane, pieces, "#ffffff")
    bench.controller.command("accept")
    bench.settled(0)
    bench.qtbot.wait(100)
    assert bench.controller.status == "Object 1 is done. Click on the next one."
    assert bench.viewer.dims.nsteps == shape


def test_sliders_keep_their_steps_in_rolled_views(bench) -> None:
    """A slider had a step more than there are planes, from outlines at the edge."""
    stack = np.zeros((16, 60, 60), np.uint8)
    bench.start(stack, scale=(0.29, 0.52, 0.52), translate=(5, -20, 30))
    dims = bench.viewer.dims
    dims.roll()
    bench.until(lambda: bench.current.plane.axes == (0, 1) and bench.current.session)
    step = bench.current.plane.steps[2]
    bench.positive.add((8, 30, step))
    bench.settled(1)
    plane = np.ones((16, 60), bool)
    pieces = Segments.of_labels(plane, (0, 0))
    curves = bench.controller.annotation.curves
    curves.show("all", bench.current.plane, pieces, "#ffffff")
    bench.controller.command("accept")
    bench.settled(0)
    bench.qtbot.wait(50)
    assert dims.nsteps == stack.shape
    assert bench.controller.status == "Object 1 is done. Click on the next one."
    dims.roll()
    dims.roll()
    for plane in (0, 9, 15):
        dims.set_current_step(0, plane)
        bench.until(lambda plane=plane: bench.current.plane.steps == (plane, 0, 0))
