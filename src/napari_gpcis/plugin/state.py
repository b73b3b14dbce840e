"""The user's folder for what the plugin must remember: recovery files, model files."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "NAPARI_GPCIS_STATE"


def state_folder() -> Path:
    """Return the folder, made if need be.

    It is that of the environment variable ``NAPARI_GPCIS_STATE``, or the one that the
    operating system has for such files.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    named = os.environ.get(VARIABLE)
    if named:
        folder = Path(named).expanduser()
    else:
        from platformdirs import user_state_path

        folder = user_state_path("napari-gpcis", appauthor=False)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
