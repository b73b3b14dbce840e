"""Peak memory of a process that segments one large image; run in a fresh process.

    python benchmarks/memory.py 4096

prints mebibytes: the process at its peak, and the limit, 1.5 times the image as float32
and 600 more.
"""

from __future__ import annotations

import sys
from pathlib import Path

MEBI = 1 << 20


def peak() -> float:
    """Return the most memory that this process ever held, in MiB (Linux: VmHWM)."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (MEBI if sys.platform == "darwin" else 1024)


def main(size: int, model: str = "") -> None:
    """Make an image, click three times, write the mask, and print the peak."""
    import numpy as np

    from napari_gpcis import Segmenter, Session
    from napari_gpcis.checkpoints.registry import DEFAULT_MODEL

    image = np.random.default_rng(0).random((size, size, 3), dtype=np.float32)
    image *= 0.3
    low, high = 3 * size // 8, 5 * size // 8
    image[low:high, low:high] += 0.6
    limit = 1.5 * image.nbytes / MEBI + 600
    before = peak()
    session = Session(Segmenter.from_pretrained(model or DEFAULT_MODEL, "cpu"), image)
    session.add_click(size / 2, size / 2)
    session.add_click(size / 4, size / 4, positive=False)
    found = session.add_click(size / 2, size / 2 + size / 16)
    shares = (found.roi[2] - found.roi[0]) * (found.roi[3] - found.roi[1]) / size**2
    session.accept()
    print(f"{peak():.0f} {limit:.0f} {before:.0f} {shares:.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
