"""Natives without a compiler: the same statements as Python code, which gives the same results.

An integer is kept within its C width after each operation, a ``float`` is rounded to its own precision, a pointer is an
int; memory is read and written at addresses, through cffi.  A struct's value is its bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignTypeError
from epsilon.native import rules
from epsilon.native.ctext import c_type, function_type
from epsilon.native.lowering import Lowered
from epsilon.native.tree import Callee, Expression, Step, Variable
from epsilon.typesystem import VOID, WORDS, Array, Boolean, CType, FunctionPointer, Integer, Real, StructCType

_ADDRESS = WORDS["uintptr"]
_MASK = (1 << 8 * _ADDRESS.size) - 1
_CHARACTERS = cffi.new_pointer_type(WORDS["char"].backend)


def bare_type(found: CType) -> CType:
    """The type in which a value crosses between C and the interpreter: a number, or a struct."""
    found = c_type(found)
    if rules.is_pointer(found):
        return _ADDRESS
    if isinstance(found, Boolean):
        return WORDS["uint8"]
    if isinstance(found, Integer):
        return WORDS[f"{'u' if found.low == 0 else ''}int{8 * found.size}"]
    return found


def function(lowered: Lowered, signature: Any, file: str, tools: Tools) -> Callable[..., Any]:
    """The native as a function of Python, of numbers and bytes."""
    return Writer(lowered, signature, file, tools).function()


class Tools:
    """What the code of natives calls."""

    def __init__(self, stop: Callable[[str, str, str, str, int], None], native: Callable[[Any], Callable[..., Any]]):
        self.stop, self.native = stop, native


class Writer:
    """Writes one native as Python, and compiles it."""

    def __init__(self, lowered: Lowered, signature: Any, file: str, tools: Tools):
        self.lowered, self.file, self.tools = lowered, file, tools
        self.result = VOID if signature.result is VOID else c_type(signature.result)
        self.space: dict[str, Any] = {"stop": tools.stop, "cut": rules.saturated}
        self.known: dict[Any, str] = {}
        self.variables: dict[Variable, str] = {}
        self.lines: list[str] = []

    def function(self) -> Callable[..., Any]:
        parameters = ", ".join(self.name(variable) for variable in self.lowered.parameters)
        self.lines.append(f"def native({parameters}):")
        for variable in self.lowered.locals:
            self.storage(variable)
        for variable in self.lowered.parameters:
            if isinstance(variable.type, StructCType):
                given = self.name(variable) + "_given"
                self.lines.append(f"    {given} = {self.name(variable)}")
                self.storage(variable)
                self.lines.append(f"    {self.store(variable.type)}({self.name(variable)}, {given})")
        self.steps(self.lowered.body, 1)
        self.lines.append(f"    return {self.zero()}")
        exec(compile("\n".join(self.lines), f"<native {self.lowered.name}, interpreted>", "exec"), self.space)
        return self.space["native"]

    def storage(self, variable: Variable) -> None:
        name = self.name(variable)
        if isinstance(variable.type, (Array, StructCType)):
            make = self.tool(("memory", variable.type.size), _memory(variable.type.size), "memory")
            self.lines.append(f"    {name}_kept, {name} = {make}()")
        else:
            self.lines.append(f"    {name} = {'0.0' if isinstance(variable.type, Real) else '0'}")

    def zero(self) -> str:
        if self.result is VOID:
            return "None"
        if isinstance(self.result, StructCType):
            return f"bytes({self.result.size})"
        return self.value(self.lowered.answer)

    def name(self, variable: Variable) -> str:
        known = self.variables.get(variable)
        if known is None:
            known = self.variables[variable] = f"v{len(self.variables)}"
        return known

    def tool(self, key: Any, value: Any, wish: str) -> str:
        """The name of something that the code uses."""
        known = self.known.get(key)
        if known is None:
            known = self.known[key] = f"{wish}_{len(self.known)}"
            self.space[known] = value
        return known

    # --- statements ---

    def steps(self, steps: list[Step], depth: int) -> None:
        before = len(self.lines)
        for step in steps:
            getattr(self, "step_" + step.op)(step, depth)
        if len(self.lines) == before:
            self.out("pass", depth)

    def out(self, text: str, depth: int) -> None:
        self.lines.append("    " * depth + text)

    def step_set(self, step: Step, depth: int) -> None:
        place, value = step.place, self.value(step.value)
        if place.op == "name" and not isinstance(place.type, (Array, StructCType)):
            self.out(f"{self.name(place.variable)} = {value}", depth)
        elif place.op == "member" and place.field.bits is not None:
            put = self.tool(("put", place.base.type, place.field.name), _put_bits(place.base.type, place.field), "put")
            self.out(f"{put}({self.address(place.base)}, {value})", depth)
        else:
            self.out(f"{self.store(place.type)}({self.address(place)}, {value})", depth)

    def step_clear(self, step: Step, depth: int) -> None:
        size = step.place.type.size
        store = self.tool(("store bytes", size), _store_bytes(size), "store")
        self.out(f"{store}({self.address(step.place)}, bytes({size}))", depth)

    def step_run(self, step: Step, depth: int) -> None:
        self.out(self.value(step.value), depth)

    def step_if(self, step: Step, depth: int) -> None:
        self.out(f"if {self.value(step.condition)}:", depth)
        self.steps(step.then, depth + 1)
        if step.otherwise:
            self.out("else:", depth)
            self.steps(step.otherwise, depth + 1)

    def step_while(self, step: Step, depth: int) -> None:
        self.out(f"while {self.value(step.condition)}:", depth)
        self.steps(step.body, depth + 1)

    def step_count(self, step: Step, depth: int) -> None:
        limits = ", ".join(self.value(part) for part in (step.start, step.stop, step.step))
        self.out(f"for {self.name(step.variable)} in range({limits}):", depth)
        self.steps(step.body, depth + 1)

    def step_return(self, step: Step, depth: int) -> None:
        self.out("return" if step.value is None else f"return {self.value(step.value)}", depth)

    def step_break(self, step: Step, depth: int) -> None:
        self.out("break", depth)

    def step_continue(self, step: Step, depth: int) -> None:
        self.out("continue", depth)

    def step_stop(self, step: Step, depth: int) -> None:
        told = f"{step.text}: {step.form}" if step.form else step.text
        words = (step.error, told, self.lowered.name, self.file, step.line)
        self.out(f"stop{words!r}", depth)
        self.out(f"return {self.zero()}", depth)

    # --- numbers ---

    def value(self, value: Expression) -> str:
        return getattr(self, "value_" + value.op)(value)

    def within(self, found: Any, text: str) -> str:
        """A number as one of its type."""
        if isinstance(found, Integer):
            half = found.high + 1 if found.low else 0
            mask = (1 << 8 * found.size) - 1
            return f"(({text} + {half} & {mask}) - {half})" if half else f"({text} & {mask})"
        if isinstance(found, Real) and found.size == 4:
            return f"{self.tool('single', _single, 'single')}({text})"
        return f"({text})"

    def value_const(self, value: Expression) -> str:
        if isinstance(value.type, Real):
            return f"float({str(float(value.value))!r})"
        return str(int(value.value)) if value.value is not None else "0"

    def value_text(self, value: Expression) -> str:
        buffer = cffi.from_buffer(cffi.new_array_type(_CHARACTERS, None), value.data + b"\0")
        address = int(cffi.cast(_ADDRESS.backend, buffer))
        self.tool(("text", address), buffer, "text")
        return str(address)

    def value_name(self, value: Expression) -> str:
        name = self.name(value.variable)
        if isinstance(value.type, StructCType):
            return f"{self.load(value.type)}({name})"
        return name

    def value_unary(self, value: Expression) -> str:
        inner = self.value(value.value)
        if value.sign == "!":
            return f"(not {inner})"
        return self.within(value.type, f"{value.sign}{inner}")

    def value_binary(self, value: Expression) -> str:
        left, right, sign = self.value(value.left), self.value(value.right), value.sign
        if sign == "<<":
            return self.within(value.type, f"({left} << {right} if {right} < {8 * value.type.size} else 0)")
        if sign == ">>":
            return f"({left} >> {right})"
        return self.within(value.type, f"({left} {sign} {right})")

    def value_compare(self, value: Expression) -> str:
        return f"({self.value(value.left)} {value.sign} {self.value(value.right)})"

    def value_logic(self, value: Expression) -> str:
        word = "and" if value.sign == "&&" else "or"
        return f"({self.value(value.left)} {word} {self.value(value.right)})"

    def value_select(self, value: Expression) -> str:
        return f"({self.value(value.left)} if {self.value(value.condition)} else {self.value(value.right)})"

    def value_convert(self, value: Expression) -> str:
        given, wanted, inner = value.value.type, value.type, self.value(value.value)
        if isinstance(wanted, Integer):
            if isinstance(given, Real):
                return f"cut({inner}, {self.tool(wanted, wanted, 'type')})"
            return self.within(wanted, inner)
        if isinstance(wanted, Real):
            if isinstance(given, Real):
                return self.within(wanted, inner)
            if wanted.size == 4:
                return f"{self.tool('single of int', _single_of_integer, 'single')}({inner})"
            return f"float({inner})"
        if isinstance(given, Integer):
            return f"({inner} & {_MASK})"
        return inner

    # --- memory ---

    def address(self, place: Expression) -> str:
        """The address of a place."""
        if place.op == "name":
            return self.name(place.variable)
        if place.op == "deref":
            return self.value(place.pointer)
        if place.op == "member":
            return f"({self.address(place.base)} + {place.field.offset})"
        base = self.address(place.base) if isinstance(place.base.type, Array) else self.value(place.base)
        return f"({base} + {place.type.size} * {self.value(place.index)} & {_MASK})"

    def read(self, place: Expression) -> str:
        if isinstance(place.type, Array):
            return self.address(place)
        return f"{self.load(place.type)}({self.address(place)})"

    value_deref = value_element = read

    def value_member(self, place: Expression) -> str:
        if place.field.bits is None:
            return self.read(place)
        take = self.tool(("take", place.base.type, place.field.name), _take_bits(place.base.type, place.field), "take")
        return f"{take}({self.address(place.base)})"

    def value_address(self, value: Expression) -> str:
        return self.address(value.place)

    def value_offset(self, value: Expression) -> str:
        size = rules.pointed(value.type).size
        return f"({self.value(value.pointer)} + {size} * {self.value(value.index)} & {_MASK})"

    def value_distance(self, value: Expression) -> str:
        size = rules.pointed(value.left.type).size
        return f"(({self.value(value.left)} - {self.value(value.right)}) // {size})"

    def load(self, found: CType) -> str:
        return self.tool(("load", found), _load(found), "load")

    def store(self, found: CType) -> str:
        return self.tool(("store", found), _store(found), "store")

    # --- calls ---

    def value_function(self, value: Expression) -> str:
        function = value.callee.function
        return f"{self.tool(('address', id(function)), lambda: function.address, 'address')}()"

    def value_call(self, value: Expression) -> str:
        arguments = [self.value(one) for one in value.arguments]
        callee = value.callee
        if callee is not None and callee.native is not None:
            native = callee.native
            called = self.tool(("native", id(native)), _later(lambda: self.tools.native(native)), "native")
        else:
            types = [one.type for one in value.arguments]
            if callee is not None:
                called = self.tool(("call", id(callee.function), *types), _c_function(callee, types), "call")
            else:
                found = value.pointer.type
                called = self.tool(("pointer", found, *types), _c_pointer(found, types), "call")
                arguments.insert(0, self.value(value.pointer))
        return f"{called}({', '.join(arguments)})"


# --- what the code calls --------------------------------------------------------------------------------------------


def _later(find: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """A function that is found when it is first called: natives may call each other."""
    found: list[Callable[..., Any]] = []

    def call(*arguments: Any) -> Any:
        if not found:
            found.append(find())
        return found[0](*arguments)

    return call


def _single(number: float) -> float:
    """Rounded to a C ``float``."""
    try:
        return struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def _single_of_integer(number: int) -> float:
    """An integer rounded to a ``float`` once, not first to a ``double``: half to even."""
    size = abs(int(number))
    extra = size.bit_length() - 24
    if extra > 0:
        rest, size = size & (1 << extra) - 1, size >> extra
        half = 1 << extra - 1
        size += rest > half or (rest == half and size & 1)
        size <<= extra
    return float(-size if number < 0 else size)


def _memory(size: int) -> Callable[[], tuple[Any, int]]:
    kind = cffi.new_array_type(_CHARACTERS, size + 15)

    def make() -> tuple[Any, int]:
        memory = cffi.newp(kind)
        return memory, int(cffi.cast(_ADDRESS.backend, memory)) + 15 & ~15

    return make


def _load(found: CType) -> Callable[[int], Any]:
    if isinstance(found, StructCType):
        size = found.size
        return lambda address: cffi.buffer(cffi.cast(_CHARACTERS, address), size)[:]
    pointer, cast = cffi.new_pointer_type(bare_type(found).backend), cffi.cast
    if isinstance(found, Boolean):
        return lambda address: cast(pointer, address)[0] != 0
    return lambda address: cast(pointer, address)[0]


def _store_bytes(size: int) -> Callable[[int, bytes], None]:
    def store(address: int, data: bytes) -> None:
        cffi.buffer(cffi.cast(_CHARACTERS, address), size)[:] = data

    return store


def _store(found: CType) -> Callable[[int, Any], None]:
    if isinstance(found, StructCType):
        return _store_bytes(found.size)
    pointer, cast = cffi.new_pointer_type(bare_type(found).backend), cffi.cast

    def store(address: int, value: Any) -> None:
        cast(pointer, address)[0] = value

    return store


def _take_bits(found: StructCType, field: Any) -> Callable[[int], Any]:
    unit, shift, bits, signed = _unit(field)
    load = _load(unit)

    def take(address: int) -> int:
        value = load(address + field.offset) >> shift & (1 << bits) - 1
        return value - (1 << bits) if signed and value >> bits - 1 else value

    return take


def _put_bits(found: StructCType, field: Any) -> Callable[[int, int], None]:
    unit, shift, bits, _ = _unit(field)
    load, store = _load(unit), _store(unit)
    mask = (1 << bits) - 1

    def put(address: int, value: int) -> None:
        where = address + field.offset
        store(where, load(where) & ~(mask << shift) & (1 << 8 * unit.size) - 1 | (int(value) & mask) << shift)

    return put


def _unit(field: Any) -> tuple[CType, int, int, bool]:
    """The unsigned integer that a bit-field lies in, its place there, and whether it has a sign."""
    found = c_type(field.ctype)
    size = found.size
    signed = isinstance(found, Integer) and found.low < 0
    return WORDS[f"uint{8 * size}"], field.shift, field.bits, signed


def _c_function(callee: Callee, types: list[Any]) -> Callable[..., Any]:
    target = function_type(callee.signature)
    find = _c_pointer(FunctionPointer(target), types)
    return lambda *arguments: find(callee.function.address, *arguments)


def _c_pointer(found: Any, types: list[Any]) -> Callable[..., Any]:
    """What calls a C function at an address, with numbers and bytes."""
    target = function_type(found.target)
    if target.abi != "default" or found.target.abi != "default":
        raise ForeignTypeError(f"{found.spelling}: the interpreter of natives calls by the platform's own convention")
    fixed = len(target.parameters)
    backends = tuple(bare_type(one).backend for one in target.parameters)
    result = target.result if target.result is VOID else bare_type(target.result)
    pointer = cffi.new_function_type(backends, result.backend, target.variadic)
    extra = [bare_type(one).backend for one in types[fixed:]]
    structs = {index: one for index, one in enumerate(target.parameters) if isinstance(one, StructCType)}
    boolean = isinstance(target.result, Boolean)
    whole = cffi.new_pointer_type(result.backend)

    def call(address: int, *arguments: Any) -> Any:
        given = list(arguments)
        for index, one in structs.items():
            given[index] = _struct_value(one, given[index])
        for index, backend in enumerate(extra, fixed):
            given[index] = cffi.cast(backend, given[index])
        found = cffi.cast(pointer, address)(*given)
        if isinstance(target.result, StructCType):
            return cffi.buffer(cffi.rawaddressof(whole, found, 0))[:]
        return found != 0 if boolean else found

    return call


def _struct_value(found: StructCType, data: bytes) -> Any:
    made = cffi.newp(cffi.new_pointer_type(found.backend))
    cffi.buffer(made)[:] = data
    return made[0]


def entry(function: Callable[..., Any], signature: Any) -> tuple[Any, list[Any], Callable[..., Any]]:
    """What C calls for an interpreted native: the result's type, the parameters', and the callable of a callback."""
    result = VOID if signature.result is VOID else c_type(signature.result)
    types = function_type(signature).parameters
    structs = {index: one for index, one in enumerate(types) if isinstance(one, StructCType)}

    def call(*arguments: Any) -> Any:
        given = list(arguments)
        for index, one in structs.items():
            given[index] = _load(one)(_backend.address_of(given[index]))
        found = function(*given)
        if isinstance(result, StructCType):
            made = result.python_class()
            _store_bytes(result.size)(_backend.address_of(made), found)
            return made
        return int(found) if isinstance(result, (Boolean, Integer)) or rules.is_pointer(result) else found

    call.__name__ = call.__qualname__ = function.__name__
    return VOID if result is VOID else bare_type(result), [bare_type(one) for one in types], call

