"""Lowering values: nodes become expressions, and the statements before them that their side effects need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from epsilon.native import rules
from epsilon.native.effects import negated
from epsilon.native.inference import decayed, field_of, literal_type, missing_member, struct_of, type_of
from epsilon.native.parts import Parts
from epsilon.native.rules import (
    BOOL,
    COUNTER,
    DOUBLE,
    INT,
    LONG_LONG,
    NEVER,
    NULL,
    PTRDIFF,
    SIZE,
    UNKNOWN,
    WEAK,
    NativeError,
    named,
    saturated,
)
from epsilon.native.source import LINE, written
from epsilon.native.tree import Expression, Node, Step, constant, truth
from epsilon.typesystem import VOID, Array, Boolean, FunctionPointer, Integer, Real, StructCType

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class Values(Parts):
    """Lowers what has a value."""

    result: Any
    same: list[Expression]
    deliver: Callable[[Node, Any], None]  #: ``lowering.Lowering`` has it

    def value(self, node: Node, want: Any = None) -> Expression:
        """The value of a node; ``want`` is the type that it will be converted to, a hint for literals."""
        return getattr(self, "value_" + node.kind, self.value_of_statement)(node, want)

    def natural(self, node: Node, want: Any) -> Any:
        """The type of a node, where literals alone do not make one."""
        found = type_of(node)
        if found is WEAK:
            return want if isinstance(want, (Integer, Real)) else COUNTER
        if found is NULL:
            return want if rules.is_pointer(want) else rules.resolved(NULL)
        return found

    def value_of_statement(self, node: Node, want: Any) -> Expression:
        found = self.natural(node, want)
        if found is VOID:
            raise NativeError(f"{written(node.form)} gives no value", node.form)
        if found is None:
            raise NativeError(f"the parts of {written(node.form)} have no type in common", node.form)
        if found is NEVER:
            self.deliver(node, None)
            return constant(NEVER, 0)
        if found is UNKNOWN:
            self.separately(lambda: self.deliver(node, None))
            return constant(UNKNOWN, 0)
        place = self.name(self.temporary(found))
        self.deliver(node, place)
        return place

    def value_const(self, node: Node, want: Any) -> Expression:
        found = literal_type(node.value)
        if found is None:
            raise NativeError(f"{node.value} fits no C integer", node.form)
        return constant(found, int(node.value) if isinstance(node.value, bool) else node.value)

    def value_text(self, node: Node, want: Any) -> Expression:
        return Expression("text", type_of(node), data=node.data)

    def value_local(self, node: Node, want: Any) -> Expression:
        return self.name(node.variable)

    def value_unknown(self, node: Node, want: Any) -> Expression:
        for item in node.items or ():
            self.separately(lambda item=item: self.value(item))
        return constant(UNKNOWN, 0)

    def value_function(self, node: Node, want: Any) -> Expression:
        return Expression("function", type_of(node), callee=node.callee)

    def value_same(self, node: Node, want: Any) -> Expression:
        return self.same[-1]

    def value_the(self, node: Node, want: Any) -> Expression:
        return self.fit(self.value(node.value, node.type), node.type, node.value.form, "the type said")

    def value_sizeof(self, node: Node, want: Any) -> Expression:
        found = type_of(node.value)
        number = getattr(found, node.what, None)
        return constant(UNKNOWN, 0) if found is UNKNOWN else constant(SIZE, number or 0)

    def value_address(self, node: Node, want: Any) -> Expression:
        value = self.value(node.value)
        if value.type is UNKNOWN or rules.is_pointer(value.type):
            return value
        if not isinstance(value.type, (StructCType, Array)):
            raise NativeError(f"{written(node.value.form)} is {named(value.type)}, no struct", node.form)
        return self.address(value)

    def number(self, node: Node, want: Any, sign: str, integer: bool = False) -> Expression:
        value = self.value(node, want)
        if value.type in (UNKNOWN, NEVER):
            return value
        if not rules.is_number(value.type) or integer and isinstance(value.type, Real):
            wanted = "an integer" if integer else "a number"
            given = "gives no value" if value.type is VOID else f"is {named(value.type)}"
            raise NativeError(f"{sign} takes {wanted}, and {written(node.form)} {given}", node.form)
        return value

    def value_unary(self, node: Node, want: Any) -> Expression:
        value = self.number(node.value, want, "bnot" if node.sign == "~" else node.sign, node.sign == "~")
        if value.type is UNKNOWN:
            return value
        found = rules.promoted(value.type)
        if found is WEAK or found is NEVER:
            found = self.natural(node, want) if found is WEAK else INT
        value = self.converted(value, found)
        return value if node.sign == "+" else Expression("unary", found, sign=node.sign, value=value)

    def value_not(self, node: Node, want: Any) -> Expression:
        return negated(self.condition(node.value))

    def value_shift(self, node: Node, want: Any) -> Expression:
        left, count = self.ordered(
            node.form,
            lambda: self.number(node.left, want, node.sign, True),
            lambda: self.number(node.right, None, node.sign, True),
        )
        if UNKNOWN in (left.type, count.type):
            return constant(UNKNOWN, 0)
        found = rules.promoted(left.type)
        if not isinstance(found, Integer):
            found = self.natural(node, want)
        left = self.converted(left, found)
        if count.op == "const":
            if count.value < 0:
                return self.stopped(found, "ValueError", "negative shift count", left, node)
            return Expression("binary", found, sign=node.sign, left=left, right=count)
        count = self.converted(count, rules.promoted(count.type))
        if count.type.low < 0:
            count = self.pinned(count, node.form)
            if left.has("call"):
                left = self.pinned(left, node.form)
            negative = Expression("compare", BOOL, sign="<", left=count, right=constant(count.type, 0))
            self.stop_if(negative, "ValueError", "negative shift count", node.form)
        return Expression("binary", found, sign=node.sign, left=left, right=count)

    def value_binary(self, node: Node, want: Any) -> Expression:
        natural = type_of(node)
        if rules.is_pointer(decayed(natural)) or natural is PTRDIFF and self.is_distance(node):
            return self.pointer_arithmetic(node)
        integer = node.sign in "&|^"
        hint = natural if natural not in (None, WEAK) else want
        left, right = self.ordered(
            node.form,
            lambda: self.number(node.left, hint, node.sign, integer),
            lambda: self.number(node.right, hint, node.sign, integer),
        )
        if UNKNOWN in (left.type, right.type):
            return constant(UNKNOWN, 0)
        found = rules.arithmetic(left.type, right.type)
        if found is WEAK:
            found = want if isinstance(want, Integer) and want.size >= 4 else COUNTER
        if found is NEVER:
            return constant(NEVER, 0)
        if node.sign == "/" and not isinstance(found, Real):
            raise NativeError(f"/ is for floats, and {written(node.form)} divides integers; // divides them, "
                              f"(cast … :double) makes one a float", node.form)  # fmt: skip
        if left.op == "const" and right.op == "const" and isinstance(found, Real) and node.sign in "+-*":
            pass  # the compiler folds it
        left, right = self.converted(left, found), self.converted(right, found)
        if node.sign in ("/", "//", "%"):
            return self.division(node, found, left, right)
        return Expression("binary", found, sign=node.sign, left=left, right=right)

    def stopped(self, found: Any, error: str, text: str, left: Expression, node: Node) -> Expression:
        """What stands for a value that there never is."""
        if left.has("call"):
            self.add("run", node.form, value=left)
        self.stop_if(truth(True), error, text, node.form)
        return self.converted(constant(INT, 0), found)

    def is_distance(self, node: Node) -> bool:
        return rules.is_pointer(decayed(type_of(node.left))) and rules.is_pointer(decayed(type_of(node.right)))

    def division(self, node: Node, found: Any, left: Expression, right: Expression) -> Expression:
        wide = found
        if isinstance(found, Real) and node.sign != "/":
            wide = DOUBLE  # Python's algorithm, in Python's precision
        if right.op == "const":
            if right.value == 0:
                return self.stopped(found, "ZeroDivisionError", "division by zero", left, node)
        else:
            right = self.pinned(right, node.form)
            if left.has("call"):
                left = self.pinned(left, node.form)
            zero = Expression("compare", BOOL, sign="==", left=right,
                              right=constant(found, 0.0 if isinstance(found, Real) else 0))  # fmt: skip
            self.stop_if(zero, "ZeroDivisionError", "division by zero", node.form)
        left, right = self.converted(left, wide), self.converted(right, wide)
        return self.converted(Expression("binary", wide, sign=node.sign, left=left, right=right), found)

    def pointer_arithmetic(self, node: Node) -> Expression:
        left, right = self.ordered(node.form, lambda: self.value(node.left), lambda: self.value(node.right))
        left, right = (self.address(one) if isinstance(one.type, Array) else one for one in (left, right))
        if self.is_distance(node) and node.sign == "-":
            if rules.pointed(left.type) is not rules.pointed(right.type) or rules.pointed(left.type) is None:
                raise NativeError(f"{named(left.type)} and {named(right.type)} have no distance; cast makes both "
                                  "pointers to the same", node.form)  # fmt: skip
            return Expression("distance", PTRDIFF, left=left, right=right)
        if not rules.is_pointer(left.type) and node.sign == "+":
            left, right = right, left
        if node.sign not in "+-" or not rules.is_pointer(left.type) or not (
                rules.is_integer(right.type) or right.type in (WEAK, BOOL)):  # fmt: skip
            raise NativeError(f"{node.sign} of {named(left.type)} and {named(right.type)}: of a pointer, + and - take "
                              "an integer", node.form)  # fmt: skip
        self.sized(left.type, node)
        if right.type is WEAK:
            right = self.converted(right, PTRDIFF)
        if node.sign == "-":
            right = Expression("unary", PTRDIFF, sign="-", value=self.converted(right, PTRDIFF))
        return Expression("offset", left.type, pointer=left, index=right)

    def sized(self, found: Any, node: Node) -> Any:
        """What a pointer points to, which has a size."""
        target = rules.pointed(found)
        if target is None or target.size is None:
            if isinstance(found, FunctionPointer):
                raise NativeError(f"{named(found)} is a function", node.form)
            if not rules.is_pointer(found) and not isinstance(found, Array):
                raise NativeError(f"{written(node.form)}: {named(found)} is no pointer", node.form)
            raise NativeError(f"{named(found)} has no elements of a known size; (cast p (:pointer :char)) gives it "
                              "some", node.form)  # fmt: skip
        return target

    # --- conditions ---

    def condition(self, node: Node) -> Expression:
        """The truth of a node."""
        if node.kind == "logic":
            return self.logic_condition(node)
        value = self.value(node)
        if value.type is VOID:
            raise NativeError(f"{written(node.form)} gives no value, and a condition is wanted", node.form)
        if isinstance(value.type, (Array, StructCType)):
            text = f"{written(node.form)} is {named(value.type)}, which is neither true nor false"
            raise NativeError(text, node.form)
        return self.nonzero(value)

    def logic_condition(self, node: Node) -> Expression:
        first, *others = node.items
        found = self.condition(first)
        for item in others:
            steps, value = self.separately(lambda item=item: self.condition(item))
            if not steps:
                found = Expression("logic", BOOL, sign=node.sign, left=found, right=value)
                continue
            place = self.name(self.temporary(BOOL))
            self.add("set", node.form, place=place, value=found)
            steps.append(Step("set", item.form[LINE], place=place, value=value))
            self.add("if", item.form, condition=place if node.sign == "&&" else negated(place), then=steps,
                     otherwise=[])  # fmt: skip
            found = place
        return found

    def value_logic(self, node: Node, want: Any) -> Expression:
        if all(type_of(item) in (BOOL, UNKNOWN) for item in node.items):
            return self.logic_condition(node)
        found = self.natural(node, want)
        if found in (None, VOID):
            raise NativeError(f"the parts of {written(node.form)} have no type in common", node.form)
        if found is NEVER:
            found = INT
        place = self.name(self.temporary(found))
        self.deliver(node.items[0], place)
        self.logic_rest(node, 1, place)
        return place

    def logic_rest(self, node: Node, index: int, place: Expression) -> None:
        if index == len(node.items):
            return

        def work() -> None:
            self.deliver(node.items[index], place)
            self.logic_rest(node, index + 1, place)

        steps, _ = self.separately(work)
        condition = self.nonzero(place)
        self.add("if", node.items[index].form, condition=condition if node.sign == "&&" else negated(condition),
                 then=steps, otherwise=[])  # fmt: skip

    def value_if(self, node: Node, want: Any) -> Expression:
        found = self.natural(node, want)
        never = node.otherwise is not None and NEVER in (type_of(node.then), type_of(node.otherwise))
        if node.otherwise is None or never or not rules.is_scalar(found):
            return self.value_of_statement(node, want)
        condition = self.condition(node.test)
        arms = [self.separately(lambda arm=arm: self.fit(self.value(arm, found), found, arm.form, "the value"))
                for arm in (node.then, node.otherwise)]  # fmt: skip
        if not (arms[0][0] or arms[1][0]):
            return Expression("select", found, condition=condition, left=arms[0][1], right=arms[1][1])
        place = self.name(self.temporary(found))
        (then, yes), (otherwise, no) = arms
        then.append(Step("set", node.then.form[LINE], place=place, value=yes))
        otherwise.append(Step("set", node.otherwise.form[LINE], place=place, value=no))
        self.add("if", node.form, condition=condition, then=then, otherwise=otherwise)
        return place

    def value_compare(self, node: Node, want: Any) -> Expression:
        values = self.ordered(node.form, *(lambda item=item: self.value(item, self.hint(node)) for item in node.items))
        if len(values) == 1:
            return truth(True)
        for item, value in zip(node.items, values, strict=True):
            if value.type is VOID or isinstance(value.type, StructCType):
                raise NativeError(f"{written(item.form)} {'gives no value' if value.type is VOID else 'is a struct'}, "
                                  "and cannot be compared", item.form)  # fmt: skip
        for index in range(1, len(values) - 1):
            values[index] = self.pinned(values[index], node.form)
        found: Expression | None = None
        for sign, (left, right) in zip(node.signs, zip(values, values[1:], strict=False), strict=True):
            one = self.comparison(sign, left, right, node)
            found = one if found is None else Expression("logic", BOOL, sign="&&", left=found, right=one)
        return found

    def hint(self, node: Node) -> Any:
        """The type that the literals of a comparison take."""
        found = [type_of(item) for item in node.items]
        return next((one for one in found if isinstance(one, (Integer, Real))), None)

    def comparison(self, sign: str, left: Expression, right: Expression, node: Node) -> Expression:
        if UNKNOWN in (left.type, right.type) or NEVER in (left.type, right.type):
            return truth(True)
        left, right = (self.address(one) if isinstance(one.type, Array) else one for one in (left, right))
        if rules.is_pointer(left.type) or rules.is_pointer(right.type) or NULL in (left.type, right.type):
            if not (rules.fits(left.type, right.type) or rules.fits(right.type, left.type)):
                raise NativeError(f"{named(left.type)} and {named(right.type)} cannot be compared", node.form)
            if left.type is NULL and right.type is NULL:
                return truth(sign in ("==", "<=", ">="))
            found = left.type if right.type is NULL else right.type if left.type is NULL else left.type
            left, right = self.converted(left, found), self.converted(right, found)
            return Expression("compare", BOOL, sign=sign, left=left, right=right)
        if isinstance(left.type, Real) or isinstance(right.type, Real):
            found = rules.arithmetic(left.type, right.type)
        else:
            left, right = self.concrete(left, right), self.concrete(right, left)
            left, right = (self.converted(one, rules.promoted(one.type)) for one in (left, right))
            found = rules.joined(left.type, right.type)
        if found is None:
            return self.mixed(sign, left, right, node)
        left, right = self.converted(left, found), self.converted(right, found)
        return Expression("compare", BOOL, sign=sign, left=left, right=right)

    def concrete(self, value: Expression, other: Expression) -> Expression:
        """A literal as one of the type that it is compared with, if it fits there."""
        if value.type is not WEAK:
            return value
        found = rules.promoted(other.type) if isinstance(other.type, (Integer, Boolean)) else COUNTER
        if not found.low <= value.value <= found.high:
            found = LONG_LONG
        return constant(found, value.value)

    def mixed(self, sign: str, left: Expression, right: Expression, node: Node) -> Expression:
        """A comparison of 64 bits with a sign to 64 without one: no C type holds both."""
        if left.type.low == 0:
            left, right, sign = right, left, _MIRRORED[sign]
        left, right = self.pinned(left, node.form), self.pinned(right, node.form)
        negative = Expression("compare", BOOL, sign="<", left=left, right=constant(left.type, 0))
        plain = Expression("compare", BOOL, sign=sign, left=self.converted(left, right.type), right=right)
        if sign in ("<", "<=", "!="):
            return Expression("logic", BOOL, sign="||", left=negative, right=plain)
        return Expression("logic", BOOL, sign="&&", left=negated(negative), right=plain)

    # --- memory ---

    def value_index(self, node: Node, want: Any) -> Expression:
        base, index = self.ordered(node.form, lambda: self.value(node.base), lambda: self.value(node.index))
        if base.type is UNKNOWN:
            return base
        target = self.sized(base.type, node)
        if index.type is UNKNOWN:
            return index
        if not (rules.is_integer(index.type) or index.type in (WEAK, BOOL)):
            raise NativeError(f"an index is an integer, and {written(node.index.form)} is {named(index.type)}",
                              node.index.form)  # fmt: skip
        if isinstance(base.type, Array):
            if base.op == "call":
                base = self.address(base)
            elif index.op == "const" and not 0 <= index.value < base.type.length:
                raise NativeError(f"{named(base.type)} has no element {index.value}", node.form)
        if index.op == "const" and index.value == 0 and not isinstance(base.type, Array):
            return Expression("deref", target, pointer=base)
        index = self.converted(index, PTRDIFF) if index.type in (WEAK, BOOL) else index
        return Expression("element", target, base=base, index=index)

    def value_member(self, node: Node, want: Any) -> Expression:
        base = self.value(node.base)
        if base.type is UNKNOWN:
            return base
        return self.member(base, node)

    def member(self, base: Expression, node: Node) -> Expression:
        field = field_of(base.type, node)
        if field is None:
            raise missing_member(base.type, node)
        found = rules.plain(field.ctype)
        if found is None:
            text = f"the member {field.name} is {field.ctype.spelling}, which native code has not"
            raise NativeError(text, node.form)
        if rules.is_pointer(base.type):
            base = Expression("deref", struct_of(base.type), pointer=base)
        elif base.op in ("call", "select"):
            base = self.pinned(base, node.form)
        return Expression("member", found, base=base, field=field)

    # --- casts and calls ---

    def value_cast(self, node: Node, want: Any) -> Expression:
        wanted = node.type
        value = self.value(node.value, wanted if rules.is_number(wanted) else None)
        if UNKNOWN in (wanted, value.type):
            return constant(UNKNOWN, 0)
        if wanted is VOID or isinstance(wanted, (Array, StructCType)):
            raise NativeError(f"cast gives numbers and pointers, not {named(wanted)}", node.form)
        if value.type in (VOID, NEVER):
            raise NativeError(f"{written(node.value.form)} gives no value", node.form)
        if isinstance(value.type, (Array, StructCType)):
            value = self.address(value)
        if value.type is WEAK:
            value = constant(LONG_LONG, value.value)
        real = isinstance(wanted, Real) or isinstance(value.type, Real)
        if real and (rules.is_pointer(wanted) or rules.is_pointer(value.type)):
            raise NativeError(f"{named(value.type)} cannot be cast to {named(wanted)}", node.form)
        if value.op == "const" and isinstance(value.value, float) and isinstance(wanted, Integer):
            return constant(wanted, saturated(value.value, wanted))
        if wanted is BOOL:
            return self.nonzero(value)
        return self.converted(value, wanted)

    def value_call(self, node: Node, want: Any) -> Expression:
        if node.callee is not None:
            signature, called = node.callee.signature, node.callee.name
        else:
            found = type_of(node.pointer)
            if found is UNKNOWN:
                return self.value_unknown(Node("unknown", node.form, items=node.arguments), want)
            if not isinstance(found, FunctionPointer):
                raise NativeError(f"{written(node.pointer.form)} is {named(found)}, and cannot be called", node.form)
            signature, called = found.target, written(node.pointer.form)
        count = len(signature.parameters)
        if len(node.arguments) != count and not (signature.variadic and len(node.arguments) > count):
            raise NativeError(f"{called} takes {count} argument{'s' * (count != 1)}, and {len(node.arguments)} "
                              f"{'is' if len(node.arguments) == 1 else 'are'} given", node.form)  # fmt: skip
        makers = []
        if node.callee is None:
            makers.append(lambda: self.value(node.pointer))
        for index, argument in enumerate(node.arguments):
            wanted = rules.parameter_type(signature.parameters[index]) if index < count else None
            makers.append(lambda argument=argument, wanted=wanted, index=index: self.argument(
                argument, wanted, f"argument {index + 1} of {called}"))  # fmt: skip
        values = self.ordered(node.form, *makers)
        result = VOID if signature.result is VOID else rules.plain(signature.result)
        if node.callee is None:
            return Expression("call", result, pointer=values[0], callee=None, arguments=values[1:])
        return Expression("call", result, callee=node.callee, arguments=values)

    def argument(self, node: Node, wanted: Any, what: str) -> Expression:
        value = self.value(node, wanted)
        if wanted is not None:
            if wanted in (None, UNKNOWN):
                return value
            if isinstance(value.type, StructCType) and value.type is not wanted and rules.is_pointer(wanted):
                rules_fit = rules.fits(value.type, wanted)
                value = self.address(value) if rules_fit else value
            return self.fit(value, wanted, node.form, what)
        if value.type is WEAK:  # C11 §6.5.2.2: the default argument promotions
            return self.converted(value, INT)
        if value.type is NULL:
            return self.converted(value, rules.resolved(NULL))
        if isinstance(value.type, Array):
            return self.address(value)
        if isinstance(value.type, Real):
            return self.converted(value, DOUBLE)
        if isinstance(value.type, StructCType) or value.type is VOID:
            raise NativeError(f"{what} is {named(value.type)}", node.form)
        return self.converted(value, rules.promoted(value.type))
