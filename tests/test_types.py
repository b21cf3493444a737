"""API §1: what a type is called, that it is C's own, and which values strings, pointers and buffers take."""

from __future__ import annotations

import array
import copy
import ctypes
import functools
import pathlib
import pickle

import cffi
import pytest
from clib import load_c, run_child

import epsilon
from epsilon import ctype, typesystem

# --- spellings --------------------------------------------------------------------------------------------------------

SPELLINGS = {
    "char": ["char"],
    "signed char": ["signed-char", "signed_char", "char signed"],
    "unsigned char": ["unsigned-char", "char unsigned"],
    "short": ["short int", "signed short", "short signed int", "int short"],
    "unsigned short": ["unsigned-short", "short unsigned int", "unsigned short int"],
    "int": ["signed", "signed int", "int signed", "const int", "volatile int", "register int"],
    "unsigned int": ["unsigned", "unsigned-int", "int unsigned"],
    "long": ["long int", "signed long", "long signed int"],
    "unsigned long": ["unsigned-long", "unsigned_long", "long unsigned", "unsigned long int", "int long unsigned"],
    "long long": ["long-long", "long long int", "signed long long", "long int long"],
    "unsigned long long": ["unsigned-long-long", "long unsigned long", "unsigned long long int"],
    "float": ["float"],
    "double": ["double"],
    "long double": ["long-double", "double long"],
    "float _Complex": ["float-complex", "_Complex float"],
    "double _Complex": ["double-complex", "_Complex double"],
    "_Bool": ["bool"],
    "size_t": ["size"],
    "ssize_t": ["ssize"],
    "ptrdiff_t": ["ptrdiff"],
    "intptr_t": ["intptr"],
    "uintptr_t": ["uintptr"],
    "wchar_t": ["wchar"],
    **{f"int{bits}_t": [f"int{bits}"] for bits in (8, 16, 32, 64)},
    **{f"uint{bits}_t": [f"uint{bits}"] for bits in (8, 16, 32, 64)},
    "const char *": [
        "string",
        "char const *",
        "const char*",
        "const char * restrict",
        ("string",),
        "const char *const",
    ],
    "void *": ["pointer", "void*", ("pointer",), ("pointer", "void")],
    "const void *": [("buffer",), "buffer"],
    "int *": [("pointer", "int"), ["pointer", "int"], "int*", "int * const", "signed *", "int *restrict"],
    "char *": [("pointer", "char"), "char*"],
    "int **": [("pointer", ("pointer", "int")), "int * *", "int *(*)"],
    "int (*)(int, double)": [("function", "int", ["int", "double"]), "int (*)(int a, double b)", "int(*)(int,double)"],
    "void (*)(void)": [("function", "void", []), "void (*)()"],
    "int [3]": [("array", "int", 3), "int[3]", "int[0x3]", "int[1 + 2]", "int[03]", "int [(1 << 2) - 1]"],
    "int []": [("array", "int"), "int[]"],
    "struct spelled *": [("pointer", ("struct", "spelled")), "struct spelled*"],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_type_is_the_same_object(spelling):
    others = SPELLINGS[spelling]
    found = ctype(others[0])
    assert found.spelling == spelling
    for other in others:
        assert ctype(other) is found, other
        if isinstance(other, str):
            assert ctype(f"  {other} ") is found
            if other.replace("-", "").isalnum():
                assert ctype(f":{other}") is found
    if "buffer" not in others:  # C has no word for a buffer: its text is that of a plain pointer
        assert ctype(spelling) is found


def test_keyword_and_quoted_spellings_of_hy():
    hy = pytest.importorskip("hy")
    model = hy.models
    assert ctype(model.Keyword("unsigned-long")) is ctype("unsigned long")
    assert ctype(model.Expression([model.Keyword("pointer"), model.Keyword("int")])) is ctype("int *")
    assert ctype(hy.read("'(:pointer (:struct spelled))")) is ctype("struct spelled *")
    assert ctype(hy.read("[:array :int 3]")) is ctype("int[3]")
    assert ctype(hy.read('(:string :encoding "latin-1")')) is ctype(("string", {"encoding": "latin-1"}))
    assert ctype(hy.read("(:buffer :writable)")) is ctype(("buffer", "writable"))


def test_a_type_stands_for_itself():
    point = epsilon.define_c_struct("point_itself", [("x", "int")])
    assert ctype(ctype("int")) is ctype("int")
    assert ctype(point) is ctype(("struct", "point_itself")) is ctype("struct point_itself") is ctype("point_itself")
    assert ctype(("pointer", point)) is ctype("struct point_itself *")


def test_const_survives_into_repr_and_prototypes():
    assert repr(ctype("const unsigned char *")) == "<CType 'const unsigned char *'>"
    assert ctype("const int *") is not ctype("int *")
    assert ctype("int const *") is ctype("const int *")
    assert ctype("const int *const *").spelling == "const int *const *"
    libc = epsilon.lib_open("libc")
    assert repr(libc.bind("int memcmp(const void *a, const void *b, size_t n)")).count("const void *") == 2
    assert "const char *const *argv" in libc.bind("int execv(const char *path, const char *const *argv)").__doc__


@pytest.mark.parametrize(
    "text",
    ["int (*)(const char *, ...)", "int (*(*)(int))(double)", "int (*)[3]", "int [2][3]", "const char *const *",
     "void (*(*)(int, void (*)(int)))(int)", "char *(*[4])(void)", "struct tag **", "unsigned long (*)(void)"],
)  # fmt: skip
def test_declarators_are_read_inside_out_and_written_back(text):
    assert ctype(text).spelling.replace(" ", "") == text.replace(" ", "")
    assert ctype(ctype(text).spelling) is ctype(text)


def test_comments_and_white_space_mean_nothing():
    assert ctype("unsigned /* or not */ long\n\t*") is ctype("unsigned long *")
    assert ctype("int // here") is ctype("int")


def test_parameters_of_array_and_function_type_are_pointers():
    """C11 §6.7.6.3: a parameter declared as an array or a function is a pointer."""
    libc = epsilon.lib_open("libc")
    signature = libc.bind("int f(int a[10], char *argv[], int g(double))").signature
    assert signature.parameters == (ctype("int *"), ctype("char **"), ctype("int (*)(double)"))


NO_TYPES = {
    "strng": "did you mean 'string'",
    "unsigned-lnog": "'unsigned-long'",
    "sizet": "'size_t' or 'size'",
    "uint33": "'uint32'",
    "unsinged long": "'unsigned'",
    "devt": "'dev_t'",
    "": "a type is wanted",
    "   ": "a type is wanted",
    "int int": "'int int' is no C type",
    "unsigned float": "is no C type",
    "long long long": "is no C type",
    "int x": "not a declaration of 'x'",
    "int; int": "nothing more is wanted",
    "int a, b": "a type alone",
    "void (*)(int": "cannot read",
    "int[-1]": "0 or more",
    "int[x]": "an integer constant is wanted",
    "int[1 / 0]": "no integer constant",
    "int[countof(int)]": "an integer constant is wanted",
    "int[1 << 999999]": "larger than any memory|no integer constant",
    "int[99999999999999999999]": "larger than any memory",
    "((((((": "cannot read",
    "*": "a type is wanted",
    "\x00int": "cannot read",
    "int\ud800": "cannot read",
    "λ": "unknown type",
    "struct": "unknown type 'struct'",
    "struct *": "a tag is wanted",
    "struct {": "defined by define_c_struct",
    5: "is no type",
    None: "is no type",
    int: "is no type",
    b"int": "is no type",
    (): "it is empty",
    ("pointr", "int"): "'pointer'",
    ("pointer", "int", "int"): "is how 'pointer' is written",
    ("array", "int", -1): "0 or more",
    ("array", "int", 10**30): "larger than any memory",
    ("array", "void", 3): "no size",
    ("in", "void"): "no size",
    ("out", ("struct", "nowhere_defined")): "no size",
    ("in", ("in", "int")): "how a parameter is passed",
    ("pointer", ("out", "int")): "how a parameter is passed",
    ("array", "buffer", 2): "length of a call",
    ("buffer", "writeable"): "'writable' is the one option",
}


@pytest.mark.parametrize("expression", NO_TYPES, ids=repr)
def test_what_is_no_type_is_an_error_that_helps(expression):
    with pytest.raises(epsilon.ForeignTypeError, match=NO_TYPES[expression]):
        ctype(expression)


def test_an_unknown_encoding_is_an_error():
    for options in ({"encoding": "nope"}, {"errors": "nope"}, {"encodin": "utf-8"}, {"encoding": 5}):
        with pytest.raises(epsilon.ForeignTypeError):
            ctype(("string", options))


def test_an_unknown_type_in_a_prototype_is_named_with_the_nearest():
    with pytest.raises(epsilon.ForeignTypeError, match="unknown type 'sise_t'.*'size_t'"):
        epsilon.lib_open("libc").bind("sise_t strlen(const char *s)")


@pytest.mark.parametrize(
    "expression",
    ["int", "const int *", "string", ("buffer", "writable"), ("in", "int"), ("array", "double", 4), "int (*)(int, ...)",
     ("string", {"encoding": "latin-1", "errors": "replace"}), "struct opaque_pickled *", "dev_t", "void", "size_t"],
    ids=repr,
)  # fmt: skip
def test_types_pickle_and_copy_as_themselves(expression):
    found = ctype(expression)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(found, protocol)) is found
    assert copy.copy(found) is copy.deepcopy(found) is found


pickled_point = epsilon.define_c_struct("pickled_point", [("x", "int")])


def test_struct_types_pickle_by_their_class():
    assert pickle.loads(pickle.dumps(ctype(pickled_point))) is ctype(pickled_point)
    assert pickle.loads(pickle.dumps(ctype(("pointer", pickled_point)))) is ctype(("pointer", pickled_point))


# --- system typedefs --------------------------------------------------------------------------------------------------

HEADERS = """
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <time.h>
#include <wchar.h>
"""


@functools.cache
def typedefs_of_c() -> epsilon.Library:
    functions = "".join(
        f"int size_{name}(void) {{ return sizeof({name}); }}\nint signed_{name}(void) {{ return ({name})-1 < 0; }}\n"
        for name in typesystem.TYPEDEFS
    )
    return load_c(HEADERS + functions)


@pytest.mark.parametrize("name", typesystem.TYPEDEFS)
def test_a_typedef_has_the_size_and_sign_of_c(name):
    found, c = ctype(name), typedefs_of_c()
    assert found.size == c.bind(f"int size_{name}(void)")()
    low = -(1 << 8 * found.size - 1) if c.bind(f"int signed_{name}(void)")() else 0
    if name != "bool":
        assert (found.low, found.high) == (low, low + (1 << 8 * found.size) - 1)
    assert f"{name} f({name} a)" in (repr(c.bind(f"{name} f({name} a)")), "bool f(bool a)")


# --- strings ----------------------------------------------------------------------------------------------------------

TEXT = r"""
#include <string.h>
size_t length(const char *s) { return s ? strlen(s) : 999; }
const char *same(const char *s) { return s; }
const char *invalid(void) { return "ab\xff" "cd"; }
int third(const char *s) { return (unsigned char)s[2]; }
"""


def text(name: str, result="string", parameters=()):
    return load_c(TEXT).bind(name, result, list(parameters))


def test_string_takes_a_str_as_utf_8():
    length = text("length", "size", ["string"])
    for value in ("", "hello", "λx", "🐍", "é" * 1000):
        assert length(value) == len(value.encode())


def test_string_takes_bytes_none_and_paths():
    length = text("length", "size", ["string"])
    assert length(b"\xff\xfe") == 2
    assert length(None) == 999
    assert length(pathlib.Path("/tmp/x")) == 6


def test_string_takes_char_pointers_and_memory():
    length, ffi = text("length", "size", ["string"]), cffi.FFI()
    assert length(epsilon.foreign_alloc("char", count=9, initial="four")) == 4
    assert length(epsilon.foreign_alloc("uint8", count=9, initial=b"five!")) == 5
    assert length(ffi.new("char[]", b"hey")) == 3
    assert length(ffi.new("unsigned char[]", b"hey\0")) == 3
    held = ffi.new("char[]", b"pointer")
    assert length(text("same", ("pointer", "char"), [("pointer", "char")])(held)) == 7
    assert length(ffi.NULL) == 999
    for value in (5, 1.5, [], bytearray(b"abc"), ffi.new("int[]", [65]), object()):
        with pytest.raises(epsilon.ForeignTypeError, match=r"length\(\): parameter 1 .*const char \*.*wanted a str"):
            length(value)


@pytest.mark.parametrize("value", ["a\0b", b"a\0b", "\0", "λ\0"])
def test_an_embedded_nul_is_refused(value):
    with pytest.raises(epsilon.ForeignValueError, match=r"length\(\): parameter 1 .*embedded NUL"):
        text("length", "size", ["string"])(value)


def test_surrogates_are_refused_unless_they_are_asked_for():
    with pytest.raises(epsilon.ForeignValueError, match="surrogates not allowed"):
        text("length", "size", ["string"])("a\udcff")
    escaped = ("string", {"errors": "surrogateescape"})
    assert text("length", "size", [escaped])("a\udcff") == 2
    assert text("same", escaped, [escaped])("a\udcff") == "a\udcff"


def test_a_string_result_is_a_str_or_none():
    same = text("same", "string", ["string"])
    for value in ("", "hello", "λ🐍", None):
        assert same(value) == value


def test_bytes_that_are_not_valid_raise_with_the_offset():
    with pytest.raises(epsilon.ForeignValueError, match=r"invalid\(\): result .*b'ab\\xffcd'.*at offset 2"):
        text("invalid")()


def test_errors_and_encoding_of_a_result():
    assert text("invalid", ("string", {"errors": "replace"}))() == "ab\ufffdcd"
    assert text("invalid", ("string", {"errors": "surrogateescape"}))() == "ab\udcffcd"
    assert text("invalid", ("string", {"encoding": "latin-1"}))() == "abÿcd"
    assert text("invalid", ("string", {"encoding": None}))() == b"ab\xffcd"


def test_a_nul_is_seen_wherever_it_is_in_a_text_of_any_length():
    length = epsilon.lib_open("libc").bind("size_t strlen(const char *s)")
    for size in range(66):
        assert length("a" * size) == size
        for place in range(size):
            with pytest.raises(epsilon.ForeignValueError, match="embedded NUL"):
                length("a" * place + "\0" + "a" * (size - place - 1))


def test_encoding_of_an_argument():
    latin = ("string", {"encoding": "latin-1"})
    assert text("third", "int", [latin])("abÿ") == 255
    assert text("length", "size", [latin])(b"as it is") == 8
    with pytest.raises(epsilon.ForeignValueError, match="parameter 1.*'latin-1' codec can't encode"):
        text("length", "size", [latin])("λ")
    with pytest.raises(epsilon.ForeignValueError, match="embedded NUL"):
        text("length", "size", [("string", {"encoding": "utf-16"})])("ab")


# --- pointers ---------------------------------------------------------------------------------------------------------

POINTERS = """
#include <stddef.h>
#include <stdint.h>
struct point { int x, y; };
void *same(void *p) { return p; }
int first_int(int *p) { return p ? *p : -1; }
unsigned long first_ulong(unsigned long *p) { return *p; }
size_t first_size(size_t *p) { return *p; }
char first_char(char *p) { return *p; }
int first_x(struct point *p) { return p ? p->x : -1; }
int *second(int *p) { return p + 1; }
int apply(int (*f)(int), int n) { return f ? f(n) : -1; }
int twice(int n) { return 2 * n; }
int (*give(void))(int) { return twice; }
"""


def pointers(prototype: str):
    return load_c(POINTERS).bind(prototype)


def address(pointer) -> int:
    return int(cffi.FFI().cast("uintptr_t", pointer))


def test_pointer_takes_none_and_anything_with_an_address():
    same, ffi = pointers("void *same(void *p)"), cffi.FFI()
    memory = epsilon.foreign_alloc("int")
    point = epsilon.define_c_struct("point_address", [("x", "int")])(1)
    callback = epsilon.make_callback(abs, "int", ["int"])
    function = pointers("int twice(int n)")
    thunk = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 5)
    array_ = ffi.new("int[3]")
    assert epsilon.is_null_pointer(same(None)) and epsilon.is_null_pointer(same(ffi.NULL))
    assert address(same(memory)) == memory.address
    assert address(same(point)) == point.address == address(same(epsilon.struct_pointer(point)))
    assert address(same(callback)) == callback.address
    assert address(same(function)) == function.address
    assert address(same(array_)) == address(same(ffi.addressof(array_, 0))) == address(ffi.addressof(array_, 0))
    assert address(same(thunk)) == ctypes.cast(thunk, ctypes.c_void_p).value


@pytest.mark.parametrize(
    "value", [5, 0, True, -1, 2**64, 1.5, "text", b"bytes", bytearray(2), [], object(), len, ctypes.c_int(3)]
)
def test_an_int_and_other_values_are_no_pointers(value):
    with pytest.raises(epsilon.ForeignTypeError, match=r"same\(\): parameter 1 'p' \(void \*\).*an int is no pointer"):
        pointers("void *same(void *p)")(value)


def test_const_void_takes_buffers():
    """C takes a pointer to anything there, and reads only; ``void *`` takes none, for it may be written."""
    compare = epsilon.lib_open("libc").bind("int memcmp(const void *a, const void *b, size_t n)")
    assert compare(b"abc", bytearray(b"abc"), 3) == 0 and compare(memoryview(b"b"), b"a", 1) > 0
    with pytest.raises(epsilon.ForeignValueError, match="not contiguous"):
        compare(memoryview(b"abcd")[::2], b"ac", 2)
    for wrong in ("text", 5, 1.5, object()):
        with pytest.raises(epsilon.ForeignTypeError, match=r"memcmp\(\): parameter 1 'a' \(const void \*\)"):
            compare(wrong, b"", 0)
    with pytest.raises(epsilon.ForeignTypeError, match="wanted None, a pointer"):
        epsilon.lib_open("libc").bind("void *memset(void *p, int c, size_t n)")(bytearray(3), 0, 3)


def test_a_typed_pointer_refuses_a_pointer_to_something_else():
    first, ffi = pointers("int first_int(int *p)"), cffi.FFI()
    others = [epsilon.foreign_alloc(word) for word in ("double", "long", "unsigned-int", "short", "pointer", "char")]
    others += [ffi.new("long *"), ffi.new("double[2]"), epsilon.define_c_struct("other_point", [("x", "int")])()]
    others += [epsilon.make_callback(abs, "int", ["int"]), pointers("int twice(int n)"), 5, bytearray(4), "1234", [1]]
    for other in others:
        with pytest.raises(
            epsilon.ForeignTypeError, match=r"first_int\(\): parameter 1 'p' \(int \*\).*a pointer to int"
        ):
            first(other)


def test_a_typed_pointer_takes_its_own_kind_none_and_void_pointers():
    first, ffi = pointers("int first_int(int *p)"), cffi.FFI()
    memory = epsilon.foreign_alloc("int", initial=[7])
    assert first(memory) == first(memory.cdata) == first(pointers("void *same(void *p)")(memory)) == 7
    assert first(ffi.new("int *", 8)) == first(ffi.new("int[2]", [8, 9])) == 8
    assert first(None) == -1
    with epsilon.pinned_array(array.array("i", [6])) as pinned:
        assert first(pinned) == 6


def test_a_typed_pointer_result_points_on():
    memory = epsilon.foreign_alloc("int", initial=[7, 8, 9])
    second = pointers("int *second(int *p)")
    assert epsilon.deref(second(memory)) == 8
    assert epsilon.deref(second(second(memory))) == 9


def test_one_type_under_two_names_is_one_pointer():
    """``size_t *`` where C says ``unsigned long *``: the same representation, so the same pointer."""
    ulong, size = pointers("unsigned long first_ulong(unsigned long *p)"), pointers("size_t first_size(size_t *p)")
    word = "unsigned-long" if ctype("unsigned long").size == 8 else "unsigned-long-long"
    ffi = cffi.FFI()
    for given in (
        epsilon.foreign_alloc("size", initial=[9]),
        epsilon.foreign_alloc(word, initial=[9]),
        epsilon.foreign_alloc("uint64", initial=[9]),
        ffi.new("size_t *", 9),
        ffi.new("uint64_t[1]", [9]),
    ):
        assert ulong(given) == size(given) == 9
    with pytest.raises(epsilon.ForeignTypeError, match="not a long"):
        size(epsilon.foreign_alloc("long"))


def test_ended_memory_of_another_name_is_refused_too():
    memory = epsilon.foreign_alloc("uint64", initial=[9])
    epsilon.foreign_free(memory)
    with pytest.raises(epsilon.ForeignMemoryError, match="freed at .*test_types.py"):
        pointers("size_t first_size(size_t *p)")(memory)


def test_struct_pointers_take_the_struct():
    point = epsilon.define_c_struct("point", [("x", "int"), ("y", "int")])
    other = epsilon.define_c_struct("not_point", [("x", "int"), ("y", "int")])
    first = load_c(POINTERS).bind("first_x", "int", [("pointer", point)])
    assert (
        first(point(3))
        == first(epsilon.struct_pointer(point(3)))
        == first(epsilon.foreign_alloc(point, initial=point(3)))
        == 3
    )
    assert first(None) == -1
    for value in (other(3), {"x": 3}, 3, epsilon.foreign_alloc("int")):
        with pytest.raises(epsilon.ForeignTypeError, match="a pointer to struct point"):
            first(value)


def test_a_char_pointer_takes_writable_buffers():
    first = pointers("char first_char(char *p)")
    assert first(bytearray(b"z")) == first(memoryview(bytearray(b"z"))) == first(array.array("b", b"z")) == ord("z")
    with pytest.raises(epsilon.ForeignValueError, match="read-only"):
        first(b"z")
    with pytest.raises(epsilon.ForeignTypeError):
        first("z")


def test_function_pointers_take_callbacks_functions_and_callables():
    apply, give = pointers("int apply(int (*f)(int), int n)"), pointers("int (*give(void))(int)")
    twice = pointers("int twice(int n)")
    assert apply(epsilon.make_callback(lambda n: n + 1, "int", ["int"]), 4) == 5
    assert apply(twice, 4) == apply(give(), 4) == apply(lambda n: 2 * n, 4) == 8
    assert apply(None, 4) == -1
    assert give()(21) == 42
    for value in (5, "abs", b"abs", [], epsilon.foreign_alloc("int")):
        with pytest.raises(epsilon.ForeignTypeError, match="wanted None, a callback, a foreign function or a callable"):
            apply(value, 4)


# --- buffers ----------------------------------------------------------------------------------------------------------

BUFFERS = """
#include <string.h>
long sum(const unsigned char *p, int n) { long s = 0; for (int i = 0; i < n; i++) s += p[i]; return s; }
void fill(unsigned char *p, int n) { memset(p, 7, n); }
int is_null(const void *p) { return p == 0; }
void call_with(void *p, int n, void (*f)(void)) { f(); memset(p, 9, n); }
"""


class NumPyLike:
    """Memory that is reached through the buffer protocol only, as an array of NumPy's is."""

    def __new__(cls, data):
        return (ctypes.c_ubyte * len(data))(*data)


def buffers(name: str, result, parameters):
    return load_c(BUFFERS).bind(name, result, parameters)


def test_a_buffer_is_any_object_with_the_protocol():
    total = buffers("sum", "long", ["buffer", "int"])
    data = b"abcdef"
    for value in (data, bytearray(data), memoryview(data), array.array("B", data), NumPyLike(data),
                  memoryview(bytearray(data)).cast("H"), epsilon.foreign_alloc("uint8", initial=data)):  # fmt: skip
        assert total(value, 6) == sum(data)
    assert total(memoryview(data)[2:], 4) == sum(data[2:])
    assert buffers("is_null", "int", ["buffer"])(None) == 1


def test_a_writable_buffer_is_written_in_place():
    fill = buffers("fill", "void", [("buffer", "writable"), "int"])
    for value in (bytearray(3), array.array("B", bytes(3)), NumPyLike(bytes(3)), memoryview(bytearray(3))):
        fill(value, 3)
        assert bytes(value) == b"\7\7\7"
    memory = epsilon.foreign_alloc("uint8", count=4)
    fill(memory, 3)
    assert list(memory) == [7, 7, 7, 0]


def test_read_only_objects_are_refused_where_c_writes():
    fill = buffers("fill", "void", [("buffer", "writable"), "int"])
    for value in (b"abc", memoryview(b"abc"), memoryview(bytearray(3)).toreadonly()):
        with pytest.raises(epsilon.ForeignValueError, match=r"fill\(\): parameter 1.*read-only.*writable"):
            fill(value, 3)


def test_memory_that_is_not_contiguous_is_refused():
    total = buffers("sum", "long", ["buffer", "int"])
    for value in (memoryview(b"aabbcc")[::2], memoryview(bytearray(8))[::-1]):
        with pytest.raises(epsilon.ForeignValueError, match="not contiguous"):
            total(value, 3)


@pytest.mark.parametrize("value", ["text", 5, [1, 2], object(), 1.5, len])
def test_what_is_no_buffer_is_refused(value):
    with pytest.raises(epsilon.ForeignTypeError, match=r"sum\(\): parameter 1.*buffer protocol"):
        buffers("sum", "long", ["buffer", "int"])(value, 1)


@pytest.mark.parametrize("word", [("buffer", "writable"), "buffer", ("pointer", "unsigned-char")], ids=str)
def test_a_bytearray_cannot_be_resized_while_c_has_it(word):
    data, refused = bytearray(64), []

    @epsilon.callback("void", [])
    def grow():
        with pytest.raises(BufferError):
            data.extend(bytes(1 << 20))
        refused.append(True)

    buffers("call_with", "void", [word, "int", "pointer"])(data, 64, grow)
    assert refused == [True] and bytes(data) == b"\x09" * 64
    data.extend(b"now it can")


def test_a_buffer_is_given_back_after_a_failed_call():
    data = bytearray(8)
    with pytest.raises(epsilon.ForeignTypeError, match="parameter 2"):
        buffers("fill", "void", [("buffer", "writable"), "int"])(data, "eight")
    data.extend(b"free again")


# --- converters -------------------------------------------------------------------------------------------------------


class Celsius(float):
    """A class whose values a test converts."""


class Degrees:
    def __init__(self, value):
        self.value = value


CONVERTERS = """
import epsilon, pathlib
from epsilon import convert_to_foreign, convert_from_foreign
from test_types import Celsius, Degrees

@convert_to_foreign.register(Degrees, "double")
def _(value):
    return value.value
labs = epsilon.lib_open("libm").bind("double fabs(double x)")
assert labs(Degrees(-2.5)) == 2.5
class Finer(Degrees): pass
assert labs(Finer(-1.5)) == 1.5, "the nearest base of the class"
try:
    epsilon.lib_open("libm").bind("float fabsf(float x)")(Degrees(1))
except epsilon.ForeignTypeError:
    pass
else:
    raise AssertionError("registered for double alone")
assert convert_to_foreign(Degrees(3.5), "double") == 3.5

@convert_from_foreign.register(float, "double")
def _(value):
    return Celsius(value)
assert type(labs(-2.5)) is Celsius, "a function bound before sees it too"
assert type(epsilon.lib_open("libm").bind("double ceil(double x)")(1.5)) is Celsius
assert type(epsilon.foreign_alloc("double", initial=[1.5])[0]) is Celsius
assert type(convert_from_foreign(1.5, "double")) is Celsius
assert type(convert_from_foreign(1.5, "float")) is float
"""


def test_converters_extend_both_ways_by_class_and_type():
    """In a child process, for what is registered stays registered."""
    tests = str(pathlib.Path(__file__).parent)
    run_child(f"import sys; sys.path.insert(0, {tests!r})\n{CONVERTERS}")


def test_paths_are_strings_out_of_the_box():
    assert text("length", "size", ["string"])(pathlib.Path("a") / "λ") == 4
    assert epsilon.convert_to_foreign(pathlib.Path("/x"), "string") in ("/x", b"/x")
    with pytest.raises(epsilon.ForeignTypeError):
        epsilon.convert_to_foreign(pathlib.Path("/x"), "int")


def test_converting_by_hand_has_the_errors_of_a_call():
    assert epsilon.convert_to_foreign(5, "int8") == 5
    with pytest.raises(epsilon.ForeignRangeError, match="wanted an int from -128 to 127"):
        epsilon.convert_to_foreign(500, "int8")
    with pytest.raises(epsilon.ForeignTypeError, match="takes a Python class"):
        epsilon.convert_to_foreign.register("Path", "string")
    with pytest.raises(epsilon.ForeignTypeError, match="unknown type 'strng'"):
        epsilon.convert_to_foreign.register(Degrees, "strng")


# --- cdef -------------------------------------------------------------------------------------------------------------


def declared() -> dict:
    """A module's namespace with one of everything."""
    libc = epsilon.lib_open("libc")
    inner = epsilon.define_c_struct("cdef_inner", [("values", ("array", "short", 3)), ("next", "struct cdef_outer *")])
    outer = epsilon.define_c_struct("cdef_outer", [("inner", inner), ("name", "string"), ("when", "time_t"),
                                                   ("hook", "int (*)(struct cdef_inner *, double)")])  # fmt: skip

    @epsilon.callback("int", [("in", "int"), "string", ("pointer", inner)])
    def on_event(number, text, where):
        return 0

    return {
        "inner": inner, "outer": outer, "on_event": on_event, "another_name": outer, "unrelated": 5,
        "strlen": libc.bind("size_t strlen(const char *s)"),
        "printf": libc.bind("int printf(const char *format, ...)"),
        "lseek": libc.bind("off_t lseek(int fd, off_t offset, int whence)"),
        "qsort": libc.bind("qsort", "void", ["buffer", "size", "size", ("function", "int", ["pointer", "pointer"])]),
        "use": libc.bind("use", outer, [outer, ("out", "int"), ("pointer", ("struct", "cdef_opaque"))]),
    }  # fmt: skip


def test_cdef_is_what_plain_cffi_takes():
    ffi = cffi.FFI()
    ffi.cdef(epsilon.cdef(declared()))
    namespace = declared()
    for struct in ("inner", "outer"):
        name = f"struct cdef_{struct}"
        assert ffi.sizeof(name) == namespace[struct].size and ffi.alignof(name) == namespace[struct].alignment
        for field, found in ffi.typeof(name).fields:
            assert namespace[struct].offset(field) == found.offset
    assert ffi.sizeof("off_t") == ctype("off_t").size and ffi.sizeof("time_t") == ctype("time_t").size
    libc = ffi.dlopen(None)
    assert libc.strlen(b"five!") == 5
    assert ffi.typeof(libc.lseek).args == (ffi.typeof("int"), ffi.typeof("off_t"), ffi.typeof("int"))


def test_cdef_says_everything_once_and_what_is_needed_first():
    text = epsilon.cdef(declared())
    assert text.count("struct cdef_outer {") == text.count("struct cdef_inner {") == text.count("size_t strlen(") == 1
    assert text.index("struct cdef_inner {") < text.index("struct cdef_outer {") < text.index("strlen")
    assert 'extern "Python" int on_event(const int *number, const char *text, struct cdef_inner *where);' in text
    assert "typedef int64_t off_t;" in text and "struct cdef_opaque;" in text
    assert "size_t strlen(const char *s);" in text and "int printf(const char *format, ...);" in text


def test_cdef_after_a_struct_was_defined_again():
    """As at a REPL: what still refers to the earlier definition does not bring it back."""
    epsilon.define_c_struct("cdef_link", [("next", "struct cdef_chain *")])
    epsilon.define_c_struct("cdef_chain", [("first", ("struct", "cdef_link"))])
    link = epsilon.define_c_struct("cdef_link", [("next", "struct cdef_chain *"), ("more", "int")])
    text = epsilon.cdef({"link": link})
    assert text.count("struct cdef_link {") == 1 and "int more;" in text
    cffi.FFI().cdef(text)


def test_cdef_of_a_module_and_of_nothing():
    module = type(pathlib)("some_module")
    assert epsilon.cdef(module) == ""
    module.strlen = epsilon.lib_open("libc").bind("size_t strlen(const char *s)")
    assert epsilon.cdef(module) == "size_t strlen(const char *s);"


def test_a_buffer_is_no_pointer_to_what_it_does_not_hold():
    import array

    same = epsilon.lib_open("libc").bind("memchr", "pointer", [("pointer", "int"), "int", "size"])
    for value in (array.array("d", [1.5]), memoryview(array.array("d", [1.5])), bytearray(8)):
        with pytest.raises(epsilon.ForeignTypeError, match="parameter 1"):
            same(value, 0, 0)


# --- prototypes -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(
    "text",
    ["int abs(int n)", "int abs(int n);", "int abs (int n) ;", "int\nabs(int n)", "\tint\tabs\t(int\tn)",
     "extern int abs(int/* any */ n); "],
)  # fmt: skip
def test_a_prototype_means_the_same_however_it_is_spaced(text):
    libc = epsilon.lib_open("libc")
    for _ in range(2):  # read, and remembered
        bound = libc.bind(text)
        assert (bound(n=-3), bound.__name__, bound.prototype) == (3, "abs", "int abs(int n)")


@pytest.mark.parametrize("text", ["char*strchr(const char*s, int c)", "char *strchr (const char *s,int c);"])
def test_the_star_of_a_result_may_stand_anywhere(text):
    libc = epsilon.lib_open("libc")
    for _ in range(2):
        assert libc.bind(text).prototype == "char *strchr(const char *s, int c)"


def test_what_is_remembered_of_a_prototype_is_no_excuse_for_the_next():
    libc = epsilon.lib_open("libc")
    libc.bind("unsigned toupper(int c);")
    for wrong in ("unsigned int(int c);", "unsigned (int c);", "unsigned to-upper(int c);", "unsigned toupper(int c"):
        with pytest.raises(epsilon.ForeignTypeError, match="cannot read the C declaration"):
            libc.bind(wrong)


def test_importing_epsilon_imports_what_a_binding_needs():
    later = {"epsilon.callbacks", "epsilon.memory", "epsilon.results", "epsilon.structs", "epsilon.declarator"}
    code = f"import sys, epsilon; print({later!r} & set(sys.modules), epsilon.memory.report, epsilon.callbacks)"
    assert run_child(code).startswith("set() <function report")
