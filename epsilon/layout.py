"""Where C puts the members of a struct: the layout of GCC and Clang on x86-64 and AArch64 Linux.

cffi lays out plain structs, but knows neither alignment attributes nor packed bit-fields as the compiler has them.  So
the layout is computed here, in bits, by the rules of the System V x86-64 psABI §3.1.2 and AAPCS64 §5.9 and of GCC's
manual (Common Type Attributes, Structure-Layout Pragmas), and cffi is told the result.  ``tests/layout_check.py``
holds it against the compiler.
"""

from __future__ import annotations

from collections import namedtuple

from epsilon.errors import ForeignTypeError, shorten
from epsilon.typesystem import HAS_REFERENCES, Array, Integer, StructCType

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from epsilon.typesystem import CType

#: AAPCS64 §8.1.8: there an unnamed bit-field aligns the struct as a named one does
_UNNAMED_ALIGN = HAS_REFERENCES
_LARGEST_ALIGNMENT = 1 << 15

#: One member of a struct body: ``bits`` is the width of a bit-field, ``name`` None for an anonymous member; ``align``
#: is in bytes, and so is ``offset``, which C text cannot say.
_MEMBER = ["name", "ctype", "bits", "packed", "align", "offset"]
Member = namedtuple("Member", _MEMBER, defaults=(None, False, None, None))
#: What is asked of a whole struct: ``packed`` as the attribute, ``pack`` as ``#pragma pack(n)`` (0: none), ``align``.
Rules = namedtuple("Rules", ["packed", "pack", "align"], defaults=(False, 0, 1))
PLAIN = Rules()
#: Size and alignment in bytes, and for each member the bit at which it begins.
Placed = namedtuple("Placed", ["size", "alignment", "bits"])


class Layout:
    """Where one member is: bytes from the start, and for a bit-field its first bit and its width."""

    __slots__ = ("bits", "ctype", "name", "offset", "shift")

    def __init__(self, name: str, ctype: CType, offset: int, shift: int = 0, bits: int | None = None):
        self.name, self.ctype, self.offset, self.shift, self.bits = name, ctype, offset, shift, bits


def _up(number: int, unit: int) -> int:
    return -(-number // unit) * unit


def place(kind: str, members: Iterable[Member], rules: Rules = PLAIN) -> Placed:
    """Lay out the members of a struct or union.

    >>> place("struct", [Member("c", ctype("char")), Member("d", ctype("double"))])
    Placed(size=16, alignment=8, bits=[0, 64])
    """
    widest = rules.align * 8
    position = end = 0
    starts = []
    for member in members:
        of_type = member.ctype.alignment * 8
        packed = rules.packed or member.packed
        if kind == "union":
            position = 0
        if member.bits is None:
            wanted = max(8 if packed else of_type, (member.align or 0) * 8)
            if rules.pack:
                wanted = min(wanted, rules.pack * 8)
            widest = max(widest, wanted)
            position = _up(position, wanted) if member.offset is None else member.offset * 8
            size = (member.ctype.size or 0) * 8
        else:
            size = member.bits
            if size == 0:  # what follows begins at a boundary of the type, however packed the struct is
                position = _up(position, of_type)
            elif not packed and not rules.pack:  # it does not cross more boundaries of its type than the type does
                units = _up(position % of_type + size, of_type)
                if units > member.ctype.size * 8:
                    position = _up(position, of_type)
            if size == 0 and _UNNAMED_ALIGN:
                widest = max(widest, of_type)
            elif size and (member.name is not None or _UNNAMED_ALIGN):
                widest = max(widest, min(of_type, rules.pack * 8) if rules.pack else 8 if packed else of_type)
        starts.append(position)
        position += size
        end = max(end, position)
    return Placed(_up(_up(end, 8), widest) // 8, widest // 8, starts)


# --- what may be asked ----------------------------------------------------------------------------------------------


def settle(own: StructCType, members: Sequence[Member], placed: Placed, rules: Rules) -> None:
    """Give ``own`` the layout that ``place`` found."""
    own.size, own.alignment, own.rules = placed.size, placed.alignment, rules
    fields: list[Layout] = []
    for member, start in zip(members, placed.bits, strict=True):
        if member.bits is not None:
            if member.name is not None:
                fields.append(_bit_field(member, start, placed.size))
        elif member.name is not None:
            fields.append(Layout(member.name, member.ctype, start // 8))
        else:  # an anonymous member: its members are reached through this struct
            fields.extend(
                Layout(inner.name, inner.ctype, start // 8 + inner.offset, inner.shift, inner.bits)
                for inner in member.ctype.fields
            )
    own.fields, own.members = tuple(fields), tuple(zip(members, placed.bits, strict=True))
    own.flexible = next((field for field in fields if field.ctype.size is None), None)


def _bit_field(member: Member, start: int, size: int) -> Layout:
    """Bits of a storage unit, as in C; of the bytes that they are in, where they cross units or the struct's end."""
    width = member.ctype.size * 8
    unit = width if start % width + member.bits <= width and (start // width + 1) * width <= size * 8 else 8
    return Layout(member.name, member.ctype, start // unit * unit // 8, start % unit, member.bits)


def fill(own: StructCType, members: Sequence[Member], rules: Rules) -> StructCType:
    """Lay out ``own``, for its size and its members' places; it gets no class, and cffi does not hear of it."""
    check_members(own.spelling.rstrip(), own.kind, members, rules)
    settle(own, members, place(own.kind, members, rules), rules)
    return own


def _is_alignment(value: Any, largest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= largest and not value & (value - 1)


def check_align(align: Any, what: str) -> int | None:
    """An alignment that was asked for, in bytes; None is none."""
    if align is not None and not _is_alignment(align, _LARGEST_ALIGNMENT):
        raise ForeignTypeError(
            f"{what}: align is a power of two up to {_LARGEST_ALIGNMENT}, in bytes, not {shorten(align)}"
        )
    return align


def rules_of(what: str, packed: Any = False, align: Any = None) -> Rules:
    """The rules that ``packed`` (a bool, or the number of ``#pragma pack``) and ``align`` ask for."""
    align = check_align(align, what) or 1
    if packed is None or isinstance(packed, bool):
        return Rules(bool(packed), 0, align)
    if not _is_alignment(packed, 16):
        raise ForeignTypeError(f"{what}: packed is True, or 1, 2, 4, 8 or 16 as in #pragma pack, not {shorten(packed)}")
    return Rules(False, packed, align)


def check_members(what: str, kind: str, members: Sequence[Member], rules: Rules) -> None:
    """Refuse what C refuses: a member without a size, a bit-field that is too wide, an array without an end inside."""
    seen: set[str] = set()
    for index, member in enumerate(members):
        found, name = member.ctype, member.name
        label = f"{what}: member {name!r}" if name is not None else f"{what}: the nameless member {index + 1}"
        if name is not None and (not name.isidentifier() or _is_pythons(name)):
            why = "has a name that Python keeps for itself" if name.isidentifier() else "is no C name"
            raise ForeignTypeError(f"{label} {why}")
        for one in [name] if name is not None else _inner_names(found) if member.bits is None else []:
            if one in seen:
                raise ForeignTypeError(f"{what}: member {one!r} is there twice")
            seen.add(one)
        if found.only_parameter:
            raise ForeignTypeError(f"{label}: {found.only_parameter}")
        flexible = isinstance(found, Array) and found.length is None
        if flexible and (kind == "union" or index + 1 < len(members) or not index or member.offset is not None):
            raise ForeignTypeError(
                f"{label} has type {found.spelling}, whose size is not known; only the last of several members of a "
                f"struct may be without a length"
            )
        if found.size is None and not flexible:
            raise ForeignTypeError(f"{label} has type {found.spelling}, whose size is not known")
        inner = found
        while isinstance(inner, Array):
            inner = inner.target
        last = kind == "union" or index + 1 == len(members)
        if isinstance(inner, StructCType) and inner.flexible is not None and not (inner is found and last):
            raise ForeignTypeError(f"{label}: {inner.spelling} ends with an array without a length, and stands alone")
        _check_place(label, member, rules)


def _is_pythons(name: str) -> bool:
    """Whether Python calls something by this name; glibc's ``__sockaddr__`` looks like it, and is not."""
    if not (name.startswith("__") and name.endswith("__")):
        return False
    spelled = name[2:-2]
    return spelled in _PYTHONS or any(hasattr(one, name) for one in (type, int, dict, bytearray, complex, property))


def _inner_names(found: CType) -> list[str]:
    return [field.name for field in found.fields or ()] if isinstance(found, StructCType) else []


#: what classes have that the builtin types have not
_PYTHONS = frozenset(
    """slots match_args getattr aenter aexit enter exit aiter anext await array array_interface array_struct array_ufunc
    array_function array_priority array_finalize array_prepare array_wrap bytes complex copy deepcopy del dlpack
    dlpack_device fspath getinitargs getstate setstate imatmul matmul rmatmul index instancecheck subclasscheck
    length_hint missing mro_entries next prepare set_name trunc weakref wrapped classcell static_attributes
    firstlineno buffer release_buffer annotate""".split()
)


def _check_place(label: str, member: Member, rules: Rules) -> None:
    check_align(member.align, label)
    if member.bits is not None:
        plain = member.ctype.representation
        if not isinstance(plain, Integer) and plain.code != "?":
            raise ForeignTypeError(f"{label}: a bit-field is of an integer type, not {member.ctype.spelling}")
        most = 1 if plain.code == "?" else plain.size * 8
        if isinstance(member.bits, bool) or not isinstance(member.bits, int) or not 0 <= member.bits <= most:
            raise ForeignTypeError(
                f"{label}: the width of a bit-field of type {member.ctype.spelling} is 0 to {most} bits, "
                f"not {shorten(member.bits)}"
            )
        if member.bits == 0 and member.name is not None:
            raise ForeignTypeError(f"{label}: a bit-field of no bits has no name")
        if member.align is not None or member.offset is not None:
            raise ForeignTypeError(f"{label}: a bit-field lies where its bits say: it takes no align and no offset")
    elif member.name is None and not isinstance(member.ctype, StructCType):
        raise ForeignTypeError(f"{label} is a {member.ctype.spelling}; only structs, unions and bit-fields go nameless")
    if member.offset is not None:
        if isinstance(member.offset, bool) or not isinstance(member.offset, int) or member.offset < 0:
            raise ForeignTypeError(
                f"{label}: offset is the bytes from the start, 0 or more, not {shorten(member.offset)}"
            )
        step = max(1 if rules.packed or member.packed else member.ctype.alignment, member.align or 1)
        step = min(step, rules.pack or step)
        if member.offset % step:
            raise ForeignTypeError(
                f"{label}: {member.offset} is no offset of a {member.ctype.spelling}, which is aligned to {step}; "
                f"packed allows it"
            )
