"""Headers become facts: what real headers are written in is read as C reads it.

C is the judge: every layout and value of the header below is asked of compiled C, random structs too, and the functions
of real headers of ``gcc -aux-info``.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from clib import compile_c, load_c
from layout_check import Maker, source

import epsilon
from epsilon import compiler
from epsilon.headers.preprocess import preprocess
from epsilon.headers.reading import declarations, read_headers
from epsilon.headers.request import Request

STRUCTS = """
#include <stddef.h>
#include <stdint.h>
#include <stdarg.h>
struct plain { char c; double d; };
struct __attribute__((packed)) packed_first { char c; int i; };
struct packed_last { char c; int i; } __attribute__((__packed__));
struct aligned { char c; } __attribute__((aligned(32)));
struct aligned_most { char c; } __attribute__((aligned));
struct members { char c; int i __attribute__((aligned(16))); _Alignas(8) char d; _Alignas(double) char e; };
struct one_packed { char c; int i __attribute__((packed)); short s; };
struct first_of_two { char a __attribute__((aligned(4))), b; int c; };
typedef int wide __attribute__((aligned(16)));
typedef long narrow __attribute__((aligned(4)));
typedef wide wide_too;
struct through_typedefs { char c; wide x; char d; narrow l; narrow several[2]; char e; wide_too y; };
typedef struct { int x; } __attribute__((aligned(16))) tagless_aligned;
typedef struct { int x; char y; } tagless;
struct of_tagless { char c; tagless t; tagless_aligned u; };
typedef unsigned int byte __attribute__((__mode__(__QI__)));
struct modes { byte a; int b __attribute__((mode(DI))); int c __attribute__((mode(HI))); };
typedef float floats __attribute__((vector_size(16)));
struct vectors { char c; floats v; __attribute__((vector_size(8))) short s; };
#pragma pack(push, 2)
struct pack_2 { char c; int i; struct { char d; long l; } in; };
#pragma pack(push, 1)
struct pack_1 { char c; long l; };
#pragma pack(pop)
struct pack_2_again { char c; long l; };
#pragma pack()
struct pack_none { char c; long l; };
enum color { RED, GREEN = 1 << 4, BLUE = sizeof(struct plain), NEGATIVE = -5, LETTER = 'A', CHOSEN = (1 ? 7 : 8),
             INVERSE = ~0, ESCAPE = '\\x1b' };
enum big { BIG = 0xFFFFFFFFFFULL, SMALL = 1 };
enum most { MOST = 0xFFFFFFFFFFFFFFFFULL };
enum { NAMELESS = 10, NEXT };
typedef enum { FIRST, LAST = 5 } tagless_enum;
enum __attribute__((packed)) tiny { TINY };
struct enums { enum color c; tagless_enum t; enum tiny y; enum big b; enum inner { INNER = 3 } in;
               enum { INSIDE = 9 } ai; enum color f : 6; };
struct bits { unsigned a : 3; unsigned : 0; unsigned b : sizeof(int) * 2; int64_t c : 40; unsigned char d : 1, e : 2;
              _Bool f : 1; unsigned : 5; };
struct more_bits { long long a : 33; int b : 1 __attribute__((packed)); unsigned long long d : 64; signed char : 4; };
struct __attribute__((packed)) packed_bits { unsigned a : 7; unsigned long b : 60; char c; int d[2]; };
struct arrays { char a[sizeof(long) * 2]; int b[GREEN + 3]; char c[(int)4.0]; int d[offsetof(struct plain, d)];
                short m[2][3]; char z[0]; char last[]; };
struct anonymous { int tag; union { int i; float f; struct { short lo, hi; }; };
                   struct { int deep; struct { char x; } deeper; } named; struct { int k; } several[3]; };
struct itself { struct itself *next; struct holder *holder; void (*call)(struct itself *, const struct itself *); };
struct holder { struct itself held; };
union either { int i; double d; char c[12]; };
struct empty { };
struct with_empty { struct empty e; int x; };
struct asserting { int a; _Static_assert(sizeof(int) == 4, "x; }"); int b; };
struct flexible { int n; union { char c[1]; int i; } data[]; };
struct outer { struct nested { int q; } in; union other { int i; } *up; struct declared { int w; }; };
typedef int four[4];
struct typedefs { four a; four b[2]; va_list arguments; long double l; _Complex float z; };
struct strange { volatile int a; const char *const b; _Float128 q; __int128 h; _Float32x x; _Complex _Float64 y; };
struct kernel { int n; union { struct { struct { } none; char x[]; }; struct { struct { } neither; int y[]; }; }; };
"""


def write(folder, text, name="subject.h"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def facts_of(folder, text, **options):
    return read_headers(Request.of(write(folder, text), **options))


@pytest.fixture(scope="module")
def structs(tmp_path_factory):
    return facts_of(tmp_path_factory.mktemp("headers"), STRUCTS)


def asked_of_c(header, numbers):
    """What compiled C says of constant expressions."""
    listed = ", ".join(f"(long long)({number})" for number in numbers)
    text = f"{header}\n#include <stddef.h>\nconst long long answers[] = {{ {listed} }};"
    declared = load_c(text).declare(f"extern const long long answers[{len(numbers)}];")
    return list(declared.variables["answers"].value)


# --- layouts and values -----------------------------------------------------------------------------------------------


def test_every_layout_is_that_of_c(structs):
    assert structs.proved and not structs.skipped
    tagless = {"struct tagless", "struct tagless_aligned"}
    records = {name: row for name, row in structs.records.items() if f" {name.split(' ')[1]} {{" in STRUCTS}
    assert len(records) > 30
    numbers, ours = [], []
    for name, row in [*records.items(), *((name, structs.records[name]) for name in tagless)]:
        spelled = name.split(" ")[1] if name in tagless else name
        assert row.definition is not None, name
        numbers += [f"sizeof({spelled})", f"_Alignof({spelled})"]
        ours += [row.size, row.alignment]
        for member, first, bits in row.members:
            if first % 8 == 0 and bits % 8 == 0 and bits and f"{member} :" not in row.definition:
                numbers += [f"offsetof({spelled}, {member})", f"sizeof((({spelled} *)0)->{member})"]
                ours += [first // 8, bits // 8]
    assert ours == asked_of_c(STRUCTS, numbers)


@pytest.mark.parametrize("struct", ["bits", "more_bits", "packed_bits", "enums"])
def test_bit_fields_lie_where_c_has_them(structs, struct):
    row = structs.records[f"struct {struct}"]
    fields = [member for member in row.members if f"{member[0]} :" in row.definition]
    assert fields
    for name, first, bits in fields:
        image = load_c(f"{STRUCTS}\nstruct {struct} one = {{ .{name} = -1 }};").declare(
            f"extern unsigned char one[{row.size}];").variables["one"].value  # fmt: skip
        number = int.from_bytes(bytes(image), "little")
        assert number == ((1 << bits) - 1) << first


def test_every_constant_of_an_enum_is_that_of_c(structs):
    names = [name for name in structs.constants if re.search(rf"\b{name}\b", STRUCTS)]
    assert len(names) >= 18
    values = [structs.constants[name].value for name in names]
    assert [value - (1 << 64) if value >> 63 > 0 else value for value in values] == asked_of_c(STRUCTS, names)
    assert structs.constants["MOST"].value == (1 << 64) - 1
    signs = asked_of_c(STRUCTS, [f"(__typeof__({name}))-1 < 0" for name in names])
    assert [not structs.constants[name].type.startswith("unsigned") for name in names] == [bool(sign) for sign in signs]


def test_enums_have_the_compilers_type(structs):
    spelled = {"tagless_enum": "tagless_enum"}
    sizes = {"int": 4, "unsigned int": 4, "long": 8, "unsigned long": 8, "unsigned char": 1}
    tags = [tag for tag in structs.enums if tag != "tagless_enum"] + ["tagless_enum"]
    assert set(tags) == {"color", "big", "most", "tagless_enum", "tiny", "inner"}
    said = asked_of_c(STRUCTS, [f"sizeof({spelled.get(tag, f'enum {tag}')})" for tag in tags])
    assert [sizes[structs.enums[tag].type] for tag in tags] == said
    assert dict(structs.enums["color"].values)["NEGATIVE"] == -5
    assert structs.enums["color"].type == "int" and structs.enums["tagless_enum"].type == "unsigned int"


def test_random_structs_are_those_of_c(tmp_path):
    maker = Maker(5)
    nodes = [maker.node(f"random_{index}") for index in range(150)]
    text = "\n".join(other.text() for node in nodes for other in (*node.needed(), node))
    facts = facts_of(tmp_path, text)
    assert not facts.skipped
    library = load_c(source(nodes))
    for node in nodes:
        row = facts.records[f"{node.kind} {node.tag}"]
        names = [item.name for item in node.members() if item.bits is None]
        said = library.declare(f"extern const long {node.tag}_places[{2 + len(names)}];")
        places = {name: first // 8 for name, first, _ in row.members}
        assert [row.size, row.alignment, *(places[name] for name in names)] == list(
            said.variables[f"{node.tag}_places"].value
        )


def test_texts_are_normalised(structs):
    definitions = {name: row.definition for name, row in structs.records.items()}
    assert definitions["struct packed_first"] == "struct packed_first { char c; int i; } __attribute__((packed))"
    assert definitions["struct members"].startswith("struct members { char c; int i __attribute__((aligned(16))); ")
    assert definitions["struct pack_1"] == "#pragma pack(1)\nstruct pack_1 { char c; long l; }"
    assert definitions["struct arrays"].startswith("struct arrays { char a[16]; int b[19]; char c[4]; int d[8]; ")
    assert definitions["struct outer"] == "struct outer { struct nested in; union other *up; }"
    assert definitions["struct bits"].startswith("struct bits { unsigned a : 3; unsigned : 0; unsigned b : 8; ")
    assert definitions["struct tagless"] == "struct tagless { int x; char y; }"
    assert structs.typedefs["tagless"].declaration == "typedef struct tagless tagless"
    assert structs.typedefs["byte"].declaration == "typedef unsigned char byte"
    assert structs.records["struct anonymous"].members[1:5] == (
        ("i", 32, 32), ("f", 32, 32), ("lo", 32, 16), ("hi", 48, 16))  # fmt: skip


# --- functions, variables, typedefs -----------------------------------------------------------------------------------

FUNCTIONS = """
#include <stddef.h>
#include <stdarg.h>
struct plain { char c; double d; };
typedef int function_type(int, const char *);
function_type through_typedef;
typedef function_type function_type_too;
extern function_type_too second, third;
function_type *gives_function(void);
int renamed(int) __asm__("real_" "name");
extern int renamed_variable __asm__("real_variable");
int (parenthesized)(int);
int *(*gives_pointer(int a))(char);
void (*signal_like(int, void (*)(int)))(int);
int first(void), with_parameter(int), *a_variable, an_array[3];
int old_style();
int bounds(int n, int a[n], int b[static 3], int c[const 4], int d[*], char e[][sizeof(long)], char f[n][4]);
extern __typeof__(first) alias;
extern typeof(int *) of_typeof;
typeof(struct plain) a_plain;
extern __typeof__(renamed_variable) like_it;
__extension__ typedef long long int unsigned swapped;
void qualified(const int * const * volatile p, char *__restrict__ a, char *restrict b);
_Float64 floats(_Float32 a, _Float32x b, _Float64x c, _Float128 d, __float128 e);
double _Complex complexes(float _Complex); _Complex long double long_complex(_Complex _Float64 z);
__int128 wide(unsigned __int128);
void takes_arguments(const char *format, va_list arguments);
void takes_builtin(__builtin_va_list);
extern _Thread_local int own; extern __thread int own_too;
typedef union { int *i; struct plain *p; } transparent __attribute__((__transparent_union__));
int takes_transparent(transparent u, int n);
_Atomic int atomic_1; _Atomic(int) atomic_2;
int shadows(int size_t, struct plain plain);
extern struct { int x; char y; } nameless_variable;
typedef struct { int a; } *pointer_alone;
typedef struct { int a, b; } pair, *pair_pointer;
struct pointed_at; struct pointed_at *opaque(struct pointed_at *);
int variadic(const char *, ...);
int tables(int (*table[3])(void), char *argv[], int m[][3]);
static inline int inline_1(int a) { return ({ int q = a; q + 1; }); }
static __inline__ __attribute__((always_inline)) int inline_2(struct plain *p)
{ struct l { int z; } l = { 1 }; return l.z; }
inline int inline_3(int x) { return x; }
extern inline __attribute__((gnu_inline)) int inline_4(int x) { return x; }
extern int exported(int);
extern inline __attribute__((gnu_inline)) int exported(int x) { return x; }
int defined_old_style(a, b) int a; char *b; { return a; }
asm(".globl nothing");
;
_Static_assert(sizeof(long) == 8, "no { brace");
int last(void);
"""


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    return facts_of(tmp_path_factory.mktemp("headers"), FUNCTIONS)


@pytest.mark.parametrize(("name", "prototype"), [
    ("through_typedef", "int through_typedef(int, const char *)"),
    ("second", "int second(int, const char *)"),
    ("third", "int third(int, const char *)"),
    ("gives_function", "function_type *gives_function(void)"),
    ("parenthesized", "int parenthesized(int)"),
    ("gives_pointer", "int *(*gives_pointer(int a))(char)"),
    ("signal_like", "void (*signal_like(int, void (*)(int)))(int)"),
    ("with_parameter", "int with_parameter(int)"),
    ("old_style", "int old_style()"),
    ("bounds", "int bounds(int n, int a[], int b[3], int c[4], int d[], char e[][8], char f[][4])"),
    ("alias", "int alias(void)"),
    ("floats", "_Float64 floats(_Float32 a, _Float32x b, _Float64x c, _Float128 d, _Float128 e)"),
    ("long_complex", "_Complex long double long_complex(_Complex _Float64 z)"),
    ("wide", "__int128 wide(unsigned __int128)"),
    ("takes_transparent", "int takes_transparent(int *u, int n)"),
    ("variadic", "int variadic(const char *, ...)"),
    ("tables", "int tables(int (*table[3])(void), char *argv[], int m[][3])"),
    ("exported", "int exported(int)"),
    ("last", "int last(void)"),
])  # fmt: skip
def test_prototypes_are_normalised(functions, name, prototype):
    assert functions.functions[name].prototype == prototype


def test_nothing_of_it_is_lost(functions):
    assert functions.skipped == {}
    assert list(functions.inlines) == ["inline_1", "inline_2", "inline_3", "inline_4", "defined_old_style"]
    assert all(row.symbol == f"epsilon_inline_{name}" for name, row in functions.inlines.items())


def test_an_asm_label_is_the_name_that_is_linked(functions):
    assert functions.functions["renamed"].symbol == "real_name"
    assert functions.variables["renamed_variable"].symbol == "real_variable"
    assert functions.functions["first"].symbol == "first"


def test_variables(functions):
    declared = {name: row.declaration for name, row in functions.variables.items()}
    assert declared["a_variable"] == "int *a_variable" and declared["an_array"] == "int an_array[3]"
    assert declared["of_typeof"] == "int *of_typeof" and declared["a_plain"] == "struct plain a_plain"
    assert declared["like_it"] == "int like_it" and declared["own"] == "int own"
    assert declared["nameless_variable"] == "struct { int x; char y; } nameless_variable"


def test_typedefs(functions):
    declared = {name: row.declaration for name, row in functions.typedefs.items()}
    assert declared["function_type"] == "typedef int function_type(int, const char *)"
    assert declared["pointer_alone"] == "typedef struct { int a; } *pointer_alone"
    assert declared["pair"] == "typedef struct pair pair"
    assert declared["pair_pointer"] == "typedef struct pair *pair_pointer"
    assert functions.records["struct pointed_at"].definition is None


def test_what_attributes_say_of_functions(tmp_path):
    facts = facts_of(tmp_path, """
        #include <stddef.h>
        int a(int) __attribute__((const)), b(const char *) __attribute__((__pure__));
        void *c(size_t) __attribute__((malloc, alloc_size(1), warn_unused_result));
        void d(void *, char *) __attribute__((nonnull(1, 2)));
        void e(void *, char *) __attribute__((nonnull));
        _Noreturn void f(void);
        void g(void) __attribute__((noreturn, cold));
        __attribute__((deprecated("use other"))) int h(int);
        [[gnu::pure]] int i(int);
        __attribute__((ms_abi)) int j(int);
        int k(int __attribute__((unused)) x);
        int l(int); int l(int) __attribute__((pure));
        int m(int) __attribute__((stdcall, regparm(1)));
    """)  # fmt: skip
    assert {name: row.notes for name, row in facts.functions.items()} == {
        "a": ("const",), "b": ("pure",), "c": ("malloc",), "d": ("nonnull 1 2",), "e": ("nonnull",), "f": ("noreturn",),
        "g": ("noreturn",), "h": ("deprecated",), "i": ("pure",), "j": ("ms_abi",), "k": (), "l": ("pure",), "m": (),
    }  # fmt: skip


def test_facts_are_read_again_without_pycparser(functions):
    from epsilon.prototypes import parse_prototype

    plain = [row.prototype for row in functions.functions.values() if "struct" not in row.prototype]
    known = [text for text in plain if not re.search(r"function_type|_Float|int128|va_list|_Complex|typedef", text)]
    assert len(known) > 10
    for text in known:
        assert parse_prototype(text).name in functions.functions


# --- what cannot be read ----------------------------------------------------------------------------------------------


def test_one_declaration_that_cannot_be_read_costs_itself(tmp_path):
    facts = facts_of(tmp_path, """\
int before(int);
unknown_type wrong(int);
int between(int);
int syntax error here;
struct broken { unknown_type x; };
int uses(struct broken *);
typedef unknown_type alias;
int same_line(int); alias also(void);
static int elsewhere(int);
static const int own = 5;
struct swapped { int a; } __attribute__((scalar_storage_order("big-endian")));
int after(int);
""")  # fmt: skip
    assert list(facts.functions) == ["before", "between", "uses", "same_line", "after"]
    assert facts.records["struct broken"].definition is None
    header = str(tmp_path / "subject.h")
    places = {name: (row.kind, row.file, row.line) for name, row in facts.skipped.items()}
    assert places["wrong"] == ("function", header, 2)
    assert places["here"] == ("variable", header, 4)
    assert places["struct broken"] == ("struct", header, 5)
    assert places["alias"] == ("typedef", header, 7)
    assert places["also"] == ("function", header, 8)
    assert "unknown type name 'unknown_type'" in facts.skipped["wrong"].reason
    assert "static" in facts.skipped["elsewhere"].reason and "static" in facts.skipped["own"].reason
    assert "byte order" in facts.skipped["struct swapped"].reason


def test_a_header_that_is_not_found_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(epsilon.HeaderError) as caught:
        read_headers(Request.of("no_such_header.h", include_dirs=[tmp_path]))
    assert "the header no_such_header.h is not found; it was looked for in:" in str(caught.value)
    assert f"\n  {tmp_path}\n" in str(caught.value) and "/usr/include" in str(caught.value)
    with pytest.raises(epsilon.HeaderError, match="did you mean 'string.h'"):
        read_headers(Request.of("strinh.h"))
    with pytest.raises(epsilon.HeaderError, match="missing.h is not found.*is included by .*subject.h, line 2"):
        facts_of(tmp_path, "\n#include <missing.h>\n")
    with pytest.raises(epsilon.HeaderError, match="not found"):
        read_headers(Request.of(tmp_path / "absent.h"))


def test_a_file_of_this_folder_is_named_by_its_path(tmp_path, monkeypatch):
    write(tmp_path, "int f(int);", "mine.h")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(epsilon.HeaderError, match="named by its path: './mine.h'"):
        read_headers(Request.of("mine.h"))
    assert list(read_headers(Request.of("./mine.h")).functions) == ["f"]


def test_a_header_that_declares_nothing_is_an_error(tmp_path):
    with pytest.raises(epsilon.HeaderError, match=r"nothing is declared in\n.*subject\.h"):
        facts_of(tmp_path, "#include <stdio.h>\n")
    with pytest.raises(epsilon.HeaderError, match=r"what cannot be read:\n  f .*unknown type name"):
        facts_of(tmp_path, "#ifndef SUBJECT_H\n#define SUBJECT_H\nunknown_type f(void);\n#endif\n")


def test_what_the_preprocessor_refuses_is_told_in_its_words(tmp_path):
    with pytest.raises(epsilon.HeaderError, match="only through another"):
        facts_of(tmp_path, "#error only through another\n")


@pytest.mark.parametrize("header", ['a"b', "a>\n#define x", "", 5, [], ["a b"], b"a.h", "folder/"])
def test_what_is_no_header_never_reaches_the_compiler(header):
    with pytest.raises(epsilon.ForeignTypeError, match="a header is"):
        Request.of(header)


@pytest.mark.parametrize("options", [
    {"defines": {"a b": 1}}, {"defines": {"A": "1\n#define B"}}, {"defines": [5]}, {"cflags": ["-o", "x"]},
    {"cflags": ["@file"]}, {"cflags": [5]}, {"pkg_config": "--version"}, {"pkg_config": "a b"}, {"include": ["\n"]},
    {"include_dirs": [""]}, {"macros": {"a-b": ["int"]}},
])  # fmt: skip
def test_what_is_no_option_never_reaches_the_compiler(options):
    with pytest.raises(epsilon.ForeignTypeError):
        Request.of("stdio.h", **options)


# --- what comes along -------------------------------------------------------------------------------------------------


def test_what_a_header_includes_comes_along_and_the_systems_headers_do_not(tmp_path):
    write(tmp_path, "#pragma once\ntypedef int number; int inner(number);\n#define INNER 5\n", "inner.h")
    facts = facts_of(tmp_path, '#include <stdio.h>\n#include "inner.h"\nint outer(FILE *, number, struct tm *);')
    assert set(facts.functions) == {"inner", "outer"}
    assert facts.constants["INNER"].value == 5 and "EOF" not in facts.constants
    assert {"FILE", "number"} <= set(facts.typedefs)  # a type that is needed comes from wherever it is
    assert [os.path.basename(facts.files[index]) for index in sorted(facts.own)] == ["subject.h", "inner.h"]


@pytest.mark.parametrize(("header", "constant", "function"), [
    ("errno.h", "ENOENT", "__errno_location"), ("poll.h", "POLLIN", "poll"), ("signal.h", "SIGTERM", "kill"),
    ("fcntl.h", "O_RDONLY", "open"), ("sys/stat.h", "S_IFMT", "stat"), ("memory.h", None, "memcpy"),
])  # fmt: skip
def test_a_header_of_the_system_that_is_named_counts_with_those_that_serve_it(header, constant, function):
    facts = read_headers(Request.of(header))
    assert function in facts.functions and (constant is None or constant in facts.constants)
    assert "printf" not in facts.functions


def test_a_header_that_another_had_read_before_counts_where_it_is_named(tmp_path):
    write(tmp_path, "#include <time.h>\nint mine(time_t);\n")
    alone = read_headers(Request.of(tmp_path / "subject.h"))
    both = read_headers(Request.of([tmp_path / "subject.h", "time.h"]))
    assert "mktime" not in alone.functions and {"mine", "mktime"} <= set(both.functions)
    assert "struct timespec" in both.records


def test_include_and_exclude_leave_what_is_wanted_and_the_types_it_needs(tmp_path):
    text = """
        struct used { int a; }; struct unused { int a; }; typedef struct used *handle; enum { ABC_ONE, XYZ_TWO };
        int abc_open(handle h); int abc_close(handle h); int xyz_open(struct unused *); extern int abc_count;
    """
    facts = facts_of(tmp_path, text, include=["abc_*", "ABC_*"], exclude=["*_close"])
    assert list(facts.functions) == ["abc_open"] and list(facts.variables) == ["abc_count"]
    assert list(facts.constants) == ["ABC_ONE"]
    assert list(facts.typedefs) == ["handle"] and list(facts.records) == ["struct used"]


def test_defines_and_folders_and_flags_reach_the_compiler(tmp_path):
    folder = tmp_path / "with space"
    folder.mkdir()
    write(folder, "int f(int[LENGTH]);\n#ifdef EXTRA\nint g(void);\n#endif\n", "lib.h")
    facts = read_headers(Request.of("lib.h", include_dirs=folder, defines={"LENGTH": 3, "EXTRA": None}))
    assert facts.functions["f"].prototype == "int f(int [3])" and "g" in facts.functions
    facts = read_headers(Request.of("lib.h", cflags=[f"-I{folder}", "-DLENGTH=4"]))
    assert facts.functions["f"].prototype == "int f(int [4])" and "g" not in facts.functions


def test_pkg_config_is_asked(tmp_path, monkeypatch):
    write(tmp_path, "int packaged(void);\n", "packaged.h")
    write(tmp_path, f"Name: packaged\nDescription: x\nVersion: 1\nCflags: -I{tmp_path}\n", "packaged.pc")
    monkeypatch.setenv("PKG_CONFIG_PATH", str(tmp_path))
    if shutil.which("pkg-config") is None:
        with pytest.raises(epsilon.HeaderError, match="cannot be run"):
            read_headers(Request.of("packaged.h", pkg_config="packaged"))
        return
    assert "packaged" in read_headers(Request.of("packaged.h", pkg_config="packaged")).functions
    with pytest.raises(epsilon.HeaderError, match="pkg-config has no no-such-package"):
        Request.of("packaged.h", pkg_config="no-such-package").options()


# --- without a compiler -----------------------------------------------------------------------------------------------


def test_without_a_compiler_layouts_are_computed_and_not_proved(tmp_path, monkeypatch):
    if shutil.which("cpp") is None:
        pytest.skip("needs a preprocessor by itself (cpp)")
    path = write(tmp_path, STRUCTS)
    proved = declarations(preprocess(Request.of(path)))
    monkeypatch.setenv("CC", "cpp")
    computed = declarations(preprocess(Request.of(path)))
    assert proved.proved and not computed.proved
    # what takes the compiler's own arithmetic or a choice that C leaves to it
    lost = {"struct arrays", "struct enums", "struct aligned_most"}
    for name, row in proved.records.items():
        if name not in lost and row.definition is not None:
            assert computed.records[name] == row, name
    for name in ("RED", "GREEN", "BLUE", "NEGATIVE", "INVERSE", "BIG", "NEXT"):
        assert computed.constants[name].value == proved.constants[name].value


def test_no_compiler_at_all_is_said(monkeypatch):
    monkeypatch.setenv("CC", "/nonexistent/compiler")
    with pytest.raises(epsilon.CompilerError, match="needs a C compiler"):
        read_headers(Request.of("stdio.h"))


# --- real headers -----------------------------------------------------------------------------------------------------

LIBC = ["stdio.h", "stdlib.h", "string.h", "math.h", "time.h", "sys/stat.h", "sys/socket.h", "netinet/in.h", "dirent.h",
        "signal.h", "pthread.h", "termios.h", "unistd.h", "fcntl.h", "errno.h"]  # fmt: skip


def present(header):
    return compiler.run(["-E", "-x", "c"], f"#include <{header}>\n", "the test")[0] == 0


def functions_by_gcc(request, own, tmp_path):
    """The functions that GCC finds declared in the files ``own``."""
    program = tmp_path / "program.c"
    program.write_text(request.prelude(), encoding="utf-8")
    listing = tmp_path / "listing"
    subprocess.run([*compiler.command(), "-w", *request.options(), "-fsyntax-only", "-aux-info", listing, program],
                   check=True)  # fmt: skip
    found = set()
    for file, text in re.findall(r"^/\* (.*?):\d+:[A-Z]+ \*/ (.*)$", listing.read_text(encoding="utf-8"), re.M):
        if file in own:
            plain = re.sub(r"\(\*+\s*(\w+) \(", r"\1 (", re.sub(r"/\*.*?\*/", "", text))
            found.add(re.search(r"(\w+)(?: \(|;$)", plain.strip())[1])
    return found


@pytest.mark.parametrize("headers", [
    LIBC, ["sqlite3.h"], ["openssl/ssl.h"], ["openssl/evp.h", "openssl/err.h", "openssl/rand.h", "openssl/pem.h"],
    ["zlib.h"], ["png.h"], ["curl/curl.h"], ["sndfile.h"],
], ids=lambda headers: headers[0])  # fmt: skip
def test_a_real_header_is_read_whole(headers, tmp_path):
    for header in headers:
        if not present(header):
            pytest.skip(f"{header} is not installed")
    request = Request.of(headers, defines={"_GNU_SOURCE": 1})
    unit = preprocess(request)
    facts = declarations(unit)
    assert facts.proved and not facts.skipped
    if "#define __clang__" not in unit.text:
        own = {facts.files[index] for index in facts.own}
        wanted = functions_by_gcc(request, own, tmp_path)
        assert wanted and wanted <= set(facts.functions) | set(facts.inlines)
    defined = {name: row for name, row in facts.records.items() if row.definition is not None}
    assert all(row.size is not None for row in defined.values())


def test_sqlite_in_detail():
    if not present("sqlite3.h"):
        pytest.skip("sqlite3.h is not installed")
    facts = read_headers(Request.of("sqlite3.h"))
    open_v2 = facts.functions["sqlite3_open_v2"]
    assert open_v2.prototype == (
        "int sqlite3_open_v2(const char *filename, sqlite3 **ppDb, int flags, const char *zVfs)"
    )
    file, line = open_v2.place
    assert "sqlite3_open_v2" in Path(facts.files[file]).read_text(encoding="utf-8").splitlines()[line - 1]
    assert facts.variables["sqlite3_version"].declaration == "const char sqlite3_version[]"
    assert facts.records["struct sqlite3"].definition is None
    assert facts.constants["SQLITE_ROW"].value == 100
    assert facts.functions["sqlite3_mprintf"].prototype == "char *sqlite3_mprintf(const char *, ...)"


def test_scanf_is_linked_by_the_name_that_the_header_gives_it():
    facts = read_headers(Request.of("stdio.h"))
    if compiler.run(["-E"], "#include <features.h>\n#ifdef __GLIBC__\nglibc\n#endif", "the test")[1].find("glibc") < 0:
        pytest.skip("glibc's own")
    assert facts.functions["scanf"].symbol == "__isoc99_scanf"


def test_the_compiled_text_is_the_headers_own(structs):
    """The same structs, read from the facts, hold what C writes into them."""
    library = epsilon.lib_open(compile_c(f"{STRUCTS}\nvoid fill(struct plain *p) {{ p->c = 7; p->d = 2.5; }}"))
    definition = structs.records["struct plain"].definition.replace("struct plain", "struct read_plain")
    one = epsilon.define_c_struct_auto("read_plain", definition)()
    library.bind("void fill(struct read_plain *p)")(one)
    assert (one.c, one.d) == (7, 2.5)


def test_several_qualifiers_of_one_pointer():
    from epsilon.declarator import parse_type

    assert parse_type("char *const volatile *").spelling == parse_type("char *const *").spelling


# --- any declaration --------------------------------------------------------------------------------------------------


class Declarations:
    """Random C declarations, with GNU syntax wherever its grammar allows it; the same for the same seed."""

    BASES = ["int", "unsigned long long int", "long signed", "char", "_Bool", "double", "_Float64", "long double",
             "size_t", "struct known", "union either *", "enum color", "const char", "char const", "volatile short",
             "number", "const number", "routine *", "struct known *", "void *", "va_list *", "_Float128", "__int128",
             "vector", "_Complex float", "double _Complex", "__typeof__(int *)",
             "__typeof__(struct known)"]  # fmt: skip
    ATTRIBUTES = ["__attribute__((unused))", "__attribute__((__unused__, deprecated))", "__extension__", ""]

    def __init__(self, seed):
        self.rng, self.names = random.Random(seed), 0

    def name(self):
        self.names += 1
        return f"name_{self.names}"

    def declarator(self, inner, depth, ends=False):
        """A declarator around ``inner``; ``ends`` where it may end as an array or a function."""
        rng, draw = self.rng, self.rng.random()
        if depth == 0 or draw < 0.35:
            return inner
        if draw < 0.65:
            qualifier = rng.choice(["", "", "const ", "volatile ", "const volatile "])
            return self.declarator(f"*{qualifier}{inner}", depth - 1)
        if draw < 0.75:
            return self.declarator(f"({inner})", depth - 1, ends) if inner else inner
        if draw < 0.87:
            bound = rng.choice(["3", "sizeof(long)", "(int)4.0", "COLOR_TWO + 1", "1 ? 2 : 3", "0x10"])
            return self.declarator(f"(*{inner})[{bound}]", depth - 1)
        return self.declarator(f"(*{inner})({self.parameters(depth - 1)})", depth - 1)

    def parameters(self, depth):
        rng = self.rng
        if rng.random() < 0.1:
            return rng.choice(["", "void"])
        listed = []
        for _ in range(rng.randint(1, 3)):
            name = self.name() if rng.random() < 0.6 else ""
            text = f"{rng.choice(self.BASES)} {self.declarator(name, depth)}"
            listed.append(f"{text} {rng.choice(['', '', '__attribute__((unused))']) if name else ''}")
        return ", ".join([*listed, *(["..."] if rng.random() < 0.1 else [])])

    def declaration(self):
        rng, name = self.rng, self.name()
        base, before = rng.choice(self.BASES), rng.choice(self.ATTRIBUTES)
        after = rng.choice([*self.ATTRIBUTES[:2], "", "", ""])
        inner = self.declarator(name, 2)
        draw = rng.random()
        if draw < 0.5:
            inner = f"{'*' * rng.randint(0, 2)}{name}({self.parameters(2)})" if inner == name else inner
            return name, f"{before} extern {base} {inner} {after};"
        if draw < 0.75:
            return name, f"{before} typedef {base} {inner} {after};"
        members = f"{base} {self.declarator('a', 2)} {after}, *b; {base} {self.declarator('c', 2)};"
        return name, f"struct {name} {{ {members} }};"


PRELUDE = """
#include <stddef.h>
#include <stdarg.h>
struct known { int a; }; union either { int i; float f; }; enum color { COLOR_ONE, COLOR_TWO };
typedef long number; typedef int routine(int, const char *); typedef float vector __attribute__((vector_size(16)));
"""


@pytest.mark.parametrize("seed", range(3))
def test_any_declaration_means_to_us_what_it_means_to_c(tmp_path, seed):
    """The proof declares everything again from our text, which C refuses where the type is another."""
    made = Declarations(seed)
    listed = [made.declaration() for _ in range(150)]
    facts = facts_of(tmp_path, PRELUDE + "\n".join(text for _, text in listed))
    assert not facts.skipped and facts.proved
    known = {*facts.functions, *facts.variables, *facts.typedefs, *(name.split(" ")[1] for name in facts.records)}
    assert {name for name, _ in listed} <= known
