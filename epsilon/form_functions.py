"""The forms of functions: parameters, signatures, and the C prototype that they mean."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import hy
from funcparserlib.parser import many, some
from hy.models import Float, Integer, Keyword, List, String, Symbol, Tuple

from epsilon.errors import ForeignError, ForeignTypeError
from epsilon.form_fields import spells_type, word
from epsilon.form_options import options
from epsilon.form_reading import any_form, fault, read, value
from epsilon.form_types import (
    FormError,
    Type,
    c_name,
    is_ellipsis,
    is_list,
    looks_like_type,
    looks_like_types,
    read_result,
    read_types,
    read_value_type,
    shown,
    unquoted,
)
from epsilon.options import OPTIONS
from epsilon.typesystem import FunctionType, array_of, bounded, counter_index, way_of

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


def distinct(parameters: list[Parameter]) -> list[Parameter]:
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
    found = _with_lengths(distinct([_parameter(item) for item in unquoted(model)]))
    if found and found[-1].type is None:
        raise FormError("a callback cannot be variadic: C does not say what it passed", found[-1].model)
    return found


PAIR = some(is_list).named("(NAME TYPE)")
#: the parameters of a function, one after the other
PARAMETERS = many((PAIR | some(is_ellipsis)) >> _parameter) >> distinct >> _with_lengths
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
        raise fault(compiler, macro, f"a header is a string, or a list of them, not {shown(bare)}", header)
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
        raise fault(compiler, macro, str(error), header) from None
    if findings:
        raise fault(compiler, macro, findings[0].message, findings[0].spot)
    return {name: value for name, value in options.items() if name != "header"}


def default_check(result: Type) -> str:
    """What ``defshared-with-errno`` checks where the form does not say it."""
    return "non-null" if result.ctype.is_pointer else "nonnegative"


# --- calls ---------------------------------------------------------------------------------------------------------


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


FUNCTION = some(_is_pair).named('("symbol" LIBRARY)') >> (lambda model: Named(*unquoted(model)))
TARGET = value('("symbol" LIBRARY)') >> _pair
#: a list of types, and nothing that could be another list
TYPES = some(looks_like_types).named("a list of parameter types") >> _types
#: a result's type and a list of parameter types, both known here
TYPED = (some(looks_like_type).named("the result's type") >> read_result) + TYPES
_RESULT_ALONE = (some(spells_type) >> read_result) + value("a list of parameter types")
#: what stands for a signature at run time, as forms: types, or one registered name
SIGNATURE = (
    (TYPED >> (lambda found: [found[0].form, type_list(found[1])]))
    | (_RESULT_ALONE >> (lambda found: [found[0].form, found[1]]))
    | (value("a registered name") >> (lambda model: [word(model)]))
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


# --- options, and native bodies ------------------------------------------------------------------------------------


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


CALLBACK_OPTIONS = options("on-error", "thread", "give", "abi")
#: of ``defcallback`` and of ``defnative``, whose body may become machine code
BODY_OPTIONS = options("on-error", "thread", "give", "abi", "native", "export") >> _native_options
NATIVE_OPTIONS = options("critical", "on-error")
FUNCTION_OPTIONS = options(*OPTIONS)
