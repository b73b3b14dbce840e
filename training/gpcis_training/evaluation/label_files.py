"""Objects of any folder of images and any folder of labels."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from gpcis_training.data.pairing import find_pairs_of_files
from gpcis_training.evaluation.datasets import (
    DrawingRule,
    EvaluationObject,
    ObjectSet,
    draw_ids,
)
from gpcis_training.evaluation.files import FILES, read_plane
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    import os

_log = logging.getLogger(__name__)


def file_objects(
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    pairs: str | os.PathLike[str] | None = None,
    rule: DrawingRule | None = None,
) -> ObjectSet:
    """Return the objects of images and label images that lie anywhere.

    Parameters
    ----------
    images, labels
        Folders of TIFF, PNG, JPEG or NumPy files, each one plane; both may be the
        same. A label file has the name of its image, perhaps with ``_labels``,
        ``_mask`` or the like behind it.
    pairs
        A CSV file with the columns ``image`` and ``labels``, or such a JSON file,
        where names differ.
    rule
        How objects are drawn; by default every label is one.

    Returns
    -------
    ObjectSet
        To be evaluated with ``root="."``. Images without labels are left out, and
        named in the log.

    Raises
    ------
    InputError
        If nothing pairs, a file cannot be read, or there is no accepted object.
    """
    rule = rule or DrawingRule()
    table = None if pairs is None else Path(pairs)
    found, alone = find_pairs_of_files(Path(images), Path(labels), table)
    if alone:
        _log.warning("%d images without labels, such as %s", len(alone), alone[0])
    drawn = []
    for image, labelled in found:
        label = rule.choose(labelled)
        drawn += [
            EvaluationObject(image.as_posix(), label.as_posix(), ids)
            for ids in draw_ids(read_plane(label), label.name, rule)
        ]
    if not drawn:
        msg = f"labels must hold objects that the rule accepts, found none in {labels}"
        raise InputError(msg)
    return ObjectSet(Path(images).as_posix(), ".", rule, tuple(drawn), form=FILES)
