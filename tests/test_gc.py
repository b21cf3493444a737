"""Issue 3, "Proof": calls and callbacks while Python's collector runs at every turn, and in every callback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import gc_stress

import epsilon

HERE = Path(__file__).resolve().parent
FILES = ["test_callbacks.py", "test_callback_lives.py", "test_calls.py", "test_aggregates.py"]
#: it compares what a callback shows with the callable that it was made of, which is another one there
DESELECTED = ["test_callback_lives.py::test_what_a_callback_says_of_itself"]


def test_calls_and_callbacks_under_a_collector_that_runs_at_every_turn():
    path = [str(HERE), str(Path(epsilon.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    command = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "gc_stress"]
    command += [f"--deselect=tests/{name}" for name in DESELECTED]
    done = subprocess.run(
        [*command, *(str(HERE / name) for name in FILES)],
        cwd=HERE.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"collections in callbacks: (\d+)", done.stdout)[1]) > 500, "the plugin was not at work"


def test_the_plugin_collects_before_and_after_each_callback(monkeypatch):
    collected = []
    monkeypatch.setattr(gc_stress.gc, "collect", lambda: collected.append("collected"))

    def double(x):
        collected.append("called")
        return 2 * x

    assert gc_stress.collecting(double)(21) == 42
    assert collected == ["collected", "called", "collected"]
