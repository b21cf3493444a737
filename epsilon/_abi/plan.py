"""How a signature becomes a cffi function type: what is passed as it is written, what in pieces, and what not at all.

What ``c/plan.c`` is, in Python.  On System V x86-64 a struct of at most 16 bytes travels as its eightbytes (§3.2.3)
when the registers suffice for all of it: libffi before its fix #848, the copy in cffi's wheels among them, overwrites
the first float register when such a struct takes the sixth integer register (issue #574), and passing the eightbytes
as scalars is the same call without the bug.  Every other struct is passed as a cffi struct with the same members, but
plain ones, for cffi refuses anonymous and complex members.  What cffi cannot pass at all is an error here, when the
signature is compiled.
"""

from __future__ import annotations

import os

import _cffi_backend as cffi

from epsilon._abi.convert import PRIMITIVES
from epsilon._abi.guarded import UINTPTR, VOID_POINTER, needs_shim

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

    from epsilon._abi.convert import Converter

_MACHINE = os.uname().machine.lower() if hasattr(os, "uname") and cffi.sizeof(UINTPTR) == 8 else ""
HAVE_EIGHTBYTES = _MACHINE in ("x86_64", "amd64")
_HAVE_REFERENCES = _MACHINE in ("aarch64", "arm64")
_INTEGER_REGISTERS, _FLOAT_REGISTERS = 6, 8
#: eightbyte class → the scalar that travels in its place
PIECES = {"I": PRIMITIVES["Q"], "S": PRIMITIVES["d"]}


def conventions() -> dict[str, int]:
    """The calling conventions that have a name on this platform; here only number 0 can be called."""
    return {"default": 0, "cdecl": 0, **({"sysv_abi": 0, "ms_abi": 1} if HAVE_EIGHTBYTES else {})}


class Registers:
    """The argument registers of a call, taken from the left as the ABI assigns them."""

    def __init__(self, result: Converter):
        # §3.2.3: a result in memory, and only that, has its address passed as a first argument
        self.integers = int(classes_of(result) == "M")
        self.floats = 0

    def take(self, classes: str) -> bool:
        """Take registers for all the classes, or none."""
        integers, floats = self.integers + classes.count("I"), self.floats + classes.count("S")
        if classes in ("", "M", "X") or integers > _INTEGER_REGISTERS or floats > _FLOAT_REGISTERS:
            return False
        self.integers, self.floats = integers, floats
        return True


def classes_of(converter: Converter) -> str:
    """The eightbyte classes of a value, as passing.py works them out; empty where libffi is to decide."""
    base = converter.base
    if base.code == "s":
        return base.classes if HAVE_EIGHTBYTES else ""
    return {"f": "S", "d": "S", "g": ""}.get(base.code, "I")


def passed_type(converter: Converter, incoming: bool) -> Any:
    """The cffi type by which a value crosses: into Python when ``incoming``, else into C."""
    base = converter.base
    if base.code == "s":
        found = struct_type(base.ctype)
        return VOID_POINTER if by_reference(base) else found
    if base.code in "FD":
        raise needs_shim(f"passing {base.ctype.spelling} by value")
    if base.code == "v":
        return base.pointer_type
    return base.incoming if incoming else base.outgoing


def is_x87(converter: Converter) -> bool:
    """Whether it is a struct of one long double, which returns on the x87 stack like the number alone (§3.2.3), though
    libffi looks for it in the integer registers."""
    return classes_of(converter) == "X"


def by_reference(converter: Converter) -> bool:
    """Whether it is a struct whose address libffi would put in the wrong place.

    AAPCS64 §6.8.2, B.4: a struct of more than 16 bytes that is not all of one floating type is copied, and its address
    passed.  libffi aligns that address on the stack as if it were the struct: to 16 bytes where a long double is in it.
    """
    base = converter.base
    if not _HAVE_REFERENCES or base.code != "s" or base.size <= 16 or base.alignment <= 8:
        return False
    return base.size > 64 or _scalars(base.ctype) != {"g"}


def _scalars(ctype: Any) -> set[str]:
    """The codes of the scalars in it."""
    if ctype.code == "s":
        return set().union(*(_scalars(member.ctype) for member in ctype.fields))
    return _scalars(ctype.target) if ctype.code == "a" else {ctype.code}


def returned_type(converter: Converter, incoming: bool) -> Any:
    """The cffi type by which a result crosses."""
    base = converter.base
    if base.code != "s":
        return passed_type(converter, incoming)
    whole = struct_type(base.ctype)
    return PRIMITIVES["g"] if is_x87(base) else whole


_structs: dict[Any, Any] = {}


def struct_type(ctype: Any) -> Any:
    """A cffi struct that is passed as ``ctype`` is; raises for a union, for bit-fields, and for a packed struct."""
    found = _structs.get(ctype)
    if found is None:
        found = _structs[ctype] = _build(ctype)
    return found


def _build(ctype: Any) -> Any:
    if ctype.kind == "union":
        raise needs_shim(f"passing {ctype.spelling} by value")
    members = [member for member in ctype.fields if member.ctype.size]
    if any(member.bits is not None for member in members):
        raise needs_shim(f"passing {ctype.spelling}, which has bit-fields, by value")
    made = cffi.new_struct_type(ctype.spelling)
    entries = [(f"member{index}", _member_type(member.ctype), -1, -1) for index, member in enumerate(members)]
    cffi.complete_struct_or_union(made, entries, None, -1, -1, 0)
    places = [place.offset for _, place in made.fields]
    if (cffi.sizeof(made), cffi.alignof(made)) != (ctype.size, ctype.alignment) or places != [
        member.offset for member in members
    ]:
        raise needs_shim(f"passing {ctype.spelling}, whose members are packed or overlap, by value")
    return made


def _member_type(ctype: Any) -> Any:
    ctype = ctype.representation
    if ctype.code == "s":
        return struct_type(ctype)
    if ctype.code == "a":
        return _array(_member_type(ctype.target), ctype.length)
    if ctype.is_pointer:
        return VOID_POINTER
    if ctype.code in "FD":  # C11 §6.2.5: laid out, and so passed, as an array of the two parts
        return _array(PRIMITIVES["f" if ctype.code == "F" else "d"], 2)
    return PRIMITIVES[ctype.code]


def _array(target: Any, length: int) -> Any:
    return cffi.new_array_type(cffi.new_pointer_type(target), length)
