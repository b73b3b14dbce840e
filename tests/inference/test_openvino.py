"""OpenVINO as what runs the feature network: the same masks, and nothing sent."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from _toy import toy_info
from _toy_backbone import make_toy_model
from napari_gpcis import Click, Segmenter
from napari_gpcis.clicks import points_tensor
from napari_gpcis.errors import InputError
from napari_gpcis.inference import openvino
from napari_gpcis.inference.openvino import OpenVINOModel
from napari_gpcis.inference.torch_cpu import TorchCPUModel

CLICKS = [Click(45, 50), Click(10, 70, False), Click(60, 40)]
POINTS = points_tensor([Click(20, 30), Click(50, 9, False)])


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_GPCIS_HOME", str(tmp_path))
    monkeypatch.delenv("NAPARI_GPCIS_BACKEND", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)


def features(model, size=64):
    generator = torch.Generator().manual_seed(1)
    rgb = torch.rand(1, 3, size, size, generator=generator)
    previous = torch.rand(1, 1, size, size, generator=generator)
    with torch.inference_mode():
        return model.features(model.encode(rgb), POINTS, previous)


def test_features_are_those_of_the_model():
    model = make_toy_model(gp_stride=4)
    compiled = OpenVINOModel(model)
    for size in (64, 96, 64):
        assert_allclose(features(compiled, size), features(model, size), atol=1e-5)


def test_masks_of_the_shipped_model_are_the_same(image):
    def load(**options):
        return Segmenter.from_pretrained("gpcis-mobilenet-v2", "cpu", **options)

    found = load(backend="openvino").predict(image, CLICKS)
    expected = load(exact=True).predict(image, CLICKS)
    assert_allclose(found.probability, expected.probability, atol=1e-2)
    overlap = (found.mask & expected.mask).sum() / (found.mask | expected.mask).sum()
    assert overlap > 0.999


def test_converted_network_is_kept(home, monkeypatch):
    model = make_toy_model(gp_stride=4)
    expected = features(OpenVINOModel(model))
    kept = sorted(path.name for path in (home / "openvino").iterdir())
    assert [name.split("-")[1] for name in kept] == ["encode", "encode", "fuse", "fuse"]

    converted = []
    convert = openvino._convert

    def counted(stage, inputs):
        converted.append(stage)
        return convert(stage, inputs)

    monkeypatch.setattr(openvino, "_convert", counted)
    assert torch.equal(features(OpenVINOModel(model)), expected)
    assert not converted
    features(OpenVINOModel(make_toy_model(seed=1, gp_stride=4)))
    assert len(converted) == 2


def test_damaged_file_is_made_anew(home, caplog):
    model = make_toy_model(gp_stride=4)
    expected = features(OpenVINOModel(model))
    for path in (home / "openvino").glob("*.xml"):
        path.write_text("<net")
    with caplog.at_level(logging.WARNING):
        assert torch.equal(features(OpenVINOModel(model)), expected)
    assert "is damaged and will be made anew" in caplog.text


def test_without_a_folder_it_runs_all_the_same(home, monkeypatch, caplog):
    (home / "file").write_text("")
    monkeypatch.setenv("NAPARI_GPCIS_HOME", str(home / "file"))
    with caplog.at_level(logging.WARNING):
        features(OpenVINOModel(make_toy_model(gp_stride=4)))
    assert "cannot be stored" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "abacus"}, "backend must be one of auto, torch, openvino, got"),
        ({"backend": "openvino", "exact": True}, "not exactly, got .*exact=True"),
    ],
)
def test_unusable_choices_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Segmenter(make_toy_model(), toy_info(), **{"exact": False, **options})


def test_absent_openvino(monkeypatch):
    monkeypatch.setattr(openvino, "available", lambda: False)
    model = make_toy_model()
    with pytest.raises(InputError, match=r"pip install 'napari-gpcis\[fast\]'"):
        Segmenter(model, toy_info(), exact=False, backend="openvino")
    automatic = Segmenter(model, toy_info(), exact=False)
    assert isinstance(automatic._engine._model, TorchCPUModel)


def test_what_cannot_be_converted_runs_in_pytorch(monkeypatch, caplog):
    def fail(*_):
        raise NotImplementedError("no such operation")

    monkeypatch.setattr(openvino, "_convert", fail)
    model = make_toy_model(gp_stride=4)
    assert torch.equal(features(OpenVINOModel(model)), features(model))
    assert "cannot run the network: no such operation" in caplog.text


@pytest.mark.parametrize(
    ("named", "kind"), [("torch", TorchCPUModel), ("openvino", OpenVINOModel)]
)
def test_environment_names_the_backend(monkeypatch, named, kind):
    monkeypatch.setenv("NAPARI_GPCIS_BACKEND", named)
    found = Segmenter(make_toy_model(), toy_info(), exact=False)
    assert isinstance(found._engine._model, kind)
    assert Segmenter(make_toy_model(), toy_info(), exact=True).device == "cpu"


def test_unknown_backend_in_the_environment(monkeypatch):
    monkeypatch.setenv("NAPARI_GPCIS_BACKEND", "abacus")
    with pytest.raises(InputError, match=r"backend must be one of .* got 'abacus'"):
        Segmenter(make_toy_model(), toy_info(), exact=False)


def test_usage_statistics_stay_off():
    code = (
        "import sys; from napari_gpcis.inference import openvino; "
        "openvino._openvino().convert_model; "
        "sys.exit('openvino_telemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


GIVEN_UP_ELSEWHERE = """
import faulthandler, gc, signal, subprocess, sys, threading
import numpy as np
from napari_gpcis import Click, Segmenter

faulthandler.enable()  # a stack of its own for signals
signal.signal(getattr(signal, "SIGCHLD", signal.SIGINT), lambda *_: None)
kept = [Segmenter.from_pretrained(backend="openvino")]
kept[0].predict(np.zeros((64, 64), np.uint8), [Click(3, 3)])
giving_up = threading.Thread(target=lambda: (kept.clear(), gc.collect()))
giving_up.start()
giving_up.join()
subprocess.run([sys.executable, "-c", ""], check=True)
print("alive")
"""


def test_signals_arrive_after_a_model_was_given_up_in_another_thread():
    command = [sys.executable, "-c", GIVEN_UP_ELSEWHERE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
