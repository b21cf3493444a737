"""The options of the forms: which there are, and the words that they take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from funcparserlib.parser import Parser, many, maybe
from hy.model_patterns import FORM, KEYWORD
from hy.models import Keyword, String, Symbol

from epsilon.arenas import KINDS
from epsilon.callbacks import THREADS
from epsilon.errors import nearest
from epsilon.form_types import FormError, shown, unquoted
from epsilon.options import CHECKS
from epsilon.signatures import ABIS
from epsilon.typesystem import WORDS


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
