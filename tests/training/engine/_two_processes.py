"""A program that trains in two processes: ``python _two_processes.py ROOT``."""

from __future__ import annotations

import sys
from pathlib import Path

from gpcis_training.engine.trainer import Trainer
from training._runs import STARTS, comparable

if __name__ == "__main__":
    root = Path(sys.argv[1])
    for name, start in STARTS.items():
        trainer = Trainer(
            comparable(name, batch_size=2),
            root,
            root / f"{name}-two",
            start=start,
            devices=2,
            strategy="ddp",
        )
        trainer.fit()
