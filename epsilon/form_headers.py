"""The forms that take what C says: blocks of declarations, and headers."""

from __future__ import annotations

from typing import Any

from hy.models import Dict, Integer, Keyword, List, String, Symbol

from epsilon.errors import ForeignTypeError
from epsilon.form_options import options
from epsilon.form_reading import value
from epsilon.form_types import FormError, c_name, is_list, noted, read_value_type, shown, unquoted
from epsilon.options import OF_ONE, OPTIONS

# --- blocks of C declarations ---------------------------------------------------------------------------------------


def _c_block(model: Any) -> Any:
    """C text; a literal is read already here, so that a mistake is found where it is written."""
    if isinstance(model, String):
        from epsilon.bindings import check_text

        try:
            check_text(str(model), noted)
        except ForeignTypeError as error:
            raise FormError(str(error), model) from None
    return model


def _block_options(found: dict[str, Any]) -> dict[str, Any]:
    for wanted in ("library", "as"):
        if wanted not in found:
            raise FormError(f"the option :{wanted} is missing", None)
    if not isinstance(found["as"], Symbol):
        raise FormError(f"a name (a symbol) is wanted after :as, not {shown(found['as'])}", found["as"])
    return found


C_BLOCK = value("C declarations (a string)") >> _c_block
#: of ``declare-c``: where the declarations are bound, under which name, and what holds for all functions
_OF_MANY = (name for name in OPTIONS if name not in OF_ONE)
BLOCK_OPTIONS = options("library", "as", "lazy", *_OF_MANY) >> _block_options


# --- headers --------------------------------------------------------------------------------------------------------


def _headers(model: Any) -> Any:
    """The name of a header, or a list of them; a literal is checked here."""
    named = list(model) if isinstance(model, List) else [model]
    for one in named:
        if isinstance(one, (Integer, Keyword)) or (isinstance(one, String) and not one) or not named:
            raise FormError(f"a header's name (a string) is wanted here, not {shown(one)}", one)
    if not named:
        raise FormError("a header is wanted here", model)
    return model


def _name_form(model: Any) -> Any:
    """A C name in a mapping: a symbol or a keyword is its name; any other form gives it."""
    bare = unquoted(model)
    if isinstance(bare, (Keyword, Symbol)):
        return String(c_name(bare.name if isinstance(bare, Keyword) else bare))
    return model


def _mapped(option: str, read_value: Any) -> Any:
    """The reader of an option whose value is a mapping of C names, or a form that gives it."""

    def read_mapping(model: Any) -> Any:
        if not isinstance(model, Dict):
            return model
        if len(model) % 2:
            raise FormError(f":{option} is a mapping, and its last name has no value", model)
        pairs = zip(model[::2], model[1::2], strict=True)
        return Dict([form for name, value in pairs for form in (_name_form(name), read_value(value))])

    return read_mapping


def _macro_types(model: Any) -> Any:
    """The types of a macro's parameters; a string that is no type of ours is one of the header's."""

    def one(item: Any) -> Any:
        try:
            return read_value_type(item).form
        except FormError:
            if isinstance(item, String):
                return item
            raise

    return List(map(one, unquoted(model))) if is_list(model) else model


def _header_options(found: dict[str, Any]) -> dict[str, Any]:
    if "as" not in found:
        raise FormError("the option :as is missing", None)
    if not isinstance(found["as"], Symbol):
        raise FormError(f"a name (a symbol) is wanted after :as, not {shown(found['as'])}", found["as"])
    for option, read_value in (("rename", _name_form), ("macros", _macro_types), ("defines", lambda model: model)):
        if option in found:
            found[option] = _mapped(option, read_value)(found[option])
    return found


HEADERS = value("a header's name, or a list of them") >> _headers
#: of ``import-header``: what is asked of the headers, and what holds for all functions
HEADER_OPTIONS = (
    options(
        "library", "as", "include", "exclude", "prefix", "rename", "cflags", "defines", "include-dirs", "pkg-config",
        "macros", *(name for name in OPTIONS if name not in (*OF_ONE, "optional")),
    )
    >> _header_options
)  # fmt: skip
