"""Epsilon: the foreign function interface that Lisp people wish they had, on Python.

One toolkit, two faces.  From Hy, ``(require epsilon [defshared defcallback …])`` and ``(import epsilon […])``; from
Python, the functions below.  ``import epsilon`` imports neither Hy nor pycparser.

>>> import epsilon
>>> libc = epsilon.lib_open("libc")
>>> strlen = libc.bind("size_t strlen(const char *s)")
>>> strlen("hello")
5
"""

from epsilon._backend import Callback, Function, errno, set_errno
from epsilon._macros import MacroTable as _MacroTable
from epsilon.callbacks import call_async, callback, make_callback
from epsilon.converters import convert_from_foreign, convert_to_foreign
from epsilon.declarations import cdef
from epsilon.errors import (
    CallbackClosedError,
    CompilerError,
    ForeignError,
    ForeignIndexError,
    ForeignMemoryError,
    ForeignOSError,
    ForeignRangeError,
    ForeignTypeError,
    ForeignValueError,
    HeaderError,
    LibraryLoadError,
    SymbolNotFoundError,
    foreign_error_code,
    foreign_error_function,
)
from epsilon.expressions import ctype
from epsilon.functions import shared_call
from epsilon.libraries import Library, define_library, lib_close, lib_open, library_search_paths
from epsilon.memory import (
    ForeignMemory,
    alignof,
    deref,
    deref_int,
    foreign_alloc,
    foreign_free,
    foreign_memory,
    foreign_string,
    is_null_pointer,
    pinned_array,
    pooled_memory,
    sizeof,
    struct_pointer,
)
from epsilon.signatures import Signature, get_or_create_trampoline, register_signature, registry
from epsilon.structs import StructType, define_c_struct, define_c_struct_auto, struct_layout_size
from epsilon.typesystem import CType
from epsilon.variables import foreign_variable

__version__ = "0.1.0"

#: where ``require`` looks; a lazy table, so that plain ``import epsilon`` does not import Hy
_hy_macros = _MacroTable()

#: what Hy makes of ``null-pointer?``
hyx_null_pointerXquestion_markX = is_null_pointer

__all__ = [
    "alignof",
    "call_async",
    "Callback",
    "callback",
    "CallbackClosedError",
    "cdef",
    "CompilerError",
    "convert_from_foreign",
    "convert_to_foreign",
    "CType",
    "ctype",
    "define_c_struct",
    "define_c_struct_auto",
    "define_library",
    "deref",
    "deref_int",
    "errno",
    "foreign_alloc",
    "foreign_error_code",
    "foreign_error_function",
    "foreign_free",
    "foreign_memory",
    "foreign_string",
    "foreign_variable",
    "ForeignError",
    "ForeignIndexError",
    "ForeignMemory",
    "ForeignMemoryError",
    "ForeignOSError",
    "ForeignRangeError",
    "ForeignTypeError",
    "ForeignValueError",
    "Function",
    "get_or_create_trampoline",
    "HeaderError",
    "is_null_pointer",
    "lib_close",
    "lib_open",
    "Library",
    "library_search_paths",
    "LibraryLoadError",
    "make_callback",
    "pinned_array",
    "pooled_memory",
    "register_signature",
    "registry",
    "set_errno",
    "shared_call",
    "Signature",
    "sizeof",
    "struct_layout_size",
    "struct_pointer",
    "StructType",
    "SymbolNotFoundError",
]
