"""pybind11 (pybind11_peer.cpp)."""

from __future__ import annotations

from pathlib import Path

from benchmarks.tasks import SHAPES, Peer, add_in_python, compare
from benchmarks.workshop import Workshop

SOURCE = Path(__file__).with_name("pybind11_peer.cpp")


def load(workshop: Workshop) -> dict[str, Peer]:
    """Compile and import the extension."""
    pybind11 = workshop.install("pybind11")
    module = workshop.extension("pybind11_peer", [SOURCE], [
        "-std=c++17", "-fvisibility=hidden", f"-I{pybind11.get_include()}",
    ])
    return {"pybind11": Peer(
        "pybind11", f"pybind11 {pybind11.__version__}",
        {shape.symbol: getattr(module, shape.symbol) for shape in SHAPES},
        call_back=lambda n: module.call_back(add_in_python, n), sort=lambda data: module.sort(data, compare),
    )}
