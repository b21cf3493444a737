"""The tools of lowering: statements are added, values pinned and converted, and the order of evaluation is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from epsilon.native import rules
from epsilon.native.effects import disturbs, loads
from epsilon.native.inference import decayed
from epsilon.native.reading import Reader
from epsilon.native.rules import BOOL, NEVER, NULL, UNKNOWN, NativeError, named, rounded, word_for, wrapped
from epsilon.native.source import LINE, written
from epsilon.native.tree import Expression, Step, Variable, constant, truth
from epsilon.typesystem import VOID, Array, Boolean, Integer, Pointer, Real, StructCType


class Parts:
    """What statements and values are lowered with."""

    reader: Reader
    steps: list[Step]
    locals: dict[Variable, None]

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
                moves = value.has("call") or any(map(disturbs, new))
                pins = []
                for index, earlier in enumerate(done):
                    if earlier.has("call") or earlier.variables() & changed or (moves and loads(earlier)):
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
                hint = f"; (cast {written(form)} :{word_for(wanted)}) cuts it off"
            elif rules.is_pointer(given) and rules.is_pointer(wanted):
                hint = "; cast says that it is one"
            raise NativeError(f"{what} is {named(wanted)}, and {written(form)} is {named(given)}{hint}", form)
        if value.op == "const" and type(value.value) is int and isinstance(wanted, Integer) and given is not NULL:
            if not wanted.low <= value.value <= wanted.high:
                text = f"{value.value} does not fit {named(wanted)}, which goes from {wanted.low} to {wanted.high}"
                raise NativeError(f"{text}; (cast {value.value} :{word_for(wanted)}) wraps it", form)
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
                return constant(wanted, rounded(number, wanted))
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
