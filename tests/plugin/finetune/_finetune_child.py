"""What stands in for the training process: says what it is told to say."""

from __future__ import annotations

import json
import sys
import time

FIGURES = {"score": 9.5, "objects": 4}
BEFORE = {"event": "before", "figures": FIGURES, "few": FIGURES}


def say(**event: object) -> None:
    print(json.dumps(event), flush=True)


def main(mode: str) -> int:
    say(event="prepared", planes=3, objects=9, train=2, val=1, problems=[])
    if mode == "stopped early":
        sys.stdin.readline()
        say(event="stopped")
        return 0
    print("a line that is no event", flush=True)
    say(**BEFORE)
    if mode == "error":
        say(event="error", message="labels must be a folder, got 'x'")
        return 2
    if mode == "crash":
        print("RuntimeError: out of memory", file=sys.stderr)
        return 1
    step = 0
    if mode == "until stopped":
        for line in sys.stdin:
            if line.strip() == "stop":
                break
    if mode == "for ever":
        time.sleep(600)
    for step in range(1, 30):
        say(
            event="step",
            step=step,
            steps=30,
            progress=step / 30,
            minutes=step / 10,
            loss=1 / step,
            iou=0.5,
        )
    after = {**FIGURES, "score": 3.25}
    say(event="validation", step=30, minutes=3.0, figures=after, best=True, loss=0.1)
    say(event="after", figures=after)
    say(
        event="done",
        name="new",
        path="new.safetensors",
        improved=True,
        before=FIGURES,
        after=after,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
