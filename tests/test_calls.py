"""API §3: what a bound function promises; C itself says what it was given and what it found."""

from __future__ import annotations

import errno
import inspect
import os
import pickle
import pydoc
import threading

import pytest
from clib import SHIM, load_c, run_child, shim_only

import epsilon

SOURCE = """
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

int PyGILState_Check(void);
int gil_is_held(void) { return PyGILState_Check(); }
int gil_is_held_with(int a, double b, const char *c) { return PyGILState_Check(); }

/* errno */
int fail(int result, int number) { errno = number; return result; }
int errno_found(void) { return errno; }
int keep_errno(int result) { return result; }
int fail_after(int (*f)(void), int number) { f(); errno = number; return -1; }
void *nothing(int number) { errno = number; return NULL; }

/* checks */
int same(int x) { return x; }
double same_double(double x) { return x; }
unsigned long long same_unsigned(unsigned long long x) { return x; }
signed char same_char(signed char x) { return x; }
_Bool same_bool(_Bool x) { return x; }
const char *same_string(const char *s) { return s; }
void *same_pointer(void *p) { return p; }
void no_result(void) { }

/* arguments and outputs */
int subtract(int a, int b) { return a - b; }
int unnamed(int a, int b) { return 10 * a + b; }
int divide(int a, int b, int *quotient, int *remainder) { *quotient = a / b, *remainder = a % b; return b != 1; }
void half(double x, double *result) { *result = x / 2; }
void twice(int *x) { *x *= 2; }
void both(int *a, const char **text) { *a = -*a; *text = "written by C"; }
int sum_behind(const int *a, const double *b) { return *a + (int)*b; }
struct point { int x, y; };
void move(struct point *p, int by) { p->x += by, p->y += by; }
void corner(struct point *p) { p->x = 640, p->y = 480; }

/* functions */
int apply(int (*f)(int), int x) { return f ? f(x) : -1; }
static int negate(int x) { return -x; }
static int triple(int x) { return 3 * x; }
int (*pick(int which))(int) { return which == 1 ? negate : which == 3 ? triple : NULL; }

/* variadic */
int sum_points(int n, ...)
{
    va_list rest;
    int sum = 0;
    va_start(rest, n);
    while (n--) { struct point p = va_arg(rest, struct point); sum += 10 * p.x + p.y; }
    va_end(rest);
    return sum;
}
double sum_doubles(int n, ...)
{
    va_list rest;
    double sum = 0;
    va_start(rest, n);
    while (n--) sum += va_arg(rest, double);
    va_end(rest);
    return sum;
}
double (*variadic(void))(int n, ...) { return sum_doubles; }
int store_through(int n, ...)
{
    va_list rest;
    va_start(rest, n);
    for (int i = 0; i < n; i++) { int *p = va_arg(rest, int *); if (p) *p = i + 1; }
    va_end(rest);
    return n;
}
int apply_last(int x, ...)
{
    va_list rest;
    va_start(rest, x);
    int (*f)(int) = va_arg(rest, void *);
    va_end(rest);
    return f(x);
}
"""


@pytest.fixture(scope="module")
def c():
    return load_c(SOURCE)


@pytest.fixture(scope="module")
def libc():
    return epsilon.lib_open("libc")


# --- one function, however it is declared -----------------------------------------------------------------------------


def test_a_function_is_bound_by_a_prototype_or_by_types(libc):
    by_prototype = libc.bind("size_t strlen(const char *s)")
    by_types = libc.bind("strlen", "size", ["string"])
    assert by_prototype("hello") == by_types("hello") == 5
    assert by_prototype.signature is by_types.signature


def test_types_are_spelled_as_words_colons_c_or_lisp(libc):
    for result, parameters in [
        ("unsigned-long", ["string"]),
        (":unsigned-long", (":string",)),
        ("unsigned long", ["const char *"]),
        (("quote", "unsigned-long"), ("quote", [":string"])),
    ]:
        assert libc.bind("strlen", result, parameters)("hello") == 5


def test_shared_call_names_symbol_and_library():
    assert epsilon.shared_call(("strlen", "libc"), "unsigned-long", ["string"], "hello") == 5
    assert epsilon.shared_call(["strlen", "libc"], "unsigned-long", ("string",), "hello") == 5
    assert epsilon.shared_call(("quote", ["strlen", "libc"]), ":unsigned-long", ("quote", [":string"]), "hello") == 5
    assert epsilon.shared_call(("getpid", None), "int", []) == os.getpid()


def test_shared_call_takes_an_open_library(c):
    assert epsilon.shared_call(("subtract", c), "int", ["int", "int"], 5, 3) == 2


@pytest.mark.parametrize("target", ["strlen", b"strlen", ("strlen",), ("strlen", "libc", 1), (1, "libc"), None, 5, {}])
def test_shared_call_refuses_what_names_no_function(target):
    with pytest.raises(epsilon.ForeignTypeError, match="named by \\(symbol, library\\)"):
        epsilon.shared_call(target, "int", [])


def test_shared_call_says_that_the_types_are_missing():
    with pytest.raises(epsilon.ForeignTypeError, match="the list of parameter types is missing"):
        epsilon.shared_call(("getpid", "libc"), "int")
    with pytest.raises(epsilon.ForeignTypeError, match="the parameter types are a list, not 'hello'"):
        epsilon.shared_call(("strlen", "libc"), "int", "hello")


def test_a_binding_without_types_says_how_to_declare(libc):
    with pytest.raises(epsilon.ForeignTypeError, match="no signature is registered under that name.*bind"):
        libc.bind("strnlen")
    with pytest.raises(epsilon.ForeignTypeError, match="strlen: the parameter types are missing"):
        libc.bind("strlen", "size")
    with pytest.raises(epsilon.ForeignTypeError, match="says the types already"):
        libc.bind("size_t strlen(const char *s)", "size", ["string"])
    with pytest.raises(epsilon.ForeignTypeError, match="a C prototype, a symbol's name or a list of names"):
        libc.bind(5, "int", [])
    with pytest.raises(epsilon.ForeignTypeError, match="a C prototype, a symbol's name or a list of names"):
        libc.bind([], "int", [])


# --- symbols ----------------------------------------------------------------------------------------------------------


def test_a_symbol_is_looked_up_at_the_first_call(libc):
    missing = libc.bind("int epsilon_is_not_there(void)")
    with pytest.raises(epsilon.SymbolNotFoundError, match="epsilon_is_not_there") as caught:
        missing()
    assert caught.value.function == "epsilon_is_not_there"


def test_a_list_of_names_is_tried_in_turn(c):
    function = c.bind(["subtract_of_tomorrow", "subtract"], "int", ["int", "int"])
    assert function(5, 3) == 2
    assert function.symbol == "subtract"
    missing = c.bind(["first_guess", "second_guess"], "int", [])
    with pytest.raises(epsilon.SymbolNotFoundError, match="'first_guess' or 'second_guess'"):
        missing()


def test_an_optional_symbol_that_is_missing_gives_none(c):
    assert c.bind("int epsilon_is_not_there(void)", optional=True) is None
    assert c.bind(["nor_this", "nor_that"], "int", [], optional=True) is None
    assert c.bind(["nor_this", "same"], "int", ["int"], optional=True)(7) == 7


# --- what a function says of itself -----------------------------------------------------------------------------------


def test_the_repr_is_the_c_prototype(c, libc):
    assert repr(libc.bind("unsigned   long strlen( char const*s )")) == "unsigned long strlen(const char *s)"
    assert repr(c.bind("pick", ("function", "int", ["int"]), ["int"])) == "int (*pick(int))(int)"
    assert repr(c.bind("no_result", "void", [])) == "void no_result(void)"
    assert repr(libc.bind("int printf(const char *format, ...)")) == "int printf(const char *format, ...)"


def test_a_function_has_name_signature_library_and_address(c):
    function = c.bind("int subtract(int a, int b)")
    assert function.__name__ == function.__qualname__ == function.symbol == "subtract"
    assert function.library is c
    assert function.address == c.address("subtract")
    assert function.signature is epsilon.Signature("int", ["int", "int"])
    assert function.strategy in ("compiled", "registers", "libffi", "cffi")
    assert callable(function) and isinstance(function, epsilon.Function)


def test_name_and_doc_are_what_help_shows(c):
    function = c.bind("int subtract(int a, int b)", name="minus", doc="The difference of two ints.")
    assert function.__name__ == "minus"
    assert function.__doc__ == "int subtract(int a, int b)\n\nThe difference of two ints."
    assert function.symbol == "subtract" and function(5, 3) == 2
    text = pydoc.plain(pydoc.render_doc(function))
    assert "int subtract(int a, int b)" in text and "The difference of two ints." in text


def test_help_always_shows_the_c_prototype(c):
    assert "int subtract(int a, int b)" in pydoc.plain(pydoc.render_doc(c.bind("int subtract(int a, int b)")))


def test_the_signature_has_the_parameter_names(c, libc):
    assert str(inspect.signature(c.bind("int subtract(int a, int b)"))) == "(a, b)"
    assert list(inspect.signature(c.bind("unnamed", "int", ["int", "int"])).parameters) == ["arg1", "arg2"]
    assert str(inspect.signature(libc.bind("int printf(const char *format, ...)"))) == "(format, *args)"


def test_a_function_pickles_by_library_and_symbol(c):
    function = c.bind("int subtract(int a, int b)", name="minus", doc="difference", errno=True, check="nonnegative")
    again = pickle.loads(pickle.dumps(function))
    assert again(b=3, a=5) == 2
    assert (again.__name__, again.__doc__, repr(again)) == (function.__name__, function.__doc__, repr(function))
    with pytest.raises(epsilon.ForeignOSError):
        again(3, 5)


def test_a_pickled_function_works_in_another_process(libc):
    data = pickle.dumps(libc.bind("size_t strlen(const char *s)")).hex()
    assert run_child(f"import pickle; print(pickle.loads(bytes.fromhex('{data}'))('hello'))") == "5\n"


def test_a_function_without_a_library_says_why_it_does_not_pickle(c):
    negate = c.bind("int (*pick(int which))(int)")(1)
    with pytest.raises(TypeError, match="a function without a library cannot be pickled"):
        pickle.dumps(negate)


# --- arguments --------------------------------------------------------------------------------------------------------


def test_arguments_go_by_position_or_by_parameter_name(c):
    subtract = c.bind("int subtract(int a, int b)")
    assert subtract(5, 3) == subtract(a=5, b=3) == subtract(b=3, a=5) == subtract(5, b=3) == 2
    assert subtract(*(5,), **{"b": 3}) == 2


def test_a_nameless_parameter_is_arg1_arg2(c):
    assert c.bind("unnamed", "int", ["int", "int"])(arg2=2, arg1=1) == 12


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((), {}, r"int subtract\(int a, int b\): 2 arguments wanted \(a, b\), 0 given"),
        ((1,), {}, "2 arguments wanted.*1 given"),
        ((1, 2, 3), {}, "2 arguments wanted.*3 given"),
        ((1,), {"a": 2}, "parameter 'a' is given twice"),
        ((1,), {"bb": 2}, "no parameter is called 'bb'; did you mean 'b'"),
        ((), {"b": 2}, "2 arguments wanted.*1 given"),
        ((1, 2), {"c": 3}, "no parameter is called 'c'"),
        ((1,), {"unsigned_long": 2}, "'unsigned_long' is a type, not a parameter; in Hy a bare keyword"),
    ],
)
def test_wrong_arguments_are_named_with_the_prototype(c, arguments, keywords, message):
    with pytest.raises(epsilon.ForeignTypeError, match=message) as caught:
        c.bind("int subtract(int a, int b)")(*arguments, **keywords)
    assert caught.value.function == "subtract"


def test_in_passes_a_pointer_to_the_value(c):
    assert c.bind("sum_behind", "int", [("in", "int"), ("in", "double")])(40, 2.5) == 42


def test_out_values_follow_the_result(c):
    divide = c.bind("divide", "int", ["int", "int", ("out", "int"), ("out", "int")])
    assert divide(17, 5) == (1, 3, 2)


def test_a_void_result_is_left_out_and_a_single_value_stands_alone(c):
    assert c.bind("half", "void", ["double", ("out", "double")])(5) == 2.5
    assert c.bind("twice", "void", [("inout", "int")])(21) == 42
    assert c.bind("both", "void", [("inout", "int"), ("out", "string")])(7) == (-7, "written by C")


def test_structs_go_in_and_out(c):
    point = epsilon.define_c_struct("point", [("x", "int"), ("y", "int")])
    given = point(1, 2)
    assert c.bind("move", "void", [("inout", point), "int"])(given, 10) == point(11, 12)
    assert given == point(1, 2), "the caller's struct is copied, not written"
    assert c.bind("corner", "void", [("out", point)])() == point(640, 480)


def test_an_out_parameter_takes_no_argument(c):
    half = c.bind("half", "void", ["double", ("out", "double")])
    assert list(inspect.signature(half).parameters) == ["arg1"]
    with pytest.raises(epsilon.ForeignTypeError, match="1 argument wanted .arg1., 2 given"):
        half(5, 0)


def test_an_in_value_that_does_not_fit_is_named(c):
    with pytest.raises(epsilon.ForeignRangeError, match=r"sum_behind\(\): parameter 1 \(const int \*\): got 21474"):
        c.bind("sum_behind", "int", [("in", "int"), ("in", "double")])(2**31, 0)


def test_a_function_parameter_takes_any_callable_for_the_call(c):
    apply = c.bind("apply", "int", [("function", "int", ["int"]), "int"])
    assert apply(lambda x: x + 1, 41) == 42
    assert apply(abs, -5) == 5
    assert apply(c.bind("int same(int x)"), 9) == 9
    assert apply(epsilon.make_callback(lambda x: 2 * x, "int", ["int"]), 21) == 42
    assert apply(None, 0) == -1
    with pytest.raises(epsilon.ForeignTypeError, match=r"apply\(\): parameter 1 .*got 5 .int., wanted None, a"):
        apply(5, 0)


def test_a_function_result_is_callable(c):
    for pick in (c.bind("int (*pick(int which))(int)"), c.bind("pick", ("function", "int", ["int"]), ["int"])):
        assert pick(1)(5) == -5
        assert pick(3)(5) == 15
        assert pick(2) is None
        assert c.bind("apply", "int", [("function", "int", ["int"]), "int"])(pick(3), 7) == 21


# --- the GIL ----------------------------------------------------------------------------------------------------------


def test_the_gil_is_released_by_default(c):
    assert c.bind("int gil_is_held(void)")() == 0
    assert c.bind("int gil_is_held_with(int a, double b, const char *c)")(1, 2.0, "3") == 0


@shim_only
def test_a_critical_call_keeps_the_gil():
    c = load_c(SOURCE)
    assert c.bind("int gil_is_held(void)", critical=True)() == 1
    assert c.bind("int gil_is_held_with(int a, double b, const char *c)", critical=True)(1, 2.0, "3") == 1
    assert c.bind("int gil_is_held(void)", critical=True, errno=True)() == 1


def test_a_bare_trampoline_releases_the_gil(c):
    assert epsilon.get_or_create_trampoline("int", [])(c.address("gil_is_held")) == 0


# --- errno ------------------------------------------------------------------------------------------------------------


def test_errno_is_that_of_the_last_call_that_asked_for_it(c):
    fail = c.bind("int fail(int result, int number)", errno=True)
    assert fail(-1, errno.ENOENT) == -1
    assert epsilon.errno() == errno.ENOENT
    c.bind("int fail(int result, int number)")(-1, errno.EPERM)
    assert epsilon.errno() == errno.ENOENT, "a call without errno=True leaves it alone"


def test_errno_is_cleared_before_the_call(c):
    c.bind("int fail(int result, int number)", errno=True)(-1, errno.ENOENT)
    assert c.bind("int errno_found(void)", errno=True)() == 0
    c.bind("int fail(int result, int number)", errno=True)(-1, errno.ENOENT)
    c.bind("int keep_errno(int result)", errno=True)(-1)
    assert epsilon.errno() == 0


def test_errno_is_read_in_the_frame_of_the_call_itself(c):
    """What Python does afterwards, and what a callback's own calls do, does not show."""
    fail = c.bind("int fail(int result, int number)", errno=True)
    inside = []

    @epsilon.callback("int", [])
    def call_others():
        fail(-1, errno.EPERM)
        inside.append(epsilon.errno())
        return 0

    c.bind("fail_after", "int", ["pointer", "int"], errno=True)(call_others, errno.ERANGE)
    assert inside == [errno.EPERM]
    assert not os.path.exists("/epsilon/is/not/there")  # ENOENT, for C
    assert epsilon.errno() == errno.ERANGE


def test_errno_is_each_thread_s_own(c):
    fail = c.bind("int fail(int result, int number)", errno=True)
    fail(-1, errno.ENOENT)
    seen = []

    def other():
        seen.append(epsilon.errno())
        fail(-1, errno.EPERM)
        seen.append(epsilon.errno())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [0, errno.EPERM]
    assert epsilon.errno() == errno.ENOENT


def test_errno_can_be_set(c):
    epsilon.set_errno(errno.EDOM)
    assert epsilon.errno() == errno.EDOM


# --- checks -----------------------------------------------------------------------------------------------------------

ACCEPTED = {"nonnegative": [0, 1], "positive": [1], "nonzero": [-1, 1], "zero": [0], "non-null": [-1, 1]}


@pytest.mark.parametrize("name", ["same", "same_double", "same_char"])
@pytest.mark.parametrize("check", ACCEPTED)
def test_each_check_accepts_what_it_says(c, check, name):
    word = {"same": "int", "same_double": "double", "same_char": "signed-char"}[name]
    same = c.bind(name, word, [word], check=check)
    for value in (-1, 0, 1):
        if value in ACCEPTED[check]:
            assert same(value) == value
        else:
            with pytest.raises(epsilon.ForeignError, match=f"which is not {check}"):
                same(value)


def test_a_check_looks_at_the_type_of_the_result(c):
    large = 2**64 - 1
    assert c.bind("same_unsigned", "unsigned-long-long", ["unsigned-long-long"], check="positive")(large) == large
    assert c.bind("same_bool", "bool", ["bool"], check="nonzero")(True) is True
    with pytest.raises(epsilon.ForeignError, match="same_bool.*gave False"):
        c.bind("same_bool", "bool", ["bool"], check="nonzero")(False)
    with pytest.raises(epsilon.ForeignError, match="gave nan"):
        c.bind("same_double", "double", ["double"], check="nonnegative")(float("nan"))


def test_non_null_refuses_the_null_pointer(c):
    assert c.bind("same_string", "string", ["string"], check="non-null")("") == ""
    with pytest.raises(epsilon.ForeignError, match=r"same_string\(arg1=None\) gave None, which is not non-null"):
        c.bind("same_string", "string", ["string"], check="non-null")(None)
    with pytest.raises(epsilon.ForeignError, match="same_pointer"):
        c.bind("same_pointer", "pointer", ["pointer"], check="non-null")(None)


@pytest.mark.parametrize("spelling", ["non-null", ":non-null", "non_null", "'non-null"])
def test_a_check_is_a_word_in_any_spelling(c, spelling):
    with pytest.raises(epsilon.ForeignError):
        c.bind("same_pointer", "pointer", ["pointer"], check=spelling)(None)


def test_a_failed_check_raises_the_c_result(c):
    with pytest.raises(epsilon.ForeignError) as caught:
        c.bind("int same(int x)", check="nonnegative")(-5)
    error = caught.value
    assert not isinstance(error, OSError)
    assert (error.code, error.function) == (-5, "same")
    assert str(error) == "same(x=-5) gave -5, which is not nonnegative"
    assert (epsilon.foreign_error_code(error), epsilon.foreign_error_function(error)) == (-5, "same")


def test_a_failed_check_under_errno_raises_an_os_error(c):
    fail = c.bind("int fail(int result, int number)", errno=True, check="nonnegative", name="other_name")
    assert fail(0, errno.ENOENT) == 0
    with pytest.raises(epsilon.ForeignOSError) as caught:
        fail(-1, errno.ENOENT)
    error = caught.value
    assert isinstance(error, OSError) and isinstance(error, epsilon.ForeignError)
    assert error.code == error.errno == epsilon.errno() == errno.ENOENT
    assert error.strerror == os.strerror(errno.ENOENT)
    assert error.function == "fail", "the C symbol's name"
    for part in ("fail(result=-1, number=2)", "gave -1", os.strerror(errno.ENOENT)):
        assert part in str(error)


def test_a_null_result_under_errno_raises_an_os_error(c):
    with pytest.raises(epsilon.ForeignOSError) as caught:
        c.bind("nothing", "pointer", ["int"], errno=True, check="non-null")(errno.ENOMEM)
    assert caught.value.code == errno.ENOMEM


def test_a_check_may_be_any_callable(c):
    def even(value):
        return value % 2 == 0

    same = c.bind("int same(int x)", check=even)
    assert same(4) == 4
    with pytest.raises(epsilon.ForeignError, match=r"same\(x=5\) gave 5, which is not even") as caught:
        same(5)
    assert caught.value.code == 5


def test_a_callable_check_sees_the_python_value_and_may_raise(c):
    seen = []
    assert c.bind("same_string", "string", ["string"], check=lambda value: seen.append(value) or True)("hi") == "hi"
    assert seen == ["hi"]
    with pytest.raises(ZeroDivisionError):
        c.bind("int same(int x)", check=lambda value: 1 // value)(0)


def test_outputs_follow_a_result_that_was_checked(c):
    divide = c.bind("divide", "int", ["int", "int", ("out", "int"), ("out", "int")], check="nonzero")
    assert divide(17, 5) == (1, 3, 2)
    with pytest.raises(epsilon.ForeignError, match=r"divide\(arg1=17, arg2=1\) gave 0"):
        divide(17, 1)


def test_a_check_that_cannot_be_is_refused_at_the_binding(c):
    with pytest.raises(epsilon.ForeignTypeError, match="same: unknown check 'nonnegativ'; did you mean 'nonnegative'"):
        c.bind("int same(int x)", check="nonnegativ")
    with pytest.raises(epsilon.ForeignTypeError, match="no_result: the check 'zero' needs a number or a pointer"):
        c.bind("void no_result(void)", check="zero")
    with pytest.raises(epsilon.ForeignTypeError, match="check is one of nonnegative, .* or a callable; not 5"):
        c.bind("int same(int x)", check=5)


# --- options ----------------------------------------------------------------------------------------------------------


def test_a_mistyped_option_is_named_with_the_nearest_one(c):
    with pytest.raises(epsilon.ForeignTypeError, match="same.*: unknown option 'critcal'; did you mean 'critical'"):
        c.bind("int same(int x)", critcal=True)


@pytest.mark.parametrize("word", ["int", "string", "unsigned_long", "pointer"])
def test_a_type_word_as_keyword_argument_is_an_error_that_says_so(c, word):
    """In Hy a bare keyword in a method call is a keyword argument: ``(lib.bind "same" :int [:int])``."""
    with pytest.raises(epsilon.ForeignTypeError, match="is a type, and came as a keyword argument"):
        c.bind("same", **{word: ["int"]})


@pytest.mark.parametrize("abi", ["default", "cdecl", "system", ":cdecl"])
def test_the_platform_s_calling_conventions_are_taken(c, abi):
    assert c.bind("same", "int", ["int"], abi=abi)(7) == 7
    assert c.bind("int same(int x)", abi=abi)(7) == 7


def test_a_calling_convention_that_is_not_there_is_a_clear_error(c):
    for declaration in (("same", "int", ["int"]), ("int same(int x)",)):
        with pytest.raises(epsilon.ForeignTypeError, match="the calling convention 'stdcall' does not exist on this"):
            c.bind(*declaration, abi="stdcall")
        with pytest.raises(epsilon.ForeignTypeError, match="unknown calling convention .* mean 'stdcall'"):
            c.bind(*declaration, abi="stdcal")


# --- variadic functions -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def formatted(libc):
    """What snprintf writes."""
    snprintf = libc.bind("int snprintf(char *out, size_t size, const char *format, ...)")

    def call(template, *arguments):
        out = bytearray(200)
        length = snprintf(out, len(out), template, *arguments)
        return out[:length].decode()

    return call


def test_a_variadic_function_is_bound_by_types_or_by_prototype(libc, formatted):
    assert formatted("%d%%", 7) == "7%"
    out = bytearray(20)
    by_types = libc.bind("snprintf", "int", [("pointer", "char"), "size", "string", "..."])
    assert by_types(out, 20, "%d-%s", 1, "two") == 5 and out[:5] == b"1-two"
    with_ellipsis = libc.bind("snprintf", "int", [("pointer", "char"), "size", "string", ...])
    assert with_ellipsis.signature is by_types.signature
    assert by_types.signature.variadic


def test_the_tail_may_be_empty(formatted):
    assert formatted("hello") == "hello"


def test_extra_arguments_have_default_types(formatted):
    assert formatted("%d %d", -(2**31), 2**31 - 1) == "-2147483648 2147483647"
    assert formatted("%lld %lld", 2**31, -(2**63)) == "2147483648 -9223372036854775808"
    assert formatted("%.2f %s %s", 1.5, "héllo", b"bytes") == "1.50 héllo bytes"
    assert formatted("%p", None) == "(nil)"
    assert formatted("%d", True) == "1"


def test_extra_arguments_may_be_pairs_of_type_and_value(formatted):
    assert formatted("%ld %lu %zu", ("long", -1), ("unsigned-long", 2**64 - 1), ["size", 5]) == f"-1 {2**64 - 1} 5"
    assert formatted("%.1Lf %.1f", ("long-double", 2.5), ("double", 3)) == "2.5 3.0"
    assert formatted("%s", ("const char *", "text")) == "text"
    assert formatted("%u", (":unsigned-int", 2**32 - 1)) == str(2**32 - 1)


def test_narrow_extra_arguments_are_promoted_as_c_does(formatted):
    assert formatted("%d %d %c", ("signed-char", -1), ("unsigned-char", 255), ("char", "A")) == "-1 255 A"
    assert formatted("%d %d %d", ("short", -2), ("unsigned-short", 65535), ("bool", True)) == "-2 65535 1"
    assert formatted("%.3f", ("float", 0.5)) == "0.500"


def test_each_call_may_have_another_tail(c):
    sum_doubles = c.bind("double sum_doubles(int n, ...)")
    for count in (0, 1, 12, 3, 12, 0):
        assert sum_doubles(count, *([0.5] * count)) == count / 2


def test_structs_memory_and_callbacks_go_as_extra_arguments(c):
    point = epsilon.define_c_struct("point", [("x", "int"), ("y", "int")])
    assert c.bind("int sum_points(int n, ...)")(2, (point, point(1, 2)), (point, {"x": 3, "y": 4})) == 46
    with epsilon.foreign_memory("int") as first, epsilon.foreign_memory("int") as third:
        assert c.bind("int store_through(int n, ...)")(3, first, None, third) == 3
        assert (first[0], third[0]) == (1, 3)
    assert c.bind("int store_through(int n, ...)")(1, (("in", "int"), 7)) == 1
    assert c.bind("int store_through(int n, ...)")(1, (("inout", "int"), 7)) == (1, 1)
    assert c.bind("int apply_last(int x, ...)")(21, epsilon.make_callback(lambda x: 2 * x, "int", ["int"])) == 42


@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        (("int", 2**31), epsilon.ForeignRangeError, "2147483648"),
        (("unsigned-char", 256), epsilon.ForeignRangeError, "256"),
        (2**64, epsilon.ForeignRangeError, "18446744073709551616"),
        (("int", "text"), epsilon.ForeignTypeError, "'text'"),
        (object(), epsilon.ForeignTypeError, "object"),
        ("a\0b", epsilon.ForeignValueError, "NUL"),
        (("strig", "text"), epsilon.ForeignTypeError, "unknown type 'strig'; did you mean 'string'"),
        (("void", 0), epsilon.ForeignTypeError, "void"),
        ((("out", "int"), 0), epsilon.ForeignTypeError, "no argument has type int \\* here"),
        ((0, 0), epsilon.ForeignTypeError, "0 .int. is no type"),
    ],
)
def test_an_extra_argument_that_does_not_fit_is_named(formatted, argument, error, message):
    with pytest.raises(error, match=r"snprintf\(\): extra argument 2: .*" + message):
        formatted("%d %d", 1, argument)


def test_a_variadic_function_pointer_is_callable(c):
    assert c.bind("double (*variadic(void))(int n, ...)")()(2, 0.5, 1.0) == 1.5


def test_too_few_arguments_for_the_fixed_part(libc):
    with pytest.raises(epsilon.ForeignTypeError, match="3 arguments wanted"):
        libc.bind("int snprintf(char *out, size_t size, const char *format, ...)")(None, 0)


# --- size -------------------------------------------------------------------------------------------------------------


def test_no_call_overflows_the_stack():
    """B6: 64 MB behind an :out parameter, 300,000 extra arguments, 100,000 parameters work, or say why not."""
    run_child(
        """
import epsilon, threading
from clib import load_c
c = load_c('''
struct huge { char bytes[64 << 20]; };
int fill(struct huge *h) { h->bytes[0] = 1; h->bytes[sizeof *h - 1] = 2; return 3; }
int first(int a, ...) { return a; }
int none() { return 4; }
struct page { char bytes[40000]; };
int last(struct page p) { return p.bytes[39999]; }
struct page page(void) { struct page p = {{0}}; p.bytes[39999] = 6; return p; }
''')
huge = epsilon.define_c_struct("huge", [("bytes", ("array", "char", 64 << 20))])
page = epsilon.define_c_struct("page", [("bytes", ("array", "char", 40000))])

def refused_or(expected, call):
    try:
        assert call() == expected
    except epsilon.ForeignTypeError as error:
        assert "at most" in str(error), error

def body():
    result, out = c.bind("fill", "int", [("out", huge)])()
    assert (result, out.bytes[0], out.bytes[(64 << 20) - 1]) == (3, 1, 2)
    result, out = c.bind("fill", "int", [("inout", huge)])(out)
    assert result == 3
    refused_or(5, lambda: c.bind("first", "int", ["int", "..."])(5, *range(300_000)))
    refused_or(5, lambda: c.bind("first", "int", ["int", "..."])(5, *range(3_000)))
    refused_or(4, lambda: c.bind("none", "int", ["int"] * 100_000)(*range(100_000)))
    refused_or(4, lambda: c.bind("none", "int", [huge])(out))
    made = page()
    made.bytes[39999] = 5
    refused_or(5, lambda: c.bind("last", "int", [page])(made))
    refused_or(6, lambda: c.bind("page", page, [])().bytes[39999])
    refused_or(4, lambda: epsilon.make_callback(lambda *a: 4, "int", ["int"] * 100_000)())

body()
threading.stack_size(512 * 1024)
failures = []
threading.excepthook = failures.append
thread = threading.Thread(target=body)
thread.start()
thread.join()
assert not failures, failures
""",
        PYTHONPATH=_TESTS,
    )


_TESTS = os.pathsep.join([os.path.dirname(__file__), os.path.dirname(os.path.dirname(epsilon.__file__))])


def test_without_the_shim_critical_says_what_it_needs(c):
    if SHIM:
        assert c.bind("int same(int x)", critical=True)(3) == 3
    else:
        with pytest.raises(epsilon.ForeignTypeError, match="same: :critical .* needs the shim"):
            c.bind("int same(int x)", critical=True)
