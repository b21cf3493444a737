"""Copies and pickles of struct instances: their bytes, and what their pointers keep alive."""

from __future__ import annotations

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignTypeError
from epsilon.passing import leaves
from epsilon.typesystem import Array, CType, String, StructCType
from epsilon.views import bytes_at, write

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def _new(struct_class: Any, size: int) -> Any:
    own = struct_class.ctype
    return _backend.Guarded.__new__(struct_class, own.converter.pointer_type, size, own.alignment)


def copied(struct: Any) -> Any:
    """A struct of its own with the same bytes, which keeps alive what the original does."""
    address, size = _backend.address_of(struct), _backend.size_of(struct)
    made = _new(type(struct), size)
    target = _backend.address_of(made)
    cffi.memmove(bytes_at(target, size), bytes_at(address, size), size)
    moved = {
        key - address + target: value
        for key, value in list(_backend.kept_by(struct).items())
        if address <= key < address + size
    }
    if moved:
        _backend.kept_by(made).update(moved)
    return made


def reduced(struct: Any) -> tuple:
    """How a struct is pickled: by value.  Strings go along; any other pointer but NULL raises ``ForeignTypeError``."""
    size = _backend.size_of(struct)
    own = type(struct).ctype
    data = bytearray(bytes_at(_backend.address_of(struct), size))
    texts = []
    for offset, found in _pointers(own, size):
        end = offset + found.size
        if not any(data[offset:end]):
            continue
        if not isinstance(found, String) or _overlaps(own):
            raise ForeignTypeError(
                f"{own.spelling} holds a pointer, {found.spelling} at byte {offset}, which means nothing elsewhere: "
                f"only strings and NULL can be pickled"
            )
        texts.append((offset, found, found.converter.read(struct, offset)))
        data[offset:end] = bytes(found.size)
    return restored, (type(struct), bytes(data), texts)


def restored(struct_class: Any, data: bytes, texts: list) -> Any:
    """What ``reduced`` said."""
    if len(data) < struct_class.size:
        raise ForeignTypeError(
            f"{struct_class.ctype.spelling} has {struct_class.size} bytes now, and had {len(data)} when it was pickled"
        )
    made = _new(struct_class, len(data))
    bytes_at(_backend.address_of(made), len(data))[:] = data
    for offset, found, text in texts:
        write(found, made, offset, text)
    return made


def _pointers(own: StructCType, size: int) -> Iterator[tuple[int, CType]]:
    if _holds_pointers(own):
        yield from ((offset, found) for offset, found in leaves(own) if found.is_pointer)
        if own.flexible is not None:
            target = own.flexible.ctype.target
            rest = Array(target, (size - own.flexible.offset) // target.size)
            yield from (item for item in leaves(rest, own.flexible.offset) if item[1].is_pointer)


def _holds_pointers(found: CType) -> bool:
    found = found.representation
    if isinstance(found, Array):
        return _holds_pointers(found.target)
    if isinstance(found, StructCType):
        return any(_holds_pointers(member.ctype) for member in found.fields)
    return found.is_pointer


def _overlaps(found: CType) -> bool:
    """Whether members share bytes at any depth, so that what is a pointer may be something else."""
    found = found.representation
    if isinstance(found, Array):
        return _overlaps(found.target)
    if not isinstance(found, StructCType):
        return False
    end = 0
    for member, start in found.members:
        if start < end or found.kind == "union" or _overlaps(member.ctype):
            return True
        end = start + (member.bits if member.bits is not None else (member.ctype.size or 0) * 8)
    return False
