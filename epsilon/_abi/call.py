"""The call without the shim: from Python, through the converters and cffi's libffi, into C and back.

What ``c/call.c`` is, in Python: a Trampoline is a signature compiled into a cffi function type and a plan of converters, and
a Function is a trampoline, an address and what the declaration asked for.
"""

from __future__ import annotations

from operator import index

import _cffi_backend as cffi

from epsilon._abi.convert import Converter
from epsilon._abi.guarded import VOID_POINTER, Cell, CodePointer, Record, explain, hooks, local, needs_shim
from epsilon._abi.plan import PIECES, Registers, classes_of, is_x87, passed_type, returned_type

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

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

    __slots__ = ("add", "converter", "takes", "target", "types")

    def __init__(self, converter: Converter, registers: Registers, in_tail: bool):
        self.converter = converter
        self.takes = converter.code != ">"
        #: of an output: the converter of the value that is given back
        self.target = converter.inner if converter.code in ">=" else None
        classes = classes_of(converter)
        fits = registers.take(classes)
        whole = passed_type(converter, False)
        if converter.base.code != "s":
            self.types = (whole,)
            self.add = _cast_to(whole) if in_tail else None
        elif fits:
            self.types = tuple(PIECES[letter] for letter in classes)
            self.add = _spread([cffi.new_pointer_type(piece) for piece in self.types], self.types if in_tail else ())
        else:
            self.types = (whole,)
            self.add = _behind(cffi.new_pointer_type(whole))


def _cast_to(type_: Any) -> Callable[[list, Any], None]:
    """In a variadic tail cffi takes the type from the value."""
    return lambda values, made: values.append(cffi.cast(type_, made))


def _spread(pointers: list[Any], types: tuple) -> Callable[[list, Any], None]:
    """A struct in registers: the words of its copy, each as the scalar of its class."""

    def add(values: list, made: Any) -> None:
        for index, pointer in enumerate(pointers):
            piece = cffi.cast(pointer, made)[index]
            values.append(cffi.cast(types[index], piece) if types else piece)

    return add


def _behind(pointer: Any) -> Callable[[list, Any], None]:
    """A struct in memory: its copy."""
    return lambda values, made: values.append(cffi.cast(pointer, made)[0])


# --- Trampoline -----------------------------------------------------------------------------------------------------


class Trampoline:
    """The one compiled trampoline of a signature: trampoline(address, *arguments)."""

    __slots__ = ("_callback_type", "calls", "callbacks", "outputs", "parameters", "pointer", "result", "signature", "taken")
    #: how calls are made
    strategy = "cffi"

    def __init__(
        self,
        signature: Any,
        result: Converter,
        parameters: tuple[Converter, ...],
        fixed: int = -1,
        strategy: str | None = None,
    ):
        if not isinstance(result, Converter):
            raise TypeError("result is a Converter")
        if not isinstance(parameters, tuple) or not all(isinstance(each, Converter) for each in parameters):
            raise TypeError("parameters is a tuple of Converters")
        if getattr(signature, "abi", "default") != "default":
            raise needs_shim(f"{signature}: the calling convention {signature.abi!r}")
        self.signature, self.result = signature, result
        #: calls made through it, callbacks received through it
        self.calls = self.callbacks = 0
        registers = Registers(result)
        self.parameters = [
            Parameter(converter, registers, 0 <= fixed <= index) for index, converter in enumerate(parameters)
        ]
        self.taken = sum(parameter.takes for parameter in self.parameters)
        self.outputs = sum(parameter.target is not None for parameter in self.parameters)
        written = self.parameters if fixed < 0 else self.parameters[:fixed]
        types = tuple(type_ for parameter in written for type_ in parameter.types)
        #: the cffi type of a pointer to such a function
        self.pointer = cffi.new_function_type(types, returned_type(result, True), fixed >= 0)
        self._callback_type = None

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
        if self.result.base.code != "s":
            return made
        return cffi.cast(cffi.new_pointer_type(returned_type(self.result, False)), made)[0]

    def receive(self, raw: Any) -> Any:
        """The Python value of a result."""
        if not is_x87(self.result):
            return self.result.get(raw)
        return self.result.load(cffi.newp(cffi.new_pointer_type(cffi.typeof(raw)), raw))

    def __call__(self, /, *arguments: Any, **keywords: Any) -> Any:
        if len(arguments) != self.taken + 1 or keywords:
            given = hooks.arguments(self, arguments[1:], keywords or None)
            return self(*arguments[:1], *given) if type(given) is tuple else given[0]
        target, function = arguments[0], None
        if isinstance(target, CodePointer):
            address = target._code()
            function = target if isinstance(target, Function) else None
        else:
            address = target if isinstance(target, int) else 0
        if not address:
            raise hooks.type_error(f"{self}: got {repr(target)[:100]} as the address, wanted an int that is not 0, a "
                                   "foreign function or a callback")  # fmt: skip
        if not _LOWEST_ADDRESS <= address <= _HIGHEST_ADDRESS:
            raise OverflowError(f"{address} is too large for an address")
        return self.invoke(cffi.cast(self.pointer, address), function, self, arguments[1:], bare=True)

    def invoke(self, pointer: Any, function: Function | None, who: Any, arguments: tuple, bare: bool = False) -> Any:
        """The whole of a call.

        ``who`` is what error texts name.  A ``bare`` call is the trampoline's: of ``function``, if there is one, it respects
        the library's life, but not the options.
        """
        values: list[Any] = []
        kept: list[Any] = []
        outputs: list[Any] = []
        record = Record()
        cell = None if function is None else function._cell
        keep_errno = not bare and function._errno
        number = None
        if cell is not None and not cell.enter(record):
            return _closed(function)
        try:
            self.prepare(arguments, values, kept, outputs, who)
            records = local.records
            depth = len(records)
            # a call that a finalizer or a signal handler makes just before or after another one's jump
            stray = depth > 0 and not records[-1].callbacks
            outer_errno = cffi.get_errno() if stray else 0
            try:
                records.append(record)
                self.calls += 1
                if keep_errno:
                    cffi.set_errno(0)
                raw = pointer(*values)
                if keep_errno:
                    number = local.errno = cffi.get_errno()
            finally:
                del records[depth:]
                if stray:
                    cffi.set_errno(outer_errno)
            if record.exception is not None:
                _raise_parked(record)
            try:
                value = self.receive(raw)
            except BaseException as error:
                explain(who, -1, error)
                raise
            if not (bare or function._passes(raw, value)):
                value = hooks.check_failed(function._declaration, value, number, arguments)
            return self.with_outputs(value, outputs) if outputs else value
        finally:
            # what the arguments lent to C is theirs again, even while a traceback holds this frame
            values.clear()
            kept.clear()
            if cell is not None:  # not before: the result may be a text within the library
                cell.leave(record)

    def prepare(self, arguments: tuple, values: list, kept: list, outputs: list, who: Any) -> None:
        """Convert the arguments."""
        given = iter(arguments)
        index = 0
        try:
            for parameter in self.parameters:
                made = parameter.converter.put(next(given) if parameter.takes else None, kept)
                if parameter.target is not None:
                    outputs.append((parameter.target, made))
                if parameter.add is None:
                    values.append(made)
                else:
                    parameter.add(values, made)
                index += 1
        except BaseException as error:
            explain(who, index, error)
            raise

    def with_outputs(self, result: Any, outputs: list) -> Any:
        """The values of the :out and :inout parameters, after the result."""
        found = [inner.load(box) for inner, box in outputs]
        if self.result.code != "v":
            return (result, *found)
        return found[0] if len(found) == 1 else tuple(found)


def _raise_parked(record: Record) -> None:
    exception, record.exception = record.exception, None
    try:
        raise exception
    finally:
        del exception  # its traceback holds this frame


def _closed(function: Function) -> Any:
    hooks.library_closed(function._declaration)
    raise SystemError("the hook for a closed library did not raise")


# --- Function -------------------------------------------------------------------------------------------------------

_CHECKS: dict[str, Callable[[Any], bool]] = {
    "nonnegative": lambda sign: sign >= 0,
    "positive": lambda sign: sign > 0,
    "nonzero": lambda sign: sign != 0,
    "zero": lambda sign: sign == 0,
    "non-null": lambda sign: sign != 0,
}


class Function(CodePointer):
    """A C function that Python can call."""

    __slots__ = ("__dict__", "__weakref__", "_address", "_asks", "_cell", "_declaration", "_errno", "_pointer", "_sign", "_trampoline")

    def __init__(
        self,
        trampoline: Trampoline,
        declaration: Any,
        cell: Cell | None = None,
        address: int | None = None,
        critical: bool = False,
        errno: bool = False,
        check: Any = None,
    ):
        if not isinstance(trampoline, Trampoline):
            raise TypeError("trampoline is a Trampoline")
        if cell is not None and not isinstance(cell, Cell):
            raise TypeError("cell is a Cell or None")
        if critical:
            raise needs_shim(f"{declaration}: :critical")
        self._trampoline, self._declaration, self._cell = trampoline, declaration, cell
        self._errno = bool(errno)
        # the two kinds of check: a word asks for the sign of C's value, a callable is asked about Python's
        self._sign, self._asks = (_CHECKS.get(check), None) if isinstance(check, str) else (None, check)
        self._address = self._pointer = None
        if address:
            self._settle(address)

    def _settle(self, address: int) -> None:
        self._pointer = cffi.cast(self._trampoline.pointer, address)
        self._address = address

    def _code(self) -> int:
        if self._cell is not None and self._cell.closed:
            return _closed(self)
        if self._address is None:
            address = self._declaration.resolve()
            if not address:
                raise SystemError("a symbol resolved to NULL")
            self._settle(address)
        return self._address

    def _passes(self, raw: Any, value: Any) -> bool:
        """Whether the result passes the check."""
        if self._asks is not None:
            return bool(self._asks(value))
        if self._sign is None:
            return True
        if not isinstance(raw, (int, float)):  # a pointer
            return self._sign(bool(raw))
        return self._sign(raw if raw == raw else -1)

    def __call__(self, /, *arguments: Any, **keywords: Any) -> Any:
        trampoline = self._trampoline
        if len(arguments) != trampoline.taken or keywords:
            given = hooks.arguments(self._declaration, arguments, keywords or None)
            return self(*given) if type(given) is tuple else given[0]
        cell = self._cell
        if self._pointer is None or (cell is not None and cell.closed):
            self._code()
        return trampoline.invoke(self._pointer, self, self._declaration, arguments)

    @property
    def trampoline(self) -> Trampoline:
        """The trampoline of its signature."""
        return self._trampoline

    @property
    def declaration(self) -> Any:
        """What was declared."""
        return self._declaration

    @property
    def address(self) -> int:
        """The address that a call jumps to."""
        return self._code()

    @property
    def strategy(self) -> str:
        """How it is called."""
        return self._trampoline.strategy

    @property
    def __doc__(self) -> str:
        return self._declaration.__doc__

    def __getattr__(self, name: str) -> Any:
        """What the declaration knows (its name, signature, library …) reads as an attribute of the function."""
        return getattr(object.__getattribute__(self, "_declaration"), name)

    def __repr__(self) -> str:
        return str(self._declaration)

    def __reduce__(self) -> Any:
        return self._declaration.reduce()
