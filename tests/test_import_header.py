"""``import_header``: a real header is one call; C is the judge of what it gives, and the cache of how quickly."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import textwrap

import pytest
from clib import SHIM, compile_c, load_c, run_child, shim_only

import epsilon
from epsilon import import_header
from epsilon.tables import Bindings

HEADER = """
#ifndef STORE_H
#define STORE_H
#include <stddef.h>

typedef struct store store;                  /* opaque */

/** A pair of numbers. */
struct pair { int a; double b; struct { char c; } inner; int list[3]; unsigned flag : 3; };
typedef union { int i; float f; } number;
enum level { LOW, MIDDLE = 5, HIGH };
typedef enum { RED, GREEN = 7 } color;
struct node { struct node *next; struct tree *tree; int value; };
struct tree { struct node *root; struct tree *left, *right; struct node own; };
typedef int (*operation)(int);

/*
 * Opens a store.
 *
 *   total: what it begins with
 */
store *store_open(int total);
int store_total(store *s);      // what is in it
int store_add(store *s, int n); /* adds,
                                   and gives the total */

// Adds up what is
// in a pair.
double pair_sum(struct pair p);
int apply(operation f, int x);
enum level raise_level(enum level l);
int node_sum(const struct node *first);
int missing_function(int a,
                     int b);
extern int missing_variable;

int square(int x) __attribute__((const));
size_t length(const char *s) __attribute__((pure, nonnull(1)));
int first_of(const int *a, const int *b) __attribute__((nonnull));
int old_way(void) __attribute__((deprecated));
void give_up(void) __attribute__((noreturn));
int labelled(int x) __asm__("store_other_name");
_Float128 wide(_Float128 x);
int fails(int code);

extern int counter;
extern const int constant;
extern const char *label;
extern const short lengths[];

#define __STORE__ 1
#define STORE_VERSION "1.5"
#define STORE_LIMIT (4 * 25)
#define STORE_RATIO 0.5
#define STORE_LETTER 'x'
#define STORE_BYTES "\\xff\\xfe"
#define STORE_NONE ((store *)0)
#define STORE_TWICE(x) ((x) * 2)
#define STORE_FIELD(p) ((p)->value)
static inline int thrice(int x) { return 3 * x; }
#endif
"""
SOURCE = """
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "store.h"
struct store { int total; };
store *store_open(int total) { static struct store one; one.total = total; return &one; }
int store_total(store *s) { return s->total; }
int store_add(store *s, int n) { return s->total += n; }
double pair_sum(struct pair p) { return p.a + p.b + p.inner.c + p.list[2] + p.flag; }
int apply(operation f, int x) { return f(x); }
enum level raise_level(enum level l) { return l + 1; }
int node_sum(const struct node *n) { int sum = 0; for (; n; n = n->next) sum += n->value; return sum; }
int square(int x) { return x * x; }
size_t length(const char *s) { return strlen(s); }
int first_of(const int *a, const int *b) { return *a + *b; }
int old_way(void) { return 1; }
void give_up(void) { exit(3); }
int labelled(int x) { return x + 100; }
_Float128 wide(_Float128 x) { return x; }
int fails(int code) { errno = code; return code ? -1 : 0; }
int counter = 7;
const int constant = 9;
const char *label = "first";
const short lengths[] = {3, 1, 4};
int read_counter(void) { return counter; }
unsigned long pair_size(void) { return sizeof(struct pair); }
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Each test has a cache of its own."""
    monkeypatch.setenv("EPSILON_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def header(tmp_path):
    path = tmp_path / "store.h"
    path.write_text(HEADER, encoding="utf-8")
    return path


@pytest.fixture
def library(header):
    return epsilon.lib_open(compile_c(f"/* {header} */" + SOURCE, f"-I{header.parent}"))


@pytest.fixture
def store(header, library):
    return import_header(header, library=library)


def write(path, text):
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


# --- what is bound ----------------------------------------------------------------------------------------------------


def test_everything_that_the_header_declares_is_an_attribute(store, library):
    one = store.store_open(5)
    assert store.store_add(one, 3) == 8 and store.store_total(one) == 8
    assert store.apply(lambda x: x + 1, 4) == 5
    assert store.raise_level(store.LOW) == 1
    assert store.counter.value == 7 and store.constant.value == 9 and store.label.value == "first"
    store.counter.value = 11
    assert library.bind("int read_counter(void)")() == 11
    assert store.number(i=1).f > 0
    assert store.HIGH == 6 and store.level.MIDDLE == 5


@shim_only
def test_structs_of_the_header_go_by_value(store):
    assert store.pair_sum(store.pair(a=1, b=2.5, inner={"c": 3}, list=[0, 0, 4], flag=5)) == 15.5


def test_it_is_what_declare_gives(store):
    assert isinstance(store, Bindings)
    assert "store.h" in repr(store) and "structs" in repr(store)


def test_tables_are_mappings_by_c_name(store):
    assert list(store.structs)[:2] == ["store", "pair"] or {"store", "pair", "node", "tree"} <= set(store.structs)
    assert set(store.unions) == {"number"}
    assert "level" in store.enums and dict(store.enums["level"]) == {"LOW": 0, "MIDDLE": 5, "HIGH": 6}
    assert {"counter", "constant", "label", "lengths"} == set(store.variables)
    assert {"store", "number", "color", "operation"} <= set(store.typedefs)
    assert store.functions["square"] is store.square
    assert "missing_function" not in store.functions
    assert store.typedefs["number"] is store.unions["number"], "a typedef is the type itself"
    assert epsilon.sizeof(store.typedefs["operation"]) == epsilon.sizeof("pointer")


def test_an_array_without_a_length_has_the_one_that_the_library_says(store):
    assert list(store.lengths.value) == [3, 1, 4]


def test_names_between_underscores_are_names(store):
    assert store.__STORE__ == 1 and not hasattr(store, "__wrapped__")


def test_a_typedef_of_an_enum_has_its_constants(store):
    assert store.color.GREEN == 7 and store.RED == 0


def test_layouts_are_proved(store, library):
    assert store.proved and store.pair.proved
    assert store.pair.size == library.bind("unsigned long pair_size(void)")()


def test_recursive_structs_and_structs_that_name_each_other(store):
    last = store.node(value=5)
    first = store.node(value=3, next=last)
    assert store.node_sum(first) == 8
    tree = store.tree(root=first, own={"value": 9})
    assert epsilon.deref(tree.root).value == 3 and tree.own.value == 9


def test_constants_have_cs_values(store):
    assert store.STORE_VERSION == "1.5"
    assert store.STORE_LIMIT == 100 and store.STORE_RATIO == 0.5 and store.STORE_LETTER == ord("x")
    assert store.STORE_BYTES == b"\xff\xfe", "a text that is no UTF-8 is bytes"
    assert store.constants["STORE_LIMIT"] == 100
    assert store.store_total.__name__ == "store_total"


def test_a_pointer_constant_is_a_pointer(tmp_path):
    text = "#define NOTHING ((void *)-1)\ntypedef void (*end)(void *);\n#define LAST ((end)-1)\n"
    header = write(tmp_path / "p.h", text)
    found = import_header(header)
    null = epsilon.lib_open("libc").bind("int memcmp(const void *a, const void *b, size_t n)")
    assert null(found.NOTHING, found.LAST, 0) == 0
    assert not epsilon.is_null_pointer(found.NOTHING)


def test_dir_and_completion_know_all_names(store):
    assert {"store_open", "pair", "number", "LOW", "STORE_LIMIT", "counter", "functions", "skipped"} <= set(dir(store))


def test_a_name_that_is_not_there_is_named_with_the_nearest_one(store):
    with pytest.raises(AttributeError, match="did you mean .*'store_open'"):
        _ = store.store_opne
    assert not hasattr(store, "__nothing__")


def test_functions_are_made_when_they_are_asked_for(header, library):
    made = epsilon.registry.stats()["trampolines"]
    signatures = len(epsilon.registry.signatures())
    bindings = import_header(header, library=library)
    assert len(bindings.functions) > 10, "to list them is not to make them"
    assert epsilon.registry.stats()["trampolines"] == made and len(epsilon.registry.signatures()) == signatures
    assert bindings.square(3) == 9


def test_inline_functions_and_macros_are_functions(store):
    assert store.thrice(5) == 15 and store.functions["thrice"] is store.thrice
    assert "int thrice(int x)" in store.thrice.__doc__
    assert repr(store.thrice) == "int thrice(int x)"


def test_a_function_comes_before_a_macro_of_its_name(tmp_path):
    text = "int both(int x);\n#define both(x) ((x) + 100)\nint only(int x);\n#define only(x) ((x) + 200)\n"
    library = load_c("int both(int x) { return x + 1; }")
    types = {"both": ["int"], "only": ["int"]}
    bindings = import_header(write(tmp_path / "both.h", text), library=library, macros=types)
    assert bindings.both(1) == 2 and bindings.only(1) == 201
    assert set(bindings.functions) == {"both", "only"} and "only" not in bindings.skipped


def test_a_library_knows_the_headers_functions(store, library):
    assert library["square"] is store.square


def test_bindings_functions_and_structs_are_pickled(header, store):
    """By the header and the library's name."""
    library = compile_c(f"/* {header} */" + SOURCE, f"-I{header.parent}")
    bindings = import_header(header, library=library)
    assert pickle.loads(pickle.dumps(bindings)).square(4) == 16
    assert pickle.loads(pickle.dumps(bindings.square))(4) == 16
    again = pickle.loads(pickle.dumps(bindings.number(i=7)))
    assert again.i == 7 and type(again) is bindings.number


# --- help -------------------------------------------------------------------------------------------------------------


def test_help_has_the_prototype_and_the_headers_comment(store):
    assert store.store_open.__doc__ == (
        "store *store_open(int total)\n\nOpens a store.\n\n  total: what it begins with"
    )  # fmt: skip
    assert store.pair_sum.__doc__.endswith("Adds up what is\nin a pair.")
    assert store.store_total.__doc__.endswith("what is in it")
    assert store.store_add.__doc__.endswith("adds,\nand gives the total")


def test_help_tells_what_attributes_say(store):
    assert "Deprecated" in store.old_way.__doc__
    assert "does not return" in store.give_up.__doc__
    assert "keeps the GIL" in store.square.__doc__
    assert "Not NULL: parameter 1" in store.length.__doc__
    assert "No pointer may be NULL" in store.first_of.__doc__


@pytest.mark.parametrize(("text", "wanted"), [
    ("/* one */\nint f(void);", "one"),
    ("/** one\n *  two\n */\nint f(void);", "one\ntwo"),
    ("/*! one */\nint f(void);", "one"),
    ("// one\n//   two\nint f(void);", "one\n  two"),
    ("/// one\nint f(void);", "one"),
    ("int f(void); /* one */", "one"),
    ("int f(void); ///< one", "one"),
    ("int f(void); /**< one */", "one"),
    ("int f(int a,   /* first */\n      int b);", None),
    ("/*\n** CAPI: One\n** METHOD: x\n**\n** ^The words.\n*/\nint f(int a);", "CAPI: One\nMETHOD: x\n\n^The words."),
    ("/* one */\nint e(void);\nint f(void);", "one"),
    ("/* one */\nint e(int a,  /* a */\n int b  /* b */\n);\nint f(void);", "one"),
    ("/* one */\nint e(void);\n\nint f(void);", None),
    ("/* one */\n\nint f(void);\n", None),
    ("int e(void);\n/* one */\n\nint f(void);\n", "one"),
    ("int e(void);\n/* zero */\n\nint f(void);\n/* one\n   two */\n\nint g(void);", "one\ntwo"),
    ("int f(void);\n/* of g */\nint g(void);", None),
    ("/*************\n * one\n *************/\nint f(void);", "one"),
    ("int f(void);", None),
    ("#define X /* of X */\nint f(void);", None),
])  # fmt: skip
def test_comments_are_found_where_people_write_them(tmp_path, text, wanted):
    from epsilon.headers.comments import comment_at

    path = tmp_path / "commented.h"
    path.write_text(text, encoding="utf-8")
    line = next(number for number, code in enumerate(text.split("\n"), 1) if code.startswith("int f"))
    assert comment_at(str(path), line) == wanted


def test_a_header_that_is_gone_has_no_comments(header, store):
    header.unlink()
    assert store.store_open.__doc__ == "store *store_open(int total)"


# --- what attributes mean ---------------------------------------------------------------------------------------------


def test_const_and_pure_functions_are_critical(store):
    assert store.square.critical is SHIM and store.length.critical is SHIM
    assert store.store_total.critical is False


def test_critical_may_be_said_otherwise(header, library):
    assert import_header(header, library=library, critical=False).square.critical is False


def test_nonnull_refuses_none_at_the_parameter(store):
    with pytest.raises(epsilon.ForeignTypeError, match=r"length\(\): parameter 1 's' .*got None.*never NULL"):
        store.length(None)
    with pytest.raises(epsilon.ForeignTypeError, match=r"first_of\(\): parameter 2 'b' .*never NULL"):
        store.first_of(epsilon.foreign_alloc("int", initial=[1]), None)
    null = epsilon.cast(epsilon.foreign_alloc("int", initial=[1]), ("pointer", "int"))
    assert store.first_of(null, null) == 2
    with pytest.raises(epsilon.ForeignTypeError, match="never NULL"):
        store.first_of(null, epsilon.lib_open("libc").bind("int *realpath(const char *a, char *b)")("/no/such", None))
    assert store.length("four") == 4


def test_nonnull_holds_beside_a_struct_by_value(tmp_path):
    """Such calls have a quick entry of their own."""
    text = "struct by_value { int n; }; int beside(struct by_value s, void *p) __attribute__((nonnull(2)));"
    library = load_c("struct by_value { int n; }; int beside(struct by_value s, void *p) { return s.n; }")
    bindings = import_header(write(tmp_path / "beside.h", text), library=library)
    assert bindings.beside(bindings.by_value(n=5), epsilon.foreign_alloc("int")) == 5
    with pytest.raises(epsilon.ForeignTypeError, match=r"beside\(\): parameter 2 'p' .*never NULL"):
        bindings.beside(bindings.by_value(n=5), None)


def test_an_unknown_option_is_told_those_that_there_are(header):
    with pytest.raises(epsilon.ForeignTypeError, match="unknown option 'prefx'; did you mean 'prefix'") as told:
        import_header(header, prefx="store_")
    assert "include_dirs" in str(told.value) and "errno" in str(told.value) and "free" not in str(told.value)
    with pytest.raises(epsilon.ForeignTypeError, match="defines: a C name is wanted, not 'a b'"):
        import_header(header, defines={"a b": 1})


@shim_only
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the convention is that of x86-64")
def test_the_calling_convention_that_the_header_says_is_used(tmp_path):
    text = "__attribute__((ms_abi)) int theirs(int a, int b, int c);"
    library = load_c("__attribute__((ms_abi)) int theirs(int a, int b, int c) { return a * 100 + b * 10 + c; }")
    theirs = import_header(write(tmp_path / "theirs.h", text), library=library).theirs
    assert theirs(1, 2, 3) == 123 and theirs.signature.abi == "ms_abi"


@pytest.mark.skipif(not SHIM, reason="entries are compiled with the shim only")
def test_nonnull_holds_in_a_compiled_entry(tmp_path):
    """``compiled`` calls go past the converters."""
    write(tmp_path / "needs.h", "int needs(const int *p) __attribute__((nonnull));")
    library = compile_c("int needs(const int *p) { return *p; }")
    code = """if 1:
        import sys, epsilon
        needs = epsilon.import_header(sys.argv[1], library=sys.argv[2]).needs
        p = epsilon.foreign_alloc("int", initial=7)
        print([needs(p) for _ in range(3)])
        try:
            needs(None)
        except epsilon.ForeignTypeError as error:
            print("never NULL" in str(error))
    """
    said = run_child(code, str(tmp_path / "needs.h"), library, EPSILON_STRATEGY="compiled")
    assert said.split("\n")[:2] == ["[7, 7, 7]", "True"]


def test_an_asm_label_is_the_symbol(store, library):
    assert store.labelled(5) == 105
    assert store.labelled.symbol == "store_other_name"


def test_what_python_cannot_carry_is_bound_and_refused_at_the_call(store):
    wide = store.functions["wide"]
    assert "_Float128" in repr(wide)
    with pytest.raises(epsilon.ForeignTypeError, match=r"wide\(\).*_Float128"):
        wide(1.0)


# --- what is not bound ------------------------------------------------------------------------------------------------


def test_what_the_library_lacks_is_skipped_with_the_reason(store, header):
    skipped = store.skipped["missing_function"]
    assert skipped.kind == "function" and "not exported by" in skipped.reason
    line = HEADER.split("\n").index("int missing_function(int a,") + 1
    assert (skipped.file, skipped.line) == (str(header), line)
    assert store.skipped["missing_variable"].kind == "variable"
    with pytest.raises(AttributeError, match="'missing_function' .* is not bound: not exported by"):
        _ = store.missing_function


@pytest.mark.parametrize("nothing", [None, []])
def test_without_a_library_all_but_the_exported_functions_is_there(header, nothing):
    bindings = import_header(header, library=nothing)
    assert bindings.STORE_LIMIT == 100 and bindings.pair(a=1).a == 1 and bindings.thrice(2) == 6
    assert set(bindings.functions) >= {"thrice"} and "square" not in bindings.functions
    assert "no library" in bindings.skipped["square"].reason


def test_one_bad_declaration_costs_itself_only(tmp_path):
    header = write(tmp_path / "odd.h", """
        int good(int a);
        int odd(__typeof__(undeclared_thing) x);
        int better(int a);
    """)  # fmt: skip
    library = load_c("int good(int a) { return a; } int better(int a) { return -a; }")
    bindings = import_header(header, library=library)
    assert "undeclared_thing" in bindings.skipped["odd"].reason
    assert bindings.good(1) == 1 and bindings.better(1) == -1


def test_without_a_compiler_layouts_are_computed_and_nothing_is_proved(header, library, tmp_path, monkeypatch):
    """Where there is but a preprocessor: ``cc`` that refuses all other work."""
    script = write(tmp_path / "preprocessor", """\
        #!/bin/sh
        for word in "$@"; do [ "$word" = -E ] && exec cc "$@"; done
        exit 1
    """)  # fmt: skip
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    once = write(tmp_path / "once.h", "struct only_here { char c; int i; };")
    assert not import_header(once).only_here.proved
    bindings = import_header(header, library=library)
    assert not bindings.proved
    assert bindings.square(3) == 9 and bindings.HIGH == 6
    assert bindings.pair.size == library.bind("unsigned long pair_size(void)")()
    with pytest.raises(AttributeError, match="'STORE_LIMIT' .* is not bound: .* takes a compiler"):
        _ = bindings.STORE_LIMIT
    assert "inline" in bindings.skipped["thrice"].kind
    monkeypatch.delenv("CC")
    assert import_header(once).only_here.proved, "it is one struct, and proved now"
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    with pytest.raises(epsilon.CompilerError, match="needs a C compiler"):
        import_header(header, library=library)


# --- options ----------------------------------------------------------------------------------------------------------


def test_several_headers_and_several_libraries(tmp_path):
    one = write(tmp_path / "one.h", "int in_one(void);\n#define ONE 1\n")
    two = write(tmp_path / "two.h", "int in_two(void);\n#define TWO 2\n")
    libraries = [load_c("int in_one(void) { return 10; }"), load_c("int in_two(void) { return 20; }")]
    both = import_header([one, two], library=libraries)
    assert (both.in_one(), both.in_two(), both.ONE, both.TWO) == (10, 20, 1, 2)
    assert both.libraries == tuple(libraries) and both.library is libraries[0]
    assert import_header([one], library=libraries).in_one() == 10
    once = import_header(iter([one, two]), library=iter(libraries), include=(name for name in ["in_*"]))
    assert set(once.functions) == {"in_one", "in_two"}


def test_include_and_exclude_are_patterns_of_c_names(header, library):
    some = import_header(header, library=library, include=["store_*", "STORE_*"], exclude="*_add")
    assert set(some.functions) - {"STORE_TWICE", "STORE_FIELD"} == {"store_open", "store_total"}
    assert "STORE_LIMIT" in some.constants and "LOW" not in some.constants
    assert some.store_total(some.store_open(3)) == 3


def test_prefix_is_taken_from_attributes_only(header, library):
    short = import_header(header, library=library, prefix=["store_", "STORE_"])
    assert short.total(short.open(3)) == 3 and short.LIMIT == 100
    assert short.store_total is short.total, "the C name stays"
    assert "store_open" in short.functions and "open" not in short.functions
    assert "open" in dir(short) and "store_open" not in dir(import_header(header, library=library, prefix="store-"))


def test_a_prefix_that_would_hide_another_name_stays(tmp_path):
    text = "#define X_ONE 1\n#define ONE 2\n#define X_2D 3\n#define Y_TWO 4\n#define X_TWO 5\n"
    header = write(tmp_path / "x.h", text)
    found = import_header(header, prefix=["X_", "Y_"])
    assert (found.ONE, found.X_ONE, found.X_2D) == (2, 1, 3)
    assert {found.TWO, found.X_TWO, found.Y_TWO} == {4, 5}


def test_rename_gives_other_names(header, library):
    bindings = import_header(header, library=library, rename={"square": "to-the-second", "pair": "Pair"})
    assert bindings.to_the_second(3) == 9 and bindings.square(3) == 9 and bindings.Pair is bindings.structs["pair"]
    with pytest.raises(epsilon.HeaderError, match="declares no 'sqare'; did you mean 'square'"):
        import_header(header, library=library, rename={"sqare": "s"})
    for wrong in ({"square": "s", "length": "s"}, {"square": "1x"}, ["square"], {5: "x"}):
        with pytest.raises(epsilon.ForeignTypeError, match="rename"):
            import_header(header, rename=wrong)


def test_cflags_defines_and_include_dirs_reach_the_compiler(tmp_path):
    folder = tmp_path / "inner"
    folder.mkdir()
    write(folder / "inner.h", "#define INNER 5\n")
    header = write(tmp_path / "outer.h", """
        #include <inner.h>
        #ifdef WIDE
        typedef long size; enum { SIZE = sizeof(size) * N + M };
        #else
        typedef char size; enum { SIZE = 1 };
        #endif
    """)  # fmt: skip
    wide = import_header(header, include_dirs=[folder], defines={"WIDE": None, "N": 10}, cflags=["-DM=3"])
    assert wide.SIZE == 83 and wide.INNER == 5
    assert import_header(header, include_dirs=str(folder)).SIZE == 1
    assert import_header("outer.h", include_dirs=[tmp_path, folder], cflags="-DX").SIZE == 1


def test_pkg_config_gives_the_options(tmp_path, monkeypatch):
    if shutil.which("pkg-config") is None:
        pytest.skip("there is no pkg-config here")
    folder = tmp_path / "include"
    folder.mkdir()
    write(folder / "packaged.h", "#define ANSWER VALUE\n")
    package = write(tmp_path / "packaged.pc", f"""\
        Name: packaged
        Description: for a test
        Version: 1
        Cflags: -I{folder} -DVALUE=42
    """)  # fmt: skip
    monkeypatch.setenv("PKG_CONFIG_PATH", str(tmp_path))
    assert import_header("packaged.h", pkg_config="packaged").ANSWER == 42
    package.write_text(package.read_text().replace("42", "43"), encoding="utf-8")
    from epsilon.headers import request

    request._package_options.cache_clear()  # another process would ask anew
    assert import_header("packaged.h", pkg_config="packaged").ANSWER == 43, "a package that changes is noticed"
    with pytest.raises(epsilon.HeaderError, match="no-such-package"):
        import_header("packaged.h", pkg_config=["no-such-package"])


def test_macros_are_given_the_types_of_their_parameters(header, library):
    given = {"STORE_FIELD": ["struct node *"], "STORE_TWICE": [":double"]}
    bindings = import_header(header, library=library, macros=given)
    assert bindings.STORE_FIELD(bindings.node(value=8)) == 8
    assert bindings.STORE_TWICE(1.25) == 2.5 and repr(bindings.STORE_TWICE) == "double STORE_TWICE(double x)"


def test_call_options_hold_for_all_functions(header, library):
    checked = import_header(header, library=library, errno=True, check="nonnegative")
    with pytest.raises(epsilon.ForeignOSError) as caught:
        checked.fails(2)
    assert caught.value.code == 2 and caught.value.function == "fails"
    assert checked.fails(0) == 0
    assert checked.give_up.check is None, "what looks at a result is for the functions that have one"


@pytest.mark.parametrize(("options", "message"), [
    ({"prefix": 5}, "prefix is a text"),
    ({"chekc": "zero"}, "unknown option 'chekc'; did you mean 'check'"),
    ({"check": "good"}, "unknown check 'good'"),
    ({"name": "x"}, "'name' is for one function"),
    ({"optional": True}, "'optional' is for one function"),
    ({"macros": ["X"]}, "macros is a mapping"),
    ({"macros": {"X": "int"}}, "X has a list of types"),
    ({"macros": {"X": [":itn"]}}, "unknown type ':itn'|unknown type 'itn'"),
    ({"defines": {"not a name": 1}}, "C name"),
    ({"cflags": ["-DX\n"]}, "cflags"),
    ({"int": 5}, "is a type, and came as a keyword"),
])  # fmt: skip
def test_an_option_that_cannot_be_is_named(header, options, message):
    with pytest.raises(epsilon.ForeignTypeError, match=message):
        import_header(header, **options)


def test_a_header_that_is_not_there_is_an_error_with_the_search_path(tmp_path):
    with pytest.raises(epsilon.HeaderError, match=r"(?s)no_such_header\.h is not found.*/usr/include"):
        import_header("no_such_header.h")
    with pytest.raises(epsilon.ForeignTypeError, match="header"):
        import_header([])
    with pytest.raises(epsilon.LibraryLoadError):
        import_header("stdio.h", library="no-such-library-anywhere")


# --- which struct is which --------------------------------------------------------------------------------------------


def test_an_opaque_struct_is_everyones(tmp_path):
    one = import_header(write(tmp_path / "one.h", "struct thing_o; struct thing_o *get(void);"))
    two = import_header(write(tmp_path / "two.h", "typedef struct thing_o thing_o; int put(thing_o *t);"))
    assert one.structs["thing_o"] is two.thing_o
    declared = epsilon.lib_open("libc").declare("struct thing_o; void *malloc(size_t n);")
    assert declared.structs["thing_o"] is one.structs["thing_o"]


def test_a_struct_that_two_imports_define_alike_is_one(tmp_path):
    text = "typedef int number_t; struct thing_c { number_t n; struct thing_c *next; struct other_c *o; };\n"
    other = "struct other_c { double d; };\n"
    write(tmp_path / "common.h", text + other)
    one = import_header(write(tmp_path / "one.h", '#include "common.h"\nint f(struct thing_c *t);'))
    two = import_header(write(tmp_path / "two.h", '#include "common.h"\nint g(struct thing_c t);'))
    assert one.thing_c is two.thing_c and one.other_c is two.other_c


def test_different_structs_of_one_tag_live_beside_each_other(tmp_path):
    one_library = load_c("struct twin { int a, b; }; int one(struct twin *t) { return t->a - t->b; }")
    two_library = load_c("struct twin { double d; }; double two(struct twin *t) { return t->d; }")
    one = import_header(
        write(tmp_path / "one.h", "struct twin { int a, b; }; int one(struct twin *t);"), library=one_library
    )
    two = import_header(
        write(tmp_path / "two.h", "struct twin { double d; }; double two(struct twin *t);"), library=two_library
    )
    assert one.twin is not two.twin
    assert one.one(one.twin(a=5, b=3)) == 2 and two.two(two.twin(d=2.5)) == 2.5
    with pytest.raises(epsilon.ForeignTypeError, match="wanted"):
        one.one(two.twin(d=1.0))
    with pytest.raises(epsilon.ForeignTypeError, match="wanted"):
        two.two(one.twin(a=1))


def test_a_struct_is_exchanged_with_one_that_only_names_it(tmp_path):
    """C11 §6.2.7: an incomplete struct is compatible with a complete one of its tag."""
    library = load_c("struct seen { int n; }; static struct seen s = {7}; struct seen *give(void) { return &s; }"
                     "int take(struct seen *p) { return p->n; }")  # fmt: skip
    opaque = import_header(write(tmp_path / "o.h", "struct seen; struct seen *give(void); int take(struct seen *);"),
                           library=library)  # fmt: skip
    complete = import_header(write(tmp_path / "c.h", "struct seen { int n; }; struct seen *give(void);"
                                                     "int take(struct seen *);"), library=library)  # fmt: skip
    assert complete.take(opaque.give()) == 7 and opaque.take(complete.give()) == 7
    assert epsilon.deref(complete.give()).n == 7
    own = epsilon.define_c_struct("seen_by_hand", [("n", "int")])
    with pytest.raises(epsilon.ForeignTypeError):
        complete.take(own(n=1))


def test_a_struct_of_the_same_tag_and_members_goes_by_value(tmp_path):
    library = load_c("struct same_by_value { int n; }; int take(struct same_by_value s) { return s.n; }")
    text = "struct same_by_value { int n; }; int take(struct same_by_value s);"
    bindings = import_header(write(tmp_path / "v.h", text), library=library)
    by_hand = epsilon.define_c_struct("same_by_value", [("n", "int")])
    assert bindings.take(by_hand(n=7)) == 7
    other = epsilon.define_c_struct("same_by_value", [("n", "float")])
    with pytest.raises(epsilon.ForeignTypeError, match="wanted"):
        bindings.take(other(n=7))


def test_threads_import_and_take_functions_at_once(header, library):
    """Whoever comes first makes a thing, and all have the same."""
    from concurrent.futures import ThreadPoolExecutor

    def use(_):
        bindings = import_header(header, library=library)
        return bindings.pair, bindings.square(5), bindings.thrice(2), bindings.node

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(use, range(24)))
    assert len(found) == 1
    bindings = import_header(header, library=library)
    with ThreadPoolExecutor(8) as pool:
        functions = set(pool.map(lambda name: bindings.functions[name], ["square", "length", "apply"] * 20))
    assert len(functions) == 3


# --- the cache --------------------------------------------------------------------------------------------------------


CHILD = """
import os, sys
import epsilon
found = epsilon.import_header(sys.argv[1], library=sys.argv[2])
cold = {"pycparser", "subprocess", "filelock", "epsilon.headers.reading"}
print(found.square(3), found.STORE_LIMIT, found.pair.size, sorted(cold.intersection(sys.modules)))
"""


@pytest.fixture
def logged(tmp_path):
    """A compiler that writes down each time that it is run."""
    log, script = tmp_path / "runs.log", tmp_path / "logging-cc"
    script.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {os.environ.get("CC", "cc")} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    log.write_text("", encoding="utf-8")
    return log, str(script)


def test_a_second_import_runs_no_compiler_and_imports_no_pycparser(header, library, logged):
    log, compiler = logged
    first = run_child(CHILD, str(header), library.path, CC=compiler)
    assert log.read_text() != ""
    log.write_text("", encoding="utf-8")
    second = run_child(CHILD, str(header), library.path, CC=compiler)
    assert log.read_text() == ""
    assert first.split("[")[0] == second.split("[")[0] and second.endswith("[]\n")


def test_a_header_that_changes_is_noticed(tmp_path):
    inner = write(tmp_path / "inner.h", "#define VALUE 1\n")
    header = write(tmp_path / "outer.h", '#include "inner.h"\n#define OUTER (VALUE + 10)\n')
    assert import_header(header).OUTER == 11
    write(inner, "#define VALUE 2\n")  # the same size, and perhaps the same time
    assert import_header(header).OUTER == 12
    os.utime(inner, (1, 1))
    assert import_header(header).OUTER == 12, "another time alone changes nothing"
    inner.unlink()
    with pytest.raises(epsilon.HeaderError):
        import_header(header)


def test_a_header_that_now_comes_first_in_the_search_path_is_noticed(tmp_path):
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    (folders[1] / "sub").mkdir()
    write(folders[1] / "shadowed.h", "#include <sub/inner.h>\n#define WHICH 2\n")
    write(folders[1] / "sub" / "inner.h", "#define INNER 2\n")
    assert import_header("shadowed.h", include_dirs=folders).WHICH == 2
    (folders[0] / "sub").mkdir()
    write(folders[0] / "sub" / "inner.h", "#define INNER 1\n")
    found = import_header("shadowed.h", include_dirs=folders)
    assert (found.WHICH, found.INNER) == (2, 1)
    write(folders[0] / "shadowed.h", "#define WHICH 1\n")
    assert import_header("shadowed.h", include_dirs=folders).WHICH == 1


def test_options_and_the_compiler_are_part_of_the_key(header, library, logged, monkeypatch):
    log, compiler = logged
    import_header(header, library=library)
    monkeypatch.setenv("CC", compiler)
    import_header(header, library=library)
    assert log.read_text() != ""
    log.write_text("", encoding="utf-8")
    import_header(header, library=library, prefix="store_", errno=True)
    assert log.read_text() == "", "names and options of calls ask nothing of the compiler"
    import_header(header, library=library, defines={"OTHER": 1})
    assert log.read_text() != ""


def test_a_damaged_entry_is_made_again(header, library, cache):
    import_header(header, library=library)
    entries = [path for path in (cache / "headers").iterdir() if path.suffix != ".lock"]
    assert len(entries) == 1
    entries[0].write_bytes(entries[0].read_bytes()[:-20] + b"x" * 20)
    assert import_header(header, library=library).square(3) == 9
    entries[0].write_bytes(b"")
    assert import_header(header, library=library).square(3) == 9


def test_compiled_wrappers_that_are_gone_are_made_again(header, library, cache):
    assert import_header(header, library=library).thrice(2) == 6
    for path in cache.rglob("*.so"):
        path.unlink()
    assert run_child("import sys, epsilon; print(epsilon.import_header(sys.argv[1]).thrice(3))", str(header)) == "9\n"


def test_many_processes_import_at_once(header, library, logged):
    log, compiler = logged
    own = os.path.dirname(os.path.dirname(epsilon.__file__))
    path = os.pathsep.join(filter(None, (own, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "CC": compiler, "PYTHONPATH": path}
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(header), library.path], env=environment,
                         stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]  # fmt: skip
    said = {child.communicate(timeout=300)[0].split("[")[0] for child in children}
    assert len(said) == 1 and {child.returncode for child in children} == {0}
    together = len(log.read_text().splitlines())
    log.write_text("", encoding="utf-8")
    shutil.rmtree(os.environ["EPSILON_CACHE"])
    run_child(CHILD, str(header), library.path, CC=compiler)
    assert together == len(log.read_text().splitlines()), "one of them did the work"


# --- progress ---------------------------------------------------------------------------------------------------------


class Terminal:
    """What stderr is, to the code: a terminal that keeps what is written."""

    def __init__(self, terminal):
        self.terminal, self.closed, self.text = terminal, False, ""

    def isatty(self):
        return self.terminal

    def write(self, text):
        self.text += text

    def flush(self):
        pass


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_and_taken_back(monkeypatch, terminal):
    from epsilon.headers import progress

    stderr = Terminal(terminal)
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    with progress.shown("reading x.h"):
        if terminal:
            while not stderr.text:
                os.sched_yield()
    assert stderr.text == ("epsilon: reading x.h ...\r\x1b[K" if terminal else "")


def test_progress_says_nothing_where_it_is_quick(monkeypatch):
    from epsilon.headers import progress

    stderr = Terminal(True)
    monkeypatch.setattr(sys, "stderr", stderr)
    with progress.shown("reading x.h"):
        pass
    assert stderr.text == ""
