"""Which thread runs a callback: what takes a C call to the thread that the callback's ``thread`` policy names.

A dispatcher stands before the user's function, so that floor 0 knows of no policy and ``any`` costs nothing.  It is
called on whatever thread C is on.  Where another thread must run the function, the C thread waits, with the GIL
released, for a :class:`Call`.  Somebody *claims* the call, once: who runs it, or who gives it up because the wait
could never end.

A :class:`Thread` learns of its own end from what the thread's locals hold.  No lock is held anywhere, for finalizers,
which may run at any point, end callbacks; what must be atomic is one operation of a built-in container.
"""

from __future__ import annotations

import atexit
import math
import os
import sys
import threading
import time
from _queue import Empty, SimpleQueue
from _thread import TIMEOUT_MAX, allocate_lock, get_ident, get_native_id
from _thread import _local as thread_local
from collections.abc import Callable
from typing import Any

from epsilon import _backend, callbacks
from epsilon.errors import ForeignError
from epsilon.functions import callback_closed

_PACKAGE = os.path.dirname(__file__) + os.sep
#: seconds between two looks at a loop, whose end tells nobody
_INTERVAL = 0.1


# --- threads --------------------------------------------------------------------------------------------------------


class Thread:
    """One thread, from the first time that it is met here until Python forgets it."""

    __slots__ = ("calls", "ended", "ident", "name", "native")

    def __init__(self) -> None:
        self.ident, self.native = get_ident(), get_native_id()
        self.ended = False
        #: its foreign calls in progress, for floor 0's ``leave_to``
        self.calls: Any = _backend.own_calls()
        names = (f"thread {each.name!r}" for each in threading.enumerate() if each.ident == self.ident)
        self.name = next(names, f"a thread that Python did not make ({self.ident})")

    def in_call(self) -> bool:
        """Whether it is in a foreign call, or in Python that a foreign call called."""
        return _backend.leave_to(self, None)


class _Life:
    """In a thread's locals, which end with the thread."""

    __slots__ = ("thread",)

    def __init__(self, thread: Thread):
        self.thread = thread

    def __del__(self) -> None:
        self.thread.ended, self.thread.calls = True, None
        if _finalizing is False:  # else None already, perhaps
            _ended(self.thread)


_own = thread_local()
_threads: dict[int, Thread] = {}
#: who has called run_pending: all of them run what any callback left
_runners: dict[Thread, None] = {}


def here() -> Thread:
    """The thread that this is."""
    try:
        return _own.life.thread
    except AttributeError:
        thread = Thread()
        _own.life = _Life(thread)
        _threads[thread.ident] = thread
        return thread


def _ended(thread: Thread) -> None:
    """The calls that wait for it alone are given up."""
    _runners.pop(thread, None)
    if _threads.get(thread.ident) is thread:
        _threads.pop(thread.ident, None)
    for call in list(_waiting):
        call.reconsider()


def _place(thread: Thread) -> str:
    """Where a thread is, as far as Python knows."""
    frame = sys._current_frames().get(thread.ident)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):  # not in what makes the call
        frame = frame.f_back
    where = "" if frame is None else f" at {frame.f_code.co_filename}:{frame.f_lineno} (in {frame.f_code.co_name})"
    return f"in a foreign call{where}" if thread.in_call() else f"waiting{where}"


def _activity(threads: list[Thread]) -> dict[Thread, tuple]:
    """What changes while a thread does anything: its instruction, and on Linux the time that it ran (proc(5))."""
    frames, found = sys._current_frames(), {}
    for thread in threads:
        frame = frames.get(thread.ident)
        try:
            with open(f"/proc/self/task/{thread.native}/schedstat") as file:
                ran = file.read()
        except OSError:
            ran = ""
        found[thread] = (id(frame), None if frame is None else frame.f_lasti, ran)
    return found


# --- a call that waits for another thread -----------------------------------------------------------------------------

#: the calls that wait now
_waiting: dict[Call, None] = {}
_none_waits = threading.Event()
_finalizing = False


class Call:
    """A call of C's that another thread is to run."""

    __slots__ = ("arguments", "caller", "claimed", "dispatcher", "error", "ready", "result")

    def __init__(self, dispatcher: Waiting, arguments: tuple):
        self.dispatcher, self.arguments = dispatcher, arguments
        self.caller = get_ident()
        #: whose it is; ``setdefault`` decides, in one step
        self.claimed: dict[None, object] = {}
        self.result: Any = None
        self.error: BaseException | None = None
        self.ready = allocate_lock()
        self.ready.acquire()

    # --- whoever claims it ---

    def claim(self, who: object) -> bool:
        return self.claimed.setdefault(None, who) is who

    def run(self) -> bool:
        """Run it here; False if it is somebody else's.

        What ends a program (Ctrl-C, ``sys.exit``) is this thread's to raise, and C's thread is told that it came."""
        me = object()
        try:
            if not self.claim(me):
                return False
            self.finish(self.dispatcher.function(*self.arguments))
        except (KeyboardInterrupt, SystemExit) as error:
            if self.claim(me):
                self.fail(self.dispatcher.interrupted(error))
            raise
        except BaseException as error:
            self.fail(error)
        return True

    def finish(self, result: Any) -> None:
        self.result = result
        self.wake()

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.wake()

    def wake(self) -> None:
        if self.ready.locked():  # Ctrl-C may come after all is done
            self.ready.release()

    def give_up(self, error: BaseException) -> None:
        """Let C have its answer now, unless somebody runs it."""
        if self.claim(object()):
            self.fail(error)

    def reconsider(self) -> None:
        error = self.dispatcher.hopeless(self)
        if error is not None:
            self.give_up(error)

    # --- C's thread ---

    def wait(self) -> Any:
        """What the function gave, or its exception; or the reason why nobody will ever run it."""
        interrupt: BaseException | None = None
        #: when to look at the threads that could run it, and what they did at the last look
        look, seen = self.next_look(), None
        while True:
            try:
                if self.ready.acquire(timeout=self.timeout(look)):
                    break
                if self.is_lost():
                    break
                if time.monotonic() >= look and not self.claimed:
                    seen = self.look(seen)
                    look = self.next_look()
            except BaseException as error:  # Ctrl-C, on the main thread
                if self.claim(self):
                    raise
                interrupt = error  # it runs with C's memory: C must wait for its end
        if interrupt is not None:
            raise interrupt
        error, self.error = self.error, None
        if error is None:
            return self.result
        try:
            raise error
        finally:
            del error  # its traceback leads to this frame

    def next_look(self) -> float:
        return math.inf if callbacks.patience is None else time.monotonic() + callbacks.patience / 2

    def timeout(self, look: float) -> float:
        """Seconds until there is something to look at; -1 for never."""
        limit = math.inf if self.claimed else max(0, look - time.monotonic())
        if self.dispatcher.interval is not None:
            limit = min(limit, self.dispatcher.interval)
        return -1 if limit == math.inf else min(limit, TIMEOUT_MAX)

    def is_lost(self) -> bool:
        """Whether it will never be done, even if somebody has begun it."""
        error = self.dispatcher.hopeless(self)
        if error is None or self.claimed and not self.dispatcher.may_break_off:
            return False
        if self.claim(self) or self.error is None:
            self.error = error
        return True

    def look(self, seen: dict[Thread, tuple] | None) -> dict[Thread, tuple]:
        """What the threads that could run it do; give up if each is in a foreign call, or has done nothing since
        ``seen``."""
        threads = self.dispatcher.runners(self)
        now = _activity(threads)
        if seen is None or not all(thread.in_call() or seen.get(thread) == now[thread] for thread in threads):
            return now
        if not self.claim(self):
            return now
        places = " and ".join(f"{thread.name}, which is {_place(thread)}" for thread in threads)
        text = f"{self.dispatcher.waits()} waits for {places or 'its loop'}, and has had no answer for too long"
        for thread in threads:
            _backend.leave_to(thread, ForeignError(text))
        self.fail(ForeignError(text))
        return now


# --- dispatchers ------------------------------------------------------------------------------------------------------


class Dispatcher:
    """Stands before the user's function; C calls it."""

    __slots__ = ("__weakref__", "end", "function", "maker")

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        #: who made the callback
        self.maker = here()
        #: once the callback is closed: its name, and the file and line of its closing
        self.end: tuple | None = None

    @property
    def name(self) -> str:
        return getattr(self.function, "__qualname__", None) or repr(self.function)

    @property
    def is_here(self) -> bool:
        """Whether this is the thread that made the callback."""
        return self.maker.ident == get_ident() and self.maker is here()

    def ended(self, name: str, file: str | None, line: int) -> None:
        """The callback was closed, or collected."""
        self.end = (name, file, line)
        if _finalizing is not False:  # else None already, perhaps: nobody waits any more
            return
        for call in list(_waiting):
            if call.dispatcher is self:
                call.give_up(callback_closed(*self.end))


class SameThread(Dispatcher):
    """``same``: no thread but the one that made it."""

    __slots__ = ()

    def __call__(self, *arguments: Any) -> Any:
        if self.is_here:
            return self.function(*arguments)
        maker = self.maker.name + (", which has ended" if self.maker.ended else "")
        raise ForeignError(
            f"callback {self.name}: C called it on {here().name}, and under thread='same' only the thread that made it "
            f"may run it: {maker}"
        )


class Waiting(Dispatcher):
    """A policy under which C's thread waits for another one."""

    __slots__ = ()
    #: seconds between two looks at whether there is still hope; None where its loss is an event
    interval: float | None = None
    #: whether a call that was begun may be left alone
    may_break_off = False
    #: the end of an error's text
    nobody: str

    def __call__(self, *arguments: Any) -> Any:
        if self.is_at_home():
            return self.at_home(arguments)
        call = Call(self, arguments)
        _waiting[call] = None
        try:
            if self.end is not None:
                raise callback_closed(*self.end)
            error = self.hopeless(call)
            if error is not None:
                raise error
            self.post(call)
            return call.wait()
        finally:
            del _waiting[call]
            if _finalizing and not _waiting:
                _none_waits.set()

    def is_at_home(self) -> bool:
        """Whether this thread runs it at once."""
        return self.is_here

    def at_home(self, arguments: tuple) -> Any:
        return self.function(*arguments)

    def waits(self) -> str:
        """The beginning of an error's text: which callback waits, and where."""
        return f"callback {self.name}, called by C on {here().name},"

    def interrupted(self, error: BaseException) -> ForeignError:
        made = ForeignError(f"callback {self.name}: {type(error).__name__} came while another thread ran it")
        made.__cause__ = error
        return made

    def hopeless(self, call: Call) -> ForeignError | None:
        """Why nobody will ever run it, or None."""
        if _finalizing or sys.is_finalizing():
            return ForeignError(f"callback {self.name}: the interpreter is being finalized: {self.nobody}")
        return None

    def runners(self, call: Call) -> list[Thread]:
        """The threads that may run it."""
        raise NotImplementedError

    def post(self, call: Call) -> None:
        """Make the call known to them."""
        raise NotImplementedError


class Queue(Waiting):
    """``queue``: whoever calls run_pending."""

    __slots__ = ()
    nobody = "nobody calls epsilon.callbacks.run_pending() any more"

    def post(self, call: Call) -> None:
        _pending.put(call)

    def runners(self, call: Call) -> list[Thread]:
        threads = {self.maker: None, **_runners}
        return [thread for thread in threads if not thread.ended and thread.ident != call.caller]

    def hopeless(self, call: Call) -> ForeignError | None:
        if not self.runners(call):
            return ForeignError(f"callback {self.name}: the thread that made it has ended, and {self.nobody}")
        return super().hopeless(call)


class Loop(Waiting):
    """``loop``: an asyncio loop."""

    __slots__ = ("loop",)
    interval = _INTERVAL
    may_break_off = True
    nobody = "its loop will not come to it"

    def __init__(self, function: Callable[..., Any], loop: Any):
        super().__init__(function)
        self.loop = loop
        if not self.is_at_home():
            try:
                loop.call_soon_threadsafe(here)  # so that its thread is known
            except RuntimeError as error:
                raise ForeignError(f"callback {self.name}: {error}") from None

    def is_at_home(self) -> bool:
        import asyncio

        return asyncio._get_running_loop() is self.loop

    def at_home(self, arguments: tuple) -> Any:
        result = self.function(*arguments)
        if not _is_awaitable(result):
            return result
        if hasattr(result, "close"):
            result.close()  # a coroutine that nobody awaited would complain
        raise ForeignError(
            f"callback {self.name}: a coroutine function that C calls on its loop's own thread: its result can never "
            "come, for C holds that thread; make the foreign call with call_async"
        )

    def post(self, call: Call) -> None:
        try:
            self.loop.call_soon_threadsafe(self.deliver, call)
        except RuntimeError as error:  # closed, just now
            raise ForeignError(f"callback {self.name}: {error}") from None

    def deliver(self, call: Call) -> None:
        """On the loop: run the function, or begin the coroutine."""
        import asyncio

        me = object()
        if not call.claim(me):
            return
        try:
            result = self.function(*call.arguments)
            if _is_awaitable(result):
                task = asyncio.ensure_future(result, loop=self.loop)
                task.add_done_callback(lambda task: self.deliver_result(call, task.result))
                return
        except (KeyboardInterrupt, SystemExit) as error:
            call.fail(self.interrupted(error))
            raise
        except BaseException as error:
            call.fail(error)
            return
        call.finish(result)

    def deliver_result(self, call: Call, result: Callable[[], Any]) -> None:
        try:
            call.finish(result())
        except (KeyboardInterrupt, SystemExit) as error:  # the task has raised it in the loop
            call.fail(self.interrupted(error))
        except BaseException as error:
            call.fail(error)

    def runners(self, call: Call) -> list[Thread]:
        thread = _threads.get(getattr(self.loop, "_thread_id", None) or 0)
        return [] if thread is None else [thread]

    def hopeless(self, call: Call) -> ForeignError | None:
        if self.loop.is_closed():
            return ForeignError(f"callback {self.name}: its asyncio loop is closed")
        if not self.loop.is_running():
            return ForeignError(f"callback {self.name}: its asyncio loop is not running")
        ident = getattr(self.loop, "_thread_id", None)
        if ident is not None and ident not in sys._current_frames():
            return ForeignError(f"callback {self.name}: the thread of its asyncio loop has ended")
        return super().hopeless(call)


def _is_awaitable(result: Any) -> bool:
    return hasattr(type(result), "__await__")


POLICIES: dict[str, Callable[[Callable[..., Any]], Dispatcher]] = {"same": SameThread, "queue": Queue}


def running_loop(function: Callable[..., Any]) -> Loop:
    """``thread='loop'``: the loop that is running where the callback is made."""
    import asyncio

    try:
        return Loop(function, asyncio.get_running_loop())
    except RuntimeError:
        raise ForeignError(
            "thread='loop' takes the running asyncio loop, and none is running here: make the callback inside a "
            "coroutine, or pass the loop itself, thread=loop"
        ) from None


POLICIES["loop"] = running_loop


# --- run_pending ------------------------------------------------------------------------------------------------------

_pending: SimpleQueue = SimpleQueue()


def run_pending(timeout: float | None) -> int:
    """See ``epsilon.callbacks.run_pending``."""
    _runners[here()] = None
    deadline = None if timeout is None else time.monotonic() + timeout
    count = left = 0
    while True:
        try:
            if left or count:
                call = _pending.get_nowait()
                left -= 1
            else:
                call = _pending.get(timeout=None if deadline is None else max(0, deadline - time.monotonic()))
                left = _pending.qsize()  # and what comes later is for the next time
        except Empty:
            return count
        count += call.run()
        if count and left <= 0:
            return count


# --- fork, and the end ------------------------------------------------------------------------------------------------


def _forked() -> None:
    """In the child of a fork the threads that waited are gone, with whatever they held."""
    global _none_waits, _pending
    _pending, _none_waits = SimpleQueue(), threading.Event()
    _waiting.clear()


def _finalize() -> None:
    """Let C's threads go before the interpreter does: afterwards they could never have the GIL again."""
    global _finalizing
    _finalizing = True
    for call in list(_waiting):
        call.reconsider()
    if _waiting:
        _none_waits.wait(1)


os.register_at_fork(after_in_child=_forked)
atexit.register(_finalize)
