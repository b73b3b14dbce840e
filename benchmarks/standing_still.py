"""Time and memory of what could hold the window: many objects, long movies, slides.

    python benchmarks/standing_still.py
    python benchmarks/standing_still.py --largest

Each case is done for two or three sizes. The cost should follow what is done (objects
deleted, tiles with objects written), not what is there: the last column is the time of
a size divided by that of the one before, what was done grows by the factor beside it.
Time is processor time, which tells the same on a busy computer.

copy, TIFF, COCO, CSV
    Saving and exporting in the window: labels are copied by tiles with objects, and
    written from them. Memory is what Python and NumPy have asked for at most meanwhile.
delete
    Deleting selected objects of a plane, as *Delete* in the list does: more of as many
    objects, and as many of more objects on a plane of the same size.
list
    Showing the list of objects anew after one of them has changed; with all rows
    selected as well, as after Ctrl-A.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

MEBI = 1 << 20
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def measured(work: Callable[[], Any]) -> tuple[float, float]:
    """Return the processor time of work in seconds, and its peak of memory in MiB."""
    begin = time.process_time()
    work()
    seconds = time.process_time() - begin
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1] / MEBI
    tracemalloc.stop()
    return seconds, peak


def grid(side: int, pitch: int = 20) -> np.ndarray:
    """Return a plane of squares, one object each."""
    rows, cols = np.mgrid[:side, :side]
    ids = (rows // pitch) * (side // pitch) + cols // pitch + 1
    gap = pitch - pitch // 5
    inside = (rows % pitch < gap) & (cols % pitch < gap)
    return np.where(inside, ids, 0).astype(np.int32)


def movie(frames: int, side: int = 512) -> np.ndarray:
    """Return frames of which one has an object."""
    labels = np.zeros((frames, side, side), np.int32)
    labels[frames // 2, 100:140, 200:240] = 1
    return labels


def slide(side: int) -> np.ndarray:
    """Return a plane with one object."""
    labels = np.zeros((side, side), np.int32)
    labels[side // 2 : side // 2 + 100, side // 3 : side // 3 + 100] = 1
    return labels


class Report:
    """Lines of the table, each with its ratio to the one before."""

    def __init__(self) -> None:
        print(f"{'case':34} {'size':>24} {'s':>8} {'MiB':>8} {'done':>6} {'time':>6}")
        self._before: dict[str, tuple[float, float]] = {}

    def add(self, case: str, size: str, done: float, work: Callable[[], Any]) -> None:
        """Measure and print one size; ``done`` is how much is done."""
        seconds, peak = measured(work)
        ratios = ("", "")
        if case in self._before:
            earlier, amount = self._before[case]
            ratios = f"x{done / amount:.1f}", f"x{seconds / earlier:.1f}"
        self._before[case] = seconds, done
        print(
            f"{case:34} {size:>24} {seconds:8.3f} {peak:8.1f} "
            f"{ratios[0]:>6} {ratios[1]:>6}",
            flush=True,
        )


def exports(report: Report, folder: Path, *, largest: bool) -> None:
    """Copy and write labels with few and with many objects."""
    from napari_gpcis.export import write_coco, write_table, write_tiff
    from napari_gpcis.sparse_labels import SparseLabels

    file = folder / "a.tif"
    for frames in (150, 1500, 6000) if largest else (150, 1500):
        labels = movie(frames)
        size = f"{frames} x 512 x 512, 1 object"
        report.add("copy, movie", size, 1, lambda a=labels: SparseLabels.of(a))
        copy = SparseLabels.of(labels)
        report.add("TIFF, movie", size, 1, lambda c=copy: write_tiff(file, c))
    for side in (5000, 20_000) if largest else (2500, 10_000):
        labels = slide(side)
        size = f"{side} x {side}, 1 object"
        report.add("copy, slide", size, 1, lambda a=labels: SparseLabels.of(a))
        copy = SparseLabels.of(labels)
        report.add("TIFF, slide", size, 1, lambda c=copy: write_tiff(file, c))
        report.add(
            "COCO, slide", size, 1, lambda c=copy: write_coco(folder / "a.json", c, "a")
        )
    for side in (1000, 2000, 4000):
        copy = SparseLabels.of(grid(side))
        count = (side // 20) ** 2
        size = f"{count} objects"
        report.add("TIFF", size, count, lambda c=copy: write_tiff(file, c))
        report.add("CSV", size, count, lambda c=copy: write_table(folder / "a.csv", c))
        report.add(
            "COCO", size, count, lambda c=copy: write_coco(folder / "a.json", c, "a")
        )


def deletion(masks: np.ndarray, count: int) -> Callable[[], None]:
    """Return what deletes the first objects of a plane, and puts them back."""
    from napari.layers import Labels

    from napari_gpcis.plugin.labels.writer import LabelsWriter
    from napari_gpcis.plugin.viewer.planes import Plane

    labels = Labels(masks.copy())
    plane, writer = Plane((0, 1), (0, 0)), LabelsWriter(labels)
    chosen = list(range(1, count + 1))

    def delete() -> None:
        found = writer.masks(plane, chosen)
        assert len(found) == count
        writer.erase(plane, list(found.values()))
        writer.end_step()
        for label, (box, mask) in found.items():
            labels.data[box[0] : box[2], box[1] : box[3]][mask] = label

    return delete


def deleting(report: Report) -> None:
    """Delete some of many objects of a plane."""
    masks = grid(4000)
    for count in (20, 200, 2000):
        work = deletion(masks, count)
        report.add("delete, of 40,000", f"{count} objects", count, work)
    for pitch in (40, 28, 20):
        masks = grid(4000, pitch)
        work = deletion(masks, 200)
        report.add("delete 200", f"of {int(masks.max())} objects", 200, work)


class ObjectList:
    """The list of objects as the widget shows it, without a viewer.

    Parameters
    ----------
    count
        Number of objects.
    """

    def __init__(self, count: int) -> None:
        from napari.components import ViewerModel
        from qtpy.QtCore import QObject

        from napari_gpcis.geometry import scan
        from napari_gpcis.plugin.annotation.controller import Controller
        from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
        from napari_gpcis.plugin.tools.objects.index import Found
        from napari_gpcis.plugin.viewer.planes import Plane

        side = 20 * int(np.ceil(count**0.5))
        entries = list((scan(grid(side)) or {}).items())[:count]
        plane = Plane((0, 1), (0, 0))
        self._owner = QObject()
        self._controller = Controller(ViewerModel(), _no_model, "", self._owner)
        self.panel = ObjectsPanel(self._controller)
        self._rows = [Found(label, plane, entry) for label, entry in entries]
        self.panel.table.show(self._rows, None)

    def change(self) -> None:
        """Show the list without one of its objects, and with it again."""
        self.panel.table.show([*self._rows[:-2], self._rows[-1]], None)
        self.panel.table.show(self._rows, None)

    def close(self) -> None:
        """Let go of everything."""
        self.panel.close_links()
        self._controller.close()


def _no_model(_name: str) -> Any:
    raise NotImplementedError


def listing(report: Report) -> None:
    """Bring the list of objects up to date."""
    for selected in (False, True):
        case = "list, all rows selected" if selected else "list, one object changed"
        for count in (4000, 40_000):
            shown = ObjectList(count)
            if selected:
                shown.panel.list.selectAll()
            report.add(case, f"{count} objects", 1, shown.change)
            shown.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--largest", action="store_true", help="slides of 20,000 x 20,000 pixels"
    )
    options = parser.parse_args()
    from qtpy.QtWidgets import QApplication

    app = QApplication.instance() or QApplication([])
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        exports(report, Path(folder), largest=options.largest)
    deleting(report)
    listing(report)
    del app


if __name__ == "__main__":
    main()
