"""Inline functions and function-like macros of headers: wrapped in compiled C, callable like any function."""

from __future__ import annotations

import pytest
from clib import compile_c

import epsilon
from epsilon import compiler
from epsilon.errors import HeaderError
from epsilon.headers import constants, reading, wrappers
from epsilon.headers.preprocess import preprocess
from epsilon.headers.request import Request

pytestmark = pytest.mark.skipif(not compiler.is_there(), reason="needs a C compiler")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EPSILON_CACHE", str(tmp_path / "cache"))


def found_in(headers, libraries=(), **options):
    unit = preprocess(Request.of(headers, **options))
    facts = reading.declarations(unit)
    constants.find(unit, facts)
    wrappers.wrap(unit, facts, libraries)
    return facts


@pytest.fixture
def header(tmp_path):
    def make(text, libraries=(), **options):
        path = tmp_path / "given.h"
        path.write_text(text, encoding="utf-8")
        return found_in(str(path), libraries, **options)

    return make


def bound(facts, name):
    """The wrapper of an inline function or a macro, bound."""
    row = facts.inlines.get(name) or facts.macros[name]
    return epsilon.lib_open(facts.wrappers).bind(row.prototype.replace(f"{name}(", f"{row.symbol}(", 1))


def prototypes(facts):
    return {name: row.prototype for name, row in facts.macros.items()}


# --- inline functions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "static inline int twice(int n) { return 2 * n; }",
        "static int twice(int n) { return 2 * n; }",
        "inline int twice(int n) { return 2 * n; }",
        "extern inline __attribute__((gnu_inline, always_inline)) int twice(int n) { return 2 * n; }",
        "static __inline__ __attribute__((always_inline)) int twice(int n) { return 2 * n; }",
        "static inline int half(int n) { return n / 2; }\nstatic inline int twice(int n) { return half(4 * n); }",
        "#define F(x) static inline int x(int n) { return 2 * n; }\nF(twice)",
    ],
)
def test_an_inline_function_is_called_like_any_other(header, text):
    facts = header(text + "\n")
    assert bound(facts, "twice")(21) == 42
    assert facts.inlines["twice"].symbol == "epsilon_inline_twice"


def test_an_inline_function_takes_structs_and_pointers_as_it_says(header):
    facts = header(
        "struct pair { int a; double b; };\n"
        "static inline struct pair swap(struct pair p) { struct pair q = { (int)p.b, p.a }; return q; }\n"
        "static inline long count(const char *s, int c) { long n = 0; while (*s) n += *s++ == c; return n; }\n"
    )
    assert set(facts.inlines) == {"swap", "count"} and not facts.skipped
    assert bound(facts, "count")("banana", ord("a")) == 3


def test_an_inline_function_that_does_not_compile_costs_itself_only(header):
    facts = header(
        "static inline int good(int n) { return n + 1; }\n"
        "static inline int bad(int n) { return n.nothing + undeclared; }\n"
        "static inline int fine(int n) { return n + 2; }\n"
    )
    assert bound(facts, "good")(1) == 2 and bound(facts, "fine")(1) == 3
    assert "bad" not in facts.inlines
    assert facts.skipped["bad"].reason and facts.skipped["bad"].line == 2


LIBRARY = "int helper(int n) { return 10 * n; } int shared_count = 7;"
CALLERS = (
    "int helper(int n);\nextern int shared_count;\n"
    "static inline int plain(int n) { return n + 1; }\n"
    "static inline int calls(int n) { return helper(n) + 1; }\n"
    "static inline int through(int n) { return calls(n) + shared_count; }\n"
    "#define HELP(n) helper(n)\n"
)


def test_what_an_inline_function_calls_is_found_in_the_imports_libraries(header):
    facts = header(CALLERS, [compile_c(LIBRARY)])
    assert bound(facts, "calls")(2) == 21 and bound(facts, "through")(2) == 28 and bound(facts, "HELP")(3) == 30


def test_what_no_library_has_costs_those_that_use_it_only(header):
    facts = header(CALLERS)
    assert bound(facts, "plain")(1) == 2
    assert set(facts.inlines) == {"plain"} and "HELP" not in facts.macros
    assert facts.skipped["calls"].reason == "it uses helper, which none of the libraries has"
    assert facts.skipped["through"].reason == "it uses helper, shared_count, which none of the libraries has"
    assert facts.skipped["HELP"].kind == "macro" and facts.skipped["calls"].kind == "inline function"


def test_a_library_that_is_not_there_costs_those_that_need_it_only(header):
    facts = header(CALLERS, ["nowhere-at-all", "/nowhere/libnothing.so"])
    assert set(facts.inlines) == {"plain"} and bound(facts, "plain")(1) == 2
    assert facts.skipped["calls"].reason == "it uses helper, which none of the libraries has"


def test_a_header_without_any_has_no_library(header):
    assert header("int f(void);\n#define ONE 1\n").wrappers is None


def test_the_library_is_built_once(header, monkeypatch):
    text = "static inline int f(void) { return 1; }\n"
    first = header(text).wrappers
    monkeypatch.setattr(compiler, "_build", lambda *given: pytest.fail("it is built again"))
    assert header(text).wrappers == first


def test_exclude_leaves_inline_functions_and_macros_out(header):
    text = "static inline int one(void) { return 1; }\nstatic inline int two(void) { return 2; }\n#define THREE() 3\n"
    facts = header(text, exclude=["t*", "T*"])
    assert "THREE" not in facts.macros and "THREE" not in facts.skipped
    assert bound(facts, "one")() == 1
    library = epsilon.lib_open(facts.wrappers)
    with pytest.raises(epsilon.SymbolNotFoundError):
        library.bind("int epsilon_inline_two(void)")()


# --- function-like macros ------------------------------------------------------------------------------------------

DECLARED = """
struct thing { int size; const char *label; int (*run)(struct thing *t, long n); };
typedef struct { double x, y; } point;
typedef unsigned int word;
long wide(long n, const char *s);
double half(double d);
void take(struct thing *t);
extern struct thing things[3];
enum level { LOW, HIGH };
enum level level_of(int n);
"""


@pytest.mark.parametrize(
    ("text", "prototype"),
    [
        ("M() 42", "int M(void)"),
        ("M(n, s) wide(n, s)", "long M(long n, const char *s)"),
        ("M(n) wide((n), \"x\")", "long M(long n)"),
        ("M(d) (half(d) > 1 ? 1 : 2)", "int M(double d)"),
        ("M(t) ((t)->size)", "int M(struct thing *t)"),
        ("M(t) ((t)->label)", "const char *M(struct thing *t)"),
        ("M(p) ((p).x + 1)", "double M(point p)"),
        ("M(t, n) ((t)->run((t), (n)))", "int M(struct thing *t, long n)"),
        ("M(x) (((x) >> 8) & 0xff)", "int M(int x)"),
        ("M(x) (1 << ((x) - 1))", "int M(int x)"),
        ("M(x) ((unsigned long)(x) << 3)", "unsigned long M(unsigned long x)"),
        ("M(x) ((unsigned char)(x))", "unsigned char M(int x)"),
        ("M(x) ((word)(x) + 1u)", "unsigned int M(unsigned int x)"),
        ("M(p) ((char *)(p) + 1)", "char *M(void *p)"),
        ("M(p) (*(const int *)(p))", "int M(const void *p)"),
        ("M(d) ((double)(d) / 2)", "double M(double d)"),
        ("M(i) (&things[i])", "struct thing *M(int i)"),
        ("M(n) level_of(n)", "enum level M(int n)"),
        ("M(t) take(t)", "void M(struct thing *t)"),
        ("M(t) do { take(t); take(t); } while (0)", "void M(struct thing *t)"),
        ("M(t, n) if (n > wide(n, 0)) take(t)", "void M(struct thing *t, long n)"),
        ("M(n) ({ long k = wide(n, 0); k + 1; })", "long M(long n)"),
        ("M(t, n) (take(t), (n) % 3)", "int M(struct thing *t, int n)"),
        ("M(int_) wide(int_, __FILE__)", "long M(long int_)"),
    ],
)
def test_the_parameters_types_are_told_from_what_the_macro_does(header, tmp_path, text, prototype):
    library = compile_c(
        "struct thing { int size; const char *label; int (*run)(struct thing *t, long n); };"
        "long wide(long n, const char *s) { return n; } double half(double d) { return d / 2; }"
        "void take(struct thing *t) {} struct thing things[3]; int level_of(int n) { return n; }"
    )
    facts = header(f"{DECLARED}#define {text}\n", [library])
    assert prototypes(facts) == {"M": prototype}, facts.skipped


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("M(a, b) ((a) > (b) ? (a) : (b))", "a may be of any type"),
        ("M(a) ((a) + 1)", "a may be of any type"),
        ("M(a) (*(a))", "a may be of any type"),
        ("M(a) 5", "it makes no use of a"),
        ("M(a) ((a) = 5)", "it changes a"),
        ("M(a) ((a)++)", "it changes a"),
        ("M(a) ((const char *)&(a))", "it takes the address of a"),
        ("M(a) ((word)&(a))", "it takes the address of a"),
        ("M(a) (sizeof(a))", "it takes the size or the type of a"),
        ("M(a) (sizeof(a) / sizeof((a)[0]))", "it takes the size or the type of a"),
        ("M(a) #a", "it pastes its arguments' text"),
        ("M(a) things_##a", "it pastes its arguments' text"),
        ("M(a) wide(1, a), half(a)", "a is used as const char * and as double"),
        ("M(a) ((a)->nothing)", "no one struct is known that a must be, with nothing"),
        ("M(a) a x;", "it does not compile"),
        ("M(a) return wide(a, 0)", "it uses return, which has no place in a function of its own"),
        ("M(a) struct a { int b; }", "a type or a declaration"),
        ("M(a) __attribute__((aligned(a)))", "an attribute"),
        ("M(a) wide(a, nowhere)", "it uses nowhere, which is not declared"),
        ("M(a) wide((a, 0", "a piece of syntax: its brackets do not match"),
        ("M(a, ...) wide(a, __VA_ARGS__)", "it takes any number of arguments"),
        ("M(a)", "empty"),
    ],
)
def test_what_cannot_be_told_is_skipped_with_the_reason(header, text, why):
    facts = header(f"{DECLARED}#define {text}\n")
    assert "M" not in facts.macros
    assert facts.skipped["M"].reason.startswith(why)
    assert facts.skipped["M"].kind == "macro"


def test_given_types_settle_what_is_open(header):
    facts = header(
        "#define MAX(a, b) ((a) > (b) ? (a) : (b))\n#define BUTTON(x) (1 << ((x) - 1))\n"
        "#define FIRST(a, ...) ((a) + sum(__VA_ARGS__))\nstatic inline int sum(int a, int b) { return a + b; }\n",
        macros={"MAX": ["double", "double"], "BUTTON": ["unsigned char"], "FIRST": ["int", "int", "int"]},
    )
    assert facts.macros["MAX"].prototype == "double MAX(double a, double b)"
    assert bound(facts, "MAX")(1.5, 2.5) == 2.5
    assert facts.macros["BUTTON"].prototype == "int BUTTON(unsigned char x)"
    assert bound(facts, "BUTTON")(4) == 8
    assert bound(facts, "FIRST")(1, 2, 3) == 6


@pytest.mark.parametrize(
    ("macros", "words"),
    [
        ({"MAXX": ["int"]}, "MAXX is not defined there; did you mean 'MAX'"),
        ({"MAX": ["int"]}, "MAX has 2 parameters, and 1 types are given"),
        ({"ONE": ["int"]}, "ONE is no macro with parameters"),
        ({"MAX": ["int", 'int) { system("x"); } int f(int'], }, "a C type is wanted"),
    ],
)
def test_types_that_do_not_fit_are_an_error_that_says_so(header, macros, words):
    with pytest.raises(HeaderError, match=words):
        header("#define MAX(a, b) ((a) > (b) ? (a) : (b))\n#define ONE 1\n", macros=macros)


def test_a_function_of_the_macros_name_is_enough(header):
    facts = header("int abs(int);\n#define abs(x) ((x) < 0 ? -(x) : (x))\n")
    assert "abs" in facts.functions and "abs" not in facts.macros and "abs" not in facts.skipped


def test_the_last_definition_of_a_macro_counts(header):
    facts = header("#define M(x) ((x) << 1)\n#undef M\n#define M(x) ((x) << 2)\n#define N(x) ((x) << 3)\n#undef N\n")
    assert bound(facts, "M")(1) == 4 and "N" not in facts.macros


# --- real headers -----------------------------------------------------------------------------------------------------


def test_wait_status_macros_of_libc():
    facts = found_in("sys/wait.h")
    assert bound(facts, "WEXITSTATUS")(0x2A00) == 42
    assert bound(facts, "WIFSIGNALED")(9) == 1 and bound(facts, "WTERMSIG")(9) == 9


def test_every_inline_function_of_openssl_is_wrapped():
    try:
        facts = found_in("openssl/x509.h", ["crypto"])
    except HeaderError:
        pytest.skip("openssl's headers are not installed")
    skipped = [name for name, one in facts.skipped.items() if one.kind == "inline function"]
    assert len(facts.inlines) > 100 and not skipped
    assert facts.macros["sk_X509_num"].prototype.startswith("int sk_X509_num(const struct stack_st_X509 *")
    assert len(facts.macros) > 500
