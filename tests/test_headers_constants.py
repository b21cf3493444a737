"""Macro constants of headers: C's own value and type, or the reason why there is none."""

from __future__ import annotations

import math
import random
import subprocess
import tempfile
from pathlib import Path

import pytest

from epsilon import compiler
from epsilon.errors import HeaderError
from epsilon.headers import constants
from epsilon.headers.facts import Facts, Function, Typedef, Variable
from epsilon.headers.objectfile import ObjectFile
from epsilon.headers.preprocess import preprocess
from epsilon.headers.request import Request

pytestmark = pytest.mark.skipif(not compiler.is_there(), reason="needs a C compiler")


def found_in(headers, facts=None, **options):
    """The facts after a search of ``headers``."""
    facts = facts or Facts()
    unit = preprocess(Request.of(headers, **options))
    facts.files = unit.files
    constants.find(unit, facts)
    return facts


@pytest.fixture
def header(tmp_path):
    """A header of the given text, and what is found in it."""

    def make(text, facts=None, **options):
        path = tmp_path / "given.h"
        path.write_text(text, encoding="utf-8")
        return found_in(str(path), facts, **options)

    return make


def pairs(facts):
    return {name: (one.value, one.type) for name, one in facts.constants.items()}


def reason(facts, name):
    assert name not in facts.constants
    return facts.skipped[name].reason


# --- values and types ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "ctype"),
    [
        ("0", 0, "int"),
        ("(42)", 42, "int"),
        ("-1", -1, "int"),
        ("0x7fffffff", 2**31 - 1, "int"),
        ("0x80000000", 2**31, "unsigned int"),
        ("2147483648", 2**31, "long"),
        ("037777777777", 2**32 - 1, "unsigned int"),
        ("0xffffffffffffffff", 2**64 - 1, "unsigned long"),
        ("18446744073709551615ULL", 2**64 - 1, "unsigned long long"),
        ("(-9223372036854775807LL - 1)", -(2**63), "long long"),
        ("(~0UL)", 2**64 - 1, "unsigned long"),
        ("5lu", 5, "unsigned long"),
        ("((unsigned char)300)", 44, "unsigned char"),
        ("((char)-1)", -1, "char"),
        ("((signed char)200)", -56, "signed char"),
        ("((short)70000)", 4464, "short"),
        ("((_Bool)7)", 1, "_Bool"),
        ("(sizeof(long) * 3)", 24, "unsigned long"),
        ("(1 ? 2 : 3u)", 2, "unsigned int"),
        ("(((unsigned __int128)1 << 100) + 1)", 2**100 + 1, "unsigned __int128"),
        ("(-((__int128)1 << 100))", -(2**100), "__int128"),
        ("'A'", 65, "int"),
        (r"'\377'", -1, "int"),
        (r"'\n'", 10, "int"),
        ("L'\\u20ac'", 0x20AC, "int"),
        ("u'x'", 120, "unsigned short"),
        ("1.5", 1.5, "double"),
        ("1.1f", 1.10000002384185791015625, "float"),
        ("(1.5L)", 1.5, "long double"),
        ("-0x1p-1074", -5e-324, "double"),
        ("(1.0 / 3)", 1 / 3, "double"),
        ("1.25F32", 1.25, "float"),
        ("2.5F64x", 2.5, "long double"),
        ("3.5F128", 3.5, "_Float128"),
        ("__builtin_inf()", math.inf, "double"),
        ("(-__builtin_infl())", -math.inf, "long double"),
        ("1e4000L", math.inf, "long double"),
        ('"text"', "text", "char [5]"),
        ('("a" "b")', "ab", "char [3]"),
        (r'"a\0b"', "a\0b", "char [4]"),
        ('"caf\\303\\251"', "café", "char [6]"),
        (r'"\xff"', b"\xff", "char [2]"),
        ('u8"é"', "é", "char [3]"),
        ('L"wide \\u20ac"', "wide €", "wchar_t [7]"),
        ('u"\\U0001F600"', "😀", "char16_t [3]"),
        ('U"\\U0001F600"', "😀", "char32_t [2]"),
        ('""', "", "char [1]"),
        ('((const char *)"cast")', "cast", "const char *"),
        ('((const unsigned char *)"cast")', "cast", "const unsigned char *"),
        ('("shared" + 2)', "ared", "char *"),
        ("((void *)0)", 0, "void *"),
        ("((void *)-1)", 2**64 - 1, "void *"),
        ("((struct nowhere *)16)", 16, "struct nowhere *"),
        ("((void (*)(int))-1)", 2**64 - 1, "void (*)(int)"),
    ],
)
def test_a_macro_has_the_value_and_the_type_that_c_gives_it(header, text, value, ctype):
    assert pairs(header(f"#define GIVEN {text}\n")) == {"GIVEN": (value, ctype)}


def test_a_constant_goes_through_other_macros_casts_enums_and_sizeof(header):
    facts = header(
        "enum colour { RED = 3 };\ntypedef unsigned short word;\nstruct pair { char c; double d; };\n"
        "#define BASE 0x100\n#define SHIFT(x) (BASE << (x))\n#define DEEP SHIFT(RED)\n"
        "#define WORD ((word)DEEP)\n#define SIZE sizeof(struct pair)\n#define LATER AFTER\n#define AFTER 7u\n"
        "#define OFFSET __builtin_offsetof(struct pair, d)\n#define FULL (enum colour)RED\n"
    )
    assert pairs(facts) == {
        "BASE": (256, "int"),
        "DEEP": (2048, "int"),
        "WORD": (2048, "unsigned short"),
        "SIZE": (16, "unsigned long"),
        "LATER": (7, "unsigned int"),
        "AFTER": (7, "unsigned int"),
        "OFFSET": (8, "unsigned long"),
        "FULL": (3, "unsigned int"),
    }
    assert not [name for name in facts.skipped if name != "SHIFT"]


def test_a_negative_zero_and_a_nan_keep_what_they_are(header):
    found = pairs(header('#define ZERO -0.0\n#define NOTHING __builtin_nan("")\n#define LONG -0.0L\n'))
    assert math.copysign(1, found["ZERO"][0]) == math.copysign(1, found["LONG"][0]) == -1
    assert math.isnan(found["NOTHING"][0])


def test_the_last_definition_counts(header):
    facts = header(
        "#define TWICE 1\n#undef TWICE\n#define TWICE 2\n#define GONE 1\n#undef GONE\n"
        '#define KEPT 1\n#pragma push_macro("KEPT")\n#undef KEPT\n#define KEPT 2\n#pragma pop_macro("KEPT")\n'
    )
    assert pairs(facts) == {"TWICE": (2, "int"), "KEPT": (1, "int")}
    assert not facts.skipped


def test_a_constant_knows_where_it_stands(header):
    facts = header("\n\n#define HERE 1\n#define THERE \\\n  (2)\n")
    assert [(facts.files[one.place[0]].rpartition("/")[2], one.place[1]) for one in facts.constants.values()] == [
        ("given.h", 3),
        ("given.h", 4),
    ]


def test_constants_stand_in_the_order_of_the_headers(header):
    assert list(header("#define Z (1+1)\n#define A 2\n#define M (sizeof(int))\n").constants) == ["Z", "A", "M"]


def test_options_reach_the_compiler(header, tmp_path):
    (tmp_path / "inner.h").write_text("#define INNER (GIVEN + 1)\n")
    facts = header("#include <inner.h>\n#define OUTER INNER\n", defines={"GIVEN": 4}, include_dirs=[str(tmp_path)])
    assert pairs(facts)["OUTER"] == pairs(facts)["INNER"] == (5, "int")


def test_what_the_system_defines_does_not_come_along(header):
    facts = header("#include <errno.h>\n#define MINE EINTR\n")
    assert pairs(facts) == {"MINE": (4, "int")}


# --- what is no constant --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("unsigned long", "a type"),
        ("struct pair", "a type"),
        ("extern", "a keyword"),
        ("const", "a keyword"),
        ("__attribute__((packed))", "an attribute"),
        ("do { } while (0)", "statements, not an expression"),
        ("{ 1, 2 }", "an initializer or a body, not an expression"),
        ("1, 2", "a list, not an expression"),
        ("(1", "a piece of syntax: its brackets do not match"),
        ("unknown", "it uses unknown, which is not declared"),
        ("(1 + unknown)", "it uses unknown, which is not declared"),
        ("__LINE__", "not the same everywhere: it uses __LINE__"),
        ("__func__", "not the same everywhere: it is the name of the function around it"),
        ("(counter + 1)", "not constant"),
        ("((int *)&counter)", "the address of counter"),
        ("(1 / 0)", "not constant"),
        ("word", "names the type word"),
        ("(word *)", "a type, or a piece of syntax"),
        ("(1.0 + 2.0i)", "a complex number"),
        ("twice", "names the function twice"),
        ("0x1g", 'not a constant expression: invalid suffix "g" on integer constant'),
    ],
)
def test_what_is_no_constant_is_skipped_with_the_reason(header, text, why):
    facts = header(f"extern int counter; typedef short word; struct pair; int twice(int);\n#define GIVEN {text}\n")
    assert reason(facts, "GIVEN") == why
    assert facts.skipped["GIVEN"].kind == "macro" and facts.skipped["GIVEN"].line == 2


def test_a_bad_macro_costs_itself_and_nothing_else(header):
    hostile = ["}", "{", ");", '"open', "'", "#", "(", "@", 'asm("nonsense")', "__VA_ARGS__", "sizeof", "_Pragma",
               "1 +", "+", "[", "]]", "?:", "goto out", '_Pragma("GCC error")', "/", "defined", "int x;"]  # fmt: skip
    text = "".join(f"#define BAD{n} {one}\n#define GOOD{n} ({n}+1)\n" for n, one in enumerate(hostile))
    facts = header(text)
    assert pairs(facts) == {f"GOOD{number}": (number + 1, "int") for number in range(len(hostile))}
    assert set(facts.skipped) == {f"BAD{number}" for number in range(len(hostile))}


def test_a_macro_that_opens_a_bracket_swallows_no_other(header):
    facts = header("#define CALL(x) (x)\n#define OPEN CALL(\n#define USES OPEN\n#define AFTER (1+2)\n")
    assert pairs(facts) == {"AFTER": (3, "int")}
    assert reason(facts, "OPEN") == reason(facts, "USES")


def test_a_header_with_a_mistake_of_its_own_still_has_its_constants(header):
    facts = header("struct broken { undeclared_type x; };\nextern undeclared_type y;\nint f(void) { return z; }\n"
        "typedef short word;\n#define ONE ((word)1)\n#define TEXT \"a\" \"b\"\n")
    assert pairs(facts) == {"ONE": (1, "short"), "TEXT": ("ab", "char [3]")}


# --- names of other things --------------------------------------------------------------------------------------------


def test_another_name_of_a_function_or_a_variable_is_bound_like_it(header):
    facts = Facts()
    facts.functions["newer"] = Function("struct newer *newer(int n)", "newer_v2", (), (0, 1))
    facts.variables["count"] = Variable("struct count count", "count", (0, 1))
    facts.typedefs["word"] = Typedef("typedef int word", (0, 1))
    header("#define older newer\n#define total (count)\n#define newer newer\n#define type_word word\n", facts)
    assert facts.functions["older"].prototype == "struct newer *older(int n)"
    assert facts.functions["older"].symbol == "newer_v2"
    assert facts.functions["newer"].prototype == "struct newer *newer(int n)"
    assert facts.variables["total"].declaration == "struct count total"
    assert reason(facts, "type_word") == "a type"
    assert not facts.constants


# --- real headers: the compiler's own word ----------------------------------------------------------------------------


_SHOW = r"""
#include <stdio.h>
static void epsilon_text(const void *s) { for (const unsigned char *p = s; *p; p++) printf("%02x", *p); }
static void epsilon_real(double x) { printf("%a", x); }
static void epsilon_natural(unsigned long long x) { printf("%llu", x); }
static void epsilon_whole(long long x) { printf("%lld", x); }
static void epsilon_pointer(const void *x) { printf("%llu", (unsigned long long)x); }
#define epsilon_show(x) _Generic((x), char *: epsilon_text, const char *: epsilon_text, float: epsilon_real, \
    double: epsilon_real, long double: epsilon_real, unsigned long: epsilon_natural, \
    unsigned long long: epsilon_natural, int: epsilon_whole, unsigned: epsilon_whole, long: epsilon_whole, \
    long long: epsilon_whole, short: epsilon_whole, unsigned short: epsilon_whole, char: epsilon_whole, \
    signed char: epsilon_whole, unsigned char: epsilon_whole, _Bool: epsilon_whole, default: epsilon_pointer)(x)
"""


def c_says(facts, headers, **options):
    """What a C program prints for each of the constants: its type's check, and its value."""
    request = Request.of(headers, **options)
    lines = []
    for name, one in facts.constants.items():
        same = f"__builtin_types_compatible_p(__typeof__({name}), {one.type})"
        lines.append(f'    printf("{name} %d ", {same}); epsilon_show({name}); putchar(10);')
    program = f"{request.prelude()}{_SHOW}int main(void) {{\n" + "\n".join(lines) + "\n    return 0;\n}\n"
    program_path = Path(tempfile.mkdtemp()) / "show"
    status, _, said = compiler.run([*request.options(), "-w", "-o", str(program_path)], program, "a test")
    assert not status, said[:2000]
    said = subprocess.run([str(program_path)], capture_output=True, text=True, check=True).stdout
    return {line.split(" ")[0]: line.split(" ")[1:] for line in said.splitlines()}


def as_c_prints(value):
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return value.partition(b"\0")[0].hex()
    return value if isinstance(value, float) else str(value)


REAL = {
    "sqlite3.h": {"SQLITE_OK": 0, "SQLITE_TRANSIENT": 2**64 - 1},
    "limits.h": {"LONG_MIN": -(2**63), "ULLONG_MAX": 2**64 - 1, "CHAR_BIT": 8},
    "float.h": {"DBL_MAX": 1.7976931348623157e308, "FLT_RADIX": 2},
    "math.h": {"M_PI": math.pi, "HUGE_VAL": math.inf},
    "errno.h": {"ENOENT": 2},
    "stdint.h": {"UINT64_MAX": 2**64 - 1, "INT8_MIN": -128},
    "inttypes.h": {"PRIu64": "lu"},
    "signal.h": {"SIGINT": 2, "SIG_ERR": 2**64 - 1},
    "sys/mman.h": {"MAP_FAILED": 2**64 - 1},
    "zlib.h": {"Z_BEST_COMPRESSION": 9},
    "openssl/evp.h": {"EVP_MAX_MD_SIZE": 64, "SN_sha256": "SHA256"},
}


@pytest.mark.parametrize("name", REAL)
def test_every_constant_of_a_real_header_is_what_c_says(name):
    try:
        facts = found_in(name)
    except HeaderError:
        pytest.skip(f"{name} is not installed")
    for constant, value in REAL[name].items():
        assert facts.constants[constant].value == value
    said = c_says(facts, name)
    assert len(said) == len(facts.constants)
    for constant, one in facts.constants.items():
        same, text = said[constant]
        assert same == "1", f"{constant} is not of the type {one.type}"
        got = as_c_prints(one.value)
        if isinstance(got, float):
            expected = float.fromhex(text)
            assert got == expected or math.isnan(got) and math.isnan(expected), constant
        else:
            assert got == text, constant


def test_with_gnu_source_the_constants_of_math_h_have_all_their_types():
    found = pairs(found_in("math.h", defines={"_GNU_SOURCE": None}))
    assert found["M_PIl"] == (math.pi, "long double")
    assert found["M_PIf128"] == (math.pi, "_Float128")
    assert found["M_PIf32"][1] == "float" and found["M_PIf64x"][1] == "long double"


def test_few_runs_of_the_compiler_serve_all_macros(monkeypatch):
    unit = preprocess(Request.of("stdio.h"))
    runs = []
    real = compiler.run
    monkeypatch.setattr(compiler, "run", lambda *given: runs.append(given[0]) or real(*given))
    constants.find(unit, Facts())
    assert len(runs) <= 3


def test_literals_that_need_no_compiler_have_the_types_that_it_gives_them(header):
    """Integer literals are read in Python; behind a unary plus the compiler reads the same ones."""
    literals = [
        prefix.format(value) + suffix
        for value in (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
        for prefix in ("{}", "{:#x}", "0{:o}")
        for suffix in ("", "u", "L", "UL", "lu", "ll", "LLU")
        if not (prefix == "{}" and value >= 2**63 and "u" not in suffix.lower())
    ]
    text = "".join(f"#define A{n} {one}\n#define B{n} (1 ? {one} : 0)\n" for n, one in enumerate(literals))
    found = pairs(header(text))
    for number, one in enumerate(literals):
        assert found[f"A{number}"] == found[f"B{number}"], one


# --- object files -----------------------------------------------------------------------------------------------------


def test_a_damaged_object_file_is_an_error_and_nothing_worse(tmp_path):
    path = tmp_path / "given.o"
    text = 'const int number = 5; const char *const text = "abc"; int f(void) { return number; }'
    status, _, said = compiler.run(["-c", "-ffunction-sections", "-fno-lto", "-o", str(path)], text, "a test")
    assert not status, said
    image = path.read_bytes()
    whole = ObjectFile(image)
    assert int.from_bytes(whole.data("number", 4), "little" if whole.order == "<" else "big") == 5
    assert whole.string(whole.target("text")) == b"abc" and whole.target("number") is None
    chance = random.Random(1)
    for _ in range(1500):
        damaged = bytearray(image[: chance.choice((len(image), chance.randrange(len(image))))])
        for _ in range(chance.randrange(4)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            found = ObjectFile(bytes(damaged))
            for name in found.symbols:
                target = found.target(name)
                if target is not None:
                    found.string(target)
                found.data(name, 4)
                found.needs(name)
        except ValueError:
            continue


def test_what_is_no_object_file_is_a_value_error():
    for image in (b"", b"\x7fELF", b"MZ" + bytes(100), b"\xcf\xfa\xed\xfe"):
        with pytest.raises(ValueError):
            ObjectFile(image)
