"""The call without the shim: from Python, through the converters and cffi's libffi, into C and back.

What the shim's ``invoke`` is, in Python: a Trampoline is a signature compiled into a cffi function type and a plan of
converters, and a Function is a trampoline, an address and what the declaration asked for.
"""

from __future__ import annotations

from operator import index

import _cffi_backend as cffi

from epsilon._abi.convert import Converter
from epsilon._abi.guarded import (
    UINTPTR,
    VOID_POINTER,
    CodePointer,
    Guarded,
    Record,
    board,
    explain,
    hooks,
    land,
    live_address,
    local,
    needs_shim,
    unraisable,
)
from epsilon._abi.plan import PIECES, Registers, by_reference, classes_of, is_x87, passed_type, returned_type
from epsilon.errors import ForeignTypeError

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from epsilon._abi.function import Function

_INT = cffi.new_primitive_type("int")
_LONG_POINTER = cffi.new_pointer_type(cffi.new_primitive_type("long"))
_LOWEST_ADDRESS, _HIGHEST_ADDRESS = -(1 << 8 * cffi.sizeof(VOID_POINTER) - 1), (1 << 8 * cffi.sizeof(VOID_POINTER)) - 1


def errno() -> int:
    """The errno of this thread's last call under errno=True."""
    return local.errno


def set_errno(value: int, /) -> None:
    """Set what errno() gives on this thread."""
    local.errno = int(cffi.cast(_INT, cffi.newp(_LONG_POINTER, index(value))[0]))


# --- one parameter --------------------------------------------------------------------------------------------------


class Parameter:
    """Where one parameter goes: ``add`` puts what the converter made of a value among the arguments that cffi gets."""

    __slots__ = ("add", "by_address", "converter", "takes", "target", "types")

    def __init__(self, converter: Converter, registers: Registers, in_tail: bool):
        self.converter = converter
        #: a struct of which a pointer is passed, here and in callbacks
        self.by_address = by_reference(converter)
        self.takes = converter.code != ">"
        #: of an output: the converter of the value that is given back
        self.target = converter.inner if converter.code in ">=" else None
        classes = classes_of(converter)
        fits = registers.take(classes)
        whole = passed_type(converter, False)
        if converter.base.code != "s" or self.by_address:
            self.types = (whole,)
            self.add = _cast_to(whole) if in_tail or self.by_address else None
        elif fits:
            self.types = tuple(PIECES[letter] for letter in classes)
            self.add = _spread([cffi.new_pointer_type(piece) for piece in self.types], self.types if in_tail else ())
        else:
            self.types = (whole,)
            self.add = _behind(cffi.new_pointer_type(whole))


def _cast_to(type_: Any) -> Callable[[list, Any], None]:
    """A value that must say its type: in a variadic tail cffi has it from nowhere else."""
    return lambda values, made: values.append(cffi.cast(type_, made))


def _spread(pointers: list[Any], types: tuple) -> Callable[[list, Any], None]:
    """A struct in registers: the words of its copy, each as the scalar of its class."""

    def add(values: list, made: Any) -> None:
        for place, pointer in enumerate(pointers):
            piece = cffi.cast(pointer, made)[place]
            values.append(cffi.cast(types[place], piece) if types else piece)

    return add


def _behind(pointer: Any) -> Callable[[list, Any], None]:
    """A struct in memory: its copy."""
    return lambda values, made: values.append(cffi.cast(pointer, made)[0])


# --- Trampoline -----------------------------------------------------------------------------------------------------


class Trampoline:
    """The one compiled trampoline of a signature: trampoline(address, *arguments)."""

    __slots__ = (
        "_boxed", "_callback_type", "_calls_back", "_result_pointer", "arrays", "calls", "callbacks", "counted",
        "gives", "outputs", "parameters", "pointer", "result", "signature", "simple", "taken", "variadic", "viewed",
    )  # fmt: skip
    #: how calls are made
    strategy = callback_strategy = "cffi"

    def __init__(
        self,
        signature: Any,
        result: Converter,
        parameters: tuple[Converter, ...],
        fixed: int = -1,
        strategy: str | None = None,
        abi: int = 0,
        arrays: Any = None,
    ):
        if not isinstance(result, Converter):
            raise TypeError("result is a Converter")
        if not isinstance(parameters, tuple) or not all(isinstance(each, Converter) for each in parameters):
            raise TypeError("parameters is a tuple of Converters")
        if abi:
            raise needs_shim(f"{signature}: the calling convention {signature.abi}")
        self.signature, self.result = signature, result
        #: what knows of arrays and their lengths (``array_plans.Plan``), or None
        self.arrays = arrays
        #: whether more arguments may follow: they make it a call through another trampoline
        self.variadic = fixed == len(parameters)
        #: calls made through it, callbacks received through it
        self.calls = self.callbacks = 0
        try:
            self._compile(parameters, fixed)
        except ForeignTypeError as error:
            error.args = (f"{signature}: {error.args[0]}",)
            raise
        self._callback_type = None

    def _compile(self, parameters: tuple[Converter, ...], fixed: int) -> None:
        registers = Registers(self.result)
        self.parameters = [
            Parameter(converter, registers, 0 <= fixed <= place) for place, converter in enumerate(parameters)
        ]
        self.taken = sum(parameter.takes for parameter in self.parameters)
        self.outputs = sum(parameter.target is not None for parameter in self.parameters)
        #: whether each argument becomes one value
        self.simple = all(each.takes and each.target is None and each.add is None for each in self.parameters)
        #: whether calls ask the plan for arrays, and whether callbacks do
        self.counted = self.arrays is not None and self.arrays.counted
        self.viewed = self.arrays is not None and self.arrays.viewed
        #: whether a parameter is C's to keep
        self.gives = any(converter.code == "x" and converter.owned and converter.raw for converter in parameters)
        if self.counted:
            self.taken, self.simple = self.arrays.taken, False
        #: whether C may get a function pointer; one that it has from an earlier call is not seen here
        self._calls_back = any(converter.base.code in "pP" for converter in parameters)
        written = self.parameters if fixed < 0 else self.parameters[:fixed]
        types = tuple(type_ for parameter in written for type_ in parameter.types)
        returned = returned_type(self.result, True)
        #: the cffi type of a pointer to such a function
        self.pointer = cffi.new_function_type(types, returned, fixed >= 0)
        #: of a struct: a pointer to what is returned in its place
        self._result_pointer = cffi.new_pointer_type(returned) if self.result.base.code == "s" else None
        self._boxed = is_x87(self.result)

    def __repr__(self) -> str:
        return f"<trampoline of {self.signature}>"

    @property
    def callback_type(self) -> Any:
        """The cffi type of callbacks: the types as they are written, for libffi receives structs rightly."""
        if self._callback_type is None:
            types = tuple(passed_type(parameter.converter, True) for parameter in self.parameters)
            self._callback_type = cffi.new_function_type(types, returned_type(self.result, False), False)
        return self._callback_type

    def give(self, made: Any) -> Any:
        """What a callback returns to cffi for what the converter of the result made."""
        return made if self._result_pointer is None else cffi.cast(self._result_pointer, made)[0]

    def receive(self, raw: Any) -> Any:
        """The Python value of a result that came in another shape."""
        return self.result.load(cffi.newp(self._result_pointer, raw))

    def __call__(self, /, *arguments: Any, **keywords: Any) -> Any:
        if len(arguments) != self.taken + 1 or keywords:
            return self(*arguments[:1], *hooks.arguments(self, arguments[1:], keywords or None))
        target, function = arguments[0], None
        if isinstance(target, CodePointer):
            address = target._code()
            function = target if hasattr(type(target), "trampoline") else None
        else:
            address = target if isinstance(target, int) else 0
        if not address or not _LOWEST_ADDRESS <= address <= _HIGHEST_ADDRESS:
            raise hooks.type_error(f"{self}: got {repr(target)[:100]} as the address, wanted an int that is not 0, a "
                                   "foreign function or a callback")  # fmt: skip
        return self.invoke(cffi.cast(self.pointer, address), function, self, arguments[1:], bare=True)

    def invoke(self, pointer: Any, function: Function | None, who: Any, arguments: tuple, bare: bool = False) -> Any:
        """The whole of a call.

        ``who`` is what error texts name.  A ``bare`` call is the trampoline's: of ``function``, if there is one, it
        respects the library's life, but not the options.
        """
        record = Record()
        cell = None if function is None else function._cell
        if cell is not None and not cell.enter(record):
            return function._closed()
        plain = bare or not function._options
        values: list[Any] = []
        kept: list[Any] = []
        outputs: list[Any] = []
        try:
            prepared = self.prepare(arguments, values, kept, outputs, record, who)
            first = [cffi.buffer(box)[:] for _, box in outputs] if not plain and function._retry else []
            attempt = 1
            while True:
                if self.gives:
                    hooks.depart(tuple(kept))
                raw = self.jump(pointer, values, record, not plain and function._errno)
                value = self.land(raw, record, outputs, who)
                if plain or function._passes(raw, value):
                    break
                if function._retry and function._tries_again(record.errno, attempt):
                    self.release(outputs, who)
                    for (_, box), content in zip(outputs, first, strict=True):
                        cffi.buffer(box)[:] = content
                    self.board(prepared, kept, record, who)
                    attempt += 1
                    continue
                if function._raises:
                    return function._failed(self.with_outputs(value, outputs, who, prepared, True), arguments, record)
                break
            return self.with_outputs(value, outputs, who, prepared)
        finally:
            for memory in kept:
                if isinstance(memory, Guarded):
                    land(memory, record)
            memory = None
            # what the arguments lent to C is theirs again, even while a traceback holds this frame
            values.clear()
            kept.clear()
            prepared = ()
            if cell is not None:  # not before: the result may be a text within the library
                cell.leave(record)

    def jump(self, pointer: Any, values: list, record: Record, keep_errno: bool) -> Any:
        """Into C and back, with the record in its place."""
        records = local.records
        depth = len(records)
        if depth or self._calls_back:
            _leave_room(_ROOM)
        # a finalizer or a signal handler may call just before or just after another call's jump
        outer_errno = cffi.get_errno() if depth else 0
        try:
            records.append(record)
            self.calls += 1
            if not keep_errno:
                return pointer(*values)
            cffi.set_errno(0)
            raw = pointer(*values)
            record.errno = local.errno = cffi.get_errno()
            return raw
        finally:
            del records[depth:]
            if depth:
                cffi.set_errno(outer_errno)

    def prepare(
        self, arguments: tuple, values: list, kept: list, outputs: list, record: Record, who: Any
    ) -> tuple:
        """Convert the arguments; what was converted, which is more than was passed where arrays have lengths."""
        place = 0
        if self.counted:
            arguments = self.arrays.prepare(who, arguments)
        try:
            if self.simple:
                for parameter in self.parameters:
                    values.append(parameter.converter.put(arguments[place], kept))
                    place += 1
            else:
                given = iter(arguments)
                for parameter in self.parameters:
                    made = parameter.converter.put(next(given) if parameter.takes else None, kept)
                    if parameter.target is not None:
                        outputs.append((parameter.target, made))
                    if parameter.add is None:
                        values.append(made)
                    else:
                        kept.append(made)  # what is added may be a cast, which does not hold it
                        parameter.add(values, made)
                    place += 1
        except BaseException as error:
            given = arguments = ()  # memory of arrays, which the traceback would keep
            explain(who, place, error)
            raise
        self.board(arguments, kept, record, who)
        return arguments

    def board(self, arguments: tuple, kept: list, record: Record, who: Any) -> None:
        """Count the call in on the memory that C gets, so that no other thread ends it.

        Refuse what has ended meanwhile: the conversion of a later argument may have ended it.
        """
        for memory in kept:
            if isinstance(memory, Guarded) and not board(memory, record):
                try:
                    live_address(memory)
                except BaseException as error:
                    explain(who, self.place_of(memory, arguments), error)
                    raise

    def place_of(self, argument: Any, arguments: tuple) -> int:
        """Which parameter an argument is for."""
        taking = [place for place, parameter in enumerate(self.parameters) if parameter.takes]
        return next((place for place, given in zip(taking, arguments, strict=True) if given is argument), taking[0])

    def land(self, raw: Any, record: Record, outputs: list, who: Any) -> Any:
        """What the call gave; where it raises, what came with it and is the caller's to free is freed."""
        try:
            if record:
                _raise_parked(record)
            try:
                value = self.receive(raw) if self._boxed else self.result.get(raw)
            except BaseException as error:
                explain(who, -1, error)
                raise
        except BaseException:
            _free(self.result, raw, who)
            self.release(outputs, who)
            raise
        return _taken(self.result, raw, value, who) if self.result.owned else value

    def release(self, outputs: list, who: Any) -> None:
        """Free what C gave in the outputs, for nobody will get it."""
        for inner, box in outputs:
            _free(inner, box[0], who)

    def with_outputs(self, result: Any, outputs: list, who: Any, prepared: tuple, failed: bool = False) -> Any:
        """The values of the :out and :inout parameters, after the result; ``failed``: which failed its check."""
        if not outputs and not (self.counted and (self.arrays.outputs or self.arrays.bounded)):
            return result
        found = []
        for place, (inner, box) in enumerate(outputs):
            try:
                value = inner.load(box)
            except BaseException:
                self.release(outputs[place:], who)
                raise
            found.append(_taken(inner, box[0], value, who) if inner.owned else value)
        if self.counted:
            return self.arrays.finish(who, result, found, prepared, failed)
        if self.result.code != "v":
            return (result, *found)
        return found[0] if len(found) == 1 else tuple(found)


def _taken(converter: Converter, raw: Any, value: Any, who: Any) -> Any:
    """What to give for a pointer that is the caller's to free."""
    address = int(cffi.cast(UINTPTR, raw))
    return hooks.take(who, converter.ctype, address, value) if address else value


def _free(converter: Converter, raw: Any, who: Any) -> None:
    """Free what is the caller's to free, for nobody will get it."""
    if converter.owned:
        try:
            _taken(converter, raw, None, who)
        except BaseException as error:
            unraisable(error, who)


#: the calls that lead from a jump to the parking of a callback's exception
_ROOM = 6


def _leave_room(calls: int) -> None:
    """Raise RecursionError here, where it can be raised, if a callback would meet it where nobody can park it."""
    if calls:
        _leave_room(calls - 1)


def _raise_parked(record: Record) -> None:
    exception = record.pop()
    try:
        raise exception
    finally:
        del exception  # its traceback holds this frame
