"""Cython (cython_peer.pyx): the same functions, generated C."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.tasks import SHAPES, Peer, add_in_python, compare
from benchmarks.workshop import Workshop, run

SOURCE = Path(__file__).with_name("cython_peer.pyx")


def load(workshop: Workshop) -> dict[str, Peer]:
    """Translate with Cython, compile with the flags of all peers, import."""
    cython = workshop.install("Cython", "cython")
    generated = workshop.directory / "cython_peer.c"
    run([sys.executable, "-m", "cython", "-3", str(SOURCE), "-o", str(generated)])
    module = workshop.extension("cython_peer", [generated])
    return {"Cython": Peer(
        "Cython", f"Cython {cython.__version__}", {shape.symbol: getattr(module, shape.symbol) for shape in SHAPES},
        call_back=lambda n: module.call_back(add_in_python, n), sort=lambda data: module.sort(data, compare),
    )}
