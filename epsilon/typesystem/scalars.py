"""The scalar types: integers, characters, booleans, floating and complex numbers.

Their sizes are this platform's, and so is the sign of ``char`` and ``wchar_t``.
"""

from __future__ import annotations

import os
import sys
from _operator import index  # operator, without what it has in Python

import _cffi_backend as cffi

from epsilon.errors import ForeignRangeError, shorten
from epsilon.typesystem.base import _VOID, VOID_POINTER, CType

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

MACHINE = os.uname().machine.lower() if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "").lower()
ARM = MACHINE.startswith(("arm", "aarch64"))
# AAPCS64 §8.1 has unsigned char and wchar_t; Apple and Windows decided otherwise
CHAR_IS_SIGNED = not ((ARM or MACHINE.startswith(("ppc", "s390", "riscv"))) and sys.platform.startswith("linux"))
WCHAR_IS_SIGNED = not ((ARM and sys.platform.startswith("linux")) or sys.platform == "win32")
POINTER_BITS = 8 * cffi.sizeof(VOID_POINTER)
#: System V's calling convention for x86-64, which classes structs by their eightbytes (as HAVE_EIGHTBYTES in c/shim.h)
HAS_EIGHTBYTES = MACHINE in ("x86_64", "amd64") and sys.platform != "win32" and sys.maxsize > 2**32
#: AAPCS64, which passes a struct of more than 16 bytes as the address of a copy (as HAVE_REFERENCES in c/shim.h)
HAS_REFERENCES = MACHINE in ("aarch64", "arm64") and sys.platform != "win32" and sys.maxsize > 2**32


class Void(CType):
    """``void``: no value."""

    __slots__ = ()

    def setup(self) -> None:
        self.code, self.size, self.alignment = "v", None, None

    def declare(self, inner: str = "") -> str:
        return f"void {inner}"

    def make_backend(self) -> Any:
        return _VOID


class Scalar(CType):
    """What all scalars share: a C spelling and a cffi primitive of the same name or the same representation."""

    __slots__ = ("name", "primitive")

    def setup(self, name: str, primitive: str) -> None:
        self.name, self.primitive = name, primitive
        self._backend = backend = cffi.new_primitive_type(primitive)
        self.size, self.alignment = cffi.sizeof(backend), cffi.alignof(backend)
        self.code = self.choose_code()

    def choose_code(self) -> str:
        raise TypeError("Scalar is abstract")

    def declare(self, inner: str = "") -> str:
        return f"{self.name} {inner}"


class Integer(Scalar):
    """A C integer; ``low`` and ``high`` are its range, both included."""

    __slots__ = ("high", "low")

    def choose_code(self) -> str:
        bits = 8 * self.size
        signed = self.is_signed()
        self.low, self.high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        return "bhiq"[bits.bit_length() - 4] if signed else "BHIQ"[bits.bit_length() - 4]

    def is_signed(self) -> bool:
        return int(cffi.cast(self.backend, -1)) < 0

    @property
    def wants(self) -> str:
        return f"an int from {self.low} to {self.high}"

    def convert(self, value: Any) -> int:
        if not hasattr(type(value), "__index__"):
            raise self.refusal(value)
        number = self.taken(index, value)
        if not self.low <= number <= self.high:
            raise ForeignRangeError(f"got {shorten(value)}, wanted {self.wants}")
        return int(number)


class Character(Integer):
    """``char``, ``signed char``, ``unsigned char``: an int, which may be given as a 1-character str or bytes."""

    __slots__ = ()

    def choose_code(self) -> str:
        super().choose_code()
        return "c" if self.low else "C"

    def is_signed(self) -> bool:
        if self.primitive == "char":
            return CHAR_IS_SIGNED
        return super().is_signed()

    @property
    def wants(self) -> str:
        return f"an int from {self.low} to {self.high}, or a str or bytes of one character"

    def convert(self, value: Any) -> int:
        if isinstance(value, (str, bytes)) and len(value) == 1:
            number = ord(value)
            if number > 255:
                raise ForeignRangeError(f"got {shorten(value)}, wanted a character of one byte")
            return number - 256 if number > self.high else number
        return super().convert(value)


class WideCharacter(Integer):
    """``wchar_t``: an int."""

    __slots__ = ()

    def is_signed(self) -> bool:
        return WCHAR_IS_SIGNED


class Boolean(Scalar):
    """``_Bool``: any int is taken as its truth."""

    __slots__ = ()
    wants = "a bool or an int"

    def choose_code(self) -> str:
        return "?"

    def convert(self, value: Any) -> bool:
        if hasattr(type(value), "__index__"):
            return self.taken(index, value) != 0
        if type(value).__name__ in ("bool_", "bool"):  # NumPy's, which has no __index__
            return bool(value)
        raise self.refusal(value)


class Real(Scalar):
    """``float``, ``double``, ``long double``; a ``long double`` crosses as a Python float and keeps 53 bits."""

    __slots__ = ()
    wants = "a float, an int, or anything with __float__"

    def choose_code(self) -> str:
        return {"float": "f", "double": "d", "long double": "g"}[self.primitive]

    def convert(self, value: Any) -> float:
        if not (hasattr(type(value), "__float__") or hasattr(type(value), "__index__")):
            raise self.refusal(value)
        try:
            return self.taken(float, value)
        except OverflowError as error:
            raise ForeignRangeError(f"got {shorten(value)}: {error}") from None


class Complex(Scalar):
    """``float _Complex`` and ``double _Complex``."""

    __slots__ = ()
    wants = "a complex, a float, or anything with __complex__"

    def choose_code(self) -> str:
        return {"_cffi_float_complex_t": "F", "_cffi_double_complex_t": "D"}[self.primitive]

    def convert(self, value: Any) -> complex:
        if not any(hasattr(type(value), name) for name in ("__complex__", "__float__", "__index__")):
            raise self.refusal(value)
        try:
            return self.taken(complex, value)
        except OverflowError as error:
            raise ForeignRangeError(f"got {shorten(value)}: {error}") from None
