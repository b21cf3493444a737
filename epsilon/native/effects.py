"""What expressions, statements and nodes do to each other: which read memory, which change it, what is mentioned."""

from __future__ import annotations

from typing import Any

from epsilon.native import rules
from epsilon.native.rules import BOOL
from epsilon.native.tree import Expression, Node, Step, Variable, truth
from epsilon.typesystem import Array, Pointer, StructCType


def negated(condition: Expression) -> Expression:
    """The opposite of a truth."""
    if condition.op == "const":
        return truth(not condition.value)
    if condition.op == "unary" and condition.sign == "!":
        return condition.value
    if condition.op == "compare" and condition.sign in ("==", "!="):
        sign = "!=" if condition.sign == "==" else "=="
        return Expression("compare", BOOL, sign=sign, left=condition.left, right=condition.right)
    return Expression("unary", BOOL, sign="!", value=condition)


def loads(value: Expression) -> bool:
    if value.op in ("deref", "element", "member"):
        return True
    if value.op == "name" and isinstance(value.type, StructCType):
        return True
    if value.op == "address":
        return any(map(loads, value.place.below()))
    return any(map(loads, value.below()))


def disturbs(step: Step) -> bool:
    """Whether a statement may change memory, or what a call does."""
    if step.op in ("run", "clear") or (step.op == "set" and step.place.op != "name"):
        return True
    if step.op == "set" and not rules.is_scalar(step.place.type):
        return True
    if any(isinstance(part, Expression) and part.has("call") for part in step.parts.values()):
        return True
    return any(disturbs(inner) for name in ("then", "otherwise", "body") for inner in step.parts.get(name, ()))


def contains(node: Any, kinds: tuple[str, ...]) -> bool:
    if isinstance(node, (list, tuple)):
        return any(contains(part, kinds) for part in node)
    if isinstance(node, dict):
        return any(contains(part, kinds) for part in node.values())
    if not isinstance(node, Node):
        return False
    return node.kind in kinds or any(contains(part, kinds) for name, part in vars(node).items() if name != "form")


def mentions(node: Any, variable: Variable) -> bool:
    if isinstance(node, (list, tuple)):
        return any(mentions(part, variable) for part in node)
    if isinstance(node, dict):
        return any(mentions(part, variable) for part in node.values())
    if not isinstance(node, Node):
        return False
    if node.kind == "local" and node.variable is variable:
        return True
    return any(mentions(part, variable) for name, part in vars(node).items() if name != "form")


def reads_itself(values: Any, place: Expression) -> bool:
    """Whether what is made in a place is made of what is there."""
    return place.op != "name" or mentions(values, place.variable)


def is_const(place: Expression) -> bool:
    """Whether a place lies behind a pointer to const."""
    if place.op == "member":
        return is_const(place.base)
    if place.op == "element" and isinstance(place.base.type, Array):
        return is_const(place.base)
    pointer = place.pointer if place.op == "deref" else place.base if place.op == "element" else None
    return pointer is not None and isinstance(pointer.type, Pointer) and pointer.type.const
