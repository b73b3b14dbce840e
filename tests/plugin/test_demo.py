"""The demo without a screen: a robot at the mouse, figures, and an honest exit code."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import io

from _fake_segmenter import FakeSegmenter
from napari_gpcis.clicks import Click
from napari_gpcis.inference.prediction import GridMaps, Prediction
from napari_gpcis.plugin import demo
from napari_gpcis.plugin.robot import next_click
from napari_gpcis.plugin.sample_data import read_sample


class Oracle(FakeSegmenter):
    """Answers with the known nucleus under the first click."""

    def _predict(self, request, clicks) -> Prediction:
        known = read_sample(f"{demo.SAMPLE}_labels")
        probability = (known == known[clicks[0].pixel]).astype(np.float32)
        maps = GridMaps(*(probability.copy() for _ in GridMaps._fields))
        return Prediction(known.shape, (0, 0, *known.shape), clicks, 0.5, maps, True)


@pytest.mark.parametrize(
    ("segmenter", "code", "clicks"), [(Oracle, 0, 1), (FakeSegmenter, 1, 3)]
)
def test_the_robot_segments_and_judges(
    make_napari_viewer, tmp_path, capsys, segmenter, code, clicks
) -> None:
    arguments = ["--headless", "--output", str(tmp_path), "--objects=2", "--clicks=3"]
    assert demo.main(arguments, lambda name: segmenter()) == code
    printed = capsys.readouterr().out
    assert "computed from the image's known mask" in printed
    assert printed.count(f": {clicks} clicks, IoU ") == 2
    assert set(np.unique(io.imread(tmp_path / "demo_labels.tif"))) == {0, 1, 2}
    picture = io.imread(tmp_path / "demo.png")
    assert picture.shape[0] > 500
    assert picture[..., :3].std() > 10


def test_without_a_screen_it_says_what_to_do(monkeypatch, capsys) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(demo.sys, "platform", "linux")
    assert demo.main(["--headless"]) == 2
    assert "xvfb-run" in capsys.readouterr().err


def test_a_model_that_does_not_load_fails_the_demo(
    make_napari_viewer, tmp_path, capsys
) -> None:
    def broken(name: str) -> FakeSegmenter:
        msg = "weights are missing"
        raise OSError(msg)

    assert demo.main(["--headless", "--output", str(tmp_path)], broken) == 1
    assert "did not load" in capsys.readouterr().err


def test_the_robot_clicks_where_the_mask_is_most_wrong() -> None:
    wanted = np.zeros((40, 60), dtype=bool)
    wanted[10:31, 20:41] = True
    assert next_click(wanted, np.zeros_like(wanted)) == Click(20, 30)
    mask = wanted.copy()
    mask[10:31, 45:60] = True
    click = next_click(wanted, mask)
    assert click is not None
    assert not click.positive
    assert mask[click.pixel]
    assert next_click(wanted, wanted) is None
