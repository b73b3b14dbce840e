"""OpenMP's threads sleep while they wait, unless the user has said otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASK = "import napari_gpcis, os; print(os.environ['OMP_WAIT_POLICY'])"


@pytest.mark.parametrize(
    ("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")]
)
def test_the_policy_is_passive_unless_it_is_given(
    given: str | None, expected: str
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [expected]


def test_the_window_and_the_commands_import_the_package_before_pytorch() -> None:
    code = (
        "import sys, napari_gpcis.plugin.widget, napari_gpcis.cli, gpcis_training.cli; "
        "names = list(sys.modules); assert 'torch' not in names or "
        "names.index('napari_gpcis') < names.index('torch')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
