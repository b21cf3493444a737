"""API §5, points 2, 3 and 7: what C gets when a callback has no result, and strings that C frees."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest
from clib import load_c

import epsilon

SOURCE = """
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
typedef int (*Unary)(int);
int apply(Unary f, int x) { return f(x); }
static int got;
int what_c_got(void) { return got; }
int note(Unary f, int x) { got = f(x); return 0; }
static Unary stored;
void store(Unary f) { stored = f; }
int call_stored(int x) { return stored(x); }
struct point { int x, y; };
struct wide { double a, b, c, d; };
static double sums[2];
double sum(int place) { return sums[place]; }
void sum_up(struct point (*f)(void), struct wide (*g)(void))
{
    struct point p = f();
    struct wide w = g();
    sums[0] = p.x + p.y, sums[1] = w.a + w.b + w.c + w.d;
}
static int length;
int what_length(void) { return length; }
void text_length(const char *(*f)(void)) { const char *s = f(); length = s ? (int)strlen(s) : -1; }
void text_length_and_free(char *(*f)(void)) { char *s = f(); length = s ? (int)strlen(s) : -1; free(s); }
int is_null(Unary (*f)(void)) { return f() == NULL; }
int through(Unary (*f)(void), int x) { Unary g = f(); return g ? g(x) : -1; }
static int of_what_it_gave;
int what_it_gave(void) { return of_what_it_gave; }
int note_through(Unary (*f)(void), int x) { Unary g = f(); return of_what_it_gave = g ? g(x) : -1; }
/* how many bytes more malloc has given out after n texts were made and freed */
long growth(char *(*f)(void), int n)
{
    free(f());
    long before = (long)mallinfo2().uordblks;
    for (int i = 0; i < n; i++) { char *s = f(); if (s) { s[0] = '!'; free(s); } }
    return (long)mallinfo2().uordblks - before;
}
"""
UNARY = ("int", ["int"])


@pytest.fixture(scope="module")
def c():
    return load_c(SOURCE)


@pytest.fixture
def note(c):
    """C calls f(x); what it got, and the exception that came out."""
    call, got = c.bind("note", "int", ["pointer", "int"]), c.bind("int what_c_got(void)")

    def note(callback, x=0):
        try:
            call(callback, x)
        except BaseException as error:
            return got(), error
        return got(), None

    return note


def broken(*arguments):
    raise LookupError("broken")


# --- on_error, a callable ---------------------------------------------------------------------------------------------


def test_on_error_may_be_a_callable_that_is_given_the_exception(note):
    given = []
    with epsilon.make_callback(broken, *UNARY, on_error=lambda error: given.append(error) or -7) as callback:
        got, raised = note(callback)
    assert got == -7
    assert given == [raised] and type(raised) is LookupError, "it is raised all the same"


def test_on_error_that_gives_none_is_zero(note):
    seen = []
    with epsilon.make_callback(broken, *UNARY, on_error=seen.append) as callback:
        got, raised = note(callback)
    assert (got, seen) == (0, [raised])


def test_on_error_is_not_called_without_an_error(note):
    with epsilon.make_callback(abs, *UNARY, on_error=broken) as callback:
        assert note(callback, -3) == (3, None)


def test_on_error_is_told_of_a_result_of_the_wrong_type(note):
    with epsilon.make_callback(lambda x: "seven", *UNARY, on_error=lambda error: 5) as callback:
        got, raised = note(callback)
    assert got == 5 and type(raised) is epsilon.ForeignTypeError


def test_an_on_error_that_raises_is_a_note_of_the_first_exception(note):
    def worse(error):
        raise ValueError("worse")

    with epsilon.make_callback(broken, *UNARY, on_error=worse) as callback:
        got, raised = note(callback)
    assert (got, type(raised)) == (0, LookupError)
    (text,) = raised.__notes__
    assert "ValueError: worse" in text


def test_an_answer_of_the_wrong_type_is_a_note_that_names_it(note):
    with epsilon.make_callback(broken, *UNARY, on_error=lambda error: 2**40) as callback:
        got, raised = note(callback)
    assert (got, type(raised)) == (0, LookupError)
    (text,) = raised.__notes__
    assert "ForeignRangeError" in text and "the answer of on_error: got 1099511627776" in text


def test_a_closed_callback_asks_on_error_too(c, note):
    given = []
    callback = epsilon.make_callback(abs, *UNARY, on_error=lambda error: given.append(error) or -8)
    callback.close()
    got, raised = note(callback)
    assert (got, given) == (-8, [raised])
    assert type(raised) is epsilon.CallbackClosedError


def test_a_collected_callback_asks_on_error_too(c):
    given = []
    callback = epsilon.make_callback(abs, *UNARY, on_error=lambda error: given.append(error) or -8)
    c.bind("store", "void", ["pointer"])(callback)
    del callback
    gc.collect()
    with pytest.raises(epsilon.CallbackClosedError, match="garbage-collected") as caught:
        c.bind("int call_stored(int x)")(1)
    assert given == [caught.value]


def test_an_on_error_that_refers_to_its_callback_does_not_keep_it_open():
    """The collector ends it, like any cycle; only the answer waits for C."""
    holder = []
    callback = epsilon.make_callback(abs, *UNARY, on_error=holder.count)
    holder.append(callback)
    reference = weakref.ref(callback)
    del callback, holder
    gc.collect()
    left = reference()
    assert left is None or left.closed


def test_on_error_answers_structs(c):
    point = epsilon.define_c_struct("point", [("x", "int"), ("y", "int")])
    wide = epsilon.define_c_struct("wide", [(name, "double") for name in "abcd"])
    small = epsilon.make_callback(broken, point, [], on_error=lambda error: {"x": 3, "y": 4})
    large = epsilon.make_callback(broken, wide, [], on_error=lambda error: wide(1, 2, 3, 4))
    with small, large, pytest.raises(LookupError) as caught:
        c.bind("sum_up", "void", ["pointer", "pointer"])(small, large)
    total = c.bind("double sum(int place)")
    assert (total(0), total(1)) == (7, 10)
    assert len(caught.value.__notes__) == 1, "the second one failed too"


def test_on_error_answers_strings(c):
    with epsilon.make_callback(broken, "string", [], on_error=lambda error: str(error) + "!") as callback:
        with pytest.raises(LookupError):
            c.bind("text_length", "void", ["pointer"])(callback)
    assert c.bind("int what_length(void)")() == 7


def test_on_error_of_a_void_callback_is_called(c, note):
    seen = []
    with epsilon.make_callback(broken, "void", ["int"], on_error=seen.append) as callback:
        assert type(note(callback)[1]) is LookupError
    assert [type(error) for error in seen] == [LookupError]


def test_where_the_result_is_a_function_pointer_a_callable_is_a_value(c):
    function = ("function", *UNARY)
    with epsilon.make_callback(broken, function, [], on_error=lambda x: 2 * x) as callback:
        with pytest.raises(LookupError):
            c.bind("note_through", "int", ["pointer", "int"])(callback, 21)
    assert c.bind("int what_it_gave(void)")() == 42


def test_where_the_result_is_a_pointer_a_callback_is_a_value(c):
    with epsilon.make_callback(lambda x: 2 * x, *UNARY) as double:
        with epsilon.make_callback(broken, "pointer", [], on_error=double) as callback:
            with pytest.raises(LookupError):
                c.bind("note_through", "int", ["pointer", "int"])(callback, 4)
    assert c.bind("int what_it_gave(void)")() == 8


def test_on_a_thread_in_no_call_on_error_is_asked_before_the_report(c, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda given: told.append(given.exc_value))
    source = """
    #include <pthread.h>
    typedef int (*Unary)(int);
    static void *work(void *f) { return (void *)(long)((Unary)f)(0); }
    long on_thread(Unary f)
    {
        pthread_t thread;
        void *result;
        pthread_create(&thread, 0, work, f);
        pthread_join(thread, &result);
        return (long)result;
    }
    """
    given = []
    with epsilon.make_callback(broken, *UNARY, on_error=lambda error: given.append(error) or 6) as callback:
        assert load_c(source).bind("on_thread", "long", ["pointer"])(callback) == 6
    assert given == told and len(told) == 1


# --- give -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", ["string", ("string", {"encoding": "latin-1"}), ("string", {"encoding": None})])
@pytest.mark.parametrize("value", ["x" * 100, b"x" * 100])
def test_a_given_string_is_c_s_to_change_and_to_free(c, result, value):
    with epsilon.make_callback(lambda: value, result, [], give=True) as callback:
        assert c.bind("growth", "long", ["pointer", "int"])(callback, 3000) < 3000
    assert value in ("x" * 100, b"x" * 100)


def test_given_nothing_is_null(c):
    with epsilon.make_callback(lambda: None, "string", [], give=True) as callback:
        c.bind("text_length_and_free", "void", ["pointer"])(callback)
    assert c.bind("int what_length(void)")() == -1


@pytest.mark.parametrize("on_error", ["sorry", lambda error: "sorry"])
def test_the_answer_to_an_error_is_given_too(c, on_error):
    with epsilon.make_callback(broken, "string", [], give=True, on_error=on_error) as callback:
        for _ in range(3):
            with pytest.raises(LookupError):
                c.bind("text_length_and_free", "void", ["pointer"])(callback)
            assert c.bind("int what_length(void)")() == 5
    with pytest.raises(epsilon.CallbackClosedError):
        c.bind("text_length_and_free", "void", ["pointer"])(callback)
    assert c.bind("int what_length(void)")() == 5


@pytest.mark.parametrize("result", ["int", "void", "pointer", ("pointer", "char"), "double"])
def test_only_a_string_is_given(result):
    with pytest.raises(epsilon.ForeignTypeError, match="give hands a string to C to free, and the result is "):
        epsilon.make_callback(broken, result, [], give=True)


def test_give_is_a_bool():
    with pytest.raises(epsilon.ForeignTypeError, match="give is True or False, not 'yes'"):
        epsilon.make_callback(broken, "string", [], give="yes")


# --- abi --------------------------------------------------------------------------------------------------------------


def test_a_callback_takes_a_calling_convention(c):
    with epsilon.make_callback(abs, *UNARY, abi="cdecl") as callback:
        assert c.bind("apply", "int", ["pointer", "int"])(callback, -3) == 3
        assert callback.signature is epsilon.Signature(*UNARY, abi="cdecl")


def test_a_calling_convention_that_does_not_exist_is_named():
    with pytest.raises(epsilon.ForeignTypeError, match="unknown calling convention 'paskal'"):
        epsilon.make_callback(abs, *UNARY, abi="paskal")


def test_a_signature_says_its_convention_itself():
    epsilon.make_callback(abs, epsilon.Signature(*UNARY), abi="default").close()
