"""The C text of a native: readable, one statement for each of Lisp's, each with its Lisp line.
"""

from __future__ import annotations

from typing import Any

from epsilon.compiler import identifier, line, literal
from epsilon.declarations import is_plain
from epsilon.native import rules
from epsilon.native.lowering import Lowered
from epsilon.native.tree import Expression, Step, Variable
from epsilon.typesystem import (
    VOID,
    Array,
    Boolean,
    CType,
    FunctionPointer,
    FunctionType,
    Integer,
    Pointer,
    Real,
    StructCType,
    decay,
)

#: what this compiles with: arithmetic wraps, and memory is what casts say that it is; no multiplication is fused with
#: an addition, which would round once where Python rounds twice
OPTIONS = ("-g", "-fwrapv", "-fno-strict-aliasing", "-ffp-contract=off")

_PRECEDENCE = {"*": 12, "/": 12, "%": 12, "+": 11, "-": 11, "<<": 10, ">>": 10, "<": 9, "<=": 9, ">": 9, ">=": 9,
               "==": 8, "!=": 8, "&": 7, "^": 6, "|": 5, "&&": 4, "||": 3}  # fmt: skip
_PRIMARY, _UNARY, _SELECT, _LOWEST = 15, 13, 2, 0
_WIDTH = 110  #: of a line that has several statements of one line of Lisp

#: words that C, GCC or this text has, which no variable and no function may be
_TAKEN = frozenset(
    "auto bool break case char const continue default do double else enum extern float for goto if inline int long "
    "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while asm "
    "typeof main memcpy memset memmove memcmp abort fmod floor copysign linux unix stop left epsilon_stop epsilon_load "
    "epsilon_natives".split()
)  # fmt: skip


class Names:
    """C identifiers that no two things share."""

    def __init__(self, taken: Any = ()):
        self.taken = {*taken}

    def new(self, wish: str) -> str:
        import re

        bare = re.sub(r"[^A-Za-z0-9]+", "_", wish).strip("_") or "x"
        bare = f"x{bare}" if bare[0].isdigit() else bare
        if bare in _TAKEN or bare.endswith("_t") or bare.startswith(("floor_", "shift_", "cut_", "c_", "epsilon_")):
            bare += "_"
        name, number = bare, 2
        while name in self.taken:
            name, number = f"{bare}_{number}", number + 1
        self.taken.add(name)
        return name


def c_type(found: CType) -> CType:
    """The type with all that is Epsilon's alone taken off."""
    found = rules.plain(found)
    if isinstance(found, Pointer):
        return Pointer(c_type(found.target), found.const) if found.target is not VOID else found
    if isinstance(found, Array):
        return Array(c_type(found.target), found.length)
    if isinstance(found, FunctionPointer):
        return FunctionPointer(function_type(found.target))
    return found


def function_type(signature: Any) -> FunctionType:
    """The C type of functions of this signature."""
    result = VOID if signature.result is VOID else c_type(signature.result)
    return FunctionType(result, tuple(c_type(decay(one)) for one in signature.parameters), signature.variadic)


class Writer:
    """Writes one native."""

    def __init__(self, library: Any, name: str, lowered: Lowered, signature: Any, file: str):
        self.library, self.lowered, self.signature, self.file = library, lowered, signature, file
        self.called = name
        self.names = Names(library.natives.values())
        self.variables: dict[Variable, str] = {}
        self.lines: list[str] = []
        #: the Lisp line of the next line of the text, that of the last statement, and how deep it is
        self.at = self.last = self.depth = 0
        #: the statement with which a local begins → the local
        self.at_first_set: dict[int, Variable] = {}
        self.result = signature.result
        parameters = []
        for variable, found in zip(lowered.parameters, signature.parameters, strict=True):
            self.variables[variable] = self.names.new(variable.lisp)
            parameters.append(library.spell(decay(found), self.variables[variable]))
        inner = f"{name}({', '.join(parameters) or 'void'})"
        self.head = library.spell(self.result, inner) if self.result is not VOID else f"void {inner}"

    def text(self, first: int) -> str:
        self.lines.append(line(first, self.file).rstrip("\n"))
        self.at = first
        self.out(f"{self.library.linkage(self.called)}{self.head} {{", 0, first)
        body = self.lowered.body
        inner = {step.variable for step in _all_steps(body) if step.op == "count" and step.alone}
        self.at_first_set = _set_first(body)
        for variable in self.lowered.locals:
            if variable in inner or variable in self.at_first_set.values():
                continue
            text = self.declared(variable)
            self.out(f"{text};" if isinstance(variable.type, (Array, StructCType)) else f"{text} = 0;", 1, first)
        self.steps(body, 1)
        self.out("}", 0, self.last)
        return "\n".join(self.lines) + "\n"

    def declared(self, variable: Variable) -> str:
        self.library.complete(variable.type)
        return self.library.spell(variable.type, self.name(variable))

    def out(self, text: str, depth: int, of: int | None = None) -> None:
        """One line of the text, or more on the last one; ``of`` is the Lisp line that it belongs to."""
        last = self.lines[-1]
        self.last = self.last if of is None else of
        joins = of is not None and self.at == of + 1 and last.endswith(";") and text.endswith(";")
        if joins and depth == self.depth and len(last) + len(text) < _WIDTH and "{" not in last + text:
            self.lines[-1] = f"{last} {text}"
            return
        if of is not None and of != self.at:
            self.lines.append(f"#line {of}")
            self.at = of
        self.lines.append("    " * depth + text)
        self.at += 1
        self.depth = depth

    def name(self, variable: Variable) -> str:
        known = self.variables.get(variable)
        if known is None:
            known = self.variables[variable] = self.names.new(variable.lisp)
        return known

    # --- statements ---

    def steps(self, steps: list[Step], depth: int) -> None:
        for step in steps:
            getattr(self, "step_" + step.op)(step, depth)

    def step_set(self, step: Step, depth: int) -> None:
        place, value = step.place, step.value
        if id(step) in self.at_first_set:
            self.out(f"{self.declared(place.variable)} = {self.assigned(value)};", depth, step.line)
            return
        changes = value.op == "binary" and value.sign in "+-*&|^/" and value.type is place.type and place.op == "name"
        if changes and value.sign != "//" and value.left.op == "name" and value.left.variable is place.variable:
            text = f"{self.value(place)} {value.sign}= {self.assigned(value.right)};"
        else:
            text = f"{self.value(place)} = {self.assigned(value)};"
        self.out(text, depth, step.line)

    def step_clear(self, step: Step, depth: int) -> None:
        place = self.value(step.place, _UNARY)
        whole = place if isinstance(step.place.type, Array) else f"&{place}"
        self.out(f"__builtin_memset({whole}, 0, sizeof {place});", depth, step.line)

    def step_run(self, step: Step, depth: int) -> None:
        self.out(f"{self.value(step.value)};", depth, step.line)

    def step_if(self, step: Step, depth: int) -> None:
        condition, then, otherwise = self.value(step.condition), step.then, step.otherwise
        if _is_stop(step):
            self.out(f"if ({condition}) {{ {self.stopping(then[0])} }}", depth, step.line)
            return
        if not then and otherwise:
            condition, then, otherwise = f"!({condition})", otherwise, []
        self.out(f"if ({condition}) {{", depth, step.line)
        self.steps(then, depth + 1)
        while len(otherwise) == 1 and otherwise[0].op == "if" and not _is_stop(otherwise[0]) and otherwise[0].then:
            (inner,) = otherwise
            self.out(f"}} else if ({self.value(inner.condition)}) {{", depth, inner.line)
            self.steps(inner.then, depth + 1)
            otherwise = inner.otherwise
        if otherwise:
            self.out("} else {", depth)
            self.steps(otherwise, depth + 1)
        self.out("}", depth)

    def step_while(self, step: Step, depth: int) -> None:
        self.out(f"while ({self.value(step.condition)}) {{", depth, step.line)
        self.steps(step.body, depth + 1)
        self.out("}", depth)

    def step_count(self, step: Step, depth: int) -> None:
        variable = self.name(step.variable)
        counter = variable if step.alone else self.names.new("count")
        declared = f"{self.library.spell(step.variable.type, counter)} = {self.assigned(step.start)}"
        unit = step.step.value if step.step.op == "const" else 0
        if unit in (1, -1):
            sign, change = ("<", "++") if unit == 1 else (">", "--")
            stop = self.value(step.stop, 10)
            self.out(f"for ({declared}; {counter} {sign} {stop}; {counter}{change}) {{", depth, step.line)
            self.round(step, variable, counter, depth + 1)
            self.out("}", depth)
            return
        self.out("{", depth)
        self.out(f"{declared};", depth + 1, step.line)
        rounds = self.names.new("rounds")
        loop = f"unsigned long long {rounds} = {self.rounds(step, counter)}; {rounds}; {rounds}--"
        self.out(f"for ({loop}, {counter} += {self.value(step.step, _UNARY)}) {{", depth + 1, step.line)
        self.round(step, variable, counter, depth + 2)
        self.out("}", depth + 1)
        self.out("}", depth)

    def round(self, step: Step, variable: str, counter: str, depth: int) -> None:
        """The body of a loop that counts; Lisp's variable is another one where the body or what follows sees it."""
        if counter != variable:
            self.out(f"{variable} = {counter};", depth, step.line)
        self.steps(step.body, depth)

    def rounds(self, step: Step, counter: str) -> str:
        """How many rounds a range has: counted, as a step other than 1 could go past the end of the type."""
        way, stop = self.value(step.step, _UNARY), self.value(step.stop, _UNARY)
        wide = "(unsigned long long)"
        up = f"{counter} < {stop} ? ({wide}{stop} - {wide}{counter} - 1) / {wide}{way} + 1 : 0"
        down = f"{counter} > {stop} ? ({wide}{counter} - {wide}{stop} - 1) / -{wide}{way} + 1 : 0"
        if step.step.op == "const":
            return up if step.step.value > 0 else down
        return f"{way} > 0 ? {up} : {down}" if step.variable.type.low < 0 else up

    def step_return(self, step: Step, depth: int) -> None:
        self.out("return;" if step.value is None else f"return {self.assigned(step.value)};", depth, step.line)

    def step_break(self, step: Step, depth: int) -> None:
        self.out("break;", depth, step.line)

    def step_continue(self, step: Step, depth: int) -> None:
        self.out("continue;", depth, step.line)

    def step_stop(self, step: Step, depth: int) -> None:
        self.out(self.stopping(step), depth, step.line)

    def stopping(self, step: Step) -> str:
        """End the function with an exception, for the call that C is in, and a zero, for the caller."""
        told = f"{step.text}: {step.form}" if step.form else step.text
        words = ", ".join(literal(word) for word in (step.error, told, self.lowered.name, self.file))
        answer = self.lowered.answer
        zero = f" {self.value(answer)}" if answer is not None else ""
        if self.result is not VOID and answer is None:
            zero = f" ({self.library.spell(self.result)}){{0}}"
        return f"epsilon_stop({words}, {step.line}); return{zero};"

    # --- expressions ---

    def assigned(self, value: Expression) -> str:
        """A value where C converts it by itself."""
        bare = _bare(value)
        return str(bare.value) if _is_small(bare) else self.value(bare, _LOWEST)

    def beside(self, value: Expression, other: Expression, least: int) -> str:
        """An operand beside another of its type: a literal needs no suffix there."""
        plain = _is_small(value) and other.op != "const" and rules.promoted(other.type) is value.type
        return str(value.value) if plain else self.value(value, least)

    def value(self, value: Expression, least: int = _LOWEST) -> str:
        """The text of a value, in parentheses unless it binds at least as tightly as ``least``."""
        text, level = getattr(self, "value_" + value.op)(value)
        return text if level >= least else f"({text})"

    def value_const(self, value: Expression) -> tuple[str, int]:
        found, number = value.type, value.value
        if isinstance(found, Real):
            if number != number:
                return '__builtin_nan("")', _PRIMARY
            if number in (float("inf"), float("-inf")):
                return f"{'-' if number < 0 else ''}__builtin_inf()", _UNARY
            return repr(float(number)) + ("f" if found.size == 4 else ""), _PRIMARY if number > 0 else _UNARY
        if rules.is_pointer(found):
            return "(void *)0", _UNARY
        if isinstance(found, Boolean) or found is rules.WEAK:
            return str(int(number)), _PRIMARY if number >= 0 else _UNARY
        suffix = ""
        if found.size >= rules.INT.size and found is not rules.INT:
            suffix = ("U" if found.low == 0 else "") + ({rules.LONG.size: "L"}.get(found.size, "LL")
                                                       if found.size == 8 else "")  # fmt: skip
        if number == found.low and number < 0 and found.size >= rules.INT.size:
            return f"-{-number - 1}{suffix} - 1", _PRECEDENCE["-"]
        return f"{number}{suffix}", _PRIMARY if number >= 0 else _UNARY

    def value_text(self, value: Expression) -> tuple[str, int]:
        return literal(value.data), _PRIMARY

    def value_name(self, value: Expression) -> tuple[str, int]:
        return self.name(value.variable), _PRIMARY

    def value_unary(self, value: Expression) -> tuple[str, int]:
        inner = self.value(value.value, _UNARY)
        space = " " if value.sign == "-" and inner.startswith("-") else ""
        return f"{value.sign}{space}{inner}", _UNARY

    def value_binary(self, value: Expression) -> tuple[str, int]:
        sign = value.sign
        if sign in ("//", "%"):
            return self.division(value)
        if sign in ("<<", ">>"):
            return self.shift(value)
        level = _PRECEDENCE[sign]
        left, right = self.operands(value.left, value.right)
        if sign == "-" and isinstance(value.type, Real) and left.op == "const" and left.value == 0:
            # GCC 12 takes 0.0 - x for -x where x was an integer, and gives -0.0; the sum of 0.0 and -x is the same.
            return f"{self.value(left, level)} + -{self.value(value.right, _UNARY)}", level
        return f"{self.beside(left, right, level)} {sign} {self.beside(right, left, level + 1)}", level

    def operands(self, left: Expression, right: Expression) -> tuple[Expression, Expression]:
        """Two operands of one type, as C would have to get them to make it of them."""
        both = _bare(left), _bare(right)
        if both[0] is not left and both[1] is not right and rules.arithmetic(both[0].type, both[1].type) is left.type:
            return both
        bare = _bare(right)
        if bare is not right and left.op != "convert" and rules.arithmetic(left.type, bare.type) is left.type:
            return left, bare
        bare = _bare(left)
        if bare is not left and rules.arithmetic(bare.type, right.type) is right.type:
            return bare, right
        return left, right

    def division(self, value: Expression) -> tuple[str, int]:
        found = value.type
        unsigned = isinstance(found, Integer) and found.low == 0
        if unsigned:
            level = _PRECEDENCE["/"]
            left, right = self.operands(value.left, value.right)
            sign = "/" if value.sign == "//" else "%"
            return f"{self.beside(left, right, level)} {sign} {self.beside(right, left, level + 1)}", level
        c = self.library.spell(found)
        word = ("floor_divide_" if value.sign == "//" else "floor_modulo_") + c.replace(" ", "_")
        quotient, rest = (_FLOAT_DIVIDE, _FLOAT_MODULO) if isinstance(found, Real) else (_DIVIDE, _MODULO)
        text = quotient if value.sign == "//" else rest
        self.library.helper(word, text.replace("NAME", word).replace("TYPE", c))
        return f"{word}({self.value(value.left)}, {self.value(value.right)})", _PRIMARY

    def shift(self, value: Expression) -> tuple[str, int]:
        found, bits = value.type, 8 * value.type.size
        if value.right.op == "const" and value.right.value < bits:
            level = _PRECEDENCE[value.sign]
            return f"{self.value(value.left, level)} {value.sign} {value.right.value}", level
        c = self.library.spell(found)
        left = value.sign == "<<"
        word = ("shift_left_" if left else "shift_right_") + c.replace(" ", "_")
        beyond = "0" if left or found.low == 0 else "a < 0 ? -1 : 0"
        self.library.helper(word, f"static inline {c} {word}({c} a, unsigned long long n) "
                            f"{{ return n < {bits} ? a {value.sign} n : {beyond}; }}")  # fmt: skip
        return f"{word}({self.value(value.left)}, {self.value(value.right)})", _PRIMARY

    def value_compare(self, value: Expression) -> tuple[str, int]:
        level = _PRECEDENCE[value.sign]
        if rules.is_pointer(value.left.type):
            both = (value.left, value.right)
            left, right = ("0" if one.op == "const" else self.value(one, level + 1) for one in both)
            return f"{left} {value.sign} {right}", level
        left, right = self.operands(value.left, value.right)
        return f"{self.beside(left, right, level + 1)} {value.sign} {self.beside(right, left, level + 1)}", level

    def value_logic(self, value: Expression) -> tuple[str, int]:
        level = _PRECEDENCE[value.sign]
        parts = []
        for part in (value.left, value.right):
            mixes = part.op == "logic" and part.sign != value.sign
            parts.append(self.value(part, _PRIMARY if mixes else level))
        return f" {value.sign} ".join(parts), level

    def value_convert(self, value: Expression) -> tuple[str, int]:
        given, wanted = value.value.type, value.type
        if isinstance(given, Real) and isinstance(wanted, Integer):
            c = self.library.spell(wanted)
            word = "cut_to_" + c.replace(" ", "_")
            high = _suffixed(wanted.high, wanted)
            low = f"(-{_suffixed(wanted.high, wanted)} - 1)" if wanted.low else "0"
            self.library.helper(word, f"static inline {c} {word}(double x) {{ return x >= {float(wanted.high + 1)!r} ? "
                                f"{high} : x <= {float(wanted.low)!r} ? {low} : x == x ? ({c})x : 0; }}")  # fmt: skip
            return f"{word}({self.value(value.value)})", _PRIMARY
        return f"({self.library.spell(wanted)}){self.value(value.value, _UNARY)}", _UNARY

    def value_select(self, value: Expression) -> tuple[str, int]:
        parts = [self.value(part, _SELECT + 1) for part in (value.condition, value.left, value.right)]
        return f"{parts[0]} ? {parts[1]} : {parts[2]}", _SELECT

    def value_offset(self, value: Expression) -> tuple[str, int]:
        self.library.complete_all(value.type)
        index = value.index
        if index.op == "unary" and index.sign == "-":
            return f"{self.value(value.pointer, 11)} - {self.value(_bare(index.value), 12)}", 11
        return f"{self.value(value.pointer, 11)} + {self.value(_bare(index), 12)}", 11

    def value_distance(self, value: Expression) -> tuple[str, int]:
        self.library.complete_all(value.left.type)
        return f"{self.value(value.left, 11)} - {self.value(value.right, 12)}", 11

    def value_deref(self, value: Expression) -> tuple[str, int]:
        self.library.complete(value.type)
        return f"*{self.value(value.pointer, _UNARY)}", _UNARY

    def value_element(self, value: Expression) -> tuple[str, int]:
        self.library.complete(value.type)
        index = self.value(_bare(value.index)) if value.index.op != "const" else str(value.index.value)
        return f"{self.value(value.base, _PRIMARY)}[{index}]", _PRIMARY

    def value_member(self, value: Expression) -> tuple[str, int]:
        base, field = value.base, value.field
        self.library.complete(base.type)
        if not is_plain(base.type):
            if field.bits is not None:
                raise rules.NativeError(f"the bit-field {field.name} of a packed struct is out of native code's reach; "
                                        "a C function can read it", None)  # fmt: skip
            found = self.library.spell(Pointer(c_type(field.ctype)))
            return f"*({found})((char *)&{self.value(base, _UNARY)} + {field.offset})", _UNARY
        name = identifier(field.name)
        if base.op == "deref":
            return f"{self.value(base.pointer, _PRIMARY)}->{name}", _PRIMARY
        return f"{self.value(base, _PRIMARY)}.{name}", _PRIMARY

    def value_address(self, value: Expression) -> tuple[str, int]:
        place = value.place
        if isinstance(place.type, Array):
            return self.value(place, _PRIMARY), _PRIMARY
        if place.op == "deref":
            return self.value(place.pointer, _UNARY), _UNARY
        return f"&{self.value(place, _UNARY)}", _UNARY

    def value_function(self, value: Expression) -> tuple[str, int]:
        return self.library.callee(value.callee), _PRIMARY

    def value_call(self, value: Expression) -> tuple[str, int]:
        called = self.library.callee(value.callee) if value.callee else self.value(value.pointer, _PRIMARY)
        if value.type is not VOID:
            self.library.complete(value.type)
        fixed = len(value.callee.signature.parameters if value.callee else value.pointer.type.target.parameters)
        arguments = [self.assigned(one) for one in value.arguments[:fixed]]
        arguments += [self.value(one) for one in value.arguments[fixed:]]
        return f"{called}({', '.join(arguments)})", _PRIMARY


def _bare(value: Expression) -> Expression:
    """A value without its last conversion, if C makes that by itself where one of its type is wanted."""
    if value.op == "convert" and rules.is_number(value.type) and rules.is_number(value.value.type):
        if not (isinstance(value.value.type, Real) and isinstance(value.type, Integer)):
            return value.value
    return value


def _is_stop(step: Step) -> bool:
    """Whether it is a check, which ends the function."""
    return len(step.then) == 1 and step.then[0].op == "stop" and not step.otherwise


def _is_small(value: Expression) -> bool:
    """Whether it is a literal that C has as an ``int``, and converts as one."""
    return value.op == "const" and isinstance(value.type, Integer) and 0 <= value.value <= rules.INT.high


def _set_first(steps: list[Step]) -> dict[int, Variable]:
    """The statements of a body before which nothing mentions the variable that they set."""
    seen: set[Variable] = set()
    found = {}
    for step in steps:
        place = step.parts.get("place")
        if step.op == "set" and place.op == "name" and not isinstance(place.type, Array):
            given = place.variable.parameter and place.variable.behind is None
            if not given and place.variable not in seen | step.value.variables():
                found[id(step)] = place.variable
        for inner in _all_steps([step]):
            seen |= inner.assigned()
            for part in inner.parts.values():
                if isinstance(part, Expression):
                    seen |= part.variables()
    return found


def _suffixed(number: int, found: Integer) -> str:
    size = {rules.LONG.size: "L"}.get(found.size, "LL") if found.size == 8 else ""
    return f"{number}{'U' if found.low == 0 and found.size >= 4 else ''}{size}"


def _all_steps(steps: list[Step]) -> Any:
    for step in steps:
        yield step
        for name in ("then", "otherwise", "body"):
            yield from _all_steps(step.parts.get(name, ()))


_DIVIDE = """\
static inline TYPE NAME(TYPE a, TYPE b)
{
    if (b == -1) /* the least number has no counterpart: C11 6.5.5 */
        return -a;
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}"""
_MODULO = """\
static inline TYPE NAME(TYPE a, TYPE b)
{
    TYPE rest = b == -1 ? 0 : a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}"""
_FLOAT_MODULO = """\
static inline double NAME(double a, double b)
{
    double rest = __builtin_fmod(a, b);
    if (rest == 0)
        return __builtin_copysign(0.0, b);
    return (rest < 0) != (b < 0) ? rest + b : rest;
}"""
_FLOAT_DIVIDE = """\
static inline double NAME(double a, double b)
{
    double rest = __builtin_fmod(a, b), quotient = (a - rest) / b;
    if (rest != 0 && (rest < 0) != (b < 0))
        quotient -= 1.0;
    if (quotient == 0)
        return __builtin_copysign(0.0, a / b);
    double floor = __builtin_floor(quotient);
    return quotient - floor > 0.5 ? floor + 1.0 : floor;
}"""
