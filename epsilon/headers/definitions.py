"""Which macros a unit ends with: names, bodies and places, from its ``#define`` and ``#undef`` lines."""

from __future__ import annotations

import functools
import re
from collections import namedtuple

#: ``parameters`` is None for an object-like macro, else the words between the parentheses; ``file`` an index.
Definition = namedtuple("Definition", ["parameters", "body", "file", "line"])

_DEFINE = re.compile(r"#define ([^\s(]+)(?:\(([^)]*)\))? ?(.*)")
_UNDEF = re.compile(r"#undef (\S+)")
_RESTORING = re.compile(r'^#pragma pop_macro\("(\w+)"\)', re.M)
_DIRECTIVES = re.compile(r"^#(?:define|undef) .*$", re.M)
_UNIVERSAL = re.compile(r"\\U([0-9a-fA-F]{8})")


def _name(text: str) -> str:
    """A macro's name; GCC prints letters beyond ASCII as ``\\U000000e9``."""
    return _UNIVERSAL.sub(lambda match: chr(int(match[1], 16)), text) if "\\" in text else text


@functools.lru_cache(maxsize=1)
def definitions_of(unit) -> Definitions:
    """The macros of ``unit``: both its constants and its wrappers ask for them."""
    return Definitions(unit)


class Definitions(dict):
    """``Definition`` by macro name, as the last ``#define`` or ``#undef`` left it, in the order of the headers.

    ``undone`` has those that an ``#undef`` took away; ``#pragma pop_macro``, which GCC prints as an ``#undef``, may
    have brought some of them back.  ``restored`` has the names in such a pragma, which clang prints as it is: what is
    known of them here may be out of date.  ``plain`` is the unit's text without such lines: what a compiler takes as
    preprocessed; ``names`` are all names in it.
    """

    def __init__(self, unit):
        super().__init__()
        self.undone: dict[str, Definition] = {}
        for file, line, text in unit.lines():
            if not text.startswith("#"):
                continue
            if define := _DEFINE.match(text):
                name, parameters, body = define.groups()
                if parameters is not None:
                    parameters = tuple(word.strip() for word in parameters.split(",") if word.strip())
                name = _name(name)
                self.pop(name, None)
                self[name] = Definition(parameters, body.strip(), file, line)
            elif (undef := _UNDEF.match(text)) and (name := _name(undef[1])) in self:
                self.undone[name] = self.pop(name)
        self.restored = frozenset(_RESTORING.findall(unit.text))
        self.plain = _DIRECTIVES.sub("", unit.text)
        self.names = frozenset(re.findall(r"[^\W\d]\w*", self.plain))
