"""A program that is killed while it writes a state: ``_killed_writer.py ROOT RUN``.

It trains two steps with a loading process and saves, then one more and saves through a
disk so slow that the test can kill it in the middle; ``writing`` appears beside the
state when it is there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from gpcis_training.engine import state
from gpcis_training.engine.trainer import Trainer
from training._runs import toy_config


class SlowStream(state._Stream):
    """Writes a little, says so, and takes its time for the rest."""

    def write(self, data):
        if self.tell() < 10_000:
            return super().write(data)
        half = memoryview(data)[: len(data) // 2]
        super().write(half)
        self.flush()
        (run / "writing").touch()
        time.sleep(600)
        return super().write(memoryview(data)[len(half) :]) + len(half)


if __name__ == "__main__":
    root, run = map(Path, sys.argv[1:])
    trainer = Trainer(toy_config(workers=1), root, run)
    trainer.callback = lambda trainer, figures: trainer.step != 2
    trainer.fit()
    state._Stream = SlowStream
    trainer.callback = lambda trainer, figures: trainer.step != 3
    trainer.fit()
