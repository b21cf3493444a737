"""Preprocessed C as tokens, and these as external declarations, each with its place.  What is between the braces of a
function's body, and behind the ``=`` of an initializer, is no declaration and is left out here."""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Iterator, Sequence

from epsilon.headers.preprocess import Unit

_TOKEN = re.compile(
    r"""(?:u8|[LuU])?"(?:[^"\\]|\\.)*"|(?:u8|[LuU])?'(?:[^'\\]|\\.)*'|[^\W\d$][\w$]*|\.?\d(?:[eEpP][+-]|[\w.'])*"""
    r"""|\.\.\.|<<|>>|->|[=!<>]=|&&|\|\||\S"""
)
_PACK = re.compile(r"\s*#\s*pragma\s+pack\s*\(\s*(.*?)\s*\)\s*$")
_OPENING, _CLOSING = {"(": ")", "[": "]", "{": "}"}, frozenset(")]}")
RECORDS = frozenset(("struct", "union", "enum"))
#: GNU's spellings of words, all with an argument in parentheses, that may stand between ``struct`` and ``{``
ATTRIBUTES = frozenset(("__attribute__", "__attribute", "_Alignas", "alignas", "__declspec"))

#: An external declaration without its ``;``: its tokens, their lines, the index of its file, the ``#pragma pack`` that
#: it stands under, whether it is a function with a body, and its last line.
Piece = namedtuple("Piece", ["tokens", "lines", "file", "pack", "body", "last"])


def tokens_of(text: str) -> list[str]:
    """
    >>> tokens_of("int a[2<<1];")
    ['int', 'a', '[', '2', '<<', '1', ']', ';']
    """
    return _TOKEN.findall(text)


def closing(tokens: Sequence[str], start: int) -> int:
    """The index behind the bracket that closes the one at ``start``; the end where there is none."""
    depth = 0
    for index in range(start, len(tokens)):
        if tokens[index] in _OPENING:
            depth += 1
        elif tokens[index] in _CLOSING:
            depth -= 1
            if not depth:
                return index + 1
    return len(tokens)


def pieces(unit: Unit) -> Iterator[Piece]:
    """The external declarations of ``unit``, in their order."""
    pack, packs = 0, []
    tokens: list[str] = []
    lines: list[int] = []
    depth = 0
    #: the depth at which a body or an initializer ends that is being left out
    left_out: int | None = None
    in_body = False
    file = 0
    for number_of_file, line, text in unit.lines():
        if not text or text.isspace():
            continue
        if text.lstrip()[:1] == "#":
            found = _PACK.match(text)
            if found:
                pack = _packed(found[1], pack, packs)
            continue
        for token in _TOKEN.findall(text):
            if left_out is not None:
                if token in _OPENING:
                    depth += 1
                elif token in _CLOSING:
                    depth -= 1
                    if in_body and depth == left_out:
                        yield Piece(tokens, lines, file, pack, True, line)
                        tokens, lines, left_out, in_body = [], [], None, False
                    continue
                if in_body or depth > left_out or token not in (",", ";"):
                    continue
                left_out = None
            if token in _OPENING:
                if token == "{" and depth == 0 and _is_body(tokens):
                    left_out, in_body, depth = 0, True, 1
                    continue
                depth += 1
            elif token in _CLOSING:
                depth = max(depth - 1, 0)
            elif depth == 0:
                if token == ";":
                    if _is_old_style(tokens):  # the parameters' declarations, and the body, follow
                        pass
                    elif tokens:
                        yield Piece(tokens, lines, file, pack, False, line)
                        tokens, lines = [], []
                        continue
                    else:
                        continue
                if token == "=":
                    left_out = 0
                    continue
            if not tokens:
                file = number_of_file
            tokens.append(token)
            lines.append(line)
    if tokens:
        yield Piece(tokens, lines, file, pack, False, lines[-1])


def _packed(arguments: str, pack: int, packs: list[tuple[str, int]]) -> int:
    """What ``#pragma pack(arguments)`` makes of ``pack`` (GCC manual, "Structure-Layout Pragmas")."""
    words = [word.strip() for word in arguments.split(",")] if arguments else []
    number = int(words[-1]) if words and words[-1].isdigit() else None
    if not words:
        return 0
    if words[0] == "push":
        packs.append((words[1] if len(words) > 1 and number is None else "", pack))
        return pack if number is None else number
    if words[0] == "pop":
        label = words[1] if len(words) > 1 else ""
        while packs:
            name, before = packs.pop()
            if not label or name == label:
                return before
        return 0
    return pack if number is None else number


def _is_body(tokens: Sequence[str]) -> bool:
    """Whether a ``{`` behind ``tokens`` begins a function's body, and not a struct's or an enum's."""
    index = len(tokens) - 1
    seen_tag = False
    while index >= 0:
        token = tokens[index]
        if token == ")":
            index = _opening(tokens, index) - 1
            if index < 0 or tokens[index] not in ATTRIBUTES:
                return True
        elif token == "]":  # [[…]]
            index = _opening(tokens, index)
        elif token in RECORDS:
            return False
        elif token == ":" or (token[0].isalpha() or token[0] == "_") and ":" in tokens[max(index - 4, 0) : index]:
            return "enum" not in tokens[max(index - 6, 0) : index]  # enum tag : type {
        elif seen_tag or not (token[0].isalpha() or token[0] == "_"):
            return True
        else:
            seen_tag = True
        index -= 1
    return True


def _is_old_style(tokens: Sequence[str]) -> bool:
    """Whether ``tokens`` begin a definition as K&R has them: ``int f(a) int a``."""
    if not tokens or tokens[-1] == ")" or ")" not in tokens or tokens[0] == "typedef":
        return False
    start = tokens.index("(")
    end = closing(tokens, start)
    around = tokens[max(start - 1, 0)], tokens[end] if end < len(tokens) else ""
    return all(token.isidentifier() and token not in (*ATTRIBUTES, "asm", "__asm", "__asm__") for token in around)


def _opening(tokens: Sequence[str], end: int) -> int:
    depth = 0
    for index in range(end, -1, -1):
        if tokens[index] in _CLOSING:
            depth += 1
        elif tokens[index] in _OPENING:
            depth -= 1
            if not depth:
                return index
    return 0


def guess(tokens: Sequence[str]) -> tuple[str, str]:
    """What a declaration that cannot be read declares, and its name."""
    plain: list[str] = []
    index = 0
    while index < len(tokens):
        if tokens[index] in ATTRIBUTES or tokens[index] == "{":
            index = closing(tokens, index if tokens[index] == "{" else index + 1)
            continue
        plain.append(tokens[index])
        index += 1
    words = _words(plain)
    if "typedef" in plain:
        before = plain[: plain.index("(")] if "(" in plain else plain
        after = plain[plain.index("(") + 1 :] if "(" in plain else []
        names = [word for word in after if word.isidentifier()] if after[:1] == ["*"] else _words(before)
        return "typedef", (names[0] if after[:1] == ["*"] else names[-1]) if names else "?"
    if "(" in plain:
        start = plain.index("(")
        names = _words(plain[:start])
        return "function", names[-1] if names else "?"
    kind = next((word for word in words if word in ("struct", "union", "enum")), None)
    if kind is not None and "{" in tokens:
        at = words.index(kind)
        return kind, f"{kind} {words[at + 1]}" if at + 1 < len(words) else "?"
    return "variable", words[-1] if words else "?"


def _words(tokens: Sequence[str]) -> list[str]:
    return [token for token in tokens if token.isidentifier()]
