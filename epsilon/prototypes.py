"""The declaration of one function; what plain ones have in common is remembered.

A module declares hundreds of functions, mostly without parentheses inside the parameter list, and they repeat: what
stands before and after the name is read once, and a part such as ``const char *s`` is.  What was remembered holds for
as long as the tags and typedefs in it mean what they meant.
"""

from __future__ import annotations

from collections import namedtuple

from epsilon.declarator import RESERVED, Reader, parameter_type
from epsilon.errors import ForeignTypeError
from epsilon.typesystem import ENUMS, NAMED, TAGS, TYPEDEFS, CType, FunctionType

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

#: A function's declaration: its name, its ``FunctionType``, and its parameters' names (None for a nameless one).
Prototype = namedtuple("Prototype", ["name", "type", "parameters"])

#: what a name meant when a text was read: (the table of names, the name, its meaning)
Meanings = tuple[tuple[dict, object, CType], ...]


class Shape:
    """What prototypes share that differ in the function's name alone."""

    __slots__ = ("meanings", "parameters", "signature", "type")

    def __init__(self, type: FunctionType, parameters: tuple[str | None, ...], meanings: Meanings):
        self.type, self.parameters, self.meanings = type, parameters, meanings
        #: for who makes a signature of the type; None until then
        self.signature: Any = None


_parts: dict[str, tuple[CType, str | None, Meanings]] = {}
#: what stands before the name, and after the parenthesis
_shapes: dict[tuple[str, str], Shape] = {}


def parse_prototype(text: str) -> Prototype:
    """The function that ``text`` declares.

    >>> parse_prototype("size_t strlen(const char *s);").parameters
    ('s',)
    """
    name, shape = parse_shape(text)
    return Prototype(name, shape.type, shape.parameters)


def parse_shape(text: str) -> tuple[str, Shape]:
    """The function that ``text`` declares, as its name and all else.

    >>> parse_shape("int abs(int n);")[1] is parse_shape("int somewhere_else(int n);")[1]
    True
    """
    head, _, tail = text.partition("(")
    result, _, name = head.rpartition(" ")
    if not name:
        result, _, name = head.rstrip().rpartition(" ")
    if "*" in name:
        name = name[name.rindex("*") + 1 :]
        result = head.rstrip().removesuffix(name)
    known = _shapes.get((result, tail))
    if known is None or name in RESERVED or not name.isidentifier() or (known.meanings and not _still(known.meanings)):
        return _read_shape(text, name, (result, tail))
    return name, known


def _read_shape(text: str, name: str, key: tuple[str, str]) -> tuple[str, Shape]:
    """As ``parse_shape``; what is plain is remembered: ``key`` stands around the ``name``."""
    parameters, closing, end = key[1].partition(")")
    plain = closing and "(" not in parameters and "/" not in text and end.strip() in (";", "")  # there may be comments
    if plain and name.isidentifier() and name not in RESERVED:
        try:
            found = _shapes[key] = _shape(key[0], parameters)
        except ForeignTypeError:
            pass  # the reader tells what is wrong with the whole text
        else:
            return name, found
    reader = Reader(text)
    name, ctype, names = reader.declaration()
    reader.accept(";")
    reader.end()
    if name is None or not isinstance(ctype, FunctionType):
        raise reader.error("a prototype such as 'int abs(int n)' is wanted here")
    return name, Shape(ctype, names, ())


def _shape(result: str, inner: str) -> Shape:
    base, name, meanings = _part(result)
    if name is not None:
        raise ForeignTypeError(f"{result!r} is no type")
    texts = [] if inner.strip() in ("", "void") else inner.split(",")
    variadic = bool(texts) and texts[-1].strip() == "..."
    parts = [_part(text) for text in (texts[:-1] if variadic else texts)]
    types = tuple(parameter_type(ctype) for ctype, _, _ in parts)
    meanings = sum((part[2] for part in parts), meanings)
    return Shape(FunctionType(base, types, variadic), tuple(name for _, name, _ in parts), meanings)


def _part(text: str) -> tuple[CType, str | None, Meanings]:
    """The type and the name that a part of a prototype declares, and the meanings that it rests on."""
    found = _parts.get(text)
    if found is None or not _still(found[2]):
        if "." in text:
            raise ForeignTypeError(f"{text!r} is no parameter")
        reader = Reader(text)
        name, ctype, _ = reader.declaration()
        reader.end()
        found = _parts[text] = ctype, name, _meanings(reader.tokens)
    return found


def _meanings(tokens: list[str]) -> Meanings:
    """What the tags and the typedefs among ``tokens`` mean now."""
    pairs = list(zip(tokens, tokens[1:], strict=False))
    found = [(TAGS, pair, TAGS[pair]) for pair in pairs if pair[0] in ("struct", "union")]
    found += [(ENUMS, tag, ENUMS.get(tag)) for kind, tag in pairs if kind == "enum"]
    found += [(table, word, table[word]) for table in (TYPEDEFS, NAMED) for word in tokens if word in table]
    return tuple(found)


def _still(meanings: Meanings) -> bool:
    return all(table.get(name) is meaning for table, name, meaning in meanings)
