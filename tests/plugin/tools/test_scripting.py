"""Scripts: what they do with the session, the viewer shows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QApplication

from _fake_segmenter import disks
from napari_gpcis import Click
from napari_gpcis.errors import InputError
from napari_gpcis.plugin.tools.scripting import ViewerSession
from napari_gpcis.plugin.widget import GPCISWidget


@pytest.fixture
def session(bench: Any) -> ViewerSession:
    bench.start()
    return ViewerSession(bench.controller)


def test_calls_return_predictions_and_are_drawn_at_once(
    bench: Any, session: ViewerSession
) -> None:
    prediction = session.add_click(30, 40)
    np.testing.assert_array_equal(prediction.mask, disks((80, 100), (Click(30, 40),)))
    np.testing.assert_array_equal(bench.labels.data == 1, prediction.mask)
    np.testing.assert_array_equal(bench.positive.data, [[30, 40]])
    prediction = session.add_click(30, 48, False)
    np.testing.assert_array_equal(bench.labels.data == 1, prediction.mask)
    np.testing.assert_array_equal(bench.negative.data, [[30, 48]])
    session.undo()
    assert len(bench.negative.data) == 0
    session.redo()
    np.testing.assert_array_equal(bench.labels.data == 1, prediction.mask)
    moved = session.replace_clicks([Click(50, 50)])
    np.testing.assert_array_equal(bench.labels.data == 1, moved.mask)
    assert session.clear() is None
    assert not bench.labels.data.any()
    assert session.clicks == ()
    assert session.can_undo
    bench.qtbot.wait(50)  # nothing comes late
    assert not bench.labels.data.any()


def test_objects_are_those_of_the_buttons(bench: Any, session: ViewerSession) -> None:
    session.add_click(30, 40)
    assert session.accept() == 1
    first = bench.labels.data == 1
    session.add_click(30, 52)
    bench.controller.command("accept")  # as the button
    assert [done.id for done in session.objects] == [1, 2]
    np.testing.assert_array_equal(bench.labels.data == 1, first)
    np.testing.assert_array_equal(session.labels, bench.labels.data)
    session.delete(1)
    assert not (bench.labels.data == 1).any()
    session.undo_accept()
    np.testing.assert_array_equal(bench.labels.data == 1, first)
    assert session.undo_accept().clicks == (Click(30, 52),)
    assert session.accept() == 2
    assert len(bench.positive.data) == 0


def test_the_status_tells_what_a_script_has_changed(
    bench: Any, session: ViewerSession
) -> None:
    steps = [
        (lambda: session.add_click(30, 40), "1 click"),
        (session.accept, "Object 1 is done"),
        (lambda: session.refine(1), "correcting object 1"),
        (lambda: session.add_click(30, 48, False), "2 clicks"),
        (session.undo, "1 click"),
        (session.redo, "2 clicks"),
        (session.clear, "Ready"),
        (lambda: session.delete(1), "1 object deleted"),
        (session.undo_accept, "Ready"),
        (lambda: session.replace_clicks([Click(60, 60)]), "1 click"),
    ]
    for change, expected in steps:
        change()
        assert expected in bench.controller.status


def test_what_a_script_undoes_is_redone_by_the_key(
    bench: Any, session: ViewerSession
) -> None:
    session.add_click(30, 40)
    session.add_click(30, 48)
    session.accept()
    session.add_click(60, 60)
    shown = bench.labels.data.copy()
    session.undo()
    bench.controller.command("undo")  # the accept
    session.undo()
    for _ in range(3):
        bench.controller.command("redo")
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data, shown)
    bench.controller.command("undo")
    session.redo()
    bench.controller.command("redo")
    assert "Nothing to redo" in bench.controller.status
    np.testing.assert_array_equal(bench.labels.data, shown)


def test_a_script_goes_on_after_objects_that_wait(
    bench: Any, session: ViewerSession
) -> None:
    bench.segmenter.gate.clear()
    for place in ((30, 40), (60, 80)):
        bench.positive.add(place)
        bench.controller.command("accept")
    bench.segmenter.gate.set()
    session.add_click(20, 80)
    assert [done.clicks for done in session.objects] == [
        (Click(30, 40),),
        (Click(60, 80),),
    ]
    assert session.clicks == (Click(20, 80),)
    assert bench.labels.data[20, 80] == 3


def test_accept_takes_the_arguments_of_a_session(
    bench: Any, session: ViewerSession
) -> None:
    session.add_click(30, 40)
    assert session.accept(label=7) == 7
    session.add_click(30, 60)
    assert session.accept(label=7, how="add") == 7
    both = disks((80, 100), (Click(30, 40), Click(30, 60)))
    np.testing.assert_array_equal(bench.labels.data == 7, both)
    cut = session.add_click(30, 60).mask
    assert session.accept(label=7, how="cut") == 7
    np.testing.assert_array_equal(bench.labels.data == 7, both & ~cut)
    over = session.add_click(30, 44).mask
    number = session.accept(overwrite=True)
    np.testing.assert_array_equal(bench.labels.data == number, over)
    with pytest.raises(InputError, match="there is no click"):
        session.accept()
    with pytest.raises(InputError, match="id of a finished object, got 99"):
        session.delete(99)


def test_an_object_is_refined(bench: Any, session: ViewerSession) -> None:
    session.add_click(30, 40)
    session.accept()
    session.refine(1)
    session.add_click(30, 48, False)
    assert session.accept() == 1
    assert not bench.labels.data[30, 48]
    assert bench.labels.data[30, 36] == 1
    with pytest.raises(InputError, match="label must be the id of an object"):
        session.refine(5)


def test_a_correction_that_is_undone_leaves_the_object_to_itself(
    bench: Any, session: ViewerSession
) -> None:
    session.add_click(30, 30)
    assert session.accept() == 1
    first = bench.labels.data == 1
    session.refine(1)
    session.undo()
    np.testing.assert_array_equal(bench.labels.data == 1, first)
    session.redo()
    session.add_click(30, 38)
    session.undo()
    session.undo()
    session.add_click(60, 70)
    assert session.accept() == 2
    np.testing.assert_array_equal(bench.labels.data == 1, first)
    second = disks((80, 100), (Click(60, 70),))
    np.testing.assert_array_equal(bench.labels.data == 2, second)


def test_the_expected_size_is_that_of_the_plane(
    bench: Any, session: ViewerSession
) -> None:
    session.expected_size = 30
    assert session.expected_size == bench.current.session.typical_size == 30
    session.add_click(30, 40)
    assert bench.segmenter.runs[-1].typical_size == 30


def test_view_and_threshold(bench: Any, session: ViewerSession) -> None:
    session.view = (10, 10, 60, 70)
    session.add_click(30, 40)
    assert bench.segmenter.runs[-1].view == (10, 10, 60, 70)
    session.threshold = 0.3
    assert bench.controller.session.threshold == session.threshold == 0.3
    session.accept()
    session.add_click(60, 80)
    assert bench.segmenter.runs[-1].view != (10, 10, 60, 70)


def test_a_click_outside_and_an_error_in_the_model(
    bench: Any, session: ViewerSession
) -> None:
    with pytest.raises(InputError, match="a click must lie inside"):
        session.add_click(80, 0)
    assert len(bench.positive.data) == 0
    bench.segmenter.error = RuntimeError("no memory")
    with pytest.raises(RuntimeError, match="no memory"):
        session.add_click(30, 40)
    bench.segmenter.error = None
    session.add_click(30, 44)
    np.testing.assert_array_equal(
        bench.labels.data == 1, disks((80, 100), (Click(30, 40), Click(30, 44)))
    )


def test_before_anything_is_annotated(bench: Any) -> None:
    session = ViewerSession(bench.controller)
    with pytest.raises(InputError, match=r"call start\(\) first"):
        session.add_click(1, 1)


def test_from_the_console(make_napari_viewer_proxy: Any, qtbot: Any) -> None:
    """As documented, with the model that comes with the package, beside a mouse."""
    proxy = make_napari_viewer_proxy()
    viewer = proxy.__wrapped__
    viewer.open_sample("napari-gpcis", "nuclei-fluorescence")
    _, widget = viewer.window.add_plugin_dock_widget("napari-gpcis", "GPCIS")
    assert isinstance(widget, GPCISWidget)
    assert widget.session is None
    assert widget.start()
    qtbot.waitUntil(lambda: widget.session is not None, timeout=60_000)
    prediction = widget.session.add_click(60, 60)
    labels = widget.controller.annotation.layers.labels
    np.testing.assert_array_equal(labels.data == 1, prediction.mask)
    assert "1 click" in widget.status.text()
    assert widget.session.accept() == 1
    assert "'Nuclei, fluorescence'" in repr(widget.session)
    qtbot.keyClick(widget, Qt.Key.Key_N)
    session = widget.session
    widget.shut_down()
    assert "ended" in repr(session)


def test_a_script_that_goes_on_after_the_window_is_told(open_desk: Any) -> None:
    desk = open_desk()
    widget, session = desk.widget, desk.widget.session
    session.add_click(30, 40)
    desk.viewer.close()
    calls = {
        "add_click": lambda: session.add_click(30, 60),
        "replace_clicks": lambda: session.replace_clicks([]),
        "accept": session.accept,
        "undo": session.undo,
        "redo": session.redo,
        "clear": session.clear,
        "undo_accept": session.undo_accept,
        "refine": lambda: session.refine(1),
        "delete": lambda: session.delete(1),
        "save": lambda: session.save("nowhere.json"),
        "labels": lambda: session.labels,
        "clicks": lambda: session.clicks,
        "view": lambda: setattr(session, "view", (0, 0, 9, 9)),
        "threshold": lambda: setattr(session, "threshold", 0.4),
        "tidy": lambda: setattr(session, "tidy", None),
        "start": widget.start,
    }

    def all_tell() -> None:
        for call in calls.values():
            with pytest.raises(InputError, match="was closed"):
                call()
        assert widget.session is None
        assert "ended" in repr(session)

    desk.until(lambda: widget.controller.closed)
    all_tell()
    for _ in range(3):  # Qt deletes its objects
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        desk.qtbot.wait(50)
    all_tell()
    widget.shut_down()  # once more, for nothing
