"""``epsilon check``: every kind of mistake is found at its line, and what C cannot tell apart is none."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from clib import run_child

import epsilon
from epsilon import cli, compiler

pytestmark = pytest.mark.skipif(not compiler.is_there(), reason="reading headers takes a C compiler")

ROOT = Path(epsilon.__file__).resolve().parent.parent
HEADER = """
#include <stddef.h>
#include <stdint.h>
typedef struct store store;
struct reading { int64_t at; double value; char unit[8]; unsigned kind : 3; unsigned valid : 1; };
typedef struct { short x, y; } point;
union any { int i; double d; };
enum level { LEVEL_LOW, LEVEL_HIGH = 4 };
#define STORE_OPEN 16
typedef int (*store_visitor)(void *data, const char *key, size_t length);

store *store_open(const char *path, int flags);
int store_read(store *s, char *buffer, size_t size);
int store_put(store *s, const char *key, const void *value, uint32_t length);
const char *store_error(const store *s);
int store_visit(store *s, store_visitor visit, void *data);
int store_log(const char *format, ...);
void store_close(store *s);
int store_last(store *s, struct reading *out);
int store_add(store *s, const struct reading *values, size_t count);
point store_middle(point a, point b);
unsigned store_level(enum level level);
int store_old();
extern int store_limit;
extern const char *const store_version;
static inline int store_twice(int n) { return 2 * n; }
#define store_half(n) ((n) / 2)
"""

TYPES = """
(require epsilon [defshared defshared-with-errno define-c-struct define-c-union define-c-enum define-c-type defcallback
                  defcvar declare-c shared-call with-callback make-callback register-signature])
(define-c-type store)
(define-c-struct reading
  (at :int64) (value :double) (unit (:array :char 8)) (kind :unsigned-int :bits 3) (valid :unsigned-int :bits 1))
(define-c-struct point (x :short) (y :short))
"""


@pytest.fixture(scope="module")
def header(tmp_path_factory):
    path = tmp_path_factory.mktemp("headers") / "store.h"
    path.write_text(HEADER)
    return str(path)


def check(path, *arguments, capsys) -> tuple[int, list[str]]:
    """The exit status, and the lines that were printed."""
    status = cli.main(["check", str(path), *arguments])
    return status, capsys.readouterr().out.splitlines()


@pytest.fixture
def checked(header, tmp_path, capsys):
    """Checks text of a ``.hy`` or ``.py`` file against the header; the findings without the file's name."""

    def run(text: str, suffix: str = ".hy") -> tuple[int, list[str]]:
        path = tmp_path / f"source{suffix}"
        path.write_text(text)
        status, lines = check(path, "--header", header, capsys=capsys)
        assert all(line.startswith(f"{path}:") for line in lines)
        return status, [line.removeprefix(f"{path}:") for line in lines]

    return run


RIGHT = """
(defshared store-open "store_open" "store" (:pointer store) (path :string) (flags :int))
(defshared store-open-2 "store_open" "store" :pointer (path "const char *") (flags :int32))
(defshared store-read "store_read" "store" :int (s (:pointer store)) (buffer (:pointer :char)) (size :unsigned-long))
(defshared store-read-2 "store_read" "store" :int (s :pointer) (buffer (:buffer :writable)) (size :size))
(defshared store-put "store_put" "store" :int (s (:pointer store)) (key :string) (value :buffer) (n :unsigned-int))
(defshared store-put-2 "store_put" "store" :int (s :pointer) (k :string) (v (:array :uint8 :length n)) (n :uint32))
(defshared store-error "store_error" "store" :string (s "const store *"))
(defshared-with-errno store-log "store_log" "store" :int (format :string) ...)
(defshared store-log-2 "store_log" "store" :int (format :string) (n :int) (x :double))
(defshared store-last "store_last" "store" :int (s (:pointer store)) (out (:out reading)))
(defshared store-add "store_add" "store" :int (s :pointer) (v (:array (:struct reading) :length n)) (n :size))
(defshared store-middle "store_middle" "store" point (a point) (b point))
(defshared store-level "store_level" "store" :unsigned-int (level :int))
(defshared store-old "store_old" "store" :int (anything :double))
(defshared store-visit "store_visit" "store" :int
  (s :pointer) (visit (:function :int (:pointer :string :size))) (data :object))
(define-c-enum level :low (:high 4))
(define-c-enum opens (:STORE-OPEN 16))
(define-c-union any (i :int) (d :double))
(defcvar store-limit "store_limit" "store" :int)
(defcvar store-version "store_version" "store" :string)
(defcallback visitor :int ((data :object) (key :string) (length :size)) 0)
(store-visit None visitor None)
(declare-c "typedef struct store store; int store_log(const char *, ...), store_old(void);" :library "store" :as s)
"""


def test_equivalent_types_agree(checked):
    assert checked(TYPES + RIGHT) == (0, [])


#: one wrong form each: the text, the column of what is wrong in its line, and what is said of it
WRONG = [
    pytest.param('(defshared f "store_open" "store" (:pointer store) (path :int) (flags :int))', 52,
                 r"f: parameter 1 \(path\) is int, in C it is const char \*", id="type"),
    pytest.param('(defshared f "store_open" "store" :int (path :string) (flags :int))', 35,
                 r"f: the result is int, in C it is struct store \*", id="result"),
    pytest.param('(defshared f "store_close" "store" :int (s :pointer))', 36,
                 r"f: the result is int, in C it is void", id="void"),
    pytest.param('(defshared f "store_open" "store" :pointer (path :string))', 1,
                 r"f: 1 parameter, in C 2 parameters", id="too few"),
    pytest.param('(defshared f "store_close" "store" :void (s :pointer) (now :int))', 1,
                 r"f: 2 parameters, in C 1 parameter", id="too many"),
    pytest.param('(defshared f "store_open" "store" :pointer (path :string) (flags :int) ...)', 72,
                 r"f: variadic, in C it is not", id="variadic"),
    pytest.param('(defshared f "store_log" "store" :int (format :string) (c :short))', 56,
                 r"parameter 2 is short, which no variadic argument is", id="promoted"),
    pytest.param('(defshared f "store_read" "store" :int (s :pointer) (buffer :string) (size :size))', 53,
                 r"parameter 2 \(buffer\) is const char \*, in C it is char \*: C may write here", id="written text"),
    pytest.param('(defshared f "store_read" "store" :int (s :pointer) (buffer :buffer) (size :size))', 53,
                 r"parameter 2 \(buffer\) is const void \*, in C it is char \*: C may write here", id="written bytes"),
    pytest.param('(defshared f "store_put" "store" :int (s :pointer) (k :string) (v (:buffer :writable)) (n :id_t))',
                 64, r"parameter 3 .*C only reads this: a \(:buffer :writable\) refuses bytes", id="writable bytes"),
    pytest.param('(defshared f "store_open" "store" :pointer (path (:pointer :char)) (flags :int))', 44,
                 r"parameter 1 \(path\) is char \*, in C it is const char \*: C only reads this", id="const"),
    pytest.param('(defshared f "store_error" "store" (:pointer :char) (s :pointer))', 36,
                 r"the result is char \*, in C it is const char \*: C gives what must", id="const result"),
    pytest.param('(defshared f "store_add" "store" :int (s :pointer) (v (:out reading)) (n :size))', 52,
                 r"parameter 2 \(v\).*\(:out …\) is what C writes, and C only reads this", id="out"),
    pytest.param('(defshared f "store_put" "store" :int (s :pointer) (k :string) (v :pointer) (n :int))', 77,
                 r"parameter 4 \(n\) is int, in C it is uint32_t: signed, unsigned in C", id="sign"),
    pytest.param('(defshared f "store_read" "store" :int (s :pointer) (b :pointer) (n :unsigned-int))', 66,
                 r"parameter 3 \(n\) is unsigned int, in C it is size_t: 4 bytes, 8 in C", id="width"),
    pytest.param('(defshared f "store_last" "store" :int (s :pointer) (out (:out point)))', 53,
                 r"parameter 2 \(out\) is struct point \*, in C it is struct reading \*", id="other struct"),
    pytest.param('(defshared f "store_close" "store" :void (s (:pointer point)))', 42,
                 r"parameter 1 \(s\) is struct point \*, in C it is struct store \*", id="other opaque struct"),
    pytest.param('(defshared f "store_middle" "store" point (a reading) (b point))', 43,
                 r"parameter 1 \(a\) is struct reading, in C it is struct point", id="struct by value"),
    pytest.param('(defshared f "store_opne" "store" :pointer (path :string) (flags :int))', 1,
                 r"store\.h declares no store_opne; did you mean 'store_open'", id="unknown symbol"),
    pytest.param('(defshared f "store_twice" "store" :int (n :int))', 1,
                 r"store_twice is a static inline function in store\.h", id="inline"),
    pytest.param('(defshared f "store_half" "store" :int (n :int))', 1,
                 r"store_half is a macro in store\.h", id="macro"),
    pytest.param('(defshared f "store_limit" "store" :int)', 1, r"store_limit is a variable in C", id="variable"),
    pytest.param('(defcvar v "store_limit" "store" :long)', 1,
                 r"v: it is long, in C it is int: 8 bytes, 4 in C", id="variable's type"),
    pytest.param('(defcvar v "store_open" "store" :long)', 1, r"store_open is a function in C", id="function"),
    pytest.param('(define-c-struct reading (at :int64) (value :double) (unit (:array :char 8)))', 1,
                 r"reading: it is 24 bytes, aligned to 8; in C 32 bytes, aligned to 8", id="size"),
    pytest.param('(define-c-struct point (x :int) (y :int))', 24,
                 r"point: x is 4 bytes wide, in C x is 2 bytes wide", id="member's width"),
    pytest.param('(define-c-struct point (y :short) (x :short))', 24,
                 r"point: y is at byte 0, in C y is at byte 2", id="offset"),
    pytest.param('(define-c-struct point (x :unsigned-short) (y :short))', 24,
                 r"point: x is unsigned short, in C x is short \(unsigned, signed in C\)", id="member's sign"),
    pytest.param('(define-c-union any (i :int))', 1,
                 r"any: it is 4 bytes, aligned to 4; in C 8 bytes, aligned to 8", id="union"),
    pytest.param('(define-c-union any (i :int) (f :float))', 30, r"any: f is float, in C i is int", id="union's"),
    pytest.param('(define-c-struct any (i :int) (d :double))', 1, r"any: a struct, in C it is a union", id="kind"),
    pytest.param('(define-c-enum level :low (:high 5))', 27, r"level: high is 5, in C LEVEL_HIGH is 4", id="enum"),
    pytest.param('(define-c-enum level :low (:hihg 4))', 27, r"level: enum level has no hihg in C", id="constant"),
    pytest.param('(define-c-enum opens (:STORE-OPEN 17))', 22,
                 r"opens: STORE-OPEN is 17, in C STORE_OPEN is 16", id="macro's value"),
    pytest.param('(shared-call ("store_old" "store") :pointer ())', 36,
                 r"store_old: the result is void \*, in C it is int", id="shared-call"),
    pytest.param('(declare-c "int store_old(void); int store_close(int);" :library "store" :as s)', 34,
                 r"store_close: the result is int, in C it is void", id="declare-c"),
    pytest.param('(defshared f "store_open" "store" :pinter)', 35,
                 r"f: defshared: unknown type :pinter; did you mean ':pointer'", id="no form"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "column", "said"), WRONG)
def test_a_mistake_is_found_at_its_place(checked, form, column, said):
    types = TYPES if not form.startswith("(define") else TYPES[: TYPES.index("(define-c-struct")]
    status, findings = checked(f"{types}\n{form}\n")
    assert status == 1
    line = types.count("\n") + 2
    assert findings[0].startswith(f"{line}:{column}: "), findings
    assert re.search(said, findings[0])


def test_both_sides_are_spelled_in_c_and_the_header_has_a_line(checked):
    _, (finding, *others) = checked('(defshared f "store_old" "store" :string)')
    assert not others
    assert "f: the result is const char *, in C it is int: C has no pointer here; int store_old() [" in finding
    line = re.search(r"store\.h:(\d+)\]", finding)[1]
    assert HEADER.splitlines()[int(line) - 1] == "int store_old();"


@pytest.mark.parametrize(("use", "line", "said"), [
    ("(defcallback cb :int ((data :pointer) (key :string)) 0)\n(visit None cb None)", 1,
     r"cb: as parameter 2 of store_visit: 2 parameters, 3 in C; C calls a int \(\*\)\(void \*, const char \*, size_"),
    ("(defcallback store-visitor :int ((data :pointer) (key :string) (n :int)) 0)", 1,
     r"store-visitor: as a store-visitor: parameter 3 is int, size_t in C"),
    ("(with-callback (cb f :void '(:pointer :string :size))\n  (visit None cb None))", 1,
     r"cb: as parameter 2 of store_visit: the result is void, int in C"),
    ("(setv cb (make-callback f :int '(:pointer :int :size)))\n(visit None :data None :visit cb)", 1,
     r"cb: as parameter 2 of store_visit: parameter 2 is int, const char \* in C"),
    ("(shared-call (\"store_visit\" \"store\") :int (:pointer (:function :void (:pointer :string :size)) :pointer))", 1,
     r"store_visit: parameter 2 \(visit\) is void \(\*\)\(void \*, const char \*, size_t\), in C it is int \(\*\)"),
])  # fmt: skip
def test_callbacks_are_held_against_what_they_are_for(checked, use, line, said):
    visit = '(defshared visit "store_visit" "store" :int (s :pointer) (visit :pointer) (data :pointer))\n'
    status, findings = checked(TYPES + visit + use)
    assert status == 1
    assert findings[0].startswith(f"{TYPES.count(chr(10)) + 1 + line}:"), findings
    assert re.search(said, findings[0])


PYTHON = '''
import epsilon
from epsilon import define_c_struct

lib = epsilon.lib_open("store")
store = epsilon.define_c_type("store")
reading = define_c_struct("reading", [("at", "int64"), ("value", "double"), ("unit", ("array", "char", 8)),
                                      ("kind", "unsigned-int", {"bits": 3}), ("valid", "unsigned-int", {"bits": 1})])
epsilon.register_signature("visitor", "int", ["pointer", "string", "int"])
open_ = lib.bind("store *store_open(const char *path, int flags)", errno=True)
read = lib.bind("store_read", "int", ["pointer", ("pointer", "char"), "size"])
visit = lib.bind(["store_walk", "store_visit"], "int", [("pointer", store), "pointer", "pointer"])
last = lib.bind("store_last", "int", ["pointer", ("out", reading)])
'''


def test_python_that_is_right(checked):
    assert checked(PYTHON, ".py") == (0, [])


@pytest.mark.parametrize(("text", "column", "said"), [
    ('f = lib.bind("int store_open(const char *path, int flags)")', 5, "f: the result is int, in C it is struct store"),
    ('f = lib.bind("store_read", "int", ["pointer", "string", "size"])', 47, "parameter 2 .*C may write here"),
    ('lib.bind("store_opne", "int", [])', 1, "did you mean 'store_open'"),
    ('with epsilon.lib_open("store") as other:\n    other.bind("int store_close(void *s)")', 5, "the result is int"),
    ('x = epsilon.shared_call(("store_old", "store"), "string", [])', 49, "store_old: the result is const char"),
    ('limit = epsilon.foreign_variable("store_limit", "store", "long")', 9, "limit: it is long, in C it is int"),
    ('point = epsilon.define_c_struct("point", [("x", "short"), ("z", "int")])', 59, "point: z is at byte 4, where C"),
    ('epsilon.define_c_union("any", [("i", "int"), ("d", "float")])', 46, "any: d is 4 bytes wide, in C d is 8 bytes"),
    ('point = epsilon.define_c_struct_auto("point", "struct point { int x; short y; };")', 9, "point: x is 4 bytes"),
    ('epsilon.define_c_enum("level", ["low", ("high", 1 << 3)])', 1, "level: high is 8, in C LEVEL_HIGH is 4"),
    ('lib.declare("""\n    int store_log(const char *format, ...);\n    int store_old(int), store_read(int);\n""")', 5,
     "store_read: 1 parameter, in C 3 parameters"),
    ('@epsilon.callback("visitor")\ndef cb(a, b, c): ...\nvisit(None, cb, None)', 2,
     r"cb: as parameter 2 of store_visit: parameter 3 is int, size_t in C"),
    ('visit(None, epsilon.make_callback(print, "void", []), data=None)', 13, "0 parameters, 3 in C"),
    ('DECLARATIONS = """\nint store_old(void);\nint store_close(store *s);\n"""', 1, "store_close: the result is int"),
])  # fmt: skip
def test_mistakes_in_python(checked, text, column, said):
    status, findings = checked(PYTHON + text, ".py")
    assert status == 1
    assert re.match(r"\d+:", findings[0]) and int(findings[0].split(":")[0]) > PYTHON.count("\n")
    assert findings[0].split(":")[1] == str(column), findings
    assert re.search(said, findings[0])


def test_sockets_and_the_like_are_no_bindings(checked):
    text = 'import socket\ns = socket.socket()\ns.bind(("", 0))\ns.bind("/tmp/x")\nparser.declare(1)\n'
    assert checked(text, ".py") == (0, [])


def test_a_file_is_never_run(checked, tmp_path):
    mark = tmp_path / "ran"
    touch = f'open({str(mark)!r}, "w")'
    assert checked(f"{touch}\nraise SystemExit(3)\n", ".py") == (0, [])
    text = f'(open "{mark}" "w")\n(defmacro m [] (open "{mark}" "w"))\n(m)\n(eval-when-compile (m))\n'
    assert checked(text) == (0, [])
    assert not mark.exists()


@pytest.mark.parametrize(("text", "suffix"), [("(defshared", ".hy"), ("def f(:\n", ".py"), ("x = 1 +", ".py")])
def test_a_file_that_cannot_be_read(checked, text, suffix):
    status, findings = checked(text, suffix)
    assert status == 1
    assert "cannot be read" in findings[0]


# --- which headers --------------------------------------------------------------------------------------------------


def test_what_no_header_is_named_for_is_said(tmp_path, capsys):
    path = tmp_path / "a.hy"
    path.write_text('(defshared f "strlen" "libc" :int (s :int))')
    status, lines = check(path, capsys=capsys)
    assert (status, lines) == (0, [f"{path}:1:1: f: not checked: no header named for the library 'libc'"])


def test_what_the_headers_do_not_cover_is_said(checked):
    text = '(defshared f "store_old" "store" :int)\n(defshared g "strlen" "libc" :int (s :int))'
    status, findings = checked(text)
    assert status == 0
    assert findings == ["2:1: g: not checked: no header named declares strlen, of the library 'libc'"]


def test_a_form_names_its_own_header(tmp_path, capsys):
    path = tmp_path / "a.hy"
    path.write_text('(defshared f "strlen" "libc" :int (s :string) :header "string.h")\n'
                    '(define-c-struct timespec (sec :int) (nsec :long) :header "time.h")\n')  # fmt: skip
    status, lines = check(path, capsys=capsys)
    assert status == 1
    assert re.match(r".*:1:30: f: the result is int, in C it is size_t: 4 bytes, 8 in C", lines[0])
    assert re.match(r".*:2:27: timespec: sec is 4 bytes wide, in C tv_sec is 8 bytes", lines[1])
    path = tmp_path / "a.py"
    path.write_text('f = lib.bind("int strlen(const char *s)", header="string.h")\n')
    assert check(path, capsys=capsys)[0] == 1


def test_options_of_the_compiler(tmp_path, capsys):
    (tmp_path / "one.h").write_text("#ifdef WIDE\nlong one(void);\n#else\nint one(void);\n#endif\n")
    path = tmp_path / "a.hy"
    path.write_text('(defshared one "one" "one" :int)')
    named = ["--header", "one.h", "--include-dir", str(tmp_path)]
    assert check(path, *named, capsys=capsys)[0] == 0
    assert check(path, *named, "--define", "WIDE", capsys=capsys)[0] == 1
    assert check(path, *named, "--cflags=-DWIDE=1 -DX", capsys=capsys)[0] == 1


@pytest.mark.parametrize("arguments", [
    ["{}/none.hy"], ["{}/a.txt"], ["{}/a.hy", "--header", "no_such_header.h"],
    ["{}/a.hy", "--header", "string.h", "--define", "1x"],
])  # fmt: skip
def test_what_cannot_be_done_ends_with_2(tmp_path, capsys, arguments):
    (tmp_path / "a.hy").write_text("")
    (tmp_path / "a.txt").write_text("")
    assert cli.main(["check", *(word.format(tmp_path) for word in arguments)]) == 2
    assert "epsilon check: " in capsys.readouterr().err


# --- :header, while a form is compiled ------------------------------------------------------------------------------


def hy_eval(text: str, filename: str = "<test>"):
    import hy

    return hy.eval(hy.read_many(f"(do (require epsilon [defshared defshared-with-errno])\n{text})", filename=filename))


def test_defshared_is_held_against_its_header():
    right = '(defshared my-strlen "strlen" "libc" :size (s :string) :header "string.h" :critical False)'
    assert hy_eval(f'{right}\n(my-strlen "four")') == 4
    with pytest.raises(SyntaxError, match=r"defshared: the result is int, in C it is size_t") as caught:
        hy_eval('\n\n(defshared my-strlen "strlen" "libc"\n  :int (s :string) :header ["string.h"])')
    assert caught.value.lineno == 5
    with pytest.raises(SyntaxError, match="string.h declares no strlne; did you mean 'strlen'"):
        hy_eval('(defshared my-strlen "strlne" "libc" :size (s :string) :header "string.h")')
    with pytest.raises(SyntaxError, match="parameter 1 .* is int, in C it is const char"):
        hy_eval('(defshared-with-errno my-rmdir "rmdir" "libc" :int (path :int) :header "unistd.h")')
    with pytest.raises(SyntaxError, match="no_such_header.h"):
        hy_eval('(defshared my-strlen "strlen" "libc" :size (s :string) :header "no_such_header.h")')
    with pytest.raises(SyntaxError, match="a header is a string"):
        hy_eval('(defshared my-strlen "strlen" "libc" :size (s :string) :header string)')


def test_bind_is_held_against_its_header():
    libc = epsilon.lib_open("libc")
    assert libc.bind("size_t strlen(const char *s)", header="string.h")("four") == 4
    assert libc.bind("strlen", "size", ["string"], header=["stdio.h", "string.h"])("four") == 4
    with pytest.raises(epsilon.HeaderError, match="the result is int, in C it is size_t") as caught:
        libc.bind("int strlen(const char *s)", header="string.h")
    assert caught.value.function == "strlen"
    with pytest.raises(epsilon.ForeignTypeError, match="header is a name"):
        libc.bind("int strlen(const char *s)", header=3)
    with pytest.raises(epsilon.ForeignTypeError, match="for one function"):
        libc.declare("int strlen(const char *s);", header="string.h")


def test_without_a_compiler_it_is_said_that_nothing_was_checked(tmp_path):
    code = """if 1:
        import sys, warnings
        import hy, epsilon
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            text = '(do (require epsilon [defshared])\\n(defshared f "strlen" "libc" :int (s :int) :header "string.h"))'
            hy.eval(hy.read_many(text, filename="here.hy"))
            epsilon.lib_open("libc").bind("int strlen(int s)", header="string.h")
        for one in caught:
            if one.category is UserWarning: print(one.filename, one.lineno, one.message)
    """
    said = run_child(code, CC="/no/such/compiler", EPSILON_CACHE=str(tmp_path)).splitlines()
    assert len(said) == 2
    assert said[0].startswith("here.hy 2 strlen was not checked against string.h: there is no C compiler")
    assert said[1].startswith("<string> 8 strlen was not checked against string.h")


# --- what is shipped ------------------------------------------------------------------------------------------------

LIBC = """ctype dirent fcntl math signal stddef stdio stdlib string strings sys/stat sys/time sys/types sys/wait time
          unistd wctype"""


def test_libc_passes(capsys):
    if not sys.platform.startswith("linux"):
        pytest.skip("held against the headers of Linux")
    headers = [f"--header={name}.h" for name in LIBC.split()]
    status, lines = check(ROOT / "epsilon" / "libc.py", *headers, "--define", "_GNU_SOURCE", capsys=capsys)
    assert (status, lines) == (0, [])
    from epsilon import libc
    from epsilon.headers import python_source, sources

    found = python_source.read((ROOT / "epsilon" / "libc.py").read_text(), "libc.py")
    functions = {each.name for each in found if isinstance(each, sources.Function)}
    assert functions == set(libc._functions())


@pytest.mark.parametrize(("example", "headers"), [
    ("qsort.hy", ["stdlib.h", "string.h"]),
    ("sqlite.hy", ["sqlite3.h"]),
    ("openssl.hy", ["openssl/ssl.h", "openssl/evp.h", "openssl/err.h", "openssl/x509v3.h"]),
    ("audio.hy", ["sndfile.h"]),
])  # fmt: skip
def test_the_examples_pass(example, headers, capsys):
    path = ROOT / "examples" / example
    for header in headers:
        probe = subprocess.run([*compiler.command(), "-E", "-include", header, "-x", "c", os.devnull],
                               capture_output=True, check=False)  # fmt: skip
        if probe.returncode:
            pytest.skip(f"{header} is not installed")
    status, lines = check(path, *(f"--header={header}" for header in headers), capsys=capsys)
    assert status == 0, "\n".join(lines)


