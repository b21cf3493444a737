"""DESIGN, decision 2: the strategies, which is used when, and what differs between them.

Most of this runs under whatever strategy is active, as the rest of the suite does, and CI runs that under each.  What
must be right under every strategy at once, or is decided on import, runs in child processes of all of them.
"""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest
from clib import SHIM, compile_c, load_c, run_child, shim_only

import epsilon
from epsilon import _abi, _backend, entries
from epsilon.typesystem import HAS_EIGHTBYTES

SHIM_IS_BUILT = importlib.util.find_spec("epsilon._shim") is not None
needs_built_shim = pytest.mark.skipif(not SHIM_IS_BUILT, reason="the C shim is not built here")
every_strategy = pytest.mark.parametrize(
    "strategy",
    [*(pytest.param(name, marks=needs_built_shim) for name in ("compiled", "registers", "libffi")), "cffi"],
)

#: as it is where the shim is not built, or was built by another Python
WITHOUT_SHIM = "import sys; sys.modules['epsilon._shim'] = None\n"


def best_strategy() -> str:
    """The strategy of a signature that fits the registers."""
    if not SHIM:
        return "cffi"
    if _backend.strategy == "compiled" and entries.hindrance() is None:
        return "compiled"
    return "registers" if _backend.strategy != "libffi" and _backend.shim.has_registers else "libffi"


# --- which strategy -------------------------------------------------------------------------------------------------


def test_a_function_tells_its_strategy():
    function = epsilon.lib_open("libc").bind("int abs(int)")
    assert function.strategy == function.trampoline.strategy
    assert function.strategy in (best_strategy(), "compiled" if _backend.strategy is None else "")  # by another test
    assert function(-5) == 5
    assert epsilon.registry.stats()["signatures"][function.signature]["strategy"] == function.strategy


def test_what_does_not_fit_the_registers_is_for_libffi():
    beyond_the_registers = best_strategy() if best_strategy() in ("compiled", "cffi") else "libffi"
    names = [f"a{number}" for number in range(20)]
    text = f"long sum({', '.join(f'int {name}' for name in names)}) {{ return {' + '.join(names)}; }}"
    sum_of_20 = load_c(text).bind("sum", "long", ["int"] * 20)
    assert sum_of_20.strategy == beyond_the_registers
    assert sum_of_20(*range(20)) == 190
    snprintf = epsilon.lib_open("libc").bind("int snprintf(char *s, size_t n, const char *format, ...)")
    buffer = bytearray(8)
    assert snprintf(buffer, 8, "%d-%.1f", 5, 2.5) == 5 and buffer == b"5-2.5\0\0\0"


@every_strategy
def test_the_variable_forces_a_strategy(strategy, tmp_path):
    code = """
import epsilon, sys
from epsilon import _backend
assert _backend.strategy == sys.argv[1]
function = epsilon.lib_open("libc").bind("int abs(int)")
assert function(-5) == 5
print(function.strategy)
"""
    used = run_child(code, strategy, EPSILON_STRATEGY=strategy, EPSILON_CACHE=str(tmp_path / "cache")).strip()
    assert used == strategy or (strategy == "registers" and used == "libffi" and not HAS_EIGHTBYTES) or (
        strategy == "compiled" and entries.hindrance() is not None
    )


def has_registers() -> bool:
    return importlib.import_module("epsilon._shim").has_registers


@pytest.mark.parametrize("word", ["fast", "Registers", "cffi "])
def test_an_unknown_strategy_is_an_import_error(word):
    told = run_child("""
try:
    import epsilon
except ImportError as error:
    print(error)
""", EPSILON_STRATEGY=word)  # fmt: skip
    assert told == f"EPSILON_STRATEGY={word!r}: the strategies are compiled, registers, libffi, cffi\n"


def test_an_empty_variable_forces_nothing():
    assert run_child("from epsilon import _backend; print(_backend.strategy)", EPSILON_STRATEGY="") == "None\n"


def test_cffi_alone_loads_neither_the_shim_nor_what_it_does_without():
    code = """
import sys
before = set(sys.modules)
import epsilon
unwanted = {"epsilon._shim", "cffi", "pycparser", "hy", "typing", "threading"}
print(sorted(unwanted & (set(sys.modules) - before)))
"""
    assert run_child(code, EPSILON_STRATEGY="cffi") == "[]\n"


@pytest.mark.parametrize("strategy", ["compiled", "registers", "libffi"])
def test_without_the_shim_its_strategies_are_an_import_error(strategy):
    told = run_child(WITHOUT_SHIM + """
try:
    import epsilon
except ImportError as error:
    print(error)
""", EPSILON_STRATEGY=strategy)  # fmt: skip
    assert told.startswith(f"EPSILON_STRATEGY={strategy} needs the shim: the C shim is not built or cannot be loaded")


def test_without_the_shim_cffi_takes_its_place():
    told = run_child(WITHOUT_SHIM + """
import epsilon
from epsilon import _backend
libc = epsilon.lib_open("libc")
print(libc.bind("int abs(int)").strategy, _backend.why_no_shim)
try:
    libc.bind("int abs(int)", critical=True)
except epsilon.ForeignTypeError as error:
    print(error)
""", EPSILON_STRATEGY="")  # fmt: skip
    used, refused = told.splitlines()
    assert used.startswith("cffi the C shim is not built or cannot be loaded")
    assert "abs" in refused and "needs the shim: the C shim is not built" in refused


@needs_built_shim
@pytest.mark.parametrize("name", ["Callback", "Cell", "Converter", "Function", "Guarded", "Trampoline"])
def test_both_implementations_have_the_same_attributes(name):
    shim = importlib.import_module("epsilon._shim")
    wanted = {attribute for attribute in dir(getattr(shim, name)) if not attribute.startswith("__")}
    assert wanted <= set(dir(getattr(_abi, name)))


# --- right under every strategy -------------------------------------------------------------------------------------

ISSUE_574 = """
#include <stdint.h>
struct mixed { uint64_t a; float b; };
double receive(int i, int j, int k, int l, int m, double d, struct mixed s)
{
    return i + 10 * j + 100 * k + 1000 * l + 10000 * m + d + 1e6 * s.a + s.b;
}
struct mixed send(int i, int j, int k, int l, int m, double d, struct mixed s) { s.a += m, s.b += d; return s; }
double call(double (*f)(int, int, int, int, int, double, struct mixed))
{
    return f(1, 2, 3, 4, 5, 0.25, (struct mixed){7, 0.5f});
}
struct mixed call_for_struct(struct mixed (*f)(int, int, int, int, int, double, struct mixed))
{
    return f(1, 2, 3, 4, 5, 0.25, (struct mixed){7, 0.5f});
}
"""


@every_strategy
def test_issue_574_of_libffi(strategy):
    """libffi before its fix #848 gives the double the struct's bits if the struct takes the sixth integer register."""
    code = """
import epsilon, sys
lib = epsilon.lib_open(sys.argv[1])
mixed = epsilon.define_c_struct("mixed", [("a", "uint64"), ("b", "float")])
types = ["int"] * 5 + ["double", mixed]
given = (1, 2, 3, 4, 5, 0.25, mixed(7, 0.5))
receive = lib.bind("receive", "double", types)
assert receive(*given) == 54321.75 + 7e6, receive(*given)
assert lib.bind("send", mixed, types)(*given) == mixed(12, 0.75)
arrived = []
with epsilon.make_callback(lambda *arguments: arrived.append(arguments) or 1.5, "double", types) as back:
    assert lib.bind("call", "double", ["pointer"])(back) == 1.5
with epsilon.make_callback(lambda *arguments: arrived.append(arguments) or mixed(8, 1.5), mixed, types) as back:
    assert lib.bind("call_for_struct", mixed, ["pointer"])(back) == mixed(8, 1.5)
assert arrived == [given, given], arrived
print(receive.strategy)
"""
    used = run_child(code, compile_c(ISSUE_574), EPSILON_STRATEGY=strategy).strip()
    assert used == strategy or (strategy == "registers" and used == "libffi" and not HAS_EIGHTBYTES) or (
        strategy == "compiled" and entries.hindrance() is not None
    )


LONG_DOUBLES = """
struct one { long double v; };
struct one next_one(struct one o) { o.v += 1; return o; }
struct one call_one(struct one (*f)(struct one)) { return next_one(f(next_one((struct one){1}))); }
struct wide { long double v; int i; };
struct wide next_wide(int a, int b, int c, int d, int e, int f, int g, int h, int i, struct wide w)
{
    w.v += a + b + c + d + e + f + g + h + i, w.i = i;
    return w;
}
struct wide call_wide(struct wide (*f)(int, int, int, int, int, int, int, int, int, struct wide))
{
    return f(1, 2, 3, 4, 5, 6, 7, 8, 9, (struct wide){0.5, 6});
}
"""


@every_strategy
def test_structs_with_long_doubles_by_value(strategy):
    """System V x86-64, §3.2.3: a struct of one comes back on the x87 stack.  AAPCS64, §6.8.2, B.4: the address of a
    larger one takes eight bytes on the stack, whatever the alignment of the struct."""
    code = """
import epsilon, sys
lib = epsilon.lib_open(sys.argv[1])
one = epsilon.define_c_struct("one", [("v", "long-double")])
wide = epsilon.define_c_struct("wide", [("v", "long-double"), ("i", "int")])
assert lib.bind("next_one", one, [one])(one(1.5)) == one(2.5)
with epsilon.make_callback(lambda o: one(o.v * 10), one, [one]) as ten_times:
    assert lib.bind("call_one", one, ["pointer"])(ten_times) == one(21)
types = ["int"] * 9 + [wide]
assert lib.bind("next_wide", wide, types)(*range(1, 10), wide(0.5, 6)) == wide(45.5, 9)
seen = []
with epsilon.make_callback(lambda *given: seen.append(given) or wide(given[-1].v + 1, 7), wide, types) as back:
    assert lib.bind("call_wide", wide, ["pointer"])(back) == wide(1.5, 7)
assert seen == [(*range(1, 10), wide(0.5, 6))], seen
print("right")
"""
    assert run_child(code, compile_c(LONG_DOUBLES), EPSILON_STRATEGY=strategy) == "right\n"


# --- what needs the shim --------------------------------------------------------------------------------------------

BY_VALUE = """
#include <complex.h>
union number { int i; double d; };
double of_number(union number n) { return n.d; }
union number to_number(double d) { return (union number){.d = d}; }
struct bits { unsigned low : 4, high : 12; };
unsigned of_bits(struct bits b) { return b.low + 100 * b.high; }
struct bits to_bits(unsigned low, unsigned high) { return (struct bits){low, high}; }
struct tagged { int tag; union { int i; float f; }; };
float of_tagged(struct tagged t) { return t.tag ? t.f : t.i; }
double _Complex twice(double _Complex z) { return 2 * z; }
float _Complex twice_float(float _Complex z) { return 2 * z; }
double sum_of(double (*f)(union number)) { return f((union number){.d = 1.5}) + f((union number){.d = 2}); }
"""


@pytest.fixture(scope="module")
def by_value():
    return load_c(BY_VALUE)


@shim_only
def test_a_union_by_value(by_value):
    number = epsilon.define_c_struct_auto("number", "union number { int i; double d; };")
    made = by_value.bind("to_number", number, ["double"])(2.5)
    assert made.d == 2.5
    assert by_value.bind("of_number", "double", [number])(made) == 2.5
    with epsilon.make_callback(lambda n: 2 * n.d, "double", [number]) as twice:
        assert by_value.bind("sum_of", "double", ["pointer"])(twice) == 7


@shim_only
def test_a_struct_with_bit_fields_by_value(by_value):
    bits = epsilon.define_c_struct_auto("bits", "struct bits { unsigned low : 4, high : 12; };")
    made = by_value.bind("to_bits", bits, ["unsigned-int"] * 2)(5, 3000)
    assert (made.low, made.high) == (5, 3000)
    assert by_value.bind("of_bits", "unsigned-int", [bits])(made) == 300005


@shim_only
def test_a_struct_with_members_that_overlap_by_value(by_value):
    tagged = epsilon.define_c_struct_auto("tagged", "struct tagged { int tag; union { int i; float f; }; };")
    of_tagged = by_value.bind("of_tagged", "float", [tagged])
    assert of_tagged(tagged(tag=1, f=1.5)) == 1.5 and of_tagged(tagged(tag=0, i=7)) == 7


@shim_only
@pytest.mark.parametrize(("symbol", "word"), [("twice", "double-complex"), ("twice_float", "float-complex")])
def test_a_complex_number_by_value(by_value, symbol, word):
    assert by_value.bind(symbol, word, [word])(1.5 - 2j) == 3 - 4j


@shim_only
def test_a_critical_call():
    assert epsilon.lib_open("libc").bind("int abs(int)", critical=True)(-5) == 5


@pytest.mark.skipif(SHIM, reason="the shim has no such exceptions")
@pytest.mark.parametrize(
    ("result", "parameters", "named"),
    [
        ("void", ["int", "double-complex"], "passing double _Complex by value needs the shim"),
        ("float-complex", [], "passing float _Complex by value needs the shim"),
        ("void", [("struct", "holder")], "passing union held by value needs the shim"),
    ],
)
def test_what_needs_the_shim_is_named_when_it_is_declared(result, parameters, named):
    epsilon.define_c_struct_auto("held", "union held { int i; float f; };")
    epsilon.define_c_struct("holder", [("n", "int"), ("held", ("union", "held"))])
    with pytest.raises(epsilon.ForeignTypeError, match=named) as caught:
        epsilon.lib_open("libc").bind("abs", result, parameters)
    assert str(caught.value).startswith(f"{epsilon.Signature(result, parameters)}: ")
    assert _backend.why_no_shim in str(caught.value)


def test_a_calling_convention_of_another_platform_needs_the_shim():
    """Where there is one, that is; ``Signature`` refuses the word elsewhere."""
    found = epsilon.ctype("int")
    integer = _abi.Converter(found, found.code, found.size, found.alignment, found.backend)
    with pytest.raises(epsilon.ForeignTypeError, match="calling convention stdcall needs the shim"):
        _abi.Trampoline(SimpleNamespace(abi="stdcall"), integer, (), abi=1)


@pytest.mark.parametrize("what", ["memory", "pointer", "member"])
def test_what_cannot_go_by_value_goes_by_pointer(by_value, what):
    """The exceptions are of values that are passed, not of values in memory."""
    number = epsilon.define_c_struct_auto("number", "union number { int i; double d; };")
    memory = epsilon.foreign_alloc(number, count=2)
    memory[1].d = 2.5
    if what == "memory":
        assert memory[1].d == 2.5 and memory[0].i == 0
    elif what == "pointer":
        memcpy = epsilon.lib_open("libc").bind("memcpy", "pointer", [("pointer", number)] * 2 + ["size"])
        copied = number()
        memcpy(copied, memory[1], number.size)
        assert copied.d == 2.5
    else:
        pair = epsilon.define_c_struct("pair_of_numbers", [("first", number), ("second", number)])
        assert pair(second=memory[1]).second.d == 2.5


def test_a_struct_with_complex_members_by_value():
    lib = load_c("#include <complex.h>\n"
                 "struct wave { float _Complex amplitude; double phase; };\n"
                 "struct wave turn(struct wave w) { w.amplitude *= I; w.phase += 1; return w; }\n"
                 "struct wave back(struct wave (*f)(struct wave))\n"
                 "{ return f((struct wave){1 + 2 * I, 3}); }\n")  # fmt: skip
    wave = epsilon.define_c_struct("wave", [("amplitude", "float-complex"), ("phase", "double")])
    assert lib.bind("turn", wave, [wave])(wave(1 + 2j, 0.5)) == wave(-2 + 1j, 1.5)
    with epsilon.make_callback(lambda w: wave(w.amplitude * 2, w.phase), wave, [wave]) as doubled:
        assert lib.bind("back", wave, ["pointer"])(doubled) == wave(2 + 4j, 3)
