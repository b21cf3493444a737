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
from epsilon._backend import checking as _checking
from epsilon._macros import MacroTable as _MacroTable
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
from epsilon.signatures import Signature, get_or_create_trampoline, register_signature, registry
from epsilon.typesystem import CType, Handle, object_handle

__version__ = "0.1.0"

#: where ``require`` looks; a lazy table, so that plain ``import epsilon`` does not import Hy
_hy_macros = _MacroTable()

__all__ = [
    "alignof",
    "Arena",
    "arena",
    "BatchResult",
    "call_async",
    "Callback",
    "callback",
    "CallbackClosedError",
    "cast",
    "cdef",
    "CompilerError",
    "convert_from_foreign",
    "convert_to_foreign",
    "CType",
    "ctype",
    "define_c_enum",
    "define_c_flags",
    "define_c_struct",
    "define_c_struct_auto",
    "define_c_type",
    "define_c_union",
    "define_foreign_class",
    "define_foreign_type",
    "define_library",
    "define_native",
    "deref",
    "deref_int",
    "EnumType",
    "errno",
    "expect_layout",
    "FlagsType",
    "foreign_alloc",
    "foreign_batch",
    "foreign_copy",
    "foreign_error_code",
    "foreign_error_function",
    "foreign_free",
    "foreign_memory",
    "foreign_release",
    "foreign_string",
    "foreign_variable",
    "ForeignError",
    "ForeignIndexError",
    "ForeignMemory",
    "ForeignMemoryError",
    "ForeignObject",
    "ForeignOSError",
    "ForeignRangeError",
    "ForeignTypeError",
    "ForeignValueError",
    "from_buffer",
    "Function",
    "get_or_create_trampoline",
    "Handle",
    "HeaderError",
    "import_header",
    "into_buffer",
    "is_null_pointer",
    "lib_close",
    "lib_open",
    "Library",
    "library_search_paths",
    "LibraryLoadError",
    "make_callback",
    "native_source",
    "numpy_dtype",
    "object_handle",
    "offsetof",
    "pinned_array",
    "pointer_add",
    "pointer_sub",
    "Pool",
    "pooled_memory",
    "register_signature",
    "registry",
    "Scope",
    "scope",
    "set_errno",
    "shared_call",
    "Signature",
    "sizeof",
    "struct_layout_size",
    "struct_pointer",
    "StructType",
    "SymbolNotFoundError",
    "vectorize",
]

#: where the names are whose modules are imported at the first use
_LATER = {
    "alignof": "memory",
    "Arena": "arenas",
    "BatchResult": "batches",
    "arena": "arenas",
    "call_async": "callbacks",
    "callback": "callbacks",
    "cast": "pointers",
    "cdef": "declarations",
    "convert_from_foreign": "converters",
    "convert_to_foreign": "converters",
    "define_c_enum": "enums",
    "define_c_flags": "enums",
    "define_c_struct": "struct_definitions",
    "define_c_struct_auto": "struct_definitions",
    "define_c_type": "usertypes",
    "define_c_union": "struct_definitions",
    "define_foreign_type": "usertypes",
    "deref": "dereference",
    "deref_int": "dereference",
    "EnumType": "enums",
    "expect_layout": "expected",
    "FlagsType": "enums",
    "define_foreign_class": "foreign_classes",
    "define_native": "native.face",
    "native_source": "native.face",
    "foreign_alloc": "memory",
    "foreign_batch": "batches",
    "foreign_copy": "pointers",
    "foreign_free": "memory",
    "foreign_memory": "memory",
    "foreign_release": "ownership",
    "foreign_string": "dereference",
    "ForeignMemory": "memory",
    "ForeignObject": "foreign_classes",
    "foreign_variable": "variables",
    "import_header": "headers.importing",
    "hyx_null_pointerXquestion_markX": "dereference",
    "hyx_pointerXplus_signX": "pointers",
    "is_null_pointer": "dereference",
    "make_callback": "callbacks",
    "offsetof": "pointers",
    "pinned_array": "pinned",
    "pointer_": "pointers",
    "pointer_add": "pointers",
    "pointer_sub": "pointers",
    "Pool": "pools",
    "pooled_memory": "memory",
    "Scope": "scopes",
    "scope": "scopes",
    "sizeof": "memory",
    "struct_layout_size": "structs",
    "struct_pointer": "dereference",
    "StructType": "structs",
    "from_buffer": "buffers",
    "into_buffer": "buffers",
    "numpy_dtype": "buffers",
    "vectorize": "vectors",
}
#: the modules that users name: ``epsilon.memory.report``, ``epsilon.callbacks.run_pending``
_MODULES = ("callbacks", "memory", "structs")


def __getattr__(name: str):
    if name not in _LATER and name not in _MODULES:
        raise AttributeError(f"module 'epsilon' has no attribute {name!r}")
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"epsilon.{name}")
    value = globals()[name] = getattr(import_module(f"epsilon.{_LATER[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_MODULES})


if _checking:  # from the first allocation on
    from epsilon import memory as memory
