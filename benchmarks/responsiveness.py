"""Does the window stay fluid? Clicks on a 4096 x 4096 image in a real napari window.

    xvfb-run -a python benchmarks/responsiveness.py

prints, in milliseconds, how much too late the event loop beat, and how much processor
time of the GUI thread was spent between two beats: in all (busy), by our code (ours),
and by our code with all of napari that it calls (caused by us).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def main() -> None:
    """Open a window, work in it and print the table."""
    import napari
    from _fluency import measure

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 860)
    try:
        figures = measure(viewer, viewer)
    finally:
        viewer.close()
    print(figures.table())


if __name__ == "__main__":
    main()
