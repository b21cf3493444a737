"""API §5, point 4: which thread runs a callback, and what becomes of a wait that can never end."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import traceback
from pathlib import Path

import pytest
from clib import load_c, run_child

import epsilon
from epsilon import callbacks, dispatch

SOURCE = """
#include <pthread.h>
#include <stdlib.h>
typedef int (*Unary)(int);
int apply(Unary f, int x) { return f(x); }

/* threads that Python never made: each calls f(0) … f(times - 1) */
typedef struct { pthread_t thread; Unary f; int times; long long sum; } Job;
static void *work(void *job) { Job *j = job; for (int i = 0; i < j->times; i++) j->sum += j->f(i); return NULL; }
typedef struct { int count; Job jobs[16]; } Team;
void *start(Unary f, int count, int times)
{
    Team *team = calloc(1, sizeof *team);
    for (team->count = 0; team->count < count; team->count++) {
        Job *job = &team->jobs[team->count];
        job->f = f, job->times = times;
        if (pthread_create(&job->thread, NULL, work, job)) abort();
    }
    return team;
}
long long finish(void *given)
{
    Team *team = given;
    long long sum = 0;
    for (int i = 0; i < team->count; i++) { pthread_join(team->jobs[i].thread, NULL); sum += team->jobs[i].sum; }
    free(team);
    return sum;
}
int on_thread(Unary f, int x)
{
    Job job = {0, f, x + 1, 0};
    pthread_create(&job.thread, NULL, work, &job);
    pthread_join(job.thread, NULL);
    return (int)job.sum;
}
"""
UNARY = ("int", ["int"])
THREADS, TIMES = 8, 2000
SUM = THREADS * sum(range(TIMES))


class C:
    """The C of this file, bound."""

    def __init__(self):
        library = load_c(SOURCE)
        self.apply = library.bind("apply", "int", ["pointer", "int"])
        self.on_thread = library.bind("on_thread", "int", ["pointer", "int"])
        self.start = library.bind("start", "pointer", ["pointer", "int", "int"])
        self.finish = library.bind("finish", "long-long", ["pointer"])


@pytest.fixture(scope="module")
def c():
    return C()


@pytest.fixture
def unraisable(monkeypatch):
    """The exceptions that sys.unraisablehook is told."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda given: told.append(given.exc_value))
    return told


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(callbacks, "patience", 0.05)


@pytest.fixture
def patient(monkeypatch):
    """What is diagnosed is diagnosed at once."""
    monkeypatch.setattr(callbacks, "patience", None)


def in_thread(function, *arguments):
    """Run it on a thread of Python's; what comes out is asked of the list, once the thread has ended."""
    out = []

    def run():
        try:
            out.append(function(*arguments))
        except BaseException as error:
            out.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, out


def pending_until(thread):
    """Run what is pending for as long as a thread lives; how many there were."""
    count = 0
    while thread.is_alive():
        count += callbacks.run_pending(0.01)
    return count


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["any", "same", "queue"])
def test_on_the_thread_that_made_it_a_callback_runs_at_once(c, policy):
    seen = []
    with epsilon.make_callback(lambda x: seen.append(threading.get_ident()) or 2 * x, *UNARY, thread=policy) as double:
        assert c.apply(double, 21) == 42
    assert seen == [threading.get_ident()]


@pytest.mark.parametrize("policy", ["any", "same", "queue"])
def test_a_callback_shows_the_function_whatever_its_policy(policy):
    def double(x):
        """Twice x."""
        return 2 * x

    callback = epsilon.make_callback(double, *UNARY, thread=policy)
    assert callback.callable is callback.__wrapped__ is double
    assert (callback.__name__, callback.__doc__, callback(4)) == ("double", "Twice x.", 8)
    assert repr(double) in repr(callback)
    callback.close()
    assert repr(double) in repr(callback) and callback(4) == 8


@pytest.mark.parametrize("policy", ["any", "same", "queue"])
def test_an_exception_keeps_its_traceback_whatever_the_policy(c, policy):
    def broken(x):
        raise LookupError("broken")

    with epsilon.make_callback(broken, *UNARY, thread=policy) as callback:
        with pytest.raises(LookupError) as caught:
            c.apply(callback, 1)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "broken"
    assert traceback.extract_tb(caught.value.__traceback__)[0].name == caught.traceback[0].name


def test_under_any_eight_threads_call_thousands_of_times(c):
    with epsilon.make_callback(lambda x: x, *UNARY, thread="any") as callback:
        assert c.finish(c.start(callback, THREADS, TIMES)) == SUM


@pytest.mark.parametrize(
    ("thread", "message"),
    [
        ("quee", "unknown thread policy 'quee'; did you mean 'queue'"),
        (7, "thread is any, same, queue, loop or an asyncio loop, not 7"),
        (None, "thread is any, same, queue, loop or an asyncio loop, not None"),
    ],
)
def test_an_unknown_policy_is_named(thread, message):
    with pytest.raises(epsilon.ForeignTypeError, match=message):
        epsilon.make_callback(abs, *UNARY, thread=thread)


def test_a_policy_is_spelled_as_in_lisp_too(c, unraisable):
    with epsilon.make_callback(abs, *UNARY, thread=":same") as callback:
        c.on_thread(callback, 0)
    assert len(unraisable) == 1


# --- same -------------------------------------------------------------------------------------------------------------


def test_under_same_another_thread_gets_on_error_and_both_threads_are_named(c, unraisable):
    def only_here(x):
        raise AssertionError("it must not run")

    with epsilon.make_callback(only_here, *UNARY, thread="same", on_error=-1) as callback:
        assert c.on_thread(callback, 0) == -1
    (error,) = unraisable
    assert type(error) is epsilon.ForeignError
    assert "only_here" in str(error) and "a thread that Python did not make" in str(error)
    assert "'MainThread'" in str(error)


def test_under_same_the_foreign_call_that_the_other_thread_is_in_raises(c):
    with epsilon.make_callback(abs, *UNARY, thread="same") as callback:
        thread, out = in_thread(c.apply, callback, 1)
        thread.join()
    assert isinstance(out[0], epsilon.ForeignError) and "thread='same'" in str(out[0])


def test_under_same_a_later_thread_is_another_one(c):
    """Though the system gives it the same ident."""
    made = []
    thread = threading.Thread(target=lambda: made.append(epsilon.make_callback(abs, *UNARY, thread="same")))
    thread.start()
    thread.join()
    for _ in range(5):
        thread, out = in_thread(c.apply, made[0], 1)
        thread.join()
        assert isinstance(out[0], epsilon.ForeignError) and "which has ended" in str(out[0])


def test_under_same_eight_threads_are_refused_thousands_of_times(c, unraisable):
    with epsilon.make_callback(abs, *UNARY, thread="same", on_error=1) as callback:
        assert c.finish(c.start(callback, THREADS, TIMES)) == THREADS * TIMES
    assert len(unraisable) == THREADS * TIMES


# --- queue ------------------------------------------------------------------------------------------------------------


def test_under_queue_the_thread_that_runs_pending_runs_it(c):
    seen = []
    with epsilon.make_callback(
        lambda x: seen.append(threading.get_ident()) or x + 1, *UNARY, thread="queue"
    ) as callback:
        thread, out = in_thread(c.on_thread, callback, 0)
        assert callbacks.run_pending(None) == 1
        thread.join()
    assert (out, seen) == ([1], [threading.get_ident()])


def test_run_pending_without_work_says_so():
    assert callbacks.run_pending() == 0
    assert callbacks.run_pending(0.001) == 0


def test_under_queue_eight_threads_call_thousands_of_times(c):
    seen = set()
    with epsilon.make_callback(lambda x: seen.add(threading.get_ident()) or x, *UNARY, thread="queue") as callback:
        team = c.start(callback, THREADS, TIMES)
        thread, out = in_thread(c.finish, team)
        count = pending_until(thread)
    assert (out, count, seen) == ([SUM], THREADS * TIMES, {threading.get_ident()})


def test_under_queue_any_thread_may_run_what_is_pending(c):
    seen = set()
    with epsilon.make_callback(lambda x: seen.add(threading.get_ident()) or x, *UNARY, thread="queue") as callback:
        caller, out = in_thread(c.on_thread, callback, 9)
        runner, _ = in_thread(pending_until, caller)
        runner.join()
        caller.join()
    assert (out, seen) == ([45], {runner.ident})


def test_an_exception_of_a_queued_callback_goes_to_c_s_thread(c, unraisable):
    def broken(x):
        raise LookupError("broken")

    with epsilon.make_callback(broken, *UNARY, thread="queue", on_error=-5) as callback:
        thread, out = in_thread(c.apply, callback, 1)
        assert callbacks.run_pending(None) == 1
        thread.join()
        assert isinstance(out[0], LookupError) and unraisable == []
        assert traceback.extract_tb(out[0].__traceback__)[-1].name == "broken"
        thread, out = in_thread(c.on_thread, callback, 0)
        assert callbacks.run_pending(None) == 1
        thread.join()
    assert out == [-5] and [type(error) for error in unraisable] == [LookupError]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_is_raised_by_run_pending(c, kind):
    def broken(x):
        raise kind

    with epsilon.make_callback(broken, *UNARY, thread="queue", on_error=-5) as callback:
        thread, out = in_thread(c.apply, callback, 1)
        with pytest.raises(kind):
            callbacks.run_pending(None)
        thread.join()
    assert type(out[0]) is epsilon.ForeignError and kind.__name__ in str(out[0])


def test_a_queued_callback_may_itself_run_what_is_pending(c):
    with epsilon.make_callback(lambda x: x, *UNARY, thread="queue") as inner:

        def outer(x):
            thread, out = in_thread(c.on_thread, inner, 2)
            pending_until(thread)
            return out[0]

        with epsilon.make_callback(outer, *UNARY, thread="queue") as callback:
            thread, out = in_thread(c.on_thread, callback, 0)
            assert callbacks.run_pending(None) == 1
            thread.join()
    assert out == [3]


def test_outputs_travel_through_the_queue(c):
    with epsilon.make_callback(lambda x: x + 1, "void", [("inout", "int")], thread="queue") as callback:
        numbers = epsilon.foreign_alloc("int", initial=[41])
        call = epsilon.get_or_create_trampoline("void", ["pointer"])
        thread, out = in_thread(call, callback, numbers)
        assert callbacks.run_pending(None) == 1
        thread.join()
    assert (numbers[0], out) == (42, [None])


# --- a wait that can never end ----------------------------------------------------------------------------------------


@pytest.fixture
def nobody_else(monkeypatch):
    """As if nobody had run what is pending before."""
    monkeypatch.setattr(dispatch, "_runners", {})


def test_a_thread_that_ended_is_not_waited_for(c, patient, nobody_else):
    made = []
    maker = threading.Thread(
        target=lambda: made.append(epsilon.make_callback(abs, *UNARY, thread="queue", on_error=-1))
    )
    maker.start()
    maker.join()
    thread, out = in_thread(c.apply, made[0], 1)
    thread.join()
    assert isinstance(out[0], epsilon.ForeignError) and "the thread that made it has ended" in str(out[0])


def test_a_thread_that_ends_while_it_is_waited_for(c, patient, nobody_else):
    made, go = [], threading.Event()

    def make():
        made.append(epsilon.make_callback(abs, *UNARY, thread="queue", on_error=-1))
        go.wait()

    maker = threading.Thread(target=make)
    maker.start()
    while not made:
        pass
    thread, out = in_thread(c.apply, made[0], 1)
    while not dispatch._waiting:
        pass
    go.set()
    thread.join()
    assert isinstance(out[0], epsilon.ForeignError) and "the thread that made it has ended" in str(out[0])


def test_a_thread_of_c_s_that_ended_is_not_waited_for(c, impatient, nobody_else, unraisable):
    """It made the callback; its thread state may be there still."""
    made = []

    def make(x):
        made.append(epsilon.make_callback(abs, *UNARY, thread="queue", on_error=-1))
        return callbacks.run_pending()

    with epsilon.make_callback(make, *UNARY) as maker:
        assert c.on_thread(maker, 0) == 0
    for _ in range(3):
        with pytest.raises(epsilon.ForeignError):
            c.apply(made[0], 1)
    assert unraisable == []


def test_a_thread_that_waits_in_c_for_the_one_that_waits_for_it(c, impatient, unraisable):
    """The foreign call that it waits in raises, and says which call it is."""
    answers = []
    with epsilon.make_callback(
        abs, *UNARY, thread="queue", on_error=lambda error: answers.append(error) or -1
    ) as callback:
        with pytest.raises(epsilon.ForeignError) as caught:
            c.on_thread(callback, 0)
    text = str(caught.value)
    assert "callback abs, called by C on a thread that Python did not make" in text
    assert "'MainThread', which is in a foreign call at" in text and f"{__file__}:" in text
    assert [str(error) for error in (*answers, *unraisable)] == [text, text]


def test_a_thread_that_stands_still_is_not_waited_for(c, impatient):
    """It waits for the other thread without Epsilon."""
    with epsilon.make_callback(abs, *UNARY, thread="queue", on_error=-1) as callback:
        thread, out = in_thread(c.apply, callback, 0)
        thread.join()
    assert isinstance(out[0], epsilon.ForeignError) and "'MainThread', which is waiting at" in str(out[0])


def test_a_thread_that_is_busy_is_waited_for(c, monkeypatch):
    """Patience ends with those who stand still."""
    monkeypatch.setattr(callbacks, "patience", 0.3)
    with epsilon.make_callback(lambda x: x + 1, *UNARY, thread="queue") as callback:
        thread, out = in_thread(c.on_thread, callback, 0)
        stop, steps = threading.Event(), 0
        timer = threading.Timer(0.7, stop.set)
        timer.start()
        while not stop.is_set():
            steps += 1
        assert callbacks.run_pending(None) == 1
        thread.join()
    assert out == [1]


def test_a_callback_that_has_begun_has_all_the_time_it_wants(c, impatient):
    def slow(x):
        threading.Event().wait(0.2)
        return 7

    with epsilon.make_callback(slow, *UNARY, thread="queue") as callback:
        thread, out = in_thread(c.on_thread, callback, 0)
        assert callbacks.run_pending(None) == 1
        thread.join()
    assert out == [7]


def test_a_callback_that_is_closed_while_it_is_pending(c, patient):
    with epsilon.make_callback(abs, *UNARY, thread="queue", on_error=-1) as callback:
        thread, out = in_thread(c.apply, callback, 1)
        while not dispatch._waiting:
            pass
        callback.close()
        thread.join()
    assert isinstance(out[0], epsilon.CallbackClosedError) and f"abs, which was closed at {__file__}:" in str(out[0])
    assert callbacks.run_pending() == 0, "it is pending no more"


def test_a_callback_that_is_collected_while_it_is_pending(c, patient, unraisable):
    callback = epsilon.make_callback(abs, *UNARY, thread="queue", on_error=-1)
    team = c.start(callback, 1, 1)
    while not dispatch._waiting:
        pass
    del callback
    gc.collect()
    assert c.finish(team) == -1
    assert [type(error) for error in unraisable] == [epsilon.CallbackClosedError]


def test_a_call_that_waits_ends_with_the_interpreter():
    """C gets on_error, and the thread lives on: the GIL is never to be had again."""
    run_child(
        "import sys, epsilon; sys.path.insert(0, sys.argv[1])\n"
        "from test_callback_threads import C; from epsilon import callbacks, dispatch\n"
        "callbacks.patience = None\n"
        "c = C()\n"
        "callback = epsilon.make_callback(abs, 'int', ['int'], thread='queue', on_error=-1)\n"
        "import atexit\n"
        "told = []; sys.unraisablehook = lambda given: told.append(str(given.exc_value))\n"
        "def check():\n"
        "    assert c.finish(team) == -1 and 'the interpreter is being finalized' in told[0], told\n"
        "atexit.unregister(dispatch._finalize); atexit.register(check); atexit.register(dispatch._finalize)\n"
        "team = c.start(callback, 1, 1)\n"
        "while not dispatch._waiting: pass\n",
        str(Path(__file__).parent),
    )


# --- loop -------------------------------------------------------------------------------------------------------------


def test_under_loop_the_loop_s_thread_runs_it(c):
    seen = set()

    async def main():
        with epsilon.make_callback(lambda x: seen.add(threading.get_ident()) or x, *UNARY, thread="loop") as callback:
            return await asyncio.to_thread(c.on_thread, callback, 9)

    assert asyncio.run(main()) == 45
    assert seen == {threading.get_ident()}


def test_under_loop_a_coroutine_is_awaited(c):
    async def triple(x):
        await asyncio.sleep(0)
        return 3 * x

    async def main():
        with epsilon.make_callback(triple, *UNARY, thread="loop") as callback:
            return await asyncio.to_thread(c.on_thread, callback, 9)

    assert asyncio.run(main()) == 135


@pytest.mark.parametrize("coroutine", [False, True])
def test_under_loop_eight_threads_call_thousands_of_times(c, coroutine):
    async def later(x):
        return x

    async def main():
        function = later if coroutine else lambda x: x
        with epsilon.make_callback(function, *UNARY, thread="loop") as callback:
            return await asyncio.to_thread(c.finish, c.start(callback, THREADS, TIMES))

    assert asyncio.run(main()) == SUM


def test_under_loop_another_thread_s_loop_may_be_given(c):
    loop, seen = asyncio.new_event_loop(), set()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with epsilon.make_callback(lambda x: seen.add(threading.get_ident()) or x, *UNARY, thread=loop) as callback:
            while not loop.is_running():
                pass
            assert c.apply(callback, 4) == 4, "it waits, and the other thread runs it"
        assert seen == {thread.ident}
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_under_loop_its_own_thread_runs_a_function_at_once(c):
    async def main():
        with epsilon.make_callback(lambda x: 2 * x, *UNARY, thread="loop") as callback:
            return c.apply(callback, 4)

    assert asyncio.run(main()) == 8


def test_under_loop_its_own_thread_cannot_await_a_coroutine(c):
    async def never(x):
        return x

    async def main():
        with epsilon.make_callback(never, *UNARY, thread="loop") as callback:
            c.apply(callback, 4)

    with pytest.raises(epsilon.ForeignError, match=r"never: a coroutine function .* its result can never come"):
        asyncio.run(main())


@pytest.mark.parametrize("coroutine", [False, True])
def test_under_loop_an_exception_goes_to_c_s_thread(c, coroutine):
    async def later(x):
        raise LookupError("broken")

    def broken(x):
        raise LookupError("broken")

    async def main():
        with epsilon.make_callback(later if coroutine else broken, *UNARY, thread="loop") as callback:
            with pytest.raises(LookupError) as caught:
                await asyncio.to_thread(c.apply, callback, 1)
        return traceback.extract_tb(caught.value.__traceback__)[-1].name

    assert asyncio.run(main()) == ("later" if coroutine else "broken")


@pytest.mark.parametrize("coroutine", [False, True])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_under_loop_what_ends_a_program_is_raised_by_the_loop(c, kind, coroutine):
    async def later(x):
        raise kind

    def broken(x):
        raise kind

    out = []

    async def main():
        with epsilon.make_callback(later if coroutine else broken, *UNARY, thread="loop") as callback:
            out.append(in_thread(c.apply, callback, 1))
            await asyncio.sleep(60)

    with pytest.raises(kind):
        asyncio.run(main())
    (thread, given) = out[0]
    thread.join()
    assert type(given[0]) is epsilon.ForeignError and kind.__name__ in str(given[0])


def test_loop_without_a_running_loop_is_an_error_that_says_what_to_do():
    with pytest.raises(epsilon.ForeignError, match="none is running here.*thread=loop"):
        epsilon.make_callback(abs, *UNARY, thread="loop")


def test_a_closed_loop_is_not_waited_for(c, patient):
    loop = asyncio.new_event_loop()
    callback = epsilon.make_callback(abs, *UNARY, thread=loop, on_error=-1)
    with pytest.raises(epsilon.ForeignError, match="callback abs: its asyncio loop is not running"):
        c.apply(callback, 1)
    loop.close()
    with pytest.raises(epsilon.ForeignError, match="callback abs: its asyncio loop is closed"):
        c.apply(callback, 1)
    with pytest.raises(epsilon.ForeignError, match="callback abs: Event loop is closed"):
        epsilon.make_callback(abs, *UNARY, thread=loop)


def test_a_loop_that_stops_while_it_is_waited_for(c, patient):
    async def never(x):
        await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    callback = epsilon.make_callback(never, *UNARY, thread=loop, on_error=-1)
    begun = []

    async def main():
        begun.append(in_thread(c.apply, callback, 1))
        while not any(task is not asyncio.current_task() for task in asyncio.all_tasks()):
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    (thread, out) = begun[0]
    thread.join()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert isinstance(out[0], epsilon.ForeignError) and "its asyncio loop is not running" in str(out[0])


def test_a_loop_that_waits_in_c_for_the_one_that_waits_for_it(c, impatient, unraisable):
    async def main():
        with epsilon.make_callback(abs, *UNARY, thread="loop", on_error=-1) as callback:
            c.on_thread(callback, 0)

    with pytest.raises(epsilon.ForeignError, match="'MainThread', which is in a foreign call at"):
        asyncio.run(main())
    assert len(unraisable) == 1
