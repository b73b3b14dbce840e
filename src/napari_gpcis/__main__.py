"""Run the command line as ``python -m napari_gpcis``."""

from napari_gpcis.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
