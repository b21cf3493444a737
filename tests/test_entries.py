"""Issue 6, signature-compiled trampolines: the C of a signature is built once, found again, and means the same."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from clib import compile_c, run_child

import epsilon
from epsilon import _backend, cli, entries, trampolines

pytestmark = pytest.mark.skipif(entries.hindrance() is not None, reason=f"{entries.hindrance()}")

EVERY = """
#include <stdint.h>
#include <stddef.h>
typedef struct { double x, y; } point;
typedef struct { int a; float b; char c; } mixed;
typedef struct { long a, b, c; } big;
signed char sc(signed char a) { return a; }
unsigned char uc(unsigned char a) { return a; }
short sh(short a) { return a; }
unsigned short us(unsigned short a) { return a; }
int in(int a) { return a; }
unsigned un(unsigned a) { return a; }
long lo(long a) { return a; }
unsigned long ul(unsigned long a) { return a; }
_Bool bo(_Bool a) { return a; }
float fl(float a) { return a; }
double db(double a) { return a; }
const char *st(const char *a) { return a; }
void *vp(void *a) { return a; }
point *pp(point *a) { return a; }
point sp(point a) { point b = {a.y, a.x}; return b; }
mixed sm(mixed a) { a.a++; a.b *= 2; a.c++; return a; }
big sb(big a) { a.a++; a.b++; a.c++; return a; }
long many(int a, long b, double c, int d, long e, float f, int g, long h, double i, short j, unsigned char k, point l) {
    return a + b + c + d + e + f + g + h + i + j + k + l.x + l.y; }
void nothing(void) {}
long twice(long (*f)(long), long n) { return f(n) + f(n); }
"""
PROTOTYPES = """
typedef struct { double x, y; } point;
typedef struct { int a; float b; char c; } mixed;
typedef struct { long a, b, c; } big;
signed char sc(signed char a); unsigned char uc(unsigned char a); short sh(short a);
unsigned short us(unsigned short a); int in(int a);
unsigned un(unsigned a); long lo(long a); unsigned long ul(unsigned long a); _Bool bo(_Bool a);
float fl(float a); double db(double a); const char *st(const char *a); void *vp(void *a); point *pp(point *a);
point sp(point a); mixed sm(mixed a); big sb(big a); void nothing(void);
long many(int a, long b, double c, int d, long e, float f, int g, long h, double i, short j, unsigned char k, point l);
"""
#: a program that prints what each function gives for each value: results, and errors as they are told
PROGRAM = f"""
import sys, epsilon
c = epsilon.lib_open(sys.argv[1]).declare({PROTOTYPES!r})
numbers = [0, 1, -1, 5, 127, 128, 255, 256, -128, -129, 32767, 32768, 65535, 65536, 2**30 - 1, 2**30, 2**31 - 1, 2**31,
           -2**30, -2**31, -2**31 - 1, 2**32 - 1, 2**32, 2**63 - 1, 2**63, -2**63, -2**63 - 1, 2**64 - 1, 2**64, 10**30]
texts = ["", "a", "seven b", "eight by", "nine byte", "sixteen bytes ..", "seventeen bytes .", "x" * 24, "x" * 25,
         "x" * 100, "a\\0b", "\\0", "eight\\0by", "sixteen bytes\\0..", "last is zero..\\0", "é", "日本",
         "\\udcff", b"bytes", b"nul\\0"]
others = [True, False, None, 1.5, -0.0, float("inf"), 1e300, 1j, [], (), object, "1", b"", bytearray(8), Ellipsis]
point, mixed, big = c.structs["point"], c.structs["mixed"], c.structs["big"]
values = [*numbers, *texts, *others, point(x=1, y=2), mixed(a=1, b=2.5, c=3), big(a=1, b=2, c=3), {{"x": 1, "y": 2}}]

def shown(value):
    plain = isinstance(value, (point, mixed, big)) or type(value).__module__ == "builtins"
    return repr(value) if plain else type(value).__name__

def attempt(function, *arguments, **named):
    try:
        return shown(function(*arguments, **named))
    except Exception as error:
        return f"{{type(error).__name__}}: {{str(error).split(' object at ')[0]}}"

for name, function in sorted(c.functions.items()):
    if name == "many":
        print(name, attempt(function, 1, 2, 3.0, 4, 5, 6.0, 7, 8, 9.0, 10, 11, point(x=12, y=13)))
        print(name, attempt(function, *range(1, 12), {{"x": 12, "y": 13}}))
    else:
        for value in values:
            print(name, ascii(value)[:40], attempt(function, value) if name != "nothing" else attempt(function))
    print(name, attempt(function, 1, 2), attempt(function, nonsense=1))
print(sorted({{function.strategy for function in c.functions.values()}}), file=sys.stderr)
"""


@pytest.fixture
def place(monkeypatch, tmp_path) -> Path:
    """A cache of the test's own, for children."""
    monkeypatch.setenv("EPSILON_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def told(strategy: str) -> tuple[list[str], str]:
    """What the program prints under a strategy, and which strategies its functions had."""
    path = os.pathsep.join(filter(None, (str(Path(epsilon.__file__).parent.parent), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PROGRAM, compile_c(EVERY)],
        env={**os.environ, "PYTHONPATH": path, "EPSILON_STRATEGY": strategy}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr.strip()


def test_results_and_errors_are_the_same_for_every_value(place):
    compiled, used = told("compiled")
    assert used == "['compiled']"
    plain, _ = told("libffi")
    assert len(compiled) > 800
    assert [pair for pair in zip(compiled, plain, strict=True) if pair[0] != pair[1]] == []


def test_a_compiled_entry_is_found_by_itself(place):
    """The first process builds, under the strategy; the second, under none, finds what is there."""
    code = "import epsilon; f = epsilon.lib_open('libc').bind('int abs(int)'); print(f.strategy, f(-5), f.strategy)"
    assert run_child(code, EPSILON_STRATEGY="") == f"{plain()} 5 {plain()}\n"
    assert not place.exists()
    assert run_child(code, EPSILON_STRATEGY="compiled") == "compiled 5 compiled\n"
    assert run_child(code, EPSILON_STRATEGY="") == "compiled 5 compiled\n"
    assert run_child(code, EPSILON_STRATEGY="registers") == f"{plain()} 5 {plain()}\n"
    assert run_child(code, EPSILON_STRATEGY="", CC="no-such-compiler") == "compiled 5 compiled\n"


def plain() -> str:
    return "registers" if _backend.shim.has_registers else "libffi"


def test_a_damaged_library_is_not_loaded(place):
    code = "import epsilon; f = epsilon.lib_open('libc').bind('int abs(int)'); print(f(-5), f.strategy)"
    run_child(code, EPSILON_STRATEGY="compiled")
    (library,) = (place / "library").glob("*.so")
    library.write_bytes(library.read_bytes()[:5000])
    assert run_child(code, EPSILON_STRATEGY="") == f"5 {plain()}\n"
    assert run_child(code, EPSILON_STRATEGY="compiled") == "5 compiled\n"
    for damaged in (place / "entries").glob("*"):
        damaged.write_bytes(b"nonsense")
    assert run_child(code, EPSILON_STRATEGY="") == f"5 {plain()}\n"
    assert run_child(code, EPSILON_STRATEGY="compiled") == "5 compiled\n"


def test_nothing_of_it_is_imported_where_nothing_was_compiled(place):
    code = "import epsilon, sys; libc = epsilon.lib_open('libc'); libc.bind('int abs(int)')(-5)\n"
    code += "libc.bind('long labs(long)')(-5)\n"
    code += "print(sorted({'epsilon.cache', 'epsilon.entries', 'epsilon.trampolines'} & set(sys.modules)))"
    assert run_child(code, EPSILON_STRATEGY="") == "[]\n"
    code = "import epsilon, sys; epsilon.lib_open('libc').bind('int abs(int)'); print('epsilon.entries' in sys.modules)"
    assert run_child(code, EPSILON_STRATEGY="") == "False\n"


def test_registry_compile_builds_one_library(place):
    code = """
import epsilon
libc = epsilon.lib_open("libc")
functions = [libc.bind(text) for text in ("int abs(int)", "size_t strlen(const char *s)", "double atof(const char *s)",
                                          "int printf(const char *format, ...)", "void *malloc(size_t size)")]
frexp = libc.bind("frexp", "double", ["double", ("out", "int")])
assert functions[0](-1) == 1
left = epsilon.registry.compile()
print(left[functions[3].signature], "|", left[frexp.signature])
print([function.strategy for function in functions if function.signature not in left], functions[0](-2))
assert epsilon.registry.compile() == left
"""
    reasons, strategies = run_child(code, EPSILON_STRATEGY="").splitlines()
    assert reasons == "it is variadic | parameter 2, int *, is more than a value"
    assert strategies == "['compiled', 'compiled', 'compiled', 'compiled'] 2"
    assert len(list((place / "library").glob("*.so"))) == 1


@pytest.mark.parametrize("suffix", [".py", ".hy"])
def test_the_command_compile(place, tmp_path, suffix):
    text = {
        ".py": "import epsilon\nf = epsilon.lib_open('libc').bind('int abs(int)')\n",
        ".hy": '(require epsilon [defshared]) (defshared c-abs "abs" "libc" :int (n :int))\n',
    }[suffix]
    file = tmp_path / f"bindings{suffix}"
    file.write_text(text)
    code = "import sys; from epsilon import cli; sys.exit(cli.main(['compile', sys.argv[1]]))"
    said = run_child(code, str(file), EPSILON_STRATEGY="")
    assert "signatures are compiled, in " + str(place) in said
    code = "import epsilon; f = epsilon.lib_open('libc').bind('int abs(int)'); print(f(-5), f.strategy)"
    assert run_child(code, EPSILON_STRATEGY="") == "5 compiled\n"


def test_the_command_compile_says_what_is_wrong(capsys, monkeypatch, tmp_path):
    assert cli.main(["compile", "/no/such/file.py"]) == 1
    assert "there is no file /no/such/file.py" in capsys.readouterr().err
    (tmp_path / "empty.py").touch()
    monkeypatch.setattr(entries, "_hindrance", "there is no C compiler 'cc'")
    assert cli.main(["compile", str(tmp_path / "empty.py")]) == 1
    assert "cannot be compiled here: there is no C compiler 'cc'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("hide", "reason"),
    [
        ("import os; os.environ['CC'] = 'no-such-compiler'", "there is no C compiler 'no-such-compiler'"),
        ("import os; os.environ['CFLAGS'] = '--nonsense'", "the entry of i(i)"),
    ],
    ids=["compiler", "flags"],
)
def test_without_a_compiler_calls_are_made_as_before_and_the_reason_is_told(place, hide, reason):
    code = f"""
{hide}
import epsilon
from epsilon import entries
f = epsilon.lib_open("libc").bind("int abs(int)")
print(f(-5), f.strategy, entries.reasons[f.signature])
"""
    said = run_child(code, EPSILON_STRATEGY="compiled")
    assert said.startswith(f"5 {plain()} ") and reason in said


def test_a_library_for_another_shim_is_refused(place, monkeypatch):
    code = """
import epsilon, sys
from epsilon import entries, trampolines
right = dict(entries.layout())
entries._layout = {**right, "CELL_CLOSED": right["CELL_CLOSED"] + 8}
entries._build(["i(i)"])
index = entries._read_index()
entries._layout = right
entries._index = index
f = epsilon.lib_open("libc").bind("int abs(int)")
print(f(-5), f.strategy, entries.reasons[f.signature])
"""
    said = run_child(code, EPSILON_STRATEGY="compiled")
    assert said.startswith(f"5 {plain()} ") and "made for another shim or another Python" in said


def test_many_processes_build_and_find(place):
    """Each builds another shape; the index has them all."""
    code = "import sys, epsilon; f = epsilon.lib_open('libc').bind('abs', 'int', ['int'] * int(sys.argv[1]))\n"
    code += "print(f.strategy)"
    path = os.pathsep.join(filter(None, (str(Path(epsilon.__file__).parent.parent), os.environ.get("PYTHONPATH"))))
    for strategy in ("compiled", ""):
        children = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(count)], stdout=subprocess.PIPE, text=True,
                env={**os.environ, "PYTHONPATH": path, "EPSILON_STRATEGY": strategy},
            )
            for count in range(1, 7)
        ]  # fmt: skip
        assert [child.communicate()[0] for child in children] == ["compiled\n"] * 6


OPTIONS = """
import sys, gc, threading, epsilon
c = epsilon.lib_open(sys.argv[1])
made = []
def function(text, **options):
    made.append(c.bind(text, **options))
    return made[-1]

# errno and checks, with the GIL and without
for critical in (False, True):
    fail = function("int fail(int result, int number)", errno=True, check="nonnegative", critical=critical)
    assert fail(5, 3) == 5 and epsilon.errno() == 3
    try:
        fail(-1, 2)
    except OSError as error:
        assert error.errno == 2 and error.function == "fail", error
        assert "fail(result=-1, number=2) gave -1" in str(error), error
    else:
        raise AssertionError
    gentle = function("int fail(int result, int number)", check="zero", default=None, critical=critical)
    assert gentle(0, 0) == 0 and gentle(1, 0) is None
    text = function("const char *text(const char *s)", check="non-null", critical=critical)
    assert text("abc") == "abc"
    try:
        text(None)
    except epsilon.ForeignError as error:
        assert "text" in str(error)
    else:
        raise AssertionError

    # an exception in a callback comes up, and the GIL is where it was
    twice = function("long twice(long (*f)(long), long n)", critical=critical)
    assert twice.strategy != "compiled"
    through = c.bind("twice", "long", ["pointer", "long"], critical=critical)
    made.append(through)
    with epsilon.make_callback(lambda n: n * 10, "long", ["long"]) as callback:
        assert through(callback, 4) == 80
        assert epsilon.shared_call(("abs", "libc"), "int", ["int"], -3) == 3
    def nested(n):
        return through(inner, n) if n else 1 // 0
    with epsilon.make_callback(lambda n: n + 1, "long", ["long"]) as inner:
        with epsilon.make_callback(nested, "long", ["long"]) as outer:
            assert through(outer, 1) == 8
            try:
                through(outer, 0)
            except ZeroDivisionError:
                pass
            else:
                raise AssertionError

    # C calls back on threads, each in a call of its own
    def work():
        with epsilon.make_callback(lambda n: n + 1, "long", ["long"]) as callback:
            for turn in range(500):
                assert through(callback, turn) == 2 * turn + 2
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()

    # counted by the registry
    counted = function("unsigned long counted(unsigned long n)", critical=critical)
    before = counted.signature.trampoline.calls
    for n in range(100):
        assert counted(n) == n
    assert counted.signature.trampoline.calls == before + 100
    assert counted(2**64 - 1) == 2**64 - 1 and counted(n=7) == 7

# a converter of results that is added later
epsilon.convert_from_foreign.register(int, "unsigned-long")(lambda n: f"<{n}>")
assert counted(5) == "<5>", counted(5)
assert {f.strategy for f in made if f.symbol != "twice"} <= {"compiled", "registers"}
print(sorted({f.strategy for f in made}))

# a closed library
c.close()
for f in made:
    try:
        f(*[None] * len(f.signature.parameters))
    except epsilon.ForeignError as error:
        assert "closed" in str(error), error
    else:
        raise AssertionError(f)
"""
OPTIONS_C = """
#include <errno.h>
int fail(int result, int number) { errno = number; return result; }
const char *text(const char *s) { return s; }
long twice(long (*f)(long), long n) { return f(n) + f(n); }
unsigned long counted(unsigned long n) { return n; }
"""


def test_options_callbacks_and_ends_are_as_ever(place):
    assert "compiled" in run_child(OPTIONS, compile_c(OPTIONS_C), EPSILON_STRATEGY="compiled")


@pytest.mark.parametrize(
    ("result", "parameters", "reason"),
    [
        ("int", ["int", "..."], "it is variadic"),
        ("void", [("out", "int")], "parameter 1, int *, is more than a value"),
        ("void", [("array", "int"), "int"], "its arrays are prepared in Python"),
        ("object", ["int"], "the result, void *, is more than a value"),
        ("long double", ["int"], "the result, long double, is a type that is not compiled"),
        ("int", ["int"] * 65, "it has more than 64 parameters"),
    ],
)
def test_what_is_not_compiled_has_a_reason(result, parameters, reason):
    assert entries.shape_of(epsilon.Signature(result, parameters), True) == ("", reason)


def test_no_shape_is_more_than_letters():
    """What reaches the C is made of letters and numbers of our own, never of names."""
    library = epsilon.lib_open("libc").declare(
        "struct evil_name_in_c { int a; }; int abs(struct evil_name_in_c *p, struct evil_name_in_c q);"
    )
    shape, _ = entries.shape_of(library.abs.signature, True)
    assert shape == "i(p,s4I)"
    assert "evil" not in trampolines.source([shape], entries.layout())


@pytest.mark.skipif(importlib.util.find_spec("epsilon._shim") is None, reason="needs the shim")
def test_the_other_strategies_have_no_part_in_it():
    code = "from epsilon import entries; print(entries.hindrance())"
    assert "needs the shim" in run_child(code, EPSILON_STRATEGY="cffi")
