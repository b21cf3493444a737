"""Forms as plain data: what a compiled Hy module carries of a native's body, without Hy's models.

A form is a tuple ``(line, column, tag, …)``: ``"("``, ``"["`` and ``"{"`` with their items, ``"s"`` a symbol (as it was
written, and as Python has it), ``":"`` a keyword, ``"t"`` text, ``"b"`` bytes, ``"i"`` an integer, ``"f"`` a float, and
``"?"`` what has no meaning here, as text.  Macros are expanded on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LINE, COLUMN, TAG = 0, 1, 2

_BRACKETS = {"(": ")", "[": "]", "{": "}"}


def read_text(text: str) -> tuple:
    """The forms of Lisp text, as one body."""
    import hy

    return body_of(list(hy.read_many(text)), lambda model: model)


def body_of(models: list, expand: Callable[[Any], Any]) -> tuple:
    """Several forms as the one ``(do …)`` that they are."""
    first = models[0] if models else None
    place = (getattr(first, "start_line", 1), getattr(first, "start_column", 1))
    return (*place, "(", (*place, "s", "do", "do"), *(data_of(model, place, expand) for model in models))


def data_of(model: Any, place: tuple, expand: Callable[[Any], Any]) -> tuple:
    """A Hy model as data; what a macro made stands where the macro was called."""
    from hy import mangle, repr
    from hy.models import Bytes, Dict, Expression, Float, Integer, Keyword, List, String, Symbol, Tuple

    place = (getattr(model, "start_line", place[0]), getattr(model, "start_column", place[1]))
    if isinstance(model, Expression):
        expanded = expand(model)
        if expanded is not model:
            return data_of(expanded, place, expand)
    for kinds, tag in (((Expression,), "("), ((List, Tuple), "["), ((Dict,), "{")):
        if isinstance(model, kinds):
            return (*place, tag, *(data_of(item, place, expand) for item in model))
    if isinstance(model, Symbol):
        written = str(model)
        return (*place, "s", written, written if written.isidentifier() or not written else mangle(written))
    if isinstance(model, Keyword):
        return (*place, ":", model.name)
    for kind, tag, make in ((Bytes, "b", bytes), (String, "t", str), (Integer, "i", int), (Float, "f", _number)):
        if isinstance(model, kind):
            return (*place, tag, make(model))
    return (*place, "?", repr(model).removeprefix("'"))


def moved(form: tuple, lines: int) -> tuple:
    """The same form, so many lines further down."""
    items = (moved(item, lines) if isinstance(item, tuple) else item for item in form[TAG:])
    return (form[LINE] + lines, form[COLUMN], *items)


def _number(model: Any) -> float | str:
    """A float; as text where it is none that ``ast.literal_eval`` reads."""
    number = float(model)
    return number if number - number == 0 else repr(number)


def written(form: tuple) -> str:
    """A form as its user wrote it, but for the spaces."""
    tag = form[TAG]
    if tag in _BRACKETS:
        items = form[3:]
        if tag == "(" and len(items) == 2 and symbol(items[0]) == "quote":
            return "'" + written(items[1])
        if tag == "(" and len(items) > 1 and symbol(items[0]) == "." and all(map(symbol, items[1:])):
            return ".".join(symbol(item) for item in items[1:])
        return tag + " ".join(map(written, items)) + _BRACKETS[tag]
    if tag == ":":
        return f":{form[3]}"
    if tag == "t":
        return '"' + form[3].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return repr(form[3]) if tag in ("b", "i", "f") else form[3]


def symbol(form: tuple) -> str:
    """The name of a symbol, or an empty str."""
    return form[3] if form[TAG] == "s" else ""


def head(form: tuple) -> str:
    """The symbol that an expression begins with, or an empty str."""
    return symbol(form[3]) if form[TAG] == "(" and len(form) > 3 else ""


def unquoted(form: tuple) -> tuple:
    while head(form) == "quote" and len(form) == 5:
        form = form[4]
    return form
