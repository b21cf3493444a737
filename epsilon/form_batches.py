"""How ``with-foreign-batch`` reads its calls: which are made in one crossing, and where results of earlier ones go."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any, NamedTuple

import hy
from hy.models import Expression, Keyword, List, Sequence, Symbol, Tuple

from epsilon.form_types import FormError

_DOT = Symbol(".")
_UNPACKINGS = (Expression([Symbol("unpack-iterable")]), Expression([Symbol("unpack-mapping")]))


class Wired(NamedTuple):
    """What a form expands to: the shape of its batch, and what the batch is called with."""

    shape: Tuple
    arguments: list[Any]


def wire(compiler: Any, calls: Iterable[Expression]) -> Wired:
    """Read the calls of a batch.

    A call that is not a function and arguments by position (a macro, keyword arguments …), or that does more with an
    earlier result than pass it, becomes a function, which the batch calls in its turn.
    """
    shape: list[Tuple] = []
    arguments: list[Any] = []
    known: dict[Symbol, int] = {}
    functions: dict[Symbol, int] = {}
    for place, form in enumerate(calls):
        call, name = _named(form, known)
        names = _symbols(call)
        used = [earlier for earlier in known if earlier in names]
        if _is_plain(compiler, call, known):
            sources = [known.get(argument) if isinstance(argument, Symbol) else None for argument in call[1:]]
            given = [argument for argument, source in zip(call[1:], sources, strict=True) if source is None]
            same = functions.get(call[0]) if isinstance(call[0], Symbol) else None
            arguments += [*([call[0]] if same is None else []), *given]
            if isinstance(call[0], Symbol):
                functions.setdefault(call[0], place)
        else:
            body = Expression([Symbol("fn"), List(used), call]).replace(call)
            arguments.append(body)
            sources, same = [known[earlier] for earlier in used], None
        shape.append(Tuple([Symbol("None") if source is None else hy.as_model(source) for source in (same, *sources)]))
        if name is not None:
            known[name] = place
    return Wired(Tuple(shape), arguments)


def _named(form: Expression, known: dict[Symbol, int]) -> tuple[Expression, Symbol | None]:
    """The call, and what ``:as`` calls its result."""
    if Keyword("as") not in list(form)[1:]:
        return form, None
    *call, mark, name = form
    if mark != Keyword("as") or Keyword("as") in call or not isinstance(name, Symbol) or not call:
        raise FormError("a call of a batch ends with :as NAME, or has no :as", form)
    if name in known:
        raise FormError(f"two calls have results called {name}", name)
    return Expression(call).replace(form), name


def _symbols(model: Any) -> set[Symbol]:
    """The symbols in a model."""
    if isinstance(model, Symbol):
        return {model}
    return set().union(*map(_symbols, model)) if isinstance(model, Sequence) else set()


def _is_plain(compiler: Any, call: Expression, known: dict[Symbol, int]) -> bool:
    """Whether it is a function and arguments by position, in which earlier results are arguments or nothing."""
    if _names_macro(compiler, call[0]) or not _symbols(call[0]).isdisjoint(known):
        return False
    for argument in call[1:]:
        if isinstance(argument, Keyword) or (isinstance(argument, Expression) and argument[:1] in _UNPACKINGS):
            return False
        if not isinstance(argument, Symbol) and not _symbols(argument).isdisjoint(known):
            return False
    return True


def _names_macro(compiler: Any, head: Any) -> bool:
    """Whether a form with this head is no function call: a macro's, or a method's ``(.name object …)``."""
    if isinstance(head, Expression) and head[:1] == Expression([_DOT]) and all(isinstance(x, Symbol) for x in head):
        if head[1:2] == Expression([Symbol("None")]):
            return True
        name = ".".join(map(hy.mangle, head[1:]))
    elif isinstance(head, Symbol):
        name = hy.mangle(head)
    else:
        return False
    if name.startswith("hy.R."):
        return True
    tables = [getattr(compiler, "extra_macros", {})]
    tables += [state["macros"] for state in getattr(compiler, "local_state_stack", ())]
    tables += [getattr(module, "_hy_macros", {}) for module in (getattr(compiler, "module", None), builtins)]
    return any(name in table for table in tables if table)
