"""Asks the compiler many small things about a translation unit in one run: each probe stands on a line of its own.

A probe's text is known to be in one piece: its brackets match, and nothing in it ends a statement.  An error names the
probe's number for a line, and the compiler goes on with the next one.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections import namedtuple
from collections.abc import Iterable

from epsilon import compiler
from epsilon.errors import CompilerError
from epsilon.headers.objectfile import ObjectFile

WHAT = "reading a header's macros"
_PROBE = "epsilon-probe"  #: the file that the probes' lines are of
#: The first word about each refused probe, by its number; and about lines of the headers, by file and line.
Complaints = namedtuple("Complaints", ["probes", "header"])
#: no warnings, all errors, each in one line
_QUIET = ("-w", "-fmax-errors=0", "-fno-diagnostics-show-caret", "-fdiagnostics-color=never")
_CLANG_QUIET = ("-w", "-ferror-limit=0", "-fno-caret-diagnostics", "-fno-color-diagnostics")
_ERROR = re.compile(r"^(.+?):(\d+):(?:\d+:)? (?:fatal )?error: (.*)$", re.M)

#: what has another type than anything: the compiler names the type of what is assigned to it
NOWHERE = "struct epsilon_nowhere { char none; };\n"
_TYPE = re.compile(
    r"(?:assigning to type 'struct epsilon_nowhere' from type"
    r"|assigning to 'struct epsilon_nowhere' from incompatible type) '(.*?)'(?: [{(]aka '(.*)'[)}])?$"
)

_PREPROCESSING = re.compile(r"-(?:D|U|I|include|imacros|isystem|iquote|idirafter|isysroot|iprefix|MF)")
_WITH_ARGUMENT = re.compile(r"-(?:D|U|I|include|imacros|isystem|iquote|idirafter|isysroot|iprefix|MF)$")


def probe(number: int, text: str) -> str:
    """``text``, one line of C, as probe ``number``."""
    return f'# {number} "{_PROBE}"\n{text}\n'


def options(unit) -> list[str]:
    """The options for a text that is preprocessed already: those of ``unit`` but for macros and includes."""
    kept, argument = [], False
    for word in unit.options:
        if not argument and not _PREPROCESSING.match(word):
            kept.append(word)
        argument = not argument and _WITH_ARGUMENT.match(word) is not None
    clang = "#define __clang__ 1" in unit.text
    return [*kept, *(_CLANG_QUIET if clang else _QUIET), "-fno-lto"]


def complaints(unit, text: str, arguments: Iterable[str] = ("-fsyntax-only",)) -> Complaints:
    """What the compiler refuses in ``text``.  ``CompilerError`` if it fails without complaining of a line."""
    status, _, said = compiler.run([*options(unit), *arguments], text, WHAT)
    found = complaints_in(said)
    if status and not found.probes and not found.header:
        raise CompilerError(f"{WHAT}: the compiler ended with {status}:\n{said.strip()}")
    return found


def complaints_in(said: str) -> Complaints:
    """What the compiler's words ``said`` complain of.

    >>> complaints_in("epsilon-probe:3:9: error: no\\na.h:5:1: error: unknown type name 'x'")
    Complaints(probes={3: 'no'}, header={('a.h', 5): "unknown type name 'x'"})
    """
    found = Complaints({}, {})
    for file, line, words in _ERROR.findall(said):
        if file == _PROBE:
            found.probes.setdefault(int(line), words)
        else:
            found.header.setdefault((file, int(line)), words)
    return found


def spelled_type(complaint: str) -> str | None:
    """The type of what was assigned to a ``struct epsilon_nowhere``, as the compiler spells it when it complains."""
    found = _TYPE.search(complaint)
    if found is None:
        return "void" if "void value" in complaint or "type 'void'" in complaint else None
    return found[1]


def compiled(unit, text: str, arguments: Iterable[str] = ()) -> tuple[ObjectFile | None, Complaints]:
    """The object file that ``text`` makes, or None where there are complaints."""
    with tempfile.TemporaryDirectory(prefix="epsilon-probe-") as folder:
        path = os.path.join(folder, "probe.o")
        refused = complaints(unit, text, ("-c", "-O0", "-g0", *arguments, "-o", path))
        if not os.path.exists(path):
            return None, refused
        with open(path, "rb") as file:
            return ObjectFile(file.read()), refused
