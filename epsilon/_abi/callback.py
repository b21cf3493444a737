"""Callbacks without the shim: cffi's closures, with the contract of the shim's.

What ``c/callback.c`` is, in Python.  The closure belongs to a Slot, which a table of the module holds for as long as C
may have the pointer: while the Callback lives, and after its end until QUARANTINE later ones have ended.  (The
collector must never find the closure, for cffi lets it clear one that C still points to.)  The slot knows its Callback
by a weak reference only, so that a callable that refers to its own callback is collected like any other cycle.

cffi calls ``Slot.enter``; whatever is raised there makes it give C the value it was told to, and call ``Slot.failed``,
which parks the exception for the foreign call that C is in.
"""

from __future__ import annotations

import sys
from _collections import deque
from _thread import get_ident
from _weakref import ref as weak_reference

import _cffi_backend as cffi

from epsilon._abi.call import Trampoline
from epsilon._abi.guarded import UINTPTR, CodePointer, explain, hooks, park

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

QUARANTINE = 4096

_live: dict[Slot, None] = {}
_ended: deque[Slot] = deque()


class Slot:
    """One closure: who is behind it, or what is left of him."""

    __slots__ = (
        "answered", "answerer", "closure", "entered", "file", "give", "kept", "line", "name", "reference", "result",
        "results", "trampoline", "waiting",
    )  # fmt: skip

    def __init__(self, trampoline: Trampoline, callback: Callback, on_error: Any, give: bool):
        _free_oldest()
        self.trampoline = trampoline
        self.reference = weak_reference(callback, self.collected)
        self.name = _name_of(callback.callable)
        #: what takes calls to another thread, if anything does: it is told of the end
        self.waiting = None if callback._callable is callback._function else weak_reference(callback._callable)
        #: on_error as a callable, once the Callback, which has it till then, is gone
        self.answerer: Callable[[BaseException], Any] | None = None
        self.give = give
        self.file: str | None = None
        self.line = 0
        #: what the on_error value points to
        self.kept: list[Any] = []
        #: one item for each C call that is in it now: a list, for its changes are atomic
        self.entered: list[None] = []
        #: thread → what its last result points to
        self.results: dict[int, tuple] = {}
        self.result = trampoline.result
        self.answered = self.answer(on_error)
        self.closure = cffi.callback(trampoline.callback_type, self.enter, self.answered, self.failed)
        _live[self] = None

    def answer(self, on_error: Any) -> Any:
        """What C gets when there is no result; converted now, so that nothing can fail then."""
        if on_error is None or self.result.code == "v":
            return None
        made = self.result.put(on_error, self.kept)
        self.kept.append(made)  # cffi remembers the address only
        return self.trampoline.give(made)

    # --- C calls ---

    def enter(self, *raw: Any) -> Any:
        """C calls."""
        callback = self.reference()
        if callback is None or self not in _live:
            raise hooks.closed(self.name, self.file, self.line)
        self.trampoline.callbacks += 1
        self.entered.append(None)
        errno = cffi.get_errno()  # C's own: it gets it back, whatever is called meanwhile
        try:
            callable_, function = callback._callable, callback._function
            del callback  # it may end while it waits for another thread
            return self.run(callable_, function, raw)
        finally:
            cffi.set_errno(errno)
            self.entered.pop()

    def run(self, callable_: Callable[..., Any], function: Callable[..., Any], raw: tuple) -> Any:
        """Call with the arguments that C passed; what cffi gets."""
        trampoline = self.trampoline
        received = None
        if trampoline.viewed:
            arguments, received = trampoline.arrays.receive(function, self.values(raw))
        else:
            arguments = [self.value(place, raw) for place, each in enumerate(trampoline.parameters) if each.takes]
        try:
            result = callable_(*arguments)
        except BaseException:
            if received is not None:
                received.end()
            raise
        kept: list[Any] = []
        try:
            made = self.convert(function, result, raw, kept, received)
        except BaseException as error:
            explain(function, -1, error)
            raise
        return self.hand_over(made, result, kept)

    def hand_over(self, made: Any, result: Any, kept: list[Any]) -> Any:
        """What C gets of a converted result: what it points to lives on, here or as C's own copy."""
        if self.give:
            return _copy(made)
        if kept:
            kept.append(result)
            self.results[get_ident()] = tuple(kept)
        return made

    def value(self, place: int, raw: tuple) -> Any:
        """One argument."""
        parameter = self.trampoline.parameters[place]
        try:
            return parameter.converter.load(raw[place]) if parameter.by_address else parameter.converter.get(raw[place])
        except BaseException as error:
            explain(self.reference()._callable, place, error)
            raise

    def values(self, raw: tuple) -> tuple:
        """What the plan for arrays is given: addresses of arrays, None for :out parameters, the values of all else."""
        marks, parameters = self.trampoline.arrays.marks, self.trampoline.parameters
        return tuple(
            int(cffi.cast(UINTPTR, raw[place])) if marks[place] else self.value(place, raw) if parameter.takes else None
            for place, parameter in enumerate(parameters)
        )

    def convert(self, function: Callable[..., Any], result: Any, raw: tuple, kept: list[Any], received: Any) -> Any:
        """What the callable returned, as cffi takes it."""
        if received is not None:
            result, boxes, pointed = self.trampoline.arrays.spread(function, received, result)
            self.fill(boxes, raw, kept)
            if pointed:
                kept.append(pointed)
        elif self.trampoline.outputs:
            result = self.spread(result, raw, kept)
        if self.result.code == "v":
            return None
        made = self.result.put(result, kept)
        if self.result.base.code == "z":
            kept.append(made)
        return self.trampoline.give(made)

    def spread(self, result: Any, raw: tuple, kept: list[Any]) -> Any:
        """Write the values of :out and :inout parameters through C's pointers; what is left is the result."""
        trampoline = self.trampoline
        alone = self.result.code == "v"
        wanted = trampoline.outputs + (not alone)
        if alone and wanted == 1:
            values = (result,)
        elif isinstance(result, tuple) and len(result) == wanted:
            values = result if alone else result[1:]
        else:
            raise hooks.type_error(f"got {repr(result)[:100]}, wanted a tuple of {wanted} values: with :out and :inout "
                                   "parameters the callable returns theirs too")  # fmt: skip
        self.fill(values, raw, kept)
        return None if alone else result[0]

    def fill(self, values: tuple, raw: tuple, kept: list[Any]) -> None:
        """Write the values through the pointers of :out and :inout parameters."""
        given = iter(values)
        for parameter, pointer in zip(self.trampoline.parameters, raw, strict=True):
            if parameter.target is not None:
                value = next(given)
                if pointer:
                    parameter.target.store(pointer, value, kept)

    def failed(self, kind: type, exception: BaseException, traceback: Any) -> Any:
        """``enter`` raised: what C gets; None is the answer that cffi has."""
        callback = None if self.reference is None else self.reference()
        answer = None
        errno = cffi.get_errno()
        try:
            answerer = self.answerer if callback is None else callback._answerer
            if answerer is not None:
                answer = self.ask(answerer, exception)
            elif self.give:
                answer = _copy(self.answered)
        except BaseException as error:
            hooks.another(exception, error)
        park(exception.with_traceback(traceback), self.name if callback is None else callback._function)
        cffi.set_errno(errno)
        return answer

    def ask(self, answerer: Callable[[BaseException], Any], exception: BaseException) -> Any:
        """What on_error, a callable, answers."""
        result = answerer(exception)
        if result is None or self.result.code == "v":
            return None
        kept: list[Any] = []
        try:
            made = self.result.put(result, kept)
        except BaseException as error:
            explain(answerer, -2, error)
            raise
        if self.result.base.code == "z":
            kept.append(made)
        return self.hand_over(self.trampoline.give(made), result, kept)

    # --- the end ---

    def collected(self, reference: Any) -> None:
        """The Callback was garbage."""
        self.end(None)

    def end(self, frame: FrameType | None) -> None:
        """From now on C gets the answer, and its caller a CallbackClosedError that names the place of ``frame``."""
        try:
            del _live[self]
        except KeyError:  # it has ended
            return
        if frame is not None:
            self.file, self.line = frame.f_code.co_filename, frame.f_lineno
        _ended.append(self)
        waiting = None if self.waiting is None else self.waiting()
        if waiting is not None:
            waiting.ended(self.name, self.file, self.line)


def _copy(text: Any) -> Any:
    """A malloc'ed copy of a C string, which C frees."""
    global _strdup
    if not text:
        return text
    if _strdup is None:
        characters = cffi.new_pointer_type(cffi.new_primitive_type("char"))
        _strdup = cffi.load_library(None, 0).load_function(cffi.new_function_type((characters,), characters), "strdup")
    return _strdup(text)


_strdup: Any = None


def _free_oldest() -> None:
    """Free the closures that ended QUARANTINE endings ago; one that C is in waits once more."""
    while len(_ended) > QUARANTINE:
        try:
            oldest = _ended.popleft()
        except IndexError:  # other threads were faster
            return
        if oldest.entered:
            _ended.append(oldest)
            return
        oldest.closure = oldest.reference = None  # they lead back to the slot


def _name_of(callable_: Callable[..., Any]) -> Any:
    try:
        return callable_.__qualname__
    except Exception:
        return type(callable_).__name__


class Callback(CodePointer):
    """A C function pointer with a Python callable behind it."""

    __slots__ = ("__weakref__", "_address", "_answerer", "_callable", "_function", "_slot", "_trampoline")

    def __init__(
        self,
        trampoline: Trampoline,
        callable: Callable[..., Any],
        on_error: Any = None,
        function: Callable[..., Any] | None = None,
        answerer: Callable[[BaseException], Any] | None = None,
        give: bool = False,
        /,
    ):
        if not isinstance(trampoline, Trampoline):
            raise TypeError("trampoline is a Trampoline")
        self._trampoline, self._callable = trampoline, callable
        #: what the user gave, where the callable takes it to another thread
        self._function = callable if function is None else function
        self._answerer = answerer
        self._slot = Slot(trampoline, self, on_error, give)
        self._address = int(cffi.cast(UINTPTR, self._slot.closure))

    def _code(self) -> int:
        return self._address

    def close(self) -> None:
        """End it: C gets the on_error value from now on."""
        self._slot.end(sys._getframe(1))

    def __del__(self) -> None:
        """C may call on: the slot outlives its callback, and so does what answers.  (Before, the slot must not have
        it: an on_error that refers to its own callback would keep it alive.)"""
        try:
            self._slot.answerer = self._answerer
        except AttributeError:  # it was never made
            pass

    def __enter__(self) -> Callback:
        return self

    def __exit__(self, *exception: object) -> None:
        self._slot.end(sys._getframe(1))

    def __call__(self, /, *arguments: Any, **keywords: Any) -> Any:
        """From Python, a callback is the callable that it was made of."""
        return self._function(*arguments, **keywords)

    @property
    def address(self) -> int:
        """What C jumps to."""
        return self._address

    @property
    def callable(self) -> Callable[..., Any]:
        """The Python callable."""
        return self._function

    __wrapped__ = callable

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._slot not in _live

    @property
    def signature(self) -> Any:
        """Its Signature; None once it has ended."""
        return None if self.closed else self._trampoline.signature

    @property
    def strategy(self) -> str | None:
        """How C's call gets there: ``cffi``; None once it has ended."""
        return None if self.closed else self._trampoline.callback_strategy

    @property
    def cdata(self) -> Any:
        """A cffi function pointer, for plain cffi code."""
        return hooks.cdata(self)

    @property
    def __doc__(self) -> str | None:
        return self._function.__doc__

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_function"), name)

    def __repr__(self) -> str:
        if self.closed:
            return f"<closed callback {self._function!r} at {self._address:#x}>"
        return f"<callback {self._function!r} at {self._address:#x}: {self._trampoline.signature}>"
