"""Foreign calls off the event loop: each on a thread of its own, which a cancellation interrupts.

What can be interrupted is what C lets a signal interrupt: a system call that waits.  The signal is one that nobody
uses, and its handler does nothing; without ``SA_RESTART`` the system call then gives ``EINTR`` (signal(7)).  A signal
that comes just before the system call is lost, so it is sent again until the call has returned.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import signal
import threading
from collections.abc import Callable
from typing import Any

import _cffi_backend as cffi

from epsilon import _interrupts

#: seconds between two signals to a call that is to end
_AGAIN = 0.02

_lock = threading.Lock()
_number: int | None = None


def interrupting_signal() -> int:
    """The signal that interrupts a foreign call, with a handler that does nothing; the same at every call.

    It is the highest one that has no other meaning in this process: a real-time signal where there are any.
    """
    global _number
    with _lock:
        if _number is None:
            _number = _take_signal()
        return _number


def _take_signal() -> int:
    libc = cffi.load_library(None, 0)
    integer, pointer = cffi.new_primitive_type("int"), cffi.new_pointer_type(cffi.new_void_type())
    handle = libc.load_function(cffi.new_function_type((integer, pointer), pointer), "signal")
    interrupt = libc.load_function(cffi.new_function_type((integer, integer), integer), "siginterrupt")
    # abs(3) takes the one argument that a handler gets, touches nothing, and may run in a signal handler on any thread.
    nothing = cffi.cast(pointer, libc.load_function(cffi.new_function_type((integer,), integer), "abs"))
    candidates = [int(signal.SIGUSR2), int(signal.SIGUSR1)]
    if hasattr(signal, "SIGRTMAX"):
        candidates = [*range(int(signal.SIGRTMAX), int(signal.SIGRTMIN) - 1, -1), *candidates]
    for number in candidates:
        before = handle(number, nothing)
        if not before:  # SIG_DFL: nobody's
            interrupt(number, 1)
            return number
        handle(number, before)
    raise RuntimeError("every signal is in use: a foreign call cannot be interrupted")


class _Call:
    """One call on its thread."""

    def __init__(self, function: Callable[[], Any], loop: asyncio.AbstractEventLoop):
        self.function, self.loop = function, loop
        self.done = loop.create_future()
        self.ident: int | None = None
        #: held while ``ident`` changes or is used: no signal goes to a thread that has ended
        self.lock = threading.Lock()
        self.number = interrupting_signal()

    def run(self) -> None:
        """The thread."""
        result, error = None, None
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {self.number})
        with self.lock:
            self.ident = threading.get_ident()
        try:
            result = self.function()
        except BaseException as raised:
            error = raised
        with self.lock:
            _interrupts.threads.discard(self.ident)
            self.ident = None
        try:
            self.loop.call_soon_threadsafe(self.deliver, result, error)
        except RuntimeError:  # the loop was closed meanwhile: nobody waits
            pass
        finally:
            del error  # its traceback leads to this frame

    def deliver(self, result: Any, error: BaseException | None) -> None:
        """On the loop."""
        if not self.done.done():
            self.done.set_result((result, error))

    def interrupt(self) -> None:
        """Let C's system call give EINTR; and again, until the call has returned."""
        if self.done.done():
            return
        with self.lock:
            if self.ident is not None:
                _interrupts.threads.add(self.ident)
                signal.pthread_kill(self.ident, self.number)
        self.loop.call_later(_AGAIN, self.interrupt)


async def call(function: Any, /, *arguments: Any, **keywords: Any) -> Any:
    """See ``epsilon.call_async``."""
    if not callable(function):
        from epsilon.functions import shared_call

        function, arguments = shared_call, (function, *arguments)
    context = contextvars.copy_context()
    made = _Call(functools.partial(context.run, function, *arguments, **keywords), asyncio.get_running_loop())
    threading.Thread(target=made.run, name=f"call_async {getattr(function, '__name__', function)}", daemon=True).start()
    cancelled: asyncio.CancelledError | None = None
    while not made.done.done():
        try:
            await asyncio.wait((made.done,))
        except asyncio.CancelledError as error:  # C has the arguments until it is out of the call
            if cancelled is None:
                made.interrupt()
            cancelled = error
    result, raised = made.done.result()
    try:
        if cancelled is not None:
            raise cancelled
        if raised is not None:
            raise raised
        return result
    finally:
        del cancelled, raised  # their tracebacks lead to this frame
