"""Reading control flow and assignment: conditions, loops, scopes, places."""

from __future__ import annotations

from epsilon.native.naming import Naming
from epsilon.native.rules import NativeError
from epsilon.native.source import TAG, head, symbol, written
from epsilon.native.tree import Node, Variable


class Control(Naming):
    """The forms whose parts are evaluated in turn, or again, or not at all."""

    assignments: list[tuple[Variable, Node]]
    loops: int

    def form_and(self, form: tuple, items: tuple) -> Node:
        if not items:
            return Node("const", form, value=True)
        return Node("logic", form, sign="&&", items=self.many(items)) if len(items) > 1 else self.read(items[0])

    def form_or(self, form: tuple, items: tuple) -> Node:
        if not items:
            return Node("const", form, value=None)
        return Node("logic", form, sign="||", items=self.many(items)) if len(items) > 1 else self.read(items[0])

    def form_not(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 1, 1, "(not VALUE)")
        return Node("not", form, value=self.read(items[0]))

    def form_do(self, form: tuple, items: tuple) -> Node:
        return Node("do", form, body=self.many(items))

    def form_if(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 2, 3, "(if CONDITION THEN ELSE)")
        test, *arms = self.many(items)
        return Node("if", form, test=test, then=arms[0], otherwise=arms[1] if len(arms) > 1 else None)

    def form_when(self, form: tuple, items: tuple) -> Node:
        if not items:
            raise NativeError("(when CONDITION BODY …) is wanted", form)
        return Node("if", form, test=self.read(items[0]), then=Node("do", form, body=self.many(items[1:])))

    def form_unless(self, form: tuple, items: tuple) -> Node:
        found = self.form_when(form, items)
        found.test = Node("not", items[0], value=found.test)
        return found

    def form_cond(self, form: tuple, items: tuple) -> Node:
        if len(items) % 2:
            raise NativeError("cond takes pairs, (cond TEST VALUE …)", form)
        found = None
        for test, value in reversed(list(zip(items[::2], items[1::2], strict=True))):
            if symbol(test) == "True":
                found = self.read(value)
            else:
                found = Node("if", test, test=self.read(test), then=self.read(value), otherwise=found)
        return found or Node("do", form, body=[])

    def form_let(self, form: tuple, items: tuple) -> Node:
        if not items or items[0][TAG] != "[" or len(items[0][3:]) % 2:
            raise NativeError("(let [NAME VALUE …] BODY …) is wanted", form)
        steps = []
        self.scopes.append({})
        pairs = items[0][3:]
        for target, value in zip(pairs[::2], pairs[1::2], strict=True):
            if target[TAG] != "s":
                raise NativeError(f"a name is wanted here, not {written(target)}", target)
            read = self.read(value)
            variable = Variable(target[3])
            self.scopes[-1][target[4]] = variable
            steps.append(self.assignment(target, Node("local", target, variable=variable), read))
        body = self.many(items[1:])
        self.scopes.pop()
        return Node("do", form, body=steps + body)

    def form_setv(self, form: tuple, items: tuple) -> Node:
        if len(items) % 2:
            raise NativeError("(setv PLACE VALUE …) is wanted", form)
        steps = []
        for target, value in zip(items[::2], items[1::2], strict=True):
            place = self.read_place(target)
            read = self.read(value)
            steps.append(self.assignment(form if len(items) == 2 else target, place, read))
        return steps[0] if len(steps) == 1 else Node("do", form, body=steps)

    def assignment(self, form: tuple, place: Node, value: Node) -> Node:
        if place.kind == "local":
            self.assignments.append((place.variable, value))
        return Node("set", form, place=place, value=value)

    def read_place(self, form: tuple) -> Node:
        place = self.read(form)
        if place.kind not in ("local", "index", "member", "unknown"):
            raise NativeError(f"{written(form)} cannot be assigned; a local, (get p i), (deref p) or (. p member) "
                              "can", form)  # fmt: skip
        return place

    def form_while(self, form: tuple, items: tuple) -> Node:
        if not items:
            raise NativeError("(while CONDITION BODY …) is wanted", form)
        if items[-1][TAG] == "(" and head(items[-1]) == "else":
            raise NativeError("a loop of native code has no else", items[-1])
        test = self.read(items[0])
        found = Node("while", form, test=test, body=self.loop_body(items[1:]))
        return found

    def loop_body(self, forms: tuple) -> Node:
        self.loops += 1
        body = self.many(forms)
        self.loops -= 1
        return Node("do", forms[0] if forms else (0, 0, "s", "None", "None"), body=body)

    def form_for(self, form: tuple, items: tuple) -> Node:
        usage = "(for [NAME (range …)] BODY …)"
        if not items or items[0][TAG] != "[" or len(items[0]) < 5:
            raise NativeError(f"{usage} is wanted", form)
        if head(items[-1]) == "else" and len(items) > 1:
            raise NativeError("a loop of native code has no else", items[-1])
        clauses = items[0][3:]
        if len(clauses) % 2:
            raise NativeError(f"{usage} is wanted", items[0])
        return self.for_clauses(form, list(zip(clauses[::2], clauses[1::2], strict=True)), items[1:])

    def for_clauses(self, form: tuple, clauses: list, body: tuple) -> Node:
        (target, over), *inner = clauses
        if target[TAG] != "s":
            raise NativeError(f"{written(target)} is not in the subset; a for is (for [NAME (range …)] BODY …)", target)
        if head(over) != "range" or not 5 <= len(over) <= 7:
            raise NativeError(f"a native loops over a range, (range STOP) or (range START STOP STEP), not over "
                              f"{written(over)}; of memory, over its indices", over)  # fmt: skip
        limits = self.many(over[4:])
        start, stop = (Node("const", over, value=0), limits[0]) if len(limits) == 1 else limits[:2]
        step = limits[2] if len(limits) > 2 else Node("const", over, value=1)
        variable = self.find(target[4])
        if inner:
            self.loops += 1
            read = Node("do", form, body=[self.for_clauses(form, inner, body)])
            self.loops -= 1
        else:
            read = self.loop_body(body)
        for limit in (start, stop):
            self.assignments.append((variable, limit))
        return Node("for", form, variable=variable, start=start, stop=stop, step=step, body=read)

    def form_break(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 0, 0, "(break)")
        return self.leave(form, "break")

    def form_continue(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 0, 0, "(continue)")
        return self.leave(form, "continue")

    def leave(self, form: tuple, kind: str) -> Node:
        if not self.loops:
            raise NativeError(f"({kind}) is outside of a loop", form)
        return Node(kind, form)

    def form_return(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 0, 1, "(return VALUE)")
        return Node("return", form, value=self.read(items[0]) if items else None)

    def form_assert(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 1, 2, "(assert CONDITION \"why\")")
        if len(items) == 2 and items[1][TAG] != "t":
            raise NativeError("what an assert says is a string literal", items[1])
        return Node("assert", form, test=self.read(items[0]), text=items[1][3] if len(items) == 2 else "")
