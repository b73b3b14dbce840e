"""Registry of models: bundled, published, and the user's own."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_gpcis.checkpoints.cache import cache_folder
from napari_gpcis.checkpoints.download import RemoteFile
from napari_gpcis.checkpoints.info import InferenceSettings, ModelInfo, read_info
from napari_gpcis.errors import CheckpointError, InputError, UnknownModelError
from napari_gpcis.files.names import check_length

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

DEFAULT_MODEL = "gpcis-efficientnet-lite0"
"""Name of the model of who does not choose."""
FOLDER = Path(__file__).parent
SUFFIX = ".safetensors"
CARD_SUFFIX, CURVES_SUFFIX, RECORD_SUFFIX = ".md", ".png", ".json"
"""Endings of the files that fine-tuning writes beside a model, under its name."""
UNKNOWN = "not stated"
_PATH_SUFFIXES = (SUFFIX, ".pth", ".pt")
_NAME = re.compile(r"\w[\w .+-]*", re.ASCII)


@dataclass(frozen=True)
class ModelEntry:
    """One entry of `list_models`.

    Parameters
    ----------
    info
        What it is.
    size
        Bytes of its file, or of the download.
    file
        Its file; ``None`` if it is to be downloaded first.
    """

    info: ModelInfo
    size: int
    file: Path | None

    @property
    def name(self) -> str:
        """Name by which the model is loaded."""
        return self.info.name

    @property
    def is_here(self) -> bool:
        """True if it can be used without a network."""
        return self.file is not None


def list_models() -> list[ModelEntry]:
    """Return all models by name: bundled, downloaded, to be downloaded, the user's own.

    Reads file headers only; PyTorch is not imported, and the network is not asked.
    A damaged file in the user's folder is left out; `broken_user_models` names it.

    Examples
    --------
    >>> from napari_gpcis import list_models
    >>> names = [model.name for model in list_models() if model.is_here]
    """
    entries = {
        name: ModelEntry(published.info, published.file.size, None)
        for name, published in PUBLISHED.items()
    }
    for file in _checkpoints_in(cache_folder()):
        if is_usable(file):
            entries[file.stem] = _entry(file)
    for file in _bundled_files():
        entries[file.stem] = _entry(file)
    for name, (file, info) in user_models(entries).items():
        entries[name] = ModelEntry(info, file.stat().st_size, file)
    return [entries[name] for name in sorted(entries)]


def find_checkpoint(path_or_name: str | os.PathLike[str]) -> Path:
    """Return the file of a checkpoint; nothing is downloaded.

    Parameters
    ----------
    path_or_name
        Name of a model, or a path (``~`` stands for the home folder). A string is a
        path when it ends in ``.safetensors``, ``.pth`` or ``.pt``, or holds a
        separator.

    Raises
    ------
    UnknownModelError
        If no model has that name. A path is not looked at.
    CheckpointError
        If the model is to be downloaded first.
    """
    if not isinstance(path_or_name, str) or _is_path(path_or_name):
        return Path(path_or_name).expanduser()
    bundled = find_bundled(path_or_name)
    if bundled is not None:
        return bundled
    cached = cache_folder() / f"{path_or_name}{SUFFIX}"
    if cached.is_file():
        return cached
    own = _find_own(path_or_name)
    if own is not None:
        return own
    if path_or_name not in PUBLISHED:
        raise unknown_model(path_or_name)
    msg = (
        f"model {path_or_name!r} is not here yet: napari-gpcis models download "
        f"{path_or_name}"
    )
    raise CheckpointError(msg)


def find_bundled(name: str) -> Path | None:
    """Return the file of a model that comes with the package."""
    file = FOLDER / f"{name}{SUFFIX}"
    return file if file.is_file() else None


def is_usable(file: Path) -> bool:
    """Return whether a file is a complete checkpoint of this version."""
    try:
        read_info(file)
    except CheckpointError:
        return False
    return True


def reserved_names() -> set[str]:
    """Return the names of all models but the user's own."""
    files = (*_bundled_files(), *_checkpoints_in(cache_folder()))
    return {*(file.stem for file in files), *PUBLISHED}


def unknown_model(name: str) -> UnknownModelError:
    """Return the error for a name that no model has."""
    reserved = reserved_names()
    names = sorted({*reserved, *user_models(reserved)})
    msg = (
        f"unknown model {name!r}; known models: {', '.join(names) or 'none'}. A path "
        f"to a checkpoint must end in {SUFFIX}"
    )
    return UnknownModelError(msg)


def _is_path(text: str) -> bool:
    """Return whether a string is a path rather than a name."""
    separators = {os.sep, os.altsep, "/"} - {None}
    return text.endswith(_PATH_SUFFIXES) or any(s in text for s in separators if s)


def _entry(file: Path) -> ModelEntry:
    """Describe a file; its name is the one by which it is found."""
    info = read_info(file)
    return ModelEntry(replace(info, name=file.stem), file.stat().st_size, file)


def _bundled_files() -> Iterator[Path]:
    """Yield the checkpoints that come with the package."""
    return FOLDER.glob(f"*{SUFFIX}")


def _checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder by name, without those being written."""
    files = sorted(folder.glob(f"*{SUFFIX}"))
    return [file for file in files if not file.name.startswith(".")]


def user_model_folder() -> Path:
    """Return the folder of the user's own models; it need not exist."""
    return cache_folder() / "models"


def user_model_file(name: str) -> Path:
    """Return the file for a new model of the user; its folder is made.

    Parameters
    ----------
    name
        Letters, digits, spaces, ``_``, ``.``, ``+`` and ``-``.

    Raises
    ------
    InputError
        If that is no name for a model, is too long for a file, or a model of the
        package has it.
    CheckpointError
        If the folder cannot be made.
    """
    if not _NAME.fullmatch(name) or name != name.strip():
        msg = (
            "a model's name may have letters, digits, spaces, _ . + and -, and begins "
            f"with a letter or digit; got {name!r}"
        )
        raise InputError(msg)
    check_length(Path(f"{name}{SUFFIX}"), "the name of a model")
    if name in reserved_names():
        msg = f"the name {name!r} is taken by a model that comes with the package"
        raise InputError(msg)
    folder = user_model_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"models cannot be stored in {folder}: {error.strerror}"
        raise CheckpointError(msg) from error
    return folder / f"{name}{SUFFIX}"


def user_models(taken: Collection[str] = ()) -> dict[str, tuple[Path, ModelInfo]]:
    """Return the user's models by name; damaged files are left out.

    A model is known by the name of its file. Where another model has that name, it is
    known by the one in its header, or is left out if that is taken as well.

    Parameters
    ----------
    taken
        Names of other models.

    Returns
    -------
    dict
        File of each, and what it says about itself, with that name.
    """
    files = _own_files()
    used, found = {*taken, *(file.stem for file in files)}, {}
    for file, info in files.items():
        name = file.stem
        if name in taken:
            name = info.name
            if name in used:
                continue
            used.add(name)
        found[name] = file, replace(info, name=name)
    return found


def known_info(file: Path) -> ModelInfo:
    """Return what a checkpoint says about itself, under the name it is known by.

    That is the one in its header, unless it lies where models are kept: in this
    package, with those that were downloaded, or with the user's own.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or of another kind.
    """
    info = read_info(file)
    kept = file.parent in (FOLDER, cache_folder())
    if file.parent == user_model_folder():
        kept = file.stem not in reserved_names()
    return replace(info, name=file.stem) if kept else info


def model_files(file: Path) -> list[Path]:
    """Return a model's file and those that fine-tuning has written beside it.

    Parameters
    ----------
    file
        The checkpoint, which comes first.
    """
    beside = (CARD_SUFFIX, CURVES_SUFFIX, RECORD_SUFFIX)
    others = (file.with_suffix(suffix) for suffix in beside)
    return [file, *(one for one in others if one.is_file())]


def _own_files() -> dict[Path, ModelInfo]:
    """Return the usable files in the user's folder, and what is in their headers."""
    found = {}
    for file in _checkpoints_in(user_model_folder()):
        try:
            found[file] = read_info(file)
        except CheckpointError:
            continue
    return found


def _find_own(name: str) -> Path | None:
    """Return the file of a user's model, by its name or by the one in its header.

    A file that was renamed is still found by its old name, if no other has that.
    """
    known = user_models(reserved_names()).get(name)
    if known is not None:
        return known[0]
    named = [file for file, info in _own_files().items() if info.name == name]
    return named[0] if len(named) == 1 and name not in PUBLISHED else None


def broken_user_models() -> dict[Path, str]:
    """Return the files in the user's folder that are no usable models, and why."""
    broken: dict[Path, str] = {}
    for file in _checkpoints_in(user_model_folder()):
        try:
            read_info(file)
        except CheckpointError as error:
            broken[file] = str(error)
    return broken


class Facts(NamedTuple):
    """The facts about one model, as text.

    Attributes
    ----------
    name
        What a user types.
    purpose
        What it is for.
    size
        Of its file, or of its download.
    here
        Whether it can be used without a network.
    licence, training_data
        Terms of the weights, and what they were trained on.
    """

    name: str
    purpose: str
    size: str
    here: str
    licence: str
    training_data: str


def facts(entry: ModelEntry) -> Facts:
    """Return the facts about a model of the list."""
    info = entry.info
    return Facts(
        name=entry.name,
        purpose=info.description or UNKNOWN,
        size=megabytes(entry.size),
        here="yes" if entry.is_here else "no",
        licence=info.licence or UNKNOWN,
        training_data=info.training_data or UNKNOWN,
    )


def megabytes(size: float) -> str:
    """Return a size in words, such as ``"158 MB"``."""
    number = size / 1e6
    return f"{number:.0f} MB" if number >= 10 else f"{number:.1f} MB"


@dataclass(frozen=True)
class PublishedModel:
    """A published model: its description and remote file.

    Parameters
    ----------
    info
        What the converted checkpoint says about itself.
    file
        Where its weights are.
    """

    info: ModelInfo
    file: RemoteFile

    @property
    def name(self) -> str:
        """Name by which the model is loaded."""
        return self.info.name


_SBD_SHA256 = "1b59a4c8b7f1ea300abe8add185f8ab98beeeac01bd80bb2a2d029200195c3c9"
_SBD_PATH = "7f64cba5ca2190ead769be843242fd88fcf5b7b6/checkpoints/GPCIS_Resnet50.pth"
_SBD_REPOSITORY = "zmhhmz/GPCIS_CVPR2023"
_SBD = PublishedModel(
    info=ModelInfo(
        name="gpcis-resnet50-sbd",
        architecture="resnet50",
        inference=InferenceSettings(
            infer_size=384,
            epsilon2=1e-7,
            gp_stride=1,
            expansion=1.4,
            crop_threshold=0.49,
            mask_threshold=0.5,
            antialias=False,
        ),
        licence="MIT (Minghao Zhou and others, 2023)",
        training_data="SBD (8,498 photographs), from ImageNet weights",
        description=(
            "The paper's network with its authors' weights, run as published: for "
            "comparing with published figures, and everyday photographs. Slow "
            "without a GPU."
        ),
        extra={
            "source": f"github.com/{_SBD_REPOSITORY}",
            "source_sha256": _SBD_SHA256,
            "fingerprint": _SBD_SHA256[:16],
        },
    ),
    file=RemoteFile(
        name="GPCIS_Resnet50.pth",
        urls=(
            f"https://github.com/{_SBD_REPOSITORY}/raw/{_SBD_PATH}",
            f"https://media.githubusercontent.com/media/{_SBD_REPOSITORY}/{_SBD_PATH}",
        ),
        size=157_934_784,
        sha256=_SBD_SHA256,
    ),
)
PUBLISHED = {model.name: model for model in (_SBD,)}
"""All models that can be downloaded, by name."""
