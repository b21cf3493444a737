"""Random programs of native code: each as Lisp, and as what Python's own arithmetic makes of it.

The judge here knows nothing of Epsilon: it has C's conversions (C11 §6.3.1) and Python's operators, and computes.
"""

from __future__ import annotations

import math
import struct
from typing import Any

#: type → size in bytes, and whether it has a sign; None: a float
TYPES: dict[str, tuple[int, bool | None]] = {
    "int8": (1, True), "uint8": (1, False), "short": (2, True), "unsigned-short": (2, False), "int": (4, True),
    "unsigned-int": (4, False), "long-long": (8, True), "unsigned-long-long": (8, False), "float": (4, None),
    "double": (8, None),
}  # fmt: skip
INTEGERS = [name for name in TYPES if TYPES[name][1] is not None]


class Return(Exception):
    """A ``(return x)``."""


def limits(name: str) -> tuple[int, int]:
    size, signed = TYPES[name]
    return (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1) if signed else (0, (1 << 8 * size) - 1)


def as_type(value: Any, name: str) -> Any:
    """A value converted as C does it, or for a float that is cut off, as docs/native.md says."""
    size, signed = TYPES[name]
    if signed is None:
        if isinstance(value, int) and size == 4:
            return single_of(value)
        number = float(value)
        if size == 4:
            try:
                return struct.unpack("f", struct.pack("f", number))[0]
            except OverflowError:
                return math.copysign(math.inf, number)
        return number
    low, high = limits(name)
    if isinstance(value, float):
        if math.isnan(value):
            return 0
        return low if value <= low else high if value >= high else int(value)
    return (int(value) - low) % (1 << 8 * size) + low


def single_of(number: int) -> float:
    """The nearest float, ties to even: tried from both sides."""
    near = struct.unpack("f", struct.pack("f", float(number)))[0]
    bits = struct.unpack("i", struct.pack("f", near))[0]
    steps = [step for step in (-1, 0, 1) if bits + step >= 0 or bits < 0]
    around = [struct.unpack("f", struct.pack("i", bits + step))[0] for step in steps]
    finite = [one for one in around if math.isfinite(one)]
    best = min(finite, key=lambda one: (abs(int(one) - number), struct.unpack("i", struct.pack("f", one))[0] & 1))
    return best


def promoted(name: str) -> str:
    size, signed = TYPES[name]
    return "int" if signed is not None and size < 4 else name


def common(one: str, other: str) -> str:
    one, other = promoted(one), promoted(other)
    floats = [name for name in (one, other) if TYPES[name][1] is None]
    if floats:
        return "double" if "double" in floats else "float"
    size = max(TYPES[one][0], TYPES[other][0])
    signed = all(TYPES[name][1] for name in (one, other) if TYPES[name][0] == size)
    known = {(4, True): "int", (4, False): "unsigned-int", (8, True): "long-long", (8, False): "unsigned-long-long"}
    return known[size, signed]


class Program:
    """One random function: its Lisp text, its C prototype, and how the judge runs it."""

    def __init__(self, random: Any, number: int):
        self.random, self.name = random, f"program_{number}"
        self.parameters = [(f"p{index}", random.choice(list(TYPES))) for index in range(random.randint(1, 3))]
        self.result = random.choice(list(TYPES))
        self.types = dict(self.parameters)
        self.depth = 0
        self.loops = 0
        self.body = [self.statement() for _ in range(random.randint(0, 4))]
        kind, value = self.expression(3)
        self.body.append(("value", ("cast", self.result, kind, value)))

    # --- making ---

    def literal(self, name: str) -> tuple:
        if TYPES[name][1] is None:
            number = self.random.choice([0.0, 1.0, -1.5, 0.1, 3.0, 1e10, -7.25, self.random.uniform(-1e3, 1e3)])
            return ("literal", name, as_type(number, name))
        low, high = limits(name)
        edges = [0, 1, 2, 3, 7, low, high, high - 1, -1, -2, -7]
        number = self.random.choice([*edges, self.random.randint(low, high)])
        return ("literal", name, number if low <= number <= high else abs(number) % (high + 1))

    def expression(self, depth: int) -> tuple[str, tuple]:
        """The type of an expression, and it."""
        if depth == 0 or self.random.random() < 0.15:
            if self.random.random() < 0.6:
                name = self.random.choice(list(self.types))
                return self.types[name], ("name", name)
            kind = self.random.choice(list(TYPES))
            return kind, self.literal(kind)
        made = self.random.choice(["binary"] * 6 + ["cast", "cast", "unary", "shift", "compare", "logic", "if", "not"])
        if made == "cast":
            kind, value = self.expression(depth - 1)
            wanted = self.random.choice(list(TYPES))
            return wanted, ("cast", wanted, kind, value)
        if made == "unary":
            kind, value = self.expression(depth - 1)
            sign = "~" if TYPES[kind][1] is not None and self.random.random() < 0.5 else "-"
            return promoted(kind), ("unary", promoted(kind), sign, value)
        if made == "shift":
            kind, value = self.integer(depth - 1)
            _, count = self.integer(depth - 1)
            return promoted(kind), ("shift", promoted(kind), self.random.choice(["<<", ">>"]), value, count)
        if made == "not":
            return "int", ("cast", "int", "bool", ("not", self.condition(depth - 1)))
        if made in ("compare", "logic"):
            return "int", ("cast", "int", "bool", self.condition(depth))
        if made == "if":
            kind, one = self.expression(depth - 1)
            other_kind, other = self.expression(depth - 1)
            found = common(kind, other_kind)
            arms = (("cast", found, kind, one), ("cast", found, other_kind, other))
            return found, ("if", self.condition(depth - 1), *arms)
        left_kind, left = self.expression(depth - 1)
        right_kind, right = self.expression(depth - 1)
        found = common(left_kind, right_kind)
        signs = ["+", "-", "*", "//", "%"]
        signs += ["/"] if TYPES[found][1] is None else ["&", "|", "^"]
        return found, ("binary", found, self.random.choice(signs), left, right)

    def integer(self, depth: int) -> tuple[str, tuple]:
        kind, value = self.expression(depth)
        if TYPES[kind][1] is None:
            return "int", ("cast", "int", kind, value)
        return kind, value

    def condition(self, depth: int) -> tuple:
        if depth > 0 and self.random.random() < 0.35:
            sign = self.random.choice(["and", "or"])
            return ("logic", sign, *(self.condition(depth - 1) for _ in range(self.random.randint(2, 3))))
        # A 64-bit integer beside a float is compared in the float's precision, as C does it, and not as Python.
        pick = self.integer if self.random.random() < 0.6 else self.real
        values = [pick(max(depth - 1, 0))[1] for _ in range(self.random.choice([2, 2, 3]))]
        signs = self.random.choice(["<", "<=", ">", ">=", "=", "!="])
        return ("compare", signs, *values)

    def real(self, depth: int) -> tuple[str, tuple]:
        kind, value = self.expression(depth)
        return "double", ("cast", "double", kind, value)

    def statement(self) -> tuple:
        self.depth += 1
        choices = ["set", "set", "set", "augment", "if", "for", "while", "return", "assert"]
        made = self.random.choice(choices if self.depth < 3 else ["set", "augment"])
        found = getattr(self, "make_" + made)()
        self.depth -= 1
        return found

    def make_set(self) -> tuple:
        kind, value = self.expression(2)
        locals_ = [name for name in self.types if name.startswith("v")]
        if locals_ and self.random.random() < 0.4 or self.depth > 1 and locals_:
            name = self.random.choice(locals_)
            wanted = self.types[name]
        else:
            wanted = self.random.choice(list(TYPES))
            name = f"v{len(self.types)}"
            if self.depth > 1:  # it would not be set on every path
                return self.make_augment()
            self.types[name] = wanted
        return ("set", name, wanted, kind, value)

    def make_augment(self) -> tuple:
        name = self.random.choice(list(self.types))
        kind, value = self.expression(1)
        wanted = self.types[name]
        found = common(wanted, kind)
        if TYPES[found][1] is None and TYPES[wanted][1] is not None:
            kind, value = wanted, ("cast", wanted, kind, value)
        return ("augment", name, wanted, self.random.choice(["+", "-", "*"]), common(wanted, kind), value)

    def make_if(self) -> tuple:
        return ("when", self.condition(2), [self.statement() for _ in range(self.random.randint(1, 2))],
                [self.statement() for _ in range(self.random.randint(0, 2))])  # fmt: skip

    def make_for(self) -> tuple:
        self.loops += 1
        name = f"i{self.loops}"
        start, stop = self.random.randint(-3, 3), self.random.randint(-3, 6)
        step = self.random.choice([1, 1, 2, 3, -1, -2])
        inside = [self.statement() for _ in range(self.random.randint(1, 2))]
        return ("for", name, start, stop, step, inside)

    def make_while(self) -> tuple:
        self.loops += 1
        return ("while", f"w{self.loops}", self.random.randint(0, 4), self.condition(1), [self.statement()],
                self.random.choice([None, "break", "continue"]), self.condition(1))  # fmt: skip

    def make_return(self) -> tuple:
        kind, value = self.expression(1)
        return ("when", self.condition(1), [("return", ("cast", self.result, kind, value))], [])

    def make_assert(self) -> tuple:
        return ("assert", ("logic", "or", self.condition(1), self.condition(1), self.condition(1)))

    # --- as Lisp ---

    def lisp(self) -> str:
        return "\n".join(self.written(statement) for statement in self.body)

    def prototype(self) -> str:
        spell = {"int8": "int8_t", "uint8": "uint8_t"}
        parameters = ", ".join(f"{spell.get(kind, kind).replace('-', ' ')} {name}" for name, kind in self.parameters)
        return f"{spell.get(self.result, self.result).replace('-', ' ')} {self.name}({parameters})"

    def written(self, tree: Any) -> str:
        if isinstance(tree, list):
            return " ".join(map(self.written, tree))
        op, *parts = tree
        if op == "literal":
            return f"(the :{parts[0]} {parts[1]!r})"
        if op == "name":
            return parts[0]
        if op == "cast":
            return f"(cast {self.written(parts[2])} :{parts[0]})"
        if op == "unary":
            return f"({'bnot' if parts[1] == '~' else parts[1]} {self.written(parts[2])})"
        if op in ("shift", "binary"):
            return f"({parts[1]} {self.written(parts[2])} {self.written(parts[3])})"
        if op in ("compare", "logic"):
            return f"({parts[0]} {' '.join(map(self.written, parts[1:]))})"
        if op == "not":
            return f"(not {self.written(parts[0])})"
        if op == "if":
            return f"(if {' '.join(map(self.written, parts))})"
        if op == "value":
            return self.written(parts[0])
        if op == "set":
            return f"(setv {parts[0]} (the :{parts[1]} (cast {self.written(parts[3])} :{parts[1]})))"
        if op == "augment":
            return f"({parts[2]}= {parts[0]} {self.written(parts[4])})"
        if op == "when":
            return f"(if {self.written(parts[0])} (do {self.written(parts[1])}) (do {self.written(parts[2])} None))"
        if op == "return":
            return f"(return {self.written(parts[0])})"
        if op == "assert":
            return f"(assert {self.written(parts[0])})"
        if op == "for":
            name, start, stop, step, inside = parts
            return f"(for [{name} (range {start} {stop} {step})] {self.written(inside)})"
        name, rounds, condition, inside, leave, leaving = parts
        leave = "" if leave is None else f"(when {self.written(leaving)} ({leave}))"
        return (f"(setv {name} 0) (while (and (< {name} {rounds}) {self.written(condition)}) (+= {name} 1) {leave} "
                f"{self.written(inside)})")  # fmt: skip

    # --- as the judge runs it ---

    def run(self, *arguments: Any) -> Any:
        """The result, or the exception that ends the function."""
        self.values = dict(zip(self.types, arguments, strict=False))
        try:
            for statement in self.body[:-1]:
                self.do(statement)
            return self.evaluate(self.body[-1][1])
        except Return as found:
            return found.args[0]
        except (ZeroDivisionError, ValueError, AssertionError) as error:
            return type(error)

    def do(self, tree: Any) -> None:
        op, *parts = tree
        if op == "set":
            self.values[parts[0]] = as_type(self.evaluate(parts[3]), parts[1])
        elif op == "augment":
            name, kind, sign, wide, value = parts
            left, right = as_type(self.values[name], wide), as_type(self.evaluate(value), wide)
            self.values[name] = as_type(as_type(self.operate(sign, left, right), wide), kind)
        elif op == "when":
            for statement in parts[1] if self.evaluate(parts[0]) else parts[2]:
                self.do(statement)
        elif op == "return":
            raise Return(self.evaluate(parts[0]))
        elif op == "assert":
            assert self.evaluate(parts[0])
        elif op == "for":
            for _ in range(*parts[1:4]):
                for statement in parts[4]:
                    self.do(statement)
        else:
            _, rounds, condition, inside, leave, leaving = parts
            done = 0
            while done < rounds and self.evaluate(condition):
                done += 1
                if leave and self.evaluate(leaving):
                    if leave == "break":
                        break
                    continue
                for statement in inside:
                    self.do(statement)

    def operate(self, sign: str, left: Any, right: Any) -> Any:
        return {
            "+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right, "/": lambda: left / right,
            "//": lambda: left // right, "%": lambda: left % right, "&": lambda: left & right,
            "|": lambda: left | right, "^": lambda: left ^ right,
        }[sign]()  # fmt: skip

    def evaluate(self, tree: tuple) -> Any:
        op, *parts = tree
        if op == "literal":
            return parts[1]
        if op == "name":
            return self.values[parts[0]]
        if op == "cast":
            return as_type(self.evaluate(parts[2]), parts[0])
        if op == "unary":
            value = self.evaluate(parts[2])
            return as_type(-value if parts[1] == "-" else ~value, parts[0])
        if op == "binary":
            left, right = (as_type(self.evaluate(part), parts[0]) for part in parts[2:])
            return as_type(self.operate(parts[1], left, right), parts[0])
        if op == "shift":
            left, count = (self.evaluate(part) for part in parts[2:])
            left = as_type(left, parts[0])
            if count < 0:
                raise ValueError
            return as_type(left << min(count, 64) if parts[1] == "<<" else left >> min(count, 64), parts[0])
        if op == "not":
            return not self.evaluate(parts[0])
        if op == "if":
            return self.evaluate(parts[1] if self.evaluate(parts[0]) else parts[2])
        if op == "logic":
            for part in parts[1:]:
                if self.evaluate(part) == (parts[0] == "or"):
                    return parts[0] == "or"
            return parts[0] == "and"
        values = [self.evaluate(part) for part in parts[1:]]
        compare = {
            "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
            "=": lambda a, b: a == b, "!=": lambda a, b: a != b,
        }[parts[0]]  # fmt: skip
        return all(compare(a, b) for a, b in zip(values, values[1:], strict=False))

    def arguments(self) -> list[tuple]:
        """Several lists of arguments, edges among them."""
        return [tuple(self.literal(kind)[2] for _, kind in self.parameters) for _ in range(4)]
