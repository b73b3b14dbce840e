"""The contrast that the model sees: stated, and choosable."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gpcis.plugin.dock.panels.image import BLACK_AND_WHITE, IN_USE, ContrastPanel


@pytest.fixture
def panel(bench):
    made = ContrastPanel(bench.controller)
    yield made
    bench.controller.stop()
    made.deleteLater()


def test_the_contrast_is_stated_and_may_be_the_layers(bench, panel) -> None:
    data = np.random.default_rng(0).integers(100, 900, (80, 100), np.uint16)
    image = bench.start(data, contrast_limits=(0, 5000))
    low, high = bench.controller.session.limits[0]
    assert 95 < low < 110
    assert BLACK_AND_WHITE.format(low, high) in panel.message.text()
    bench.positive.add([30, 40])
    bench.settled(1)
    before = bench.controller.session
    panel.choice.setCurrentIndex(1)
    panel.choice.activated.emit(1)
    bench.until(lambda: bench.controller.session not in (None, before))
    assert bench.controller.session.limits == ((0.0, 5000.0),)
    bench.settled(1)  # the clicks are replayed
    assert "5000 is white" in panel.message.text()
    image.contrast_limits = (0, 300)  # the slider does not change masks
    assert bench.controller.session.limits == ((0.0, 5000.0),)
    again = bench.controller.session
    panel.choice.setCurrentIndex(0)
    panel.choice.activated.emit(0)
    bench.until(lambda: bench.controller.session not in (None, again))
    assert bench.controller.session.limits == ((low, high),)


def test_colour_is_taken_as_it_is(bench, panel) -> None:
    bench.start(np.zeros((80, 100, 3), np.uint8), rgb=True)
    assert not panel.choice.isEnabled()
    assert panel.message.text() == IN_USE.format(BLACK_AND_WHITE.format(0, 255))
