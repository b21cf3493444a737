"""API §5, points 1 and 2: what a callback receives, what C gets from it, and where its exceptions come out."""

from __future__ import annotations

import gc
import sys
import traceback

import pytest
from callback_kit import SOURCE, UNARY
from clib import compile_c, load_c, run_child

import epsilon


@pytest.fixture(scope="module")
def c():
    return load_c(SOURCE)


@pytest.fixture
def apply(c):
    """C calls f(x)."""
    return c.bind("apply", "int", ["pointer", "int"])


@pytest.fixture
def unraisable(monkeypatch):
    """What sys.unraisablehook is told."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    return told


# --- 1: a real C function pointer -------------------------------------------------------------------------------------


def test_a_callback_is_a_c_function_pointer(apply):
    double = epsilon.make_callback(lambda x: 2 * x, "int", ["int"])
    assert apply(double, 21) == 42
    assert epsilon.get_or_create_trampoline("int", ["int"])(double.address, 21) == 42


def test_the_decorator_makes_a_callback(apply):
    @epsilon.callback("int", ["int"])
    def double(x):
        """Twice x."""
        return 2 * x

    assert apply(double, 21) == 42
    assert double(21) == 42, "from Python it is the function that it was"
    assert (double.__name__, double.__doc__, double.callable) == ("double", "Twice x.", double.__wrapped__)
    assert double.signature is epsilon.Signature("int", ["int"])
    assert isinstance(double, epsilon.Callback)


def test_from_python_a_callback_takes_keywords_and_raises_at_once(apply):
    @epsilon.callback("int", ["int"])
    def inverse(number=1):
        return 1 // number

    assert inverse() == inverse(number=1) == 1
    with pytest.raises(ZeroDivisionError):
        inverse(0)


def test_any_callable_will_do(apply):
    class Adder:
        def __init__(self, n):
            self.n = n

        def __call__(self, x):
            return self.n + x

        def method(self, x):
            return self.n * x

    assert apply(epsilon.make_callback(Adder(3), *UNARY), 4) == 7
    assert apply(epsilon.make_callback(Adder(3).method, *UNARY), 4) == 12
    assert apply(epsilon.make_callback(abs, *UNARY), -4) == 4
    assert apply(epsilon.make_callback(epsilon.make_callback(abs, *UNARY), *UNARY), -4) == 4
    abs_of_c = epsilon.lib_open("libc").bind("int abs(int x)")
    assert apply(epsilon.make_callback(abs_of_c, *UNARY), -4) == 4


def test_a_temporary_callback_lives_for_the_call(apply):
    assert apply(epsilon.make_callback(lambda x: gc.collect() * 0 + x, *UNARY), 5) == 5


def test_in_parameters_receive_the_value_behind_the_pointer(c):
    with epsilon.make_callback(lambda a, b: a - b, "int", [("in", "int"), ("in", "int")]) as compare:
        assert c.bind("compare_ends", "int", ["pointer"])(compare) == 4
        with pytest.raises(epsilon.ForeignValueError, match="C passed NULL where a const int \\* to read from"):
            c.bind("compare_null", "int", ["pointer"])(compare)


def test_pointers_arrive_as_what_they_are_declared(c):
    point = epsilon.define_c_struct("point", [("x", "int"), ("y", "int")])
    seen = []

    @epsilon.callback("int", [("pointer", point), "string", "pointer"])
    def receive(p, text, nothing):
        seen.extend([epsilon.deref(p).x, text, epsilon.is_null_pointer(nothing)])
        epsilon.deref(p).x = 9
        return 1

    assert c.bind("pass_struct", "int", ["pointer"])(receive) == 901
    assert seen == [3, "text", True]


def test_outputs_of_a_callback_follow_its_result(c):
    out = c.bind("int out(int place)")
    with epsilon.make_callback(lambda x, n: (1, x + n, 99), "int", [("inout", "int"), "int", ("out", "int")]) as f:
        assert c.bind("outputs", "int", ["pointer"])(f) == 1
        assert (out(0), out(1)) == (15, 99)
        assert c.bind("null_output", "int", ["pointer"])(f) == 1, "C does not want the other output"
        assert out(0) == 15
    with epsilon.make_callback(lambda: 42, "void", [("out", "int")]) as f:
        c.bind("one_output", "void", ["pointer"])(f)
        assert out(0) == 42


@pytest.mark.parametrize("result", [5, None, (1, 2), (1, 2, 3, 4), [1, 2, 3]])
def test_a_callback_without_its_outputs_is_named(c, result):
    """B9."""

    @epsilon.callback("int", [("inout", "int"), "int", ("out", "int")], on_error=-7)
    def forgetful(x, n):
        return result

    with pytest.raises(epsilon.ForeignTypeError, match="callback .*forgetful: .*a tuple of 3 values"):
        c.bind("outputs", "int", ["pointer"])(forgetful)


def test_a_function_pointer_argument_is_callable_in_a_callback(c):
    with epsilon.make_callback(lambda f, x: f(x) + 1, "int", [("function", "int", ["int"]), "int"]) as outer:
        with epsilon.make_callback(lambda x: 2 * x, *UNARY) as inner:
            assert c.bind("call_with", "int", ["pointer", "pointer", "int"])(outer, inner, 5) == 11


def test_callables_are_taken_for_the_call_and_no_longer(c):
    """``(:function …)`` takes any callable; C that keeps the pointer is told when it calls too late."""
    apply = c.bind("apply", "int", [("function", "int", ["int"]), "int"])
    store = c.bind("store", "void", [("function", "int", ["int"])])

    def short_lived(x):
        gc.collect()
        return x + 1

    assert apply(short_lived, 1) == 2
    store(short_lived)
    gc.collect()
    with pytest.raises(epsilon.CallbackClosedError, match="short_lived.*was garbage-collected"):
        c.bind("int call_stored(int x)")(1)


def test_a_function_pointer_that_comes_back_is_callable(c):
    identity = c.bind("identity", ("function", "int", ["int"]), [("function", "int", ["int"])])
    with epsilon.make_callback(lambda x: 2 * x, *UNARY) as double:
        assert identity(double)(21) == 42
    assert identity(None) is None


def test_a_function_pointer_that_comes_back_raises_what_the_callback_raised(c):
    identity = c.bind("identity", ("function", "int", ["int"]), [("function", "int", ["int"])])
    with epsilon.make_callback(lambda x: 1 // x, *UNARY) as inverse, pytest.raises(ZeroDivisionError):
        identity(inverse)(0)


def test_callbacks_nest_to_any_depth(apply):
    @epsilon.callback("int", ["int"])
    def factorial(n):
        return 1 if n == 0 else n * apply(factorial, n - 1)

    assert apply(factorial, 12) == 479001600


def test_endless_recursion_through_c_is_a_recursion_error():
    run_child(
        f"""
import epsilon
apply = epsilon.lib_open({compile_c(SOURCE)!r}).bind("apply", "int", ["pointer", "int"])
@epsilon.callback("int", ["int"])
def again(n):
    return apply(again, n + 1)
try:
    apply(again, 0)
except RecursionError:
    pass
else:
    raise AssertionError("no RecursionError")
"""
    )


def test_the_collector_may_run_in_every_callback():
    """qsort over ints, with a full collection in each comparison, and garbage to collect."""
    run_child(
        """
import epsilon, gc, random
libc = epsilon.lib_open("libc")
comparator = ("function", "int", [("in", "int"), ("in", "int")])
qsort = libc.bind("qsort", "void", [("pointer", "int"), "size", "size", comparator])
values = random.Random(1).sample(range(1000), 60)
def compare(a, b):
    garbage = [object()]
    garbage.append(garbage)
    del garbage
    gc.collect()
    return a - b
for made in (compare, epsilon.make_callback(compare, "int", [("in", "int"), ("in", "int")])):
    with epsilon.foreign_memory("int", count=60, initial=values) as memory:
        qsort(memory, 60, 4, made)
        assert list(memory) == sorted(values)
"""
    )


# --- 2: exceptions ----------------------------------------------------------------------------------------------------


def test_an_exception_is_raised_again_by_the_enclosing_call_with_its_traceback(apply):
    error = ValueError("from inside")

    @epsilon.callback("int", ["int"])
    def fails(x):
        raise error

    with pytest.raises(ValueError) as caught:
        apply(fails, 1)
    assert caught.value is error
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names[-1] == "fails"
    assert names[0] == "test_an_exception_is_raised_again_by_the_enclosing_call_with_its_traceback"


def test_an_exception_passes_through_every_level(apply):
    """Python → C → Python → C → raise."""

    @epsilon.callback("int", ["int"])
    def inner(x):
        raise LookupError(x)

    @epsilon.callback("int", ["int"])
    def middle(x):
        return apply(inner, x + 1)

    with pytest.raises(LookupError, match="6") as caught:
        apply(middle, 5)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert [name for name in names if name in ("middle", "inner")] == ["middle", "inner"]
    assert caught.value.__context__ is None


def test_the_innermost_call_raises_and_its_callback_may_handle_it(c, apply):
    @epsilon.callback("int", ["int"])
    def inner(x):
        raise LookupError(x)

    @epsilon.callback("int", ["int"])
    def middle(x):
        try:
            return apply(inner, x)
        except LookupError:
            return 7

    assert apply(middle, 0) == 7


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError, StopIteration])
def test_every_kind_of_exception_comes_through(apply, kind):
    @epsilon.callback("int", ["int"])
    def fails(x):
        raise kind

    with pytest.raises(kind):
        apply(fails, 1)
    with pytest.raises(kind):
        apply(epsilon.make_callback(lambda x: apply(fails, x), *UNARY), 1)


def test_a_second_exception_is_a_note_of_the_first(c):
    @epsilon.callback("int", ["int"])
    def fails(x):
        raise ValueError(f"number {x}")

    with pytest.raises(ValueError, match="number 0") as caught:
        c.bind("add_up", "int", ["pointer", "int"])(fails, 3)
    assert caught.value.__notes__ == [
        "and then, in the same foreign call: ValueError: number 1",
        "and then, in the same foreign call: ValueError: number 2",
    ]


def test_c_runs_on_after_an_exception(c):
    """C gets on_error for the failed call, and right results from the others."""

    @epsilon.callback("int", ["int"], on_error=1000)
    def fails_once(x):
        seen.append(x)
        if x == 1:
            raise ValueError
        return x

    seen = []
    with pytest.raises(ValueError):
        c.bind("add_up", "int", ["pointer", "int"])(fails_once, 4)
    assert seen == [0, 1, 2, 3]


def test_a_call_after_a_failed_one_is_clean(apply):
    with epsilon.make_callback(lambda x: 10 // x, *UNARY) as inverse:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                apply(inverse, 0)
            assert apply(inverse, 5) == 2


def test_on_error_is_what_c_gets(c):
    note, got = c.bind("note", "int", ["pointer", "int"]), c.bind("int what_c_got(void)")
    for on_error, expected in [(None, 0), (-7, -7), (2**31 - 1, 2**31 - 1), (True, 1)]:
        with epsilon.make_callback(lambda x: 1 // 0, *UNARY, on_error=on_error) as fails:
            with pytest.raises(ZeroDivisionError):
                note(fails, 3)
            assert got() == expected


@pytest.mark.parametrize(
    ("function", "result", "values"),
    [
        ("give_double", "double", [0.0, -2.5, float("inf")]),
        ("give_char", "signed-char", [0, -128, 127]),
        ("give_large", "unsigned-long-long", [0, 2**64 - 1]),
    ],
)
def test_on_error_of_every_width_arrives_in_c(c, function, result, values):
    seen = []
    call = c.bind(function, result, ["pointer"], check=lambda value: seen.append(value) or True)
    for value in values:
        with epsilon.make_callback(lambda value=value: value, result, []) as works:
            assert call(works) == value
        fails = epsilon.make_callback(lambda: 1 // 0, result, [], on_error=value)
        assert answer_of(c, function, result, fails) == value


def answer_of(c, function, result, callback):
    """What C gets from a callback that fails, seen on a thread that is in no foreign call: by C, called from C."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda arguments: None
    try:
        kinds = {"double": "double", "signed-char": "signed char", "unsigned-long-long": "unsigned long long"}
        kind = kinds[result]
        library = load_c(
            f"""
#include <pthread.h>
typedef {kind} T;
static T (*f)(void);
static T got;
static void *work(void *unused) {{ got = f(); return unused; }}
T ask(T (*given)(void))
{{
    pthread_t thread;
    f = given;
    pthread_create(&thread, 0, work, 0);
    pthread_join(thread, 0);
    return got;
}}
"""
        )
        return library.bind("ask", result, ["pointer"])(callback)
    finally:
        sys.unraisablehook = hook


def test_on_error_may_be_a_struct(c):
    point = epsilon.define_c_struct("point", [("x", "int"), ("y", "int")])
    wide = epsilon.define_c_struct("wide", [(name, "double") for name in "abcd"])
    for function, kind, result, on_error, expected in [
        ("point_sum", point, "int", {"x": 4, "y": 2}, 42),
        ("point_sum", point, "int", point(1, 5), 15),
        ("wide_sum", wide, "double", wide(1, 2, 3, 4), 30),
        ("wide_sum", wide, "double", None, 0),
    ]:
        with epsilon.make_callback(lambda: 1 // 0, kind, [], on_error=on_error) as fails:
            with pytest.raises(ZeroDivisionError):
                c.bind(function, result, ["pointer"], check=lambda value, expected=expected: value == expected)(fails)
            assert on_closed(c, function, result, kind, on_error) == expected


def on_closed(c, function, result, kind, on_error):
    """What C gets from a closed callback: the call raises, but a callback around it has seen C's own sum."""
    library = load_c(SOURCE + f"static {result} seen; {result} last(void) {{ return seen; }}"
                     f"void ask(struct {kind.__name__} (*f)(void)) {{ seen = {function}(f); }}")  # fmt: skip
    closed = epsilon.make_callback(lambda: None, kind, [], on_error=on_error)
    closed.close()
    with pytest.raises(epsilon.CallbackClosedError):
        library.bind("ask", "void", ["pointer"])(closed)
    return library.bind("last", result, [])()


def test_on_error_may_be_a_string_that_outlives_its_callback(c):
    library = load_c(SOURCE + """
static int equal;
int was_equal(void) { return equal; }
void ask(const char *(*f)(void), const char *expected) { equal = string_is(f, expected); }
""")  # fmt: skip
    ask, was_equal = library.bind("ask", "void", ["pointer", "string"]), library.bind("int was_equal(void)")
    for on_error in ("no", "näin".replace("n", "N"), b"bytes", None):
        fails = epsilon.make_callback(lambda: 1 // 0, "string", [], on_error=on_error)
        with pytest.raises(ZeroDivisionError):
            ask(fails, on_error)
        assert was_equal() == 1
        fails.close()
        gc.collect()
        with pytest.raises(epsilon.CallbackClosedError):
            ask(fails, on_error)
        assert was_equal() == 1


@pytest.mark.parametrize(
    ("result", "on_error", "error"),
    [
        ("int", 2**31, epsilon.ForeignRangeError),
        ("int", "x", epsilon.ForeignTypeError),
        ("double", "x", epsilon.ForeignTypeError),
        ("string", "a\0b", epsilon.ForeignValueError),
        ("pointer", 5, epsilon.ForeignTypeError),
    ],
)
def test_an_on_error_that_is_no_result_is_refused_at_once(result, on_error, error):
    def named(x):
        return x

    with pytest.raises(error, match="callback .*named: on_error: got"):
        epsilon.make_callback(named, result, ["int"], on_error=on_error)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("text", epsilon.ForeignTypeError, "got 'text' .str., wanted an int from -2147483648 to 2147483647"),
        (None, epsilon.ForeignTypeError, "got None"),
        (1.0, epsilon.ForeignTypeError, "got 1.0"),
        (2**31, epsilon.ForeignRangeError, "got 2147483648"),
        (-(2**31) - 1, epsilon.ForeignRangeError, "got -2147483649"),
        (2**80, epsilon.ForeignRangeError, "got 1208925819614629174706176"),
    ],
)
def test_a_wrong_result_is_named_and_c_gets_on_error(c, value, error, message):
    @epsilon.callback("int", ["int"], on_error=-7)
    def wrong(x):
        return value

    with pytest.raises(error, match=f"callback .*wrong: the result: {message}"):
        c.bind("note", "int", ["pointer", "int"])(wrong, 1)
    assert c.bind("int what_c_got(void)")() == -7


def test_a_void_callback_may_return_anything(c):
    c.bind("no_result", "void", ["pointer"])(epsilon.make_callback(lambda: object(), "void", []))


def test_a_callable_with_other_parameters_is_python_s_own_error(apply):
    with pytest.raises(TypeError, match="positional argument"):
        apply(epsilon.make_callback(lambda: 1, *UNARY), 1)


def test_on_a_thread_in_no_call_an_exception_goes_to_the_unraisable_hook(c, unraisable):
    on_thread = c.bind("on_thread", "int", ["pointer", "int"])
    for error in (ValueError("on a thread"), KeyboardInterrupt(), SystemExit(3)):

        @epsilon.callback("int", ["int"], on_error=-7)
        def fails(x, error=error):
            raise error

        assert on_thread(fails, 1) == -7, "the call that waits for the thread is not the one that C was in"
        (told,) = unraisable
        assert told.exc_value is error
        assert "fails" in repr(told.object)
        assert traceback.extract_tb(told.exc_traceback)[-1].name == "fails"
        unraisable.clear()


def test_on_a_thread_in_no_call_a_closed_callback_goes_to_the_unraisable_hook(c, unraisable):
    def gone(x):
        return x

    callback = epsilon.make_callback(gone, *UNARY, on_error=-7)
    callback.close()
    assert c.bind("on_thread", "int", ["pointer", "int"])(callback, 1) == -7
    assert isinstance(unraisable[0].exc_value, epsilon.CallbackClosedError)
    assert "gone" in str(unraisable[0].exc_value)


def test_a_foreign_call_on_such_a_thread_raises_within_it(c, apply, unraisable):
    with epsilon.make_callback(lambda x: 1 // x, *UNARY) as inverse:

        def around(x):
            with pytest.raises(ZeroDivisionError):
                apply(inverse, 0)
            return apply(inverse, 1)

        assert c.bind("on_thread", "int", ["pointer", "int"])(epsilon.make_callback(around, *UNARY), 1) == 1
    assert not unraisable


# --- what cannot be a callback ----------------------------------------------------------------------------------------


def test_what_cannot_be_called_is_refused():
    with pytest.raises(epsilon.ForeignTypeError, match="a callback is made of a callable, not of 5"):
        epsilon.make_callback(5, "int", [])
    with pytest.raises(epsilon.ForeignTypeError, match="a callback cannot be variadic"):
        epsilon.make_callback(print, "int", ["int", "..."])
    with pytest.raises(epsilon.ForeignTypeError, match="the parameter types are missing, and no signature is"):
        epsilon.make_callback(abs, "int")
    with pytest.raises(epsilon.ForeignTypeError, match="unknown type 'itn'; did you mean 'int'"):
        epsilon.make_callback(abs, "itn", [])


def test_a_callback_is_made_of_a_signature_or_a_registered_name(apply):
    assert apply(epsilon.make_callback(abs, epsilon.Signature("int", ["int"])), -5) == 5
    epsilon.register_signature("test-unary", "int", ["int"])
    assert apply(epsilon.make_callback(abs, "test-unary"), -5) == 5
    assert apply(epsilon.callback("test-unary")(abs), -5) == 5
