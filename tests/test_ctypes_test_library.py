"""API §1, §3, §5, §7: CPython's own test library for foreign calls, bound and called through Epsilon.

``_ctypes_test`` is in the ``lib-dynload`` of CPython.  What it exports differs a little from version to version: the
test of a symbol runs where this Python's library has it, and a symbol with neither a test nor a reason here fails.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from clib import shim_only

import epsilon
from epsilon import elf

_found = importlib.util.find_spec("_ctypes_test")
pytestmark = pytest.mark.skipif(_found is None, reason="this Python has no _ctypes_test")
EXPORTED = elf.exported_names(_found.origin) if _found else []

#: what is exported and not called
NOT_CALLED = {
    "PyInit__ctypes_test": "Python calls it, to import the library as a module",
    "_init": "the dynamic loader's",
    "_fini": "the dynamic loader's",
}
#: the functions below that hold a symbol to what it is for
CHECKS: dict[str, Callable[[epsilon.Library], None]] = {}


def checks(*symbols: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The function below is the test of these symbols."""

    def note(check: Callable[..., None]) -> Callable[..., None]:
        CHECKS.update(dict.fromkeys(symbols, check))
        return check

    return note


@pytest.fixture(scope="module")
def lib():
    struct("tagpoint", "int x; int y;")
    struct("POINT", "long x; long y;")
    struct("RECT", "long left; long top; long right; long bottom;")
    return epsilon.lib_open(_found.origin)


@pytest.mark.parametrize("symbol", EXPORTED)
def test_each_exported_symbol(lib, symbol):
    if symbol in NOT_CALLED:
        assert symbol not in CHECKS
        return
    assert symbol in CHECKS, f"{symbol} is exported by {_found.origin}, and is neither called here nor excused"
    CHECKS[symbol](lib)


def struct(tag: str, members: str, word: str = "struct") -> Any:
    return epsilon.define_c_struct_auto(tag, f"{word} {tag} {{ {members} }};")


# --- scalars --------------------------------------------------------------------------------------------------------

#: the letters by which the library calls its types, and values that three divides
SCALARS = {
    "b": ("signed-char", [-126, 126]), "B": ("unsigned-char", [255]),
    "h": ("short", [-32766, 32766]), "H": ("unsigned-short", [65535]),
    "i": ("int", [-2147483646, 42]), "I": ("unsigned-int", [4294967295]),
    "l": ("long", [-9223372036854775806, 42]), "L": ("unsigned-long", [18446744073709551615]),
    "q": ("long-long", [-9223372036854775806, 42]), "Q": ("unsigned-long-long", [18446744073709551615]),
    "f": ("float", [-42.0, 1.5]), "d": ("double", [42.0, 1e300]), "D": ("long-double", [42.0, -1.5]),
}  # fmt: skip


def one_scalar(letter: str, before: Sequence[int]) -> Callable[[epsilon.Library], None]:
    word, values = SCALARS[letter]
    symbol = f"tf_{'b' * len(before)}{letter}"

    def check(lib: epsilon.Library) -> None:
        function = lib.bind(symbol, word, ["signed-char"] * len(before) + [word])
        last = {"s": ("last_tf_arg_s", "long-long"), "u": ("last_tf_arg_u", "unsigned-long-long")}
        name, type_ = last["u" if letter.isupper() and letter != "D" else "s"]
        for value in values:
            third = function(*before, value)
            assert third == (value / 3 if isinstance(value, float) else int(value / abs(value)) * (abs(value) // 3))
            if abs(value) < 2**63 or name.endswith("u"):
                assert epsilon.foreign_variable(name, lib, type_).value == int(value)

    return check


for _letter in SCALARS:
    checks(f"tf_{_letter}")(one_scalar(_letter, []))
    checks(f"tf_b{_letter}")(one_scalar(_letter, [-1]))


@checks("tv_i", "last_tf_arg_s", "last_tf_arg_u")
def a_void_function_and_what_it_was_given(lib):
    assert lib.bind("void tv_i(int c)")(-7) is None
    assert epsilon.foreign_variable("last_tf_arg_s", lib, "long-long").value == -7
    unsigned = epsilon.foreign_variable("last_tf_arg_u", lib, "unsigned-long-long")
    unsigned.value = 2**64 - 1
    assert unsigned.value == 2**64 - 1


def _six_kinds(symbol: str, result: str, last: Sequence[str] = ("double",)) -> None:
    @checks(symbol)
    def check(lib: epsilon.Library) -> None:
        function = lib.bind(symbol, result, ["signed-char", "short", "int", "long", "float", *last])
        assert function(1, 2, 3, 4, 5.0, *(6.0, 7)[: len(last)]) == (21 if len(last) == 1 else 28)
        assert function(-1, -3, 1, 2, 1.5, *(-2.5, 5)[: len(last)]) == (-2 if len(last) == 1 else 3)


_six_kinds("_testfunc_i_bhilfd", "int")
_six_kinds("_testfunc_q_bhilfd", "long-long")
_six_kinds("_testfunc_f_bhilfd", "float")
_six_kinds("_testfunc_d_bhilfd", "double")
_six_kinds("_testfunc_D_bhilfD", "long-double", ["long-double"])
_six_kinds("_testfunc_q_bhilfdq", "long-long", ["double", "long-long"])


@checks("testfunc_iii", "testfunc_Ddd", "testfunc_DDD", "my_sqrt", "_py_func", "_py_func_si")
def products_and_roots_and_nothing(lib):
    assert lib.bind("int testfunc_iii(int a, int b)")(-6, 7) == -42
    assert lib.bind("long double testfunc_Ddd(double a, double b)")(1.5, 3) == 4.5
    assert lib.bind("long double testfunc_DDD(long double a, long double b)")(1.5, -3) == -4.5
    assert lib.bind("double my_sqrt(double a)")(2.25) == 1.5
    assert lib.bind("void _py_func(void)")() is None
    assert lib.bind("void _py_func_si(const char *s, int i)")("text", 5) is None


# --- pointers, strings, memory --------------------------------------------------------------------------------------


@checks("_testfunc_ai8", "testfunc_array", "_testfunc_deref_pointer", "_testfunc_p_p", "_testfunc_c_p_p", "_testfunc_v")
def pointers(lib):
    ints = epsilon.foreign_alloc("int", initial=range(8))
    same = lib.bind("int *_testfunc_ai8(int a[8])")(ints)
    assert [epsilon.deref(same, index) for index in range(8)] == list(range(8))
    assert lib.bind("void testfunc_array(int values[4])")(ints) is None
    assert lib.bind("int _testfunc_deref_pointer(int *pi)")(ints) == 0
    text = epsilon.foreign_alloc("char", initial=b"abc\0")
    assert lib.bind("char *_testfunc_p_p(void *s)")(text)[0] == b"a"
    texts = epsilon.foreign_alloc("pointer", initial=[None, text])
    found = lib.bind("void *_testfunc_c_p_p(int *argcp, char **argv)", special={0: ("in", "int"), 1: "pointer"})
    assert epsilon.foreign_string(found(2, texts)) == "abc" and epsilon.is_null_pointer(found(1, texts))
    assert lib.bind("_testfunc_v", "void", ["int", "int", ("out", "int")])(20, 22) == 42


@checks("my_strchr", "my_strtok", "my_strdup", "my_free", "get_strchr")
def strings(lib):
    assert lib.bind("my_strchr", "string", ["string", "char"])("abcdef", "c") == "cdef"
    assert lib.bind("my_strchr", "string", ["string", "char"])("abcdef", "x") is None
    tokens = epsilon.foreign_alloc("char", initial=b"a b;c\0")
    strtok = lib.bind("my_strtok", "string", ["pointer", "string"])
    assert [strtok(tokens, " ;"), strtok(None, " ;"), strtok(None, " ;"), strtok(None, " ;")] == ["a", "b", "c", None]
    copy = lib.bind("char *my_strdup(char *src)")(bytearray(b"copied\0"))
    assert epsilon.foreign_string(copy) == "copied"
    assert lib.bind("void my_free(void *ptr)")(copy) is None
    strchr = lib.bind("get_strchr", ("function", "string", ["string", "char"]), [])()
    assert strchr("through a pointer", "p") == "pointer"


@checks("my_wcslen", "my_wcsdup")
def wide_strings(lib):
    text = "grün 𝄞"
    wide = epsilon.foreign_alloc("wchar", initial=[*map(ord, text), 0])
    assert lib.bind("size_t my_wcslen(wchar_t *src)")(wide) == len(text)
    copy = lib.bind("wchar_t *my_wcsdup(wchar_t *src)")(wide)
    assert "".join(chr(epsilon.deref(copy, index)) for index in range(len(text))) == text
    lib.bind("void my_free(void *ptr)")(copy)


@checks("myprintf")
def a_variadic_function(lib):
    printf = lib.bind("int myprintf(char *fmt, ...)", special={0: "string"})
    assert printf("%d %s %.2f %lld\n", 42, "text", 1.5, 2**40) == len("42 text 1.50 1099511627776\n")
    assert printf("nothing\n") == 8


@checks("an_integer", "get_an_integer")
def a_variable(lib):
    number, get = epsilon.foreign_variable("an_integer", lib, "int"), lib.bind("int get_an_integer(void)")
    before = number.value
    number.value = before + 1
    assert get() == before + 1
    number.value = before


@checks("_testfunc_pylist_append")
@shim_only
def a_function_of_pythons_own(lib):
    """It needs the GIL: the call is critical."""
    append = lib.bind("int _testfunc_pylist_append(uintptr_t list, uintptr_t item)", critical=True)
    found: list[object] = []
    item = object()
    assert append(id(found), id(item)) == 0
    assert found == [item]


# --- structs and unions ---------------------------------------------------------------------------------------------


@checks("left", "top", "right", "bottom", "ReturnRect", "GetRectangle", "PointInRect", "TwoOutArgs")
def rectangles(lib):
    sides = [epsilon.foreign_variable(name, lib, "long").value for name in ("left", "top", "right", "bottom")]
    assert sides == [10, 20, 30, 40]
    rect, point = epsilon.ctype(("struct", "RECT")).python_class, epsilon.ctype(("struct", "POINT")).python_class
    one = rect(*sides)
    returned = lib.bind(
        "struct RECT ReturnRect(int i, struct RECT ar, struct RECT *br, struct POINT cp, struct RECT dr, "
        "struct RECT *er, struct POINT fp, struct RECT gr)"
    )
    for place in (0, 1, 2, 3):
        assert returned(place, one, one, point(1, 2), one, one, point(1, 2), rect(10, 21, 30, 41)) == (
            rect(10, 21, 30, 41) if place == 2 else one
        )
    assert returned(0, one, one, point(1, 2), one, one, point(1, 3), one).left == -200
    assert one == rect(*sides)
    get = lib.bind("GetRectangle", "int", ["int", ("out", rect)])
    assert get(5) == (1, rect(5, 6, 7, 8)) and get(0) == (0, rect())
    inside = lib.bind("int PointInRect(struct RECT *prc, struct POINT pt)")
    assert [inside(one, point(x, 30)) for x in (9, 10, 30, 31)] == [0, 1, 1, 0]
    assert lib.bind("TwoOutArgs", "void", ["int", ("inout", "int"), "int", ("inout", "int")])(1, 10, 2, 20) == (11, 22)


@checks("_testfunc_byval", "ret_2h_func", "ret_8i_func", "getSPAMANDEGGS")
def structs(lib):
    point = epsilon.ctype(("struct", "tagpoint")).python_class
    byval = lib.bind("int _testfunc_byval(struct tagpoint in, struct tagpoint *pout)")
    out = point()
    assert byval(point(3, 4), out) == 7 and out == point(3, 4) and byval(point(3, -4), None) == -1
    halves = struct("S2H", "short x; short y;")
    assert lib.bind("ret_2h_func", halves, [halves])(halves(99, -88)) == halves(198, -264)
    eight = struct("S8I", "int a, b, c, d, e, f, g, h;")
    values = range(9, 1, -1)
    multiplied = (value * factor for factor, value in enumerate(values, 2))
    assert lib.bind("ret_8i_func", eight, [eight])(eight(*values)) == eight(*multiplied)
    spam = epsilon.define_c_struct("SPAM", [("name", "string"), ("value", "string")])
    egg = epsilon.define_c_struct("EGG", [("name", "string"), ("num_spams", "int"), ("spams", ("pointer", spam))])
    count, found = lib.bind("getSPAMANDEGGS", "int", [("out", ("pointer", egg))])()
    first = epsilon.deref(found)
    assert (count, first.name, first.num_spams) == (1, "first egg", 1)
    assert [epsilon.deref(first.spams, place).value for place in (0, 1)] == ["value1", "value2"]


@checks("_testfunc_large_struct_update_value", "_testfunc_reg_struct_update_value", "last_tfrsuv_arg")
def what_c_does_to_its_copy_is_not_seen(lib):
    large = struct("Large", "unsigned long first, second, third;")
    given = large(1, 2, 3)
    lib.bind("_testfunc_large_struct_update_value", "void", [large])(given)
    assert given == large(1, 2, 3)
    small = struct("TestReg", "unsigned int first, second;")
    given = small(4, 5)
    lib.bind("_testfunc_reg_struct_update_value", "void", [small])(given)
    assert given == small(4, 5) == epsilon.foreign_variable("last_tfrsuv_arg", lib, small).value


def arrays_in_a_struct(symbol: str, result: str, members: str, *values: Sequence[float]) -> None:
    """The sum of a struct's arrays; C sets its copy to zero."""

    @checks(symbol)
    def check(lib: epsilon.Library) -> None:
        type_ = struct(f"of_{symbol}", members)
        given = type_(*values)
        assert lib.bind(symbol, result, [type_])(given) == sum(map(sum, values))
        assert given == type_(*values)


def defaults(symbol: str, length: int) -> None:
    """A struct of an array of doubles, returned: 1, 2, 3 …"""

    @checks(symbol)
    def check(lib: epsilon.Library) -> None:
        type_ = struct(f"of_{symbol}", f"double data[{length}];")
        assert list(lib.bind(symbol, type_, [])().data) == list(range(1, length + 1))


BYTES, HALVES = range(1, 17), ([1.5, 2.5], [-3.5, 8.0])
if "_testfunc_array_in_struct3A" in EXPORTED:  # since CPython 3.13
    arrays_in_a_struct("_testfunc_array_in_struct2", "int", "unsigned char data[16];", BYTES)
    arrays_in_a_struct("_testfunc_array_in_struct3A", "double", "float data[2]; float more_data[2];", *HALVES)
    for _letter, _length in {"B": 2, "C": 4, "D": 5, "E": 9}.items():
        _values = [1.5 * place for place in range(_length)]
        arrays_in_a_struct(f"_testfunc_array_in_struct3{_letter}", "double", f"double data[{_length}];", _values)
        defaults(f"_testfunc_array_in_struct3{_letter}_set_defaults", _length)
else:
    arrays_in_a_struct("_testfunc_array_in_struct1", "int", "unsigned char data[16];", BYTES)
    arrays_in_a_struct("_testfunc_array_in_struct2", "double", "double data[2];", HALVES[0])
    arrays_in_a_struct("_testfunc_array_in_struct2a", "double", "float data[2]; float more_data[2];", *HALVES)
    defaults("_testfunc_array_in_struct_set_defaults_3C", 4)
    defaults("_testfunc_array_in_struct_set_defaults_3D", 5)

TEST4 = "long a_long; struct { int an_int; int another_int; } a_struct;"
TEST5 = f"int an_int; struct {{ int an_int; union {{ {TEST4} }} a_union; }} nested; int another_int;"


@checks("_testfunc_union_by_value1", "_testfunc_union_by_value2")
@shim_only
def unions_by_value(lib):
    test4, test5 = struct("Test4", TEST4, "union"), struct("Test5", TEST5)
    assert lib.bind("_testfunc_union_by_value1", "long", [test4])(test4(a_struct={"an_int": 5, "another_int": 7})) == (
        (7 << 32) + 5 + 12
    )
    nested = {"an_int": 0x12345678, "a_union": {"a_long": -1}}
    given = test5(an_int=5, nested=nested, another_int=9)
    assert lib.bind("_testfunc_union_by_value2", "long", [test5])(given) == 5 + 0x12345678
    assert (given.an_int, given.nested.an_int, given.another_int) == (5, 0x12345678, 9)


@checks("_testfunc_union_by_reference1", "_testfunc_union_by_reference2", "_testfunc_union_by_reference3")
def unions_by_reference(lib):
    test4, test5 = struct("Test4", TEST4, "union"), struct("Test5", TEST5)
    one, two = test4(a_long=2**40), test4(a_struct={"an_int": 5, "another_int": 7})
    three = test5(an_int=5, nested={"an_int": 6}, another_int=7)
    assert lib.bind("_testfunc_union_by_reference1", "long", [("pointer", test4)])(one) == 2**40
    assert lib.bind("_testfunc_union_by_reference2", "long", [("pointer", test4)])(two) == 12
    assert lib.bind("_testfunc_union_by_reference3", "long", [("pointer", test5)])(three) == 18
    assert one.a_long == two.a_long == three.an_int == three.nested.an_int == three.another_int == 0


SIGNED_BITS, UNSIGNED_BITS = (f"{sign} int A: 1, B: 2, C: 3, D: 2;" for sign in ("signed", "unsigned"))
MANY_BITS = "int A: 1, B: 2, C: 3, D: 4, E: 5, F: 6, G: 7, H: 8, I: 9; short M: 1, N: 2, O: 3, P: 4, Q: 5, R: 6, S: 7;"


@checks("_testfunc_bitfield_by_reference1", "_testfunc_bitfield_by_reference2", "unpack_bitfields")
def bit_fields_by_reference(lib):
    test6, test7, bits = struct("Test6", SIGNED_BITS), struct("Test7", UNSIGNED_BITS), struct("BITS", MANY_BITS)
    one, two = test6(-1, 1, -4, 1), test7(1, 3, 7, 3)
    assert lib.bind("_testfunc_bitfield_by_reference1", "long", [("pointer", test6)])(one) == -3
    assert lib.bind("_testfunc_bitfield_by_reference2", "long", [("pointer", test7)])(two) == 14
    assert one == test6() and two == test7()
    unpack = lib.bind("unpack_bitfields", "int", [("pointer", bits), "char"])
    for width, name in enumerate("ABCDEFGHIMNOPQRS", 1):
        width -= 9 * (name >= "M")
        for value in (-(2 ** (width - 1)), 2 ** (width - 1) - 1):
            assert unpack(bits(**{name: value}), name) == value
            others = dict.fromkeys(bits().keys(), -1) | {name: value}
            assert unpack(bits(**others), name) == value


@checks("_testfunc_bitfield_by_value1", "_testfunc_bitfield_by_value2")
@shim_only
def bit_fields_by_value(lib):
    test6, test8 = struct("Test6", SIGNED_BITS), struct("Test8", SIGNED_BITS, "union")
    one, two = test6(-1, 1, -4, 1), test8(C=1)
    assert lib.bind("_testfunc_bitfield_by_value1", "long", [test6])(one) == -3 and one.C == -4
    assert lib.bind("_testfunc_bitfield_by_value2", "long", [test8])(two) == 2 and two.C == 1


# --- callbacks ------------------------------------------------------------------------------------------------------


@checks("_testfunc_cbk_reg_int", "_testfunc_cbk_reg_double", "_testfunc_cbk_large_struct")
def callbacks_with_registers_full_of_arguments(lib):
    seen = []
    for word in ("int", "double"):
        call = lib.bind(f"_testfunc_cbk_reg_{word}", word, [word] * 5 + [("function", word, [word] * 5)])
        assert call(2, 3, 4, 5, 6, lambda *given: seen.append(given) or sum(given)) == 90
    assert seen == [(4, 9, 16, 25, 36)] * 2
    large = struct("Test", "unsigned long first, second, third;")
    call = lib.bind("_testfunc_cbk_large_struct", "void", [large, ("function", "void", [large])])
    call(large(2**63, 2, 3), seen.append)
    assert seen[-1] == large(2**63, 2, 3)


@checks("_testfunc_callback_i_if", "_testfunc_callback_q_qf", "integrate")
def callbacks_called_many_times(lib):
    call = lib.bind("_testfunc_callback_i_if", "int", ["int", ("function", "int", ["int"])])
    seen = []
    assert call(10, lambda x: seen.append(x) or x) == 18 and seen == [10, 5, 2, 1]
    call = lib.bind("_testfunc_callback_q_qf", "long-long", ["long-long", ("function", "long-long", ["long-long"])])
    assert call(2**40, lambda x: x) == 2**41 - 1
    integrate = lib.bind("integrate", "double", ["double", "double", ("function", "double", ["double"]), "long"])
    assert abs(integrate(0, 1, lambda x: x * x, 100) - 1 / 3) < 1e-4


@checks("_testfunc_callback_with_pointer", "my_qsort")
def callbacks_with_pointers(lib):
    call = lib.bind("_testfunc_callback_with_pointer", "int", [("function", "int", [("pointer", "int")])])
    assert call(lambda table: sum(epsilon.deref(table, place) for place in range(10))) == 55
    numbers = epsilon.foreign_alloc("int", initial=[5, 7, 33, 1, 99])
    compare = ("function", "int", [("in", "int"), ("in", "int")])
    lib.bind("my_qsort", "void", ["pointer", "size", "size", compare])(numbers, 5, 4, lambda a, b: b - a)
    assert list(numbers) == [99, 33, 7, 5, 1]


@checks("_testfunc_callfuncp", "library_get")
def function_pointers_in_structs(lib):
    seen = []
    with epsilon.make_callback(lambda a, b: seen.append((a, b)) or 0, "int", ["int", "int"]) as note:
        functions = epsilon.define_c_struct("FUNCS", [("c", "pointer"), ("s", "pointer")])(note, note)
        assert lib.bind("_testfunc_callfuncp", "int", [("pointer", type(functions))])(functions) == 0
    assert seen == [(1, 2), (3, 4)]
    library = epsilon.define_c_struct("xxx_library", [("initialize", "uintptr")])
    initialize = epsilon.deref(lib.bind("library_get", ("pointer", library), [])()).initialize
    pointers = [("function", "pointer", ["int"]), ("function", "void", ["pointer"])]
    memory = epsilon.foreign_alloc("char", initial=b"allocated by Lisp, freed by Lisp")
    epsilon.get_or_create_trampoline("void", pointers)(
        initialize, lambda size: seen.append(size) or memory, lambda freed: seen.append(epsilon.deref(freed, 0, "char"))
    )
    assert seen[2:] == [32, ord("a")]
