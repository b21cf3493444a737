"""``Library.declare``: a block of C declarations is read without a compiler, and C agrees with what was read."""

import gc
import pickle

import pytest
from clib import SHIM, load_c, shim_only

import epsilon
from epsilon.bindings import Bindings
from epsilon.typesystem import TAGS, TYPEDEFS

SOURCE = """
typedef struct store store;
struct store { int total; };
typedef struct other other;
enum level { LOW, MIDDLE = 5, HIGH, SIGNED = -2 };
struct pair { int a; double b; struct { char c; } inner; int list[HIGH]; unsigned flag : 3; };
typedef union { int i; float f; } number;
typedef int operation(int);

store *store_open(int total) { static store one; one.total = total; return &one; }
int store_total(store *s) { return s->total; }
double pair_sum(struct pair p) { return p.a + p.b + p.inner.c + p.list[5] + p.flag; }
int apply(operation *f, int x) { return f(x); }
enum level raise_level(enum level l) { return l + 1; }
int counter = 7;
const int constant = 9;
const char *label = "first";
char *const fixed = "fixed";
int table[4] = {1, 2, 3, 4};
struct pair shared = {1, 2.5};
const char *read_label(void) { return label; }
int read_counter(void) { return counter; }
int other_use(other *o) { return o == 0; }
unsigned long pair_size(void) { return sizeof(struct pair); }
"""
TEXT = """
# 1 "store.h" 1 3
#line 2 "store.h"
typedef struct store store;              // opaque here
typedef struct other other, *other_pointer;
extern store *store_open(int total);     /* a comment; with a semicolon */
int store_total(store *s);
enum level { LOW, MIDDLE = 5, HIGH, SIGNED = -2 };
struct pair { int a; double b; struct { char c; } inner; int list[HIGH]; unsigned flag : 3; };
double pair_sum(struct pair p);
typedef union { int i; float f; } number;
typedef int operation(int);
int apply(operation *f, int x), read_counter(void);
enum level raise_level(enum level l);
extern int counter; extern const int constant; extern const char *label; extern char *const fixed;
extern int table[4];
extern struct pair shared;
const char *read_label(void);
int other_use(other *o);
enum { BITS = 1 << 4 | 0x1u, LETTER = 'a', NEWLINE = '\\n', LAST = (BITS - LETTER) * 2, OCTAL = 010L, INVERSE = ~0 }
"""


@pytest.fixture
def library():
    with load_c(SOURCE) as opened:
        yield opened


@pytest.fixture
def store(library):
    return library.declare(TEXT)


# --- functions and types --------------------------------------------------------------------------------------------


def test_functions_work_and_are_bound_once(library, store):
    assert store.store_total(store.store_open(12)) == 12
    assert store.functions["store_total"] is store.store_total is library["store_total"]
    assert repr(store.apply) == "int apply(int (*f)(int), int x)"
    assert store.apply(lambda x: x + 1, x=4) == 5
    assert store.raise_level(store.MIDDLE) == store.HIGH


def test_everything_is_in_its_mapping_and_an_attribute(store):
    assert list(store.functions) == [
        "store_open", "store_total", "pair_sum", "apply", "read_counter", "raise_level", "read_label", "other_use",
    ]  # fmt: skip
    assert list(store.variables) == ["counter", "constant", "label", "fixed", "table", "shared"]
    assert list(store.structs) == ["pair"]
    assert list(store.unions) == ["number"]
    assert list(store.typedefs) == ["store", "other", "other_pointer", "number", "operation"]
    assert dict(store.enums) == {"level": {"LOW": 0, "MIDDLE": 5, "HIGH": 6, "SIGNED": -2}}
    for table in (store.functions, store.variables, store.structs, store.unions, store.typedefs, store.constants):
        for name in table:
            assert name in dir(store)
            if SHIM or name != "pair_sum":  # which takes a struct with bit-fields by value
                assert getattr(store, name) is table[name]
    assert repr(store.unions) == "<number>"
    assert "8 functions, 6 variables, 10 constants, 5 typedefs, 1 struct, 1 union, 1 enum" in repr(store)


def test_a_name_that_was_not_declared(store):
    with pytest.raises(AttributeError, match="declares no 'store_totl'; did you mean 'store_total'"):
        _ = store.store_totl
    assert not hasattr(Bindings.__new__(Bindings), "functions")


def test_constants(store):
    assert {name: store.constants[name] for name in ("BITS", "LETTER", "NEWLINE", "LAST", "OCTAL", "INVERSE")} == {
        "BITS": 17, "LETTER": 97, "NEWLINE": 10, "LAST": -160, "OCTAL": 8, "INVERSE": -1,
    }  # fmt: skip


def test_structs_are_laid_out_as_c_does(library, store):
    pair = store.pair(a=1, b=2.5, list=[0, 0, 0, 0, 0, 4], flag=5)
    pair.inner.c = 3
    assert store.pair.size == library.bind("size_t pair_size(void)")()
    assert store.number(i=5).i == 5
    assert store.number is store.unions["number"] is store.typedefs["number"]


@shim_only
def test_a_struct_with_bit_fields_by_value(store):
    assert store.pair_sum({"a": 1, "b": 2.5, "list": [0, 0, 0, 0, 0, 4], "flag": 5}) == 12.5


def test_pointers_to_opaque_types_are_distinct(store):
    opened = store.store_open(3)
    with pytest.raises(epsilon.ForeignTypeError, match="other"):
        store.other_use(opened)


def test_typedefs_stay_in_the_block(library, store):
    assert not {"store", "other", "number", "operation"} & set(TYPEDEFS)
    with pytest.raises(epsilon.ForeignTypeError, match="unknown type 'number'"):
        library.declare("number f(void);")
    again = library.declare("typedef double number; number twice(number n);")
    assert again.typedefs["number"] is epsilon.ctype("double")


def test_enums_have_the_type_that_compilers_give_them(library):
    text = "enum a { A }; enum b { B = -1 }; enum c { C = 0x100000000 }; int f(enum a, enum b, enum c);"
    parameters = library.declare(text).f.signature.parameters
    assert [found.spelling for found in parameters] == ["unsigned int", "int", "unsigned long long"]


def test_saying_it_again_is_allowed_as_in_c(library):
    twice = "typedef int n; typedef int n; int read_counter(void); n read_counter(); extern int counter, counter;"
    found = library.declare(twice)
    assert found.read_counter() == 7


def test_options_hold_for_every_function(library):
    found = library.declare("int read_counter(void); int missing(void);", errno=True, check="positive", optional=True)
    assert found.read_counter() == 7
    assert found.missing is None
    library.declare("extern int counter;").counter.value = -1
    with pytest.raises(epsilon.ForeignError, match="read_counter"):
        found.read_counter()
    library.declare("extern int counter;").counter.value = 7


@pytest.mark.parametrize(("options", "message"), [
    ({"critcal": True}, "unknown option 'critcal'; did you mean 'critical'"),
    ({"name": "f"}, "the option 'name' is for one function"),
    ({"check": "nonnegativ"}, "unknown check"),
])  # fmt: skip
def test_options_that_are_none(library, options, message):
    with pytest.raises(epsilon.ForeignTypeError, match=message):
        library.declare("int read_counter(void);", **options)


def test_a_function_that_is_not_there_is_missed_at_its_call(library):
    missing = library.declare("int missing(void);").missing
    with pytest.raises(epsilon.SymbolNotFoundError, match="missing"):
        missing()


def test_a_function_of_a_block_pickles():
    strlen = epsilon.lib_open("libc").declare("typedef size_t length; length strlen(const char *s);").strlen
    assert pickle.loads(pickle.dumps(strlen))("four") == 4


def test_a_block_of_nothing(library):
    assert repr(library.declare(" /* nothing */ ;\n")).endswith("nothing>")


PACKED = """
struct %s_none { char c; double d; };
#pragma pack(push, 1)
struct %s_one { char c; double d; struct { char e; int f; } inner; };
typedef struct { char c; short s; } %s_typedef;
#  pragma pack( push , 2 )   /* and a comment */
struct %s_two { char c; double d; }; struct %s_two_again { char c; int i : 20, j : 20; };
#pragma pack(pop)
union %s_union { char c[3]; int i; };
#pragma pack(push, name, 4)
#pragma pack(push)
#pragma pack(8)
struct %s_eight { char c; long double d; };
#pragma pack(pop, name)
struct %s_back { char c; double d; };
#pragma pack()
struct %s_reset { char c; struct %s_one one; double d; };
#pragma pack(4)
struct %s_four { char c; double d; };
"""


def test_pragma_pack_holds_for_the_definitions_after_it(library):
    text = PACKED.replace("%s", "pragma")
    found = library.declare(text + "int read_counter(void);")
    tags = {**found.structs, **found.unions}
    spelled = [f"struct {tag}" for tag in found.structs] + [f"union {tag}" for tag in found.unions]
    spelled = [each.replace("struct pragma_typedef", "pragma_typedef") for each in spelled]
    values = ", ".join(f"sizeof({each}), _Alignof({each})" for each in spelled)
    c = load_c(f"{text}\nint layouts[] = {{{values}}};")
    numbers = list(epsilon.foreign_variable("layouts", c, ("array", "int", 2 * len(spelled))).value)
    for place, (tag, made) in enumerate(tags.items()):
        assert [made.size, made.alignment] == numbers[2 * place : 2 * place + 2], tag
    assert found.structs["pragma_one"].offset("d") == 1
    assert found.read_counter() == 7


# --- what cannot be read --------------------------------------------------------------------------------------------

WRONG = {
    "#define N 5": "'#define N 5' is a header's",
    "int a;\n  # include <stdio.h>\nint b;": "'# include <stdio.h>' is a header's",
    "#pragma once": "is a header's",
    "#pragma pack(3)": "'#pragma pack(3)': pack takes 1, 2, 4, 8 or 16",
    "#pragma pack(push, 1, x)": "pack takes 1, 2, 4, 8 or 16",
    "#pragma pack(pop)": "'#pragma pack(pop)': there is no push before it",
    "#pragma pack(push, a, 1)\n#pragma pack(pop, b)": "there is no push before it",
    "struct wrong { char c;\n#pragma pack(1)\n int i; };": "'#pragma pack(1)' stands within a declaration",
    "int f(foo_t x)": "unknown type 'foo_t' in the C declaration 'int f(foo_t x)'",
    "int": "'int'.*declares no name",
    "typedef int": "'typedef int'.*declares no name",
    "int 5": "'int 5' at '5': a name is wanted",
    "int f(void": "'int f(void' at 'the end'",
    "struct wrong { int a:99; }": "'struct wrong { int a:99; }'",
    "struct wrong { struct unknown_tag u; }": "'struct wrong { struct unknown_tag u; }'",
    "struct wrong { int a; }; struct wrong { int b; }": "struct wrong is defined twice",
    "enum e { A }; enum e { B }": "enum e is defined twice",
    "enum { A, A }": "'A' was declared as something else",
    "enum { A = B }": "an integer constant is wanted here",
    "enum { A = 1 / 0 }": "no integer constant",
    "enum { A = '\\x' }": "no integer constant",
    "enum empty { }": "at least one constant",
    "enum { A = 0x10000000000000000 }": "no integer type",
    "enum { 5 }": "the name of a constant",
    "enum": "a tag is wanted",
    "typedef int x; extern int x": "'x' was declared as something else",
    "int f(void); long f(void)": "'long f(void)'.*'f' was declared as something else",
    "extern int a[]": "variable 'a'.*no size",
    "extern void v": "variable 'v'.*no size",
    "extern struct unknown_tag v": "variable 'v'.*no size",
    "int f(void) __attribute__((pure))": "'__attribute__'",
    "static inline int f(void) { return 1; } int g(void)": "static inline int f",
    "}": "'}'",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_read_is_quoted_and_nothing_is_left(library, text):
    tags, functions = dict(TAGS), dict(library._declared)
    before = "" if "#" in text else "int read_counter(void); struct fine { int a; }; typedef struct { int b; } named; "
    with pytest.raises(epsilon.ForeignTypeError) as caught:
        library.declare(before + text)
    said = str(caught.value)
    for part in WRONG[text].split(".*"):
        assert part in said
    assert {tag for tag in TAGS if TAGS[tag] is not tags.get(tag)} <= {("struct", "unknown_tag")}
    assert library._declared == functions


def test_a_text_is_wanted(library):
    with pytest.raises(epsilon.ForeignTypeError, match="is a str, not 5"):
        library.declare(5)


def test_an_opaque_struct_is_not_filled_by_a_block_that_fails(library):
    opaque = library.declare("struct filled; int f(struct filled *s);")
    with pytest.raises(epsilon.ForeignTypeError):
        library.declare("struct filled { int a; }; int g(nonsense);")
    assert epsilon.ctype("struct filled").size is None
    defined = library.declare("struct filled { int a; };").filled
    assert opaque.f.signature.parameters[0].target is defined.ctype


def test_a_struct_defined_again_leaves_the_earlier_one_to_its_users(library):
    first = library.declare("struct again { int a; }; int f(struct again *s);")
    second = library.declare("typedef struct again again; struct again { again *next; double d; };")
    assert second.again is not first.again
    assert second.again.size == 16
    assert first.f.signature.parameters[0].target is first.again.ctype


# --- variables ------------------------------------------------------------------------------------------------------


def test_variables_are_read_and_written(store):
    assert store.counter.value == 7
    store.counter.value = 8
    assert store.read_counter() == 8
    store.counter.pointer[0] = 7
    assert store.counter.value == store.read_counter() == 7
    assert repr(store.counter).startswith("<foreign variable int counter of <library ")


def test_arrays_and_structs_are_views(store):
    assert list(store.table.value) == [1, 2, 3, 4]
    store.table.value[2] = 30
    assert list(store.table.pointer) == [1, 2, 30, 4]
    store.table.value = [1, 2, 3, 4]
    assert len(store.table.pointer) == 4
    assert (store.shared.value.a, store.shared.value.b) == (1, 2.5)
    store.shared.value.a = 5
    assert store.shared.value.a == 5


def test_what_is_written_for_c_lives_on(store):
    assert store.label.value == "first"
    store.label.value = "sec" + "ond"
    gc.collect()
    assert store.read_label() == store.label.value == "second"


def test_constant_variables_cannot_be_written(store):
    assert (store.constant.value, epsilon.foreign_string(store.fixed.value)) == (9, "fixed")
    for variable in (store.constant, store.fixed):
        with pytest.raises(epsilon.ForeignMemoryError, match="const"):
            variable.value = 5
        with pytest.raises(epsilon.ForeignMemoryError, match="read-only"):
            variable.pointer[0] = None


def test_a_constant_typedef_is_constant(library):
    found = library.declare("typedef const int fixed_int; extern fixed_int constant;")
    with pytest.raises(epsilon.ForeignMemoryError):
        found.constant.value = 5


def test_a_value_that_does_not_fit(store):
    with pytest.raises(epsilon.ForeignRangeError, match="foreign variable int counter"):
        store.counter.value = 2**40


def test_foreign_variable(library):
    counter = epsilon.foreign_variable("counter", library, "int")
    assert counter.value == 7
    assert (counter.name, counter.library, counter.ctype) == ("counter", library, epsilon.ctype("int"))
    environ = epsilon.foreign_variable("environ", "libc", ("pointer", "string"))
    assert "=" in epsilon.deref(environ.value, type="string")
    assert pickle.loads(pickle.dumps(environ)).value == environ.value
    with pytest.raises(epsilon.SymbolNotFoundError, match="countr"):
        _ = epsilon.foreign_variable("countr", library, "int").value


@pytest.mark.parametrize("type_", ["void", ("array", "int"), ("in", "int"), "struct nowhere_defined"])
def test_types_that_no_variable_has(library, type_):
    with pytest.raises(epsilon.ForeignTypeError, match="variable 'counter'"):
        epsilon.foreign_variable("counter", library, type_)
    with pytest.raises(epsilon.ForeignTypeError, match="a variable's name"):
        epsilon.foreign_variable(5, library, type_)


def test_a_variable_ends_with_its_library():
    library = load_c(SOURCE)
    counter = library.declare(TEXT).counter
    pointer = counter.pointer
    counter.value = 9
    library.close()
    with pytest.raises(epsilon.ForeignError, match="is closed"):
        _ = counter.value
    with pytest.raises(epsilon.ForeignError, match="is closed"):
        counter.value = 5
    with pytest.raises(epsilon.ForeignMemoryError, match="test_declare.py"):
        _ = pointer[0]
