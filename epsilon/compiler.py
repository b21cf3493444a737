"""Asks the C compiler: C text in, what it prints or what the compiler makes of its headers out.

The compiler is ``$CC``, or ``cc``.  Everything happens in a temporary folder that is gone afterwards.  What goes into
the text from outside is checked to be a name first (``header_name``, ``identifier``), so that it cannot be code.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import tempfile

from epsilon.errors import CompilerError, ForeignTypeError, shorten

_LONGEST = 60  #: seconds that one run of the compiler or of a probe may take


def command() -> list[str]:
    """The compiler and its first options: ``$CC``, or ``cc``."""
    return shlex.split(os.environ.get("CC") or "cc")


def is_there() -> bool:
    """Whether the compiler can be run."""
    import shutil

    return bool(command()) and shutil.which(command()[0]) is not None


def header_name(header: object) -> str:
    """``header`` if it can stand between ``<`` and ``>``, else ``ForeignTypeError``.

    >>> header_name("sys/stat.h")
    'sys/stat.h'
    """
    if not isinstance(header, str) or not re.fullmatch(r"[\w.+/-]+", header, re.ASCII):
        raise ForeignTypeError(f"a header is a name such as 'sys/stat.h', not {shorten(header)}")
    return str(header)


def identifier(name: object) -> str:
    """``name`` if it is a C identifier, else ``ForeignTypeError``."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise ForeignTypeError(f"a C name is wanted, not {shorten(name)}")
    return str(name)


def _run(arguments: list[str], folder: str, what: str) -> str:
    try:
        done = subprocess.run(
            arguments, cwd=folder, capture_output=True, text=True, errors="replace", timeout=_LONGEST, check=False
        )
    except OSError as error:
        raise CompilerError(
            f"{what} needs a C compiler, and {shlex.join(arguments[:1])} cannot be run: {error.strerror}; install one "
            f"(Debian: apt install gcc libc6-dev) or name it in the environment variable CC"
        ) from None
    except subprocess.TimeoutExpired:
        raise CompilerError(f"{what}: {shlex.join(arguments)} took more than {_LONGEST} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise CompilerError(f"{what}: {shlex.join(arguments)} ended with {done.returncode}:\n{said}")
    return done.stdout


def _with_source(text: str, options: list[str], what: str, run: bool) -> str:
    if not command():
        raise CompilerError(f"{what} needs a C compiler, and the environment variable CC names none")
    with tempfile.TemporaryDirectory(prefix="epsilon-compiler-") as folder:
        with open(os.path.join(folder, "probe.c"), "w", encoding="utf-8") as file:
            file.write(text)
        said = _run([*command(), *options, "probe.c"], folder, what)
        return _run([os.path.join(folder, "probe")], folder, what) if run else said


@functools.lru_cache(maxsize=64)
def _preprocessed(text: str, what: str, _compiler: str) -> str:
    return _with_source(text, ["-E", "-P", "-std=gnu11"], what, run=False)


def preprocess(text: str, what: str) -> str:
    """``text`` with its headers and macros put in; ``what`` begins the message of the ``CompilerError``."""
    return _preprocessed(text, what, os.environ.get("CC", ""))


def output_of(text: str, what: str) -> str:
    """What the C program ``text`` prints; ``CompilerError`` has the compiler's own words.

    >>> output_of('#include <stdio.h>\\nint main(void) { printf("%d", (int)sizeof(short)); }', "an example")
    '2'
    """
    return _with_source(text, ["-std=gnu11", "-w", "-o", "probe"], what, run=True)
