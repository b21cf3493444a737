"""The patterns of names and types, and the fields of single forms."""

from __future__ import annotations

from typing import Any

from funcparserlib.parser import Parser, many, maybe, some
from hy.model_patterns import FORM
from hy.models import Expression, Keyword, String, Symbol

from epsilon.form_reading import any_form, bindings, value
from epsilon.form_types import (
    FormError,
    Type,
    c_name,
    is_ellipsis,
    is_list,
    looks_like_type,
    read_result,
    read_value_type,
    shown,
    type_name,
    unquoted,
)
from epsilon.typesystem import WORDS

# --- names ----------------------------------------------------------------------------------------------------------


def _symbols(model: Any) -> list[String]:
    names = [model] if isinstance(model, String) else list(unquoted(model))
    if not names:
        raise FormError("the C symbol's name is missing", model)
    for name in names:
        if not isinstance(name, String) or not name or "\0" in name:
            raise FormError(f"a C symbol's name is a string, not {shown(name)}", name)
    return names


#: the Lisp name that a form defines or binds
NAME = some(lambda model: isinstance(model, Symbol) and not is_ellipsis(model)).named("a name (a symbol)")
#: the name of a type that a form defines
TYPE_NAME = NAME >> type_name
_NAMES = some(lambda model: isinstance(model, String) or is_list(model)).named("the C symbol's name (a string)")
#: a C symbol, or several that are tried in turn
SYMBOLS = _NAMES >> _symbols
#: one C symbol
SYMBOL = some(lambda model: isinstance(model, String) and bool(model)).named("the C symbol's name (a string)")
LIBRARY = value("a library (its name, or a form that gives it)")


def word(model: Any) -> Any:
    """A name given as a keyword, a quoted symbol or a string, as a str; any other form as it is."""
    bare = unquoted(model)
    if isinstance(bare, Keyword):
        return bare.name
    return str(bare) if isinstance(bare, String) or (isinstance(bare, Symbol) and bare is not model) else model


REGISTERED = any_form("the signature's name") >> word


def _member(model: Any) -> Any:
    bare = unquoted(model)
    if isinstance(bare, Keyword):
        return String(c_name(bare.name))
    return String(c_name(bare)) if isinstance(bare, (Symbol, String)) and bare else model


#: a struct's member: a symbol (quoted or not), keyword or string is its name; any other form gives the name
MEMBER = any_form("a member's name") >> _member


# --- types ----------------------------------------------------------------------------------------------------------


def _checked_result(model: Any) -> Type:
    found = read_result(model)
    if found.ctype is WORDS["void"]:
        raise FormError("a void result cannot be checked; defshared with :errno True takes any", model)
    return found


def _dtype(model: Any) -> Any:
    """A C type, or a name that C does not know but NumPy may."""
    try:
        return read_value_type(model).form
    except FormError:
        if isinstance(model, String):
            return model
        raise


def _element(fields: tuple[Any, list]) -> tuple[Any, Any, Any]:
    pointer, rest = fields
    index = kind = None
    for model in rest:
        is_type = isinstance(unquoted(model), (Keyword, String)) or (is_list(model) and looks_like_type(model))
        if (kind if is_type else index) is not None:
            raise FormError(f"a pointer, an index and a type are wanted; {shown(model)} is one more", model)
        if is_type:
            kind = read_value_type(model).form
        else:
            index = model
    return pointer, index, kind


def spells_type(model: Any) -> bool:
    return isinstance(unquoted(model), Keyword) or (is_list(model) and looks_like_type(model))


TYPE = any_form("a type") >> read_value_type
#: of ``from-buffer``, whose one option is ``:copy``: an array's shape, and its elements' C type or dtype
SHAPE = maybe(value("a shape"))
DTYPE = maybe(some(lambda model: model != Keyword("copy")).named("a type") >> _dtype)
RESULT = any_form("the result's type") >> read_result
CHECKED_RESULT = any_form("the result's type") >> _checked_result
#: a pointer, and in either order the index and the type of the element, of which one or both may be missing
ELEMENT = (value("a pointer") + many(FORM)) >> _element
#: an instance's type: what define-c-struct made
STRUCT = some(lambda model: isinstance(unquoted(model), (Symbol, Expression)) and not spells_type(model))
STRUCT = STRUCT.named("a struct type") >> unquoted
#: where ``:count`` may also stand without its name
COUNT = maybe(value("a count"))


# --- fields of single forms -----------------------------------------------------------------------------------------

CALL = some(lambda model: isinstance(model, Expression) and bool(model)).named("a call (FUNCTION ARGUMENT …)")


def batch(compiler: Any) -> Parser:
    """The calls of a batch, as ``form_batches.Wired``."""
    from epsilon.form_batches import wire

    return many(CALL) >> (lambda calls: wire(compiler, calls))


_DIRECTIONS = ("to-foreign", "from-foreign")
_PLATFORMS = ("linux", "darwin", "windows")


def _direction(model: Any) -> str:
    bare = unquoted(model)
    text = bare.name if isinstance(bare, Keyword) else str(bare)
    if not isinstance(bare, (Keyword, Symbol, String)) or text not in _DIRECTIONS:
        raise FormError(f"to-foreign or from-foreign is wanted here, not {shown(bare)}", model)
    return text


DIRECTION = any_form("to-foreign or from-foreign") >> _direction
#: the name and the class of the value that a converter takes
CONVERTED = bindings("[VALUE CLASS]", NAME, value("a Python class"))


def _platforms(models: list) -> dict[str, list]:
    found: dict[str, list] = {}
    for model in models:
        platform, *names = unquoted(model) or [None]
        if not isinstance(platform, Keyword) or platform.name not in _PLATFORMS:
            wanted = "(:linux NAME …), (:darwin NAME …) or (:windows NAME …)"
            raise FormError(f"{wanted} is wanted here, not {shown(unquoted(model))}", model)
        if not names:
            raise FormError(f"{platform} needs at least one name", model)
        if platform.name in found:
            raise FormError(f"the platform {platform} is there twice", model)
        found[platform.name] = names
    return found


_LIBRARY_NAME = some(lambda model: isinstance(unquoted(model), (Symbol, String))).named("a library's name")
#: the name of a library that is being defined
DEFINED_LIBRARY = _LIBRARY_NAME >> (lambda model: str(unquoted(model)))
_PLATFORM = some(is_list).named("a platform (:linux NAME …)")
PLATFORMS = _PLATFORM + many(_PLATFORM) >> (lambda found: _platforms([found[0], *found[1]]))
