"""The two trees of a native: what was read, and what it means in statements.

A :class:`Node` is a form whose names are resolved; its types are inferred.  From it come expressions without side
effects other than calls, and statements (:class:`Step` s), which C has as they are, and which the interpreter runs.
"""

from __future__ import annotations

from typing import Any

from epsilon.native.rules import BOOL


class Node:
    """A form that was read: its kind, the form, and what belongs to the kind."""

    def __init__(self, kind: str, form: tuple, **parts: Any):
        self.kind, self.form = kind, form
        self.__dict__.update(parts)

    def __getattr__(self, name: str) -> Any:
        return None


class Variable:
    """A parameter or a local; ``fixed`` says that its type is given, ``behind`` that C passes a pointer of that type to
    its value."""

    def __init__(self, lisp: str, type: Any = None, fixed: bool = False):
        self.lisp, self.type, self.fixed = lisp, type, fixed
        self.parameter = False
        self.behind: Any = None


class Made:
    """What is made of parts, each of which is an attribute."""

    parts: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.parts[name]
        except KeyError:
            raise AttributeError(name) from None


class Expression(Made):
    """A value: ``op``, its type, and what it is made of.

    ============ ==================================================================
    op           parts
    ============ ==================================================================
    const        value
    text         data
    name         variable
    unary        sign (``- ~ !``), value
    binary       sign (``+ - * / & | ^ << >> // %``), left, right
    compare      sign, left, right
    logic        sign (``&& ||``), left, right
    convert      value
    select       condition, left, right
    offset       pointer, index
    distance     left, right (pointers)
    deref        pointer
    element      base, index; base is a pointer, or a place that is an array
    member       base, member; base is a place
    address      place; an array's is that of its first element
    function     callee
    call         callee or pointer, arguments
    ============ ==================================================================
    """

    def __init__(self, op: str, type: Any, **parts: Any):
        self.op, self.type, self.parts = op, type, parts

    def below(self) -> list[Expression]:
        found = [part for part in self.parts.values() if isinstance(part, Expression)]
        return found + list(self.parts.get("arguments", ()))

    def has(self, *ops: str) -> bool:
        return self.op in ops or any(part.has(*ops) for part in self.below())

    def variables(self) -> set[Variable]:
        found = {self.parts["variable"]} if self.op == "name" else set()
        return found.union(*(part.variables() for part in self.below()))


class Step(Made):
    """A statement: ``op``, the line it is on, and what it is made of.

    ============ ==================================================================
    op           parts
    ============ ==================================================================
    set          place, value
    clear        place: zeros
    run          value: a call
    if           condition, then, otherwise (lists of steps)
    while        condition, body
    count        variable, start, stop, step, body: a range
    return       value, or None
    break, continue
    stop         error, text, form: the function ends with an exception
    ============ ==================================================================
    """

    def __init__(self, op: str, line: int, **parts: Any):
        self.op, self.line, self.parts = op, line, parts

    def assigned(self) -> set[Variable]:
        """The variables that it may change."""
        found: set[Variable] = set()
        if self.op == "set" and self.place.op == "name":
            found.add(self.place.variable)
        if self.op == "count":
            found.add(self.variable)
        for part in ("then", "otherwise", "body"):
            for step in self.parts.get(part, ()):
                found |= step.assigned()
        return found


class Callee:
    """A function that a body calls by its name: a native of the same build, or a C function by its address."""

    def __init__(self, name: str, function: Any, signature: Any, native: Any = None):
        self.name, self.function, self.signature, self.native = name, function, signature, native


def constant(type: Any, value: Any) -> Expression:
    return Expression("const", type, value=value)


def truth(value: bool) -> Expression:
    return constant(BOOL, int(value))
