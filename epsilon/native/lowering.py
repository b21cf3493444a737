"""Lowering: from nodes to statements and expressions, in Lisp's order of evaluation.

C does not say in which order operands are evaluated, and has no statement in an expression.  So what has a side effect
moves out of an expression, before it; what was to be evaluated earlier and could be changed by it is put in a temporary
first.  Here everything is checked: whatever does not fit is a ``NativeError`` with its form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from epsilon.native import rules
from epsilon.native.effects import contains, is_const, loads, mentions, negated, reads_itself
from epsilon.native.inference import infer, literal_type, type_of
from epsilon.native.reading import Reader
from epsilon.native.rules import BOOL, COUNTER, INT, NEVER, UNKNOWN, NativeError, named
from epsilon.native.source import LINE, written
from epsilon.native.tree import Expression, Node, Step, Variable, constant, truth
from epsilon.native.values import Values
from epsilon.typesystem import VOID, Array, Real

RETURN = "return"


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


class Lowering(Values):
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
            if contains(value.right, ("set", "call", "do")):
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
        if steps or (made.has("call") and any(loads(part) or part.has("call") for part in inner)):
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
        if is_const(place):
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
        if place.op == "name" and mentions(node.values, place.variable):
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
        if place is None or reads_itself(node.values, place):
            self.finish(self.value(node), target, node.form)
            return
        if len(node.values) < len(found.fields):
            self.add("clear", node.form, place=place)
        for name, value in node.values.items():
            member = Node("member", value.form, base=node, name=name)
            spot = self.member(place, member)
            self.deliver(value, spot)

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
