"""The cases of the table for pytest-benchmark, to compare two states of the code.

pytest benchmarks --benchmark-enable --benchmark-autosave
pytest benchmarks --benchmark-enable --benchmark-compare
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from _cases import ACTIONS, REFERENCE, SIZES, Setup, action, ways

from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.inference import openvino

BACKENDS = ("torch", "openvino") if openvino.available() else ("torch",)
SHIPPED = [way for way in ways(BACKENDS) if way.network == DEFAULT_MODEL]


@pytest.mark.parametrize("name", ACTIONS)
def test_reference(benchmark, name):
    benchmark.pedantic(action(REFERENCE, name, 384), rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("way", ways(BACKENDS), ids=lambda way: way.label)
def test_network(benchmark, way: Setup, name):
    benchmark.pedantic(action(way, name, 384), rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("way", SHIPPED, ids=lambda way: way.label)
def test_large_image(benchmark, way: Setup, size, name):
    benchmark.pedantic(action(way, name, size), rounds=5, warmup_rounds=1)
