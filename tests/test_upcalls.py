"""Issue 6, compiled entries of callbacks: C for a callback's shape is built once, found again, and means the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from clib import SHIM, compile_c, run_child

import epsilon
from epsilon import entries, trampolines

compiled_here = pytest.mark.skipif(
    entries.hindrance() is not None or not entries.layout().get("THUNKS"),
    reason=f"callbacks are not compiled here: {entries.hindrance() or 'there are no thunks'}",
)

#: what a callback gets and gives, each by its bits, and what it is told to C as
TYPES = {
    "signed char": "signed char", "char": "char", "unsigned char": "unsigned char", "short": "short",
    "unsigned short": "unsigned short", "int": "int", "unsigned": "unsigned", "long": "long",
    "unsigned long": "unsigned long", "bool": "_Bool", "float": "float", "double": "double", "string": "const char *",
    "pointer": "void *",
}  # fmt: skip
SOURCE = """
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
typedef struct { double x, y; } point;
typedef int (*unary)(int);
""" + "".join(
    f"""
void run_{number}({ctype} (*f)({ctype}), const void *in, void *out) {{
    {ctype} a; memcpy(&a, in, sizeof a); {ctype} r = f(a); memset(out, 0, 8); memcpy(out, &r, sizeof r); }}
void run_in_{number}(void (*f)(const void *), const void *in) {{ f(in); }}
"""
    for number, ctype in enumerate(TYPES.values())
) + """
int length(const char *(*f)(void)) { const char *s = f(); return s ? (int)strlen(s) : -1; }
int is_null(void *(*f)(void)) { return f() == NULL; }
static int last;
int apply(unary f, int n) { return last = f(n); }
int got(void) { return last; }
int errno_after(unary f, int n) { errno = 77; f(n); return errno; }
point *to_point(int (*f)(point *, const point *)) { static point p = {1, 2}; f(&p, &p); return &p; }
int mixed(int (*f)(int, double, long, float, const char *, double, const int *, int, float, double, double, double,
                   float), int n)
{ return f(1, 2.5, -3, 4.5f, "fünf", 6.5, &n, 8, 9.5f, 10.5, 11.5, 12.5, 13.5f); }
void *identity(void *(*f)(void *), void *p) { return f(p); }
void no_result(void (*f)(void)) { f(); }
int many(unary f, int n) { int sum = 0; for (int i = 0; i < n; i++) sum += f(i); return sum; }
int compare_ints(int (*f)(const int *, const int *)) { int a = 7000, b = 3; return f(&a, &b); }
typedef struct { unary f; int n, result; } job;
static void *work(void *p) { job *j = p; for (int i = 0; i < j->n; i++) j->result += j->f(i); return NULL; }
int on_threads(unary f, int n)
{
    job jobs[8];
    pthread_t threads[8];
    int sum = 0;
    for (int i = 0; i < 8; i++) { jobs[i] = (job){f, n, 0}; pthread_create(&threads[i], NULL, work, &jobs[i]); }
    for (int i = 0; i < 8; i++) { pthread_join(threads[i], NULL); sum += jobs[i].result; }
    return sum;
}
"""

PROGRAM = (Path(__file__).parent / "upcall_program.py").read_text(encoding="utf-8")


@pytest.fixture
def place(monkeypatch, tmp_path) -> Path:
    """A cache of the test's own, for children."""
    monkeypatch.setenv("EPSILON_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def told(strategy: str) -> tuple[list[str], str]:
    """What the program prints under a strategy, and which strategies its callbacks had."""
    *lines, used = run_child(PROGRAM, compile_c(SOURCE), *TYPES, EPSILON_STRATEGY=strategy).splitlines()
    return lines, used


@compiled_here
def test_arguments_results_and_errors_are_the_same_for_every_value(place):
    compiled, used = told("compiled")
    assert used == "['compiled']"
    for strategy in ("registers", "libffi"):
        others, used = told(strategy)
        assert used == f"[{strategy!r}]"
        assert len(others) > 1500
        assert [pair for pair in zip(compiled, others, strict=True) if pair[0] != pair[1]] == []


SHAPES = """
import random, sys
sys.path.insert(0, sys.argv[1])
import cgen, epsilon
from clib import load_c
rng, found = random.Random(6), []
while len(found) < 200:
    kinds = rng.choices([*cgen.SCALARS, cgen.POINTER], k=rng.randrange(14))
    in_floats = sum(kind in (cgen.FLOAT, cgen.DOUBLE) for kind in kinds)
    if in_floats <= 8 and len(kinds) - in_floats <= 6:
        result = rng.choice([*cgen.SCALARS, cgen.POINTER])
        found.append(cgen.Shape(f"shape{len(found)}", result, kinds).draw(rng))
library = load_c(cgen.source(found))
for shape in found:
    shape.check_callback(library)
epsilon.registry.compile()
for shape in found:
    signature = epsilon.Signature(shape.result.word, [kind.word for kind in shape.parameters])
    assert signature.trampoline.callback_strategy == "compiled", shape
    for turn in range(3):
        shape.check_callback(library)
print(len(found))
"""


@compiled_here
def test_every_argument_and_every_result_is_in_its_register(place):
    """Random signatures that fit the registers: C judges what it sent and what it got."""
    assert run_child(SHAPES, str(Path(__file__).parent), EPSILON_STRATEGY="") == "200\n"


COMPARE = """
import sys, epsilon
c = epsilon.lib_open(sys.argv[1])
compare = epsilon.make_callback(lambda a, b: a - b, "int", [("in", "int"), ("in", "int")])
print(compare.strategy, c.bind("compare_ints", "int", ["pointer"])(compare))
"""


@compiled_here
def test_a_compiled_entry_is_found_by_itself(place):
    """The first process builds, under the strategy; later ones, under none and without a compiler, find it."""
    library = compile_c(SOURCE)
    assert run_child(COMPARE, library, EPSILON_STRATEGY="") == "registers 6997\n"
    assert not place.exists()
    assert run_child(COMPARE, library, EPSILON_STRATEGY="compiled") == "compiled 6997\n"
    assert run_child(COMPARE, library, EPSILON_STRATEGY="", CC="no-such-compiler") == "compiled 6997\n"
    assert run_child(COMPARE, library, EPSILON_STRATEGY="registers") == "registers 6997\n"
    assert run_child(COMPARE, library, EPSILON_STRATEGY="libffi") == "libffi 6997\n"


@compiled_here
def test_without_a_compiler_callbacks_are_interpreted_and_the_reason_is_told(place):
    code = COMPARE + "from epsilon import entries; print(entries.callback_reasons[compare.signature])"
    said = run_child(code, compile_c(SOURCE), EPSILON_STRATEGY="compiled", CC="no-such-compiler")
    assert said == "registers 6997\nthere is no C compiler 'no-such-compiler'\n"


@compiled_here
def test_registry_compile_builds_those_of_callbacks_and_of_parameters_that_are_functions(place):
    """Callbacks that are there take their entry at once; all is one library, with a batch, and is found later."""
    code = """
import sys, epsilon
c = epsilon.lib_open(sys.argv[1])
apply = c.bind("int apply(int (*f)(int), int n)")
compare = epsilon.make_callback(lambda a, b: a - b, "int", [("in", "int"), ("in", "int")])
outputs = epsilon.make_callback(lambda: 0, "void", [("out", "int")])
assert epsilon.foreign_batch([(c.bind("int got(void)"),)])() == [0]
before = compare.strategy
left = epsilon.registry.compile()
print(before, compare.strategy, c.bind("compare_ints", "int", ["pointer"])(compare))
print(left[compare.signature])
print(left[outputs.signature])
seen = []
unary = epsilon.Signature("int", ["int"])
assert unary not in left
print(apply(lambda n: seen.append(unary.trampoline.callback_strategy) or 2 * n, 21), seen)
"""
    library = compile_c(SOURCE)
    assert run_child(code, library, EPSILON_STRATEGY="").splitlines() == [
        "registers compiled 6997",
        "as a function, parameter 1, const int *, is more than a value",
        "as a function, parameter 1, int *, is more than a value; "
        "as a callback, parameter 1, int *, is more than a value",
        "42 ['compiled']",
    ]
    assert len(list((place / "library").glob("*.so"))) == 1
    assert run_child(COMPARE, library, EPSILON_STRATEGY="") == "compiled 6997\n"


@compiled_here
@pytest.mark.parametrize("suffix", [".py", ".hy"])
def test_the_command_compile_builds_those_of_a_files_callbacks(place, tmp_path, suffix):
    text = {
        ".py": "import epsilon\n@epsilon.callback('int', [('in', 'int'), ('in', 'int')])\n"
        "def compare(a, b):\n    return a - b\n",
        ".hy": "(require epsilon [defcallback])\n(defcallback compare :int ((a (:in :int)) (b (:in :int))) (- a b))\n",
    }[suffix]
    file = tmp_path / f"comparing{suffix}"
    file.write_text(text)
    code = "import sys; from epsilon import cli; sys.exit(cli.main(['compile', sys.argv[1]]))"
    said = run_child(code, str(file), EPSILON_STRATEGY="")
    assert f"signatures are compiled, in {place}" in said and "as a callback" not in said
    assert run_child(COMPARE, compile_c(SOURCE), EPSILON_STRATEGY="") == "compiled 6997\n"


@compiled_here
def test_the_doctor_tries_a_compiled_callback(place):
    code = "from epsilon import doctor; print(doctor.strategy_here())"
    assert run_child(code, EPSILON_STRATEGY="compiled") == "compiled\n"
    assert run_child(code + "\ndoctor.trial()", EPSILON_STRATEGY="") == "compiled\n"


@compiled_here
def test_references_are_counted_right(place):
    """Of the callable, of arguments and of results, where all goes well and where it does not."""
    run_child(
        """
import gc, sys, weakref, epsilon
c = epsilon.lib_open(sys.argv[1])
many = c.bind("many", "int", ["pointer", "int"])
run = c.bind("run_13", "void", ["pointer"] * 3)
large = 10**9 + 7
answers = {"good": large, "string": str([1, "x"]), "float": 1.5e300, "object": object()}
before = {name: sys.getrefcount(value) for name, value in answers.items()}
for name, value in answers.items():
    def function(n):
        return value
    back = epsilon.make_callback(function, "int", ["int"])
    assert back.strategy == "compiled"
    counted = sys.getrefcount(function)
    for turn in range(50):
        try:
            many(back, 20)
        except epsilon.ForeignError:
            assert name != "good"
    assert sys.getrefcount(function) == counted, name
    def function(n):
        raise ValueError
    back = epsilon.make_callback(function, "int", ["int"])
    counted = sys.getrefcount(function)
    for turn in range(20):
        try:
            many(back, 1)
        except ValueError:
            pass
    gc.collect()
    assert sys.getrefcount(function) == counted, name
del value, back, function
gc.collect()
after = {name: sys.getrefcount(value) for name, value in answers.items()}
assert after == before, (before, after)
seen = []
back = epsilon.make_callback(lambda pointer: seen.append(weakref.ref(pointer)), "pointer", ["pointer"])
memory = epsilon.foreign_memory("unsigned long", initial=8)
for turn in range(5):
    run(back, memory, memory)
assert len(seen) == 5 and all(one() is None for one in seen)
kept = []
back = epsilon.make_callback(lambda pointer: kept.append(pointer), "pointer", ["pointer"])
run(back, memory, memory)
assert sys.getrefcount(kept[0]) == 2
assert sys.getrefcount(None) > 1000 and sys.getrefcount(5) > 2
""",
        compile_c(SOURCE),
        EPSILON_STRATEGY="compiled",
    )


@compiled_here
def test_beyond_the_thunks_are_closures_which_are_interpreted(place):
    run_child(
        """
import sys, epsilon
c = epsilon.lib_open(sys.argv[1])
many = c.bind("many", "int", ["pointer", "int"])
made = [epsilon.make_callback(lambda n: n + 1, "int", ["int"]) for _ in range(16_500)]
assert made[0].strategy == "compiled" and made[-1].strategy == "libffi"
assert many(made[0], 10) == many(made[-1], 10) == 55
""",
        compile_c(SOURCE),
        EPSILON_STRATEGY="compiled",
    )


@pytest.mark.parametrize(
    ("result", "parameters", "shape", "reason"),
    [
        ("int", [("in", "int"), ("in", "int")], "*i(<i,<i)", ""),
        ("void", [], "*v()", ""),
        ("string", ["string", "pointer", "object", ("pointer", "int")], "*x(x,x,x,x)", ""),
        ("pointer", ["bool", "float", ("in", "string"), "double"], "*p(?,f,x,d)", ""),
        ("double", ["int"] * 6 + ["double"] * 8, "*d(i,i,i,i,i,i,d,d,d,d,d,d,d,d)", ""),
        ("void", ["int"] * 7, "", "its arguments need the stack"),
        ("void", ["float"] * 9, "", "its arguments need the stack"),
        ("void", [("out", "int")], "", "parameter 1, int *, is more than a value"),
        ("int", [("array", "int", 3)], "", "its arrays are prepared in Python"),
        ("long double", ["int"], "", "the result, long double, is not in one register"),
        ("void", ["int", "double-complex"], "", "parameter 2, double _Complex, is not in one register"),
    ],
)
def test_what_is_compiled_has_a_shape_and_what_is_not_a_reason(result, parameters, shape, reason):
    if not SHIM:
        pytest.skip("needs the shim")
    assert entries.callback_shape_of(epsilon.Signature(result, parameters), 6, 8) == (shape, reason)


def test_a_callback_tells_its_strategy():
    with epsilon.make_callback(lambda n: n, "int", ["int"]) as made:
        assert made.strategy == made.signature.trampoline.callback_strategy
        assert made.strategy in ("compiled", "registers", "libffi", "cffi")
        assert (made.strategy == "cffi") == (not SHIM)
    assert made.strategy is None


@compiled_here
def test_no_shape_is_more_than_letters():
    point = epsilon.define_c_struct("evil_name_in_c_too", [("x", "double")])
    signature = epsilon.Signature("int", [("pointer", point), ("in", point)])
    shape, _ = entries.callback_shape_of(signature, 6, 8)
    assert shape == "*i(x,x)"
    assert "evil" not in trampolines.source([shape], entries.layout())
