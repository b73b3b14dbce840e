"""A core is left to the window where there are enough."""

from __future__ import annotations

import os

import pytest
import torch

from napari_gpcis.inference.backends import inference_thread_count, reserve_gui_core


@pytest.mark.parametrize(
    ("cores", "expected"), [(None, None), (1, None), (3, None), (4, 3), (16, 15)]
)
def test_count(cores, expected):
    assert inference_thread_count(cores) == expected


@pytest.mark.parametrize(
    ("cores", "now", "expected"), [(4, 4, 3), (8, 2, 2), (2, 2, 2)]
)
def test_threads_of_pytorch(monkeypatch, cores, now, expected):
    asked = [now]
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: asked[-1])
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    reserve_gui_core()
    assert asked[-1] == expected
