"""SBCL's two ways to C, sb-alien and CL CFFI, measured when `sbcl` is on PATH (and asdf finds CL CFFI)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from benchmarks.remote import Remote
from benchmarks.workshop import Unavailable, Workshop

HERE = Path(__file__).parent
SCRIPTS = {"SBCL sb-alien": "sbcl-alien.lisp", "SBCL CL CFFI": "sbcl-cffi.lisp"}


def load(workshop: Workshop) -> dict[str, Remote | Exception]:
    """Start both workers; what asdf compiles goes into the build directory."""
    if shutil.which("sbcl") is None:
        raise Unavailable("not installed")
    env = {**os.environ, "XDG_CACHE_HOME": str(workshop.directory / "cache")}
    rows: dict[str, Remote | Exception] = {}
    for name, script in SCRIPTS.items():
        try:
            rows[name] = Remote(name, ["sbcl", "--script", str(HERE / script), str(workshop.target)], env)
        except Unavailable as error:  # reported in its own row
            rows[name] = error
    return rows
