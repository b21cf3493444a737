"""Layouts that a module was written for, held against those of the machine that it is loaded on."""

from __future__ import annotations

from epsilon.errors import ForeignTypeError, HeaderError, shorten
from epsilon.structs import StructType

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def expect_layout(
    struct: StructType, size: int, alignment: int, members: Mapping[str, int | Sequence[int]] | None = None
) -> None:
    """See that a struct or union has the layout that is expected: ``HeaderError`` with both where it has not.

    ``size`` and ``alignment`` are in bytes; ``members`` has each member's bytes from the start, and of a bit-field its
    first bit from the start of the struct and how many bits it has.  ``epsilon bind`` writes the layouts that the
    compiler has given on one machine; on another they may be others, and calls would go wrong.

    >>> pair = define_c_struct("pair", [("c", "char"), ("d", "double")])
    >>> expect_layout(pair, 16, 8, {"c": 0, "d": 8})
    >>> expect_layout(pair, 12, 4, {"c": 0, "d": 4})
    Traceback (most recent call last):
    ...
    epsilon.errors.HeaderError: struct pair is not what was expected: 16 bytes, aligned to 8, not 12, aligned...
    """
    if not isinstance(struct, StructType):
        raise ForeignTypeError(f"expect_layout takes a struct or union, not {shorten(struct)}")
    own = struct.ctype
    faults = []
    if (own.size, own.alignment) != (size, alignment):
        faults.append(f"{own.size} bytes, aligned to {own.alignment}, not {size}, aligned to {alignment}")
    found = {member.name: member for member in own.fields}
    for name, wanted in (members or {}).items():
        member = found.get(name)
        if member is None:
            faults.append(f"{name} is not there")
            continue
        here = (member.offset * 8 + member.shift, member.bits)
        if isinstance(wanted, int):
            right = here[0] == wanted * 8
        else:
            right = here == tuple(wanted)
        if not right:
            faults.append(f"{name} is at {_place(*here)}, not at {_wanted(wanted)}")
    if faults:
        raise HeaderError(
            f"{own.spelling.rstrip()} is not what was expected: {'; '.join(faults)}. What expects it was written for "
            f"another platform or another version of the header: write it anew (epsilon bind)."
        )


def _place(first: int, bits: int | None) -> str:
    return f"byte {first // 8}" if bits is None else f"bit {first} ({bits} wide)"


def _wanted(wanted: int | Sequence[int]) -> str:
    return f"byte {wanted}" if isinstance(wanted, int) else f"bit {wanted[0]} ({wanted[1]} wide)"
