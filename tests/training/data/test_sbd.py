"""The reader of the Semantic Boundaries Dataset."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from _published_sets import instances, write_instances, write_sbd
from gpcis_training.data.sbd import list_sbd, read_sbd_instances
from napari_gpcis.errors import InputError


def test_lists_and_instances(tmp_path):
    root = write_sbd(tmp_path / "SBD")
    train, val = list_sbd(root, "train"), list_sbd(root, "val")
    assert [file.image.name for file in train] == [
        "2008_000000.jpg",
        "2008_000001.jpg",
        "2008_000002.jpg",
    ]
    assert [file.instances.name for file in val] == [
        "2008_000003.mat",
        "2008_000004.mat",
    ]
    labels = read_sbd_instances(val[0].instances)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, instances(3))


def test_the_field_is_the_one_that_the_published_code_indexes(tmp_path):
    write_instances(tmp_path / "a.mat", instances())
    published = loadmat(tmp_path / "a.mat")["GTinst"][0][0][0]
    np.testing.assert_array_equal(read_sbd_instances(tmp_path / "a.mat"), published)


def test_many_instances(tmp_path):
    labels = np.arange(600, dtype=np.uint16).reshape(20, 30)
    savemat(tmp_path / "a.mat", {"GTinst": {"Segmentation": labels}})
    np.testing.assert_array_equal(read_sbd_instances(tmp_path / "a.mat"), labels)


def test_the_release_folder_is_accepted(tmp_path):
    write_sbd(tmp_path / "benchmark_RELEASE" / "dataset")
    assert len(list_sbd(tmp_path / "benchmark_RELEASE", "train")) == 3


def test_wrong_folders_and_lists(tmp_path):
    with pytest.raises(InputError, match="must hold the folders img and inst"):
        list_sbd(tmp_path, "val")
    root = write_sbd(tmp_path / "SBD")
    with pytest.raises(InputError, match=r"\(there: train, val\), got 'test'"):
        list_sbd(root, "test")
    (root / "val.txt").write_text("\n")
    with pytest.raises(InputError, match=r"list val.txt .*: no name"):
        list_sbd(root, "val")
    (root / "inst" / "2008_000001.mat").unlink()
    with pytest.raises(InputError, match=r"1 files are missing, .*2008_000001\.mat"):
        list_sbd(root, "train")


@pytest.mark.parametrize(
    "content",
    [{"Other": 1}, {"GTinst": {"Boundaries": 1}}, {"GTinst": {"Segmentation": 0.5}}],
)
def test_files_of_another_kind(tmp_path, content):
    savemat(tmp_path / "a.mat", content)
    with pytest.raises(InputError, match=r"a\.mat"):
        read_sbd_instances(tmp_path / "a.mat")


def test_damaged_files(tmp_path):
    path = tmp_path / "a.mat"
    with pytest.raises(InputError, match="must be an instance file of SBD"):
        read_sbd_instances(path)
    write_instances(path, instances())
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(InputError, match="must be an instance file of SBD"):
        read_sbd_instances(path)
