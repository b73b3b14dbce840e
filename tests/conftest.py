"""What holds for all tests: the user's own models stay out, and so does the web."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# how long an example takes says nothing on a busy machine
hypothesis.settings.register_profile("any_machine", deadline=None)
hypothesis.settings.load_profile("any_machine")


@pytest.fixture(scope="session", autouse=True)
def an_empty_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Models are kept in a folder of the test run; only this machine is asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_GPCIS_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("NAPARI_GPCIS_BACKEND", "torch")  # OpenVINO has its own tests
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            patch.delenv(name)
        patch.setenv("NO_PROXY", "*")
        yield


@pytest.fixture(scope="session", autouse=True)
def garbage_is_collected_seldom() -> Iterator[None]:
    """Let Python look for cycles after 20,000 new objects, not after 700.

    A viewer that opens has it look over a hundred times, once at everything: a tenth
    of the time of the tests that open one.
    """
    usual = gc.get_threshold()
    gc.set_threshold(20_000, 50, 100)
    yield
    gc.set_threshold(*usual)
