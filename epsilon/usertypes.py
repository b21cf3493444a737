"""The types that users name: ``define_c_type`` for C's own, ``define_foreign_type`` for converted ones."""

from __future__ import annotations

from epsilon.errors import ForeignTypeError, shorten
from epsilon.expressions import compound_types, ctype, word_of
from epsilon.typesystem import NAMED, TYPEDEFS, WORDS, UserType, tagged

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from epsilon.typesystem import CType


def new_name(name: Any) -> str:
    """The C name of a type that is being defined."""
    from epsilon.declarator import RESERVED
    from epsilon.signatures import registry

    word = (word_of(name) or "").lstrip("':").replace("-", "_")
    if not word.isidentifier():
        raise ForeignTypeError(f"the name of a type is a C name, not {shorten(name)}")
    if word in RESERVED or word in TYPEDEFS or not {word, word.replace("_", "-")}.isdisjoint((*WORDS, *compound_types)):
        raise ForeignTypeError(f"{word!r} is a type already, and cannot be defined as another")
    if not {word, word.replace("_", "-")}.isdisjoint(registry):
        raise ForeignTypeError(f"{word!r} is the name of a registered signature, and cannot be a type's")
    return word


def define_c_type(name: Any, type: Any = None) -> CType:
    """Give a C type a name that serves wherever types do, in C text too: ``typedef type name``.

    Without ``type`` it names an opaque struct, ``typedef struct name name``, of which C only gives pointers: a pointer
    to it is no pointer to another.  Defining a name again is allowed; what was declared with it keeps its meaning.
    Raises ``ForeignTypeError`` for the name of a built-in type.

    >>> define_c_type("fd", "int")
    <CType 'int'>
    >>> lib_open("libc").bind("int isatty(fd number)")
    int isatty(int number)
    >>> define_c_type("SNDFILE")
    <CType 'struct SNDFILE'>
    """
    word = new_name(name)
    NAMED[word] = found = tagged("struct", word) if type is None else ctype(type)
    return found


def define_foreign_type(
    name: Any,
    base: Any,
    to_foreign: Callable[[Any], Any] | None = None,
    from_foreign: Callable[[Any], Any] | None = None,
) -> CType:
    """Define a type of your own over ``base``; it serves wherever types do, by itself or by its name.

    ``to_foreign(value)`` makes what ``base`` takes of what the user passes, and ``from_foreign(value)`` what the user
    gets of what ``base`` gives back; without one of them the value is the base's own.  Both are looked up when a
    signature is compiled, and other types cost nothing for it.  What they raise reaches the caller; a ``ForeignError``
    is told the function and the parameter.

    Raises ``ForeignTypeError`` for a base that is no type of one value, and for the name of a built-in type.

    >>> import datetime
    >>> day = define_foreign_type("day", "int", datetime.date.toordinal, datetime.date.fromordinal)
    >>> days = foreign_alloc(day, initial=[datetime.date(2000, 2, 28)])
    >>> deref(days, type="int")
    730178
    >>> days[0]
    datetime.date(2000, 2, 28)
    """
    word = new_name(name)
    for function in (to_foreign, from_foreign):
        if function is not None and not callable(function):
            raise ForeignTypeError(f"foreign type {word}: a conversion is a callable, not {shorten(function)}")
    NAMED[word] = found = UserType(word, ctype(base), to_foreign, from_foreign)
    return found
