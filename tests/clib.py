"""What the conformance tests share: C compiled once per test run, a child process for what might crash, the strategy.

C is the judge.  A test writes the C it needs, ``compile_c`` builds it once and remembers it by its text, and the test
compares what Epsilon gives with what C says.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import epsilon
from epsilon import _backend

#: whether the C shim is in use; without it cffi's ABI mode stands in, with a few named exceptions (DESIGN, decision 2)
SHIM = _backend.shim is not None

_ROOT = Path(epsilon.__file__).resolve().parent.parent
_session = tempfile.TemporaryDirectory(prefix="epsilon-tests-")
_compiler = shlex.split(os.environ.get("CC", "cc"))


@functools.cache
def compile_c(source: str, *flags: str) -> str:
    """The path of a shared library made from ``source``; the same text is compiled once in a test run."""
    stem = Path(_session.name) / hashlib.sha256("\0".join((source, *flags)).encode()).hexdigest()[:16]
    text, library = stem.with_suffix(".c"), stem.with_suffix(".so")
    text.write_text(source, encoding="utf-8")
    command = [*_compiler, "-std=gnu11", "-O0", "-w", "-shared", "-fPIC", *flags, str(text), "-o", str(library)]
    command += ["-lpthread", "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"the test's own C does not compile:\n{done.stderr}"
    return str(library)


def load_c(source: str, *flags: str) -> epsilon.Library:
    """``source`` compiled and opened."""
    return epsilon.lib_open(compile_c(source, *flags))


def output_of(program: str) -> str:
    """What a C program prints."""
    with tempfile.TemporaryDirectory(prefix="epsilon-tests-") as folder:
        source, built = Path(folder, "program.c"), Path(folder, "program")
        source.write_text(program, encoding="utf-8")
        subprocess.run([*_compiler, "-std=gnu11", "-w", str(source), "-o", str(built)], check=True)
        return subprocess.run([str(built)], capture_output=True, text=True, check=True).stdout


def run_child(code: str, *arguments: str, **environment: str) -> str:
    """Run ``code`` in a fresh interpreter under the same strategy; returns what it printed.

    A crash, a failed assertion and an exception all fail the test, with what the child wrote.  The time limit only
    turns a deadlock into a failure.
    """
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"the child ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def shim_only(test: Callable[..., Any]) -> Callable[..., Any]:
    """For a test of what cffi's ABI mode cannot do: there the same test must meet the error that says so."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        if SHIM:
            test(*args, **kwargs)
            return
        with pytest.raises(epsilon.ForeignError, match="needs the shim"):
            test(*args, **kwargs)

    return wrapper
