"""What the names and the types in a body mean: its locals, and what the module has.

The names of locals are known from the body alone.  Any other name is the module's, which the environment looks up: a
function that gives the object, or ``UNKNOWN`` where only run time knows, or raises ``KeyError``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from epsilon import _backend
from epsilon.errors import ForeignTypeError, nearest
from epsilon.expressions import ctype
from epsilon.native.building import native_of
from epsilon.native.rules import UNKNOWN, NativeError, parameter_type, plain
from epsilon.native.source import TAG, head, symbol, unquoted, written
from epsilon.native.subset import INSTEAD
from epsilon.native.tree import Callee, Node, Variable
from epsilon.typesystem import VOID, Array, CType, TypeObject

Environment = Callable[[str], Any]

_C_WORDS = {"void", "char", "short", "int", "long", "float", "double", "bool", "_Bool"}


class Naming:
    """What forms are read with: names, types, and ``read``, which makes a node of any form."""

    read: Callable[[tuple], Node]
    environment: Environment
    scopes: list[dict[str, Variable]]
    callees: dict[int, Callee]

    def find(self, name: str) -> Variable | None:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return None

    def module_object(self, form: tuple) -> Any:
        """The module's object for a symbol, or for a dotted name that begins with one of the module's."""
        parts = [form] if form[TAG] == "s" else list(form[4:])
        if not parts or not all(part[TAG] == "s" for part in parts):
            raise NativeError(f"{written(form)} is no name", form)
        try:
            return self.environment(".".join(part[4] for part in parts))
        except AttributeError as error:
            raise NativeError(str(error), form) from None
        except KeyError:
            known = [variable.lisp for scope in self.scopes for variable in scope.values()]
            name = parts[0][3]
            hint = f"; {INSTEAD[name]}" if name in INSTEAD else nearest(name, known)
            raise NativeError(f"unknown name {name}{hint}", form) from None

    def is_local(self, form: tuple) -> bool:
        return form[TAG] != "s" or self.find(form[4]) is not None

    def type(self, form: tuple) -> Any:
        """The type that a form spells, or ``UNKNOWN``."""
        bare = unquoted(form)
        expression = self.type_expression(bare)
        if expression is UNKNOWN:
            return UNKNOWN
        try:
            found = ctype(expression)
            if isinstance(found, Array) and found.length is None:
                raise NativeError(f"the length of {written(bare)} is missing: (:array TYPE LENGTH)", form)
        except ForeignTypeError as error:
            raise NativeError(str(error), form) from None
        known = plain(found)
        if known is None:
            raise NativeError(f"native code has no {found.spelling}" + (
                "; use :double" if "long double" in found.spelling else ""), form)  # fmt: skip
        return known

    def type_expression(self, form: tuple) -> Any:
        tag = form[TAG]
        if tag == ":":
            return form[3].lstrip(":")
        if tag in ("t", "i"):
            return form[3]
        if tag == "s" or head(form) == ".":
            if tag == "s" and (form[3] in _C_WORDS or form[3].endswith("_t")):
                return form[3]
            found = self.module_object(form)
            if found is not UNKNOWN and not isinstance(found, (CType, TypeObject, type, int, str)):
                raise NativeError(f"{written(form)} is no type", form)
            return found
        if tag in ("(", "[") and len(form) > 3:
            first = form[3]
            if first[TAG] == ":" and first[3] in ("struct", "union", "enum", "flags") and len(form) == 5:
                return (first[3], symbol(form[4]) and form[4][4] or form[4][3])
            parts = [self.type_expression(unquoted(part)) for part in form[4:]]
            begin = first[3] if first[TAG] in (":", "t") else self.type_expression(first)
            return UNKNOWN if UNKNOWN in (begin, *parts) else (begin, *parts)
        raise NativeError(f"{written(form)} is no type", form)

    def callee(self, found: Any, form: tuple) -> Callee | None:
        if not isinstance(found, (_backend.Callback, _backend.Function)):
            return None
        signature = found.signature
        if signature is None:
            raise NativeError(f"{written(form)} is a closed callback", form)
        known = self.callees.get(id(found))
        if known is None:
            name = getattr(found, "__name__", "function")
            native = native_of(found)
            known = self.callees[id(found)] = Callee(name, found, signature, native)
            for part in (signature.result, *signature.parameters):
                if part is not VOID and parameter_type(part) is None:
                    raise NativeError(f"native code cannot call {name}: it has no {part.spelling}", form)
        return known

    def is_module_function(self, form: tuple) -> bool:
        try:
            return isinstance(self.environment(form[4]), (_backend.Callback, _backend.Function))
        except KeyError:
            return False

    def many(self, forms: Any) -> list[Node]:
        return [self.read(form) for form in forms]

    def wants(self, form: tuple, fewest: int, most: int, usage: str) -> None:
        count = len(form) - 4
        if not fewest <= count <= most:
            raise NativeError(f"{usage} is wanted, not {written(form)}", form)
