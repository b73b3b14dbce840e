"""The command ``napari-gpcis superpixels``."""

import numpy as np
import pytest
from imageio.v3 import imwrite
from tifffile import imread
from tifffile import imwrite as write_tiff

from napari_gpcis.cli import main
from napari_gpcis.superpixels import superpixels


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / name for name in ("a.png", "b.png")]
    for path in paths:
        imwrite(path, noise(40, 50, 3))
    return [str(path) for path in paths]


def test_one_image(images, tmp_path, capsys):
    out = tmp_path / "out.tif"
    assert main(["superpixels", images[0], "-n", "40", "-o", str(out)]) == 0
    labels = imread(out)
    assert np.array_equal(labels, superpixels(noise(40, 50, 3), 40))
    printed = capsys.readouterr().out
    assert printed == f"wrote {out}: {labels.max()} superpixels\n"


def test_options(images, tmp_path):
    out = tmp_path / "out.npy"
    words = ["superpixels", images[0], "-n", "30", "-o", str(out), "--method", "slic"]
    words += ["--compactness", "5", "--channels", "1", "--contrast", "0,100"]
    assert main(words) == 0
    expected = superpixels(
        noise(40, 50, 3),
        30,
        method="slic",
        compactness=5,
        channels=(1,),
        contrast=(0, 100),
    )
    assert np.array_equal(np.load(out), expected)


def test_a_plane_of_a_stack(tmp_path):
    stack = noise(3, 40, 50).astype(np.uint16)
    write_tiff(tmp_path / "stack.tif", stack, photometric="minisblack")
    out = tmp_path / "out.tif"
    words = ["superpixels", str(tmp_path / "stack.tif"), "--plane", "2"]
    assert main([*words, "-n", "20", "-o", str(out)]) == 0
    assert np.array_equal(imread(out), superpixels(stack[2], 20))


def test_many_images(images, tmp_path, capsys):
    folder = tmp_path / "out"
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    words = ["superpixels", *images, str(bad), "-n", "20", "-o", str(folder)]
    assert main(words) == 1
    printed = capsys.readouterr()
    assert printed.out.count("superpixels\n") == 2
    assert f"napari-gpcis: {bad}: image {bad} cannot be read" in printed.err
    assert sorted(path.name for path in folder.iterdir()) == ["a.tif", "b.tif"]


def test_results_that_are_there_are_kept(images, tmp_path, capsys):
    folder = tmp_path / "res.2026"
    words = ["superpixels", *images, "-n", "9", "-o", str(folder)]
    assert main(words) == 0
    (folder / "a.tif").write_bytes(b"mine")
    (folder / "b.tif").unlink()
    capsys.readouterr()
    assert main(words) == 0
    told = capsys.readouterr().out
    assert f"wrote {folder / 'b.tif'}" in told
    assert "1 were there (--overwrite replaces them)" in told
    assert (folder / "a.tif").read_bytes() == b"mine"
    assert main([*words, "--overwrite"]) == 0
    assert (folder / "a.tif").read_bytes() != b"mine"


def test_a_folder_of_the_images_is_not_taken_for_results(images, tmp_path, capsys):
    words = ["superpixels", *images, "-o", str(tmp_path), "--format", "png"]
    assert main(words) == 2
    assert "is one of the images; choose another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--method", "seeds"], "method must be one of"),
        (["--method", "slic", "--compactness", "0"], "compactness must be"),
        (["--contrast", "2,1"], "contrast must be"),
    ],
)
def test_what_suits_no_image_is_told_once(images, tmp_path, capsys, more, told):
    folder = tmp_path / "out"
    assert main(["superpixels", *images, "-o", str(folder), *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert not folder.exists()


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_for_one_image(images, tmp_path, there):
    folder = tmp_path / "out"
    if there:
        folder.mkdir()
    words = ["superpixels", images[0], "-n", "9", "-o", str(folder)]
    assert main([*words, "--format", "png"]) == 0
    assert (folder / "a.png").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["-n", "0"], "n must be from 1 to the 2000 pixels"),
        (["-n", "2001"], "n must be from 1 to the 2000 pixels"),
        (["--method", "seeds"], "method must be one of"),
        (["--method", "none.safetensors"], "does not exist"),
        (["--compactness", "0", "--method", "slic"], "compactness must be"),
        (["--plane", "1"], "plane must have"),
        (["--channels", "7"], "channels must be"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    images, tmp_path, capsys, change, message
):
    out = tmp_path / "out.tif"
    assert main(["superpixels", images[0], "-o", str(out), *change]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not out.exists()


def test_files_are_not_replaced_without_a_word(images, tmp_path, capsys):
    out = tmp_path / "out.png"
    out.write_bytes(b"mine")
    words = ["superpixels", images[0], "-n", "9", "-o", str(out)]
    assert main(words) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
    assert main([*words, "--overwrite"]) == 0
    assert main(["superpixels", images[0], "-o", images[0], "--overwrite"]) == 2
    assert "is the image itself" in capsys.readouterr().err


def test_ome_zarr_is_no_folder_of_results(images, tmp_path, capsys):
    out = tmp_path / "out.zarr"
    words = ["superpixels", images[0], "-n", "9", "-o", str(out)]
    assert main(words) == 0
    before = sorted(out.rglob("*"))
    assert main(words) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert sorted(out.rglob("*")) == before
    assert main(["superpixels", *images, "-o", str(out)]) == 2
    assert "must be a folder for 2 images" in capsys.readouterr().err
    (out / "labels").mkdir()
    assert main([*words[:-1], str(out / "labels"), "--overwrite"]) == 2
    assert "is the group of all labels" in capsys.readouterr().err


def test_images_of_equal_names_have_results_in_subfolders(images, tmp_path, capsys):
    """As those of ``segment``; of one folder they have their whole names."""
    twin, out = tmp_path / "more", tmp_path / "out"
    twin.mkdir()
    imwrite(twin / "a.png", noise(30, 50))
    imwrite(twin / "a.tif", noise(40, 60))
    files = [*images, str(twin / "a.png"), str(twin / "a.tif"), images[0]]
    words = ["superpixels", *files, "-n", "20", "-o", str(out)]
    assert main(words) == 0
    written = sorted(path for path in out.rglob("*") if path.is_file())
    assert [path.relative_to(out).as_posix() for path in written] == [
        "a.tif",
        "b.tif",
        "more/a.png.tif",
        "more/a.tif.tif",
    ]
    shapes = [imread(path).shape for path in written]
    assert shapes == [(40, 50), (40, 50), (30, 50), (40, 60)]
    capsys.readouterr()
    assert main(words) == 0
    assert "4 were there" in capsys.readouterr().out


def test_outputs_do_not_meet(images, tmp_path, capsys):
    assert main(["superpixels", *images, "-o", str(tmp_path / "out.tif")]) == 2
    assert "must be a folder for 2 images" in capsys.readouterr().err
