"""Converters that users add: a Python class × a C type, in both directions.

A ``to`` converter is asked when a value is not of the plain kind that the type takes; a ``from`` converter is applied
to what the type gives back.  Both are found by class: the nearest base of the value's class wins.
"""

from __future__ import annotations

from epsilon.errors import ForeignTypeError, shorten
from epsilon.expressions import ctype
from epsilon.typesystem import CType, register_converter

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class _Converters:
    """``convert_to_foreign`` and ``convert_from_foreign``: call one to convert a value, ``register`` to extend it."""

    def __init__(self, name: str, convert: Callable[[Any, CType], Any], register: Callable[[CType, type, Any], None]):
        self.__name__ = name
        self._convert, self._register = convert, register

    def __call__(self, value: Any, type: Any) -> Any:
        return self._convert(value, ctype(type))

    def register(self, python_type: type, type: Any) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
        """A decorator: the function converts values of ``python_type`` for the C type ``type``."""
        if not isinstance(python_type, _class):
            raise ForeignTypeError(f"{self.__name__}.register takes a Python class, not {shorten(python_type)}")
        found = ctype(type)

        def decorate(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
            self._register(found, python_type, function)
            return function

        return decorate

    def __repr__(self) -> str:
        return f"<{self.__name__}>"


_class = type
_from: dict[CType, dict[type, Callable[[Any], Any]]] = {}


def _to(value: Any, found: CType) -> Any:
    return found.adapt(value)


def _back(value: Any, found: CType) -> Any:
    return _registered(found.restore(value), found)


def _registered(value: Any, found: CType) -> Any:
    for base in type(value).__mro__:
        function = _from.get(found, {}).get(base)
        if function is not None:
            return function(value)
    return value


def _register_back(found: CType, python_type: type, function: Callable[[Any], Any]) -> None:
    if found not in _from:
        _from[found] = {}
        found.converter.wrap(lambda value: _registered(value, found))
    _from[found][python_type] = function


convert_to_foreign = _Converters("convert_to_foreign", _to, register_converter)
convert_from_foreign = _Converters("convert_from_foreign", _back, _register_back)
