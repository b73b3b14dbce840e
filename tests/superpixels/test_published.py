"""Published CDS checkpoints become ours, and nothing in them is executed."""

import numpy as np
import pytest
import torch

from _cds_oracle import published_association, published_state
from napari_gpcis.cli import main
from napari_gpcis.errors import CheckpointError
from napari_gpcis.superpixels import superpixels
from napari_gpcis.superpixels.published import convert_superpixels, is_published
from napari_gpcis.superpixels.weights import load_superpixels


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_GPCIS_HOME", str(tmp_path / "home"))


def write(path, state, prefix="", **more):
    named = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": named, "epoch": 3, "arch": "CDSNet", **more}, path)
    return path


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_converted_weights_answer_as_published(tmp_path, prefix):
    state = published_state()
    source = write(tmp_path / "model_best.tar", state, prefix)
    assert is_published(source)
    network, info = load_superpixels(convert_superpixels(source))
    network.strict_reference = True
    image = torch.rand(2, 3, 48, 64) - 0.43
    with torch.no_grad():
        found = network(image)
    torch.testing.assert_close(found, published_association(state, image))
    assert info.options == {"width": 6, "content": 4}
    assert found.std() > 0.05


def test_what_only_training_needs_is_left_out(tmp_path):
    state = {
        **published_state(),
        "mi_estimator.p_mu.0.weight": torch.zeros(4, 32),
        "train_sp_ids": torch.zeros(3),
    }
    target = convert_superpixels(
        write(tmp_path / "a.tar", state), tmp_path / "a.safetensors"
    )
    network, _ = load_superpixels(target)
    assert network.auxiliary_encoder is None


def test_the_command_makes_the_method_cds(tmp_path, capsys):
    source = write(tmp_path / "model_best.tar", published_state())
    assert main(["convert", str(source)]) == 0
    assert "cds.safetensors" in capsys.readouterr().out
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    labels = superpixels(image, 15, method="cds")
    assert 14 <= labels.max() <= 16


def test_a_target_that_exists_is_kept(tmp_path):
    source = write(tmp_path / "a.tar", published_state())
    target = tmp_path / "mine.safetensors"
    target.write_bytes(b"mine")
    with pytest.raises(CheckpointError, match="exists"):
        convert_superpixels(source, target)
    assert target.read_bytes() == b"mine"
    convert_superpixels(source, target, overwrite=True)
    load_superpixels(target)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("decoder.up.2.fusion.0.weight"), "does not fit"),
        (lambda s: s.update({"other.weight": torch.zeros(1)}), "does not fit"),
        (lambda s: s.update({"head.0.bias": torch.zeros(8)}), "does not fit"),
        (lambda s: s["head.0.bias"].fill_(torch.nan), "not finite"),
        (lambda s: s.pop("head.0.weight"), "not of a CDS network"),
    ],
)
def test_other_weights_are_refused(tmp_path, change, message):
    state = published_state()
    change(state)
    source = write(tmp_path / "a.tar", state)
    with pytest.raises(CheckpointError, match=message):
        convert_superpixels(source)


class _Surprise:
    def __reduce__(self):
        return print, ("executed",)


def test_code_in_a_file_is_not_executed(tmp_path, capsys):
    source = write(tmp_path / "a.tar", published_state(), optimizer=_Surprise())
    assert not is_published(source)
    with pytest.raises(CheckpointError, match="never loaded"):
        convert_superpixels(source)
    assert "executed" not in capsys.readouterr().out


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError):
        convert_superpixels(tmp_path / "none.tar")
