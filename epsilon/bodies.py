"""What stands between the braces of a struct or union: its members, and what attributes ask of their layout."""

from __future__ import annotations

from collections import namedtuple

from epsilon.declarator import Attributes, Names, Reader
from epsilon.errors import ForeignTypeError
from epsilon.layout import Member, Rules
from epsilon.typesystem import CType, FunctionType

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable

_BODY = ["kind", "tag", "members", "packed", "pack", "align"]


class Body(namedtuple("Body", _BODY, defaults=(False, 0, 1))):
    """A struct's or union's definition: ``"struct"`` or ``"union"``, the tag or None, the members, and what its
    attributes and ``#pragma pack`` ask for."""

    __slots__ = ()

    @property
    def rules(self) -> Rules:
        """What is asked of the layout."""
        return Rules(self.packed, self.pack, self.align)


def parse_head(text: str) -> tuple[str, str | None]:
    """``"struct"`` or ``"union"``, and the tag, of the definition in ``text``.

    >>> parse_head("struct pair { char c; double d; };")
    ('struct', 'pair')
    """
    reader = Reader(text)
    kind = _head(reader, Attributes())
    return kind, reader.take() if reader.at_name() else None


def parse_body(text: str, define: Callable[[Body], CType], names: Names | None = None) -> Body:
    """The struct or union that ``text`` defines; ``define`` makes the types of definitions nested inside it."""
    reader = Reader(text, define, names or Names())
    attributes = Attributes()
    kind = _head(reader, attributes)
    tag = reader.take() if reader.at_name() else None
    found = body(reader, kind, tag, attributes)
    if tag is None and reader.at_name():  # typedef struct { … } name;
        found = found._replace(tag=reader.take())
    elif reader.at_name():
        reader.take()
    reader.accept(";")
    reader.end()
    return found


def _head(reader: Reader, found: Attributes) -> str:
    """``"struct"`` or ``"union"``, at the beginning of a definition, and its attributes."""
    reader.accept("typedef")
    kind = reader.take()
    if kind not in ("struct", "union"):
        raise reader.error("'struct NAME { … };' or 'union NAME { … };' is wanted here", kind)
    reader.attributes(found)
    return kind


def body(reader: Reader, kind: str, tag: str | None, found: Attributes) -> Body:
    """The body of ``kind tag``, up to its attributes."""
    members = _members(reader)
    reader.attributes(found)
    return Body(kind, tag, members, found.packed, reader.pack, found.align or 1)


def _members(reader: Reader) -> list[Member]:
    reader.expect("{")
    found: list[Member] = []
    while not reader.accept("}"):
        reader.alignas = Attributes()
        base, const = reader.specifiers()
        before = reader.alignas
        if reader.accept(";"):
            found.append(Member(None, base, None, before.packed, before.align))
            continue
        while True:
            if reader.peek() == ":":
                name, ctype = None, base
            else:
                name, ctype, _ = reader.declarator(base, const)
            bits = None
            if reader.accept(":"):
                bits = _bits(reader)
            own = Attributes(before)
            reader.attributes(own)
            found.append(Member(name, _member_type(ctype), bits, own.packed, own.align))
            if reader.accept(";"):
                break
            reader.expect(",")
    return found


def _bits(reader: Reader) -> int:
    words = ""
    while reader.peek() not in (",", ";", "", "__attribute__", "__attribute"):
        words += reader.take()
    if words in reader.names.constants:
        return reader.names.constants[words]
    if not words.isdigit():
        raise reader.error("the width of a bit-field is an integer constant", words)
    return int(words)


def _member_type(ctype: CType) -> CType:
    if isinstance(ctype, FunctionType):
        raise ForeignTypeError("a struct cannot hold a function, only a pointer to one")
    return ctype
