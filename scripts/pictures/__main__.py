"""Take the pictures of the documentation: ``make docs-pictures``.

Arguments are names of scenes; without any, all are taken. The user's own settings and
models are left alone.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path


def main(wanted: list[str]) -> int:
    """Take pictures; return the exit status."""
    unknown = set(wanted) - set(SCENES)
    if unknown:
        print(f"scenes are {', '.join(SCENES)}; not {', '.join(sorted(unknown))}")
        return 2
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
        os.environ["NAPARI_GPCIS_STATE"] = home
        os.environ["NAPARI_GPCIS_HOME"] = home
        for name in wanted or SCENES:
            module = import_module(SCENES[name])  # reads the environment
            getattr(module, name)()
            # no scene is offered the unsaved work of another
            shutil.rmtree(Path(home) / "recovery", ignore_errors=True)
    return 0


SCENES = {
    "first_mask": "clicking",
    "preview": "clicking",
    "size_ring": "clicking",
    "objects": "clicking",
    "uncertainty": "clicking",
    "other_masks": "clicking",
    "superpixels_window": "clicking",
    "press_g": "clicking",
    "shortcuts": "clicking",
    "cellpose": "working",
    "folder": "working",
    "stack": "working",
    "finetune": "working",
    "recovery": "working",
    "console": "working",
}
"""Scenes, and the module of each."""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
