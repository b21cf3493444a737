"""Issue 6, batches by shape: one native function for a batch, built once and found again, which means the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from clib import compile_c, run_child

import epsilon
from epsilon import entries

pytestmark = pytest.mark.skipif(entries.hindrance() is not None, reason=f"{entries.hindrance()}")

SOURCE = """
#include <errno.h>
#include <stdint.h>
#include <stddef.h>
int8_t b(int8_t x) { return x; }
uint8_t B(uint8_t x) { return x; }
int16_t h(int16_t x) { return x; }
uint16_t H(uint16_t x) { return x; }
int32_t i(int32_t x) { return x; }
uint32_t I(uint32_t x) { return x; }
int64_t q(int64_t x) { return x; }
uint64_t Q(uint64_t x) { return x; }
_Bool t(_Bool x) { return x; }
float f(float x) { return x; }
double d(double x) { return x; }
void *p(void *x) { return x; }
void nothing(int x) { (void)x; }
size_t length(const char *text) { size_t n = 0; while (text[n]) n++; return n; }
long first(const void *bytes) { return bytes ? *(const unsigned char *)bytes : -1; }
double many(int8_t a, double b, uint64_t c, float d, void *e, int g, int h, int i, int j, double k)
{ return a + b + c + d + (e != NULL) + g + h + i + j + k; }
int fails(int n) { errno = n; return -n; }
int back(int (*f)(int), int n) { return f(n) + 1; }
"""
#: a program that prints what batches give: results, and errors as they are told
PROGRAM = """
import sys, epsilon
from epsilon import BatchResult as R, entries, foreign_batch
c = epsilon.lib_open(sys.argv[1])
name = {"b": "int8", "B": "uint8", "h": "int16", "H": "uint16", "i": "int32", "I": "uint32", "q": "int64", "Q":
        "uint64", "t": "bool", "f": "float", "d": "double", "p": "pointer"}
one = {letter: c.bind(letter, word, [word]) for letter, word in name.items()}
here = epsilon.foreign_alloc("int")
pointer = type(one["p"](here))
compiled = []
def show(batch, *arguments):
    for _ in range(2):  # the second finds the list of the first
        try:
            print([x == here if type(x) is pointer else x for x in batch(*arguments)])
        except Exception as error:
            place, results = getattr(error, "index", "none"), getattr(error, "results", "none")
            print(type(error).__name__, error, place, results, sorted(getattr(error, "__notes__", [])))
    compiled.append(batch.compiled)
    show.batch = batch

edges = {letter: (0, 1, *(sign * 2**bits + more for bits in (7, 8, 15, 16, 31, 32, 63, 64) for sign in (1, -1)
                          for more in (-1, 0))) for letter in "bBhHiIqQ"}
edges.update(t=(True, False, 0, 1, 2), f=(0.1, -0.0, float("inf"), float("nan"), 7, "x"), d=(0.1, 1e400, 2**60, None),
             p=(None, here, 5))
for letter, values in edges.items():
    batch = foreign_batch([(one[letter], ...), (one["i"], 300), (one[letter], R(0))])
    for value in values:
        show(batch, value)
# results go on as the numbers that they are
for given, wanted, value in (("b", "q", -5), ("B", "d", 250), ("i", "f", -7), ("t", "i", True), ("I", "d", 2**32 - 1),
                             ("Q", "d", 2**64 - 1), ("i", "t", 256), ("f", "d", 0.1), ("d", "f", 0.1),
                             ("q", "d", -(2**62))):
    show(foreign_batch([(one[given], ...), (one[wanted], R(0))]), value)
nothing = c.bind("void nothing(int x)")
length, first = c.bind("size_t length(const char *text)"), c.bind("first", "long", ["buffer"])
texts = foreign_batch([(length, "constant"), (nothing, 1), (length, ...), (first, ...)])
for text, data in (("plain", b"bytes"), ("", b"x"), ("a longer text than any word has", None),
                   ("gr\\u00fcn", bytearray(b"y")), ("a\\0b", b"z"), (7, b"z"), (b"text", "no")):
    show(texts, text, data)
many = c.bind("many", "double", ["int8", "double", "uint64", "float", "pointer", "int", "int", "int", "int", "double"])
show(foreign_batch([(many, *[...] * 10), (many, 1, R(0), 3, 4.0, None, 5, 6, 7, 8, 9.0)]),
     1, .5, 3, .25, None, 5, 6, 7, 8, 9.)
checked = c.bind("int fails(int n)", errno=True, check="nonnegative")
kept = c.bind("int fails(int n)", errno=True)
show(foreign_batch([(one["i"], 1), (checked, ...), (one["i"], 2)]), 0)
show(foreign_batch([(one["i"], 1), (checked, ...), (one["i"], 2)]), 2)
show(foreign_batch([(kept, ...), (one["i"], 2)]), 13)
print(epsilon.errno())
epsilon.set_errno(0)
for word in ("positive", "nonzero", "zero"):
    show(foreign_batch([(c.bind("int32_t i(int32_t)", check=word), ...)]), 0)
    show(foreign_batch([(c.bind("int32_t i(int32_t)", check=word), ...)]), 1)
show(foreign_batch([(c.bind("p", "pointer", ["pointer"], check="non-null"), ...)]), None)

@epsilon.callback("int", ["int"])
def raising(n):
    if n < 0:
        raise LookupError(n)
    return n
back = c.bind("back", "int", [("function", "int", ["int"]), "int"])
for one_of in ("i", "q"):
    critical = c.bind(one_of, name[one_of], [name[one_of]], critical=True)
    show(foreign_batch([(critical, ...), (critical, R(0))]), 6)
batch = show.batch
runs = compiled.count(True), compiled.count(False)
show(foreign_batch([(one["i"], 1), (back, raising, ...), (one["i"], 2)]), -4)
c.close()
try:
    batch(6)
except epsilon.ForeignError as error:
    print(error)
print(*runs, len(entries.batches), file=sys.stderr)
"""


def run(library: str, strategy: str, cache: Path, **more: str) -> tuple[str, list[int]]:
    root = str(Path(epsilon.__file__).parent.parent)
    found = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, library], capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": found, "EPSILON_CACHE": str(cache), "EPSILON_STRATEGY": strategy, **more},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, [int(word) for word in done.stderr.split()]


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> dict:
    """What the program prints: by the shim's run, by compiled code, and in a later process without a compiler."""
    place = tmp_path_factory.mktemp("batches")
    library = compile_c(SOURCE)
    return {
        "shim": run(library, "", place / "empty"),
        "compiled": run(library, "compiled", place / "cache"),
        "found": run(library, "", place / "cache", CC="no-such-compiler"),
    }


def test_a_batch_compiled_by_shape_means_what_the_shims_run_means(both):
    shim, compiled = both["shim"], both["compiled"]
    assert shim[1][0] == 0 and compiled[1][1] == 0 and compiled[1][0] > 50
    assert compiled[0] == shim[0]
    assert "call 2 of 3" in shim[0] and "LookupError" in shim[0] and "closed" in shim[0]


def test_a_compiled_batch_is_found_by_a_later_process_without_a_compiler(both):
    assert both["found"] == both["compiled"]


def test_batches_of_one_shape_share_one_native_function(both):
    assert both["compiled"][1][2] < both["compiled"][1][0]


def test_compiling_the_registry_compiles_the_batches_that_have_run(tmp_path):
    code = """
import epsilon
libc = epsilon.lib_open("libc")
batch = lambda: epsilon.foreign_batch([(libc.bind("int abs(int n)"), ...)] * 2)
first, second = batch(), batch()
print(first(-1, -2), first.compiled)
epsilon.registry.compile()
print(second(-1, -2), second.compiled)
"""
    said = run_child(code, EPSILON_CACHE=str(tmp_path / "cache"), EPSILON_STRATEGY="")
    assert said.splitlines() == ["[1, 2] False", "[1, 2] True"]


def test_a_long_batch_is_the_shims(tmp_path):
    code = """
import epsilon
f = epsilon.lib_open("libc").bind("int abs(int n)")
for count in 32, 33:
    batch = epsilon.foreign_batch([(f, -7)] * count)
    print(batch() == [7] * count, batch.compiled)
"""
    said = run_child(code, EPSILON_CACHE=str(tmp_path / "cache"), EPSILON_STRATEGY="compiled")
    assert said.splitlines() == ["True True", "True False"]
