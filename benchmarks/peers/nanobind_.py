"""nanobind (nanobind_peer.cpp), its support library compiled straight from the package's own sources."""

from __future__ import annotations

from pathlib import Path

from benchmarks.tasks import SHAPES, Peer, add_in_python, compare
from benchmarks.workshop import Workshop

SOURCE = Path(__file__).with_name("nanobind_peer.cpp")


def load(workshop: Workshop) -> dict[str, Peer]:
    """Compile the extension together with nanobind's single-file support library, as its manual allows."""
    nanobind = workshop.install("nanobind")
    package = Path(nanobind.include_dir()).parent
    module = workshop.extension("nanobind_peer", [SOURCE, package / "src" / "nb_combined.cpp"], [
        "-std=c++17", "-fvisibility=hidden", "-fno-strict-aliasing",
        f"-I{package / 'include'}", f"-I{package / 'ext' / 'robin_map' / 'include'}",
    ])
    return {"nanobind": Peer(
        "nanobind", f"nanobind {nanobind.__version__}",
        {shape.symbol: getattr(module, shape.symbol) for shape in SHAPES},
        call_back=lambda n: module.call_back(add_in_python, n), sort=lambda data: module.sort(data, compare),
    )}
