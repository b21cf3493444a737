"""Results with a known count: (:pointer T :count n) takes its bounds from a parameter, or a number."""

import copy
import json
import pickle

import pytest
from clib import load_c

import epsilon
from epsilon import ForeignIndexError, ForeignMemoryError, ForeignTypeError, ForeignValueError

C = r"""
#include <stdlib.h>
#include <stdint.h>
#include <stddef.h>
struct counted_point { short x, y; };
static uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8};
static struct counted_point points[] = {{1, 2}, {3, 4}};
static int calls, freed;
int made_calls(void) { return calls; }
int freed_blocks(void) { return freed; }
uint8_t *first(long n) { calls++; return bytes; }
uint8_t *told(size_t *n) { *n = 5; return bytes; }
uint8_t *told_signed(int *n) { return bytes; }
uint8_t *capped(size_t *n) { if (*n > 8) *n = 8; return bytes; }
uint8_t *nothing(size_t *n) { *n = 0; return NULL; }
struct counted_point *both(void) { return points; }
int fetch(uint8_t **data, size_t *n) { *data = bytes; *n = 3; return 7; }
void fetch_only(uint8_t **data, size_t *n) { *data = bytes; *n = 2; }
int *numbers(int n)
{
    int *p = malloc(n * sizeof *p);
    for (int i = 0; i < n; i++)
        p[i] = i * i;
    return p;
}
void drop(void *p) { freed++; free(p); }
int *wrong(int *n) { *n = -3; return malloc(4); }
double *last_of(double *values, int n, size_t *left) { *left = n - 1; return values + 1; }
"""


@pytest.fixture(scope="module")
def c():
    return load_c(C)


def counted(element, count, **more):
    return ("pointer", element, {"count": count, **more})


def test_the_bounds_are_those_of_an_argument(c):
    first = c.bind("first", counted("uint8", "arg1"), ["long"])
    found = first(4)
    assert isinstance(found, epsilon.memory.ForeignMemory)
    assert (len(found), list(found), found[1:3], found[3]) == (4, [1, 2, 3, 4], [2, 3], 4)
    with pytest.raises(ForeignIndexError, match=r"index 4 of .*, which has 4 elements"):
        found[4]
    with pytest.raises(ForeignIndexError, match="index -1"):
        found[-1]
    found[0] = 200
    assert c.bind("first", ("pointer", "uint8"), ["long"])(1)[0] == 200
    found[0] = 1
    assert list(first(0)) == []
    with pytest.raises(ForeignMemoryError, match="was not allocated by foreign_alloc"):
        epsilon.foreign_free(found)


def test_a_parameter_is_named_as_in_the_prototype(c):
    by_name = c.bind("uint8_t *first(long size)", special={"result": counted("uint8", "size")})
    assert list(by_name(2)) == [1, 2]
    with pytest.raises(ForeignTypeError, match=r"the result .* 'sise'.*did you mean 'size'"):
        c.bind("uint8_t *first(long size)", special={"result": counted("uint8", "sise")})


def test_a_number_says_how_many_there_are(c):
    point = epsilon.define_c_struct("counted_point", [("x", "short"), ("y", "short")])
    both = c.bind("both", counted(point, 2), [])
    found = both()
    assert [(point.x, point.y) for point in found] == [(1, 2), (3, 4)]
    with pytest.raises(ForeignIndexError):
        found[2]


def test_a_length_that_c_writes_is_the_memory_s_and_not_given_beside_it(c):
    assert list(c.bind("told", counted("uint8", "arg1"), [("out", "size")])()) == [1, 2, 3, 4, 5]
    capped = c.bind("capped", counted("uint8", "arg1"), [("inout", "size")])
    assert (len(capped(3)), len(capped(100))) == (3, 8)


def test_a_pointer_that_an_output_gives_has_bounds_too(c):
    fetch = c.bind("fetch", "int", [("out", counted("uint8", "arg2")), ("out", "size")])
    result, data = fetch()
    assert (result, list(data)) == (7, [1, 2, 3])
    only = c.bind("fetch_only", "void", [("out", counted("uint8", "arg2")), ("out", "size")])
    assert list(only()) == [1, 2]


def test_null_has_no_bounds(c):
    nothing = c.bind("nothing", counted("uint8", "arg1"), [("out", "size")])
    assert epsilon.is_null_pointer(nothing())


def test_a_count_that_is_none_is_an_error_before_the_call(c):
    first = c.bind("first", counted("uint8", "arg1"), ["long"])
    calls = c.bind("int made_calls(void)")()
    with pytest.raises(ForeignValueError, match=r"first\(\): parameter 1 .*got -1, wanted the number of elements"):
        first(-1)
    for wrong in (None, "3", 1.5):
        with pytest.raises(ForeignTypeError, match=r"first\(\): parameter 1 \(long\)"):
            first(wrong)
    assert c.bind("int made_calls(void)")() == calls
    with pytest.raises(ForeignValueError, match=r"first\(\): result .*: got 4611686018427387904 as the number of elem"):
        first(1 << 62)


def test_a_negative_count_that_c_writes_is_an_error_and_what_is_owned_is_freed(c):
    wrong = c.bind("wrong", counted("int", "arg1", free="drop"), [("out", "int")])
    freed = c.bind("int freed_blocks(void)")
    before = freed()
    with pytest.raises(ForeignValueError, match=r"wrong\(\): result \(int \*\): got -3 .* parameter 1"):
        wrong()
    assert freed() == before + 1


def test_owned_memory_has_bounds_and_is_freed_once(c):
    numbers = c.bind("numbers", counted("int", "arg1", free="drop"), ["int"])
    freed = c.bind("int freed_blocks(void)")
    before = freed()
    with numbers(5) as found:
        assert list(found) == [0, 1, 4, 9, 16]
        assert len(found) == 5
        with pytest.raises(ForeignIndexError):
            found[5] = 1
    assert freed() == before + 1
    with pytest.raises(ForeignMemoryError, match="after its end"):
        found[0]
    found = numbers(2)
    epsilon.foreign_free(found)
    with pytest.raises(ForeignMemoryError):
        epsilon.foreign_free(found)
    assert freed() == before + 2
    del found
    list(numbers(3))
    assert freed() == before + 3
    assert list(c.bind("numbers", counted("int", "arg1"), ["int"], free="drop")(2)) == [0, 1]
    assert freed() == before + 4


def test_beside_arrays_and_checks(c):
    last_of = c.bind("last_of", counted("double", "arg3"), [
        ("array", "double", {"length": "arg2"}), "int", ("out", "size")])
    data = epsilon.foreign_alloc("double", initial=[1.5, 2.5, 3.5])
    assert list(last_of(data)) == [2.5, 3.5]
    checked = c.bind("told", counted("uint8", "arg1"), [("out", "size")], check="nonzero")
    assert len(checked()) == 5
    failing = c.bind("nothing", counted("uint8", "arg1"), [("out", "size")], check="nonzero")
    with pytest.raises(epsilon.ForeignError, match=r"nothing\(\) gave"):
        failing()
    assert c.bind("nothing", counted("uint8", "arg1"), [("out", "size")], check="nonzero", default=3)() == 3
    assert c.bind("nothing", counted("uint8", 4), [("pointer", "size")], check="nonzero", default=3)(
        epsilon.foreign_alloc("size")) == 3


def test_where_a_count_cannot_stand():
    for wrong in (-1, 1.5, True, ["size"], ""):
        with pytest.raises(ForeignTypeError, match="the number of elements is wanted"):
            epsilon.ctype(("pointer", "int", {"count": wrong}))
    with pytest.raises(ForeignTypeError, match="void has no size"):
        epsilon.ctype(("pointer", "void", {"count": 3}))
    found = ("pointer", "int", {"count": 3})
    libc = epsilon.lib_open("libc")
    with pytest.raises(ForeignTypeError, match="parameter 1 .*:count says"):
        libc.bind("f", "int", [found])
    with pytest.raises(ForeignTypeError, match=":count says"):
        epsilon.foreign_alloc(found)
    with pytest.raises(ForeignTypeError, match=":count says"):
        epsilon.ctype(("in", found))
    with pytest.raises(ForeignTypeError, match="which is no integer"):
        libc.bind("f", ("pointer", "int", {"count": "arg1"}), ["double"])
    with pytest.raises(ForeignTypeError, match="no parameter is called so"):
        libc.bind("f", ("pointer", "int", {"count": "arg2"}), ["int"])
    with pytest.raises(ForeignTypeError, match="a plain pointer"):
        epsilon.make_callback(lambda: None, found, [])


def test_such_a_type_is_spelled_copied_and_pickled(c):
    signature = epsilon.Signature(counted("uint8", "arg1"), ["long"])
    assert signature is epsilon.Signature(counted("uint8", "arg1"), ["long"])
    assert signature is not epsilon.Signature(counted("uint8", 1), ["long"])
    assert pickle.loads(pickle.dumps(signature)) is signature
    assert copy.copy(signature) is signature
    spelled = json.loads(json.dumps(epsilon.expressions.spell(signature.result)))
    assert epsilon.Signature(spelled, ["long"]) is signature
