"""What the forms of ``macros.hy`` are made of: patterns for their fields, and the C declarations that they mean.

A pattern is a parser of ``hy.model_patterns`` that also reads what it matches: ``TYPE`` gives a ``Type``,
``PARAMETERS`` a list of :class:`Parameter`.  :func:`read` applies patterns to a macro's arguments and turns a mistake
into Hy's own syntax error at the line and column of the user's field.  All of this runs where a form is expanded, never
at run time.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import hy
from funcparserlib.parser import NoParseError, Parser, finished, many, maybe, some
from hy.errors import HySyntaxError
from hy.model_patterns import FORM, KEYWORD, whole
from hy.models import Dict, Expression, Float, Integer, Keyword, List, String, Symbol, Tuple

from epsilon.arenas import KINDS
from epsilon.bodies import parse_body
from epsilon.callbacks import THREADS
from epsilon.errors import ForeignError, ForeignTypeError, nearest
from epsilon.form_types import (
    FORM_NAMES,
    FormError,
    Type,
    Unknown,
    c_name,
    is_ellipsis,
    is_list,
    looks_like_type,
    looks_like_types,
    noted,
    read_result,
    read_types,
    read_value_type,
    shown,
    type_name,
    unquoted,
)
from epsilon.options import CHECKS, OF_ONE, OPTIONS
from epsilon.signatures import ABIS
from epsilon.typesystem import WORDS, FunctionType, array_of, bounded, counter_index, way_of


def read(compiler: Any, macro: str, fields: Sequence[Any], patterns: Sequence[Parser]) -> Any:
    """What ``patterns`` read of the ``fields`` of a call of ``macro``.

    Raises ``HySyntaxError`` where the user's field is that is wrong.
    """
    try:
        return whole(patterns).parse(fields)
    except NoParseError as error:
        message, model = _mismatch(fields, error)
        message += f"\nThe form is {_usage(macro)}"
    except FormError as error:
        message, model = str(error), error.model
    raise _fault(compiler, macro, message, model)


def _fault(compiler: Any, macro: str, message: str, model: Any) -> HySyntaxError:
    """What is wrong with a form, at the field that it is wrong in, or at the whole call."""
    if not hasattr(model, "_start_line"):
        model = getattr(compiler, "this", None)
    filename, source = getattr(compiler, "filename", None), getattr(compiler, "source", None)
    return HySyntaxError(f"{macro}: {message}", model, filename, source)


def _mismatch(fields: Sequence[Any], error: NoParseError) -> tuple[str, Any]:
    """What a pattern wanted, and the model that it met instead."""
    place, wanted = error.state.max, getattr(error.state.parser, "name", finished.name)
    if place >= len(fields):
        return f"the form ends where {wanted} is wanted", None
    if wanted == finished.name:
        return f"{shown(fields[place])} is not wanted here", fields[place]
    return f"{wanted} is wanted here, not {shown(fields[place])}", fields[place]


def _usage(macro: str) -> str:
    """How ``macro`` is written: the first line of its docstring."""
    import epsilon.macros

    return epsilon.macros._hy_macros[hy.mangle(macro)].__doc__.splitlines()[0]


# --- names ----------------------------------------------------------------------------------------------------------


def _symbols(model: Any) -> list[String]:
    names = [model] if isinstance(model, String) else list(unquoted(model))
    if not names:
        raise FormError("the C symbol's name is missing", model)
    for name in names:
        if not isinstance(name, String) or not name or "\0" in name:
            raise FormError(f"a C symbol's name is a string, not {shown(name)}", name)
    return names


def any_form(what: str) -> Parser:
    """Any form; ``what`` says what is wanted."""
    return some(lambda model: True).named(what)


def value(what: str) -> Parser:
    """Any form but a keyword, which would be an option or a type."""
    return some(lambda model: not isinstance(model, Keyword)).named(what)


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


def _word(model: Any) -> Any:
    """A name given as a keyword, a quoted symbol or a string, as a str; any other form as it is."""
    bare = unquoted(model)
    if isinstance(bare, Keyword):
        return bare.name
    return str(bare) if isinstance(bare, String) or (isinstance(bare, Symbol) and bare is not model) else model


REGISTERED = any_form("the signature's name") >> _word


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


TYPE = any_form("a type") >> read_value_type
#: of ``from-buffer``, whose one option is ``:copy``: an array's shape, and its elements' C type or dtype
SHAPE = maybe(value("a shape"))
DTYPE = maybe(some(lambda model: model != Keyword("copy")).named("a type") >> (lambda model: _dtype(model)))
RESULT = any_form("the result's type") >> read_result
CHECKED_RESULT = any_form("the result's type") >> _checked_result
#: a pointer, and in either order the index and the type of the element, of which one or both may be missing
ELEMENT = (value("a pointer") + many(FORM)) >> _element
#: a list of types, and nothing that could be another list
TYPES = some(looks_like_types).named("a list of parameter types") >> (lambda model: _types(model))
#: an instance's type: what define-c-struct made
STRUCT = some(lambda model: isinstance(unquoted(model), (Symbol, Expression)) and not _spells_type(model))
STRUCT = STRUCT.named("a struct type") >> unquoted


class Named(NamedTuple):
    """A function whose symbol is a literal, and the form of its library."""

    symbol: String
    library: Any


_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def _is_pair(model: Any) -> bool:
    bare = unquoted(model)
    if not is_list(model) or len(bare) != 2 or isinstance(bare[1], Keyword):
        return False
    return isinstance(bare[0], String) and bool(_IDENTIFIER.fullmatch(bare[0]))


def _pair(model: Any) -> Any:
    """A literal pair as a tuple whose elements are evaluated; any other form as it is."""
    bare = unquoted(model)
    return Tuple(bare) if is_list(model) and len(bare) == 2 and isinstance(bare[0], String) else model


def _spells_type(model: Any) -> bool:
    return isinstance(unquoted(model), Keyword) or (is_list(model) and looks_like_type(model))


FUNCTION = some(_is_pair).named('("symbol" LIBRARY)') >> (lambda model: Named(*unquoted(model)))
TARGET = value('("symbol" LIBRARY)') >> _pair
#: a result's type and a list of parameter types, both known here
TYPED = (some(looks_like_type).named("the result's type") >> read_result) + TYPES
_RESULT_ALONE = (some(_spells_type) >> read_result) + value("a list of parameter types")
#: what stands for a signature at run time, as forms: types, or one registered name
SIGNATURE = (
    (TYPED >> (lambda found: [found[0].form, type_list(found[1])]))
    | (_RESULT_ALONE >> (lambda found: [found[0].form, found[1]]))
    | (value("a registered name") >> (lambda model: [_word(model)]))
).named("the result's type, or a registered name,")
#: what shared-call calls, with literal types or without
CALLED = ((FUNCTION + (TYPED >> list)) | (TARGET + SIGNATURE)).named('a function, ("symbol" LIBRARY),')

#: what call-async calls: a function, or what shared-call calls
CALLED_ASYNC = (((some(_is_pair) >> _pair) + SIGNATURE) >> (lambda found: [found[0], *found[1]])) | (
    value("a function") >> (lambda model: [model])
)


def type_list(types: tuple[list[Type], bool]) -> List:
    """The form of a list of types."""
    return hy.as_model([found.form for found in types[0]] + ["..."] * types[1])


# --- parameters and members -----------------------------------------------------------------------------------------


class Parameter(NamedTuple):
    """A parameter or a member, ``(NAME TYPE)``; of ``...`` the type is None."""

    symbol: Any
    name: str
    type: Any
    model: Any


def _parameter(model: Any) -> Parameter:
    if is_ellipsis(model):
        return Parameter(None, "...", None, model)
    bare = unquoted(model)
    if not is_list(model) or len(bare) != 2 or not isinstance(bare[0], Symbol):
        raise FormError(f"(NAME TYPE) is wanted here, not {shown(bare)}", model)
    return Parameter(bare[0], c_name(bare[0]), read_value_type(bare[1]), model)


def _distinct(parameters: list[Parameter]) -> list[Parameter]:
    seen: set[str] = set()
    for parameter in parameters:
        if "..." in seen:
            raise FormError("nothing comes after ...", parameter.model)
        if parameter.name in seen:
            raise FormError(f"{parameter.symbol} is there twice", parameter.model)
        seen.add(parameter.name)
    return parameters


def lengths(parameters: list[Parameter]) -> frozenset[int]:
    """The parameters, as indices, that the arrays among them fill in: those that have the lengths of arguments."""
    typed = [found for found in parameters if found.type is not None]
    filled = set()
    for parameter in typed:
        array = array_of(parameter.type.ctype)
        if array is None or array.counter is None:
            continue
        try:
            what = shown(parameter.symbol) if parameter.symbol else parameter.type.ctype.spelling
            index = counter_index(array.counter, len(typed), [found.name for found in typed], what)
        except ForeignTypeError as error:
            raise FormError(str(error), parameter.model) from None
        if way_of(parameter.type.ctype) != "out":
            filled.add(index)
    return frozenset(filled)


def _with_lengths(parameters: list[Parameter]) -> list[Parameter]:
    lengths(parameters)
    return parameters


def _named_types(model: Any) -> list[Parameter]:
    found = _with_lengths(_distinct([_parameter(item) for item in unquoted(model)]))
    if found and found[-1].type is None:
        raise FormError("a callback cannot be variadic: C does not say what it passed", found[-1].model)
    return found


_PAIR = some(is_list).named("(NAME TYPE)")
#: the parameters of a function, one after the other
PARAMETERS = many((_PAIR | some(is_ellipsis)) >> _parameter) >> _distinct >> _with_lengths
#: the parameters of a callback, in a list of their own
PARAMETER_LIST = some(is_list).named("a list of parameters, ((NAME TYPE) …)") >> _named_types


def prototype(name: str, result: Type, parameters: Iterable[Parameter]) -> tuple[str, dict]:
    """The C declaration of a function, and by position (or ``"result"``) the types that C text does not say."""
    parts, special = [], {}
    parameters = list(parameters)
    _check_counts(result, parameters)
    for index, parameter in enumerate(parameters):
        if parameter.type is None:
            parts.append("...")
            continue
        parts.append(parameter.type.ctype.declare(parameter.name).rstrip())
        if not parameter.type.sayable(parameter=True):
            special[index] = parameter.type.form
    if not result.sayable():
        special["result"] = result.form
    inner = ", ".join(parts) or "void"
    return result.ctype.declare(f"{name}({inner})") + ";", special


def held(
    compiler: Any, macro: str, fields: Sequence[Any], symbols: list, result: Type, parameters: list[Parameter],
    options: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The options of ``defshared`` but ``:header``, which is asked now: a difference is an error at that field."""
    header = options.get("header")
    if header is None:
        return options
    from epsilon.headers.holding import hold

    bare = unquoted(header)
    named = [unquoted(each) for each in (bare if is_list(bare) else [bare])]
    if not named or not all(isinstance(each, String) for each in named):
        raise _fault(compiler, macro, f"a header is a string, or a list of them, not {shown(bare)}", header)
    types = [found.type.ctype for found in parameters if found.type is not None]
    variadic = len(types) < len(parameters)
    spots = {index: found.model for index, found in enumerate(parameters)}
    spots.update(result=fields[3], whole=None)
    names = [found.name for found in parameters if found.type is not None]

    def warn(message: str) -> None:
        line = getattr(getattr(compiler, "this", None), "start_line", 0)
        warnings.warn_explicit(message, UserWarning, getattr(compiler, "filename", None) or "<hy>", line)

    try:
        findings = hold(
            list(map(str, symbols)), FunctionType(result.ctype, tuple(types), variadic), names, list(map(str, named)),
            spots, warn,
        )  # fmt: skip
    except ForeignError as error:
        raise _fault(compiler, macro, str(error), header) from None
    if findings:
        raise _fault(compiler, macro, findings[0].message, findings[0].spot)
    return {name: value for name, value in options.items() if name != "header"}


def _check_counts(result: Type, parameters: list[Parameter]) -> None:
    """Refuse a ``:count`` in a parameter that there is none of."""
    typed = [found for found in parameters if found.type is not None]
    types = tuple(found.type.ctype for found in typed)
    for index, pointer in bounded(result.ctype, types).items():
        if isinstance(pointer.counter, str):
            what = "the result" if index < 0 else shown(typed[index].symbol)
            try:
                counter_index(pointer.counter, len(typed), [found.name for found in typed], what)
            except ForeignTypeError as error:
                raise FormError(str(error), result.form if index < 0 else typed[index].model) from None


def nameless(types: tuple[list[Type], bool]) -> list[Parameter]:
    """Parameters of which only the types are known."""
    return [Parameter(None, "", found, None) for found in types[0]] + [Parameter(None, "...", None, None)] * types[1]


def declaration(symbols: list[String], result: Type, parameters: Iterable[Parameter]) -> tuple[str, dict[str, Any]]:
    """A function's declaration in C, and what ``_runtime.bind`` takes beside it: what C cannot say."""
    plain = _IDENTIFIER.fullmatch(symbols[0])
    text, special = prototype(symbols[0] if plain else c_name(symbols[0]), result, parameters)
    return text, {"special": special, "symbols": None if plain and len(symbols) == 1 else symbols}


def _types(model: Any) -> tuple[list[Type], bool]:
    """A list of types without names."""
    found = read_types(model)
    lengths([parameter._replace(model=model) for parameter in nameless(found)])
    return found


def inputs(parameters: Iterable[Parameter]) -> list[Symbol]:
    """The parameters that a callback's body receives: all but ``(:out T)``, which it returns, and the lengths of the
    arrays that it receives."""
    parameters = list(parameters)
    known = lengths(parameters)
    return [
        found.symbol
        for index, found in enumerate(parameters)
        if way_of(found.type.ctype) != "out" and index not in known
    ]


def _native_options(found: dict[str, Any]) -> dict[str, Any]:
    """The options of a callback; ``:native`` says what its body is, and is a literal."""
    native = found.get("native", Symbol("False"))
    if native not in (Symbol("True"), Symbol("False")):
        raise FormError(f":native is True or False, not {shown(native)}", native)
    found["native"] = native == Symbol("True")
    for name in ("thread", "give", "abi"):
        if found["native"] and name in found:
            raise FormError(f":{name} is for a callback in Python; native code runs where C calls it", None)
    if found["native"] and "export" in found:
        raise FormError(":export is for a callback in Python; native code is exported by its own name", None)
    return found


def docstring(body: list) -> tuple[Any, list]:
    """The string before other forms, which is the docstring, and those forms."""
    return (body[0], body[1:]) if len(body) > 1 and isinstance(body[0], String) else (None, body)


def native_body(
    compiler: Any, macro: str, name: Symbol, result: Type, parameters: list[Parameter], body: list, on_error: Any
) -> tuple[Any, Any, Any]:
    """The docstring of a native, its body as text, and the form of what gives the objects of the names in it."""
    from epsilon.native.expanding import read_body

    doc, models = docstring(body)

    def work(_: Any) -> Any:
        answer = None if on_error is None else _answer(on_error)
        return read_body(compiler, name, result, parameters, models, answer)

    found = read(compiler, macro, [Symbol("body")], [any_form("a body") >> work])[0]
    return doc, found.text, found.scope


def _answer(model: Any) -> Any:
    bare = unquoted(model)
    if isinstance(bare, (Integer, Float)):
        return int(bare) if isinstance(bare, Integer) else float(bare)
    words = {"None": None, "True": True, "False": False}
    if isinstance(bare, Symbol) and str(bare) in words:
        return words[str(bare)]
    raise FormError(f"what a native gives on an error is a number, not {shown(bare)}", model)


# --- structs --------------------------------------------------------------------------------------------------------


_MEMBER_OPTIONS = ("bits", "packed", "align", "offset")


class MemberForm(NamedTuple):
    """A member, ``(NAME TYPE :OPTION VALUE …)``; the name is None for a nameless one."""

    symbol: Any
    name: str | None
    type: Type
    options: dict[str, Any]
    model: Any


def _member_of(model: Any) -> MemberForm:
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
    members = [_member_of(_with_itself(item, name, kind)) for item in items]
    _distinct([found for found in members if found.name is not None])
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


def _with_itself(item: Any, name: Symbol, kind: str) -> Any:
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
    items = _PAIR + many(_PAIR) >> (lambda found: [found[0], *found[1]])
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


# --- options --------------------------------------------------------------------------------------------------------


def options(*names: str) -> Parser:
    """Options of these names: keywords, each with a value; a dict by name."""

    def check(pairs: list[tuple[Keyword, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name.name not in names:
                raise FormError(_unknown_option(name, names), name)
            if name.name in found:
                raise FormError(f"the option {name} is there twice", name)
            if value is None or (isinstance(value, Keyword) and value.name in names):
                raise FormError(f"the option {name} needs a value", name)
            found[name.name] = _WORDS[name.name](value) if name.name in _WORDS else value
        return found

    return many(KEYWORD + maybe(FORM)) >> check


def _unknown_option(name: Keyword, names: Sequence[str]) -> str:
    if name.name in WORDS:
        return f"{name} is a type, and stands where an option may; a parameter is (NAME TYPE)"
    listed = [f":{known}" for known in names]
    return f"unknown option {name}{_near(str(name), listed)} The options are {', '.join(listed)}"


def _near(word: str, known: Sequence[str]) -> str:
    return nearest(word, known) or "."


def _one_of(what: str, words: Sequence[str]) -> Any:
    """The reader of an option whose value is one of ``words``, bare or not, or a form that gives it."""

    def read_word(model: Any) -> Any:
        bare = unquoted(model)
        text = bare.name if isinstance(bare, Keyword) else str(bare) if isinstance(bare, (Symbol, String)) else None
        found = None if text is None else next((word for word in words if _dashed(word) == _dashed(text)), None)
        if found is not None:
            return found
        if text is not None and not isinstance(bare, Symbol):
            raise FormError(f"unknown {what} {shown(bare)}{_near(text, words)} There are {', '.join(words)}", model)
        return model

    return read_word


def _dashed(word: str) -> str:
    return word.replace("_", "-")


def _thread(model: Any) -> Any:
    """A thread policy, or a form that gives an asyncio loop; a bare symbol is a variable."""
    return model if isinstance(model, Symbol) else _one_of("thread policy", THREADS)(model)


_WORDS = {
    "check": _one_of("check", CHECKS),
    "abi": _one_of("calling convention", ABIS),
    "thread": _thread,
    "kind": _one_of("kind of arena", KINDS),
}
#: of ``define-foreign-type``: the base's form, and the functions
FOREIGN_TYPE = options("base", "to-foreign", "from-foreign") >> _foreign_type
CALLBACK_OPTIONS = options("on-error", "thread", "give", "abi")
#: of ``defcallback`` and of ``defnative``, whose body may become machine code
BODY_OPTIONS = options("on-error", "thread", "give", "abi", "native", "export") >> (
    lambda found: _native_options(found)
)
NATIVE_OPTIONS = options("critical", "on-error")
FUNCTION_OPTIONS = options(*OPTIONS)
STRUCT_OPTIONS = options("packed", "align", "header")
AUTO_DEFINITION = (C_DEFINITION + options("header", "packed", "align")) >> _auto
#: where ``:count`` may also stand without its name
COUNT = maybe(value("a count"))


def default_check(result: Type) -> str:
    """What ``defshared-with-errno`` checks where the form does not say it."""
    return "non-null" if result.ctype.is_pointer else "nonnegative"


def keywords(**values: Any) -> list:
    """The keyword arguments of a call, as forms; None and an empty dict mean that there is none."""
    forms: list = []
    for name, value in values.items():
        if value is not None and value != {}:
            forms += [Keyword(name), hy.as_model(value)]
    return forms


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


# --- bindings of the with- forms ------------------------------------------------------------------------------------


def bindings(spelling: str, *fields: Parser) -> Parser:
    """One binding ``(NAME …)`` or a list of them, as a list of what ``fields`` give."""

    def parse(model: Any) -> list[tuple]:
        bare = unquoted(model)
        several = bool(bare) and not isinstance(bare[0], Symbol)
        return [one(item) for item in (bare if several else [model])]

    def one(model: Any) -> tuple:
        if not is_list(model):
            raise FormError(f"{spelling} is wanted here, not {shown(model)}", model)
        bare = unquoted(model)
        try:
            return whole(fields).parse(bare)
        except NoParseError as error:
            message, wrong = _mismatch(bare, error)
            raise FormError(f"{message}\nA binding is {spelling}", model if wrong is None else wrong) from None

    return some(is_list).named(f"a binding {spelling}, or a list of them") >> parse


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
