"""LuaJIT's ffi (luajit.lua), measured when `luajit` is on PATH."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.remote import Remote
from benchmarks.workshop import Unavailable, Workshop

SOURCE = Path(__file__).with_name("luajit.lua")


def load(workshop: Workshop) -> dict[str, Remote]:
    """Start the worker."""
    if shutil.which("luajit") is None:
        raise Unavailable("not installed")
    return {"LuaJIT": Remote("LuaJIT", ["luajit", str(SOURCE), str(workshop.target)])}
