"""What a macro stands for, as text: its expansion by the preprocessor, and whether that can be an expression at all."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from epsilon import compiler
from epsilon.headers.definitions import Definitions

TOKEN = re.compile(
    r"""\s*(?:(?P<string>(?:u8|[uUL])?"(?:[^"\\]|\\.)*")|(?P<character>(?:u8|[uUL])?'(?:[^'\\]|\\.)*')
    |(?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)|(?P<name>[^\W\d][\w$]*)
    |(?P<other>->|\+\+|--|<<=?|>>=?|[-+*/%&|^<>=!]=|&&|\|\||\.\.\.|\S))""",
    re.X,
)
_EXPANSION = re.compile(r"epsilon_macro_(\d+)_is\b(.*?)\bepsilon_macro_end", re.S)
_CLOSING = {")": "(", "]": "[", "}": "{"}

STATEMENTS = frozenset(
    "asm __asm __asm__ break case continue default do else for goto if return switch while _Static_assert".split()
)
ATTRIBUTES = frozenset(("__attribute__", "__attribute", "__declspec", "_Alignas"))
STORAGE = frozenset(
    "auto extern inline __inline __inline__ register static typedef _Noreturn _Thread_local __thread".split()
)
QUALIFIERS = frozenset(
    "const __const __const__ volatile __volatile __volatile__ restrict __restrict __restrict__ __extension__".split()
)
BASIC_TYPES = frozenset(
    "void char short int long float double signed unsigned __signed __signed__ _Bool _Complex __complex__ __int128 "
    "_Float16 _Float32 _Float32x _Float64 _Float64x _Float128 __float128 __builtin_va_list "
    "_Decimal32 _Decimal64 _Decimal128 struct union enum".split()
)
#: macros that mean something else wherever they stand
_PLACES = ("__LINE__", "__FILE__", "__BASE_FILE__", "__FILE_NAME__", "__COUNTER__", "__DATE__", "__TIME__",
           "__TIMESTAMP__", "__INCLUDE_LEVEL__")  # fmt: skip
_BEFORE_OTHERS = frozenset(("struct", "union", "enum", ".", "->"))  #: what follows is a tag or a member
_KEYWORDS = STATEMENTS | QUALIFIERS | {"sizeof", "typeof"}
_FUNCTION_NAMES = frozenset(("__func__", "__FUNCTION__", "__PRETTY_FUNCTION__"))


#: what is no token of an expression: a quote that is left open, and the like
STRAY = frozenset("\"'#@`\\") | {"##"}
UNBALANCED = "a piece of syntax: its brackets do not match"


def tokens(text: str) -> list[tuple[str, str]]:
    """The kind and the spelling of each preprocessing token in ``text``.

    >>> tokens("(char)'a' + 0x1F")
    [('other', '('), ('name', 'char'), ('other', ')'), ('character', "'a'"), ('other', '+'), ('number', '0x1F')]
    """
    return [(match.lastgroup or "other", match[match.lastgroup or 0]) for match in TOKEN.finditer(text)]


def balanced(words: Iterable[tuple[str, str]]) -> bool:
    """Whether the brackets among the tokens match."""
    open_ones: list[str] = []
    for kind, word in words:
        if kind == "other":
            if word in "([{":
                open_ones.append(word)
            elif word in _CLOSING and (not open_ones or open_ones.pop() != _CLOSING[word]):
                return False
    return not open_ones


def _is_list(words: list[tuple[str, str]]) -> bool:
    """Whether a comma stands outside all brackets."""
    depth = 0
    for kind, word in words:
        if kind == "other":
            depth += (word in "([{") - (word in ")]}")
            if word == "," and depth == 0:
                return True
    return False


def unknown(words: list[tuple[str, str]], declared: Collection[str]) -> str | None:
    """The first name among the tokens that is not in ``declared`` and that no compiler knows by itself.

    Names of the compiler's own are reserved ones.  A compiler would say so too, but it looks for names that are alike
    each time: GCC 12 takes 20 s for the 2,000 names of ICU's that are not declared.
    """
    before = ""
    for kind, word in words:
        if kind == "name" and before not in _BEFORE_OTHERS and not word.startswith("_"):
            if word not in declared and word not in BASIC_TYPES and word not in _KEYWORDS:
                return word
        before = word
    return None


def swallowing(definitions: Definitions) -> set[str]:
    """The macros whose expansion may run on beyond their name: a bracket (a ``_Pragma``'s too) is missing
    in them, or in what they use."""
    found = {
        name
        for name, one in definitions.items()
        if one.body.count("(") != one.body.count(")") and not balanced(tokens(one.body))
        or "_Pragma" in one.body and re.search(r"\b_Pragma\b(?! *\()", one.body)
    }
    fresh = found
    while fresh:
        users = re.compile(r"\b(?:" + "|".join(map(re.escape, fresh)) + r")\b")
        fresh = {name for name, one in definitions.items() if name not in found and users.search(one.body)}
        found = found | fresh
    return found


def expand(unit, texts: Iterable[tuple[str, str]], places: bool = False) -> dict[str, str]:
    """What the preprocessor makes of each text behind the headers; ``texts`` are pairs of a macro and a text.

    A macro that is not defined there has no expansion.  What depends on its place, such as ``__LINE__``, is left as a
    name that ``objection`` refuses, unless ``places`` are wanted.
    """
    asked = list(texts)
    lines = [unit.prelude]
    for name in _PLACES if not places else ():
        lines.append(f"#undef {name}\n#define {name} epsilon_place{name}")
    for number, (name, text) in enumerate(asked):
        lines.append(f"#ifdef {name}\nepsilon_macro_{number}_is {text} epsilon_macro_end\n#endif")
    text = "\n".join(lines) + "\n"
    _, printed, _ = compiler.run(["-E", "-P", "-w", *unit.options], text, "reading a header's macros")
    return {asked[int(match[1])][0]: " ".join(match[2].split()) for match in _EXPANSION.finditer(printed)}


def objection(words: list[tuple[str, str]], types: Collection[str]) -> str | None:
    """Why the tokens of an expansion are no expression, or None if they may be one; ``types`` are typedefs' names.

    >>> objection(tokens("unsigned long"), ())
    'a type'
    """
    if not words:
        return "empty"
    names = {word for kind, word in words if kind == "name"}
    marks = {word for kind, word in words if kind == "other"}
    if place := next((word for _, word in words if word.startswith("epsilon_place")), None):
        return f"not the same everywhere: it uses {place.removeprefix('epsilon_place')}"
    if names & _FUNCTION_NAMES:
        return "not the same everywhere: it is the name of the function around it"
    if words[0][1] == "<":
        return "a header's name, for #include"
    if marks & STRAY:
        return "a piece of syntax, not an expression"
    if not balanced(words):
        return UNBALANCED
    if names & ATTRIBUTES:
        return "an attribute"
    if names & STATEMENTS or ";" in marks:
        return "statements, not an expression"
    if "{" in marks:
        return "an initializer or a body, not an expression"
    if "," in marks and _is_list(words):
        return "a list, not an expression"
    if words[0][1] in ("struct", "union", "enum"):
        return "a type"
    if names & STORAGE or (names and names <= QUALIFIERS and not marks):
        return "a keyword"
    if names <= BASIC_TYPES | QUALIFIERS | set(types) and all(kind == "name" or word == "*" for kind, word in words):
        return "a type"
    return None
