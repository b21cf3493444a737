"""What the macro ``defnative`` does when it is expanded: macros in the body, its forms as data, and a first check.

Whatever can be known without the module's objects is found wrong here, as Hy's own syntax errors are: at the user's
line and column.  The rest is found when the native is built.
"""

from __future__ import annotations

from typing import Any

from hy.models import Dict, Expression, List, String, Symbol

from epsilon.form_types import FormError, Unknown
from epsilon.native.building import is_value_behind
from epsilon.native.lowering import lower
from epsilon.native.reading import METHODS, Reader
from epsilon.native.rules import UNKNOWN, NativeError, parameter_type
from epsilon.native.source import body_of
from epsilon.native.subset import AUGMENTED, COMPARISONS, INSTEAD, SHIFTS, SIGNS
from epsilon.typesystem import VOID, Array, CType, Direction, FunctionPointer, FunctionType, Pointer

_KNOWN = {*SIGNS, *SHIFTS, *COMPARISONS, *AUGMENTED, *METHODS, *INSTEAD, "."}


class Body:
    """A native's body: its forms as text, and what gives the objects of the module's names, as a form."""

    def __init__(self, text: String, scope: Dict):
        self.text, self.scope = text, scope


def read_body(compiler: Any, name: Symbol, result: Any, parameters: list, models: list, on_error: Any = None) -> Body:
    """Read and check the body of ``(defnative NAME …)``; a ``FormError`` has the model that is wrong."""
    import hy

    if not models:
        raise FormError("the body is missing", None)
    form = body_of(models, lambda model: _expanded(model, compiler))
    call = getattr(compiler, "this", None)
    form = (getattr(call, "start_line", form[0]), getattr(call, "start_column", form[1]), *form[2:])
    paths: dict[str, None] = {}

    def look_up(path: str) -> Any:
        paths.setdefault(path)
        return UNKNOWN

    try:
        given = [(str(one.symbol), hy.mangle(one.symbol), *_type(one.type.ctype)) for one in parameters]
        own = UNKNOWN if _is_unknown(result.ctype) else result.ctype
        lower(Reader(given, own, form, look_up), str(name), on_error)
    except NativeError as error:
        raise FormError(str(error), _model_at(models, error.form)) from None
    return Body(String(repr(form)), _scope(paths))


def _expanded(model: Expression, compiler: Any) -> Any:
    """A call of a user's macro, expanded once; all else as it is."""
    import hy.macros

    import epsilon.macros

    if not model or not isinstance(model[0], Symbol) or str(model[0]) in _KNOWN or compiler is None:
        return model
    if hy.mangle(model[0]) in epsilon.macros._hy_macros:
        raise FormError(f"{model[0]} is not in the subset of native code", model)
    return hy.macros.macroexpand(model, compiler.module, compiler, once=True, result_ok=False)


def _type(found: CType) -> tuple[Any, Any]:
    """A parameter's type in the body, and that of the pointer to it: as far as they are known here."""
    if _is_unknown(found):
        return UNKNOWN, None
    known = parameter_type(found)
    if known is None:
        raise NativeError(f"native code has no {found.spelling}", None)
    return (parameter_type(found.target), known) if is_value_behind(found) else (known, None)


def _is_unknown(found: CType) -> bool:
    if isinstance(found, FunctionType):
        return any(map(_is_unknown, (found.result, *found.parameters)))
    if isinstance(found, (Pointer, Array, Direction, FunctionPointer)):
        return found.target is not VOID and _is_unknown(found.target)
    return isinstance(found, Unknown)


def _scope(paths: dict[str, None]) -> Dict:
    """The module's names, each with a function that gives its object: names mean what they mean in the user's code."""
    items: list = []
    for path in paths:
        parts = [Symbol(part) for part in path.split(".")]
        name = parts[0] if len(parts) == 1 else Expression([Symbol("."), *parts])
        items += [String(path), Expression([Symbol("fn"), List(), name])]
    return Dict(items)


def _model_at(models: Any, form: tuple | None) -> Any:
    """The user's model that a form was read from."""
    if form is None:
        return None
    for model in models:
        if (getattr(model, "start_line", None), getattr(model, "start_column", None)) == form[:2]:
            return model
        if isinstance(model, (Expression, List, Dict)):
            found = _model_at(model, form)
            if found is not None:
                return found
    return None
