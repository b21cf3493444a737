"""Which type each expression has: what locals are is worked out from all that is assigned to them.

A local's type is the one that keeps every value that is assigned (``rules.joined``), unless ``the`` says it.  Literals
say nothing where anything else does.
"""

from __future__ import annotations

from typing import Any

from epsilon.errors import nearest
from epsilon.native import rules
from epsilon.native.reading import Reader
from epsilon.native.rules import (
    BOOL,
    CHARACTERS,
    COUNTER,
    DOUBLE,
    INT,
    LONG_LONG,
    NEVER,
    NULL,
    PTRDIFF,
    SIZE,
    UNKNOWN,
    UNSIGNED_LONG_LONG,
    WEAK,
    NativeError,
    named,
)
from epsilon.native.tree import Node, Variable
from epsilon.typesystem import VOID, Array, FunctionPointer, Pointer, Real, StructCType


def infer(reader: Reader) -> None:
    """Give every variable its type."""
    fixed: set[Variable] = set()
    for variable, value in reader.assignments:
        if value.kind in ("the", "array", "struct") and not variable.fixed:
            if variable in fixed and variable.type is not value.type:
                raise NativeError(f"{variable.lisp} is {named(variable.type)} elsewhere, and "
                                  f"{named(value.type)} here", value.form)  # fmt: skip
            variable.type = value.type
            fixed.add(variable)
    free = [(variable, value) for variable, value in reader.assignments
            if not variable.fixed and variable not in fixed]  # fmt: skip
    while True:
        _settle(free)
        open_ones = {variable for variable, _ in free if variable.type in (None, WEAK, NULL)}
        if not open_ones:
            break
        for variable in open_ones:
            variable.type = rules.resolved(variable.type or WEAK)
    for variable, value in free:
        found = type_of(value)
        if found in (VOID, NEVER):
            continue  # lowering says so
        if rules.joined(variable.type, found) is None:
            raise NativeError(f"{variable.lisp} is {named(variable.type)} elsewhere, and {named(found)} here; "
                              f"(the TYPE …) says what it is", value.form)  # fmt: skip
    for scope in reader.scopes:
        for variable in scope.values():
            if variable.type is None:
                variable.type = COUNTER


def _settle(assignments: list[tuple[Variable, Node]]) -> None:
    """Join the types of what is assigned until nothing changes; each join only widens."""
    changed = True
    while changed:
        changed = False
        for variable, value in assignments:
            found = type_of(value)
            if found in (None, VOID):
                continue
            new = rules.joined(variable.type, found)
            if new is not None and new is not variable.type:
                variable.type = new
                changed = True


def literal_type(value: Any) -> Any:
    """The type of a literal; None for an integer that no C type holds."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, float):
        return DOUBLE
    for found in (INT, LONG_LONG, UNSIGNED_LONG_LONG):
        if found.low <= value <= found.high:
            return WEAK if found is INT else found
    return None


def type_of(node: Node) -> Any:
    """The type of a node as far as it is known: None where its variables have none yet, or where it is wrong."""
    return _RULES[node.kind](node)


def _all(nodes: list[Node]) -> list[Any]:
    return [type_of(node) for node in nodes]


def _joined(found: list[Any]) -> Any:
    result = None
    for one in found:
        if one is VOID:
            return VOID
        if one is None:
            continue
        result = rules.joined(result, one)
        if result is None:
            return None
    return result


def _unary(node: Node) -> Any:
    found = type_of(node.value)
    return rules.promoted(found) if rules.is_number(found) else UNKNOWN if found is UNKNOWN else None


def decayed(found: Any) -> Any:
    """An array in an expression is the pointer to its first element."""
    return Pointer(rules.pointed(found)) if isinstance(found, Array) else found


def _binary(node: Node) -> Any:
    left, right = decayed(type_of(node.left)), decayed(type_of(node.right))
    if left is None or right is None:
        return left if right is None else right
    if UNKNOWN in (left, right):
        return UNKNOWN
    if rules.is_pointer(left) or rules.is_pointer(right):
        if node.sign == "-" and rules.is_pointer(left) and rules.is_pointer(right):
            return PTRDIFF
        return left if rules.is_pointer(left) else right
    found = rules.arithmetic(left, right)
    if node.sign == "/" and not isinstance(found, Real):
        return DOUBLE
    return found


def _shift(node: Node) -> Any:
    left, right = _all([node.left, node.right])
    return UNKNOWN if UNKNOWN in (left, right) else rules.promoted(left)


def _if(node: Node) -> Any:
    if node.otherwise is None:
        return NEVER if node.test.kind == "const" and node.test.value is True and type_of(node.then) is NEVER else VOID
    return _joined(_all([node.then, node.otherwise]))


def _do(node: Node) -> Any:
    if not node.body:
        return VOID
    found = _all(node.body)
    return NEVER if NEVER in found[:-1] else found[-1]


def _while(node: Node) -> Any:
    forever = node.test.kind == "const" and node.test.value is not None and bool(node.test.value)
    return NEVER if forever and not _breaks(node.body) else VOID


def _breaks(node: Any) -> bool:
    """Whether a loop's body leaves it."""
    if isinstance(node, (list, tuple)):
        return any(map(_breaks, node))
    if not isinstance(node, Node):
        return False
    if node.kind == "break":
        return True
    if node.kind in ("while", "for"):
        return False
    return any(_breaks(part) for name, part in vars(node).items() if name != "form")


def _assert(node: Node) -> Any:
    return NEVER if node.test.kind == "const" and not node.test.value else VOID


def _index(node: Node) -> Any:
    base = type_of(node.base)
    return UNKNOWN if base is UNKNOWN else rules.pointed(base)


def struct_of(found: Any) -> Any:
    """The struct whose members ``(. x member)`` means; or None."""
    if isinstance(found, Pointer):
        found = found.target.representation
    return found if isinstance(found, StructCType) else None


def _member(node: Node) -> Any:
    base = type_of(node.base)
    if base is UNKNOWN:
        return UNKNOWN
    field = field_of(base, node)
    return None if field is None else rules.plain(field.ctype)


def field_of(base: Any, node: Node) -> Any:
    found = struct_of(base)
    return next((field for field in (found.fields if found else None) or () if field.name == node.name), None)


def missing_member(base: Any, node: Node) -> NativeError:
    """Why ``(. x member)`` means nothing."""
    found = struct_of(base)
    if found is None:
        return NativeError(f"{named(base)} has no members; a struct and a pointer to one have", node.form)
    if found.fields is None:
        return NativeError(f"{found.spelling} has no members that are known", node.form)
    names = [field.name for field in found.fields if field.name]
    return NativeError(f"{found.spelling} has no member {node.name}{nearest(node.name, names)}; it has "
                       f"{', '.join(names)}", node.form)  # fmt: skip


def _call(node: Node) -> Any:
    if node.callee is not None:
        result = node.callee.signature.result
    else:
        found = type_of(node.pointer)
        if found is UNKNOWN:
            return UNKNOWN
        if not isinstance(found, FunctionPointer):
            return None
        result = found.target.result
    return VOID if result is VOID else rules.plain(result)


def _address(node: Node) -> Any:
    found = type_of(node.value)
    if isinstance(found, StructCType):
        return Pointer(found)
    return decayed(found)


_RULES = {
    "const": lambda node: literal_type(node.value),
    "text": lambda node: CHARACTERS,
    "local": lambda node: node.variable.type,
    "unknown": lambda node: UNKNOWN,
    "function": lambda node: rules.function_pointer(node.callee.signature),
    "unary": _unary,
    "not": lambda node: BOOL,
    "compare": lambda node: BOOL,
    "logic": lambda node: _joined(_all(node.items)),
    "shift": _shift,
    "binary": _binary,
    "same": lambda node: type_of(node.place),
    "if": _if,
    "do": _do,
    "set": lambda node: VOID,
    "while": _while,
    "for": lambda node: VOID,
    "break": lambda node: NEVER,
    "continue": lambda node: NEVER,
    "return": lambda node: NEVER,
    "assert": _assert,
    "the": lambda node: node.type,
    "array": lambda node: node.type,
    "struct": lambda node: node.type,
    "cast": lambda node: node.type,
    "sizeof": lambda node: SIZE,
    "address": _address,
    "index": _index,
    "member": _member,
    "call": _call,
}  # fmt: skip
