"""How a form's fields are read: patterns are applied to them, and a mistake is an error at the user's line and column.

A pattern is a parser of ``hy.model_patterns`` that also reads what it matches: ``TYPE`` gives a ``Type``,
``PARAMETERS`` a list of ``Parameter``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hy
from funcparserlib.parser import NoParseError, Parser, finished, some
from hy.errors import HySyntaxError
from hy.model_patterns import whole
from hy.models import Keyword, Symbol

from epsilon.form_types import FormError, is_list, shown, unquoted


def read(compiler: Any, macro: str, fields: Sequence[Any], patterns: Sequence[Parser]) -> Any:
    """What ``patterns`` read of the ``fields`` of a call of ``macro``.

    Raises ``HySyntaxError`` where the user's field is that is wrong.
    """
    try:
        return whole(patterns).parse(fields)
    except NoParseError as error:
        message, model = mismatch(fields, error)
        message += f"\nThe form is {_usage(macro)}"
    except FormError as error:
        message, model = str(error), error.model
    raise fault(compiler, macro, message, model)


def fault(compiler: Any, macro: str, message: str, model: Any) -> HySyntaxError:
    """What is wrong with a form, at the field that it is wrong in, or at the whole call."""
    if not hasattr(model, "_start_line"):
        model = getattr(compiler, "this", None)
    filename, source = getattr(compiler, "filename", None), getattr(compiler, "source", None)
    return HySyntaxError(f"{macro}: {message}", model, filename, source)


def mismatch(fields: Sequence[Any], error: NoParseError) -> tuple[str, Any]:
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


def any_form(what: str) -> Parser:
    """Any form; ``what`` says what is wanted."""
    return some(lambda model: True).named(what)


def value(what: str) -> Parser:
    """Any form but a keyword, which would be an option or a type."""
    return some(lambda model: not isinstance(model, Keyword)).named(what)


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
            message, wrong = mismatch(bare, error)
            raise FormError(f"{message}\nA binding is {spelling}", model if wrong is None else wrong) from None

    return some(is_list).named(f"a binding {spelling}, or a list of them") >> parse


def keywords(**values: Any) -> list:
    """The keyword arguments of a call, as forms; None and an empty dict mean that there is none."""
    forms: list = []
    for name, value in values.items():
        if value is not None and value != {}:
            forms += [Keyword(name), hy.as_model(value)]
    return forms
