"""How a struct is passed by value: the eightbytes of x86-64, the registers of AArch64, and libffi's elements."""

from __future__ import annotations

import _cffi_backend as cffi

from epsilon.typesystem import HAS_EIGHTBYTES, HAS_REFERENCES, WORDS, Array, CType, StructCType

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterator


def leaves(found: CType, offset: int = 0) -> Iterator[tuple[int, CType]]:
    """Every scalar in ``found``, with its offset, as C has it."""
    found = found.representation
    if isinstance(found, StructCType):
        for member, start in found.members:
            if member.bits is None:
                yield from leaves(member.ctype, offset + start // 8)
            else:  # an integer in every byte that it touches, though it has no name: so GCC has it
                for byte in range(start // 8, (start + member.bits + 7) // 8):
                    yield offset + byte, WORDS["uint8"]
    elif isinstance(found, Array):
        for index in range(found.length or 0):
            yield from leaves(found.target, offset + index * found.target.size)
    else:
        yield offset, found


def passing(own: StructCType, has_bits: bool) -> tuple[str, str]:
    """The eightbyte classes of a struct (System V x86-64 ABI §3.2.3) and libffi's elements for it.

    The classes are ``I`` and ``S``, one letter for each eightbyte; ``M``: memory; ``X``: memory as an argument, the x87
    stack as a result.  On AArch64 ``R`` is a struct that travels as the address of a copy, and which libffi would align
    wrongly.  The elements are the codes of the scalars in it.  Where those would not lie where they do (a union at any
    depth, bit-fields), others stand for them that libffi classifies as the ABI classifies the struct.
    """
    reference = HAS_REFERENCES and own.size > 16 and own.alignment > 8
    if own.size > 64:  # no ABI looks into so large a struct, and an array in it may have millions of elements
        return "R" if reference else "M", _unit(own)
    scalars = list(leaves(own))
    if reference and {scalar.code for _, scalar in scalars} != {"g"}:
        return "R", _unit(own) * (own.size // _WIDTHS[_unit(own)])
    classes = _classes(own.size, scalars)
    elements = "".join(_element(scalar) for _, scalar in scalars)
    if own.kind == "union" or has_bits or _size_of(elements) != own.size or not _in_a_row(scalars):
        elements = _stand_in(own, classes, "" if has_bits else elements)
    return classes, elements


def _classes(size: int, scalars: list[tuple[int, CType]]) -> str:
    if size > 16:
        return "M"
    classes = [""] * ((size + 7) // 8)
    for offset, scalar in scalars:
        if offset % scalar.alignment:
            return "M"
        pieces = "XU" if scalar.code == "g" else "S" * 2 if scalar.code in "fdFD" else "I" * 2
        for eightbyte, kind in zip(range(offset // 8, (offset + scalar.size + 7) // 8), pieces, strict=False):
            both = {kind, classes[eightbyte] or kind}
            classes[eightbyte] = "I" if "I" in both else "M" if len(both) > 1 else kind
    word = "".join(kind or "S" for kind in classes)
    if word == "XU":
        return "X"
    return "M" if set(word) - {"I", "S"} else word


def not_by_value(own: StructCType) -> str:
    """Why this struct cannot be passed by value here, or an empty str.  An alignment that was asked for leaves
    eightbytes without a class, which take no register (x86-64), or counts for nothing (AAPCS64); libffi knows neither.
    """
    if own.alignment > 16:
        return f"it is aligned to {own.alignment}, and the stack to 16"
    if own.size > 64:
        return ""
    scalars = list(leaves(own))
    covered = {byte // 8 for offset, scalar in scalars for byte in range(offset, offset + scalar.size)}
    natural = max((scalar.alignment for _, scalar in scalars), default=1)
    if (own.size <= 16 and HAS_EIGHTBYTES and len(covered) < (own.size + 7) // 8) or (
        HAS_REFERENCES and own.alignment > natural
    ):
        return f"its alignment of {own.alignment} is more than its members'"
    return ""


def _stand_in(own: StructCType, classes: str, elements: str) -> str:
    """Elements of the same number of bytes for a struct whose own ones overlap or have no address."""
    if len(set(elements)) == 1 and elements[0] in "fdg" and own.size % _WIDTHS[elements[0]] == 0:
        return elements[0] * (own.size // _WIDTHS[elements[0]])  # AAPCS64 §5.9.5: homogeneous, in a union too
    if HAS_EIGHTBYTES and own.size <= 16:
        if classes in ("M", "X"):
            return "g"
        ends = range(8, own.size + 8, 8)
        return "".join("Q" if kind == "I" else "f" if end - own.size == 4 else "d"
                       for kind, end in zip(classes, ends, strict=True))  # fmt: skip
    unit = _unit(own)
    return unit * (own.size // _WIDTHS[unit])


def _unit(own: StructCType) -> str:
    """The integer that has the alignment of a struct, or 8 where no integer has so much."""
    return {1: "B", 2: "H", 4: "I"}.get(own.alignment, "Q")


def _in_a_row(scalars: list[tuple[int, CType]]) -> bool:
    """Whether each begins where the one before it ends, but for its alignment.  The members of a union do not, though
    they may fill the padding after it as if they did."""
    end = 0
    for offset, scalar in scalars:
        if offset != -(-end // scalar.alignment) * scalar.alignment:
            return False
        end = offset + scalar.size
    return True


def _element(scalar: CType) -> str:
    if scalar.code == "F":
        return "ff"
    if scalar.code == "D":
        return "dd"
    return "P" if scalar.is_pointer else scalar.code


def _size_of(elements: str) -> int:
    """The size of a struct of these scalars, laid out plainly."""
    size, widest = 0, 1
    for code in elements:
        width = _WIDTHS[code]
        size = (size + width - 1) // width * width + width
        widest = max(widest, width)
    return (size + widest - 1) // widest * widest


_LONG_DOUBLE = cffi.sizeof(cffi.new_primitive_type("long double"))
_WIDTHS = {**dict.fromkeys("bBcC?", 1), **dict.fromkeys("hH", 2), **dict.fromkeys("iIf", 4), **dict.fromkeys("qQd", 8),
           "g": _LONG_DOUBLE, "P": WORDS["pointer"].size}  # fmt: skip
