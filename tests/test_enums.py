"""Enums and flags: names go to C as their numbers and come back as names, everywhere that a type may stand."""

from __future__ import annotations

import pickle
import subprocess
import sys

import hy
import pytest
from clib import compile_c, load_c, run_child

import epsilon
from epsilon import ForeignRangeError, ForeignTypeError, ForeignValueError

SOURCE = """
#include <stdint.h>
#include <stddef.h>
#include <stdarg.h>
enum color { red, green, blue = 7, dark_red };
enum level { low = -1, middle, high };
typedef uint8_t small_color;

enum color next(enum color c) { return c == red ? green : c == green ? blue : red; }
enum level up(enum level l) { return l + 1; }
int value(int c) { return c; }
uint8_t small(uint8_t c) { return c; }
void get_color(enum color *out) { *out = dark_red; }
void turn(enum color *place) { *place = next(*place); }
int of_pointer(const enum color *c) { return *c; }
enum color ask(enum color (*f)(enum color), enum color c) { return f(c); }
static int got;
void note(enum color (*f)(void)) { got = f(); }
int what_c_got(void) { return got; }
struct pixel { char pad; enum color color; uint8_t small; enum color all[3]; };
struct pixel paint(struct pixel p) { p.color = next(p.color); p.all[2] = p.color; return p; }
int color_of(struct pixel p) { return p.color * 1000 + p.small; }
struct bits { unsigned color : 3; unsigned flags : 5; int level : 2; };
int sum_bits(const struct bits *b) { return b->color + 10 * b->flags + 1000 * b->level; }
void make_bits(struct bits *b) { b->color = 1, b->flags = 16, b->level = 1; }
enum color global_color = green;
unsigned open_flags(unsigned f) { return f; }
unsigned add_flag(unsigned f, unsigned g) { return f | g; }
int16_t signed_flags(int16_t f) { return f; }
int sum(int n, ...) { va_list l; va_start(l, n); int s = 0; while (n--) s += va_arg(l, int); va_end(l); return s; }
"""
C = load_c(SOURCE)
pytestmark = pytest.mark.usefixtures("named_types")


class Index:
    """What NumPy's integers are to us."""

    def __index__(self):
        return 0


@pytest.fixture
def color():
    return epsilon.define_c_enum("color", ["red", "green", ("blue", 7), "dark_red"])


@pytest.fixture
def flags():
    return epsilon.define_c_flags("open_flags", {"create": 64, "truncate": 512, "append": 1024})


# --- the values and the type are C's --------------------------------------------------------------------------------

DEFINITIONS = [
    ["a", "b", "c"],
    [("a", 5), "b", ("c", 1), "d"],
    [("a", -1), "b"],
    [("a", 2**31 - 1), ("b", 2**31)],
    [("a", 2**32 - 1)],
    [("a", 2**32)],
    [("a", -(2**31))],
    [("a", -(2**31) - 1)],
    [("a", -1), ("b", 2**31)],
    [("a", 2**63), ("b", 2**64 - 1)],
    [("a", -(2**63)), ("b", 2**63 - 1)],
]


def test_values_and_underlying_type_are_the_compilers():
    lines = []
    expected = []
    for index, constants in enumerate(DEFINITIONS):
        found = epsilon.define_c_enum(f"e{index}", constants)
        body = ", ".join(
            f"{c[0]}{index} = {c[1] if c[1] > -(2**63) else '-9223372036854775807-1'}{'u' * (c[1] >= 2**63)}"
            if isinstance(c, tuple)
            else f"{c}{index}"
            for c in constants
        )
        lines.append(f"enum e{index} {{ {body} }};")
        numbers = " ".join(str(number) for number in found.values())
        signed = found.ctype.base.low < 0
        expected.append(f"{found.size} {int(signed)} {numbers}".strip())
        shown = "".join(
            f'printf(" "); printf((enum e{index})-1 < (enum e{index})1 ? "%lld" : "%llu", (long long){name}{index});'
            for name in found
        )
        lines.append(f'void show{index}(void) {{ printf("%d %d", (int)sizeof(enum e{index}), '
                     f'(enum e{index})-1 < (enum e{index})1); {shown} printf("\\n"); }}')  # fmt: skip
    calls = " ".join(f"show{index}();" for index in range(len(DEFINITIONS)))
    program = "#include <stdio.h>\n" + "\n".join(lines) + f"\nvoid show(void) {{ {calls} fflush(stdout); }}"
    path = compile_c(program)
    said = subprocess.run(
        [sys.executable, "-c", f"import ctypes; ctypes.CDLL({path!r}).show()"], stdout=subprocess.PIPE, check=True
    )
    assert said.stdout.decode().splitlines() == expected


def test_an_enum_that_no_type_holds_is_refused():
    with pytest.raises(ForeignTypeError, match="no integer type holds"):
        epsilon.define_c_enum("e", [("a", -1), ("b", 2**63)])


# --- the object -----------------------------------------------------------------------------------------------------


def test_an_enum_is_a_mapping_and_a_type(color):
    assert dict(color) == {"red": 0, "green": 1, "blue": 7, "dark_red": 8}
    assert color.red == 0 and color.dark_red == 8 and color["dark-red"] == 8 and color[hy.models.Keyword("blue")] == 7
    assert color.size == 4 and color.name == "color" and "green" in color and "dark-red" in color and "x" not in color
    assert epsilon.ctype(color) is color.ctype is epsilon.ctype("color") is epsilon.ctype(("enum", "color"))
    assert epsilon.ctype(("enum", color)) is color.ctype is epsilon.ctype([hy.models.Keyword("enum"), "color"])
    assert epsilon.sizeof(color) == 4 and epsilon.sizeof("color") == 4
    assert repr(color) == "<enum color: red=0, green=1, blue=7, dark_red=8>"
    assert "blue" in dir(color) and color == dict(color) and {color: 1}[color] == 1
    with pytest.raises(KeyError):
        color["gren"]
    with pytest.raises(AttributeError, match="did you mean 'green'"):
        _ = color.gren


@pytest.mark.parametrize(
    "constants",
    [["a", ("b", 5)], [("a", 0), ("b", 5)], {"a": 0, "b": 5}, [hy.models.Keyword("a"), ["b", 5]], (":a", (":b", 5))],
)
def test_constants_are_spelled_in_many_ways(constants):
    assert dict(epsilon.define_c_enum("spelled", constants)) == {"a": 0, "b": 5}


@pytest.mark.parametrize(
    ("constants", "message"),
    {
        (): "the constants are a list",
        "red": "the constants are a list",
        5: "the constants are a list",
        ("a", "a"): "'a' is there twice",
        ("dark-red", "dark_red"): "'dark_red' is there twice",
        ("1a",): "'1a' is no C name",
        (("a", "b"),): "a constant is a name or",
        (("a", 1, 2),): "a constant is a name or",
        (("a", 1.5),): "a constant is a name or",
        (5,): "a constant is a name or",
    }.items(),
)
def test_a_bad_definition_says_what_is_wrong(constants, message):
    with pytest.raises(ForeignTypeError, match=f"enum bad: .*{message}"):
        epsilon.define_c_enum("bad", constants)
    with pytest.raises(ForeignTypeError, match="unknown type 'bad'"):
        epsilon.ctype("bad")


def test_a_type_of_ones_own():
    small = epsilon.define_c_enum("small_color", ["red", ("white", 255)], type="uint8")
    assert small.size == 1 and C.bind("small", small, [small])("white") == "white"
    assert epsilon.ctype("enum small_color") is epsilon.ctype("uint8")
    with pytest.raises(ForeignRangeError, match="got 256"):
        C.bind("small", small, [small])(256)
    with pytest.raises(ForeignTypeError, match="white = 256 is outside uint8_t"):
        epsilon.define_c_enum("small_color", {"white": 256}, type="uint8")
    with pytest.raises(ForeignTypeError, match="its type is an integer type, not double"):
        epsilon.define_c_enum("small_color", {"white": 256}, "double")


def test_a_name_of_cs_own_is_refused():
    for name in ("int", "size_t", "unsigned", "struct", "string", "object", "array", "", "a b", 5):
        with pytest.raises(ForeignTypeError):
            epsilon.define_c_enum(name, ["a"])


# --- crossing -------------------------------------------------------------------------------------------------------


def test_names_go_and_names_come(color):
    turn = C.bind("next", color, [color])
    assert turn("red") == "green" and turn("green") == "blue" and turn("blue") == "red"
    assert turn(hy.models.Keyword("red")) == "green" and turn(":red") == "green" and turn(0) == "green"
    assert turn(turn("red")) == "blue" and turn(Index()) == "green"
    value = C.bind("value", "int", [color])
    assert value("dark-red") == value("dark_red") == value(hy.models.Keyword("dark-red")) == 8


def test_what_comes_is_the_name_and_the_number(color):
    blue = C.bind("next", color, [color])("green")
    assert isinstance(blue, str) and blue == "blue" and str(blue) == "blue" and blue.value == int(blue) == 7
    assert blue == 7 and blue != 6 and blue != "red" and blue == hy.models.Keyword("blue") and 7 == blue
    assert hash(blue) == hash("blue") and {"blue": 1}[blue] == 1 and [10, 11, 12, 13, 14, 15, 16, 17][blue] == 17
    assert blue != 7.5 and blue != None and repr(blue) == "'blue'"  # noqa: E711
    again = pickle.loads(pickle.dumps(blue))
    assert again == blue and again.value == 7
    dark = C.bind("next", epsilon.define_c_enum("shade", [("dark-red", 1)]), ["int"])(0)
    assert dark == "dark-red" == str(dark) and dark == hy.models.Keyword("dark-red")


def test_a_value_without_a_name_is_an_int(color):
    same = C.bind("value", color, [color])
    assert same(5) == 5 and type(same(5)) is int and type(same(0)) is not int


def test_of_several_names_of_one_value_the_first_is_given():
    alias = epsilon.define_c_enum("alias", [("first", 1), ("second", 1)])
    same = C.bind("value", alias, [alias])
    assert same("second") == "first"


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("grene", ForeignValueError, r"next\(\): parameter 1 \(enum color\): got 'grene', .* did you mean 'green'"),
        ("", ForeignValueError, "no constant of color"),
        (-1, ForeignRangeError, "got -1, wanted an int from 0 to 4294967295"),
        (2**32, ForeignRangeError, "got 4294967296"),
        (1.0, ForeignTypeError, r"got 1.0 \(float\), wanted the name of a constant of color \(red, green, "),
        (None, ForeignTypeError, "got None"),
        ({"red"}, ForeignTypeError, "got {'red'}"),
        (b"red", ForeignTypeError, "got b'red'"),
    ],
)
def test_what_is_no_constant_is_an_error(color, value, error, message):
    with pytest.raises(error, match=message):
        C.bind("next", color, [color])(value)


def test_signed(color):
    level = epsilon.define_c_enum("level", [("low", -1), "middle", "high"])
    up = C.bind("up", level, [level])
    assert up("low") == "middle" and up(-1) == "middle" and up(-2) == "low" and level.low == -1


def test_in_out_and_inout(color):
    assert C.bind("get_color", "void", [("out", color)])() == "dark_red"
    assert C.bind("turn", "void", [("inout", color)])("red") == "green"
    assert C.bind("of_pointer", "int", [("in", "color")])("blue") == 7


def test_in_callbacks(color):
    ask = C.bind("ask", color, [("function", color, [color]), color])
    seen = []
    assert ask(lambda c: seen.append(c) or "blue", "green") == "blue" and seen == ["green"]
    assert ask(lambda c: 5, "green") == 5
    with pytest.raises(ForeignValueError, match="callback .*: the result: got 'gren'"):
        ask(lambda c: "gren", "green")
    failing = epsilon.make_callback(lambda: 1 / 0, color, [], on_error="blue")
    call = epsilon.get_or_create_trampoline(color, [])
    with pytest.raises(ZeroDivisionError):
        call(failing.address)
    with pytest.raises(ForeignValueError, match="on_error: got 'gren'"):
        epsilon.make_callback(lambda: 0, color, [], on_error="gren")
    compare = epsilon.make_callback(lambda a, b: (seen.append(b), a)[1], "int", [("in", color), ("inout", color)])
    with pytest.raises(ForeignTypeError, match="a tuple of 2 values"):
        epsilon.get_or_create_trampoline("int", [("in", color), ("inout", color)])(compare.address, "red", "blue")
    assert seen[-1] == "blue"


def test_on_error_reaches_c_as_its_number(color):
    failing = epsilon.make_callback(lambda: 1 / 0, color, [], on_error="blue")
    with pytest.raises(ZeroDivisionError):
        C.bind("note", "void", [("function", color, [])])(failing)
    assert C.bind("int what_c_got(void)")() == 7


def test_in_structs_and_arrays(color):
    pixel = epsilon.define_c_struct(
        "pixel", [("pad", "char"), ("color", color), ("small", "uint8"), ("all", ("array", color, 3))]
    )
    assert pixel.size == 24 and pixel.offset("color") == 4
    one = pixel(color="green", small=5, all=["red", 5, "blue"])
    assert one.color == "green" and list(one.all) == ["red", 5, "blue"]
    assert repr(one) == "pixel(pad=0, color='green', small=5, all=['red', 5, 'blue'])"
    assert C.bind("color_of", "int", [pixel])(one) == 1005
    painted = C.bind("paint", pixel, [pixel])(one)
    assert painted.color == "blue" and painted.all[2] == "blue"
    with pytest.raises(ForeignValueError, match=r"struct pixel: member 'color' \(enum color\): got 'gren'"):
        one.color = "gren"
    assert C.bind("color_of", "int", [pixel])({"color": "blue"}) == 7000
    assert C.bind("of_pointer", "int", [("array", color)])(["blue", "red"]) == 7
    memory = epsilon.foreign_alloc(color, count=2, initial="green")
    assert list(memory) == ["green", "green"] and epsilon.deref(memory, 1) == 1
    assert epsilon.deref(epsilon.foreign_alloc("unsigned-int", initial=[7]), type=color) == "blue"


def test_in_bit_fields(color, flags):
    small = epsilon.define_c_flags("small_flags", {"a": 1, "b": 16})
    level = epsilon.define_c_enum("level", [("low", -1), "middle", "high"])
    bits = epsilon.define_c_struct_auto(
        "bits",
        "struct bits { unsigned color : 3; unsigned flags : 5; int level : 2; };",
        {"color": color, "flags": small, "level": level},
    )
    one = bits(color="blue", flags={"a", "b"}, level="low")
    assert (one.color, one.flags, one.level) == ("blue", {"a", "b"}, "low")
    assert C.bind("sum_bits", "int", ["pointer"])(one) == 7 + 170 - 1000
    C.bind("make_bits", "void", ["pointer"])(one)
    assert (one.color, one.flags, one.level) == ("green", {"b"}, "high")
    with pytest.raises(ForeignRangeError, match="wanted an int from 0 to 7"):
        one.color = "dark_red"


def test_variables(color):
    variable = epsilon.foreign_variable("global_color", C, color)
    assert variable.value == "green"
    variable.value = "blue"
    assert variable.value == 7 and epsilon.foreign_variable("global_color", C, "int").value == 7
    variable.value = "green"
    with pytest.raises(ForeignValueError, match="enum color global_color.*: got 'gren'"):
        variable.value = "gren"


def test_varargs(color):
    small = epsilon.define_c_enum("small_color", ["red", ("white", 255)], type="uint8")
    total = C.bind("sum", "int", ["int", "..."])
    assert total(3, (color, "blue"), (small, "white"), ("color", 1)) == 263
    with pytest.raises(ForeignValueError, match="extra argument 1: .*got 'gren'"):
        total(1, (small, "gren"))


def test_checks_ask_cs_number(color):
    level = epsilon.define_c_enum("level", [("low", -1), "middle", "high"])
    up = C.bind("up", level, [level], check="nonnegative")
    assert up("middle") == "high"
    with pytest.raises(epsilon.ForeignError, match="which is not nonnegative"):
        up(-3)
    for table in ({-1: "by number"}, {"low": "by number"}):
        with pytest.raises(epsilon.ForeignError, match="by number"):
            C.bind("up", level, [level], check="nonnegative", error=table)(-2)


# --- flags ----------------------------------------------------------------------------------------------------------


def test_flags_go_as_names_and_come_as_a_set(flags):
    same = C.bind("open_flags", flags, [flags])
    for value in ({"create", "truncate"}, ["create", 512], ("truncate", "create"), 576, iter(["create", "truncate"])):
        found = same(value)
        assert found == {"create", "truncate"} and found.value == int(found) == 576 and found == 576
        assert isinstance(found, frozenset) and "create" in found and "append" not in found
    assert same("append") == {"append"} and same(hy.models.Keyword("append")) == 1024
    assert same(same({"create", "append"})) == {"create", "append"}
    assert same(same({"create"}) | {"append"}) == {"create", "append"}
    assert hy.models.Keyword("append") in same(1024) and same(1024) == {hy.models.Keyword("append")}
    assert hash(same(576)) == hash(frozenset({"create", "truncate"})) and same(576) != 577 and same(576) != {"create"}
    assert same(576) != {"no", "such"} and same(576) != "create"
    assert C.bind("add_flag", flags, [flags, flags])("create", ["append"]) == 1088


def test_bits_without_a_name_are_one_int(flags):
    same = C.bind("open_flags", flags, [flags])
    found = same(64 | 3 | 1 << 31)
    assert found == {"create", 3 | 1 << 31} and same(found) == found and 3 | 1 << 31 in found
    assert repr(found) == f"<open_flags create | {3 | 1 << 31}>"


def test_zero_is_the_empty_set():
    with_zero = epsilon.define_c_flags("access", {"readonly": 0, "writeonly": 1, "readwrite": 2})
    same = C.bind("open_flags", with_zero, [with_zero])
    assert same("readonly") == set() and not same(0) and same([]) == 0
    assert same({"readonly", "writeonly"}) == {"writeonly"}
    assert repr(same(0)) == "<access 0>"


def test_a_constant_of_several_bits_is_there_where_it_says_more():
    """O_SYNC is O_DSYNC and a bit that has no name of its own; O_ACCMODE says nothing new."""
    modes = epsilon.define_c_flags("modes", {"w": 1, "rw": 2, "accmode": 3, "dsync": 0o10000, "sync": 0o4010000})
    same = C.bind("open_flags", modes, [modes])
    assert set(same("accmode")) == {"w", "rw"} and same("accmode") == {"accmode"} and same("accmode") == 3
    assert set(same("sync")) == {"dsync", "sync"} and same("dsync") == {"dsync"} and same(same("sync")) == same("sync")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("creat", ForeignValueError), ({"create", "trunc"}, ForeignValueError), (-1, ForeignRangeError),
        ([2**32], ForeignRangeError), (1.5, ForeignTypeError), (None, ForeignTypeError), (b"create", ForeignTypeError),
        ([None], ForeignTypeError),
    ],
)  # fmt: skip
def test_what_is_no_flag_is_an_error(flags, value, error):
    with pytest.raises(error, match=r"open_flags\(\): parameter 1 \(enum open_flags\)"):
        C.bind("open_flags", "int", [flags])(value)


def test_flags_of_a_signed_type():
    signed = epsilon.define_c_flags("signed_flags", {"a": 1, "top": -(2**15)}, type="int16")
    same = C.bind("signed_flags", signed, [signed])
    assert same({"a", "top"}) == {"a", "top"} and same(-1).value == -1 and same(same(-1)) == -1


def test_flags_are_pickled(flags):
    found = C.bind("open_flags", flags, [flags])(65)
    again = pickle.loads(pickle.dumps(found))
    assert again == found and again.value == 65 and type(again) is type(found)


def test_a_flag_without_a_value_is_refused():
    with pytest.raises(ForeignTypeError, match="'b' has no value; flags are"):
        epsilon.define_c_flags("f", [("a", 1), "b"])


def test_the_kinds_are_not_confused(color, flags):
    for wrong in (("flags", color), ("enum", "open_flags"), ("enum", "nothing"), ("enum", 5), ("flags", "int")):
        with pytest.raises(ForeignTypeError):
            epsilon.ctype(wrong)
    with pytest.raises(ForeignTypeError, match="unknown enum 'colr'; did you mean 'color'"):
        epsilon.ctype(("enum", "colr"))


# --- elsewhere ------------------------------------------------------------------------------------------------------


def test_defining_again_leaves_what_was_declared(color):
    turn = C.bind("next", color, [color])
    other = epsilon.define_c_enum("color", [("crimson", 0), ("lime", 1)])
    assert turn("red") == "green" and C.bind("next", "color", ["color"])("crimson") == "lime"
    assert epsilon.ctype(("enum", "color")) is other.ctype
    assert epsilon.define_c_enum("color", ["red", "green", ("blue", 7), "dark_red"]).ctype is color.ctype


def test_c_text_keeps_the_integer_type(color):
    assert epsilon.ctype("enum color") is epsilon.ctype("unsigned-int")
    assert C.bind("enum color next(enum color c)")(0) == 1
    wide = epsilon.define_c_enum("wide_color", {"infrared": -(2**40)})
    assert epsilon.ctype("enum wide_color") is epsilon.ctype("long-long") and wide.size == 8
    assert epsilon.Signature("int", ["enum wide_color"]) is epsilon.Signature("int", ["long-long"])


def test_a_memorised_prototype_sees_a_new_definition():
    epsilon.define_c_enum("changing", ["a"], type="uint8")
    assert C.bind("int value(enum changing c)").signature is epsilon.Signature("int", ["uint8"])
    epsilon.define_c_enum("changing", ["a"], type="int64")
    assert C.bind("int value(enum changing c)").signature is epsilon.Signature("int", ["int64"])


def test_a_name_serves_in_c_text(color):
    assert C.bind("color next(color c)")("red") == "green"


def test_the_enums_of_a_block_are_types():
    block = C.declare("enum shade { pale, deep = 5 }; enum shade next(enum shade s);")
    assert block.enums["shade"] == {"pale": 0, "deep": 5} and block.shade.deep == 5
    assert C.bind("value", block.shade, [block.shade])("deep") == "deep"
    assert block.next(0) == 1  # the text says the integer


def test_signatures_are_pickled_and_saved(color, flags, tmp_path):
    signature = epsilon.Signature(color, [("in", color), flags, ("pointer", color)])
    assert pickle.loads(pickle.dumps(signature)) is signature
    assert pickle.loads(pickle.dumps(color)) == color and pickle.loads(pickle.dumps(color)).ctype is color.ctype
    function = C.bind("next", color, [color])
    assert pickle.loads(pickle.dumps(function))("red") == "green"
    registry = type(epsilon.registry)()
    registry.register("of-enums", signature.result, signature.parameters)
    registry.save(tmp_path / "saved")
    again = type(epsilon.registry)()
    again.load(tmp_path / "saved")
    assert again["of-enums"] is signature
    out = run_child(
        "import sys, epsilon\nepsilon.registry.load(sys.argv[1])\n"
        "print(epsilon.registry['of-enums'].result.adapt('blue'))",
        str(tmp_path / "saved"),
    )
    assert out == "7\n"


def test_cdef_defines_the_enums(color):
    from cffi import FFI

    small = epsilon.define_c_enum("small_color", ["pink"], type="uint8")
    module = {"next_color": C.bind("next", color, [color]), "small": C.bind("small", small, [small])}
    text = epsilon.cdef(module)
    assert text.splitlines() == [
        "enum color { red = 0, green = 1, blue = 7, dark_red = 8 };",
        "enum color next(enum color);",
        "uint8_t small(uint8_t);",
    ]
    ffi = FFI()
    ffi.cdef(text)
    assert ffi.dlopen(C.path).next(1) == 7 and ffi.typeof("enum color").relements["blue"] == 7
    pixel = epsilon.define_c_struct("pixel", [("color", color), ("all", ("array", color, 3))])
    FFI().cdef(epsilon.cdef({"pixel": pixel, "color": color}))


def test_conversions_by_hand(color, flags):
    assert epsilon.convert_to_foreign("blue", color) == 7 and epsilon.convert_from_foreign(7, color) == "blue"
    assert epsilon.convert_to_foreign({"create"}, flags) == 64
    assert epsilon.convert_from_foreign(64, "open_flags") == {"create"}


def test_a_class_of_ones_own_is_an_enum(color):
    import enum

    class Color(enum.Enum):
        RED = 0
        BLUE = 7

    epsilon.convert_to_foreign.register(Color, color)(lambda member: member.value)
    epsilon.convert_from_foreign.register(str, color)(lambda name: Color[name.upper()] if name != "green" else name)
    turn = C.bind("next", color, [color])
    assert turn("green") is Color.BLUE and turn(Color.BLUE) is Color.RED
