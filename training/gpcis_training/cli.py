"""``gpcis-train``: fit, fine-tune, average, export and evaluate."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from gpcis_training import _fit_cli, averaging
from gpcis_training.evaluation import cli as evaluation_cli
from gpcis_training.finetuning import cli as finetuning_cli
from napari_gpcis.errors import GPCISError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command and return the exit status.

    Parameters
    ----------
    arguments
        Without the program's name; by default those of the process.
    """
    parsed = _parser().parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
    except (GPCISError, OSError) as error:
        print(f"gpcis-train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gpcis-train: stopped", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gpcis-train", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fit = commands.add_parser("fit", help="train a network, or go on with a run")
    _fit_cli.add_fit_arguments(fit)
    fit.set_defaults(run=_fit_cli.fit)
    export = commands.add_parser("export", help="make a checkpoint of a run's state")
    _fit_cli.add_export_arguments(export)
    export.set_defaults(run=_fit_cli.export)
    throughput = commands.add_parser(
        "throughput", help="speed of a run, and of loading"
    )
    _fit_cli.add_throughput_arguments(throughput)
    throughput.set_defaults(run=_fit_cli.throughput)
    finetune = commands.add_parser("finetune", help="adapt a model to your own labels")
    finetuning_cli.add_arguments(finetune)
    finetune.set_defaults(run=finetuning_cli.run)
    average = commands.add_parser("average", help="the mean of several checkpoints")
    averaging.add_arguments(average)
    average.set_defaults(run=averaging.run)
    evaluate = commands.add_parser("evaluate", help="clicks needed by a robot user")
    evaluation_cli.add_arguments(evaluate)
    evaluate.set_defaults(run=evaluation_cli.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
