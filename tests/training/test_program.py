"""The program ``gpcis-train`` as a whole."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from argparse import Namespace
from types import SimpleNamespace
from gpcis_training import cli

command = Namespace(run=lambda _: print("a table") or 0)
cli._parser = lambda: SimpleNamespace(parse_args=lambda _: command)
sys.stdin.read()
sys.exit(cli.main([]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no closed pipes")
def test_a_closed_pipe_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.close()
        told = process.stderr.read()
    assert (told, process.returncode) == (b"", 141)
