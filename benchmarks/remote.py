"""Rows measured in another process: LuaJIT, SBCL, and Epsilon under a forced strategy.

The worker waits on its standard input, so it costs nothing while the others are measured. It says one line at the
start, `ready <version>|<task> <task> …` or `failed <reason>`; to `<task> <seconds>` it answers a number of
nanoseconds or `failed <reason>`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from benchmarks.tasks import TASKS, Peer
from benchmarks.workshop import Unavailable, telling_line


class Remote:
    """One row of the table whose worker is a child process; the counterpart of `Peer`.

    `only` limits the tasks to some of those that the worker can do.
    """

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None,
                 only: Sequence[str] = TASKS):
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True)
        version, _, tasks = self._answer().removeprefix("ready ").partition("|")
        self.version = version
        self._tasks = [task for task in only if task in tasks.split()]

    def tasks(self) -> list[str]:
        """The tasks the worker can do, in table order."""
        return self._tasks

    def check(self) -> None:
        """The worker checks itself before it says that it is ready."""

    def measure(self, task: str, seconds: float) -> float:
        """Return nanoseconds per call, per callback, or per whole sort."""
        self._process.stdin.write(f"{task} {seconds}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """End the worker: its input ends, and so does its loop."""
        if self._process.poll() is None:
            self._process.stdin.close()
            self._process.wait(10)
        self._errors.close()

    def _answer(self) -> str:
        line = self._process.stdout.readline().strip()
        if line.startswith("failed "):
            raise Unavailable(line.removeprefix("failed "))
        if not line:
            self._process.stdin.close()
            status = self._process.wait()
            self._errors.seek(0)
            raise Unavailable(telling_line(self._errors.read()) or f"ended with status {status}")
        return line


def serve(peer: Peer) -> None:
    """The worker's half, for a Python peer: answer on standard output until the input ends."""
    try:
        peer.check()
    except Exception as error:  # the parent prints it in the row
        print(f"failed {type(error).__name__}: {error}".splitlines()[0], flush=True)
        return
    print(f"ready {peer.version}|{' '.join(peer.tasks())}", flush=True)
    for line in sys.stdin:
        task, seconds = line.split()
        try:
            print(peer.measure(task, float(seconds)), flush=True)
        except Exception as error:
            print(f"failed {type(error).__name__}: {error}".splitlines()[0], flush=True)
