"""Type expressions: the one reader of every spelling a user may write, in Hy or in Python.

``"unsigned-long"``, ``":unsigned-long"``, ``"unsigned long"``, Hy's ``:unsigned-long``, ``("pointer", "int")``,
``["in", "int"]``, ``{"encoding": …}`` at the end of a tuple, a ``CType``, a ``StructType``: all come in here and go
out as an interned ``CType``.
"""

from __future__ import annotations

from _collections_abc import Sequence  # collections.abc, without all of collections

from epsilon.errors import ForeignTypeError, nearest, shorten
from epsilon.typesystem import (
    ENUMS,
    NAMED,
    TAGS,
    TYPEDEFS,
    WORDS,
    Array,
    Buffer,
    Converted,
    CountedPointer,
    CType,
    Direction,
    FunctionPointer,
    FunctionType,
    Handed,
    OwnedPointer,
    Pointer,
    String,
    StructCType,
    TypeObject,
    linked,
    owned_type,
    pointer_to,
    tagged,
)

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

_words: dict[str, CType] = dict(WORDS)


def ctype(expression: Any) -> CType:
    """The C type that ``expression`` means.

    Raises ``ForeignTypeError`` with the nearest known names for an unknown one.

    >>> ctype("unsigned-long"), ctype(":int"), ctype(("pointer", "int")), ctype("const char *")
    (<CType 'unsigned long'>, <CType 'int'>, <CType 'int *'>, <CType 'const char *'>)
    >>> ctype("unsigned-long") is ctype("unsigned long int")
    True
    >>> ctype("strig")
    Traceback (most recent call last):
    ...
    epsilon.errors.ForeignTypeError: unknown type 'strig'; did you mean 'string'?
    """
    if isinstance(expression, CType):
        return expression
    if type(expression) is str:
        found = _words.get(expression)
        return found if found is not None else _from_text(expression)
    own = getattr(expression, "ctype", None)
    if isinstance(own, CType) and isinstance(expression, (type, TypeObject)):  # a StructType, an EnumType
        return own
    word = word_of(expression)
    if word is not None:
        return ctype(word)
    if isinstance(expression, Sequence) and not isinstance(expression, (bytes, bytearray)):
        return _compound(expression)
    raise ForeignTypeError(f"{shorten(expression)} ({type(expression).__name__}) is no type; a type is a word such as "
                           f"'int', C text such as 'const char *', or a tuple such as ('pointer', 'int')")  # fmt: skip


def word_of(expression: Any) -> str | None:
    """The text of a str, or of a Hy keyword, symbol or string model; None for anything else."""
    if isinstance(expression, str):
        return str(expression)
    name = getattr(expression, "name", None)
    if type(expression).__name__ == "Keyword" and isinstance(name, str):
        return name
    return None


def plain_word(text: str) -> str:
    """``text`` without the leading colon and quote that Lisp spelling may bring, ``_`` as ``-``."""
    return text.lstrip("':").replace("_", "-")


def _from_text(text: str) -> CType:
    word = plain_word(text.strip())
    if word in _words:
        return _words[word]
    bare = text.strip().lstrip("':")
    if bare in TYPEDEFS:
        return TYPEDEFS[bare]
    named = NAMED.get(bare.replace("-", "_"))
    if named is not None:
        return named
    if bare.replace("_", "").replace("-", "").isalnum():  # one word: no C syntax in it
        for kind in ("struct", "union"):
            found = TAGS.get((kind, bare)) or TAGS.get((kind, bare.replace("-", "_")))
            if found is not None and found.fields is not None:
                return found
        if bare not in ("signed", "unsigned", "_Bool"):
            raise ForeignTypeError(f"unknown type {bare!r}{nearest(word, known_names())}")
    from epsilon.declarator import parse_type  # with its regular expressions, only where there is C text to read

    return parse_type(bare or text)


def is_fixed(expression: Any) -> bool:
    """Whether this spelling will always mean what it means now: it names no struct, which can be defined again."""
    if type(expression) is tuple:
        return len(expression) == 2 and expression[0] in ("in", "out", "inout", "pointer") and is_fixed(expression[1])
    return type(expression) is str and expression in _words


def known_names() -> list[str]:
    """Every single word that is a type now."""
    tags = [tag for (_, tag), found in list(TAGS.items()) if found.fields is not None]
    return list(dict.fromkeys([*_words, *TYPEDEFS, *NAMED, *tags]))


def _compound(expression: Sequence) -> CType:
    items, options = split_options(list(expression))
    if not items:
        raise ForeignTypeError(f"{shorten(expression)} is no type: it is empty")
    head = word_of(items[0])
    if head is None:
        if len(items) == 1:
            return ctype(items[0])
        raise ForeignTypeError(f"{shorten(expression)} is no type: it begins with {shorten(items[0])}")
    head = plain_word(head)
    if head == "quote" and len(items) == 2:
        return ctype(items[1])
    maker = _COMPOUND.get(head)
    if maker is None:
        if len(items) == 1 and not options:
            return ctype(items[0])
        raise ForeignTypeError(f"unknown compound type {head!r} in {shorten(expression)}{nearest(head, _COMPOUND)}")
    try:
        return maker(*items[1:], **options)
    except TypeError as error:
        if isinstance(error, ForeignTypeError):
            raise
        raise ForeignTypeError(
            f"{shorten(expression)} is no type: {_USAGE[head]} is how {head!r} is written"
        ) from error


def split_options(items: list) -> tuple[list, dict[str, Any]]:
    """Take the options off the end of a compound type: a mapping (Python), or keyword-value pairs (Hy)."""
    if items and isinstance(items[-1], dict) and not _is_model(items[-1]):
        return items[:-1], {str(name).replace("-", "_"): value for name, value in items[-1].items()}
    options: dict[str, Any] = {}
    while (
        len(items) >= 3
        and _is_model(items[-2])
        and type(items[-2]).__name__ == "Keyword"
        and items[-2].name in _OPTIONS
    ):
        options[items[-2].name.replace("-", "_")] = _plain(items[-1])
        items = items[:-2]
    return items, options


_OPTIONS = {"constants", "type", "encoding", "errors", "free", "length", "count", "abi"}


def _is_model(value: object) -> bool:
    return type(value).__module__.startswith("hy.")


def _plain(value: Any) -> Any:
    """The plain Python value of a Hy model of a literal."""
    if not _is_model(value):
        return value
    name = type(value).__name__
    if name == "Integer":
        return int(value)
    if name == "Symbol":
        return {"None": None, "True": True, "False": False}.get(str(value), str(value))
    return str(value) if name == "String" else value


# --- the compound types ---------------------------------------------------------------------------------------------


def _pointer(target: Any = "void", *, free: Any = None, count: Any = None) -> CType:
    found = pointer_to(ctype(target))
    if count is not None:
        found = _counted(found, _plain(count))
    return found if free is None else owned_type(found, free)


def _counted(found: CType, count: Any) -> CType:
    """A pointer with bounds: so many elements, or as many as a parameter says."""
    word = word_of(count)
    if not isinstance(found, Pointer) or not (word or (type(count) is int and count >= 0)):
        raise ForeignTypeError(f"('pointer', …, {{'count': {shorten(count)}}}): the number of elements is wanted, an "
                               "int of 0 or more, or the name of the parameter that has it")  # fmt: skip
    if word is None:
        return CountedPointer(found.target, found.const, None, count)
    return CountedPointer(found.target, found.const, None, None, plain_word(word).replace("-", "_"))


def _direction(way: str):
    return lambda target: Direction(way, ctype(target))


def _tag(kind: str):
    def make(name: Any) -> CType:
        if isinstance(getattr(name, "ctype", None), StructCType):
            return name.ctype
        word = word_of(name)
        if word is None:
            raise ForeignTypeError(f"({kind!r}, {shorten(name)}): the name of a {kind} or its type is wanted")
        return tagged(kind, word.lstrip("':").replace("-", "_"))

    return make


def _enumeration(kind: str):
    def make(name: Any, constants: Any = None, type: Any = None) -> CType:
        found = getattr(name, "ctype", name)
        word = word_of(name)
        if word is not None:
            from epsilon.enums import read_enumeration

            tag = word.lstrip("':").replace("-", "_")
            if constants is not None:
                return read_enumeration(kind == "flags", tag, constants, type)
            found = ENUMS.get(tag)
            if found is None:
                raise ForeignTypeError(f"unknown {kind} {tag!r}{nearest(tag, ENUMS)}")
        if getattr(found, "kind", "") != kind:
            raise ForeignTypeError(f"({kind!r}, {shorten(name)}): the name of {kind} or its type is wanted")
        return found

    return make


def _array(target: Any, many: Any = None, *, length: Any = None) -> CType:
    many = None if many is None else _plain(many)
    if many is not None and (not isinstance(many, int) or many < 0):
        raise ForeignTypeError(f"('array', …, {shorten(many)}): the length is an int of 0 or more")
    if length is None:
        return Array(ctype(target), many)
    counter = word_of(length) or length
    if many is not None or not (isinstance(counter, str) or (type(counter) is int and counter >= 0)):
        raise ForeignTypeError(f"('array', …, {{'length': {shorten(length)}}}): the name of the parameter that has the "
                               "length is wanted, or its index, and no other length")  # fmt: skip
    return Array(ctype(target), None, plain_word(counter).replace("-", "_") if isinstance(counter, str) else counter)


def _buffer(way: Any = None) -> CType:
    if way is None:
        return Buffer()
    if plain_word(word_of(way) or "") != "writable":
        raise ForeignTypeError(f"('buffer', {shorten(way)}): 'writable' is the one option of a buffer")
    return Buffer(True)


def _string(encoding: str | None = "utf-8", errors: str = "strict", *, free: Any = None) -> CType:
    return String(encoding, errors, free)


def parameter_types(expressions: Any) -> tuple[tuple[CType, ...], bool]:
    """The types of a parameter list, and whether ``...`` ends it.

    >>> parameter_types(["string", "int"])
    ((<CType 'const char *'>, <CType 'int'>), False)
    """
    if isinstance(expressions, str) or not isinstance(expressions, Sequence):
        raise ForeignTypeError(f"the parameter types are a list, not {shorten(expressions)}")
    items = list(expressions)
    if len(items) == 2 and word_of(items[0]) == "quote" and not isinstance(items[1], str):  # '(:int :int), unevaluated
        return parameter_types(items[1])
    variadic = bool(items) and (items[-1] is Ellipsis or word_of(items[-1]) == "...")
    types = tuple(ctype(item) for item in (items[:-1] if variadic else items))
    for index, found in enumerate(types, 1):
        if found.code == "v":
            raise ForeignTypeError(f"parameter {index} has type {found.spelling}, which has no values")
    return types, variadic


def _function(result: Any = "void", parameters: Any = (), abi: str = "default") -> CType:
    types, variadic = parameter_types(parameters)
    return FunctionPointer(FunctionType(ctype(result), linked(types), variadic, abi))


_COMPOUND = {
    "pointer": _pointer,
    "string": _string,
    "in": _direction("in"),
    "out": _direction("out"),
    "inout": _direction("inout"),
    "give": lambda target: Handed("give", ctype(target)),
    "keep": lambda target: Handed("keep", ctype(target)),
    "struct": _tag("struct"),
    "union": _tag("union"),
    "enum": _enumeration("enum"),
    "flags": _enumeration("flags"),
    "array": _array,
    "buffer": _buffer,
    "function": _function,
}
_USAGE = {
    "pointer": "('pointer', TYPE, {'free': …, 'count': …})",
    "string": "('string', {'encoding': …, 'errors': …, 'free': …})",
    "in": "('in', TYPE)",
    "out": "('out', TYPE)",
    "inout": "('inout', TYPE)",
    "give": "('give', TYPE)",
    "keep": "('keep', TYPE)",
    "struct": "('struct', NAME)",
    "union": "('union', NAME)",
    "enum": "('enum', NAME)",
    "flags": "('flags', NAME)",
    "array": "('array', TYPE, LENGTH) or ('array', TYPE, {'length': PARAMETER})",
    "buffer": "('buffer', 'writable')",
    "function": "('function', RESULT, [PARAMETERS])",
}

#: the words that begin a compound type
compound_types = tuple(_COMPOUND)


# --- and back -------------------------------------------------------------------------------------------------------

_word_of_type = {found: word for word, found in reversed(list(WORDS.items()))}


def spell(found: CType) -> Any:
    """The type expression of a type, of words and lists only, so that JSON can hold it.

    >>> spell(ctype(("pointer", "int"))), spell(ctype("const char *"))
    (['pointer', 'int'], 'string')
    """
    if found in _word_of_type:
        return _word_of_type[found]
    if isinstance(found, String):
        options = {"encoding": found.encoding, "errors": found.errors}
        return ["string", options if found.free is None else {**options, "free": found.free}]
    if isinstance(found, Buffer):
        return ["buffer", "writable"]
    if isinstance(found, (Direction, Handed)):
        return [found.way, spell(found.target)]
    if isinstance(found, Array):
        length = [] if found.length is None else [found.length]
        return ["array", spell(found.target), *(length if found.counter is None else [{"length": found.counter}])]
    if isinstance(found, StructCType):
        return [found.kind, found.tag]
    if isinstance(found, Converted):
        return found.expression(spell)
    if isinstance(found, FunctionPointer):
        target = found.target
        abi = [] if target.abi == "default" else [{"abi": target.abi}]
        parameters = [spell(parameter) for parameter in target.parameters] + ["..."] * target.variadic
        return ["function", spell(target.result), parameters, *abi]
    if isinstance(found, CountedPointer):
        count = f"arg{found.counter + 1}" if isinstance(found.counter, int) else found.counter
        free = {} if found.free is None else {"free": found.free}
        return ["pointer", spell(found.target), {"count": found.count if count is None else count, **free}]
    if isinstance(found, OwnedPointer):
        return ["pointer", spell(found.target), {"free": found.free}]
    if isinstance(found, Pointer) and not found.const:
        return ["pointer", spell(found.target)]
    return found.spelling  # a const pointer, a system typedef: C text says it
