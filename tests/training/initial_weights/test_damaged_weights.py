"""Damaged files of weights: one line that names the file, whatever PyTorch raises."""

import pytest

from gpcis_training.initial_weights.files import read_state_dict
from napari_gpcis.errors import CheckpointError

CONTENTS = {
    "empty": b"",
    "text": b"hello",
    "missing memo": b"\x80\x02h\x07.",
    "empty stack": b"\x80\x02]q\x00K\x01e.",
    "cut name": b"\x80\x02}q\x00X\x04",
    "one byte": b"\x80",
    "cut archive": b"PK\x03\x04",
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_damaged_state_dict_is_one_line(tmp_path, name):
    path = tmp_path / "weights.pth"
    path.write_bytes(CONTENTS[name])
    with pytest.raises(
        CheckpointError, match=r"weights\.pth is no PyTorch file"
    ) as caught:
        read_state_dict(path)
    message = str(caught.value)
    assert "\n" not in message
    assert not message.endswith(": ")
