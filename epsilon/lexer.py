"""The words of C text that is not words and stars alone: what regular expressions are needed for.

Most prototypes are plain, and are read without this module: see ``declarator.tokens``.
"""

from __future__ import annotations

import re

from epsilon.typesystem import WORDS

_PACK = re.compile(r"\s*#[ \t]*pragma[ \t]+pack[ \t]*\([ \t]*(?:push[ \t]*,[ \t]*)?(1|2|4|8|16)[ \t]*\)[ \t]*\n")
_PACK_END = re.compile(r"\n[ \t]*#[ \t]*pragma[ \t]+pack[ \t]*\([ \t]*(?:pop)?[ \t]*\)\s*$")
_LITERAL = r"(?:0[xX][0-9a-fA-F]+|\d+)[uUlL]*|'(?:\\.[0-9a-fA-F]*|[^'\\])'"
_TOKEN = re.compile(rf"\s*(?:/\*.*?\*/|//[^\n]*|(\.\.\.|[^\W\d]\w*|{_LITERAL}|<<|>>|[^\s\w]))", re.S)
_CONSTANT = re.compile(rf"{_LITERAL}|<<|>>|[-+*/%()|&^~]")


def split(text: str) -> list[str]:
    """The tokens of ``text``, without its comments."""
    return [token for token in _TOKEN.findall(text) if token]


def packed(text: str) -> tuple[int, str]:
    """What a ``#pragma pack`` before a definition says (0: there is none), and the text without it."""
    pragma = _PACK.match(text)
    return (int(pragma[1]), _PACK_END.sub("", text[pragma.end() :])) if pragma else (0, text)


def is_constant(word: str) -> bool:
    """Whether ``word`` is a literal or an operator of an integer constant expression."""
    return bool(_CONSTANT.fullmatch(word))


def python_literal(word: str) -> str:
    """A literal or an operator of C as Python has it."""
    if word.startswith("'"):
        from ast import literal_eval  # hardly ever needed

        return str(WORDS["char"].adapt(literal_eval(f"b{word}")))
    plain = word.rstrip("uUlL")
    return f"0o{plain}" if re.fullmatch(r"0[0-7]+", plain) else {"/": "//"}.get(plain, plain)
