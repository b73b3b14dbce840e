"""Evaluations of any folder of images and any folder of labels."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk
from tifffile import imwrite

from gpcis_training.evaluation import load_results
from training._evaluating import command, rows_of


@pytest.fixture
def loose(tmp_path):
    """16-bit TIFF images and NumPy labels with names of their own."""
    folders = tmp_path / "raw", tmp_path / "drawn"
    for folder in folders:
        folder.mkdir()
    for number in range(2):
        labels = np.zeros((60, 70), np.int64)
        labels[disk((20, 20), 8)] = 5
        labels[disk((40, 50), 12)] = 300
        image = 1000 + 40_000 * (labels > 0) + 7 * np.arange(70)
        imwrite(folders[0] / f"s{number}.tif", image.astype(np.uint16))
        np.save(folders[1] / f"s{number}_labels.npy", labels)
    imwrite(folders[0] / "alone.tif", image.astype(np.uint16))
    return folders


def test_any_folder_of_images_and_labels(loose, tmp_path, capsys, caplog):
    images, labels = loose
    arguments = ["peer:watershed", "--images", images, "--labels", labels]
    output = tmp_path / "out.json"
    assert command(*arguments, "-o", output, "--max-clicks", 5) == 0
    (row,) = rows_of(capsys.readouterr().out)
    assert (row["Objects"], row["NoC@90"]) == ("4", "1.00 ± 0.00")
    assert "1 images without labels, such as alone.tif" in caplog.text
    (result,) = load_results(output)
    assert [item.ids for item in result.items] == [(5,), (300,)] * 2
    assert command(*arguments, "--min-area", 300, "--limit", 1) == 0
    assert rows_of(capsys.readouterr().out)[0]["Objects"] == "1"


def test_pairs_of_other_names(loose, tmp_path, capsys):
    assert all(folder.is_dir() for folder in loose)
    (tmp_path / "pairs.csv").write_text("image,labels\nalone.tif,s1_labels.npy\n")
    arguments = ["--root", tmp_path, "--images", "raw", "--labels", "drawn"]
    arguments += ["--pairs", tmp_path / "pairs.csv", "--max-clicks", 2]
    assert command("peer:watershed", *arguments) == 0
    assert rows_of(capsys.readouterr().out)[0]["Objects"] == "2"


def test_what_to_evaluate_must_be_said(loose, capsys):
    images, labels = loose
    assert command("peer:watershed") == 1
    assert "name --dataset, or --images and --labels" in capsys.readouterr().err
    assert command("peer:watershed", "--images", images) == 1
    assert "must be given together" in capsys.readouterr().err
    np.save(labels / "s0_labels.npy", np.zeros((60, 70), np.float32))
    assert command("peer:watershed", "--images", images, "--labels", labels) == 1
    assert "s0_labels.npy: float32 of shape (60, 70) is no" in capsys.readouterr().err
