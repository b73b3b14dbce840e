"""What all tools share."""

from __future__ import annotations

from napari_gpcis.plugin.tools.base import Tool


def test_a_closed_tool_follows_no_further_annotation(bench) -> None:
    closed, other = Tool(bench.controller), Tool(bench.controller)
    bench.start()
    assert closed.annotation is other.annotation is bench.controller.annotation
    closed.close()
    closed.close()
    bench.controller.stop()
    bench.start()
    assert closed.annotation is None
    assert other.annotation is bench.controller.annotation
