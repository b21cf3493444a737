"""A small reader of C declarations: one type, one prototype, one struct, without pycparser.

It stands on the path of every binding, so it is quick and covers what people write by hand: qualifiers, pointers,
arrays, functions and pointers to them, struct tags, the typedef names of <stdint.h> and <sys/types.h>.  Whole headers
are another matter (pycparser, and the compiler's own word).  The way back, from a type to C text, is ``CType.declare``.

The grammar is that of C11 §6.7: specifiers, then a declarator that is read inside out.
"""

from __future__ import annotations

from collections import ChainMap

from epsilon.errors import ForeignTypeError, nearest
from epsilon.typesystem import (
    ENUMS,
    NAMED,
    TYPEDEFS,
    VOID,
    WORDS,
    Array,
    CType,
    FunctionPointer,
    FunctionType,
    pointer_to,
    tagged,
)
from epsilon.typesystem.uncarried import COMPLEX, EXTENDED, vector

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from epsilon.bodies import Body

_ATTRIBUTES = {"__attribute__", "__attribute", "_Alignas", "alignas"}
#: attributes that change no layout
_HARMLESS = {"deprecated", "unused", "may_alias", "nonstring", "warn_if_not_aligned", "gcc_struct"}
_QUALIFIERS = {"const", "volatile", "restrict", "__restrict", "__restrict__", "__const", "_Atomic"}
_STORAGE = {"extern", "static", "inline", "register", "__extension__", "_Noreturn", "typedef"}
_MEASURES = ("sizeof", "_Alignof", "alignof", "__alignof__")
_BASIC = {
    "void", "char", "short", "int", "long", "float", "double", "signed", "unsigned", "_Bool", "_Complex", "__int128"
}  # fmt: skip
RESERVED = _ATTRIBUTES | _BASIC | _QUALIFIERS | _STORAGE | {"struct", "union", "enum"}

#: sorted basic words → vocabulary word; C11 §6.7.2 lists the allowed multisets
_COMBINATIONS = {
    tuple(sorted(combination.split())): word
    for word, combinations in {
        "void": "void",
        "char": "char",
        "signed-char": "signed char",
        "unsigned-char": "unsigned char",
        "short": "short,signed short,short int,signed short int",
        "unsigned-short": "unsigned short,unsigned short int",
        "int": "int,signed,signed int",
        "unsigned-int": "unsigned,unsigned int",
        "long": "long,signed long,long int,signed long int",
        "unsigned-long": "unsigned long,unsigned long int",
        "long-long": "long long,signed long long,long long int,signed long long int",
        "unsigned-long-long": "unsigned long long,unsigned long long int",
        "float": "float",
        "double": "double",
        "long-double": "long double",
        "float-complex": "float _Complex",
        "double-complex": "double _Complex",
        "long-double-complex": "long double _Complex",
        "int128": "__int128,signed __int128",
        "unsigned-int128": "unsigned __int128",
        "bool": "_Bool",
    }.items()
    for combination in combinations.split(",")
}


def parse_type(text: str, names: Names | None = None) -> CType:
    """The type that ``text`` spells, whose names mean what they mean everywhere, or what ``names`` says.

    >>> parse_type("const char *"), parse_type("unsigned long int")
    (<CType 'const char *'>, <CType 'unsigned long'>)
    """
    reader = Reader(text, None, names or _NAMES)
    name, ctype, _ = reader.declaration()
    if name is not None:
        raise reader.error(f"a type alone is wanted here, not a declaration of {name!r}")
    reader.end()
    return ctype


def tokens(text: str) -> list[str]:
    """The words of C text; most is words and stars alone, and needs no regular expressions."""
    words = text.replace("*", " * ").split()
    for word in words:
        if word != "*" and not word.isidentifier():
            from epsilon.lexer import split

            return split(text)
    return words


class Names:
    """What the names in a text mean to its reader: here, what they mean everywhere.  A block of declarations, whose own
    typedefs and enums hide everyone's, has a class of its own (``bindings.Block``)."""

    typedefs: Mapping[str, CType] = ChainMap(TYPEDEFS, NAMED)
    #: the typedefs of them that are const, which no ``CType`` but a pointer's says
    constant_typedefs: Collection[str] = ()
    #: the enum constants
    constants: Mapping[str, int] = {}
    #: the types of the enums, by tag
    enums: Mapping[str, CType] = {}

    def struct(self, kind: str, tag: str) -> CType:
        """The type ``kind tag``."""
        return tagged(kind, tag)

    def constant(self, reader: Reader, name: str, value: int) -> None:
        """Note a constant of an enum that is being defined."""
        raise reader.error("an enum is defined in a block of declarations (library.declare), not here", name)

    def enum(self, reader: Reader, tag: str | None, values: dict[str, int]) -> CType:
        """The type of an enum of these constants, which are noted already."""
        raise reader.error("an enum has at least one constant", tag)


_NAMES = Names()


class Attributes:
    """What the attributes of a struct or of a member ask of its layout; ``vector`` is the size of one, or None."""

    __slots__ = ("align", "packed", "vector")

    def __init__(self, others: Attributes | None = None):
        self.vector: int | None = None
        self.packed, self.align = (False, None) if others is None else (others.packed, others.align)

    def at_least(self, reader: Reader, align: int) -> None:
        if align <= 0 or align & (align - 1) or align > 1 << 15:
            raise reader.error("an alignment is a power of two up to 32768", str(align))
        self.align = max(align, self.align or 0)


class Reader:
    """A recursive-descent reader over the tokens of one declaration."""

    def __init__(self, text: str, define: Callable[[Body], CType] | None = None, names: Names = _NAMES):
        if not isinstance(text, str):
            raise ForeignTypeError(f"a C declaration is a str, not {text!r}")
        self.text = text
        self.define = define
        self.names = names
        #: whether what was declared last is const itself, and not only what it points to
        self.const = False
        self.alignas = Attributes()
        self.pack = 0
        if "#" in text:
            from epsilon.lexer import packed

            self.pack, text = packed(text)
        self.tokens = tokens(text)
        self.position = 0

    def error(self, why: str, token: str | None = None) -> ForeignTypeError:
        where = f" at {token!r}" if token else ""
        return ForeignTypeError(f"cannot read the C declaration {self.text!r}{where}: {why}")

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.position += 1
        return token

    def accept(self, wanted: str) -> bool:
        if self.peek() == wanted:
            self.position += 1
            return True
        return False

    def expect(self, wanted: str) -> None:
        if not self.accept(wanted):
            raise self.error(f"{wanted!r} is wanted here", self.peek() or "the end")

    def at_name(self) -> bool:
        token = self.peek()
        return bool(token) and (token[0].isalpha() or token[0] == "_")

    def end(self) -> None:
        if self.peek():
            raise self.error("nothing more is wanted here", self.peek())

    # --- specifiers ---

    def declaration(self) -> tuple[str | None, CType, tuple]:
        """``(name or None, type, parameter names if it is a function)``."""
        base, const = self.specifiers()
        return self.declarator(base, const)

    def specifiers(self) -> tuple[CType, bool]:
        basic: list[str] = []
        named: CType | None = None
        const = False
        while self.at_name():
            token = self.peek()
            if token in _ATTRIBUTES:
                self.attributes(self.alignas)
                continue
            if token in _QUALIFIERS or token in _STORAGE:
                const = const or token in ("const", "__const")
            elif token in _BASIC:
                basic.append(token)
            elif token in ("struct", "union"):
                self.take()
                named = self.struct(token)
                continue
            elif token == "enum":
                self.take()
                named = self.enum()
                continue
            elif named is None and (not basic or basic == ["_Complex"] and token in EXTENDED):
                named = self.typedef(token)
                const = const or token in self.names.constant_typedefs
            else:
                break
            self.take()
        if basic == ["_Complex"] and named is not None and named.spelling in COMPLEX:
            return self.vectorized(COMPLEX[named.spelling]), const
        if named is not None and basic:
            raise self.error(f"{' '.join(basic)!r} does not go with {named.spelling!r}")
        if named is not None:
            return self.vectorized(named), const
        if not basic:
            raise self.error("a type is wanted here", self.peek() or "the end")
        word = _COMBINATIONS.get(tuple(sorted(basic)))
        if word is None:
            raise self.error(f"{' '.join(basic)!r} is no C type")
        return self.vectorized(WORDS.get(word) or EXTENDED[word]), const

    def vectorized(self, found: CType) -> CType:
        """``found``, or the vector of it that an attribute among the specifiers asks for."""
        if self.alignas.vector is None:
            return found
        size, self.alignas.vector = self.alignas.vector, None
        return vector(found, size)

    def struct(self, kind: str) -> CType:
        attributes = Attributes()
        self.attributes(attributes)
        tag = self.take() if self.at_name() else None
        if self.peek() == "{":
            if self.define is None:
                raise self.error(f"a {kind} is defined by define_c_struct or define_c_struct_auto, not here", "{")
            from epsilon.bodies import body  # few texts define one

            return self.define(body(self, kind, tag, attributes))
        if tag is None:
            raise self.error(f"a tag is wanted after {kind!r}", self.peek() or "the end")
        return self.names.struct(kind, tag)

    def enum(self) -> CType:
        tag = self.take() if self.at_name() else None
        if not self.accept("{"):
            if tag is None:
                raise self.error("a tag is wanted after 'enum'", self.peek() or "the end")
            return self.names.enums.get(tag) or (ENUMS[tag].base if tag in ENUMS else WORDS["unsigned-int"])
        values: dict[str, int] = {}
        following = 0
        while not self.accept("}"):
            if not self.at_name():
                raise self.error("the name of a constant is wanted here", self.peek() or "the end")
            name = self.take()
            if self.accept("="):
                following = self.constant(",", "}")
            self.names.constant(self, name, following)
            values[name] = following
            following += 1
            if self.peek() != "}":
                self.expect(",")
        return self.names.enum(self, tag, values)

    def typedef(self, name: str) -> CType:
        try:
            return self.names.typedefs[name]
        except KeyError:
            if name in EXTENDED:
                return EXTENDED[name]
            known = dict.fromkeys([*self.names.typedefs, *_BASIC, *WORDS])
            raise ForeignTypeError(
                f"unknown type {name!r} in the C declaration {self.text!r}{nearest(name, known)}"
            ) from None

    # --- declarators ---

    def declarator(self, base: CType, const: bool = False) -> tuple[str | None, CType, tuple]:
        """Read a declarator around ``base``; C11 §6.7.6."""
        while self.accept("*"):
            base = pointer_to(base, const)
            const = False
            while self.peek() in _QUALIFIERS:
                const = self.take() in ("const", "__const") or const
        if self.peek() == "(" and self.groups():
            self.take()
            start = self.position
            self.skip_group()
            base, _ = self.suffixes(base, const)
            after = self.position
            self.position = start
            name, ctype, names = self.declarator(base)
            self.expect(")")
            self.position = after
            return name, ctype, names
        name = self.take() if self.at_name() else None
        ctype, names = self.suffixes(base, const)
        self.const = const
        return name, ctype, names

    def groups(self) -> bool:
        """Whether the parenthesis here encloses a declarator, not parameters."""
        following = self.tokens[self.position + 1] if self.position + 1 < len(self.tokens) else ""
        named = following[:1].isalpha() or following[:1] == "_"
        if following in ("*", "("):
            return True
        known = following in self.names.typedefs or following in EXTENDED
        return named and following not in RESERVED and not known

    def skip_group(self) -> None:
        depth = 1
        while depth:
            token = self.take()
            if not token:
                raise self.error("a ')' is missing")
            depth += {"(": 1, ")": -1}.get(token, 0)

    def suffixes(self, base: CType, const: bool) -> tuple[CType, tuple]:
        if self.accept("("):
            if const and base.is_pointer is False:
                const = False  # a const result means nothing to the caller: C11 §6.7.6.3
            parameters, names, variadic = self.parameters()
            return FunctionType(base, parameters, variadic), names
        lengths: list[int | None] = []
        while self.accept("["):
            lengths.append(self.constant("]") if self.peek() != "]" else None)
            self.expect("]")
        for length in reversed(lengths):
            base = Array(base, length)
        return base, ()

    def parameters(self) -> tuple[tuple[CType, ...], tuple[str | None, ...], bool]:
        types: list[CType] = []
        names: list[str | None] = []
        if self.accept(")"):
            return (), (), False
        while True:
            if self.accept("..."):
                self.expect(")")
                return tuple(types), tuple(names), True
            name, ctype, _ = self.declaration()
            types.append(parameter_type(ctype))
            names.append(name)
            if self.accept(")"):
                break
            self.expect(",")
        if len(types) == 1 and types[0] is VOID and names[0] is None:
            return (), (), False
        return tuple(types), tuple(names), False

    def constant(self, *ends: str) -> int:
        """An integer constant expression of literals, enum constants and operators, up to one of ``ends``."""
        words = []
        while self.peek() not in ("", *ends):
            word = self.take()
            if word in _MEASURES and self.accept("("):
                found = self.declaration()[1]
                size = found.size if word == "sizeof" else found.alignment
                if size is None:
                    raise self.error("the size of this type is not known", word)
                self.expect(")")
                words.append(str(size))
            elif word == "(" and self.peek() in _BASIC:  # a cast
                self.declaration()
                self.expect(")")
            else:
                words.append(word)
        from epsilon.lexer import is_constant, python_literal

        known = self.names.constants
        if not words or not all(word in known or is_constant(word) for word in words):
            raise self.error("an integer constant is wanted here", " ".join(words) or ends[0])
        try:
            python = [f"({known[word]})" if word in known else python_literal(word) for word in words]
            return int(eval(" ".join(python), {"__builtins__": {}}))  # only literals and operators: checked above
        except (SyntaxError, ArithmeticError, TypeError, ValueError, MemoryError) as error:
            raise self.error(f"no integer constant: {error}", " ".join(words)) from None

    # --- attributes ---

    def attributes(self, found: Attributes) -> None:
        """Note the attributes here, GCC's and C11's ``_Alignas``, that a layout depends on."""
        while self.peek() in _ATTRIBUTES:
            if self.take() in ("_Alignas", "alignas"):
                self.expect("(")
                found.at_least(self, self.alignment())
                continue
            self.expect("(")
            self.expect("(")
            while not self.accept(")"):
                name = self.take().strip("_")
                if name == "packed":
                    found.packed = True
                elif name == "aligned":
                    found.at_least(self, self.alignment() if self.accept("(") else 16)
                elif name == "vector_size" and found is self.alignas:
                    self.expect("(")
                    found.vector = self.constant(")")
                    self.expect(")")
                elif name in _HARMLESS:
                    if self.accept("("):
                        self.skip_group()
                else:
                    raise self.error("this attribute is not known to leave the layout as it is", name)
                if self.peek() != ")":
                    self.expect(",")
            self.expect(")")

    def alignment(self) -> int:
        """What stands in the parentheses of ``_Alignas`` or ``aligned``: a number, or for the first a type."""
        if self.at_name() and self.peek() not in self.names.constants:
            found = self.declaration()[1].alignment
            if found is None:
                raise self.error("this type has no alignment")
        else:
            found = self.constant(")")
        self.expect(")")
        return found

def parameter_type(ctype: CType) -> CType:
    """What a parameter declared as ``ctype`` really is: arrays and functions decay to pointers (C11 §6.7.6.3)."""
    if isinstance(ctype, Array):
        return pointer_to(ctype.target)
    return FunctionPointer(ctype) if isinstance(ctype, FunctionType) else ctype
