"""Callbacks: Python and Lisp callables that C can call.

Floor 0's ``Callback`` is the C function pointer; this room reads the types and names the mistakes.  The contract (an
exception is raised again by the foreign call that C was in, a closed callback reports) is floor 0's: ``c/callback.c``.
"""

from __future__ import annotations

from epsilon import _backend
from epsilon.errors import ForeignError, ForeignTypeError, shorten
from epsilon.signatures import Signature, registry, signature_of
from epsilon.typesystem import check_callback
from epsilon.typesystem import hooks as type_hooks

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from epsilon.typesystem import FunctionType

Callback = _backend.Callback


def make_callback(function: Callable[..., Any], result: Any, parameters: Any = None, *, on_error: Any = None) -> Any:
    """A C function pointer that calls ``function``.

    ``result`` and ``parameters`` are types as everywhere; a registered name or a ``Signature`` in place of ``result``
    serves for both.
    ``on_error`` is what C gets when there is no result because ``function`` raised or the callback is closed (zero by
    default).  The object keeps the pointer alive: hold it for as long as C may call, or use ``with``.  ``.address``
    is what C jumps to, ``.close()`` ends it.

    Raises ``ForeignTypeError`` for something that cannot be called or a type that cannot cross, and the conversion's
    own error for an ``on_error`` that is no value of the result's type.

    >>> double = make_callback(lambda x: 2 * x, "int", ["int"])
    >>> get_or_create_trampoline("int", ["int"])(double.address, 21)
    42
    """
    if not callable(function):
        raise ForeignTypeError(f"a callback is made of a callable, not of {shorten(function)}")
    signature = _read(result, parameters)
    try:
        return Callback(signature.trampoline, function, on_error)
    except ForeignError as error:
        error.args = (f"callback {getattr(function, '__qualname__', function)}: on_error: {error.args[0]}",)
        raise


def callback(result: Any, parameters: Any = None, *, on_error: Any = None) -> Callable[[Callable[..., Any]], Any]:
    """The decorator form of :func:`make_callback`.

    >>> @callback("int", [("in", "int"), ("in", "int")])
    ... def compare_ints(a, b):
    ...     return a - b
    >>> compare_ints(3, 1)      # from Python it is the function that it was
    2
    """
    return lambda function: make_callback(function, result, parameters, on_error=on_error)


def _read(result: Any, parameters: Any) -> Signature:
    if isinstance(result, Signature):
        signature = result
    elif parameters is None:
        signature = registry.get(result)
        if signature is None:
            raise ForeignTypeError(
                f"the parameter types are missing, and no signature is registered as {shorten(result)}"
            )
    else:
        signature = Signature(result, parameters)
    if signature.variadic:
        raise ForeignTypeError("a callback cannot be variadic: C's va_list does not say what was passed")
    check_callback(signature.parameters)
    return signature


def wrap_callable(target: FunctionType, function: Callable[..., Any]) -> Any:
    """A callback for a callable that came as a ``(:function …)`` argument; the call keeps it alive."""
    check_callback(target.parameters)
    return Callback(signature_of(target.result, target.parameters, target.variadic, target.abi).trampoline, function)


type_hooks["wrap_callable"] = wrap_callable
