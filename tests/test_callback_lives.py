"""API §5, points 3 to 7: how long a callback lives, on which threads it runs, and whose pointers are taken."""

from __future__ import annotations

import gc
import os
import sys
import types
import weakref

import pytest
from callback_kit import SOURCE, UNARY
from clib import compile_c, load_c, run_child, shim_only

import epsilon


@pytest.fixture(scope="module")
def c():
    return load_c(SOURCE)


@pytest.fixture
def apply(c):
    """C calls f(x)."""
    return c.bind("apply", "int", ["pointer", "int"])


def next_line() -> str:
    """``file:line`` of the line after the caller's."""
    frame = sys._getframe(1)
    return f"{frame.f_code.co_filename}:{frame.f_lineno + 1}"


# --- 3: how long it lives ---------------------------------------------------------------------------------------------


def test_a_closed_callback_is_named_with_the_place_of_its_closing(c):
    @epsilon.callback("int", ["int"], on_error=-7)
    def gone(x):
        return x

    place = next_line()
    gone.close()
    with pytest.raises(epsilon.CallbackClosedError) as caught:
        c.bind("note", "int", ["pointer", "int"])(gone, 1)
    assert "gone" in str(caught.value) and place in str(caught.value)
    assert c.bind("int what_c_got(void)")() == -7


def test_with_ends_a_callback(apply):
    with epsilon.make_callback(lambda x: 2 * x, *UNARY) as double:
        assert apply(double, 21) == 42
        assert not double.closed
    assert double.closed
    with pytest.raises(epsilon.CallbackClosedError, match=f"{__file__}:"):
        apply(double, 21)


def test_closing_twice_does_nothing(apply):
    callback = epsilon.make_callback(abs, *UNARY)
    place = next_line()
    callback.close()
    callback.close()
    with pytest.raises(epsilon.CallbackClosedError, match=place):
        apply(callback, 1)


def test_what_a_callback_says_of_itself():
    def scale(x):
        return 2 * x

    callback = epsilon.make_callback(scale, *UNARY)
    assert repr(callback) == f"<callback {scale!r} at {callback.address:#x}: int (int)>"
    callback.close()
    assert repr(callback) == f"<closed callback {scale!r} at {callback.address:#x}>"
    assert callback.signature is None and callback(21) == 42, "from Python it still is the function"


def test_a_collected_callback_that_c_kept_is_named(c):
    def forgotten(x):
        return x

    c.bind("store", "void", ["pointer"])(epsilon.make_callback(forgotten, *UNARY))
    gc.collect()
    with pytest.raises(epsilon.CallbackClosedError, match="forgotten, which was garbage-collected .keep a reference"):
        c.bind("int call_stored(int x)")(1)


def test_a_callback_in_a_cycle_is_collected():
    def loops(x):
        return x

    loops.callback = epsilon.make_callback(loops, *UNARY)
    gone = weakref.ref(loops)
    del loops
    gc.collect()
    assert gone() is None


def test_a_callback_is_collected_after_its_callable():
    """The collector may have cleared the function, its name included, when it comes to the callback."""
    run_child(
        f"""
import epsilon, gc
c = epsilon.lib_open({compile_c(SOURCE)!r})
def make():
    def first(x):
        return x
    callback = epsilon.make_callback(first, "int", ["int"])
    holder = [callback]
    holder.append(holder)
    first.holder = holder
    c.bind("store", "void", ["pointer"])(callback)
for _ in range(100):
    make()
    gc.collect()
    try:
        c.bind("int call_stored(int x)")(1)
    except epsilon.CallbackClosedError as error:
        assert "first, which was garbage-collected" in str(error), error
    else:
        raise AssertionError("not named")
"""
    )


def test_a_callback_may_be_referred_to_weakly():
    callback = epsilon.make_callback(abs, *UNARY)
    reference = weakref.ref(callback)
    assert reference() is callback
    del callback
    gc.collect()
    assert reference() is None


def test_a_callback_may_close_itself_while_c_is_in_it(c, apply):
    @epsilon.callback("int", ["int"])
    def once(x):
        once.close()
        gc.collect()
        return x + 1

    assert apply(once, 41) == 42
    with pytest.raises(epsilon.CallbackClosedError, match="once"):
        apply(once, 41)

    @epsilon.callback("int", ["int"])
    def twice(x):
        twice.close()
        return x

    with pytest.raises(epsilon.CallbackClosedError, match="twice"):
        c.bind("add_up", "int", ["pointer", "int"])(twice, 2)


def test_a_callback_may_drop_its_own_last_reference(apply):
    kept = []

    def last(x):
        kept.clear()
        gc.collect()
        return x + 1

    kept.append(epsilon.make_callback(last, *UNARY))
    assert apply(kept[0], 41) == 42


def test_a_slot_is_reused_only_after_4096_later_closings():
    """A stale call is named until then, and afterwards it is some other callback's or named, but never a crash."""
    run_child(
        f"""
import epsilon
c = epsilon.lib_open({compile_c(SOURCE)!r})
call_stored = c.bind("int call_stored(int x)")
def first(x):
    return x
callback = epsilon.make_callback(first, "int", ["int"], on_error=-7)
address = callback.address
c.bind("store", "void", ["pointer"])(callback)
callback.close()
addresses = set()
for n in range(4096):
    with epsilon.make_callback(lambda x: x, "int", ["int"]) as other:
        addresses.add(other.address)
    if n % 512 == 0 or n == 4095:
        try:
            call_stored(1)
        except epsilon.CallbackClosedError as error:
            assert "first" in str(error)
        else:
            raise AssertionError("the stale call was not named")
assert address not in addresses
again = [epsilon.make_callback(lambda x: x + 1, "int", ["int"]) for _ in range(9000)]
apply = c.bind("apply", "int", ["pointer", "int"])
assert all(apply(callback, 1) == 2 for callback in again)
assert len({{callback.address for callback in again}}) == 9000
"""
    )


def test_a_slot_that_c_is_in_serves_nobody_else():
    """B2: a callback closes itself, then makes and closes more than 4,096 others, then raises, or returns a text."""
    run_child(
        f"""
import epsilon, gc
c = epsilon.lib_open({compile_c(SOURCE)!r})
apply = c.bind("apply", "int", ["pointer", "int"])
def churn():
    for _ in range(4200):
        epsilon.make_callback(lambda: 1.5, "double", [], on_error=9.0).close()
    gc.collect()

@epsilon.callback("int", ["int"], on_error=-7)
def raises(x):
    raises.close()
    churn()
    raise ValueError("after the churn")

@epsilon.callback("int", ["int"], on_error=-7)
def returns(x):
    returns.close()
    churn()
    return x + 1

@epsilon.callback("string", [], on_error="on error")
def text():
    text.close()
    churn()
    return "result" * 3

@epsilon.callback("string", [], on_error="on " + "error" * 3)
def no_text():
    no_text.close()
    churn()
    raise ValueError("after the churn")

def stale(callback, call):
    try:
        call(callback)
    except epsilon.CallbackClosedError as error:
        assert callback.__name__ in str(error), error
    else:
        raise AssertionError("not named")

def failing(call):
    try:
        call()
    except ValueError as error:
        assert str(error) == "after the churn"
    else:
        raise AssertionError("nothing raised")

failing(lambda: apply(raises, 1))
assert apply(returns, 41) == 42
string_is = c.bind("string_is", "int", ["pointer", "string"])
assert string_is(text, "result" * 3) == 1
failing(lambda: string_is(no_text, "on " + "error" * 3))
def level(n):
    if n:
        return apply(epsilon.make_callback(lambda x: level(x), "int", ["int"]), n - 1)
    churn()
    raise ValueError("after the churn")
failing(lambda: level(10))
"""
    )


def test_a_callback_may_close_the_library_it_was_called_from():
    run_child(
        f"""
import epsilon
c = epsilon.lib_open({compile_c(SOURCE)!r})
add_up = c.bind("add_up", "int", ["pointer", "int"])
@epsilon.callback("int", ["int"])
def closes(x):
    c.close()
    return x
assert add_up(closes, 4) == 6, "C runs to its end"
apply = c.bind("int apply(void *f, int x)")
for call in (lambda: add_up(closes, 4), lambda: apply(None, 1), lambda: c.address("apply")):
    try:
        call()
    except epsilon.ForeignError as error:
        assert "closed" in str(error)
    else:
        raise AssertionError("the library is closed")
"""
    )


# --- 4: threads, errno and the GIL ------------------------------------------------------------------------------------


def test_a_thread_that_python_never_made_may_call(c):
    assert c.bind("on_thread", "int", ["pointer", "int"])(epsilon.make_callback(lambda x: x + 1, *UNARY), 41) == 42


def test_many_such_threads_may_call_at_once(c):
    seen = set()
    with epsilon.make_callback(lambda x: seen.add(x) or x, *UNARY) as record:
        assert c.bind("on_threads", "int", ["pointer", "int"])(record, 64) == sum(range(64))
    assert seen == set(range(64))


def test_such_a_thread_may_make_foreign_calls_that_call_back(c, apply):
    with epsilon.make_callback(lambda x: x * x, *UNARY) as square:
        with epsilon.make_callback(lambda x: apply(square, x) + 1, *UNARY) as outer:
            assert c.bind("on_threads", "int", ["pointer", "int"])(outer, 32) == sum(x * x + 1 for x in range(32))


def test_errno_survives_a_callback(c):
    """C that called back goes on with the errno it had, as after any function that did not fail."""

    @epsilon.callback("int", ["int"])
    def disturbs(x):
        assert not os.path.exists("/epsilon/is/not/there")
        return 0

    assert c.bind("errno_survives", "int", ["pointer"])(disturbs) == 77


def test_the_gil_is_as_it_was_after_a_callback(c):
    default = c.bind("gil_before_and_after", "int", ["pointer", "int"])
    with epsilon.make_callback(lambda x: x, *UNARY) as plain:
        assert default(plain, 3) == 1
        with epsilon.make_callback(lambda x: default(plain, 2), *UNARY) as nests:
            assert default(nests, 3) == 1


@shim_only
def test_critical_and_default_calls_may_nest():
    c = load_c(SOURCE)
    default = c.bind("gil_before_and_after", "int", ["pointer", "int"])
    critical = c.bind("gil_before_and_after", "int", ["pointer", "int"], critical=True)
    expected = {default: 1, critical: 11}
    plain = epsilon.make_callback(lambda x: x, *UNARY)

    def nest(*calls):
        """Each call within a callback of the one before."""
        call, *rest = calls
        if not rest:
            assert call(plain, 3) == expected[call]
            return 0
        assert call(epsilon.make_callback(lambda x: nest(*rest), *UNARY), 2) == expected[call]
        return 0

    for calls in ([critical], [critical, default], [default, critical], [critical, critical, default],
                  [critical, default, critical, default], [default, default, critical, critical]):  # fmt: skip
        nest(*calls)


@shim_only
def test_exceptions_come_through_critical_calls():
    c = load_c(SOURCE)
    default = c.bind("apply", "int", ["pointer", "int"])
    critical = c.bind("apply", "int", ["pointer", "int"], critical=True)
    inverse = epsilon.make_callback(lambda x: 1 // x, *UNARY)
    for outer, inner in ((critical, default), (default, critical), (critical, critical)):
        with pytest.raises(ZeroDivisionError):
            outer(epsilon.make_callback(lambda x, inner=inner: inner(inverse, x), *UNARY), 0)
        assert outer(epsilon.make_callback(lambda x, inner=inner: inner(inverse, x), *UNARY), 1) == 1


# --- 6: other people's function pointers ------------------------------------------------------------------------------

ACCEPTING = ["pointer", ("function", "int", ["int"])]


@pytest.mark.parametrize("parameter", ACCEPTING, ids=["pointer", "function"])
def test_pointers_of_other_ffis_are_taken(c, parameter):
    import ctypes

    import cffi

    apply = c.bind("apply", "int", [parameter, "int"])
    of_ctypes = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda x: x + 1)
    assert apply(of_ctypes, 41) == 42
    assert apply(ctypes.CDLL(None).abs, -42) == 42
    ffi = cffi.FFI()
    of_cffi = ffi.callback("int(int)", lambda x: x + 2)
    assert apply(of_cffi, 40) == 42
    assert apply(ffi.cast("void *", of_cffi), 40) == 42


@pytest.mark.parametrize("parameter", ACCEPTING, ids=["pointer", "function"])
def test_a_numba_cfunc_is_taken(c, parameter):
    """By what numba.core.ccallback.CFunc documents: ``address``, ``ctypes``, ``native_name``."""
    with epsilon.make_callback(lambda x: 2 * x, *UNARY) as double:
        cfunc = types.SimpleNamespace(address=double.address, ctypes=None, native_name="cfunc.double")
        assert c.bind("apply", "int", [parameter, "int"])(cfunc, 21) == 42


def test_cdata_goes_to_plain_cffi_code():
    import cffi

    ffi = cffi.FFI()
    ffi.cdef("int apply(int (*f)(int), int x);")
    plain = ffi.dlopen(compile_c(SOURCE))
    with epsilon.make_callback(lambda x: 2 * x, *UNARY) as double:
        assert ffi.typeof(double.cdata) is ffi.typeof("int(*)(int)")
        assert plain.apply(double.cdata, 21) == 42
        assert double.cdata(21) == 42


# --- 7: strings that a callback returns -------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("call", ["text_changes", "text_changes_on_thread", "text_changes_over_threads"])
def test_a_returned_string_lives_until_the_next_return_on_the_same_thread(call, encoding):
    """B5: on a thread that Python never made, too."""
    run_child(
        f"""
import epsilon, gc
c = epsilon.lib_open({compile_c(SOURCE)!r})
@epsilon.callback(("string", {{"encoding": {encoding!r}}}), ["int"])
def text(n):
    return "".join(["näin", str(n), "x" * 90])
@epsilon.callback("int", ["int"])
def meanwhile(n):
    gc.collect()
    ["".join(["Näin", str(i), "y" * 90]).encode({encoding!r}) for i in range(200)]
    return n
assert c.bind({call!r}, "int", ["pointer", "pointer"])(text, meanwhile) == 0
"""
    )


def test_a_returned_string_may_be_none_bytes_or_memory(c):
    string_is = c.bind("string_is", "int", ["pointer", "string"])
    memory = epsilon.foreign_alloc("char", initial=b"memory\0")
    for value, expected in [(None, None), (b"bytes", "bytes"), ("text", "text"), (memory, "memory")]:
        assert string_is(epsilon.make_callback(lambda value=value: value, "string", []), expected) == 1
    epsilon.foreign_free(memory)
