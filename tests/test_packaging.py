"""One distribution, one manifest, whatever way it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from npe2 import PluginManifest

import napari_gpcis

ROOT = Path(__file__).parents[1]
LINK = Path("src", "napari_gpcis", "napari.yaml")
NEEDED = ("LICENSE", "README.md", "napari.yaml", "pyproject.toml", ".gitignore")

# Run with a folder first on the path: what an unpacked wheel is.
DISCOVER = """
import importlib.metadata, pathlib, sys
import gpcis_training, napari_gpcis
from npe2 import PluginManifest

home = pathlib.Path(napari_gpcis.__file__)
training = pathlib.Path(gpcis_training.__file__)
assert home.is_relative_to(sys.argv[1]), home
assert training.is_relative_to(sys.argv[1]), training
assert importlib.metadata.version("napari-gpcis") == napari_gpcis.__version__
found = PluginManifest.from_distribution("napari-gpcis")
expected = PluginManifest.from_file(sys.argv[2])
assert found.contributions == expected.contributions
assert found.display_name == expected.display_name
print(found.name)
"""


def build(tree: Path, target: Path, hook: str) -> Path:
    """Call a hook of hatchling in a tree; return the file it wrote."""
    code = f"import sys; from hatchling.build import {hook}; {hook}(sys.argv[1])"
    command = [sys.executable, "-c", code, str(target)]
    subprocess.run(command, cwd=tree, check=True, capture_output=True, timeout=60)
    (built,) = target.iterdir()
    return built


def copy_tree(target: Path) -> Path:
    """Copy what packaging needs, links as links, without history."""
    caches = shutil.ignore_patterns("__pycache__")
    for folder in ("src", "training"):
        shutil.copytree(ROOT / folder, target / folder, symlinks=True, ignore=caches)
    for name in NEEDED:
        shutil.copy(ROOT / name, target)
    return target


def unpack(wheel: Path, target: Path) -> Path:
    with ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def discover(site: Path, home: Path) -> str:
    """Find the manifest in a folder of packages as npe2 does."""
    command = [sys.executable, "-c", DISCOVER, str(home), str(ROOT / "napari.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = copy_tree(tmp_path_factory.mktemp("tree") / "project")
    weights = tree / "src/napari_gpcis/checkpoints/extra.safetensors"
    weights.write_bytes(b"weights")
    return build(tree, tmp_path_factory.mktemp("wheel"), "build_wheel")


def test_the_root_manifest_is_the_only_real_one() -> None:
    link = ROOT / LINK
    assert link.resolve() == (ROOT / "napari.yaml").resolve()
    if link.is_symlink():
        assert link.readlink().as_posix() == "../../napari.yaml"


def test_the_wheel_holds_the_root_manifest_once(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if n.endswith("napari.yaml")]
        assert names == ["napari_gpcis/napari.yaml"]
        assert archive.read(names[0]) == (ROOT / "napari.yaml").read_bytes()


def test_a_wheel_is_discovered(wheel: Path, tmp_path: Path) -> None:
    site = unpack(wheel, tmp_path / "site")
    assert discover(site, site) == "napari-gpcis"


def test_the_wheel_holds_all_code_and_data(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    for package in (ROOT / "src/napari_gpcis", ROOT / "training/gpcis_training"):
        files = [p for p in package.rglob("*") if p.is_file() and p.suffix != ".pyc"]
        assert files
        expected = {p.relative_to(package.parent).as_posix() for p in files}
        assert expected <= inside
    assert "napari_gpcis/checkpoints/extra.safetensors" in inside
    assert {name.split("/")[0] for name in inside} == {
        "napari_gpcis",
        "gpcis_training",
        wheel.name.replace("-py3-none-any.whl", ".dist-info"),
    }
    assert any(name.endswith("licenses/LICENSE") for name in inside)


def test_a_tree_whose_link_became_text(tmp_path: Path) -> None:
    """Archives and Windows may unpack the link as a file with its target."""
    tree = copy_tree(tmp_path / "project")
    (tree / LINK).unlink()
    (tree / LINK).write_text("../../napari.yaml")
    wheel = build(tree, tmp_path / "wheel", "build_wheel")
    site = unpack(wheel, tmp_path / "site")
    assert discover(site, site) == "napari-gpcis"


def test_from_source_distribution_to_wheel(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "project")
    archive = build(tree, tmp_path / "sdist", "build_sdist")
    # Python before 3.11.4 has no filters, later ones warn where none is chosen.
    chosen = {"filter": "data"} if sys.version_info >= (3, 11, 4) else {}
    shutil.unpack_archive(archive, tmp_path / "unpacked", **chosen)
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    wheel = build(unpacked, tmp_path / "wheel", "build_wheel")
    site = unpack(wheel, tmp_path / "site")
    assert discover(site, site) == "napari-gpcis"


def test_an_editable_install_reads_the_tree(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "project")
    wheel = build(tree, tmp_path / "wheel", "build_editable")
    site = unpack(wheel, tmp_path / "site")
    (pth,) = site.glob("*.pth")
    folders = pth.read_text().split()
    assert folders == [str(tree / "src"), str(tree / "training")]
    path = os.pathsep.join([str(site), *folders])
    assert discover(Path(path), tree) == "napari-gpcis"


def test_the_installed_manifest_is_that_of_the_root() -> None:
    installed = PluginManifest.from_distribution("napari-gpcis")
    expected = PluginManifest.from_file(ROOT / "napari.yaml")
    assert installed.contributions == expected.contributions
    assert installed.contributions.widgets


def test_the_manifest_names_things_that_exist() -> None:
    PluginManifest.from_file(ROOT / "napari.yaml").validate_imports()


def test_constraints_pin_every_requirement() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(line.count("==") == 1 and "+" not in line for line in pins)
    assert "torch==2.13.0" in pins
    pinned = {line.split("==")[0] for line in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(line for e in extras for line in e)]
    names = {line.split(">=")[0].lower().replace("_", "-") for line in wanted}
    assert names <= pinned


def test_no_qt_binding_and_no_upper_bound_for_napari() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = " ".join(project["dependencies"]).lower()
    assert not any(name in text for name in ("pyqt", "pyside", "napari", "torchvision"))
    (napari,) = (
        line
        for line in project["optional-dependencies"]["all"]
        if line.startswith("napari")
    )
    assert "<" not in napari
    assert "==" not in napari


def test_installing_names_both_programs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["scripts"]) == {"napari-gpcis", "gpcis-train"}


# -- other channels ----------------------------------------------------------------


def test_the_conda_recipe_needs_what_pip_needs() -> None:
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert recipe["context"]["version"] == napari_gpcis.__version__
    assert f">={recipe['context']['python_min']}" == project["requires-python"]
    other_names = {"torch": "pytorch"}
    expected = {
        f"{other_names.get(name, name)} {rest}"
        for name, rest in (
            re.split(r"(?=[><=!])", one, maxsplit=1) for one in project["dependencies"]
        )
    }
    python, *run = recipe["requirements"]["run"]
    assert python == "python >=${{ python_min }}"
    assert set(run) == expected
    entries = {f"{name} = {where}" for name, where in project["scripts"].items()}
    assert set(recipe["build"]["python"]["entry_points"]) == entries
    assert recipe["about"]["license"] == project["license"]


def test_the_conda_recipe_keeps_the_rules_for_pure_python() -> None:
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text("utf-8"))
    assert recipe["schema_version"] == 1
    assert recipe["build"]["noarch"] == "python"
    assert recipe["build"]["number"] == 0
    for option in ("--no-deps", "--no-build-isolation"):
        assert option in recipe["build"]["script"]
    python = "python ${{ python_min }}.*"
    assert [one for one in recipe["requirements"]["host"] if "python" in one] == [
        python
    ]
    (imports,) = (one["python"] for one in recipe["tests"] if "python" in one)
    assert imports["python_version"] == "${{ python_min }}.*"
    assert imports["pip_check"] is True
    for name in imports["imports"]:
        assert find_spec(name) is not None
    assert (ROOT / recipe["about"]["license_file"]).is_file()
    assert len(recipe["about"]["summary"]) > 20


def test_the_manifest_is_read_by_the_oldest_and_newest_npe2_allowed() -> None:
    tests = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    versions = tests["jobs"]["manifest"]["strategy"]["matrix"]["npe2"]
    assert f"npe2>={versions[0]}" in project["dependencies"]
    assert versions[1:] == ["0.8.*", "0.9.*", "0.10.*"]


def test_all_supported_versions_are_tested() -> None:
    flows = ROOT / ".github" / "workflows"
    tests = yaml.safe_load((flows / "tests.yml").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    matrix = tests["jobs"]["versions"]["strategy"]["matrix"]
    classified = [
        one.rsplit(" ", 1)[1]
        for one in project["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", one)
    ]
    assert matrix["python"] == classified
    assert len(matrix["system"]) == 3
    extras = set(project["optional-dependencies"])
    for job in tests["jobs"].values():
        for step in job["steps"]:
            for named in re.findall(r"\.\[([a-z0-9,]+)\]", step.get("run", "")):
                assert set(named.split(",")) <= extras
    release = yaml.safe_load((flows / "release.yml").read_text("utf-8"))
    publish = release["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    for form in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(form.read_text("utf-8"))
