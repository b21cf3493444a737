"""API §10: what each error is, what it says, and that nothing a user passes crashes the interpreter."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest
from clib import load_c, run_child

import epsilon
from epsilon import errors

TESTS = str(Path(__file__).parent)

SOURCE = """
#include <stddef.h>
#include <stdint.h>
int same(int x) { return x; }
int8_t small(int8_t x) { return x; }
uint64_t large(uint64_t x) { return x; }
double real(double x) { return x; }
_Bool truth(_Bool x) { return x; }
const char *text(const char *s) { return s; }
const char *not_utf8(void) { return "ab\\xff" "cd"; }
void *address(void *p) { return p; }
int *numbers(int *p) { return p; }
char *characters(char *p) { return p; }
struct point { int x, y; };
struct point same_point(struct point p) { return p; }
int apply(int (*f)(int), int x) { return f ? f(x) : 0; }
int first(const int *values) { return values ? *values : 0; }
"""


@pytest.fixture(scope="module")
def c():
    return load_c(SOURCE)


# --- the family -------------------------------------------------------------------------------------------------------

FAMILY = {
    "LibraryLoadError": (),
    "SymbolNotFoundError": (),
    "ForeignTypeError": (TypeError,),
    "ForeignValueError": (ValueError,),
    "ForeignRangeError": (OverflowError,),
    "ForeignOSError": (OSError,),
    "ForeignMemoryError": (),
    "ForeignIndexError": (IndexError,),
    "CallbackClosedError": (),
    "HeaderError": (),
    "CompilerError": (),
}


@pytest.mark.parametrize("name", FAMILY)
def test_foreign_error_is_the_root(name):
    kind = getattr(epsilon, name)
    assert issubclass(kind, (epsilon.ForeignError, *FAMILY[name]))
    for base in FAMILY[name]:
        assert issubclass(kind, base)
    assert kind is getattr(errors, name) and name in errors.__all__


@pytest.mark.parametrize("name", ["ForeignError", *FAMILY])
def test_every_error_has_code_and_function_and_survives_pickling(name):
    kind = getattr(epsilon, name)
    plain = kind("message")
    assert (str(plain), plain.code, plain.function) == ("message", None, None)
    error = kind("message", code=2, function="open")
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert type(each) is kind
        assert (str(each), each.code, each.function) == ("message", 2, "open")
        assert (epsilon.foreign_error_code(each), epsilon.foreign_error_function(each)) == (2, "open")


def test_a_foreign_os_error_is_an_os_error_with_errno_and_strerror():
    error = pickle.loads(pickle.dumps(epsilon.ForeignOSError("no", code=errno.ENOENT, function="open")))
    assert error.errno == error.code == errno.ENOENT
    assert error.strerror == os.strerror(errno.ENOENT)
    with pytest.raises(OSError, match="no"):
        raise error


def test_an_error_that_really_happened_survives_pickling(c):
    with pytest.raises(epsilon.ForeignRangeError) as caught:
        c.bind("int same(int x)")(2**31)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.function) == (str(caught.value), "same")


# --- what an error says -----------------------------------------------------------------------------------------------

NAMED = [
    ("int same(int x)", 2**31, epsilon.ForeignRangeError, "parameter 1 'x' (int): got 2147483648, wanted an int from"),
    ("int same(int x)", "1", epsilon.ForeignTypeError, "parameter 1 'x' (int): got '1' (str), wanted an int from"),
    ("int same(int x)", None, epsilon.ForeignTypeError, "parameter 1 'x' (int): got None (NoneType), wanted"),
    ("int same(int x)", 1.0, epsilon.ForeignTypeError, "parameter 1 'x' (int): got 1.0 (float), wanted an int"),
    ("int8_t small(int8_t x)", -129, epsilon.ForeignRangeError, "(int8_t): got -129, wanted an int from -128 to 127"),
    ("uint64_t large(uint64_t x)", -1, epsilon.ForeignRangeError, "'x' (uint64_t): got -1, wanted an int from 0 to"),
    ("double real(double x)", "1", epsilon.ForeignTypeError, "'x' (double): got '1' (str), wanted a float"),
    ("double real(double x)", 10**400, epsilon.ForeignRangeError, "'x' (double): got 1000"),
    ("_Bool truth(_Bool x)", "", epsilon.ForeignTypeError, "'x' (_Bool): got '' (str), wanted a bool"),
    ("const char *text(const char *s)", "a\0b", epsilon.ForeignValueError, "got 'a\\x00b': the embedded NUL"),
    ("const char *text(const char *s)", b"a\0b", epsilon.ForeignValueError, "got b'a\\x00b': the embedded NUL"),
    ("const char *text(const char *s)", "\ud800", epsilon.ForeignValueError, "got '\\ud800': 'utf-8' codec"),
    ("const char *text(const char *s)", 5, epsilon.ForeignTypeError, "'s' (const char *): got 5 (int), wanted a str"),
    ("void *address(void *p)", 4096, epsilon.ForeignTypeError, "'p' (void *): got 4096 (int), wanted None, a pointer"),
    ("void *address(void *p)", "x", epsilon.ForeignTypeError, "'p' (void *): got 'x' (str)"),
    ("int *numbers(int *p)", b"1234", epsilon.ForeignTypeError, "got b'1234' (bytes), wanted None, a pointer to"),
    ("char *characters(char *p)", b"1234", epsilon.ForeignValueError, "'p' (char *): got b'1234', which is read-only"),
    ("int apply(int (*f)(int), int x)", 5, epsilon.ForeignTypeError, "apply(): "),
]  # fmt: skip


@pytest.mark.parametrize(("prototype", "value", "kind", "message"), NAMED)
def test_an_error_names_the_function_the_parameter_the_type_and_the_value(c, prototype, value, kind, message):
    function = c.bind(prototype)
    arguments = (value, 0) if function.symbol == "apply" else (value,)
    with pytest.raises(kind) as caught:
        function(*arguments)
    assert str(caught.value).startswith(f"{function.symbol}(): parameter 1 ")
    assert message in str(caught.value)
    assert caught.value.function == function.symbol


def test_a_pointer_to_something_else_is_refused(c):
    with epsilon.foreign_memory("double") as memory:
        with pytest.raises(epsilon.ForeignTypeError, match=r"'p' \(int \*\): got .*, a pointer to int, not a double"):
            c.bind("int *numbers(int *p)")(memory)


def test_a_struct_of_another_type_is_refused(c):
    point = epsilon.define_c_struct("point", [("x", "int"), ("y", "int")])
    other = epsilon.define_c_struct("other", [("x", "int"), ("y", "int")])
    same = c.bind("same_point", point, [point])
    for value in (other(1, 2), 5, (1, 2), None):
        with pytest.raises(epsilon.ForeignTypeError, match=r"same_point\(\): parameter 1 .*wanted a point"):
            same(value)
    with pytest.raises((epsilon.ForeignError, TypeError), match="z"):
        same({"x": 1, "z": 2})
    with pytest.raises(epsilon.ForeignTypeError, match="'text'"):
        same({"x": 1, "y": "text"})


def test_a_long_value_is_shortened(c):
    with pytest.raises(epsilon.ForeignTypeError) as caught:
        c.bind("int same(int x)")("x" * 100_000)
    assert len(str(caught.value)) < 300


def test_a_value_whose_repr_fails_is_still_reported(c):
    class Mute:
        def __repr__(self):
            raise RuntimeError("no repr")

    with pytest.raises(epsilon.ForeignTypeError, match="<Mute whose repr raised RuntimeError> .Mute."):
        c.bind("int same(int x)")(Mute())


def test_a_result_that_is_not_valid_text_says_where(c):
    with pytest.raises(epsilon.ForeignValueError, match=r"not_utf8\(\): result .*got bytes .*offset 2") as caught:
        c.bind("const char *not_utf8(void)")()
    assert caught.value.function == "not_utf8"
    assert c.bind("not_utf8", ("string", {"errors": "replace"}), [])() == "ab\ufffdcd"
    assert c.bind("not_utf8", ("string", {"encoding": None}), [])() == b"ab\xffcd"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("itn", "int"),
        ("strng", "string"),
        ("unsigned-lon", "unsigned-long"),
        ("uint46", "uint64"),
        ("duoble", "double"),
    ],
)
def test_an_unknown_type_is_named_with_the_nearest_ones(wrong, right):
    with pytest.raises(epsilon.ForeignTypeError, match=f"unknown type '{wrong}'; did you mean .*'{right}'"):
        epsilon.ctype(wrong)


def test_an_exception_of_a_value_itself_is_not_disguised(c):
    class Own(Exception):
        pass

    class Failing:
        def __index__(self):
            raise Own

        __float__ = __index__

    for prototype in ("int same(int x)", "double real(double x)", "_Bool truth(_Bool x)", "uint64_t large(uint64_t x)"):
        with pytest.raises(Own):
            c.bind(prototype)(Failing())


def test_a_function_of_a_closed_library_is_an_error():
    library = load_c(SOURCE + "/* closed */")
    same = library.bind("int same(int x)")
    never_called = library.bind("double real(double x)")
    assert same(1) == 1
    library.close()
    for function in (same, never_called):
        with pytest.raises(epsilon.ForeignError, match="is closed") as caught:
            function(1)
        assert caught.value.function == function.symbol


def test_memory_that_has_ended_is_an_error(c):
    memory = epsilon.foreign_alloc("int", initial=[7])
    assert c.bind("int first(const int *values)")(memory) == 7
    epsilon.foreign_free(memory)
    for parameter in ("pointer", ("pointer", "int"), "buffer", ("array", "int")):
        with pytest.raises(epsilon.ForeignMemoryError, match=f"it was freed at {__file__}:"):
            c.bind("first", "int", [parameter])(memory)


# --- nothing crashes --------------------------------------------------------------------------------------------------


def test_no_argument_of_any_kind_crashes_the_interpreter():
    """Every parameter type × every odd value: the call works, or raises Epsilon's own error or the value's own."""
    run_child(
        """
import array, ctypes, decimal, fractions, itertools, pathlib, sys
import cffi, epsilon
from clib import load_c

class Own(Exception): pass
class Fails:
    def __index__(self): raise Own
    __float__ = __complex__ = __bool__ = __len__ = __fspath__ = keys = __getitem__ = __iter__ = __repr__ = __index__
class Lies:
    def __index__(self): return "five"
    def __float__(self): return "five"
    def __complex__(self): return "five"
    def __fspath__(self): return 5
    def keys(self): return 5
    def __getitem__(self, index): return 5
class Int(int):
    def __index__(self): return 2**100
    def __eq__(self, other): raise Own
    def __lt__(self, other): raise Own
    __le__ = __gt__ = __ge__ = __lt__
    __hash__ = int.__hash__
    def __bool__(self): raise Own
class Float(float):
    def __float__(self): raise Own
class Str(str):
    def encode(self, *a): raise Own
    def __len__(self): return 10**9
class Bytes(bytes):
    def __len__(self): return 10**9
    def __contains__(self, x): return False
class Meta(type):
    def __getattr__(cls, name): raise Own
    def __instancecheck__(cls, other): raise Own
class OfMeta(metaclass=Meta): pass
class Attributes:
    def __getattr__(self, name): raise Own
class Mapping(dict):
    def keys(self): return ["x", "x", "y", "z"]
class Address:
    address = -1
    ctypes = native_name = None
released = memoryview(b"abc"); released.release()
ffi = cffi.FFI()
point = epsilon.define_c_struct("point", [("x", "int"), ("y", "int")])
freed = epsilon.foreign_alloc("int", count=4); epsilon.foreign_free(freed)
empty = epsilon.foreign_alloc("int", count=0)
few_points = epsilon.foreign_alloc(point, count=0)
closed = epsilon.make_callback(abs, "int", ["int"]); closed.close()
library = load_c("int same(int x) { return x; } /* closed for good */")
gone = library.bind("int same(int x)"); library.close()
missing = epsilon.lib_open(None).bind("int epsilon_is_not_there(void)")
values = [
    None, True, 0, -1, 2**31, 2**63, 2**64, -2**63, 2**5000, 1.5, float("nan"), float("inf"), 1e308, 1j, "", "text",
    "a\\0b", "\\ud800", "\\U0001f600" * 50, b"", b"\\0", b"text", bytearray(), bytearray(b"abc"),
    memoryview(b"abcdef")[::2], released, array.array("i", [1, 2]), array.array("d"), [], [1, 2], [None], [[1]],
    ["a"], (), (1, 2, 3), {}, {"x": 1}, {"x": 1, "y": 2}, {"x": "a", "y": 2}, {1: 2}, set(), range(3), iter([1]),
    Fails(), Lies(), Int(5), Float(1.5), Str("text"), Bytes(b"text"), OfMeta(), OfMeta, Attributes(), Mapping(x=1),
    Address(), type, object(), object, Ellipsis, NotImplemented, print, len, sys, lambda: 1, lambda x: x, epsilon,
    decimal.Decimal("NaN"), decimal.Decimal(5), fractions.Fraction(1, 3), pathlib.Path("a"), ctypes.c_int(5),
    ctypes.pointer(ctypes.c_int(5)), ctypes.CFUNCTYPE(None)(), ffi.NULL, ffi.new("int[4]"), ffi.new("double *"),
    ffi.new("char[]", b"text"), ffi.cast("int *", 0), ffi.cast("int", 5), ffi.cast("int (*)(int)", 0), freed, empty,
    few_points, point(1, 2), point, epsilon.ctype("int"), closed, gone, missing, epsilon.registry,
    epsilon.Signature("int", []),
]
types = [
    "char", "signed-char", "unsigned-char", "short", "int", "unsigned-int", "long", "unsigned-long", "int64",
    "uint64", "wchar", "float", "double", "long-double", "float-complex", "double-complex", "bool", "string",
    ("string", {"encoding": "latin-1"}), ("string", {"encoding": None}), ("string", {"encoding": "utf-16"}),
    "pointer", ("pointer", "int"), "char *", "int **", ("pointer", point), "buffer", ("buffer", "writable"), point,
    ("array", "int"), ("array", "int", 2), ("array", point, 1), ("array", "string", 1), ("function", "int", ["int"]),
    ("in", "int"), ("inout", "double"), ("in", point), ("inout", point), ("in", "string"), ("in", "pointer"),
    ("in", "bool"), "struct epsilon_unknown *",
]
c = load_c("void take(void) { } void take_tail(int n, ...) { }")
allowed = (epsilon.ForeignError, Own)
works = refused = 0
tail = c.bind("void take_tail(int n, ...)")
for kind, value in itertools.product(types, values):
    calls = []
    try:
        calls.append(c.bind("take", "void", [kind]))
    except epsilon.ForeignTypeError as error:
        assert "needs the shim" in str(error), error
    calls = [(call, "take(): parameter 1") for call in calls]
    for call, symbol in (*calls, (lambda value: tail(1, (kind, value)), "take_tail(): extra argument 1")):
        try:
            call(value)
            works += 1
        except allowed as error:
            refused += 1
            own = type(error) is Own or value is gone or value is missing  # these functions name themselves
            assert own or symbol in str(error) or "needs the shim" in str(error), (kind, type(value), error)
        except Exception as error:
            if value is released or type(value) in (Lies, Mapping):
                continue  # the value's own word: it says that it is a sequence or a mapping, and is none
            raise AssertionError(f"{kind}, {type(value)}: {type(error).__name__}: {error}") from error
for value in values:
    try:
        tail(1, value)
    except allowed:
        pass
assert works > 500 and refused > 1000, (works, refused)
""",
        PYTHONPATH=os.pathsep.join([TESTS, os.path.dirname(TESTS)]),
    )


def test_no_declaration_of_any_kind_crashes_the_interpreter():
    run_child(
        """
import epsilon, itertools
c = epsilon.lib_open("libc")
odd = [
    None, 5, 1.5, b"int", "", ":", "'", "(", "int (", "int f(", "int f(int", "int f(int,)", "int f(...)", "f()",
    "int", "void", "struct", "struct {", "struct x { int y; }", "int (*)(int", "int[", "int[5]", "int f(void x)",
    "int f(int a, int a)", "int f(int) { return 1; }", "int f(int); int g(int);", "\\0", "int \\0", "\\ud800",
    "int\\ud800", "é", "*", "**", "const", "unsigned", "signed unsigned", "long long long", "int int", "...", ["..."],
    [], [[]], [[[]]], (), ("pointer",) * 3, ("in",), ("in", "void"), ("in", ("in", "int")), ("out", ("array", "int")),
    ("array", "void"), ("array", "int", -1), ("array", "int", 2**70), ("array", "int", "x"), ("array",),
    ("string", {}), ("string", {"encoding": 5}), ("string", {"encoding": "rot13"}), ("string", {"encoding": "nope"}),
    ("string", {"free": 5}), ("struct",), ("struct", 5), ("function", "int", 5), ("function",),
    ("function", "int", ["..."]), ("function", "int", [("function",)]), {}, {"a": 1}, object(), int, type, print,
    epsilon, lambda: 1, ("quote",), ("quote", "int"), ("quote", []), range(3), set(), iter([]),
]
deep = "int"
for _ in range(2000):
    deep = ("pointer", deep)
odd.append(deep)
odd.append("int " + "*" * 5000 + "f(void)")
odd.append("int f(" + "int (*" * 2000 + ")")
allowed = (epsilon.ForeignError, RecursionError)
for one in odd:
    for call in (
        lambda: epsilon.ctype(one), lambda: c.bind(one), lambda: c.bind("abs", one, []),
        lambda: c.bind("abs", "int", [one]), lambda: c.bind("abs", "int", one), lambda: epsilon.Signature(one, one),
        lambda: epsilon.register_signature(one, one, one), lambda: epsilon.shared_call(one, one, one),
        lambda: epsilon.make_callback(one, one, one), lambda: epsilon.make_callback(abs, one, one),
        lambda: epsilon.make_callback(abs, "int", ["int"], on_error=one),
        lambda: epsilon.get_or_create_trampoline(one, one),
        lambda: c.bind("abs", "int", ["int"], check=one), lambda: c.bind("abs", "int", ["int"], abi=one),
        lambda: c.bind("abs", "int", ["int"], name=one, doc=one),
    ):
        try:
            call()
        except allowed:
            pass
        except Exception as error:
            what = f"{one!r:.60}, line {call.__code__.co_firstlineno}"
            raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
"""
    )


def test_a_conversion_that_ends_what_the_call_uses_is_safe():
    """Converting an argument may run Python that frees, closes, or calls again."""
    run_child(
        """
import epsilon, gc
from clib import load_c
SOURCE = '''
int first(const int *values, int n) { return values[0] + n; }
int sum(int a, int b) { return a + b; }
struct point { int x, y; };
int x_of(struct point p, int n) { return p.x + n; }
int apply(int (*f)(int), int x) { return f(x); }
'''
c = load_c(SOURCE)

class Does:
    def __init__(self, what): self.what = what
    def __index__(self):
        self.what()
        gc.collect()
        return 1

def refused_or(expected, call, *kinds):
    try:
        assert call() == expected
    except kinds:
        pass

# a library closed while an argument is converted: the call is in flight already
sum_ = c.bind("int sum(int a, int b)")
assert sum_(2, 3) == 5
refused_or(2, lambda: sum_(1, Does(c.close)), epsilon.ForeignError)
refused_or(2, lambda: sum_(1, Does(c.close)), epsilon.ForeignError)
c = load_c(SOURCE)
never_called = c.bind("int sum(int a, int b)")
refused_or(2, lambda: never_called(1, Does(c.close)), epsilon.ForeignError)
c = load_c(SOURCE)

# a struct whose end comes while a later argument is converted: it was copied, or the call does not come about
point = epsilon.define_c_struct("point", [("x", "int"), ("y", "int")])
x_of = c.bind("x_of", "int", [point, "int"])
points = epsilon.foreign_alloc(point, count=1, initial=[point(7, 8)])
refused_or(8, lambda: x_of(points[0], Does(lambda: epsilon.foreign_free(points))), epsilon.ForeignMemoryError)

# a list and a buffer changed while they are converted
first = c.bind("first", "int", [("array", "int"), "int"])
values = [1, 2, 3]
assert first(values, Does(values.clear)) == 2
class Shrinks(Does):
    pass
values = []
values += [Does(values.clear), 2, 3]
refused_or(2, lambda: first(values, 1), epsilon.ForeignError)
buffer = bytearray(b"\\1\\0\\0\\0" * 4)
first = c.bind("first", "int", ["buffer", "int"])
def shrink():
    try:
        buffer.clear()
    except BufferError:
        pass
    else:
        raise AssertionError("the buffer is C's for the length of the call")
assert first(buffer, Does(shrink)) == 2
buffer.clear()

# a callback closed while a later argument is converted
apply = c.bind("apply", "int", ["pointer", "int"])
callback = epsilon.make_callback(lambda x: x, "int", ["int"])
refused_or(1, lambda: apply(callback, Does(callback.close)), epsilon.CallbackClosedError)

# a call within the conversion of another
assert sum_ is not None
add = c.bind("int sum(int a, int b)")
assert add(1, Does(lambda: add(40, 2))) == 2
""",
        PYTHONPATH=os.pathsep.join([TESTS, os.path.dirname(TESTS)]),
    )


def test_a_struct_from_memory_of_no_elements_is_refused():
    """B7: ``foreign_alloc(struct, count=0)`` holds no struct that could go by value."""
    run_child(
        """
import epsilon
from clib import load_c
c = load_c('''
struct wide { double values[8]; };
double last(struct wide w) { return w.values[7]; }
double last_behind(struct wide *w) { return w->values[7]; }
''')
wide = epsilon.define_c_struct("wide", [("values", ("array", "double", 8))])
empty = epsilon.foreign_alloc(wide, count=0)
one = epsilon.foreign_alloc(wide, count=1)
one[0].values[7] = 2.5
assert c.bind("last", "double", [wide])(one) == 2.5
assert c.bind("last", "double", [wide])(one[0]) == 2.5
for parameter, symbol in [(wide, "last"), (("in", wide), "last_behind"), (("inout", wide), "last_behind")]:
    try:
        c.bind(symbol, "double", [parameter])(empty)
    except epsilon.ForeignError as error:
        assert f"{symbol}(): parameter 1" in str(error), error
    else:
        raise AssertionError(f"{parameter}: no error")
try:
    epsilon.make_callback(lambda: 1, wide, [], on_error=empty)
except epsilon.ForeignError:
    pass
else:
    raise AssertionError("on_error")
try:
    epsilon.get_or_create_trampoline(wide, [])(epsilon.make_callback(lambda: empty, wide, []))
except epsilon.ForeignError:
    pass
else:
    raise AssertionError("a callback's result")
""",
        PYTHONPATH=os.pathsep.join([TESTS, os.path.dirname(TESTS)]),
    )


def test_a_value_that_frees_the_memory_it_goes_to_is_an_error():
    """B8: ``memory[i] = value`` where ``value.__index__`` frees the memory, or ends what it is a view of."""
    run_child(
        """
import epsilon, gc

class Frees:
    def __init__(self, what): self.what = what
    def __index__(self):
        epsilon.foreign_free(self.what)
        gc.collect()
        return 5
    def __float__(self):
        return float(self.__index__())

def ended(assign):
    try:
        assign()
    except epsilon.ForeignMemoryError as error:
        assert "was freed at" in str(error), error
    else:
        raise AssertionError("no error")

def item(memory, value): memory[0] = value
def member(struct, value): struct.x = value
def slot(memory, value): memory.values[1] = value

point = epsilon.define_c_struct("point", [("x", "int"), ("values", ("array", "double", 3))])
for kind in ("int", "double", "unsigned-char", "bool"):
    memory = epsilon.foreign_alloc(kind, count=100_000)
    ended(lambda: item(memory, Frees(memory)))
    ended(lambda: item(memory, 1))
points = epsilon.foreign_alloc(point, count=1000)
ended(lambda: member(points[3], Frees(points)))
points = epsilon.foreign_alloc(point, count=1000)
ended(lambda: slot(points[3], Frees(points)))
points = epsilon.foreign_alloc(point, count=1000)
ended(lambda: item(points, {"x": Frees(points), "values": [1, 2, 3]}))
memory = epsilon.foreign_alloc("int", count=3)
def several(): memory[0:3] = [1, Frees(memory), 3]
try:
    several()
except (epsilon.ForeignError, TypeError):
    pass
"""
    )
