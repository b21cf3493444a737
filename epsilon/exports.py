"""What structs and arrays of structs show through the buffer protocol (PEP 3118), which floor 0 asks here."""

from __future__ import annotations

import sys

from epsilon.buffers import is_lent
from epsilon.memory import ForeignMemory
from epsilon.structs import Struct
from epsilon.typesystem import Array, CType, StructCType

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any


def shown(memory: Any) -> tuple[bytes | None, int]:
    """The format and the size of the items that guarded memory shows: of a struct its bytes (format None), of an array
    of structs each as a whole.  Raises ``BufferError`` for other memory."""
    if not isinstance(memory, Struct) and not _has_structs(memory):
        raise BufferError(f"{memory!r} is no struct and no array of structs: only these have the buffer protocol; "
                          "numpy.asarray and from_buffer see other memory")  # fmt: skip
    if is_lent(memory):
        raise BufferError(f"{memory!r} is C's, and goes away when the callback returns: copy it")
    if isinstance(memory, Struct):
        return None, 1
    return format_of(memory.element).encode(), memory.element.size


def _has_structs(memory: Any) -> bool:
    return isinstance(memory, ForeignMemory) and memory.count is not None and memory.element.code == "s"


def format_of(found: CType) -> str:
    """A struct in the words of PEP 3118, padding and all; bit-fields, which it has no word for, are padding.

    >>> format_of(define_c_struct("pair", [("c", "char"), ("d", ("array", "int", 2))]).ctype)
    'T{^b:c:3x(2)i:d:}'
    """
    return f"T{{^{_members(found)}}}"


def _members(found: StructCType) -> str:
    parts, place = [], 0
    for member in found.fields:
        if member.bits is not None:
            continue
        if member.offset < place:
            raise BufferError(f"the members of {found.spelling} lie over one another, and a buffer's format cannot say "
                              "so: bytes(…) and from_buffer take it")  # fmt: skip
        parts.append(_padding(member.offset - place))
        parts.append(f"{_item(member.ctype)}:{member.name}:")
        place = member.offset + (member.ctype.size or 0)
    return "".join(parts) + _padding(found.size - place)


def _padding(count: int) -> str:
    return f"{count if count > 1 else ''}x" if count else ""


def _item(found: CType) -> str:
    found = found.representation
    if isinstance(found, StructCType):
        return f"T{{{_members(found)}}}"
    if isinstance(found, Array):
        lengths = []
        while isinstance(found, Array):
            lengths.append(str(found.length or 0))
            found = found.target.representation
        return f"({','.join(lengths)}){_item(found)}"
    if found.is_pointer:
        return _POINTER
    return _ITEMS.get(found.code, found.code)


_ITEMS = {"c": "b", "C": "B", "F": "Zf", "D": "Zd"}
#: as NumPy's ``uintp``, for it has no pointers
_POINTER = "Q" if sys.maxsize > 2**32 else "I"
