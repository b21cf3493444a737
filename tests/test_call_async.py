"""API §5, point 4: ``await call_async(f, …)``."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest
from clib import load_c, run_child

import epsilon
from epsilon import _interrupts, asynchronous

SOURCE = """
#include <errno.h>
#include <poll.h>
#include <pthread.h>
typedef int (*Unary)(int);
int apply(Unary f, int x) { return f(x); }
int sleep_long(void) { return poll(0, 0, 600000); }
static volatile int inside, leave;
int is_inside(void) { return inside; }
void let_it_leave(void) { leave = 1; }
/* C that no signal interrupts */
int stubborn(char *where) { inside = 1; while (!leave) poll(0, 0, 1); where[0] = 'x'; inside = leave = 0; return 5; }
int sleep_again(Unary again)
{
    for (int n = 0;; n++)
        if (poll(0, 0, 600000) < 0 && errno == EINTR && !again(n)) return n;
}
"""


@pytest.fixture(scope="module")
def c():
    return load_c(SOURCE)


def test_a_call_gives_its_result_and_the_loop_runs_on(c):
    """The call waits for the loop: it would wait for ever if it were made on it."""

    async def main():
        ready = threading.Event()
        with epsilon.make_callback(lambda x: ready.wait(60) and x + 1, "int", ["int"]) as callback:
            call = asyncio.ensure_future(epsilon.call_async(c.bind("apply", "int", ["pointer", "int"]), callback, 4))
            await asyncio.sleep(0)
            ready.set()
            return await call

    assert asyncio.run(main()) == 5


def test_arguments_by_name_and_functions_of_all_kinds(c):
    strlen = epsilon.lib_open("libc").bind("size_t strlen(const char *s)")
    assert asyncio.run(epsilon.call_async(strlen, s="four")) == 4
    assert asyncio.run(epsilon.call_async(("strlen", "libc"), "size", ["string"], "four")) == 4
    assert asyncio.run(epsilon.call_async(len, "four")) == 4


def test_an_exception_comes_out_of_the_await(c):
    rmdir = epsilon.lib_open("libc").bind("int rmdir(const char *path)", errno=True, check="nonnegative")
    with pytest.raises(epsilon.ForeignOSError, match="rmdir"):
        asyncio.run(epsilon.call_async(rmdir, "/no/such/folder"))


def test_context_variables_come_along(c):
    variable = contextvars.ContextVar("variable", default=0)
    seen = []

    async def main():
        variable.set(7)
        with epsilon.make_callback(lambda x: seen.append(variable.get()) or 0, "int", ["int"]) as callback:
            await epsilon.call_async(c.bind("apply", "int", ["pointer", "int"]), callback, 4)

    asyncio.run(main())
    assert seen == [7]


def test_many_at_once(c):
    apply = c.bind("apply", "int", ["pointer", "int"])

    async def main():
        with epsilon.make_callback(lambda x: 2 * x, "int", ["int"]) as callback:
            return await asyncio.gather(*(epsilon.call_async(apply, callback, n) for n in range(50)))

    assert asyncio.run(main()) == [2 * n for n in range(50)]


@pytest.mark.parametrize("coroutine", [False, True])
def test_c_may_call_back_into_the_loop_meanwhile(c, coroutine):
    async def later(x):
        await asyncio.sleep(0)
        return threading.get_ident() == main_thread and x + 1

    main_thread = threading.get_ident()
    function = later if coroutine else lambda x: threading.get_ident() == main_thread and x + 1

    async def main():
        with epsilon.make_callback(function, "int", ["int"], thread="loop") as callback:
            return await epsilon.call_async(c.bind("apply", "int", ["pointer", "int"]), callback, 4)

    assert asyncio.run(main()) == 5


# --- cancellation -----------------------------------------------------------------------------------------------------


async def cancelled(call):
    """Cancel a call that has begun; whether CancelledError came out."""
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0.01)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


def test_a_cancelled_call_leaves_its_system_call(c):
    assert asyncio.run(cancelled(epsilon.call_async(c.bind("int sleep_long(void)"))))
    assert _interrupts.threads == set()


def test_a_cancelled_call_under_errno_and_check_too(c):
    sleep = c.bind("int sleep_long(void)", errno=True, check="nonnegative")
    assert asyncio.run(cancelled(epsilon.call_async(sleep)))


def test_a_call_that_times_out(c):
    async def main():
        await asyncio.wait_for(epsilon.call_async(c.bind("int sleep_long(void)")), 0.01)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(main())


def test_a_call_cancelled_at_once(c):
    """The thread may not have come to C: the signal is sent again."""

    async def main():
        for _ in range(20):
            task = asyncio.ensure_future(epsilon.call_async(c.bind("int sleep_long(void)")))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


def test_a_call_that_c_does_not_let_be_interrupted_ends_when_it_ends(c):
    """Its arguments live till then, however often it is cancelled."""
    stubborn, is_inside = c.bind("stubborn", "int", ["pointer"]), c.bind("int is_inside(void)")

    async def main():
        memory = epsilon.foreign_alloc("char", count=8)
        task = asyncio.ensure_future(epsilon.call_async(stubborn, memory))
        while not is_inside():
            await asyncio.sleep(0)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.03)
            assert not task.done()
        c.bind("void let_it_leave(void)")()
        with pytest.raises(asyncio.CancelledError):
            await task
        return memory[0]

    assert asyncio.run(main()) == ord("x")


def test_what_would_call_again_is_told(c):
    """``_interrupts.check`` is for whoever retries on EINTR."""
    told = []

    def again(n):
        try:
            _interrupts.check()
        except asyncio.CancelledError as error:
            told.append(str(error))
            return 0
        return 1

    with epsilon.make_callback(again, "int", ["int"]) as callback:
        assert asyncio.run(cancelled(epsilon.call_async(c.bind("sleep_again", "int", ["pointer"]), callback)))
    assert told == ["the foreign call was cancelled"]
    assert _interrupts.check() is None


def test_a_signal_that_somebody_uses_is_not_taken():
    run_child(
        "import signal; from epsilon import asynchronous\n"
        "highest = int(signal.SIGRTMAX)\n"
        "handler = lambda number, frame: None\n"
        "signal.signal(highest, handler)\n"
        "assert asynchronous.interrupting_signal() == highest - 1\n"
        "assert asynchronous.interrupting_signal() == highest - 1, 'the same again'\n"
        "assert signal.getsignal(highest) is handler\n"
        "signal.raise_signal(highest)"
    )


def test_python_sees_nothing_of_the_signal(c):
    """No handler of Python's runs, and no other thread's system call is disturbed."""
    number = asynchronous.interrupting_signal()
    assert asyncio.run(cancelled(epsilon.call_async(c.bind("int sleep_long(void)"))))
    import signal

    assert signal.sigpending() == set()
    assert number >= signal.SIGRTMIN


def test_call_async_is_imported_when_it_is_used():
    code = "import sys, epsilon; print(sorted({'asyncio', 'threading', 'epsilon.dispatch'} & set(sys.modules)))"
    assert run_child(code) == "[]\n"


def test_a_call_that_is_retried_on_eintr_is_cancelled_too():
    """Between two attempts the retrying call looks whether it was asked to stop."""
    import os

    reader, writer = os.pipe()
    read = epsilon.lib_open("libc").bind(
        "read", "ssize", ["int", ("buffer", "writable"), "size"], check="nonnegative", retry="EINTR"
    )

    async def main():
        task = asyncio.create_task(epsilon.call_async(read, reader, bytearray(8), 8))
        await asyncio.sleep(0)  # the call begins
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    os.close(reader)
    os.close(writer)
