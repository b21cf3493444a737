"""Lowering: from nodes to statements and expressions, in Lisp's order of evaluation.

C does not say in which order operands are evaluated, and has no statement in an expression.  So what has a side effect
moves out of an expression, before it; what was to be evaluated earlier and could be changed by it is put in a temporary
first.  Here everything is checked: whatever does not fit is a ``NativeError`` with its form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from epsilon.native import rules
from epsilon.native.inference import decayed, field_of, infer, literal_type, missing_member, struct_of, type_of
from epsilon.native.reading import Reader
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
)
from epsilon.native.source import LINE, written
from epsilon.native.tree import Expression, Node, Step, Variable, constant, truth
from epsilon.typesystem import VOID, Array, Boolean, FunctionPointer, Integer, Pointer, Real, StructCType, decay

RETURN = "return"
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class Lowered:
    """A native in statements: its parameters as C has them, its other variables, and its body."""

    def __init__(
        self, name: str, parameters: list[Variable], locals: list[Variable], body: list[Step], answer: Expression | None
    ):
        self.name, self.parameters, self.locals, self.body = name, parameters, locals, body
        #: what the caller gets when it stops, where the result is a number or a pointer
        self.answer = answer


def lower(reader: Reader, name: str, on_error: Any = None) -> Lowered:
    """The statements of a native, which error texts call ``name``; it gives ``on_error``, or zero, when it stops."""
    infer(reader)
    return Lowering(reader).whole(name, on_error)


class Lowering:
    """Lowers one native."""

    def __init__(self, reader: Reader):
        self.reader = reader
        self.result = rules.plain(reader.result)
        self.steps: list[Step] = []
        self.locals: dict[Variable, None] = {}
        self.same: list[Expression] = []
        #: the variables that are seen only in the loops that count with them
        self.outside: set[Variable] = set()
        self.note_outside(reader.body, frozenset())

    def whole(self, name: str, on_error: Any) -> Lowered:
        parameters = []
        for variable in self.reader.parameters:
            if variable.behind is None:
                parameters.append(variable)
                continue
            pointer = Variable(f"{variable.lisp}_pointer", variable.behind, True)
            pointer.parameter = True
            parameters.append(pointer)
            self.locals[variable] = None
            given, form = self.name(pointer), self.reader.body.form
            null = Expression("compare", BOOL, sign="==", left=given, right=constant(pointer.type, 0))
            text = f"{variable.lisp} is NULL, and a pointer to {named(variable.type)} is wanted"
            self.stop_if(null, "ForeignValueError", text, form, "")
            self.add("set", form, place=self.name(variable),
                     value=Expression("deref", variable.type, pointer=given))  # fmt: skip
        body = self.reader.body
        if self.result is VOID:
            self.deliver(body, None)
        else:
            found = type_of(body)
            last = body.body[-1] if body.kind == "do" and body.body else body
            if found is VOID or found is None and not body.body:
                raise NativeError(f"the result is {named(self.result)}, and "
                                  f"{'the body is empty' if last is body else written(last.form) + ' gives no value'}",
                                  last.form)  # fmt: skip
            self.deliver(body, RETURN)
        used = [one for one in self.locals if not one.parameter or one.behind is not None]
        return Lowered(name, parameters, used, self.steps, self.answer(on_error))

    def answer(self, on_error: Any) -> Expression | None:
        """What the caller gets when the native stops."""
        if not rules.is_scalar(self.result):
            if on_error is not None:
                text = f"on-error is a number, and the result is {named(self.result)}"
                raise NativeError(text, self.reader.body.form)
            return None
        given = constant(literal_type(0 if on_error is None else on_error), 0 if on_error is None else on_error)
        if on_error is None or rules.is_pointer(self.result) and on_error == 0:
            return self.converted(given, self.result)
        return self.fit(given, self.result, (*self.reader.body.form[:2], "?", f"on-error {on_error}"), "the result")

    # --- small parts ---

    def add(self, op: str, form: tuple, **parts: Any) -> None:
        self.steps.append(Step(op, form[LINE], **parts))

    def temporary(self, found: Any, name: str = "t") -> Variable:
        variable = Variable(name, found, True)
        self.locals[variable] = None
        return variable

    def name(self, variable: Variable) -> Expression:
        if not variable.parameter:
            self.locals.setdefault(variable)
        return Expression("name", variable.type, variable=variable)

    def separately(self, work: Callable[[], Any]) -> tuple[list[Step], Any]:
        """What ``work`` adds, apart, and what it gives."""
        before, self.steps = self.steps, []
        try:
            found = work()
            return self.steps, found
        finally:
            self.steps = before

    def stop_if(self, condition: Expression, error: str, text: str, form: tuple, shown: str | None = None) -> None:
        """End the function where something is wrong; an error's text ends with the form."""
        shown = written(form) if shown is None else shown
        stop = Step("stop", form[LINE], error=error, text=text, form=shown)
        self.add("if", form, condition=condition, then=[stop], otherwise=[])

    def pinned(self, value: Expression, form: tuple) -> Expression:
        """Something that can stand twice: the value, or a temporary that has it."""
        if value.op in ("const", "name", "function"):
            return value
        place = self.name(self.temporary(value.type))
        self.add("set", form, place=place, value=value)
        return place

    def ordered(self, form: tuple, *makers: Callable[[], Expression]) -> list[Expression]:
        """The values of ``makers``, evaluated from the left."""
        done: list[Expression] = []
        for make in makers:
            mark = len(self.steps)
            value = make()
            new = self.steps[mark:]
            if new or value.has("call"):
                changed = set().union(*(step.assigned() for step in new))
                disturbs = value.has("call") or any(map(_disturbs, new))
                pins = []
                for index, earlier in enumerate(done):
                    if earlier.has("call") or earlier.variables() & changed or (disturbs and _loads(earlier)):
                        if not rules.is_scalar(earlier.type) and not isinstance(earlier.type, StructCType):
                            continue
                        place = self.name(self.temporary(rules.resolved(earlier.type)))
                        pins.append(Step("set", form[LINE], place=place, value=self.converted(earlier, place.type)))
                        done[index] = place
                self.steps[mark:mark] = pins
            done.append(value)
        return done

    # --- conversions ---

    def fit(self, value: Expression, wanted: Any, form: tuple, what: str) -> Expression:
        """A value where one of type ``wanted`` is wanted; ``what`` tells an error what it is wanted for."""
        given = value.type
        if given in (VOID, NEVER) and given is VOID:
            raise NativeError(f"{written(form)} gives no value, and {what} is {named(wanted)}", form)
        if not rules.fits(given, wanted):
            hint = ""
            if rules.is_number(given) and rules.is_number(wanted):
                hint = f"; (cast {written(form)} :{_word(wanted)}) cuts it off"
            elif rules.is_pointer(given) and rules.is_pointer(wanted):
                hint = "; cast says that it is one"
            raise NativeError(f"{what} is {named(wanted)}, and {written(form)} is {named(given)}{hint}", form)
        if value.op == "const" and type(value.value) is int and isinstance(wanted, Integer) and given is not NULL:
            if not wanted.low <= value.value <= wanted.high:
                raise NativeError(f"{value.value} does not fit {named(wanted)}, which goes from {wanted.low} to "
                                  f"{wanted.high}; (cast {value.value} :{_word(wanted)}) wraps it", form)  # fmt: skip
        return self.converted(value, wanted)

    def converted(self, value: Expression, wanted: Any) -> Expression:
        """The value as one of another type; that it can be one is known."""
        given = value.type
        if given is wanted or wanted is UNKNOWN:
            return value
        if given in (UNKNOWN, NEVER):
            return constant(wanted, 0)
        if isinstance(given, (Array, StructCType)):
            return self.converted(self.address(value), wanted)
        if value.op == "const" and not rules.is_pointer(given):
            number = 0 if value.value is None else value.value
            if isinstance(wanted, Boolean):
                return constant(wanted, int(bool(number)))
            if isinstance(wanted, Integer) and isinstance(number, int):
                return constant(wanted, wrapped(number, wanted))
            if isinstance(wanted, Real):
                return constant(wanted, _rounded(number, wanted))
            if rules.is_pointer(wanted) and number == 0:
                return constant(wanted, 0)
        if isinstance(wanted, Boolean):
            return self.nonzero(value)
        return Expression("convert", wanted, value=value)

    def address(self, place: Expression) -> Expression:
        """The pointer to a struct, or to an array's first element."""
        if place.op in ("call", "select"):
            variable = self.temporary(place.type, "whole")
            self.steps.append(Step("set", self.reader.body.form[LINE], place=self.name(variable), value=place))
            place = self.name(variable)
        found = decayed(place.type) if isinstance(place.type, Array) else Pointer(place.type)
        return Expression("address", found, place=place)

    def nonzero(self, value: Expression) -> Expression:
        """The truth of a value."""
        if value.type is BOOL:
            return value
        if value.op == "const":
            return truth(bool(value.value))
        if isinstance(value.type, (Array, StructCType)) or value.type in (UNKNOWN, NEVER):
            return truth(True)
        zero = constant(value.type, 0.0 if isinstance(value.type, Real) else 0)
        return Expression("compare", BOOL, sign="!=", left=value, right=zero)

    # --- statements ---

    def deliver(self, node: Node, target: Any) -> None:
        """Evaluate a node for ``target``: None to drop its value, RETURN, or the place that it goes to."""
        method = getattr(self, "deliver_" + node.kind, None)
        if method is not None:
            method(node, target)
            return
        self.finish(self.value(node, self.wanted(target)), target, node.form)

    def wanted(self, target: Any) -> Any:
        if target is None:
            return None
        return self.result if target is RETURN else target.type

    def finish(self, value: Expression, target: Any, form: tuple) -> None:
        if value.type is NEVER:
            return
        if target is None:
            if value.has("call"):
                self.add("run", form, value=value)
        elif target is RETURN:
            self.add("return", form, value=self.fit(value, self.result, form, "the result"))
        else:
            what = target.variable.lisp if target.op == "name" else "what is assigned to"
            self.add("set", form, place=target, value=self.fit(value, target.type, form, what))

    def no_value(self, node: Node, target: Any) -> None:
        """A node without a value is wanted for one."""
        if target is not None:
            what = "the result" if target is RETURN else target.variable.lisp if target.op == "name" else "the place"
            raise NativeError(f"{written(node.form)} gives no value, and {what} is {named(self.wanted(target))}",
                              node.form)  # fmt: skip

    def deliver_do(self, node: Node, target: Any) -> None:
        if not node.body:
            self.no_value(node, target)
        ended = False
        for index, part in enumerate(node.body):
            last = index == len(node.body) - 1
            self.deliver(part, target if last and not ended else None)
            ended = ended or type_of(part) is NEVER

    def deliver_if(self, node: Node, target: Any) -> None:
        if node.otherwise is None and type_of(node) is not NEVER:
            self.no_value(node, target)
        if node.test.kind == "const" and node.otherwise is not None:
            self.deliver(node.then if node.test.value else node.otherwise, target)
            return
        condition = self.condition(node.test)
        then, _ = self.separately(lambda: self.deliver(node.then, target))
        otherwise, _ = self.separately(lambda: node.otherwise and self.deliver(node.otherwise, target))
        self.add("if", node.form, condition=condition, then=then, otherwise=otherwise)

    def deliver_logic(self, node: Node, target: Any) -> None:
        if target is not None:
            self.finish(self.value(node, self.wanted(target)), target, node.form)
            return
        self.logic_effect(node, 0)

    def logic_effect(self, node: Node, index: int) -> None:
        if index == len(node.items) - 1:
            self.deliver(node.items[index], None)
            return
        condition = self.condition(node.items[index])
        rest, _ = self.separately(lambda: self.logic_effect(node, index + 1))
        if rest or condition.has("call"):
            if node.sign == "||":
                condition = negated(condition)
            self.add("if", node.form, condition=condition, then=rest, otherwise=[])

    def deliver_while(self, node: Node, target: Any) -> None:
        if type_of(node) is not NEVER:
            self.no_value(node, target)
        before, condition = self.separately(lambda: self.condition(node.test))
        body, _ = self.separately(lambda: self.deliver(node.body, None))
        if before:
            leave = Step("if", node.form[LINE], condition=negated(condition),
                         then=[Step("break", node.form[LINE])], otherwise=[])  # fmt: skip
            condition, body = truth(True), [*before, leave, *body]
        self.add("while", node.form, condition=condition, body=body)

    def deliver_for(self, node: Node, target: Any) -> None:
        self.no_value(node, target)
        variable, form = node.variable, node.form
        found = variable.type
        if found is not UNKNOWN and not rules.is_integer(found):
            raise NativeError(f"{variable.lisp} counts, and is {named(found)}", form)
        makers = [self.range_limit(limit, found) for limit in (node.start, node.stop, node.step)]
        start, stop, step = self.ordered(form, *makers)
        if step.op == "const":
            if step.value == 0:
                raise NativeError("the step of a range is not 0", node.step.form)
        else:
            step = self.pinned(step, form)
            zero = Expression("compare", BOOL, sign="==", left=step, right=constant(step.type, 0))
            self.stop_if(zero, "ValueError", "the step of the range is zero", node.step.form)
        body, _ = self.separately(lambda: self.deliver(node.body, None))
        changed = set().union(*(inner.assigned() for inner in body))
        if stop.op != "const" and not (stop.op == "name" and stop.variable not in changed | {variable}):
            limit = self.name(self.temporary(stop.type, "stop"))
            self.add("set", form, place=limit, value=stop)
            stop = limit
        if step.op == "name" and step.variable in changed:
            fixed = self.name(self.temporary(step.type, "step"))
            self.add("set", form, place=fixed, value=step)
            step = fixed
        alone = variable not in self.outside and variable not in changed and not variable.parameter
        if not alone:
            self.name(variable)
        self.add("count", form, variable=variable, start=start, stop=stop, step=step, body=body, alone=alone)

    def range_limit(self, node: Node, found: Any) -> Callable[[], Expression]:
        def make() -> Expression:
            value = self.value(node, found)
            if isinstance(value.type, Real) or rules.is_pointer(value.type):
                raise NativeError(f"a range is of integers, and {written(node.form)} is {named(value.type)}", node.form)
            if found is UNKNOWN:
                return value
            return self.fit(value, found, node.form, "the range")

        return make

    def deliver_set(self, node: Node, target: Any) -> None:
        self.no_value(node, target)
        place, value = node.place, node.value
        if place.kind == "local":
            if value.kind in ("shift", "binary") and value.left.kind == "same":
                self.same.append(self.value(place))
                self.deliver(value, self.same[-1])
                self.same.pop()
                return
            if place.variable.type is None:
                place.variable.type = COUNTER
            if isinstance(place.variable.type, Array) and value.kind != "array":
                raise NativeError(f"{place.variable.lisp} is an array; its elements are assigned, with (setv (get "
                                  f"{place.variable.lisp} i) …)", node.form)  # fmt: skip
            self.deliver(value, self.name(place.variable))
            return
        if value.kind in ("shift", "binary") and value.left.kind == "same":
            spot = self.writable(place)
            if _contains(value.right, ("set", "call", "do")):
                spot = self.settled(spot, node.form)
            self.same.append(spot)
            made = self.value(value, spot.type)
            self.same.pop()
            self.add("set", node.form, place=spot, value=self.fit(made, spot.type, value.form, "the place"))
            return
        if value.kind in ("array", "struct"):
            self.deliver(value, self.writable(place))
            return
        steps, spot = self.separately(lambda: self.writable(place))
        made = self.value(value, spot.type)
        made = self.fit(made, spot.type, value.form, "what is assigned to")
        inner = [part for part in spot.below()]
        if steps or (made.has("call") and any(_loads(part) or part.has("call") for part in inner)):
            if rules.is_scalar(made.type):
                made = self.pinned(made, node.form)
        self.steps += steps
        self.add("set", node.form, place=spot, value=made)

    def settled(self, spot: Expression, form: tuple) -> Expression:
        """A place whose parts are evaluated already."""
        parts = dict(spot.parts)
        for name in ("pointer", "index"):
            part = parts.get(name)
            if part is not None and part.op != "const":
                pin = self.name(self.temporary(rules.resolved(part.type)))
                self.add("set", form, place=pin, value=self.converted(part, pin.type))
                parts[name] = pin
        base = parts.get("base")
        if base is not None:
            if rules.is_pointer(base.type):
                pin = self.name(self.temporary(base.type))
                self.add("set", form, place=pin, value=base)
                parts["base"] = pin
            else:
                parts["base"] = self.settled(base, form)
        return Expression(spot.op, spot.type, **parts)

    def writable(self, node: Node) -> Expression:
        place = self.value(node)
        if isinstance(place.type, Array):
            raise NativeError(f"{written(node.form)} is an array; its elements are assigned", node.form)
        if _is_const(place):
            raise NativeError(f"{written(node.form)} is behind a const pointer, and C must not write there", node.form)
        return place

    def deliver_return(self, node: Node, target: Any) -> None:
        if node.value is None:
            if self.result is not VOID:
                raise NativeError(f"(return VALUE) is wanted; the result is {named(self.result)}", node.form)
            self.add("return", node.form, value=None)
        elif self.result is VOID:
            if not (node.value.kind == "const" and node.value.value is None):
                raise NativeError("the result is void, and (return) has no value", node.form)
            self.add("return", node.form, value=None)
        else:
            self.deliver(node.value, RETURN)

    def deliver_break(self, node: Node, target: Any) -> None:
        self.add("break", node.form)

    def deliver_continue(self, node: Node, target: Any) -> None:
        self.add("continue", node.form)

    def deliver_assert(self, node: Node, target: Any) -> None:
        if type_of(node) is not NEVER:
            self.no_value(node, target)
        shown = written(node.test.form)
        text, shown = (node.text, shown) if node.text else ("it does not hold", shown)
        self.stop_if(negated(self.condition(node.test)), "AssertionError", text, node.form, shown)
        if type_of(node) is NEVER and self.result is not VOID:  # C sees no end there
            self.add("return", node.form, value=self.converted(constant(INT, 0), self.result)
                     if rules.is_scalar(self.result) else None)  # fmt: skip

    def deliver_array(self, node: Node, target: Any) -> None:
        found = node.type
        place = target if isinstance(target, Expression) and target.type is found else None
        if place is None:
            self.finish(self.value(node), target, node.form)
            return
        if place.op == "name" and _mentions(node.values, place.variable):
            raise NativeError(f"{written(node.form)} is made of the array that it is assigned to", node.form)
        if len(node.values) < found.length:
            self.add("clear", node.form, place=place)
        element = rules.pointed(found)
        for index, value in enumerate(node.values):
            spot = Expression("element", element, base=place, index=constant(INT, index))
            self.deliver(value, spot)

    def deliver_struct(self, node: Node, target: Any) -> None:
        found = node.type
        place = target if isinstance(target, Expression) and target.type is found else None
        if place is None or _reads_itself(node.values, place):
            self.finish(self.value(node), target, node.form)
            return
        if len(node.values) < len(found.fields):
            self.add("clear", node.form, place=place)
        for name, value in node.values.items():
            member = Node("member", value.form, base=node, name=name)
            spot = self.member(place, member)
            self.deliver(value, spot)

    # --- values ---

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

    # --- which variables loops have for themselves ---

    def note_outside(self, node: Any, inside: frozenset) -> None:
        if isinstance(node, (list, tuple)):
            for part in node:
                self.note_outside(part, inside)
        elif isinstance(node, dict):
            self.note_outside(list(node.values()), inside)
        elif isinstance(node, Node):
            if node.kind == "local" and node.variable not in inside:
                self.outside.add(node.variable)
            within = inside
            if node.kind == "for":
                self.note_outside([node.start, node.stop, node.step], inside)
                within = inside | {node.variable}
                self.note_outside(node.body, within)
                return
            for name, part in vars(node).items():
                if name not in ("form", "variable"):
                    self.note_outside(part, within)


# --- what expressions are -------------------------------------------------------------------------------------------


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


def wrapped(number: int, found: Integer) -> int:
    """An integer as one of C's width."""
    number &= (1 << 8 * found.size) - 1
    return number - (1 << 8 * found.size) if number > found.high else number


def saturated(number: float, found: Integer) -> int:
    """A float cut off to an integer: at the ends of its range where it is beyond them; 0 for what is no number."""
    if number != number:
        return 0
    if number in (float("inf"), float("-inf")):
        return found.high if number > 0 else found.low
    return min(max(int(number), found.low), found.high)


def _rounded(number: Any, found: Real) -> float:
    try:
        value = float(number)
        if found.size == 4:
            import struct

            value = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")
    return value


def _word(found: Any) -> str:
    return found.spelling.removesuffix("_t").replace(" ", "-").removeprefix("_").lower()


def _loads(value: Expression) -> bool:
    if value.op in ("deref", "element", "member"):
        return True
    if value.op == "name" and isinstance(value.type, StructCType):
        return True
    if value.op == "address":
        return any(map(_loads, value.place.below()))
    return any(map(_loads, value.below()))


def _disturbs(step: Step) -> bool:
    """Whether a statement may change memory, or what a call does."""
    if step.op in ("run", "clear") or (step.op == "set" and step.place.op != "name"):
        return True
    if step.op == "set" and not rules.is_scalar(step.place.type):
        return True
    if any(isinstance(part, Expression) and part.has("call") for part in step.parts.values()):
        return True
    return any(_disturbs(inner) for name in ("then", "otherwise", "body") for inner in step.parts.get(name, ()))


def _contains(node: Any, kinds: tuple[str, ...]) -> bool:
    if isinstance(node, (list, tuple)):
        return any(_contains(part, kinds) for part in node)
    if isinstance(node, dict):
        return any(_contains(part, kinds) for part in node.values())
    if not isinstance(node, Node):
        return False
    return node.kind in kinds or any(_contains(part, kinds) for name, part in vars(node).items() if name != "form")


def _mentions(node: Any, variable: Variable) -> bool:
    if isinstance(node, (list, tuple)):
        return any(_mentions(part, variable) for part in node)
    if isinstance(node, dict):
        return any(_mentions(part, variable) for part in node.values())
    if not isinstance(node, Node):
        return False
    if node.kind == "local" and node.variable is variable:
        return True
    return any(_mentions(part, variable) for name, part in vars(node).items() if name != "form")


def _reads_itself(values: Any, place: Expression) -> bool:
    """Whether what is made in a place is made of what is there."""
    return place.op != "name" or _mentions(values, place.variable)


def _is_const(place: Expression) -> bool:
    """Whether a place lies behind a pointer to const."""
    if place.op == "member":
        return _is_const(place.base)
    if place.op == "element" and isinstance(place.base.type, Array):
        return _is_const(place.base)
    pointer = place.pointer if place.op == "deref" else place.base if place.op == "element" else None
    return pointer is not None and isinstance(pointer.type, Pointer) and pointer.type.const


__all__ = ["Lowered", "decay", "lower", "saturated", "wrapped"]
