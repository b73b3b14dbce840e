"""Draw object lists of the validation protocol, always the same ones.

::

    python scripts/draw_objects.py DATA voc_val emps_val

reads the sets below ``DATA`` and writes the lists beside the evaluation code. Without
names all are drawn; on the same data the files stay as they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gpcis_training.evaluation import datasets


def main() -> None:
    """Draw, and print the number of objects and images of each list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="folder that holds the data sets")
    parser.add_argument("names", nargs="*", help="lists; by default all")
    given = parser.parse_args()
    place = Path(datasets.__file__).parent / "objects"
    for name in given.names or datasets.object_sets():
        drawn = datasets.draw_list(name, given.root, place / f"{name}.json")
        images = len({item.image for item in drawn.objects})
        print(f"{name}: {len(drawn.objects)} objects in {images} images")


if __name__ == "__main__":
    main()
