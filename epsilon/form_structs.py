"""The forms that define types: structs and unions, enums and flags, and a user's own types."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from funcparserlib.parser import Parser, many
from hy.model_patterns import FORM, whole
from hy.models import Expression, Integer, Keyword, List, String, Symbol, Tuple

from epsilon.bodies import parse_body
from epsilon.errors import ForeignTypeError
from epsilon.form_fields import NAME
from epsilon.form_functions import PAIR, distinct
from epsilon.form_options import options
from epsilon.form_reading import value
from epsilon.form_types import FORM_NAMES, FormError, Type, Unknown, c_name, is_list, read_value_type, shown, unquoted
from epsilon.typesystem import array_of

# --- structs --------------------------------------------------------------------------------------------------------


_MEMBER_OPTIONS = ("bits", "packed", "align", "offset")


class MemberForm(NamedTuple):
    """A member, ``(NAME TYPE :OPTION VALUE …)``; the name is None for a nameless one."""

    symbol: Any
    name: str | None
    type: Type
    options: dict[str, Any]
    model: Any


def member_of(model: Any) -> MemberForm:
    bare = unquoted(model)
    if not is_list(model) or len(bare) < 2 or not isinstance(bare[0], Symbol):
        raise FormError(f"(NAME TYPE) is wanted here, not {shown(bare)}", model)
    if len(bare) > 2 and not isinstance(bare[2], Keyword):
        raise FormError(f"(NAME TYPE :OPTION VALUE …) is wanted here, not {shown(bare)}", model)
    (given,) = whole([options(*_MEMBER_OPTIONS)]).parse(bare[2:])
    name = None if bare[0] == Symbol("None") else c_name(bare[0])
    return MemberForm(bare[0], name, read_value_type(bare[1]), given, model)


def _aggregate(kind: str, fields: tuple) -> tuple[Symbol, str, dict, dict]:
    """The name of a struct or union, its definition in C, and by name or position the types and the options that C text
    does not say."""
    name, items = fields
    members = [member_of(with_itself(item, name, kind)) for item in items]
    distinct([found for found in members if found.name is not None])
    parts, special, given = [], {}, {}
    for index, found in enumerate(members):
        if array_of(found.type.ctype) is not None and array_of(found.type.ctype).counter is not None:
            raise FormError(f"the member {found.symbol}: {found.type.ctype.only_parameter}", found.model)
        key = index if found.name is None else found.name
        bits = found.options.get("bits")
        literal = isinstance(bits, Integer)
        parts.append(found.type.ctype.declare(found.name or "").rstrip() + (f" : {int(bits)}" if literal else "") + ";")
        others = {option: value for option, value in found.options.items() if option != "bits" or not literal}
        if others:
            given[key] = others
        if not found.type.sayable():
            special[key] = found.type.form
    return name, f"{kind} {c_name(name)} {{ {' '.join(parts)} }};", special, given


_OF_A_TAG = [Keyword(head) for head in ("struct", "union", "enum", "flags")]


def with_itself(item: Any, name: Symbol, kind: str) -> Any:
    """A member in whose type ``name`` means the struct that is being defined, not a variable."""

    def inside(model: Any) -> Any:
        if model == name:
            return Expression([Keyword(kind), name]).replace(model)
        if not is_list(model) or (len(model) == 2 and model[0] in _OF_A_TAG):
            return model
        return type(model)(map(inside, model)).replace(model, False)

    bare = unquoted(item)
    return type(bare)([bare[0], inside(bare[1]), *bare[2:]]).replace(item, False) if len(bare) > 1 else item


def definition(kind: str) -> Parser:
    """The name and the members of a ``"struct"`` or ``"union"``, as ``_aggregate`` gives them."""
    items = PAIR + many(PAIR) >> (lambda found: [found[0], *found[1]])
    return (NAME + items) >> (lambda fields: _aggregate(kind, fields))


#: what a header is asked for
_NAMED_STRUCT = re.compile(r"\s*(?:(?:struct|union)\s+)?[A-Za-z_]\w*\s*;?\s*")


def _auto(fields: tuple[Any, dict[str, Any]]) -> tuple[Any, dict[str, Any]]:
    """The declaration and the options of ``define-c-struct-auto``; without members it needs a header."""
    text, found = fields
    if isinstance(text, String) and _NAMED_STRUCT.fullmatch(text) and "header" not in found:
        raise FormError(f"{shown(text)} has no members; the option :header names the header that has them", text)
    return text, found


def _c_definition(model: Any) -> Any:
    """A struct's C text; a literal is read already here, so that a mistake is found where it is written."""
    if isinstance(model, String) and not _NAMED_STRUCT.fullmatch(model):
        try:
            parse_body(str(model), lambda body: Unknown(f"{body.kind} {body.tag or 'anonymous'}", True), FORM_NAMES)
        except ForeignTypeError as error:
            raise FormError(str(error), model) from None
    return model


C_DEFINITION = value("the struct's declaration in C") >> _c_definition
STRUCT_OPTIONS = options("packed", "align", "header")
AUTO_DEFINITION = (C_DEFINITION + options("header", "packed", "align")) >> _auto


# --- enums and users' types -------------------------------------------------------------------------------------------


def _constants(models: list) -> tuple[List, Any]:
    """The constants of an enum as a form, and the form of its type, or None."""
    kind, seen = None, set()
    if len(models) > 2 and models[-2] == Keyword("type"):
        kind = read_value_type(models[-1]).form
        models = models[:-2]
    constants = List([])
    for model in models:
        bare = unquoted(model)
        name, *value = bare if is_list(model) and len(bare) == 2 else [bare]
        if not isinstance(name, (Keyword, Symbol)):
            raise FormError(f":NAME or (:NAME VALUE) is wanted here, not {shown(bare)}", model)
        text = name.name if isinstance(name, Keyword) else str(name)
        plain = text.replace("-", "_")
        if not plain.isidentifier() or plain in seen:
            raise FormError(f"{name} is {'there twice' if plain in seen else 'no C name'}", name)
        seen.add(plain)
        constants += List([Tuple([String(text), *value]) if value else String(text)])
    return constants, kind


def _flags(found: tuple[List, Any], models: list) -> tuple[List, Any]:
    for constant, model in zip(found[0], models, strict=False):
        if not isinstance(constant, Tuple):
            raise FormError(f"a flag has a value, (:NAME VALUE), and {shown(model)} has none", model)
    return found


_CONSTANT = FORM.named("a constant, :NAME or (:NAME VALUE),")
_CONSTANT_MODELS = _CONSTANT + many(FORM) >> (lambda found: [found[0], *found[1]])
#: the constants of an enum and its type
CONSTANTS = _CONSTANT_MODELS >> _constants
FLAGS = _CONSTANT_MODELS >> (lambda models: _flags(_constants(models), models))


def _foreign_type(found: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    if "base" not in found:
        raise FormError("the option :base is missing", None)
    return read_value_type(found.pop("base")).form, found


#: of ``define-foreign-type``: the base's form, and the functions
FOREIGN_TYPE = options("base", "to-foreign", "from-foreign") >> _foreign_type
