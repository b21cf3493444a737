"""Declarations whose tokens are their normalised text as they stand: most functions, and typedefs of pointers to them.

pycparser takes ten times as long, and finds nothing else in them.  The compiler, and the reader of the text, judge what
comes out, as they do all of it.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence

from epsilon.headers import gnu

#: ``storage`` are words among extern, static and inline.
Function = namedtuple("Function", ["name", "text", "attributes", "storage"])
#: ``tag`` is ``"struct tag"`` where the typedef names that.
Typedef = namedtuple("Typedef", ["name", "text", "tag"])

#: what a simple declaration of a function has none of, besides a second parenthesis
_SPECIAL = frozenset(
    "[ { : = struct union enum asm __asm __asm__ typeof __typeof __typeof__ __attribute _Alignas alignas "
    "__declspec _Static_assert static_assert _Complex __complex__ _Noreturn noreturn __extension__ _Nullable _Nonnull "
    "_Null_unspecified __thread _Thread_local thread_local register auto".split()
)
_WORDS = frozenset(
    "void char short int long float double signed unsigned _Bool const volatile restrict __const __restrict "
    "__restrict__ __volatile__ __signed__".split()
)
_STORAGE = {"extern": "extern", "static": "static", "inline": "inline", "__inline": "inline", "__inline__": "inline"}


def function(tokens: Sequence[str]) -> Function | None:
    """The one function that ``tokens`` declare without any construct that takes a grammar."""
    attributes: list[gnu.Attribute] = []
    if "typedef" in tokens or not _SPECIAL.isdisjoint(tokens):
        return None
    if "__attribute__" in tokens:
        tokens, attributes = gnu.separated(tokens)
    storage = 0
    while storage < len(tokens) and tokens[storage] in _STORAGE:
        storage += 1
    opening = tokens.index("(") if "(" in tokens else 0
    head = tokens[storage:opening]
    if len(head) < 2 or tokens.count("(") != 1 or tokens[-1] != ")" or "," in head or not head[-1].isidentifier():
        return None
    inside = tokens[opening + 1 : -1]
    if head[-1] in _WORDS or len(inside) == 1 and inside[0] not in _WORDS:  # int (name); is no function
        return None
    text = f"{_joined(head)}({_joined(inside)})"
    return Function(head[-1], text, attributes, {_STORAGE[token] for token in tokens[:storage]})


def typedef(tokens: Sequence[str]) -> Typedef | None:
    """The pointer to a function, or the struct by its tag, to which ``tokens`` give a name."""
    if tokens[0] != "typedef":
        return None
    if tokens[1] == "struct":
        plain = len(tokens) == 4 or len(tokens) == 5 and tokens[3] == "*"
        if not plain or not tokens[2].isidentifier() or not tokens[-1].isidentifier() or "__attribute__" in tokens:
            return None
        return Typedef(tokens[-1], _joined(tokens), f"struct {tokens[2]}")
    opening = tokens.index("(") if "(" in tokens else len(tokens)
    stars = tokens[opening + 1 : opening + 5]
    if len(stars) < 4 or (stars[0], *stars[2:]) != ("*", ")", "(") or not stars[1].isidentifier():
        return None
    head, rest = tokens[1:opening], tokens[opening + 5 :]
    if "(" in rest or rest[-1:] != [")"] or "__attribute__" in head or "," in head or not _SPECIAL.isdisjoint(tokens):
        return None
    return Typedef(stars[1], f"typedef {_joined(head)} (*{stars[1]})({_joined(rest[:-1])})", None)


def _joined(tokens: Sequence[str]) -> str:
    """Specifiers, pointers and commas as people write them."""
    text = " ".join([gnu.SPELLED.get(token, token) for token in tokens])
    return text.replace(" ,", ",").replace("* ", "*")
