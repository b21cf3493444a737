"""One run of the compiler over a text, its status and its words."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence

from epsilon import compiler
from epsilon.errors import CompilerError


def run(arguments: Sequence[str], text: str, what: str) -> tuple[int, str, str]:
    """The exit status, what was printed, and what was said; ``CompilerError`` if the compiler cannot be run."""
    if not compiler.command():
        raise CompilerError(f"{what} needs a C compiler, and the environment variable CC names none")
    command = [*compiler.command(), *arguments, "-x", "c", "-"]
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=120,
            check=False, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except OSError as error:
        raise CompilerError(
            f"{what} needs a C compiler, and {command[0]} cannot be run: {error.strerror}; install one "
            f"(Debian: apt install gcc libc6-dev) or name it in the environment variable CC"
        ) from None
    except subprocess.TimeoutExpired:
        raise CompilerError(f"{what}: {shlex.join(command)} took more than 120 s") from None
    return done.returncode, done.stdout, done.stderr
