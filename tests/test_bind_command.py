"""``epsilon bind``: what it writes is loaded and used without header, compiler or pycparser, and checks itself."""

import ast
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from clib import compile_c, output_of, run_child

import epsilon
from epsilon import cli, compiler

pytestmark = pytest.mark.skipif(not compiler.is_there(), reason="reading headers takes a C compiler")

#: the child in which a module is used has neither pycparser nor a way to run a compiler
ALONE = """if 1:
    import sys
    if sys.argv[2] == ".hy":
        import hy  # which imports subprocess itself, on some versions of Python
    for name in ("pycparser", "subprocess", "_posixsubprocess"):
        sys.modules[name] = None
    import epsilon
    sys.path.insert(0, sys.argv[1])
"""
SUFFIXES = [".hy", ".py"]


def has_header(name: str) -> bool:
    probe = [*compiler.command(), "-E", "-include", name, "-x", "c", os.devnull]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def bind(*arguments: object) -> None:
    assert cli.main(["bind", *map(str, arguments)]) == 0


def use(folder: Path, suffix: str, code: str) -> str:
    """What the code prints in a child that can import the modules in ``folder``.  It runs no compiler, so entries are
    not compiled there."""
    strategy = os.environ.get("EPSILON_STRATEGY")
    named = {"EPSILON_STRATEGY": "registers"} if strategy == "compiled" else {}
    return run_child(f"{ALONE}\n{code}", str(folder), suffix, **named)


# --- real headers ---------------------------------------------------------------------------------------------------

QUERY = """
    from sqlite import (SQLITE_DONE, SQLITE_OK, SQLITE_ROW, SQLITE_VERSION_NUMBER, sqlite3_close, sqlite3_column_int,
                        sqlite3_column_text, sqlite3_exec, sqlite3_finalize, sqlite3_libversion_number, sqlite3_open,
                        sqlite3_prepare_v2, sqlite3_step, sqlite3_index_info, sqlite3, sqlite3_stmt)
    assert sqlite3_libversion_number() >= SQLITE_VERSION_NUMBER - 1000000
    place = epsilon.foreign_alloc(("pointer", sqlite3))
    assert sqlite3_open(":memory:", place) == SQLITE_OK
    database = place[0]
    made = "CREATE TABLE t (n INT, s TEXT); INSERT INTO t VALUES (7, 'seven')"
    assert sqlite3_exec(database, made, None, None, None) == 0
    rows = []
    def row(data, count, values, names):
        rows.append([epsilon.foreign_string(values[index]) for index in range(count)])
        return 0
    assert sqlite3_exec(database, "SELECT s, n FROM t", row, None, None) == SQLITE_OK
    place = epsilon.foreign_alloc(("pointer", sqlite3_stmt))
    assert sqlite3_prepare_v2(database, "SELECT n + 1, s FROM t", -1, place, None) == SQLITE_OK
    statement = place[0]
    assert sqlite3_step(statement) == SQLITE_ROW
    print(rows, sqlite3_column_int(statement, 0), epsilon.foreign_string(sqlite3_column_text(statement, 1)))
    assert sqlite3_step(statement) == SQLITE_DONE and sqlite3_finalize(statement) == 0 and sqlite3_close(database) == 0
    print(sqlite3_index_info.offset("idxNum"), sqlite3_exec.__doc__.splitlines()[0])
"""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_database_is_queried_through_a_written_module(tmp_path, suffix):
    if not has_header("sqlite3.h"):
        pytest.skip("sqlite3.h is not installed (Debian: libsqlite3-dev)")
    bind("sqlite3.h", "--library", "sqlite3", "-o", tmp_path / f"sqlite{suffix}")
    said = use(tmp_path, suffix, QUERY).splitlines()
    assert said[0] == "[['seven', '7']] 8 seven"
    assert said[1].startswith("40 int sqlite3_exec(")


DIGEST = """
    from evp import EVP_DigestFinal_ex, EVP_DigestInit_ex, EVP_DigestUpdate, EVP_MAX_MD_SIZE, EVP_MD_CTX_free
    from evp import EVP_MD_CTX_new, EVP_sha256
    import evp
    context = EVP_MD_CTX_new()
    assert EVP_DigestInit_ex(context, EVP_sha256(), None) == 1
    assert EVP_DigestUpdate(context, b"abc", 3) == 1
    digest = epsilon.foreign_alloc("unsigned-char", count=EVP_MAX_MD_SIZE)
    size = epsilon.foreign_alloc("unsigned-int")
    assert EVP_DigestFinal_ex(context, digest, size) == 1
    EVP_MD_CTX_free(context)
    print(bytes(digest[index] for index in range(size[0])).hex())
    assert evp.EVP_sha256 is EVP_sha256 and "EVP_sha512" in dir(evp)
    try: evp.EVP_sha255
    except AttributeError as error: print(error)
"""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_digest_is_made_through_a_written_module(tmp_path, suffix):
    if not has_header("openssl/evp.h"):
        pytest.skip("openssl/evp.h is not installed (Debian: libssl-dev)")
    bind("openssl/evp.h", "--library", "libcrypto", "-o", tmp_path / f"evp{suffix}")
    said = use(tmp_path, suffix, DIGEST).splitlines()
    assert said[0] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert said[1].startswith("module 'evp' has no attribute 'EVP_sha255'; did you mean 'EVP_sha256'")


# --- a header with everything in it ---------------------------------------------------------------------------------

HEADER = r"""
#include <stddef.h>
#include <stdint.h>
#include <time.h>
typedef struct handle handle;                       /* opaque, and a typedef of its own name */
typedef struct other_tag *other;                    /* a pointer to an opaque struct */
typedef int64_t big; typedef big bigger;
typedef struct { short x; short y; } point;
typedef struct pair_tag { char c; double d; point at[2]; } pair;
struct bits { unsigned a : 3; int b : 7; unsigned : 0; unsigned char c : 1; long long d; };
struct tight { char c; int i; uint16_t s; } __attribute__((packed));
#pragma pack(push, 2)
struct by_two { char c; double d; };
#pragma pack(pop)
struct wide { char c; } __attribute__((aligned(32)));
struct mixed { int kind; union { int i; float f; struct { char lo, hi; }; }; struct { short inner; } named; };
struct flexible { int n; double values[]; };
struct node { struct node *next; pair *one; int (*visit)(struct node *, void *); const char *text; handle *h; };
union any { int i; double d; pair p; };
enum color { RED, GREEN = 5, BLUE };
typedef enum { COLD = -1, WARM = 1 } heat;
typedef int (*comparison)(const void *, const void *);
typedef int visitor(int);
struct shape { int sides; };
struct looped { struct { char a; int b; } loops[3]; struct shape more[2]; };
typedef struct first *first_pointer;                /* types that name each other */
typedef void (*first_visitor)(first_pointer one, const struct second *other);
struct first { first_visitor visit; struct second *other; };
typedef struct second { first_pointer first; first_visitor visit; } second;
int shape(struct shape *s);                         /* a function and a struct of one name */
typedef int string;                                 /* a word of Epsilon's */
/* Adds. Both "numbers" and their \ sum are ints. */
int add(int from, int lambda);
int scaled(pair p, double by, enum color c, heat h);
pair made(char c, double d);
point middle(point a, point b);
string of_string(string s);
int each(const int *values, size_t count, visitor *f);
comparison chosen(void);
int (*chosen_too(int))(int);
bigger sum(const bigger *values, size_t count);
long long of_time(const struct timespec *t);
handle *opened(const char *name);
int name_length(const handle *h);
int total(int count, ...);
int import(void);
int not_there(void);
void *none(void);
extern int counter;
extern const char *const title;
extern point origin;
static inline int twice(int n) { return 2 * n; }
#define HALF(n) ((n) / 2)
#define LIMIT 0x7fffffffffffffffLL
#define NEGATIVE (-3)
#define RATIO 0.1
#define HUGE (1e300 * 1e300)
#define GREETING "say \"\\hi\"\t\xc3\xa9 $'"
#define RAW "\xff\"\\"
#define None 0
#define LETTER 'x'
"""
BODY = r"""
#include <string.h>
#include <stdarg.h>
struct handle { char name[20]; };
int shape(struct shape *s) { return s->sides; }
int add(int from, int lambda) { return from + lambda; }
int scaled(pair p, double by, enum color c, heat h) { return (int)(p.d * by) + p.c + p.at[1].y + c + h; }
pair made(char c, double d) { pair p = {c, d, {{1, 2}, {3, 4}}}; return p; }
point middle(point a, point b) { point p = {(a.x + b.x) / 2, (a.y + b.y) / 2}; return p; }
string of_string(string s) { return s + 1; }
int each(const int *values, size_t count, visitor *f) { int n = 0; while (count--) n += f(*values++); return n; }
static int backwards(const void *a, const void *b) { return *(const int *)b - *(const int *)a; }
comparison chosen(void) { return backwards; }
static int add_one(int n) { return n + 1; }
int (*chosen_too(int n))(int) { return add_one; }
bigger sum(const bigger *values, size_t count) { bigger n = 0; while (count--) n += *values++; return n; }
long long of_time(const struct timespec *t) { return t->tv_sec; }
handle *opened(const char *name) { static handle h; strcpy(h.name, name); return &h; }
int name_length(const handle *h) { return (int)strlen(h->name); }
int total(int count, ...) {
    va_list l; int n = 0;
    va_start(l, count); while (count--) n += va_arg(l, int); va_end(l); return n;
}
int import(void) { return 8; }
void *none(void) { return 0; }
int counter = 3;
const char *const title = "the title";
point origin = {7, 8};
"""

USE = """
    import all_of_it as m
    assert m.add(2, 3) == 5
    assert m.scaled(m.pair(c=1, d=2.5, at=[{"x": 1, "y": 2}, {"x": 3, "y": 40}]), 2.0, 5, -1) == 5 + 1 + 40 + 5 - 1
    made = m.made(b"a", 1.5)
    assert (made.c, made.d, made.at[1].y) == (97, 1.5, 4)
    assert m.middle(m.point(0, 0), m.point(4, 6)).y == 3
    assert m.of_string(1) == 2
    assert m.each(epsilon.foreign_alloc("int", initial=[1, 2, 3]), 3, lambda n: n * 10) == 60
    values = epsilon.foreign_alloc("int", initial=[1, 2])
    assert m.chosen()(values, epsilon.pointer_add(values, 1)) == 1
    assert m.chosen_too(0)(4) == 5
    assert m.sum(epsilon.foreign_alloc("int64", initial=[1, 2, 3]), 3) == 6
    assert m.of_time(m.timespec(tv_sec=9)) == 9 if hasattr(m, "timespec") else True
    assert m.name_length(m.opened("four")) == 4
    assert m.total(3, 1, 2, 3) == 6
    assert m.import_() == 8 and m.none() is None or not m.none()
    assert m.shape(m.struct_shape(sides=3)) == 3
    assert not hasattr(m, "not_there") and not hasattr(m, "twice") and not hasattr(m, "HALF")
    assert (m.LIMIT, m.NEGATIVE, m.RATIO, m.HUGE) == (2**63 - 1, -3, 0.1, float("inf"))
    assert m.GREETING == 'say "\\\\hi"\\té $\\'' and m.RAW == b'\\xff"\\\\', (m.GREETING, m.RAW)
    assert m.None_ == 0 and m.LETTER == 120
    assert (m.RED, m.GREEN, m.BLUE, m.COLD, m.WARM) == (0, 5, 6, -1, 1)
    assert m.color["BLUE"] == 6 and dict(m.heat) == {"COLD": -1, "WARM": 1}
    assert m.counter.value == 3 and m.title.value == "the title" and m.origin.value.y == 8
    m.counter.value = 4
    node = m.node(text="a text", visit=lambda node, data: 6)
    assert node.text == "a text" and node.visit(None, None) == 6
    node.next, node.one = node, made
    mixed = m.mixed(kind=1, hi=2)
    assert mixed.i == 512 and mixed.named.inner == 0
    assert m.flexible.with_count(2, values=[1.0, 2.0]).values[1] == 2.0
    names = "point pair_tag bits tight by_two wide mixed flexible node any struct_shape looped first second"
    for name in names.split():
        found = getattr(m, name)
        members = found.__match_args__ if name != "bits" else ()
        print(name, found.size, found.alignment, *map(found.offset, members))
    assert m.pair is m.pair_tag and m.any(d=1.0).i == 0
    epsilon.expect_layout(m.bits, 16, 8, {"a": (0, 3), "b": (3, 7), "c": (32, 1), "d": 8})
"""


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A folder with the header, and the path of the library."""
    folder = tmp_path_factory.mktemp("everything")
    (folder / "all_of_it.h").write_text(HEADER)
    library = folder / "liball_of_it.so"
    shutil.copy(compile_c(HEADER + BODY), library)
    return folder / "all_of_it.h", library


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_everything_that_a_header_may_hold(everything, tmp_path, suffix):
    header, library = everything
    out = tmp_path / f"all_of_it{suffix}"
    bind(header, "--library", library, "-o", out)
    said = dict(line.split(" ", 1) for line in use(tmp_path, suffix, USE).splitlines())
    program = HEADER + "#include <stdio.h>\nint main(void) {\n"
    for spelling, name, members in [
        ("point", "point", "x y"), ("pair", "pair_tag", "c d at"), ("struct bits", "bits", ""),
        ("struct tight", "tight", "c i s"), ("struct by_two", "by_two", "c d"), ("struct wide", "wide", "c"),
        ("struct mixed", "mixed", "kind i f lo hi named"), ("struct flexible", "flexible", "n values"),
        ("struct node", "node", "next one visit text h"), ("union any", "any", "i d p"),
        ("struct shape", "struct_shape", "sides"), ("struct looped", "looped", "loops more"),
        ("struct first", "first", "visit other"), ("second", "second", "first visit"),
    ]:  # fmt: skip
        offsets = "".join(f' printf(" %zu", offsetof({spelling}, {member}));' for member in members.split())
        program += f'printf("{name} %zu %zu", sizeof({spelling}), _Alignof({spelling}));{offsets} puts("");\n'
    truth = dict(line.split(" ", 1) for line in output_of(program + "}").splitlines())
    assert said == truth
    text = out.read_text()
    assert "twice" in text and "HALF" in text and "not_there" in text  # named among what is left out


def test_the_stub_says_what_is_there(everything, tmp_path):
    header, library = everything
    bind(header, "--library", library, "-o", tmp_path / "all_of_it.py")
    names = {}
    for node in ast.parse((tmp_path / "all_of_it.pyi").read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names[node.name] = ast.unparse(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            names[target.id] = ast.unparse(node)
    code = f"""
    import all_of_it
    missing = [name for name in {sorted(names)!r} if not hasattr(all_of_it, name)]
    more = [name for name in vars(all_of_it) if name[0] != "_" and name not in {sorted(names)!r}]
    print(missing, more)
    """
    assert use(tmp_path, ".py", code) == "[] ['epsilon']\n"
    assert names["add"] == "def add(from_: int, lambda_: int) -> int:\n    ..."
    assert names["made"] == "def made(c: int, d: float) -> pair_tag:\n    ..."
    assert names["opened"] == "def opened(name: str | bytes | None) -> Any:\n    ..."
    assert names["LIMIT"] == "LIMIT: Final[int]" and names["counter"] == "counter: Final[ForeignVariable]"
    assert "    c: int\n    d: float" in names["pair_tag"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_input_gives_the_same_bytes(everything, tmp_path, suffix):
    header, library = everything
    texts = []
    for seed in ("1", "2"):
        out = tmp_path / f"module{suffix}"
        run_child(f"from epsilon import cli; cli.main(['bind', {str(header)!r}, '--library', {str(library)!r}, "
                  f"'-o', {str(out)!r}])", PYTHONHASHSEED=seed)  # fmt: skip
        texts.append(out.read_bytes())
    assert texts[0] == texts[1]
    order = [texts[0].index(name) for name in (b"add", b"scaled", b"made", b"middle")]
    assert order == sorted(order)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_passes_the_check(everything, tmp_path, suffix, capsys):
    header, library = everything
    out = tmp_path / f"all_of_it{suffix}"
    bind(header, "--library", library, "-o", out)
    assert cli.main(["check", str(out), "--header", str(header)]) == 0, capsys.readouterr().out
    out.write_text(out.read_text().replace("int", "short"))
    assert cli.main(["check", str(out), "--header", str(header)]) == 1


# --- what is checked, and what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "right", "wrong"), [
    (".hy", "(expect-layout pair_tag 24 8", "(expect-layout pair_tag 20 4"),
    (".py", "expect_layout(pair_tag, 24, 8", "expect_layout(pair_tag, 20, 4"),
])  # fmt: skip
def test_a_layout_of_another_platform_is_refused_with_both(everything, tmp_path, suffix, right, wrong):
    out = tmp_path / f"moved{suffix}"
    bind(everything[0], "--library", everything[1], "-o", out)
    text = out.read_text()
    assert right in text
    out.write_text(text.replace(right, wrong))
    code = """
    try: import moved
    except epsilon.HeaderError as error: print(error)
    """
    said = use(tmp_path, suffix, code)
    assert "struct pair_tag is not what was expected: 24 bytes, aligned to 8, not 20, aligned to 4" in said


def test_without_o_hy_is_printed(everything, capsys):
    bind(everything[0], "--library", everything[1])
    said = capsys.readouterr().out
    assert said.startswith('"Bindings of all_of_it.h, written by Epsilon.')
    assert '(defshared add "add" ' in said and "(define-c-struct point\n  (x :short)\n  (y :short))" in said
    assert '  :doc "Adds. Both \\"numbers\\" and their \\\\ sum are ints.")' in said


def test_without_a_library_there_are_types_and_constants(everything, tmp_path):
    out = tmp_path / "types.py"
    bind(everything[0], "-o", out)
    assert "no library was named" in out.read_text()
    out.rename(tmp_path / "plain_types.py")
    code = """
    import plain_types
    print(plain_types.pair.size, plain_types.LIMIT, hasattr(plain_types, "add"))
    """
    assert use(tmp_path, ".py", code) == f"24 {2**63 - 1} False\n"


def test_names_are_chosen_and_stripped(everything, tmp_path):
    out = tmp_path / "some.py"
    bind(everything[0], "--library", everything[1], "--include", "na*", "--include", "o*", "--exclude", "origin",
         "--prefix", "name_", "-o", out)  # fmt: skip
    code = """
    import some
    print(some.length(some.opened("five!")), [name for name in dir(some) if name in ("origin", "add", "of_string")])
    """
    assert use(tmp_path, ".py", code) == "5 ['of_string']\n"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_many_functions_are_read_when_they_are_asked_for(tmp_path, suffix):
    functions = [f"f{index}" for index in range(600)]
    header, body = "typedef short small;\n", ""
    for name in functions:
        header += f"int {name}(small n);\n"
        body += f"int {name}(small n) {{ return n + {name[1:]}; }}\n"
    header += "int (*made(void))(small);\nstruct f7 { int a; };\n"
    body += "int (*made(void))(small) { return f1; }\n"
    (tmp_path / "many.h").write_text(header)
    shutil.copy(compile_c(header + body), tmp_path / "libmany.so")
    bind(tmp_path / "many.h", "--library", tmp_path / "libmany.so", "--prefix", "f59", "-o", tmp_path / f"many{suffix}")
    code = """
    import many
    assert "f3" not in vars(many) and "f3" in dir(many)
    print(many.f3(4), many.made()(5), many.struct_f7.size, many.f3 is many.f3, "f3" in vars(many))
    """
    assert use(tmp_path, suffix, code) == "7 6 4 True True\n"


@pytest.mark.parametrize(("arguments", "said"), [
    (["no_such_header.h"], "no_such_header.h"),
    (["stdlib.h", "--library", "no_such_library"], "no_such_library"),
    (["stdlib.h", "-o", "{}/a.txt"], "ends with .hy or .py"),
    (["stdlib.h", "-o", "{}/no/such/folder/a.py"], "No such file"),
    (["stdlib.h", "--define", "a b"], "a b"),
    (["stdlib.h", "--pkg-config", "no-such-package"], "no-such-package"),
])  # fmt: skip
def test_what_cannot_be_done_ends_with_1_and_the_reason(tmp_path, capsys, arguments, said):
    assert cli.main(["bind", *(word.format(tmp_path) for word in arguments)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("epsilon bind: ") and said in error


def test_a_wrong_command_line_ends_with_2():
    with pytest.raises(SystemExit) as ended:
        cli.main(["bind"])
    assert ended.value.code == 2


# --- the words that modules are written in --------------------------------------------------------------------------


def test_expect_layout_names_every_difference():
    found = epsilon.define_c_struct("expected", [("a", "char"), ("b", "int", {"bits": 3}), ("d", "double")])
    epsilon.expect_layout(found, 16, 8, {"a": 0, "b": (8, 3), "d": 8})
    epsilon.expect_layout(found, 16, 8)
    with pytest.raises(epsilon.HeaderError) as caught:
        epsilon.expect_layout(found, 12, 4, {"a": 0, "b": [5, 3], "d": 4, "e": 1})
    said = str(caught.value)
    assert "16 bytes, aligned to 8, not 12, aligned to 4" in said
    assert "b is at bit 8 (3 wide), not at bit 5 (3 wide); d is at byte 8, not at byte 4; e is not there" in said
    with pytest.raises(epsilon.ForeignTypeError, match="takes a struct or union"):
        epsilon.expect_layout("struct expected", 16, 8)


def test_a_lazy_block_reads_with_the_meanings_of_its_time():
    epsilon.define_c_type("lazy_number", "int")
    lazy = epsilon.lib_open("libc").declare("lazy_number abs(lazy_number n); long labs(long n);", lazy=True)
    epsilon.define_c_type("lazy_number", "double")
    assert list(lazy.functions) == ["abs", "labs"] and lazy.abs(-3) == 3
    assert lazy.abs is lazy.functions["abs"]
    with pytest.raises(AttributeError, match="declares no 'lasb'; did you mean 'labs'"):
        _ = lazy.lasb


@pytest.mark.parametrize(("text", "said"), [
    ("struct lazy_s { int a; };", "prototype is wanted here|defined"),
    ("typedef int lazy_t;", "prototype is wanted here"),
    ("int abs(int n); int abs(long n);", "declared twice"),
    ("#define X 1", "takes the C preprocessor"),
])  # fmt: skip
def test_a_lazy_block_holds_prototypes_only(text, said):
    with pytest.raises(epsilon.ForeignTypeError, match=said):
        epsilon.lib_open("libc").declare(text, lazy=True)


def test_a_mistake_in_a_lazy_block_is_found_when_it_is_asked_for():
    lazy = epsilon.lib_open("libc").declare("int abs(itn n); long labs(long n);", lazy=True)
    assert lazy.labs(-3) == 3
    with pytest.raises(epsilon.ForeignTypeError, match="unknown type 'itn'"):
        _ = lazy.abs
