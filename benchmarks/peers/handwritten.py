"""The hand-written extension (handwritten.c), the row that every ratio refers to."""

from __future__ import annotations

import platform
from pathlib import Path

from benchmarks.peers import HANDWRITTEN
from benchmarks.tasks import SHAPES, Peer, add_in_python, compare
from benchmarks.workshop import Workshop

SOURCE = Path(__file__).with_name("handwritten.c")


def load(workshop: Workshop) -> dict[str, Peer]:
    """Compile and import the extension."""
    module = workshop.extension("handwritten", [SOURCE])
    return {HANDWRITTEN: Peer(
        HANDWRITTEN,
        f"METH_FASTCALL, CPython {platform.python_version()}",
        {shape.symbol: getattr(module, shape.symbol) for shape in SHAPES},
        call_back=lambda n: module.call_back(add_in_python, n),
        sort=lambda data: module.sort(data, compare),
    )}
