"""The least that must work on every Python and every install, which CI tries: a call, errno, a callback, a struct."""

import errno

import pytest

import epsilon

libc = epsilon.lib_open("libc")


def test_a_call_by_types_and_by_prototype():
    by_types = libc.bind("strlen", "unsigned-long", ["string"])
    by_prototype = libc.bind("size_t strlen(const char *s)")
    assert by_types("hello") == by_prototype("hello") == by_prototype(s="hello") == 5
    assert epsilon.shared_call(("strlen", "libc"), "unsigned-long", ["string"], "héllo") == 6


def test_errno_is_raised_by_a_failed_check():
    rmdir = libc.bind("rmdir", "int", ["string"], errno=True, check="nonnegative")
    with pytest.raises(epsilon.ForeignOSError) as caught:
        rmdir("/no/such/folder")
    assert caught.value.code == epsilon.errno() == errno.ENOENT
    assert caught.value.function == "rmdir"


def test_c_sorts_with_a_python_comparator():
    @epsilon.callback("int", [("in", "int"), ("in", "int")])
    def compare(a, b):
        return a - b

    qsort = libc.bind("qsort", "void", ["pointer", "size", "size", "pointer"])
    with epsilon.foreign_memory("int", count=5, initial=[3, -1, 4, -1, 5]) as numbers:
        qsort(numbers, 5, 4, compare)
        assert [epsilon.deref(numbers, index) for index in range(5)] == [-1, -1, 3, 4, 5]


def test_an_exception_in_a_callback_is_raised_by_the_call():
    @epsilon.callback("int", ["pointer", "pointer"])
    def compare(a, b):
        raise KeyError("from the callback")

    qsort = libc.bind("qsort", "void", ["pointer", "size", "size", "pointer"])
    with epsilon.foreign_memory("int", count=2, initial=[2, 1]) as numbers:
        with pytest.raises(KeyError, match="from the callback"):
            qsort(numbers, 2, 4, compare)


def test_a_struct_that_c_fills_and_one_that_it_returns_by_value():
    timespec = epsilon.define_c_struct("timespec", [("sec", "long"), ("nsec", "long")])
    now = timespec(sec=-1, nsec=-1)
    clock_gettime = libc.bind("clock_gettime", "int", ["int", "pointer"])
    assert clock_gettime(0, epsilon.struct_pointer(now)) == 0
    assert now.sec > 0 <= now.nsec < 1_000_000_000

    div_t = epsilon.define_c_struct("div_result", [("quot", "int"), ("rem", "int")])
    quotient = libc.bind("div", ("struct", "div_result"), ["int", "int"])(17, 5)
    assert (quotient.quot, quotient.rem) == (3, 2)
    assert isinstance(quotient, div_t)
