"""The formats of Python's buffers (PEP 3118), as C types."""

from __future__ import annotations

import sys

from epsilon.typesystem import WORDS, CType

_FORMATS = {
    "b": "int8", "B": "uint8", "c": "char", "?": "bool", "h": "short", "H": "unsigned-short", "i": "int",
    "I": "unsigned-int", "l": "long", "L": "unsigned-long", "q": "long-long", "Q": "unsigned-long-long", "n": "ssize",
    "N": "size", "f": "float", "d": "double",
}  # fmt: skip
#: with a byte order in front, sizes are the standard's and not the platform's (the struct module's documentation)
_STANDARD_FORMATS = {
    **{code: _FORMATS[code] for code in "bBc?fd"},
    **{"h": "int16", "H": "uint16", "i": "int32", "I": "uint32", "l": "int32", "L": "uint32", "q": "int64",
       "Q": "uint64"},
}
#: of NumPy's and ctypes' (PEP 3118)
_MORE_FORMATS = {"g": "long-double", "Zf": "float-complex", "Zd": "double-complex"}
_NATIVE_ORDER = "=<" if sys.byteorder == "little" else "=>!"


def word_of_format(text: str) -> str | None:
    """The scalar that a buffer's format says, or None for another byte order or several values."""
    if text[:1] in _NATIVE_ORDER:
        return _STANDARD_FORMATS.get(text[1:])
    return _FORMATS.get(text.removeprefix("@"))


def scalar_of_format(text: str) -> CType | None:
    """The C type of a buffer's elements, complex ones and long doubles included; None where they are no C scalars."""
    word = word_of_format(text) or _MORE_FORMATS.get(text.removeprefix("@"))
    return None if word is None else WORDS[word]
