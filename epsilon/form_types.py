"""Types as a Hy form spells them: the C text that says them, and the form that gives them at run time.

Whatever is wrong is a :class:`FormError` with the model that it is wrong in, so that the macro can point at it.  A
variable, such as a struct type that the same file defines, means something at run time only: an :class:`Unknown` stands
for it here.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import hy
from hy.models import Expression, Integer, Keyword, List, String, Symbol, Tuple

from epsilon.declarator import Names, parse_type
from epsilon.errors import ForeignTypeError, nearest
from epsilon.expressions import ctype
from epsilon.typesystem import (
    NAMED,
    TYPEDEFS,
    WORDS,
    Array,
    Buffer,
    Converted,
    CType,
    Direction,
    FunctionPointer,
    Handed,
    Object,
    OwnedPointer,
    Pointer,
    StructCType,
)
from epsilon.typesystem import String as StringType


class FormError(Exception):
    """A mistake in a form: what is wrong, and the model that it is wrong in."""

    def __init__(self, message: str, model: Any):
        super().__init__(message)
        self.model = model


def shown(model: Any) -> str:
    """A model as its user wrote it."""
    return hy.repr(model).removeprefix("'")


def unquoted(model: Any) -> Any:
    """``model`` without the quote that classic Lisp spelling puts before it."""
    while isinstance(model, Expression) and len(model) == 2 and model[0] == Symbol("quote"):
        model = model[1]
    return model


def is_dotted(model: Any) -> bool:
    """Whether ``model`` is a dotted name such as ``shapes.point``."""
    return isinstance(model, Expression) and len(model) > 1 and model[0] == Symbol(".")


def is_list(model: Any) -> bool:
    """Whether ``model`` is a list in parentheses or brackets, quoted or not."""
    return isinstance(unquoted(model), (Expression, List, Tuple)) and not is_dotted(unquoted(model))


#: C11 §6.4.1, and the words of <stdbool.h> that cffi knows
_KEYWORDS = frozenset(
    "auto bool break case char const continue default do double else enum extern float for goto if inline int long "
    "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while "
    "_Alignas _Alignof _Atomic _Bool _Complex _Generic _Imaginary _Noreturn _Static_assert _Thread_local".split()
)


def c_name(name: Any) -> str:
    """The C identifier for a Lisp name; a word that C keeps for itself gets a ``_``.

    >>> c_name("file-name"), c_name("long")
    ('file_name', 'long_')
    """
    mangled = re.sub(r"[^A-Za-z0-9_]", lambda found: f"_{ord(found[0]):x}_", hy.mangle(name))
    return f"{mangled}_" if mangled in _KEYWORDS or mangled in TYPEDEFS else mangled


class Unknown(CType):
    """Stands for a type that only run time knows; ``said`` tells whether its C text says all there is to say."""

    __slots__ = ("said", "text")
    only_run_time = True

    def setup(self, text: str, said: bool) -> None:
        self.text, self.said = text, said
        self.code, self.size, self.alignment = "s", 1, 1

    def declare(self, inner: str = "") -> str:
        return f"{self.text} {inner}"


#: C name → what stands for the type of a user's that a form before this one defines, when the program runs
noted: dict[str, CType] = {}


class FormNames(Names):
    """What the names in the C text of a form mean."""

    typedefs = ChainMap(noted, TYPEDEFS, NAMED)

    def struct(self, kind: str, tag: str) -> CType:
        return Unknown(f"{kind} {tag}", True)  # whichever the program defines, and it may lie in arrays


FORM_NAMES = FormNames()


def type_name(symbol: Symbol) -> Symbol:
    """The name of a type that a form defines; from here on the name is known, though the type is not."""
    name = str(symbol)
    plain = hy.mangle(name)
    if name in WORDS or plain in _KEYWORDS or plain in TYPEDEFS or name in _COMPOUND:
        raise FormError(f"{name} is a type already, and cannot be defined as another", symbol)
    noted[c_name(name)] = Unknown(c_name(name), True)
    return symbol


class Type(NamedTuple):
    """A type as it was written: what is known of it here, and the form that gives it at run time."""

    ctype: CType
    form: Any
    #: False where an option or a length in it is known at run time only
    fixed: bool = True

    def sayable(self, parameter: bool = False) -> bool:
        """Whether C text says all of it, so that reading the text gives it back."""
        return self.fixed and _sayable(self.ctype, parameter)


def _sayable(found: CType, parameter: bool = False) -> bool:
    if isinstance(found, Unknown):
        return found.said
    if isinstance(found, (Buffer, Converted, Direction, Handed, Object, OwnedPointer)):
        return False
    if isinstance(found, StringType):
        return found is WORDS["string"]
    if isinstance(found, Array):  # as a parameter, C takes it for a pointer
        return not parameter and _sayable(found.target)
    if isinstance(found, FunctionPointer):
        own = found.target
        return own.abi == "default" and _sayable(own.result) and all(_sayable(each, True) for each in own.parameters)
    return _sayable(found.target) if isinstance(found, Pointer) else True


# --- reading --------------------------------------------------------------------------------------------------------


def read_type(model: Any) -> Type:
    """Read a type: a keyword, C text, a variable, or a compound such as ``(:pointer :int)``."""
    bare = unquoted(model)
    if isinstance(bare, Keyword):
        return _word(bare, model)
    if isinstance(bare, String):
        return _text(str(bare), model)
    if isinstance(bare, Symbol):
        return _symbol(bare, model)
    if is_dotted(bare):
        return _variable(bare[-1], bare)
    if _is_compound(bare):
        return _compound(bare, model)
    hint = ""
    if isinstance(bare, Expression) and bare and str(bare[0]) in _COMPOUND:
        hint = f"; a compound type begins with a keyword: (:{bare[0]} …)"
    raise FormError(f"{shown(bare)} is no type{hint}", model)


def read_value_type(model: Any) -> Type:
    """A type that has values."""
    found = read_type(model)
    if found.ctype is WORDS["void"]:
        raise FormError(f"{shown(unquoted(model))} has no values", model)
    return found


def read_result(model: Any) -> Type:
    """A type that a C function can return."""
    found = read_type(model)
    if isinstance(found.ctype, (Direction, Array, Buffer, Handed)):
        raise FormError(f"a C function cannot return {shown(unquoted(model))}", model)
    return found


def read_types(model: Any) -> tuple[list[Type], bool]:
    """The types of a parameter list without names, and whether ``...`` ends it."""
    items = list(unquoted(model))
    variadic = bool(items) and is_ellipsis(items[-1])
    return [read_value_type(item) for item in (items[:-1] if variadic else items)], variadic


def is_ellipsis(model: Any) -> bool:
    return isinstance(model, (Symbol, String)) and str(model) == "..."


def looks_like_types(model: Any) -> bool:
    """Whether ``model`` is a list of what can only be types and variables."""
    return is_list(model) and all(map(looks_like_type, unquoted(model)))


def looks_like_type(model: Any) -> bool:
    bare = unquoted(model)
    return isinstance(bare, (Keyword, String, Symbol)) or is_dotted(bare) or _is_compound(bare)


def _is_compound(bare: Any) -> bool:
    return isinstance(bare, (Expression, List, Tuple)) and bool(bare) and isinstance(bare[0], (Keyword, String))


def _word(word: Keyword, model: Any) -> Type:
    known = _known(word.name)
    if known is not None:
        return Type(known, word.name)
    named = _user_type(word.name)
    if named is not None:
        return Type(named, word.name)
    if word.name in _COMPOUND:
        raise FormError(f"{word} alone is no type; it is written {_COMPOUND[word.name].spelling}", model)
    near = nearest(str(word), [f":{known}" for known in WORDS]) or "."
    raise FormError(f"unknown type {word}{near} A struct type is named without the colon", model)


def _known(word: str) -> CType | None:
    """The type that a single word means everywhere.  A struct's tag and a user's type mean something at run time only:
    what is defined in this process, that of the compiler, is beside the point."""
    if _user_type(word) is not None:
        return None
    try:
        found = ctype(word)
    except ForeignTypeError:
        return None
    return None if isinstance(found, StructCType) else found


def _user_type(word: str) -> CType | None:
    """What stands for the type that a user named so."""
    name = c_name(word.lstrip(":"))
    if name in NAMED and name not in noted:
        return Unknown(name, True)
    return noted.get(name)


def _text(text: str, model: Any) -> Type:
    if re.fullmatch(r":?[A-Za-z_][\w-]*", text):
        known = _known(text) or _user_type(text)
        return _variable(text.lstrip(":"), text) if known is None else Type(known, text)
    try:
        return Type(parse_type(text, FORM_NAMES), text)
    except ForeignTypeError as error:
        raise FormError(str(error), model) from None


#: the C types that are one word, and so look like variables
_C_WORDS = {"void", "char", "short", "int", "long", "float", "double", "signed", "unsigned", "bool", "_Bool"}


def _symbol(symbol: Symbol, model: Any) -> Type:
    name = str(symbol)
    if name in _C_WORDS or name in TYPEDEFS:
        return Type(ctype(name), name)
    if name in ("None", "True", "False", "..."):
        raise FormError(f"{name} is no type", model)
    return _variable(name, symbol)


def _variable(tag: Any, form: Any) -> Type:
    return Type(Unknown(f"struct {c_name(tag)}", False), form)


# --- compound types -------------------------------------------------------------------------------------------------


def _compound(bare: Sequence, model: Any) -> Type:
    head = bare[0].name if isinstance(bare[0], Keyword) else str(bare[0])
    shape = _COMPOUND.get(head)
    if shape is None:
        near = nearest(f":{head}", [f":{known}" for known in _COMPOUND])
        raise FormError(f"unknown compound type {shown(bare[0])}{near}", bare[0])
    arguments, options = _split(bare, shape)
    if len(arguments) < shape.fewest:
        raise FormError(f"{shown(bare)} is no type; it is written {shape.spelling}", model)
    found, forms, fixed = shape.read(head, arguments)
    for name in ("length", "count"):
        if name in options:
            options[name] = _parameter_name(options[name])
    literals = {name: _literal(value) for name, value in options.items()}
    known = {name: value for name, value in literals.items() if value is not RUN_TIME}
    if not isinstance(found, CType):
        try:
            found = ctype((head, *found, known) if known else (head, *found))
        except ForeignTypeError as error:
            raise FormError(str(error), model) from None
    given = {name: options[name] if value is RUN_TIME else value for name, value in literals.items()}
    return Type(found, (head, *forms, given) if given else (head, *forms), fixed and len(known) == len(given))


def _split(bare: Sequence, shape: Shape) -> tuple[list, dict[str, Any]]:
    """The arguments of a compound type, and its options."""
    items, options = list(bare[1:]), {}
    arguments = []
    while items and len(arguments) < shape.most and not _is_option(items[0], shape):
        arguments.append(items.pop(0))
    while items:
        name = items.pop(0)
        if not _is_option(name, shape):
            known = f"; its options are {', '.join(':' + known for known in shape.options)}" if shape.options else ""
            raise FormError(f"{shown(name)} is not wanted in {shown(bare)}{known}", name)
        if not items:
            raise FormError(f"the option {name} needs a value", name)
        options[name.name] = items.pop(0)
    return arguments, options


def _is_option(model: Any, shape: Shape) -> bool:
    return isinstance(model, Keyword) and model.name in shape.options


#: the value of a form that is no literal
RUN_TIME = object()


def _literal(model: Any) -> Any:
    """The value of a literal, or ``RUN_TIME``."""
    bare = unquoted(model)
    if isinstance(bare, Integer):
        return int(bare)
    if isinstance(bare, String):
        return str(bare)
    if isinstance(bare, Keyword):
        return bare.name
    return None if bare == Symbol("None") else RUN_TIME


def _of_types(head: str, arguments: list) -> tuple:
    parts = [read_value_type(argument) if head != "pointer" else read_type(argument) for argument in arguments]
    return [part.ctype for part in parts], [part.form for part in parts], all(part.fixed for part in parts)


def _of_tag(head: str, arguments: list) -> tuple:
    name = unquoted(arguments[0])
    if not isinstance(name, (Symbol, String, Keyword)) or not name:
        raise FormError(f"the tag of a {head} is a name, not {shown(name)}", arguments[0])
    tag = c_name(name.name if isinstance(name, Keyword) else name)
    return Unknown(f"{head} {tag}", True), [tag], True


def _of_enum(head: str, arguments: list) -> tuple:
    """The name of an enum's variable, or its tag: which of them there is, run time knows."""
    name = unquoted(arguments[0])
    if is_dotted(name):
        return Unknown(f"enum {c_name(name[-1])}", False), [name], False
    if not isinstance(name, (Symbol, String, Keyword)) or not name:
        raise FormError(f"the name of {head} is a name, not {shown(name)}", arguments[0])
    tag = c_name(name.name if isinstance(name, Keyword) else name)
    form: Any = tag
    if isinstance(name, Symbol):
        form = Expression([_ENUMERATION, tag, Expression([Symbol("fn"), List(), name])])
    return Unknown(f"enum {tag}", False), [form], False


_ENUMERATION = hy.read('(. (__import__ "epsilon._runtime") _runtime enumeration)')


def _of_array(head: str, arguments: list) -> tuple:
    element = read_value_type(arguments[0])
    known, forms = [element.ctype], [element.form]
    if isinstance(element.ctype, Unknown) and not element.ctype.said:
        known = [Unknown("char", False)]  # whatever its size is: C text has no array of what may be no struct
    if len(arguments) == 1:
        return known, forms, element.fixed
    length = _literal(arguments[1])
    if length is RUN_TIME:
        return known, [*forms, arguments[1]], False
    return [*known, length], [*forms, length], element.fixed


def _parameter_name(model: Any) -> Any:
    """The parameter that has an array's length: a name, or an index."""
    bare = unquoted(model)
    if isinstance(bare, (Symbol, String)) and bare and bare not in (Symbol("None"), Symbol("True"), Symbol("False")):
        return String(c_name(bare))
    if isinstance(bare, Integer) and bare >= 0:
        return bare
    raise FormError(f"the parameter that has the length is named by a symbol, not by {shown(bare)}", model)


def _of_buffer(head: str, arguments: list) -> tuple:
    words = [_literal(argument) for argument in arguments]
    return words, words, True


def _of_function(head: str, arguments: list) -> tuple:
    result = read_result(arguments[0])
    if not is_list(arguments[1]):
        raise FormError(f"a list of parameter types is wanted here, not {shown(arguments[1])}", arguments[1])
    types, variadic = read_types(arguments[1])
    ellipsis = ["..."] * variadic
    known = [result.ctype, [*(found.ctype for found in types), *ellipsis]]
    forms = [result.form, [*(found.form for found in types), *ellipsis]]
    return known, forms, result.fixed and all(found.fixed for found in types)


class Shape(NamedTuple):
    """How a compound type is written, and what reads it: ``(arguments for ctype, forms, fixed)``."""

    read: Callable[[str, list], tuple]
    fewest: int
    most: int
    spelling: str
    options: tuple[str, ...] = ()


_COMPOUND = {
    "pointer": Shape(_of_types, 0, 1, "(:pointer TYPE)", ("free", "count")),
    "in": Shape(_of_types, 1, 1, "(:in TYPE)"),
    "out": Shape(_of_types, 1, 1, "(:out TYPE)"),
    "inout": Shape(_of_types, 1, 1, "(:inout TYPE)"),
    "give": Shape(_of_types, 1, 1, "(:give TYPE)"),
    "keep": Shape(_of_types, 1, 1, "(:keep TYPE)"),
    "struct": Shape(_of_tag, 1, 1, "(:struct TAG)"),
    "union": Shape(_of_tag, 1, 1, "(:union TAG)"),
    "enum": Shape(_of_enum, 1, 1, "(:enum NAME)"),
    "flags": Shape(_of_enum, 1, 1, "(:flags NAME)"),
    "array": Shape(_of_array, 1, 2, "(:array TYPE LENGTH) or (:array TYPE :length PARAMETER)", ("length",)),
    "string": Shape(_of_types, 0, 0, "(:string :encoding …)", ("encoding", "errors", "free")),
    "buffer": Shape(_of_buffer, 0, 1, "(:buffer :writable)"),
    "function": Shape(_of_function, 2, 2, "(:function RESULT (TYPE …))", ("abi",)),
}
