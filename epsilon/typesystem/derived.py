"""The types made of other types: ``:in`` and ``:out`` parameters, arrays, functions and pointers to them."""

from __future__ import annotations

import sys

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignTypeError, shorten
from epsilon.typesystem.base import VOID_POINTER, CData, CType
from epsilon.typesystem.pointers import (
    CHARACTER_POINTER,
    VOID_POINTER_TYPE,
    CountedPointer,
    OwnedPointer,
    Pointer,
    PointerLike,
    String,
    foreign_address,
    refuse_parameter,
    same_representation,
)

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Direction(PointerLike):
    """``(:in T)``, ``(:out T)``, ``(:inout T)``: a ``T *`` whose target lives for the length of the call."""

    __slots__ = ("target", "way")
    only_parameter = "(:in T), (:out T) and (:inout T) say how a parameter is passed; in memory it is a (:pointer T)"

    def setup(self, way: str, target: CType) -> None:
        super().setup()
        self.way, self.target = way, target
        if isinstance(target, Array):  # memory of its own already: what is passed is the pointer to its first element
            self.code = "x"
            return
        if way == "in" or not (isinstance(target, CountedPointer) or getattr(target, "free", None) is not None):
            refuse_parameter(target, way)
        if target.size is None:
            raise ForeignTypeError(f"(:{way} {target.spelling}): a value of type {target.spelling} has no size")
        self.code = {"in": "<", "out": ">", "inout": "="}[way]

    @property
    def wants(self) -> str:
        return self.target.wants

    def declare(self, inner: str = "") -> str:
        pointed = self.pointed
        if isinstance(pointed, OwnedPointer):
            pointed = Pointer(pointed.target, pointed.const)
        elif isinstance(pointed, String):
            pointed = String()
        return Pointer(pointed, self.way == "in").declare(inner)

    @property
    def pointed(self) -> CType:
        """What C's pointer points to."""
        return self.target.target if isinstance(self.target, Array) else self.target

    def make_backend(self) -> Any:
        return cffi.new_pointer_type(self.pointed.backend)

    def make_converter(self) -> Any:
        if isinstance(self.target, Array):
            plain = self.way == "in" and self.target.counter is None
            return _pointer_converter(self, self.pointed, self.target.passing() if plain else None)
        inner = self.target.converter
        return _backend.Converter(self, self.code, self.size, self.alignment, self.backend, inner=inner)

    def convert(self, value: Any) -> Any:
        return self.target.adapt(value)


class Handed(PointerLike):
    """``(:give T)``, ``(:keep T)``: a pointer that C keeps beyond the call, which is C's from then on (``give``), or
    stays alive until it is released (``keep``)."""

    __slots__ = ("target", "way")
    only_parameter = "(:give T) and (:keep T) say how a parameter is passed; in memory it is a plain pointer"

    def setup(self, way: str, target: CType) -> None:
        super().setup()
        refuse_parameter(target, way)
        if not isinstance(target, (Array, FunctionPointer, Pointer, String)) or getattr(target, "counter", None):
            raise ForeignTypeError(f"(:{way} {target.spelling}): C keeps pointers, strings and arrays of known length; "
                                   f"{target.spelling} is none")  # fmt: skip
        if way == "give" and isinstance(target, FunctionPointer):
            raise ForeignTypeError(f"(:give {target.spelling}): a function is not C's to free; (:keep …) keeps it")
        self.way, self.target, self.code = way, target, "x"

    @property
    def wants(self) -> str:
        return self.target.wants

    def declare(self, inner: str = "") -> str:
        return decay(self.target).declare(inner)

    def make_backend(self) -> Any:
        return decay(self.target).backend

    def make_converter(self) -> Any:
        return _backend.Converter(
            self, "x", self.size, self.alignment, self.backend, inner=VOID_POINTER_TYPE.converter, to=self.adapt,
            back=self.restore, raw=True, owned=True,
        )  # fmt: skip

    def convert(self, value: Any) -> Any:
        return hooks["hand_over"](self, value)


class Array(CType):
    """``T[n]``: in a struct, n values in place; as a parameter a pointer to a sequence's values.

    Of a parameter, ``counter`` is the parameter that has the length: its index, or its name as long as the parameters
    are not known (``counts.linked``).
    """

    __slots__ = ("counter", "length", "only_parameter", "target")
    binds_tighter = True

    def __new__(cls, target: CType, length: int | None = None, counter: int | str | None = None) -> CType:
        return super().__new__(cls, target, length, counter)

    def setup(self, target: CType, length: int | None, counter: int | str | None) -> None:
        if target.size is None:
            raise ForeignTypeError(f"(:array {target.spelling}): a value of type {target.spelling} has no size")
        refuse_parameter(target, "array")
        if length is not None and length < 0:
            raise ForeignTypeError(f"(:array {target.spelling} {length}): the length is 0 or more")
        self.target, self.length, self.counter = target, length, counter
        self.only_parameter = "" if counter is None else ":length names a parameter, and there is none here"
        self.size = None if length is None else target.size * length
        if (self.size or 0) > sys.maxsize:
            raise ForeignTypeError(f"(:array {target.spelling} {shorten(length)}) is larger than any memory")
        self.alignment = target.alignment
        self.code = "a"

    @property
    def wants(self) -> str:
        many = "" if self.length is None else f"{self.length} "
        return f"a sequence of {many}values of type {self.target.spelling}"

    def declare(self, inner: str = "") -> str:
        return self.target.declare(f"{inner}[{'' if self.length is None else self.length}]")

    def make_backend(self) -> Any:
        return cffi.new_array_type(cffi.new_pointer_type(self.target.backend), self.length)

    def make_converter(self) -> Any:
        return _pointer_converter(self, self.target, self.passing() if self.counter is None else None)

    def passing(self) -> Callable[[Any], Any]:
        """What gives the pointer that is passed for a value."""
        take = hooks["array_taker"](self)
        return lambda value: take(value)[0]

    def adapt(self, value: Any) -> Any:
        return self.passing()(value)


def _pointer_converter(found: CType, element: CType, to: Callable[[Any], Any] | None) -> Any:
    """An array crosses as a pointer to its first element, which ``to`` makes, or a plan (``array_plans.py``)."""
    size = PointerLike.size_of_pointer
    return _backend.Converter(found, "x", size, size, found.backend, inner=Pointer(element).converter, to=to, back=None)


class FunctionType(CType):
    """The type of a function, which only a pointer to it makes usable."""

    __slots__ = ("abi", "parameters", "result", "variadic")
    binds_tighter = True

    def __new__(
        cls, result: CType, parameters: tuple[CType, ...], variadic: bool = False, abi: str = "default"
    ) -> CType:
        return super().__new__(cls, result, tuple(parameters), bool(variadic), abi)

    def setup(self, result: CType, parameters: tuple[CType, ...], variadic: bool, abi: str) -> None:
        self.result, self.parameters, self.variadic, self.abi = result, parameters, variadic, abi
        self.size, self.alignment, self.code = None, None, "v"

    def declare(self, inner: str = "") -> str:
        names = [parameter.declare().rstrip() for parameter in self.parameters] + ["..."] * self.variadic
        return self.result.declare(f"{inner}({', '.join(names) or 'void'})")

    def make_backend(self) -> Any:
        parameters = tuple(decay(parameter).backend for parameter in self.parameters)
        return cffi.new_function_type(parameters, self.result.backend, self.variadic)


def decay(ctype: CType) -> CType:
    """The type that a parameter of ``ctype`` has in C: an array becomes a pointer to its first element."""
    return Pointer(ctype.target) if isinstance(ctype, Array) else ctype


class FunctionPointer(PointerLike):
    """``R (*)(A, B)``: takes None, a callback, a bound function, or any callable for the length of the call."""

    __slots__ = ("target",)
    wants = "None, a callback, a foreign function or a callable"

    def setup(self, target: FunctionType) -> None:
        super().setup()
        self.target = target
        self.code = "x"

    def declare(self, inner: str = "") -> str:
        return self.target.declare(f"(*{inner})")

    def make_backend(self) -> Any:
        return self.target.backend

    def make_converter(self) -> Any:
        bare = VOID_POINTER_TYPE.converter
        return _backend.Converter(
            self, "x", self.size, self.alignment, self.backend, inner=bare, to=self.adapt, back=self.wrap
        )

    def convert(self, value: Any) -> Any:
        if isinstance(value, (_backend.Callback, _backend.Function)):
            own = value.signature  # None: it is closed, which the call will tell
            if own is not None and not self.fits(own):
                raise self.refusal(value, f"{self.wants} of type {self.spelling}")
            return value
        if value is None:
            return value
        if isinstance(value, CData):
            kind = cffi.typeof(value)
            if kind.kind == "function" or kind is VOID_POINTER:
                return cffi.cast(VOID_POINTER, value)
            raise self.refusal(value, f"{self.wants}, not a {cffi.getcname(kind, '')}")
        foreign = foreign_address(value)
        if foreign is not None:
            return foreign
        if callable(value):
            return hooks["wrap_callable"](self.target, value)
        raise self.refusal(value)

    def fits(self, signature: Any) -> bool:
        """Whether a function of this signature may be called as one of this type: the same convention, the same number
        of parameters, each of the same representation (a ``(:in int)`` is a pointer to C)."""
        target = self.target
        if target.abi != signature.abi:
            return False
        mine, its = (target.result, *target.parameters), (signature.result, *signature.parameters)
        return len(mine) == len(its) and all(map(_crosses_alike, mine, its))

    def restore(self, value: Any) -> Any:
        return self.wrap(value) if isinstance(value, CData) else value

    def wrap(self, pointer: Any) -> Any:
        return hooks["call_pointer"](self.target, pointer) if pointer else None


#: what the floors above give to this one: ``array_taker(array_type)``, ``wrap_callable(function_type, f)``,
#: ``call_pointer(function_type, pointer)``
hooks: dict[str, Callable[..., Any]] = {}


def _crosses_alike(wanted: CType, given: CType) -> bool:
    """Whether C cannot tell values of the two types apart: all pointers are one to it here."""
    wanted, given = decay(wanted), decay(given)
    if wanted.is_pointer or given.is_pointer:
        return wanted.is_pointer and given.is_pointer
    return same_representation(wanted.backend, given.backend)


def pointer_to(target: CType, const: bool = False) -> CType:
    """The type of a pointer to ``target``: ``const char *`` is the string type, a function's is its own."""
    if isinstance(target, FunctionType):
        return FunctionPointer(target)
    if const and Pointer(target) is CHARACTER_POINTER:
        return String()
    return Pointer(target, const)
