"""What the expansions of the Hy macros call: the frozen half of ``macros.hy``.

A user's compiled ``.hy`` file holds expansions that an older Epsilon made, and is not compiled again when Epsilon is
upgraded.  So each function here keeps its name, its parameters and their meaning for ever; a new macro that needs more
gets a new function or a new optional parameter.  C text is what cffi's ``cdef`` takes; ``special`` gives the types that
C text cannot say, by parameter position (``"result"`` for the result) or by member name, as type expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import epsilon
from epsilon import functions
from epsilon.functions import shared_call
from epsilon.libraries import define_library, library_for
from epsilon.signatures import get_or_create_trampoline, register_signature

#: the functions that few files use, as ``epsilon`` has them: imported at the first use
_LATER = (
    "alignof", "arena", "call_async", "cast", "define_c_enum", "define_c_flags", "define_c_type",
    "define_foreign_class", "define_foreign_type", "deref", "foreign_alloc", "foreign_memory", "foreign_string",
    "foreign_variable", "from_buffer", "import_header", "make_callback", "numpy_dtype", "offsetof", "pinned_array",
    "pooled_memory", "scope", "sizeof",
)  # fmt: skip

__all__ = [
    "bind", "callback", "converter", "declare", "define_library", "enumeration", "function",
    "get_or_create_trampoline", "native", "planned_batch", "register_signature", "shared_call", "struct", *_LATER,
]  # fmt: skip

Special = Mapping[Any, Any] | None


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(epsilon, name)
    return value


def bind(library: Any, declaration: str, special: Special = None, symbols: Any = None, **options: Any) -> Any:
    """``defshared``: the function that ``declaration`` declares, bound to a library that is opened here.

    ``symbols`` are the names to be tried in turn where they are not the declared one.  The symbol is looked up at the
    first call.  Frozen.

    >>> strlen = bind("libc", "unsigned long strlen(const char *s);")
    >>> strlen("world")
    5
    """
    opened = library_for(library)
    if special is None and symbols is None:
        return opened.bind(declaration, **options)
    return opened.bind(declaration, special=special, symbols=symbols, **options)


def function(library: Any, declaration: str, special: Special = None) -> Any:
    """``shared-call``: as ``bind``, but the same function for the same declaration.  Frozen.

    >>> function("libc", "unsigned long strlen(const char *);")("hello")
    5
    """
    (symbol,), signature, _ = functions.read_declaration(declaration, None, None, special)
    return functions.bound((symbol, library), signature)


def declare(library: Any, text: str, **options: Any) -> Any:
    """``declare-c``: the bindings of a block of C declarations, of a library that is opened here.  Frozen.

    >>> declare("libc", "int abs(int n); enum { LIMIT = 9 };").LIMIT
    9
    """
    return library_for(library).declare(text, **options)


def planned_batch(shape: tuple) -> Callable:
    """``with-foreign-batch``: what a form keeps.  It is called with functions and arguments, in the order of the calls.

    ``shape`` has a tuple for each call: for its function ``None``, or the index of an earlier call of the same one;
    then for each argument ``None``, or the index of the call whose result it is.  Frozen.

    >>> strlen = function("libc", "unsigned long strlen(const char *);")
    >>> planned_batch(((None, None), (0, None)))(strlen, "one", "three")
    [3, 5]
    """
    from epsilon import batches

    return batches.planned_batch(shape)


def callback(
    declaration: str,
    special: Special = None,
    on_error: Any = None,
    abi: Any = "default",
    thread: Any = "any",
    give: bool = False,
    export: Any = None,
) -> Callable:
    """``defcallback``: a decorator that makes a function one that C can call as it is declared.  Frozen.

    >>> @callback("int compare_ints(const int *a, const int *b);", special={0: ("in", "int"), 1: ("in", "int")})
    ... def compare_ints(a, b):
    ...     return a - b
    >>> numbers = foreign_alloc("int", initial=[3, 1, 2])
    >>> function("libc", "void qsort(void *, size_t, size_t, void *);")(numbers, 3, 4, compare_ints)
    >>> list(numbers)
    [1, 2, 3]
    """
    from epsilon.callbacks import exported_callback, make_callback

    _, signature, names = functions.read_declaration(declaration, None, None, special, abi)

    def make(body: Callable) -> Any:
        made = make_callback(body, signature, on_error=on_error, thread=thread, give=give)
        return made if export is None else exported_callback(made, export, names, on_error)

    return make


def native(
    declaration: str,
    body: str,
    scope: Mapping[str, Callable[[], Any]],
    special: Special = None,
    doc: str | None = None,
    on_error: Any = None,
    **options: Any,
) -> Any:
    """``defnative``, and ``defcallback`` with ``:native True``: the function that ``declaration`` declares and that
    ``body``, its forms as text, defines; ``scope`` has functions that give the objects of the module's names in it.
    Frozen.

    >>> body = "(1, 1, '(', (1, 2, 's', '+', '+'), (1, 4, 's', 'n', 'n'), (1, 6, 'i', 1))"
    >>> native("int successor(int n);", body, {})(41)
    42
    """
    from epsilon.native import building

    (name,), signature, names = functions.read_declaration(declaration, None, None, special)
    place = building.frame_place(1)
    return building.define(signature, name, names, body, scope, place, options, doc, on_error)


def struct(
    declaration: str,
    special: Special = None,
    name: str | None = None,
    options: Mapping[Any, Mapping[str, Any]] | None = None,
    packed: Any = None,
    align: Any = None,
    header: Any = None,
) -> Any:
    """``define-c-struct``: the type of the struct or union that ``declaration`` defines; ``name`` is its Lisp name,
    ``options`` are members' options, by name or by position.  Frozen.

    >>> struct("struct timespec { long sec; long nsec; };")(sec=5)
    timespec(sec=5, nsec=0)
    """
    return epsilon.define_c_struct_auto(
        name, declaration, special, options=options, packed=packed, align=align, header=header
    )


def enumeration(tag: str, variable: Callable[[], Any]) -> Any:
    """``(:enum name)``: the enum that the variable ``name`` holds, or the tag where there is none.  Frozen.

    >>> color = define_c_enum("color", ["red"])
    >>> enumeration("no_tag", lambda: color), enumeration("color", lambda: no_variable)
    (<enum color: red=0>, 'color')
    """
    try:
        found = variable()
    except NameError:
        return tag
    return found if isinstance(found, epsilon.EnumType) else tag


def converter(direction: str, python_type: type, type: Any) -> Callable:
    """``defconverter``: a decorator that registers a function as a converter; ``direction`` is ``"to-foreign"`` or
    ``"from-foreign"``.  Frozen.

    >>> import datetime
    >>> @converter("to-foreign", datetime.date, "int")
    ... def ordinal(value):
    ...     return value.toordinal()
    """
    converters = {"to-foreign": epsilon.convert_to_foreign, "from-foreign": epsilon.convert_from_foreign}
    return converters[direction].register(python_type, type)
