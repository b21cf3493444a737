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
#: all errors, each in one line
_QUIET = ("-fmax-errors=0", "-fno-diagnostics-show-caret", "-fdiagnostics-color=never")
_CLANG_QUIET = ("-ferror-limit=0", "-fno-caret-diagnostics", "-fno-color-diagnostics")
_ERROR = re.compile(r"^(.+?):(\d+):(?:\d+:)? (?:fatal )?error: (.*)$", re.M)

#: An int for a pointer, a pointer for another, an unknown function: what a wrong guess would lead to.
STRICT = ("-Werror=int-conversion", "-Werror=incompatible-pointer-types", "-Werror=implicit-function-declaration")
#: A C type as the compiler spells it, and with its typedefs resolved.
Type = namedtuple("Type", ["spelled", "canonical"])
#: what has another type than anything: the compiler names the type of what is assigned to it
NOWHERE = "struct epsilon_nowhere { char none; };\n"
#: a type in the compiler's words: GCC's ``'x' {aka 'y'}``, clang's ``'x' (aka 'y')``
_NAMED = r"'([^']*)'(?: [{(]aka '([^']*)'[)}])?"
_GCC_WORDS = re.compile(r"\b(?:(?:long|short) )+(?:unsigned )?int\b|\b__int128 unsigned\b")
_TYPE = re.compile(rf"assigning to (?:type )?'struct epsilon_nowhere' from (?:incompatible )?type {_NAMED}")

_PREPROCESSING = re.compile(r"-(?:D|U|I|include|imacros|isystem|iquote|idirafter|isysroot|iprefix|MF)")
_WITH_ARGUMENT = re.compile(r"-(?:D|U|I|include|imacros|isystem|iquote|idirafter|isysroot|iprefix|MF)$")


def probe(number: int, text: str) -> str:
    """``text``, one line of C, as probe ``number``."""
    return f'# {number} "{_PROBE}"\n{text}\n'


def options(unit, loud: bool = False) -> list[str]:
    """The options for a text that is preprocessed already: those of ``unit`` but for macros and includes.

    ``loud`` leaves the warnings on, so that ``-Werror=…`` makes errors of some.
    """
    kept, argument = [], False
    for word in unit.options:
        if not argument and not _PREPROCESSING.match(word):
            kept.append(word)
        argument = not argument and _WITH_ARGUMENT.match(word) is not None
    clang = "#define __clang__ 1" in unit.text
    return [*kept, *(_CLANG_QUIET if clang else _QUIET), *(() if loud else ("-w",)), "-fno-lto"]


def words_about(unit, text: str, arguments: Iterable[str] = (), loud: bool = False) -> str:
    """What the compiler says of ``text``, which it only checks.  ``CompilerError`` if it fails without a word of a
    line."""
    return _said(unit, text, ("-fsyntax-only", *arguments), loud)


def _said(unit, text: str, arguments: Iterable[str], loud: bool) -> str:
    status, _, said = compiler.run([*options(unit, loud), *arguments], text, WHAT)
    if status and not _ERROR.search(said):
        raise CompilerError(f"{WHAT}: the compiler ended with {status}:\n{said.strip()}")
    return said


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


def assigned(expression: str) -> str:
    """A function's body that has the compiler name the type of ``expression``."""
    return f"{{ struct epsilon_nowhere nowhere; nowhere = ({expression}); }}"


def named_type(complaint: str) -> Type | None:
    """The type that the compiler names when it complains of what ``assigned`` made.

    >>> named_type("incompatible types when assigning to type 'struct epsilon_nowhere' from type 'z' {aka 'long int'}")
    Type(spelled='z', canonical='long')
    """
    found = _TYPE.search(complaint)
    if found is not None:
        return plain_type(found[1], found[2] or found[1])
    return Type("void", "void") if "void value" in complaint or "type 'void'" in complaint else None


def plain_type(spelled: str, canonical: str) -> Type:
    """A type in words that are usual: GCC says ``long unsigned int``."""
    return Type(*(_GCC_WORDS.sub(_usual, text) for text in (spelled, canonical)))


def _usual(match: re.Match) -> str:
    words = match[0].split()
    return ("unsigned " if "unsigned" in words else "") + " ".join(w for w in words if w not in ("int", "unsigned"))


def declared(ctype: str, name: str) -> str:
    """``name`` declared with a type that is spelled without one.

    >>> declared("const char *", "s"), declared("void (*)(int)", "f"), declared("int [3]", "a")
    ('const char *s', 'void (*f)(int)', 'int a[3]')
    """
    inside = re.search(r"\(\*+(?=\))", ctype)
    if inside:
        return f"{ctype[: inside.end()]}{name}{ctype[inside.end() :]}"
    bracket = ctype.find("[")
    if bracket >= 0:
        return f"{ctype[:bracket].rstrip()} {name}{ctype[bracket:]}"
    return f"{ctype}{'' if ctype.endswith('*') else ' '}{name}"


def compiled(unit, text: str, arguments: Iterable[str] = ()) -> tuple[ObjectFile | None, Complaints]:
    """The object file that ``text`` makes, or None where there are complaints."""
    with tempfile.TemporaryDirectory(prefix="epsilon-probe-") as folder:
        path = os.path.join(folder, "probe.o")
        refused = complaints_in(_said(unit, text, ("-c", "-O0", "-g0", *arguments, "-o", path), False))
        if not os.path.exists(path):
            return None, refused
        with open(path, "rb") as file:
            return ObjectFile(file.read()), refused
