"""Whether a type that somebody declared can stand for the one that the header has, and if not, why not.

What C cannot tell apart agrees: ``size_t`` and ``unsigned long``, a pointer and any pointer, a fixed tail of a variadic
function.  What differs is what goes wrong: width, sign, kind, indirection, and ``const`` where C writes or Lisp might.
"""

from __future__ import annotations

from epsilon.headers.fact_types import FactTypes, Lying, lying
from epsilon.typesystem import (
    VOID,
    WORDS,
    Array,
    Boolean,
    Buffer,
    Complex,
    CType,
    Direction,
    FunctionPointer,
    FunctionType,
    Handed,
    Integer,
    Pointer,
    Real,
    String,
    StructCType,
)
from epsilon.typesystem.enumerations import Enumeration
from epsilon.typesystem.uncarried import Uncarried

#: where a type stands: what a call passes and gets back, what a callback gets and gives back, and what lies in memory
PARAMETER, RESULT, RECEIVED, ANSWER, MEMORY = "parameter", "result", "received", "answer", "memory"


class Unresolved(CType):
    """Stands for a type that only run time knows; ``name`` is what was written."""

    __slots__ = ("name",)
    only_run_time = True

    def setup(self, name: str) -> None:
        self.name = name
        self.code, self.size, self.alignment = "s", 1, 1

    def declare(self, inner: str = "") -> str:
        return f"{self.name} {inner}"


def shown(found: CType) -> str:
    """The C text of a type, for messages."""
    return found.spelling.replace("(unnamed)", "{ … }")


def why_not(declared: CType, actual: CType, role: str, types: FactTypes) -> str | None:
    """Why ``declared`` cannot stand for ``actual``, in a few words that may be empty; None where it can."""
    if declared.only_run_time:
        return _named(declared, actual, types)
    is_enum = isinstance(declared, Enumeration) or isinstance(actual, Enumeration)
    declared = declared.representation
    if isinstance(declared, Handed):
        declared = declared.target
    plain = actual.representation
    if declared is VOID or plain is VOID:
        return None if declared is plain else ""
    if isinstance(declared, Array) and role == MEMORY:
        return _arrays(declared, plain, types)
    if declared.is_pointer or isinstance(declared, Array):
        return _pointers(declared, plain, role, types)
    if plain.is_pointer:  # an integer that is as wide as a pointer by its definition is meant to hold one
        return None if declared in (WORDS["intptr"], WORDS["uintptr"]) else "C has a pointer"
    return _values(declared, plain, is_enum, types)


def _named(declared: CType, actual: CType, types: FactTypes) -> str | None:
    """Of a type that is known by its name alone, the name says whether it is another struct of the header's."""
    words = (getattr(declared, "name", "") or declared.spelling).split()
    found = types.named_record(words[-1]) if words else None
    if found is None or found is actual:
        return None
    return "" if isinstance(actual.representation, (StructCType, Integer, Real)) else "C has no struct here"


def _values(declared: CType, actual: CType, is_enum: bool, types: FactTypes) -> str | None:
    if isinstance(actual, Uncarried):  # such as a va_list, which is an array of a struct that is the compiler's own
        return None if declared.spelling == actual.spelling else ""
    if isinstance(declared, StructCType) or isinstance(actual, StructCType):
        both = isinstance(declared, StructCType) and isinstance(actual, StructCType)
        return None if both and same_record(declared, actual, types) else ""
    if isinstance(declared, Integer) and isinstance(actual, Integer):
        if declared.size != actual.size:
            return f"{declared.size} bytes, {actual.size} in C"
        if declared.low == actual.low or is_enum:  # C's enum constants are ints, whatever the enum's own type is
            return None
        return f"{_sign(declared)}, {_sign(actual)} in C"
    same_kind = type(declared) is type(actual) and isinstance(declared, (Boolean, Complex, Real))
    return None if same_kind and declared.code == actual.code else ""


def _sign(found: Integer) -> str:
    return "signed" if found.low < 0 else "unsigned"


def _arrays(declared: Array, actual: CType, types: FactTypes) -> str | None:
    """Arrays as members."""
    if isinstance(actual, Array):
        if (declared.length or 0) != (actual.length or 0):
            return f"{declared.length} elements, {actual.length} in C"
        return why_not(declared.target, actual.target, MEMORY, types)
    return None if _size(declared) == _size(actual) and _is_bytes(declared) else ""


def _size(found: CType) -> int:
    return found.size or 0


def _is_bytes(found: CType) -> bool:
    while isinstance(found, Array):
        found = found.target
    return found.size == 1


# --- pointers -------------------------------------------------------------------------------------------------------


def _pointers(declared: CType, actual: CType, role: str, types: FactTypes) -> str | None:
    if isinstance(actual, Array) and role != MEMORY:
        actual = Pointer(actual.target)
    if not actual.is_pointer:
        return "C has no pointer here"
    if isinstance(declared, Pointer) and declared.target is VOID and not declared.const:
        return None  # :pointer, which says nothing of what is behind it
    if isinstance(actual, FunctionPointer):
        if isinstance(declared, FunctionPointer):
            return functions(declared.target, actual.target, types, callback=role != RESULT)
        return None if _is_void(_target(declared)) else "C has a pointer to a function"
    target, pointed = _target(declared), _target(actual)
    if isinstance(declared, FunctionPointer):
        return None if _is_void(pointed) else "C has a pointer to data"
    return _writing(declared, actual, role) or _same_target(target, pointed, types)


def _target(found: CType) -> CType:
    """What a pointer of this type points to."""
    if isinstance(found, String):
        return WORDS["char"]
    if isinstance(found, Direction):
        return found.pointed
    return VOID if isinstance(found, Buffer) else getattr(found, "target", VOID)


def _is_void(found: CType) -> bool:
    return found.representation is VOID or isinstance(found, FunctionType)


def _is_const(found: CType) -> bool:
    return isinstance(found, String) or (isinstance(found, Pointer) and found.const)


_MAY_WRITE = "C may write here, and this gives it what must not be written"


def _is_character(found: CType) -> bool:
    """Whether bytes stand for it: a pointer to it takes buffers."""
    return isinstance(found, Integer) and found.size == 1


def _writing(declared: CType, actual: CType, role: str) -> str | None:
    """What is wrong with who may write through the pointer."""
    const = _is_const(actual)
    if isinstance(declared, Direction):
        if declared.way != "in" and const and role in (PARAMETER, RECEIVED):
            return f"(:{declared.way} …) is what C writes, and C only reads this"
        return None
    if isinstance(declared, Buffer):
        if declared.writable and const:
            return "C only reads this: a (:buffer :writable) refuses bytes"
        return None if declared.writable or const or role != PARAMETER else _MAY_WRITE
    if isinstance(declared, Array):
        return None
    if role == PARAMETER:
        if _is_const(declared) and not const:
            return _MAY_WRITE
        if const and not _is_const(declared) and _is_character(_target(declared)):
            return "C only reads this, and this wants memory that can be written"
    if role == RESULT and const and isinstance(declared, Pointer) and not declared.const:
        if _is_character(declared.target):
            return "C gives what must not be written"
    return None


def _same_target(declared: CType, actual: CType, types: FactTypes) -> str | None:
    """Whether what pointers point to is the same to C, or to those who convert a ``void *``."""
    if declared.only_run_time:
        return _named(declared, actual, types)
    declared, actual = _innermost(declared), _innermost(actual)
    if _is_void(declared) or _is_void(actual):
        return None
    if declared.only_run_time:
        return _named(declared, actual, types)
    is_enum = isinstance(declared, Enumeration) or isinstance(actual, Enumeration)
    mine, its = declared.representation, actual.representation
    if isinstance(mine, Integer) and isinstance(its, Integer) and mine.size == its.size == 1:
        return None  # characters, whatever their sign: C compilers let them pass, and so do texts
    if mine.is_pointer or its.is_pointer:
        if not (mine.is_pointer and its.is_pointer):
            return ""  # both sides are shown, and say it
        if isinstance(mine, FunctionPointer) or isinstance(its, FunctionPointer):
            return None
        return _same_target(_target(mine), _target(its), types)
    return None if _values(mine, its, is_enum, types) is None else ""


def _innermost(found: CType) -> CType:
    return found.target if isinstance(found, Array) else found


def same_record(declared: StructCType, actual: StructCType, types: FactTypes) -> bool:
    """Whether the two are one struct: by name, where the header knows the name, else by what is known of the layout."""
    named = types.named_record(declared.tag)
    if named is not None:
        return named is actual
    if declared.kind != actual.kind:
        return False
    if declared.size is None or actual.size is None:
        return True
    return (declared.size, declared.alignment) == (actual.size, actual.alignment)


# --- functions ------------------------------------------------------------------------------------------------------


def functions(declared: FunctionType, actual: FunctionType, types: FactTypes, callback: bool) -> str | None:
    """Why a function of the one type cannot be called as one of the other; None where it can."""
    if len(declared.parameters) != len(actual.parameters):
        return f"{_many(len(declared.parameters))}, {len(actual.parameters)} in C"
    reason = why_not(declared.result, actual.result, ANSWER if callback else RESULT, types)
    if reason is not None:
        return f"the result is {shown(declared.result)}, {shown(actual.result)} in C"
    role = RECEIVED if callback else PARAMETER
    for place, (mine, its) in enumerate(zip(declared.parameters, actual.parameters, strict=True), 1):
        if why_not(mine, its, role, types) is not None:
            return f"parameter {place} is {shown(mine)}, {shown(its)} in C"
    return None


def _many(count: int) -> str:
    return f"{count} parameter{'s' * (count != 1)}"


#: what the default promotions leave as it is (C11 §6.5.2.2): the types that an argument for ``...`` can have
def passes_variadic(found: CType) -> bool:
    plain = found.representation
    if isinstance(plain, Integer):
        return plain.size >= WORDS["int"].size
    return not isinstance(plain, Boolean) and plain is not WORDS["float"]


def layout(declared: StructCType, kind: str, tag: str, types: FactTypes) -> list[tuple[str | None, str]]:
    """What is wrong with the layout of a struct that was declared as ``kind tag``: by member, None for the whole."""
    record = types.facts.records[f"{kind} {tag}"]
    faults: list[tuple[str | None, str]] = []
    actual = types.members(kind, tag)
    by_name = {member.name: member for member in actual}
    for mine in lying(declared):
        named = by_name.get(mine.name)
        theirs = [named] if named is not None else [each for each in actual if each.first == mine.first]
        found = [_misplaced(mine, its, types) for its in theirs]
        if not theirs:
            faults.append((mine.name, f"at {_at(mine.first)}, where C has no member"))
        elif None not in found:  # of a union, it is enough that one member is alike
            faults.append((mine.name, found[0]))
    if not faults and (declared.size, declared.alignment) != (record.size, record.alignment):
        faults.append((None, f"{declared.size} bytes, aligned to {declared.alignment}; "
                             f"in C {record.size} bytes, aligned to {record.alignment}"))  # fmt: skip
    return faults


def _misplaced(mine: Lying, its: Lying, types: FactTypes) -> str | None:
    """What is wrong with a member that should be the header's; None where nothing is."""
    if mine.first != its.first:
        return f"at {_at(mine.first)}, in C {its.name} is at {_at(its.first)}"
    if mine.bits != its.bits:
        return f"{_wide(mine.bits)} wide, in C {its.name} is {_wide(its.bits)} wide"
    reason = None if its.ctype is None else why_not(mine.ctype, its.ctype, MEMORY, types)
    if reason is None:
        return None
    return f"{shown(mine.ctype)}, in C {its.name} is {shown(its.ctype)}" + (f" ({reason})" if reason else "")


def _at(bit: int) -> str:
    return f"byte {bit // 8}" + (f", bit {bit % 8}" if bit % 8 else "")


def _wide(bits: int) -> str:
    if bits % 8:
        return f"{bits} bit{'s' * (bits != 1)}"
    return f"{bits // 8} byte{'s' * (bits != 8)}"
