"""Types that users name: aliases and opaque structs, types of their own over a base, function pointers in structs."""

from __future__ import annotations

import datetime
import gc
import pathlib
import pickle
import weakref

import hy
import pytest
from clib import load_c, run_child

import epsilon
from epsilon import ForeignTypeError, ForeignValueError

SOURCE = """
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* two opaque types */
typedef struct SNDFILE SNDFILE;
typedef struct OTHER OTHER;
static int one_file, one_other;
SNDFILE *sf_open(void) { return (SNDFILE *)&one_file; }
OTHER *other_open(void) { return (OTHER *)&one_other; }
int sf_close(SNDFILE *f) { return f == (SNDFILE *)&one_file; }

int next(int fd) { return fd + 1; }
int is_text(const char *s, const char *t) { return strcmp(s, t) == 0; }
const char *text(void) { return "1.5"; }
double half(double x) { return x / 2; }
void *same(void *p) { return p; }

/* days */
int next_day(int day) { return day + 1; }
void get_day(int *day) { *day = 730178; }
void turn_day(int *day) { *day += 1; }
int day_behind(const int *day) { return *day; }
int ask(int (*f)(int), int day) { return f(day); }
struct event { char kind; int day; int days[2]; const char *name; };
struct event later(struct event e) { e.day++; e.days[1] = e.day; return e; }
int day_of(const struct event *e) { return e->day; }
int sum(int n, ...) { va_list l; va_start(l, n); int s = 0; while (n--) s += va_arg(l, int); va_end(l); return s; }
double dsum(int n, ...)
{
    va_list l;
    va_start(l, n);
    double s = 0;
    while (n--) s += va_arg(l, double);
    va_end(l);
    return s;
}
struct pair { double x, y; };
struct pair mirror(struct pair p) { struct pair q = {p.y, p.x}; return q; }
int global_day = 5;

/* function pointers in a struct */
typedef int (*Binary)(int, int);
static int add(int a, int b) { return a + b; }
int subtract(int a, int b) { return a - b; }
struct operations { int count; Binary f; Binary table[2]; };
void fill(struct operations *o) { o->count = 1; o->f = add; o->table[0] = subtract; o->table[1] = NULL; }
int run(const struct operations *o, int a, int b) { return o->f ? o->f(a, b) : -1; }
int run_value(struct operations o, int a, int b) { return o.f ? o.f(a, b) : -1; }
int run_table(const struct operations *o, int i, int a, int b) { return o->table[i] ? o->table[i](a, b) : -1; }
int *is_null(struct operations *o) { static int n; n = o->f == NULL; return &n; }
Binary global_operation = add;
int run_global(int a, int b) { return global_operation(a, b); }
"""
C = load_c(SOURCE)
pytestmark = pytest.mark.usefixtures("named_types")
DATE = datetime.date


@pytest.fixture
def day():
    return epsilon.define_foreign_type("day", "int", DATE.toordinal, DATE.fromordinal)


BORN = DATE(2000, 2, 28)

# --- define_c_type: opaque structs ----------------------------------------------------------------------------------


def test_an_opaque_type_is_no_other():
    sndfile, other = epsilon.define_c_type("SNDFILE"), epsilon.define_c_type("OTHER")
    assert sndfile is epsilon.ctype("SNDFILE") is epsilon.ctype("struct SNDFILE") and sndfile is not other
    close = C.bind("sf_close", "int", [("pointer", sndfile)])
    assert close(C.bind("sf_open", ("pointer", "SNDFILE"), [])()) == 1
    with pytest.raises(ForeignTypeError, match=r"sf_close\(\): parameter 1 \(struct SNDFILE \*\): .* not a struct OT"):
        close(C.bind("OTHER *other_open(void)")())
    assert close(None) == 0


def test_an_opaque_type_is_the_one_of_c_text():
    epsilon.define_c_type("SNDFILE")
    bound = C.declare("SNDFILE *sf_open(void); int sf_close(SNDFILE *file);")
    assert bound.sf_close(C.bind("SNDFILE *sf_open(void)")()) == 1
    assert C.declare("typedef struct SNDFILE SNDFILE; int sf_close(SNDFILE *f);").sf_close(bound.sf_open()) == 1


def test_an_opaque_type_has_no_values():
    epsilon.define_c_type("SNDFILE")
    for use in (lambda: epsilon.sizeof("SNDFILE"), lambda: epsilon.Signature("int", ["SNDFILE"]),
                lambda: epsilon.define_c_struct("s", [("a", "SNDFILE")])):  # fmt: skip
        with pytest.raises(ForeignTypeError, match=r"SNDFILE"):
            use()


def test_an_opaque_type_may_be_defined_later_and_again():
    epsilon.define_c_type("later_defined")
    signature = epsilon.Signature("int", ["later_defined *"])
    found = epsilon.define_c_struct("later_defined", [("a", "int")])
    assert epsilon.ctype("later_defined") is found.ctype and signature.parameters[0].target is found.ctype
    again = epsilon.define_c_struct("later_defined", [("a", "double")])
    assert epsilon.ctype("later_defined") is again.ctype
    assert epsilon.define_c_type("later_defined") is again.ctype


# --- define_c_type: aliases -----------------------------------------------------------------------------------------


def test_an_alias_serves_wherever_a_type_does():
    assert epsilon.define_c_type("fd", "int") is epsilon.ctype("int")
    for spelling in ("fd", ":fd", ("fd",), hy.models.Keyword("fd"), hy.models.Symbol("fd")):
        assert epsilon.ctype(spelling) is epsilon.ctype("int")
    assert epsilon.ctype("const fd *") is epsilon.ctype("const int *")
    assert C.bind("next", "fd", ["fd"])(3) == 4 and C.bind("fd next(fd number)")(3) == 4
    assert C.declare("typedef fd descriptor; descriptor next(descriptor fd);").next(3) == 4
    assert epsilon.sizeof(("array", "fd", 3)) == 12 and epsilon.foreign_alloc("fd", initial=[7])[0] == 7
    assert epsilon.define_c_struct("holder", [("fd", "fd")])(fd=3).fd == 3
    assert epsilon.define_c_struct_auto("holder", "struct holder { fd fd; fd *other; };")(fd=3).fd == 3


def test_an_alias_of_any_type():
    epsilon.define_c_type("latin", ("string", {"encoding": "latin-1"}))
    assert C.bind("is_text", "bool", ["latin", "string"])("gr\xfc", b"gr\xfc") is True
    epsilon.define_c_type("int-comparator", ("function", "int", [("in", "int"), ("in", "int")]))
    sort = epsilon.lib_open("libc").bind("qsort", "void", [("pointer", "int"), "size", "size", "int-comparator"])
    numbers = epsilon.foreign_alloc("int", initial=[3, 1, 2])
    sort(numbers, 3, 4, lambda a, b: b - a)
    assert list(numbers) == [3, 2, 1]
    assert epsilon.ctype("int_comparator") is epsilon.ctype("int-comparator")


def test_an_alias_can_be_defined_again_and_leaves_what_was_declared():
    epsilon.define_c_type("handle", "int")
    before = C.bind("int next(handle h)")
    epsilon.define_c_type("handle", "int64")
    assert before.signature is epsilon.Signature("int", ["int"])
    assert C.bind("int next(handle h)").signature is epsilon.Signature("int", ["int64"])


@pytest.mark.parametrize(
    "name", ["int", "unsigned-long", "size_t", "pid_t", "string", "pointer", "struct", "const", "", "a b", "1a", "enum"]
)
def test_the_name_of_a_built_in_type_is_refused(name):
    for define in (epsilon.define_c_type, lambda name: epsilon.define_foreign_type(name, "int")):
        with pytest.raises(ForeignTypeError, match="is a type already|the name of a type is a C name"):
            define(name)


def test_the_name_of_a_signature_is_refused_and_the_other_way_round():
    epsilon.register_signature("named-here", "int", ["int"], replace=True)
    with pytest.raises(ForeignTypeError, match="registered signature"):
        epsilon.define_c_type("named_here", "int")
    epsilon.define_c_type("typed_here", "int")
    with pytest.raises(ForeignTypeError, match="is a type and cannot name a signature"):
        epsilon.register_signature("typed-here", "int", ["int"])


def test_an_unknown_type_has_the_near_names():
    epsilon.define_c_type("descriptor", "int")
    with pytest.raises(ForeignTypeError, match="did you mean 'descriptor'"):
        epsilon.ctype("descripter")
    with pytest.raises(ForeignTypeError, match="did you mean 'descriptor'"):
        epsilon.ctype("descripter *")
    with pytest.raises(ForeignTypeError, match="unknown type"):
        epsilon.define_c_type("x", "no-such-type")


# --- define_foreign_type --------------------------------------------------------------------------------------------


def test_values_are_converted_both_ways(day):
    assert C.bind("next_day", day, [day])(BORN) == DATE(2000, 2, 29)
    assert C.bind("day next_day(day d)")(BORN) == DATE(2000, 2, 29)
    assert C.bind("next_day", "int", ["day"])(BORN) == 730179
    assert epsilon.ctype("day") is day is epsilon.ctype(day) and epsilon.sizeof(day) == 4


def test_either_function_may_be_missing():
    to = epsilon.define_foreign_type("to_only", "int", len)
    assert C.bind("next", to, [to])("four") == 5
    back = epsilon.define_foreign_type("back_only", "int", from_foreign=str)
    assert C.bind("next", back, [back])(4) == "5"
    neither = epsilon.define_foreign_type("neither", "int")
    assert C.bind("next", neither, [neither])(4) == 5


def test_the_base_checks_what_the_function_gives(day):
    lengths = epsilon.define_foreign_type("byte_length", "uint8", len)
    with pytest.raises(epsilon.ForeignRangeError, match=r"next\(\): parameter 1 \(uint8_t\): got 256"):
        C.bind("next", "int", [lengths])("a" * 256)
    bad = epsilon.define_foreign_type("bad", "int", lambda value: None)
    with pytest.raises(ForeignTypeError, match=r"next\(\): parameter 1 \(int\): got None"):
        C.bind("next", "int", [bad])(1)


def test_what_the_functions_raise_reaches_the_caller():
    def refuse(value):
        raise ForeignValueError(f"got {value!r}, wanted something else")

    def fail(value):
        raise KeyError(value)

    refusing = epsilon.define_foreign_type("refusing", "int", refuse, refuse)
    failing = epsilon.define_foreign_type("failing", "int", fail, fail)
    with pytest.raises(ForeignValueError, match=r"next\(\): parameter 1 'fd' \(int\): got 3, wanted some") as caught:
        C.bind("int next(refusing fd)")(3)
    assert caught.value.function == "next"
    with pytest.raises(ForeignValueError, match=r"next\(\): result \(int\): got 4, wanted something else"):
        C.bind("refusing next(int fd)")(3)
    with pytest.raises(KeyError, match=r"^3$"):
        C.bind("int next(failing fd)")(3)
    with pytest.raises(KeyError, match=r"^4$"):
        C.bind("failing next(int fd)")(3)
    with pytest.raises(ForeignValueError, match="the result: got 3, wanted something else"):
        C.bind("ask", "int", [("function", refusing, ["int"]), "int"])(lambda x: x, 3)
    with pytest.raises(ForeignValueError, match="callback .*<lambda>: parameter 1: got 3, wanted something else"):
        C.bind("ask", "int", [("function", "int", [refusing]), "int"])(lambda x: x, 3)
    with pytest.raises(KeyError):
        C.bind("ask", "int", [("function", "int", [failing]), "int"])(lambda x: x, 3)


def test_in_out_and_inout(day):
    assert C.bind("get_day", "void", [("out", day)])() == BORN
    assert C.bind("turn_day", "void", [("inout", day)])(BORN) == DATE(2000, 2, 29)
    assert C.bind("day_behind", "int", [("in", day)])(BORN) == 730178


def test_in_callbacks(day):
    seen = []
    ask = C.bind("ask", day, [("function", day, [day]), day])
    assert ask(lambda d: seen.append(d) or d + datetime.timedelta(1), BORN) == DATE(2000, 2, 29) and seen == [BORN]
    give = epsilon.make_callback(lambda d: (None, d), "pointer", [("inout", day)])
    call = epsilon.get_or_create_trampoline("pointer", [("inout", day)])
    assert call(give.address, BORN)[1] == BORN
    failing = epsilon.make_callback(lambda d: 1 / 0, day, [day], on_error=BORN)
    with pytest.raises(ZeroDivisionError):
        ask(failing, BORN)


def test_in_structs_and_arrays(day):
    event = epsilon.define_c_struct(
        "event", [("kind", "char"), ("day", day), ("days", ("array", day, 2)), ("name", "string")]
    )
    assert event.size == 24
    one = event(day=BORN, days=[BORN, BORN], name="birth")
    assert one.day == BORN and list(one.days) == [BORN, BORN]
    assert C.bind("day_of", "int", [("pointer", event)])(one) == 730178
    after = C.bind("later", event, [event])(one)
    assert after.day == after.days[1] == DATE(2000, 2, 29) and after.name == "birth"
    assert C.bind("day_behind", "int", [("array", day)])([BORN]) == 730178
    assert list(epsilon.foreign_alloc(day, count=2, initial=BORN)) == [BORN, BORN]


def test_varargs(day):
    total = C.bind("sum", "int", ["int", "..."])
    small = epsilon.define_foreign_type("small_length", "uint8", len)
    assert total(3, (day, DATE.fromordinal(5)), (small, "abc"), ("day", DATE.fromordinal(7))) == 15
    quarter = epsilon.define_foreign_type("quarter", "float", lambda value: value / 4)
    assert C.bind("dsum", "double", ["int", "..."])(2, (quarter, 2), ("quarter", 4)) == 1.5


def test_variables(day):
    variable = epsilon.foreign_variable("global_day", C, day)
    assert variable.value == DATE(1, 1, 5)
    variable.value = BORN
    assert variable.value == BORN and epsilon.foreign_variable("global_day", C, "int").value == 730178
    variable.value = DATE(1, 1, 5)


def test_over_a_string_what_the_function_made_lives_as_long_as_c_has_it():
    number = epsilon.define_foreign_type("number", "string", lambda value: f"{value:.1f}", float)
    assert C.bind("text", number, [])() == 1.5
    assert C.bind("is_text", "bool", [number, "string"])(1.5, "1.5") is True
    holder = epsilon.define_c_struct("holder", [("number", number)])
    one = holder(number=2.5)
    gc.collect()
    assert one.number == 2.5
    latin = epsilon.define_foreign_type("shout", ("string", {"encoding": "latin-1"}), str.upper, str.lower)
    assert C.bind("is_text", "bool", [latin, "string"])("gr\xfc", b"GR\xdc") is True


def test_over_a_string_that_is_freed():
    freed = []
    number = epsilon.define_foreign_type("freed_number", ("string", {"free": freed.append}), None, float)
    assert C.bind("text", number, [])() == 1.5 and len(freed) == 1
    with pytest.raises(ForeignTypeError, match="lent|in memory it is a plain pointer"):
        epsilon.define_c_struct("holder", [("number", number)])
    failing = epsilon.define_foreign_type("failing_number", ("string", {"free": freed.append}), None, int)
    with pytest.raises(ValueError, match="invalid literal"):
        C.bind("text", failing, [])()
    assert len(freed) == 2
    with pytest.raises(ForeignTypeError, match="with :free"):
        epsilon.define_foreign_type("owned", ("pointer", "int", {"free": "free"}))


def test_over_a_struct_by_value():
    pair = epsilon.define_c_struct("pair", [("x", "double"), ("y", "double")])
    number = epsilon.define_foreign_type(
        "point_number", pair, lambda z: pair(z.real, z.imag), lambda p: complex(p.x, p.y)
    )
    mirror = C.bind("mirror", number, [number])
    assert mirror(1 + 2j) == 2 + 1j
    mapping = epsilon.define_foreign_type("as_mapping", pair, lambda z: {"x": z.real, "y": z.imag}, dict)
    assert C.bind("mirror", mapping, [mapping])(1 + 2j) == {"x": 2.0, "y": 1.0}
    call = C.bind("mirror", number, [number]).trampoline
    twice = epsilon.make_callback(lambda z: z * 2, number, [number])
    assert call(twice.address, 1 + 2j) == 2 + 4j
    outer = epsilon.define_c_struct("outer", [("c", "char"), ("z", number)])
    assert outer(z=1 + 2j).z == 1 + 2j and outer.size == 24


def test_over_pointers_functions_objects_and_enums():
    wrapper = epsilon.define_foreign_type("wrapped", "object", lambda value: [value], lambda value: value[0])
    assert C.bind("same", wrapper, [wrapper])("anything") == "anything"
    color = epsilon.define_c_enum("upper_color", ["RED", "GREEN"])
    lower = epsilon.define_foreign_type("lower_color", color, str.upper, lambda name: name.lower())
    assert C.bind("next", lower, [lower])("red") == "green"
    doubled = epsilon.define_foreign_type(
        "doubled", ("function", "int", ["int"]), lambda f: lambda x: 2 * f(x), lambda f: lambda x: f(x)
    )
    assert C.bind("ask", "int", [doubled, "int"])(lambda x: x + 1, 4) == 10
    subtract = C.bind("same", doubled, ["pointer"])(C.bind("int next_day(int day)"))
    assert subtract(4) == 5
    buffers = epsilon.define_foreign_type("encoded", "buffer", str.encode)
    assert C.bind("is_text", "int", [buffers, "string"])("text\0", "text") == 1


def test_memory_that_a_later_conversion_ends_is_refused():
    memory = epsilon.foreign_alloc("char", initial=b"text\0")
    ended = epsilon.define_foreign_type("ended", "pointer", lambda value: memory)
    ending = epsilon.define_foreign_type("ending", "string", lambda value: epsilon.foreign_free(memory) or value)
    with pytest.raises(epsilon.ForeignMemoryError, match="after its end"):
        C.bind("is_text", "int", [ended, ending])(None, "text")


def test_in_arrays_that_come_back(day):
    turn = C.bind("turn_day", "void", [("inout", ("array", day, 2))])
    assert turn([BORN, BORN]) == [DATE(2000, 2, 29), BORN]
    color = epsilon.define_c_enum("array_color", ["red", "green"])
    assert C.bind("turn_day", "void", [("inout", ("array", color, 2))])(["red", "red"]) == ["green", "red"]
    assert C.bind("get_day", "void", [("out", ("array", day, 1))])() == [BORN]


def test_a_type_over_a_type_over_a_type():
    latin = ("string", {"encoding": "latin-1"})
    base = epsilon.define_foreign_type("layer0", latin, lambda v: v + "0", lambda v: v + "a")
    for depth in range(1, 12):
        to, back = (lambda v, d=depth: f"{v}{d}"), (lambda v, d=depth: f"{v}{d}")
        base = epsilon.define_foreign_type(f"layer{depth}", f"layer{depth - 1}", to, back)
    is_text = C.bind("is_text", "bool", [base, base])
    assert is_text("x", "x") is True and C.bind("is_text", "bool", [base, "string"])("", "11109876543210")
    assert C.bind("text", base, [])() == "1.5a1234567891011"
    many = C.bind("is_text", "bool", [("in", base), ("in", base)])
    assert many("x", "y") in (True, False)


def test_a_base_that_is_no_type_of_one_value_is_refused():
    for base in (("in", "int"), ("array", "int", 3), ("array", "int"), "void", "struct never_defined"):
        with pytest.raises(ForeignTypeError, match="foreign type wrong:"):
            epsilon.define_foreign_type("wrong", base)
    with pytest.raises(ForeignTypeError, match="a conversion is a callable, not 5"):
        epsilon.define_foreign_type("wrong", "int", 5)
    buffers = epsilon.define_foreign_type("lent", "buffer", str.encode)
    with pytest.raises(ForeignTypeError):
        epsilon.Signature(buffers, [])
    with pytest.raises(ForeignTypeError, match="lent for the length of a call"):
        epsilon.foreign_alloc(buffers)


def test_each_definition_is_a_type_of_its_own(day):
    before = C.bind("next_day", day, [day])
    other = epsilon.define_foreign_type("day", "int", None, str)
    assert other is not day and epsilon.ctype("day") is other
    assert before(BORN) == DATE(2000, 2, 29) and C.bind("next_day", "day", ["day"])(1) == "2"


def test_conversions_by_hand(day):
    assert epsilon.convert_to_foreign(BORN, day) == 730178 and epsilon.convert_from_foreign(730178, "day") == BORN
    latin = ("string", {"encoding": "latin-1"})
    for value, kind in [("gr\xfc", "string"), ("gr\xfc", latin), (5, "int"), (None, "string"), (2.5, "double")]:
        assert epsilon.convert_from_foreign(epsilon.convert_to_foreign(value, kind), kind) == value
    doubled = epsilon.convert_from_foreign(epsilon.convert_to_foreign(C.bind("int next(int)"), "pointer"), "pointer")
    assert doubled(3) == 4


def test_a_registered_converter_comes_before_the_function(day):
    epsilon.convert_to_foreign.register(str, day)(lambda text: int(text))
    epsilon.convert_from_foreign.register(DATE, day)(lambda found: found.isoformat())
    assert C.bind("next_day", day, [day])("730178") == "2000-02-29"
    assert C.bind("next_day", day, [day])(BORN) == "2000-02-29"
    assert epsilon.convert_to_foreign("5", day) == 5 and epsilon.convert_from_foreign(730178, day) == "2000-02-28"


def test_signatures_are_pickled_and_saved(tmp_path):
    path_type = epsilon.define_foreign_type("path_of_ours", "string", str, pathlib.Path)
    epsilon.define_c_type("SNDFILE")
    signature = epsilon.Signature(path_type, [("in", path_type), "SNDFILE *"])
    assert pickle.loads(pickle.dumps(signature)) is signature
    registry = type(epsilon.registry)()
    registry.register("of-user-types", signature.result, signature.parameters)
    registry.save(tmp_path / "saved")
    again = type(epsilon.registry)()
    again.load(tmp_path / "saved")
    assert again["of-user-types"] is signature
    run_child(
        "import sys, epsilon\ntry: epsilon.registry.load(sys.argv[1])\n"
        "except epsilon.ForeignTypeError as error: assert 'path_of_ours' in str(error)\nelse: raise SystemExit(1)\n",
        str(tmp_path / "saved"),
    )


def test_cdef_says_what_c_has(day):
    text = epsilon.cdef({"next_day": C.bind("next_day", day, [day]), "same": C.bind("same", "object", ["object"])})
    assert text.splitlines() == ["int next_day(int);", "void *same(void *);"]


# --- function pointers in structs -----------------------------------------------------------------------------------

BINARY = ("function", "int", ["int", "int"])


@pytest.fixture
def operations():
    return epsilon.define_c_struct("operations", [("count", "int"), ("f", BINARY), ("table", ("array", BINARY, 2))])


def test_a_function_pointer_that_c_put_there_is_callable(operations):
    one = operations()
    assert one.f is None and list(one.table) == [None, None]
    C.bind("fill", "void", [("pointer", operations)])(one)
    assert one.f(2, 3) == 5 and one.table[0](2, 3) == -1 and one.table[1] is None
    with pytest.raises(epsilon.ForeignRangeError):
        one.f(2**40, 3)


@pytest.mark.parametrize("way", ["callable", "callback", "function", "given", "keyword"])
def test_a_function_pointer_is_assigned(operations, way):
    run = C.bind("run", "int", [("pointer", operations), "int", "int"])
    made = {
        "callable": lambda: lambda a, b: a * b,
        "callback": lambda: epsilon.make_callback(lambda a, b: a * b, "int", ["int", "int"]),
        "function": lambda: C.bind("int subtract(int a, int b)"),
        "given": lambda: C.bind("fill", "void", [("out", operations)])().f,
        "keyword": lambda: max,
    }[way]
    one = operations(f=made()) if way == "keyword" else operations()
    if way != "keyword":
        one.f = made()
    gc.collect()
    expected = {"callable": 42, "callback": 42, "function": -1, "given": 13, "keyword": 7}[way]
    assert run(one, 6, 7) == expected and one.f(6, 7) == expected
    by_value = C.bind("run_value", "int", [operations, "int", "int"])
    assert by_value(one, 6, 7) == expected
    one.f = None
    assert one.f is None and run(one, 6, 7) == -1


def test_function_pointers_in_an_array(operations):
    one = operations(table=[lambda a, b: a - b, C.bind("int subtract(int a, int b)")])
    gc.collect()
    run = C.bind("run_table", "int", [("pointer", operations), "int", "int", "int"])
    assert run(one, 0, 9, 4) == run(one, 1, 9, 4) == one.table[0](9, 4) == 5
    one.table[0] = None
    assert run(one, 0, 9, 4) == -1


def test_the_struct_keeps_the_callable_and_no_longer(operations):
    class Adder:
        def __call__(self, a, b):
            return a + b

    adder = Adder()
    watch, one = weakref.ref(adder), operations(f=adder)
    del adder
    gc.collect()
    assert C.bind("run", "int", [("pointer", operations), "int", "int"])(one, 1, 2) == 3 and watch() is not None
    copied = operations(f=one.f)
    one.f = None
    gc.collect()
    assert watch() is None
    with pytest.raises(epsilon.CallbackClosedError):
        copied.f(1, 2)


def test_an_exception_behind_a_function_pointer_reaches_the_caller(operations):
    one = operations(f=lambda a, b: a // b)
    with pytest.raises(ZeroDivisionError):
        C.bind("run", "int", [("pointer", operations), "int", "int"])(one, 1, 0)
    with pytest.raises(ZeroDivisionError):
        one.f(1, 0)


@pytest.mark.parametrize("wrong", [5, "text", "double_callback"])
def test_what_is_no_such_function_is_refused(operations, wrong):
    value = epsilon.make_callback(lambda x: x, "double", ["double"]) if wrong == "double_callback" else wrong
    with pytest.raises(ForeignTypeError, match=r"struct operations: member 'f' \(int \(\*f?\)\(int, int\)\)"):
        operations(f=value)


def test_from_c_text():
    text = "struct operations { int n; int (*f)(int, int); int (*t[2])(int, int); };"
    made = epsilon.define_c_struct_auto("operations", text)
    one = made(f=lambda a, b: a + b)
    assert C.bind("run", "int", ["pointer", "int", "int"])(one, 1, 2) == 3 and one.f(1, 2) == 3 and one.t[0] is None


def test_a_variable_that_is_a_function_pointer():
    variable = epsilon.foreign_variable("global_operation", C, BINARY)
    run = C.bind("int run_global(int a, int b)")
    add = variable.value
    assert add(1, 2) == 3
    variable.value = lambda a, b: a * b
    gc.collect()
    assert run(6, 7) == 42 and variable.value(6, 7) == 42
    variable.value = add
    assert run(6, 7) == 13
