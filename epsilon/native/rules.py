"""The types of native code: which there are, what arithmetic makes of two, which value fits where.

They are the C types that Epsilon has everywhere, and a few marks that only the reader of a body needs.
"""

from __future__ import annotations

from typing import Any

from epsilon.typesystem import (
    VOID,
    VOID_POINTER_TYPE,
    WORDS,
    Array,
    Boolean,
    Buffer,
    Complex,
    Converted,
    CType,
    Direction,
    FunctionPointer,
    FunctionType,
    Handed,
    Integer,
    Object,
    OwnedPointer,
    Pointer,
    PointerLike,
    Real,
    String,
    StructCType,
    decay,
    same_representation,
)


class NativeError(Exception):
    """A mistake in the body of a native: what is wrong, and the form that it is wrong in."""

    def __init__(self, message: str, form: Any):
        super().__init__(message)
        self.form = form


class Mark:
    """What stands for a type where there is none yet, or none at all."""

    is_pointer = False

    def __init__(self, spelling: str):
        self.spelling = spelling


#: an integer literal that fits an ``int``, and what is made of nothing else: it takes the type of what it meets
WEAK = Mark("int")
#: None, which any pointer can be
NULL = Mark("None")
#: of what never gives a value: it returns, or leaves a loop
NEVER = Mark("nothing")
#: of a name that only run time knows: everything fits
UNKNOWN = Mark("what is not known yet")

BOOL, INT, DOUBLE, CHAR = (WORDS[word] for word in ("bool", "int", "double", "char"))
LONG, LONG_LONG, UNSIGNED_LONG_LONG = (WORDS[word] for word in ("long", "long-long", "unsigned-long-long"))
SIZE, PTRDIFF = WORDS["size"], WORDS["ptrdiff"]
CHARACTERS = Pointer(CHAR, True)
#: what a local is that only literals and itself are assigned to
COUNTER = LONG if LONG.size == 8 else LONG_LONG
_ARITHMETIC = {
    (size, signed): WORDS[("" if signed else "unsigned-") + word]
    for word in ("long-long", "long", "int")
    for size, signed in ((WORDS[word].size, True), (WORDS[word].size, False))
}


def plain(found: CType) -> Any:
    """The type that the body has for a type of the vocabulary: what C has; None where native code has none."""
    found = found.representation
    if isinstance(found, (Complex, Converted)) or found is WORDS["long-double"]:
        return None
    if isinstance(found, String):
        return CHARACTERS
    if isinstance(found, (Buffer, Object)):
        return VOID_POINTER_TYPE
    if isinstance(found, OwnedPointer):
        return plain_pointer(found)
    if isinstance(found, Handed):
        return plain(decay(found.target))
    if isinstance(found, Direction):
        return Pointer(found.pointed.representation, found.way == "in")
    if isinstance(found, Array) and found.length is None:
        return Pointer(found.target)
    return found


def plain_pointer(found: Pointer) -> CType:
    return Pointer(found.target, found.const)


def parameter_type(found: CType) -> Any:
    """As ``plain``, of a parameter: C has a pointer for an array."""
    return plain(decay(found))


def is_integer(found: Any) -> bool:
    return isinstance(found, Integer)


def is_number(found: Any) -> bool:
    return isinstance(found, (Boolean, Integer, Real)) or found is WEAK


def is_pointer(found: Any) -> bool:
    return isinstance(found, PointerLike)


def is_scalar(found: Any) -> bool:
    return is_number(found) or is_pointer(found) or found is NULL


def pointed(found: Any) -> Any:
    """What a pointer or an array leads to; None for ``void`` and for what is no pointer."""
    if isinstance(found, (Pointer, Array)):
        target = found.target.representation
        if isinstance(target, String):
            return CHARACTERS
        return None if target is VOID else target
    return None


def resolved(found: Any) -> Any:
    """The type of a value that met no other."""
    return COUNTER if found is WEAK else VOID_POINTER_TYPE if found is NULL else found


def promoted(found: Any) -> Any:
    """C11 §6.3.1.1: what is narrower than an ``int`` becomes one."""
    if isinstance(found, Boolean) or (is_integer(found) and found.size < INT.size):
        return INT
    return found


def arithmetic(left: Any, right: Any) -> Any:
    """The type that two numbers have in common: the usual arithmetic conversions, C11 §6.3.1.8; or None."""
    for mark in (UNKNOWN, NEVER):
        if left is mark or right is mark:
            return right if left is mark and mark is NEVER else left if right is mark and mark is NEVER else mark
    if not (is_number(left) and is_number(right)):
        return None
    if left is WEAK and right is WEAK:
        return WEAK
    if left is WEAK or right is WEAK:
        return promoted(right if left is WEAK else left)
    left, right = promoted(left), promoted(right)
    if isinstance(left, Real) or isinstance(right, Real):
        both_real = isinstance(left, Real) and isinstance(right, Real)
        if both_real:
            return left if left.size >= right.size else right
        return left if isinstance(left, Real) else right
    if left is right:
        return left
    size = max(left.size, right.size)
    wide = [found for found in (left, right) if found.size == size]
    signed = all(found.low < 0 for found in wide)
    return _ARITHMETIC[size, signed]


def joined(left: Any, right: Any) -> Any:
    """The type of something that is sometimes of one, sometimes of the other type: both values keep; or None."""
    if left is None or right is None:
        return right if left is None else left
    if left is right or right is NEVER:
        return left
    if left is NEVER:
        return right
    if UNKNOWN in (left, right):
        return UNKNOWN
    if is_number(left) and is_number(right):
        return _joined_numbers(left, right)
    if isinstance(left, Array) or isinstance(right, Array):
        if isinstance(left, Array) and isinstance(right, Array):
            return None
        left, right = (Pointer(pointed(one)) if isinstance(one, Array) else one for one in (left, right))
    for one, other in ((left, right), (right, left)):
        if one is NULL:
            return other if is_pointer(other) else None
    if isinstance(left, Pointer) and isinstance(right, Pointer) and pointed(left) is pointed(right):
        return left if left.const else right
    return None


def _joined_numbers(left: Any, right: Any) -> Any:
    for one, other in ((left, right), (right, left)):
        if one is WEAK:
            return WEAK if isinstance(other, Boolean) else other
        if isinstance(one, Boolean):
            return other
        if isinstance(one, Real):
            both_float = isinstance(other, Real) and other.size == one.size
            return one if one is DOUBLE or both_float else DOUBLE
    if left.low <= right.low and right.high <= left.high:
        return left
    if right.low <= left.low and left.high <= right.high:
        return right
    size = max(left.size, right.size) * (1 if (left.low < 0) == (right.low < 0) else 2)
    return _ARITHMETIC.get((max(size, INT.size), True))


def fits(given: Any, wanted: Any) -> bool:
    """Whether a value of type ``given`` goes where one of type ``wanted`` is wanted, without a cast."""
    if given is wanted or UNKNOWN in (given, wanted) or given is NEVER:
        return True
    if is_number(given) and is_number(wanted):
        return not isinstance(given, Real) or isinstance(wanted, Real)
    if not is_pointer(wanted):
        return False
    if given is NULL:
        return True
    if isinstance(given, (StructCType, Array)):
        target = given if isinstance(given, StructCType) else pointed(given)
        given = Pointer(target)
    if not is_pointer(given):
        return False
    if VOID_POINTER_TYPE in (plain(given), plain(wanted)) or is_void_pointer(given) or is_void_pointer(wanted):
        return True
    if isinstance(given, FunctionPointer) or isinstance(wanted, FunctionPointer):
        return _same_function(given, wanted)
    return same_representation(plain(given).target.representation.backend, plain(wanted).target.representation.backend)


def is_void_pointer(found: Any) -> bool:
    return isinstance(found, Pointer) and found.target is VOID


def _same_function(given: Any, wanted: Any) -> bool:
    if not (isinstance(given, FunctionPointer) and isinstance(wanted, FunctionPointer)):
        return False
    mine, its = ((one.target.result, *one.target.parameters) for one in (wanted, given))
    return len(mine) == len(its) and all(_alike(decay(one), decay(other)) for one, other in zip(mine, its, strict=True))


def _alike(one: CType, other: CType) -> bool:
    if one.is_pointer or other.is_pointer:
        return one.is_pointer and other.is_pointer
    return same_representation(one.backend, other.backend)


def function_pointer(signature: Any) -> FunctionPointer:
    """The type of a pointer to a function of this signature, as a body has it."""
    return FunctionPointer(FunctionType(signature.result, signature.parameters, signature.variadic, signature.abi))


def named(found: Any) -> str:
    """A type, for an error text."""
    if found is WEAK:
        return "an int literal"
    if found is NULL:
        return "None"
    if found in (NEVER, VOID, None):
        return "no value"
    return found.spelling


def wrapped(number: int, found: Integer) -> int:
    """An integer as one of C's width."""
    number &= (1 << 8 * found.size) - 1
    return number - (1 << 8 * found.size) if number > found.high else number


def saturated(number: float, found: Integer) -> int:
    """A float cut off to an integer: at the ends of its range where it is beyond them; 0 for what is no number."""
    if number != number:
        return 0
    if number in (float("inf"), float("-inf")):
        return found.high if number > 0 else found.low
    return min(max(int(number), found.low), found.high)


def rounded(number: Any, found: Real) -> float:
    try:
        value = float(number)
        if found.size == 4:
            import struct

            value = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")
    return value


def word_for(found: Any) -> str:
    return found.spelling.removesuffix("_t").replace(" ", "-").removeprefix("_").lower()
