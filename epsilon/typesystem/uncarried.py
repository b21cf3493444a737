"""The types whose values C has and Python cannot carry: they have a size, so that structs hold them, and no more."""

from __future__ import annotations

import sys

import _cffi_backend as cffi

from epsilon.errors import ForeignTypeError
from epsilon.typesystem.base import CType
from epsilon.typesystem.derived import Array
from epsilon.typesystem.scalars import HAS_EIGHTBYTES, HAS_REFERENCES
from epsilon.typesystem.words import WORDS

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any


class Uncarried(CType):
    """``_Float128``, ``__int128``, a vector: memory of a known size, behind pointers and in structs."""

    __slots__ = ("name",)

    def setup(self, name: str, size: int, alignment: int) -> None:
        self.name, self.code, self.size, self.alignment = name, "s", size, alignment

    def declare(self, inner: str = "") -> str:
        return f"{self.name} {inner}"

    def make_backend(self) -> Any:
        made = cffi.new_struct_type(f"epsilon {self.name}")
        whole = cffi.new_array_type(cffi.new_pointer_type(cffi.new_primitive_type("char")), self.size)
        cffi.complete_struct_or_union(made, [("bytes", whole, -1, 0)], None, self.size, self.alignment, 0)
        return made

    def make_converter(self) -> Any:
        raise ForeignTypeError(f"a {self.name} is no value that Python can carry; behind a pointer it can stay in C")


def vector(element: CType, size: int) -> Uncarried:
    """The vector of ``size`` bytes of GCC's manual, "Vector Extensions": it is aligned to its size."""
    if element.size is None or size <= 0 or size & (size - 1) or size % element.size:
        raise ForeignTypeError(f"a vector of {size} bytes holds no whole number of {element.spelling}")
    return Uncarried(f"__attribute__((vector_size({size}))) {element.spelling}", size, size)


_REAL = WORDS["long-double"]
#: what the reader of declarations puts together from basic words, besides the words of the vocabulary, and the names
#: that compilers know without a header
EXTENDED: dict[str, CType] = {
    "long-double-complex": Uncarried("long double _Complex", 2 * _REAL.size, _REAL.alignment),
    "int128": Uncarried("__int128", 16, 16),
    "unsigned-int128": Uncarried("unsigned __int128", 16, 16),
}
#: complex numbers by the name of their parts' type
COMPLEX: dict[str, CType] = {
    "float": WORDS["float-complex"],
    "double": WORDS["double-complex"],
    "long double": EXTENDED["long-double-complex"],
    "_Float128": Uncarried("_Complex _Float128", 32, 16),
    "_Float16": Uncarried("_Complex _Float16", 4, 2),
}


def _va_list() -> CType:
    """System V's x86-64 psABI §3.5.7 has an array of one struct, AAPCS64 §12 a struct, others a pointer."""
    if HAS_EIGHTBYTES:
        return Array(Uncarried("struct __va_list_tag", 24, 8), 1)
    if HAS_REFERENCES and sys.platform != "darwin":
        return Uncarried("__builtin_va_list", 32, 8)
    return WORDS["pointer"]


# GCC manual, "Additional Floating Types"; ISO/IEC TS 18661-3.  float.h says how they are represented: _Float32x as
# double, _Float64x as long double on x86-64 (and as _Float128 on AArch64, where long double has 128 bits, too).
EXTENDED.update(
    {
        "_Float32": WORDS["float"],
        "_Float64": WORDS["double"],
        "_Float32x": WORDS["double"],
        "_Float64x": WORDS["long-double"],
        "_Float128": Uncarried("_Float128", 16, 16),
        "_Float16": Uncarried("_Float16", 2, 2),
        "__builtin_va_list": _va_list(),
    }
)
