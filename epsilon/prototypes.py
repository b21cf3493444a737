"""The declaration of one function; of plain ones the parts are remembered.

A module declares hundreds of functions, mostly without parentheses inside the parameter list, and their parts repeat:
``const char *s`` is read once.  What was remembered holds for as long as the tags and typedefs in it mean what they
meant.
"""

from __future__ import annotations

from collections import namedtuple

from epsilon.declarator import RESERVED, Reader, parameter_type
from epsilon.errors import ForeignTypeError
from epsilon.typesystem import ENUMS, NAMED, TAGS, TYPEDEFS, CType, FunctionType

#: A function's declaration: its name, its ``FunctionType``, and its parameters' names (None for a nameless one).
Prototype = namedtuple("Prototype", ["name", "type", "parameters"])

#: what a name meant when a text was read: (the table of names, the name, its meaning)
Meanings = tuple[tuple[dict, object, CType], ...]

_parts: dict[str, tuple[CType, str | None, Meanings]] = {}
_shapes: dict[tuple[str, str], tuple[FunctionType, tuple[str | None, ...], Meanings]] = {}


def parse_prototype(text: str) -> Prototype:
    """The function that ``text`` declares.

    >>> parse_prototype("size_t strlen(const char *s);").parameters
    ('s',)
    """
    found = _plain_prototype(text)
    if found is not None:
        return found
    reader = Reader(text)
    name, ctype, names = reader.declaration()
    reader.accept(";")
    reader.end()
    if name is None or not isinstance(ctype, FunctionType):
        raise reader.error("a prototype such as 'int abs(int n)' is wanted here")
    return Prototype(name, ctype, names)


def _plain_prototype(text: str) -> Prototype | None:
    """The function that a plain prototype declares; None where the whole reader is needed, be it for its error."""
    if not isinstance(text, str) or "/" in text:  # there may be comments
        return None
    head, _, tail = text.partition("(")
    parameters, closing, end = tail.partition(")")
    head = head.rstrip()
    start = max(head.rfind(" "), head.rfind("*"), head.rfind("\n"), head.rfind("\t")) + 1
    result, name = head[:start], head[start:]
    if not closing or "(" in parameters or end.strip() not in (";", ""):
        return None
    if not name.isidentifier() or name in RESERVED:
        return None
    found = _shapes.get((result, parameters))
    if found is None or not _still(found[2]):
        try:
            found = _shapes[result, parameters] = _shape(result, parameters)
        except ForeignTypeError:
            return None
    return Prototype(name, found[0], found[1])


def _shape(result: str, inner: str) -> tuple[FunctionType, tuple[str | None, ...], Meanings]:
    base, name, meanings = _part(result)
    if name is not None:
        raise ForeignTypeError(f"{result!r} is no type")
    texts = [] if inner.strip() in ("", "void") else inner.split(",")
    variadic = bool(texts) and texts[-1].strip() == "..."
    parts = [_part(text) for text in (texts[:-1] if variadic else texts)]
    types = tuple(parameter_type(ctype) for ctype, _, _ in parts)
    meanings = sum((part[2] for part in parts), meanings)
    return FunctionType(base, types, variadic), tuple(name for _, name, _ in parts), meanings


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
