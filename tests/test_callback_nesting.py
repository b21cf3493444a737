"""API §5: exceptions at any depth of Lisp → C → Lisp → C, and callbacks that do what is awkward."""

from __future__ import annotations

import gc
import sys
import threading
import traceback

import pytest
from clib import compile_c, load_c, run_child

import epsilon

SOURCE = """
#include <pthread.h>
typedef int (*Unary)(int);
int apply(Unary f, int x) { return f(x); }
int apply_twice(Unary f, int x) { return f(x) + f(x + 1); }
static Unary stored;
void store(Unary f) { stored = f; }
int call_stored(int x) { return stored(x); }
int call_n(Unary f, int n) { int sum = 0; for (int i = 0; i < n; i++) sum += f(i); return sum; }
typedef struct { Unary f; int x, result; } Job;
static void *work(void *job) { Job *j = job; j->result = j->f(j->x); return 0; }
int on_thread(Unary f, int x)
{
    Job job = {f, x, -99};
    pthread_t thread;
    pthread_create(&thread, 0, work, &job);
    pthread_join(thread, 0);
    return job.result;
}
"""
UNARY = ("int", ["int"])
APPLY = ("apply", "int", ["pointer", "int"])
KINDS = [LookupError, KeyboardInterrupt, SystemExit, GeneratorExit, RecursionError, MemoryError, BaseException]


@pytest.fixture(scope="module")
def c():
    return load_c(SOURCE)


@pytest.fixture(scope="module")
def apply(c):
    return c.bind(*APPLY)


def dive(apply, depth, bottom):
    """Lisp → C → Lisp → … to ``depth``, where ``bottom`` is called; each level adds 1 to what comes up."""

    def level(n):
        return bottom(n) if n == depth else apply(callback, n + 1) + 1

    with epsilon.make_callback(level, *UNARY) as callback:
        return apply(callback, 0)


def raises(kind):
    def bottom(n):
        raise kind(f"at {n}")

    return bottom


# --- exceptions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [0, 1, 7, 60])
def test_an_exception_comes_up_from_any_depth(apply, kind, depth):
    with pytest.raises(kind, match=f"at {depth}") as caught:
        dive(apply, depth, raises(kind))
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    ours = [name for name in names if name in ("test_an_exception_comes_up_from_any_depth", "dive", "level", "bottom")]
    assert ours == ["test_an_exception_comes_up_from_any_depth", "dive", *["level"] * (depth + 1), "bottom"], (
        "the traceback goes from the caller through every level to where it was raised"
    )
    assert getattr(caught.value, "__notes__", []) == []


def test_a_level_may_handle_what_comes_up(apply):
    def careful(n):
        try:
            return apply(broken, n)
        except LookupError as error:
            return len(str(error))

    with epsilon.make_callback(raises(LookupError), *UNARY) as broken, epsilon.make_callback(careful, *UNARY) as outer:
        assert apply(outer, 5) == len("at 5")


def test_a_level_may_raise_another_from_what_comes_up(apply):
    def translate(n):
        try:
            return apply(broken, n)
        except LookupError as error:
            raise ValueError("translated") from error

    with (
        epsilon.make_callback(raises(LookupError), *UNARY) as broken,
        epsilon.make_callback(translate, *UNARY) as outer,
    ):
        with pytest.raises(ValueError, match="translated") as caught:
            apply(outer, 5)
    assert isinstance(caught.value.__cause__, LookupError)


def test_an_exception_that_is_being_handled_is_the_context(apply):
    with epsilon.make_callback(raises(LookupError), *UNARY) as broken:
        try:
            raise OSError("before")
        except OSError as before:
            with pytest.raises(LookupError) as caught:
                apply(broken, 1)
            assert caught.value.__context__ in (None, before)
            assert sys.exc_info()[1] is before, "what is being handled is as it was"


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_exception_is_a_note_of_the_first_at_any_depth(c, apply, kind):
    twice = c.bind("apply_twice", "int", ["pointer", "int"])
    with epsilon.make_callback(raises(kind), *UNARY) as broken:
        with pytest.raises(kind, match="at 9") as caught:
            dive(apply, 5, lambda n: twice(broken, 9))
    assert caught.value.__notes__ == [f"and then, in the same foreign call: {kind.__name__}: at 10"]
    if sys.version_info >= (3, 11):
        assert "in the same foreign call" in "".join(traceback.format_exception(caught.value))


def test_hundreds_of_exceptions_in_one_call_are_one_with_notes(c):
    with epsilon.make_callback(raises(LookupError), *UNARY) as broken:
        with pytest.raises(LookupError, match="at 0") as caught:
            c.bind("call_n", "int", ["pointer", "int"])(broken, 300)
    assert len(caught.value.__notes__) == 299


def test_exceptions_on_threads_come_up_on_their_own(apply):
    wrong = []

    def run(number):
        for depth in range(20):
            try:
                dive(apply, depth, raises(type(f"E{number}", (Exception,), {})))
            except Exception as error:
                if type(error).__name__ != f"E{number}" or str(error) != f"at {depth}":
                    wrong.append(error)
            else:
                wrong.append(depth)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_on_a_thread_of_c_s_the_inner_call_raises(c, apply, monkeypatch):
    """Lisp → C → a thread of C's → Lisp → C → Lisp: the call on that thread is what raises there."""
    told, caught = [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda given: told.append(given.exc_value))

    def middle(n):
        try:
            return apply(broken, n)
        except LookupError as error:
            caught.append(str(error))
            raise

    with epsilon.make_callback(raises(LookupError), *UNARY) as broken:
        with epsilon.make_callback(middle, *UNARY, on_error=-4) as callback:
            assert c.bind("on_thread", "int", ["pointer", "int"])(callback, 3) == -4
    assert caught == ["at 3"] and [str(error) for error in told] == ["at 3"]


@pytest.mark.parametrize(
    ("kind", "status", "output"), [("SystemExit(3)", 3, ""), ("KeyboardInterrupt", 130, "KeyboardInterrupt")]
)
def test_what_ends_a_program_ends_it_from_within_c(kind, status, output):
    """In a child of a child: the one that ends tells how."""
    child = (
        "import epsilon, sys\n"
        "apply = epsilon.lib_open(sys.argv[1]).bind('apply', 'int', ['pointer', 'int'])\n"
        "def level(n):\n"
        "    if n == 4: raise " + kind + "\n"
        "    return apply(callback, n + 1)\n"
        "callback = epsilon.make_callback(level, 'int', ['int'])\n"
        "apply(callback, 0)\n"
        "print('not reached')\n"
    )
    code = (
        "import subprocess, sys\n"
        f"done = subprocess.run([sys.executable, '-c', {child!r}, sys.argv[1]], capture_output=True, text=True)\n"
        "print(done.returncode % 256 if done.returncode >= 0 else 128 - done.returncode, done.stdout, done.stderr)"
    )
    out = run_child(code, compile_c(SOURCE))
    assert out.startswith(f"{status} ") and output in out and "not reached" not in out


def test_ctrl_c_while_c_calls_back_comes_out_of_the_call():
    """SIGINT is handled in the callback's Python, and raised by the call."""
    run_child(
        "import epsilon, signal, sys\n"
        "call_n = epsilon.lib_open(sys.argv[1]).bind('call_n', 'int', ['pointer', 'int'])\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def level(n):\n"
        "    if n == 2: signal.raise_signal(signal.SIGINT)\n"
        "    return n\n"
        "callback = epsilon.make_callback(level, 'int', ['int'])\n"
        "try:\n"
        "    call_n(callback, 5)\n"
        "except KeyboardInterrupt as error:\n"
        "    assert not getattr(error, '__notes__', None)\n"
        "else:\n"
        "    raise SystemExit('nothing came')\n",
        compile_c(SOURCE),
    )


# --- what a callback is given and gives -------------------------------------------------------------------------------


def test_structs_strings_and_numbers_are_written_through_c_s_pointers():
    source = """
    #include <string.h>
    struct point { int x, y; };
    struct line { struct point from, to; const char *name; };
    long try_it(long (*f)(struct point, struct line *, struct point *, double *, const char **))
    {
        struct point given = {1, 2}, out = {0, 0};
        struct line line = {{3, 4}, {5, 6}, "line"};
        double half = 0.5;
        const char *text = "text";
        long result = f(given, &line, &out, &half, &text);
        return result == 7 && line.to.y == 60 && out.x == 10 && out.y == 20 && half == 1.5 && !strcmp(text, "TEXT");
    }
    """
    point = epsilon.define_c_struct("point", [("x", "int"), ("y", "int")])
    line = epsilon.define_c_struct("line", [("from_", point), ("to", point), ("name", "string")])
    seen = []

    def receive(given, pointer, half, text):
        found = epsilon.deref(pointer)
        seen.extend([given.x, given.y, found.from_.x, found.name, half, text])
        found.to.y = 60
        return 7, point(10, 20), half + 1, text.upper()

    parameters = [point, ("pointer", line), ("out", point), ("inout", "double"), ("inout", "string")]
    with epsilon.make_callback(receive, "long", parameters) as callback:
        assert load_c(source).bind("try_it", "long", ["pointer"])(callback) == 1
    assert seen == [1, 2, 3, "line", 0.5, "text"]


# --- re-entrancy ------------------------------------------------------------------------------------------------------


def test_a_callback_may_call_the_function_that_called_it(apply):
    assert dive(apply, 100, lambda n: 0) == 100


@pytest.mark.parametrize("on_error", ["0", "lambda error: -1"])
def test_endless_recursion_is_a_recursion_error_and_no_crash(on_error):
    run_child(
        "import epsilon, sys\n"
        "apply = epsilon.lib_open(sys.argv[1]).bind('apply', 'int', ['pointer', 'int'])\n"
        f"callback = epsilon.make_callback(lambda n: apply(callback, n + 1), 'int', ['int'], on_error={on_error})\n"
        "for _ in range(3):\n"
        "    try:\n"
        "        apply(callback, 0)\n"
        "    except RecursionError:\n"
        "        continue\n"
        "    raise SystemExit('no RecursionError')\n"
        "def level(n):\n"
        "    return 0 if n == 50 else apply(other, n + 1) + 1\n"
        "other = epsilon.make_callback(level, 'int', ['int'])\n"
        "assert apply(other, 0) == 50, 'and all is well afterwards'\n",
        compile_c(SOURCE),
    )


def test_a_callback_may_close_itself_at_every_level(apply):
    def level(n):
        callback.close()
        return n

    callback = epsilon.make_callback(level, *UNARY, on_error=-1)
    assert apply(callback, 3) == 3, "it has begun, and ends as it wants"
    with pytest.raises(epsilon.CallbackClosedError, match="level"):
        apply(callback, 3)


def test_a_callback_may_make_thousands_while_it_runs(apply):
    def level(n):
        made = [epsilon.make_callback(lambda x, k=k: x + k, *UNARY) for k in range(5000)]
        total = sum(apply(each, n) for each in made[::100])
        for each in made:
            each.close()
        return total

    with epsilon.make_callback(level, *UNARY) as callback:
        assert apply(callback, 1) == sum(k + 1 for k in range(0, 5000, 100))


def test_a_callback_outlives_the_library_that_it_was_given_to(apply):
    other = epsilon.lib_open(compile_c(SOURCE + "/* of its own */"))
    with epsilon.make_callback(lambda x: x + 1, *UNARY) as callback:
        other.bind("store", "void", ["pointer"])(callback)
        assert other.bind("int call_stored(int x)")(1) == 2
        epsilon.lib_close(other)
        assert apply(callback, 1) == 2
        assert not callback.closed


def test_a_callback_may_close_the_library_that_calls_it_and_go_on(apply):
    other = epsilon.lib_open(compile_c(SOURCE + "/* of its own, too */"))

    def level(n):
        epsilon.lib_close(other)
        return apply(inner, n)

    with epsilon.make_callback(lambda x: x * 3, *UNARY) as inner, epsilon.make_callback(level, *UNARY) as outer:
        assert other.bind(*APPLY)(outer, 5) == 15


def test_the_collector_may_run_at_every_level(apply):
    def bottom(n):
        return gc.collect() * 0

    assert dive(apply, 30, lambda n: bottom(n)) == 30


def test_a_callback_may_be_dropped_at_every_level(apply):
    """Each level's callback is garbage before C has returned from it."""

    def level(n):
        holder.pop()
        gc.collect()
        if n == 0:
            return 0
        holder.append(epsilon.make_callback(level, *UNARY))
        return apply(holder[-1], n - 1) + 1

    holder = [epsilon.make_callback(level, *UNARY)]
    assert apply(holder[-1], 40) == 40
