"""API §9, export to C: a C program links against a file's natives and its exported callbacks."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from clib import run_child

import epsilon
from epsilon import cli, compiler, elf, exported
from epsilon.errors import ForeignTypeError

pytestmark = pytest.mark.skipif(not compiler.is_there(), reason="there is no C compiler")
embeds = pytest.mark.skipif(
    not sysconfig.get_config_var("Py_ENABLE_SHARED")
    or not os.path.isfile(os.path.join(sysconfig.get_path("include"), "Python.h")),
    reason="this Python has no shared library, or no headers",
)
CC = shlex.split(os.environ.get("CC", "cc"))
ROOT = str(Path(epsilon.__file__).resolve().parent.parent)

NATIVES = """
(require epsilon [defnative define-c-struct])
(import epsilon.libc [strlen])
(define-c-struct point (x :double) (y :double))
(define-c-struct record (tag :char) (value :double) :packed True)
(define-c-struct flags (a :unsigned-int :bits 3) (b :unsigned-int :bits 5) (at point) (next (:pointer point)))

(defnative compare-ints :int ((a (:pointer :int)) (b (:pointer :int)))
  "Negative, zero or positive.

  As qsort wants it. */ int injected; /*"
  (- (deref a) (deref b)))
(defnative c-abs :int ((a :int)) (if (< a 0) (- a) a))
(defnative floor-divide-int :int ((a :int) (b :int)) :on-error -7 (// a b))
(defnative shout :size ((s :string) (loud :bool)) (if loud (* 2 (strlen s)) (strlen s)))
(defnative checked :int32 ((new :int32)) (assert (> new 0) "above \\"zero\\"") new)
(defnative _twice :int ((a :int)) (* 2 a))
(defnative move :void ((p (:pointer point)) (by point)) (setv p.x (+ p.x by.x)) (setv p.y (+ p.y (_twice 1))))
(defnative apply :int ((f (:function :int (:int))) (n :int)) (f n))
(defnative value-of :double ((r (:pointer record))) r.value)
(defnative flag-sum :int ((f (:pointer flags))) (+ f.a f.b))
"""
USES_NATIVES = """
#include "mine.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int successor(int n) { return n + 1; }
static int order(const void *a, const void *b) { return compare_ints((int *)a, (int *)b); }
int main(void)
{
    int numbers[] = {3, 1, 2};
    struct point place = {3, 4}, by = {1, 1};
    struct record one = {'c', 2.5};
    struct flags bits = {0};
    const char *why;
    bits.a = 5;
    bits.b = 30;
    qsort(numbers, 3, sizeof *numbers, order);
    move(&place, by);
    printf("%d%d%d %d %d", numbers[0], numbers[1], numbers[2], c_abs(-4), floor_divide_int(7, -2));
    printf(" %d %g %g", (int)shout("abc", 1), place.x, place.y);
    printf(" %d %g %d\\n", apply(successor, 41), value_of(&one), flag_sum(&bits));
    printf("%d ", floor_divide_int(1, 0));
    printf("%d %d\\n", floor_divide_int(2, 0), checked(0));
    why = mine_stopped();
    printf("%d %d\\n", strstr(why, "ZeroDivisionError: division by zero: (// a b), in floor") != NULL, !mine_stopped());
    checked(-1);
    puts(mine_stopped());
    return 0;
}
"""
CALLBACKS = """
(require epsilon [defnative defcallback define-c-struct])
(define-c-struct pair (first :int) (second :int))

(defcallback greet :string ((name :string) (n :int)) :export "greet"
  "A greeting, n times."
  (print f"greeting {name}")
  (+ (* "hello " n) name))
(defcallback add-up :int ((numbers (:in (:array :int :length n))) (n :size)) :export "add_up" (sum numbers))
(defcallback split :void ((whole :double) (low (:out :double)) (high (:out :double))) :export "split_it"
  #((/ whole 2) (/ whole 2)))
(defcallback swapped pair ((p pair)) :export "swapped" (pair p.second p.first))
(defcallback fails :int ((n :int)) :export "fails" :on-error -1 (raise (ValueError f"no {n}")))
(defcallback quiet :int () (return 3))
(defnative twice :int ((n :int)) (* 2 n))
(defnative through :int ((n :int)) (+ 1 (fails n)))
"""
USES_CALLBACKS = """
#include "mine.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
static void *run(void *right)
{
    for (int i = 0; i < 100; i++)
        *(int *)right += strcmp(greet("C", 2), "hello hello C") == 0;
    return NULL;
}
int main(void)
{
    pthread_t threads[4];
    int right[4] = {0}, numbers[] = {1, 2, 3};
    struct pair given = {1, 2}, got;
    double one, other;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, run, &right[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    got = swapped(given);
    split_it(5, &one, &other);
    printf("%d %d %d %d,", right[0], right[1], right[2], right[3]);
    printf(" %d %d %d %g %g %d %d %d\\n", add_up(numbers, 3), got.first, got.second, one, other, twice(4), fails(8),
           through(9));
    return 0;
}
"""


def export(place: Path, text: str, name: str = "mine.hy", **environment: str) -> subprocess.CompletedProcess:
    """``epsilon compile`` of a file, in a process of its own."""
    file = place / name
    file.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "epsilon", "compile", str(file)]
    command += ["--shared", str(place / "libmine.so"), "--header", str(place / "mine.h")]
    return subprocess.run(command, env=surroundings(**environment), capture_output=True, text=True, check=False)


def surroundings(**environment: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environment}


def linked(place: Path, program: str, *options: str) -> str:
    """A C program, linked against the library."""
    (place / "main.c").write_text(program, encoding="utf-8")
    command = [*CC, "-Wall", "-Wextra", "-Werror", *options, str(place / "main.c"), "-o", str(place / "main")]
    command += [f"-I{place}", f"-L{place}", "-lmine", f"-Wl,-rpath,{place}", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return str(place / "main")


def run(program: str, **environment: str) -> subprocess.CompletedProcess:
    done = subprocess.run([program], env=surroundings(**environment), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done


def refused(place: Path, text: str, name: str = "mine.hy", **environment: str) -> str:
    """What the command says of a file that it cannot export; nothing is written then."""
    done = export(place, text, name, **environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert not (place / "libmine.so").exists()
    assert not (place / "mine.h").exists()
    return done.stderr


# --- natives ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def natives(tmp_path_factory):
    place = tmp_path_factory.mktemp("natives")
    done = export(place, NATIVES)
    assert done.returncode == 0, done.stderr
    assert "c_abs, floor_divide_int, shout" in done.stdout
    assert "_twice" not in done.stdout
    return place


def test_a_c_program_links_against_natives(natives):
    done = run(linked(natives, USES_NATIVES), PYTHONHOME="/nowhere", PYTHONPATH="/nowhere")
    *lines, last = done.stdout.splitlines()
    assert lines == ["123 4 -4 6 4 6 42 2.5 35", "-7 -7 0", "1 1"]
    assert last.startswith('AssertionError: above "zero"')
    assert f"{natives / 'mine.hy'}:" in last


def test_what_stops_a_native_there_is_told_once_until_somebody_asks(natives):
    said = run(linked(natives, USES_NATIVES)).stderr.splitlines()
    assert [line.split(":")[0] for line in said] == ["ZeroDivisionError", "AssertionError"]


def test_natives_need_no_python(natives):
    needed = elf.needed(str(natives / "libmine.so"))
    assert not [name for name in needed if "python" in name]


def test_the_header_is_c_and_cplusplus(natives):
    header = (natives / "mine.h").read_text(encoding="utf-8")
    doc = "/* Negative, zero or positive.\n\n   As qsort wants it. * / int injected; / * */\n"
    assert doc + "int compare_ints(int *a, int *b);\n" in header
    assert "struct point {\n    double x;\n    double y;\n};" in header
    assert header.startswith("/* mine.h") and "#ifndef EPSILON_MINE_H\n#define EPSILON_MINE_H\n" in header
    program = '#include "mine.h"\n#include "mine.h"\nint main(void) { return c_abs(0); }\n'
    for standard in ("-std=c99", "-std=gnu17"):
        assert run(linked(natives, program, standard)).stdout == ""
    if shutil.which("c++"):
        (natives / "main.cpp").write_text(program, encoding="utf-8")
        command = ["c++", "-Wall", "-Wextra", "-Werror", "main.cpp", "-o", "cpp", "-L.", "-lmine", "-Wl,-rpath,."]
        subprocess.run(command, cwd=natives, check=True)
        subprocess.run(["./cpp"], cwd=natives, check=True)


def test_the_library_has_its_functions_and_no_others(natives):
    listed = elf.exported_names(str(natives / "libmine.so"))
    wanted = "apply c_abs checked compare_ints flag_sum floor_divide_int mine_stopped move shout value_of".split()
    assert sorted(listed) == wanted


def test_the_bound_library_is_linked_and_found_again(tmp_path):
    (tmp_path / "deep").mkdir()
    library = tmp_path / "deep" / "libdeep.so"
    text = "int deep(int n) { return n + 100; }"
    subprocess.run([*CC, "-x", "c", "-", "-shared", "-fPIC", "-o", str(library)], input=text, text=True, check=True)
    source = f'(require epsilon [defnative defshared])\n(defshared deep "deep" "{library}" :int (n :int))\n' \
             "(defnative deeper :int ((n :int)) (+ 1 (deep n)))\n"  # fmt: skip
    done = export(tmp_path, source)
    assert done.returncode == 0, done.stderr
    program = '#include "mine.h"\n#include <stdio.h>\nint main(void) { printf("%d", deeper(1)); return 0; }\n'
    assert run(linked(tmp_path, program)).stdout == "102"


HARD = """
(require epsilon [defnative define-c-struct define-c-union])
(define-c-struct node (next (:pointer node)) (value :wchar) (f (:function :int ((:pointer node))))
  (names (:array :string 3)))
(define-c-struct outer (n node) (size :ssize) (back (:pointer outer)))
(define-c-union either (i :int) (d :double))
(define-c-struct odd (a :char) (b :int :offset 8))
(define-c-struct wide (a :char) (b :int) :align 32)
(define-c-struct tight (a :char) (b :int) :packed True :align 2)
(defnative f :int ((o (:pointer outer)) (class :int) (e (:pointer either)))
  "Line one ??/

  and \u2028 another"
  class)
(defnative g :int ((o (:pointer odd)) (w (:pointer wide)) (t (:pointer tight))) t.b)
(defnative h :uint64 ((a :uint64)) :on-error 18446744073709551615 (// a 0))
"""
USES_HARD = """
#include "mine.h"
#include "mine.h"
int main(void)
{
    struct tight t = {1, 7};
    struct wide w = {1, 2};
    return f(0, 3, 0) == 3 && g(0, &w, &t) == 7 && h(1) == UINT64_MAX && sizeof w == 32 ? 0 : 1;
}
"""


def test_the_header_has_every_layout(tmp_path):
    done = export(tmp_path, HARD)
    assert done.returncode == 0, done.stderr
    for standard in ("-std=c99", "-std=gnu17"):
        run(linked(tmp_path, USES_HARD, standard))


# --- callbacks --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def callbacks(tmp_path_factory):
    place = tmp_path_factory.mktemp("callbacks")
    done = export(place, CALLBACKS)
    assert done.returncode == 0, done.stderr
    return place


@embeds
def test_a_c_program_calls_lisp_from_several_threads(callbacks):
    done = run(linked(callbacks, USES_CALLBACKS))
    assert done.stdout.count("greeting C") == 400
    assert done.stdout.splitlines()[-1] == "100 100 100 100, 6 2 1 2.5 2.5 8 -1 0"


@embeds
def test_an_exception_gives_on_error_and_its_traceback_on_stderr(callbacks):
    said = run(linked(callbacks, USES_CALLBACKS)).stderr
    assert "ValueError: no 8" in said
    assert "ValueError: no 9" in said
    assert 'mine.hy", line 13, in fails' in said


@embeds
def test_its_header_has_the_callbacks(callbacks):
    header = (callbacks / "mine.h").read_text(encoding="utf-8")
    assert "/* A greeting, n times. */\nconst char *greet(const char *name, int n);\n" in header
    assert "int add_up(const int *numbers, size_t n);\n" in header
    assert "void split_it(double whole, double *low, double *high);\n" in header
    assert "quiet" not in header
    assert "stopped" not in header


@embeds
def test_the_library_works_in_a_process_that_runs_python(callbacks):
    code = """
import sys, epsilon
library = epsilon.lib_open(sys.argv[1])
greet = library.bind("const char *greet(const char *name, int n)")
assert "mine" not in sys.modules
assert greet("Python", 1) == "hello Python"
assert sys.modules["mine"].greet("itself", 2) == "hello hello itself"
try:
    library.bind("int fails(int)")(5)
except ValueError as error:
    print(error)
"""
    assert run_child(code, str(callbacks / "libmine.so")) == "greeting Python\ngreeting itself\nno 5\n"


@embeds
def test_without_its_file_a_callback_of_any_type_gives_on_error(tmp_path):
    answers = {"a int64": -(2**63), "b uint64": 2**64 - 1, "c float": 1.5, "d double": "float('-inf')", "e bool": True,
               "f int8": -1, "g string": "'none'"}  # fmt: skip
    source = "import epsilon\n" + "".join(
        f"@epsilon.callback('{word[2:]}', [], on_error={value}, export='{word[0]}')\ndef {word[0]}(): return None\n"
        for word, value in answers.items()
    )
    done = export(tmp_path, source, "mine.py")
    assert done.returncode == 0, done.stderr
    text = """#include "mine.h"\n#include <math.h>\n#include <stdio.h>
int main(void) { printf("%d%d%d%d%d%d %s", a() == INT64_MIN, b() == UINT64_MAX, c() == 1.5f, d() == -INFINITY, e(),
                        f() == -1, g() ? g() : "zero"); return 0; }
"""
    program = linked(tmp_path, text)
    assert run(program).stdout == "111111 zero"
    (tmp_path / "mine.py").unlink()
    assert run(program).stdout == "111111 zero"


@embeds
def test_without_its_file_a_callback_gives_on_error(tmp_path):
    source = '(require epsilon [defcallback])\n(defcallback f :int ((n :int)) :export "f" :on-error -9 n)\n'
    assert export(tmp_path, source).returncode == 0
    text = '#include "mine.h"\n#include <stdio.h>\nint main(void) { printf("%d", f(3)); return 0; }\n'
    program = linked(tmp_path, text)
    assert run(program).stdout == "3"
    (tmp_path / "mine.hy").write_text(source.replace("((n :int))", "((n :string))"), encoding="utf-8")
    done = run(program)
    assert done.stdout == "-9"
    assert "has changed since it was compiled: f was" in done.stderr
    (tmp_path / "mine.hy").unlink()
    done = run(program)
    assert done.stdout == "-9"
    assert "mine.hy" in done.stderr


@embeds
def test_a_callback_is_exported_from_python(tmp_path):
    source = (
        "import epsilon\n\n@epsilon.callback('double', ['double', 'int'], export='scaled')\n"
        "def anything(x, times):\n    '''x, scaled.'''\n    return x * times\n"
    )
    done = export(tmp_path, source, "mine.py")
    assert done.returncode == 0, done.stderr
    assert "/* x, scaled. */\ndouble scaled(double x, int times);" in (tmp_path / "mine.h").read_text(encoding="utf-8")
    program = '#include "mine.h"\n#include <stdio.h>\nint main(void) { printf("%g", scaled(1.5, 3)); return 0; }\n'
    assert run(linked(tmp_path, program)).stdout == "4.5"


def test_names_of_callbacks_are_checked_when_they_are_defined():
    for name in ("two words", "4th", "f;int g", "while", "main", "", 5, "größe"):
        with pytest.raises(ForeignTypeError, match=r"C name|word of C"):
            epsilon.callback("int", ["int"], export=name)(lambda n: n)

    @epsilon.callback("int", ["int"], export="test_export_taken")
    def one(n):
        return n

    assert one(3) == 3
    assert exported.exports_of(__name__)["test_export_taken"].callback is one
    with pytest.raises(ForeignTypeError, match="is exported as test_export_taken already"):

        @epsilon.callback("int", ["int"], export="test_export_taken")
        def other(n):
            return n


# --- what cannot be exported ------------------------------------------------------------------------------------------

HEAD = "(require epsilon [defnative defcallback defshared])\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("(setv x 1)", "there is nothing to export: no native, and no callback with :export"),
        ("(defnative mine-stopped :int () 1)", "mine_stopped is what tells C programs why a native stopped"),
        ('(defnative f :int () 1)\n(defcallback g :int () :export "f" 1)', "two functions would have the C name f"),
        ("(defcallback g :int () 1)\n(defnative f :int () (g))", "g is a callback in Python, which C has only if"),
        (
            '(defshared c-abs "abs" "libc" :int (n :int))\n(defnative abs :int ((n :int)) (c-abs n))',
            "would stand before",
        ),
        ("(defnative f :int () (unknown 1))", "unknown"),
        ('(defcallback g :long-double () :export "g" 1.0)', "the callback g has a long double"),
        ("(defnative linux :int () 1)", "the compiler's words"),
    ],
)
def test_what_cannot_be_exported(tmp_path, text, said):
    assert said in refused(tmp_path, HEAD + text)


def test_what_the_linker_refuses_is_a_compiler_error(tmp_path):
    library = tmp_path / "libgone.so"
    text = "int gone(int n) { return n; }"
    subprocess.run([*CC, "-x", "c", "-", "-shared", "-fPIC", "-o", str(library)], input=text, text=True, check=True)
    source = HEAD + f'(defshared gone "gone" "{library}" :int (n :int))\n(defnative f :int ((n :int)) (gone n))\n' \
                    f'(gone 1)\n(import os)\n(os.unlink "{library}")\n'  # fmt: skip
    said = refused(tmp_path, source)
    assert "epsilon compile: " in said and "the compiler's words:" in said and "libgone" in said


def test_without_a_compiler_nothing_is_exported(tmp_path):
    assert "/no/such/cc" in refused(tmp_path, HEAD + "(defnative f :int () 1)", CC="/no/such/cc")


def test_a_python_that_cannot_be_embedded_refuses_callbacks_alone(tmp_path, monkeypatch, capsys):
    real = sysconfig.get_config_var
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: 0 if name == "Py_ENABLE_SHARED" else real(name))
    shared = str(tmp_path / "libmine.so")
    texts = {"export_natives": "(defnative f :int () 1)", "export_callbacks": '(defcallback g :int () :export "g" 1)'}
    for name, text in texts.items():
        (tmp_path / f"{name}.hy").write_text(HEAD + text, encoding="utf-8")
        status = cli.main(["compile", str(tmp_path / f"{name}.hy"), "--shared", shared])
        said = capsys.readouterr()
        if name == "export_natives":
            assert (status, said.out) == (0, f"{shared} has f\n")
        else:
            assert status == 1
            assert "exported callbacks need Python's shared library" in said.err
    if real("Py_ENABLE_SHARED"):
        monkeypatch.undo()
        monkeypatch.setattr(sysconfig, "get_path", lambda name: "/no/such/folder")
        assert cli.main(["compile", str(tmp_path / "export_callbacks.hy"), "--shared", shared]) == 1
        assert "need Python's own headers, and there is no /no/such/folder/Python.h" in capsys.readouterr().err


def test_a_header_alone_is_refused(tmp_path, capsys):
    (tmp_path / "export_header.hy").write_text("", encoding="utf-8")
    assert cli.main(["compile", str(tmp_path / "export_header.hy"), "--header", "x.h"]) == 1
    assert "--header declares what --shared writes" in capsys.readouterr().err


def test_what_cannot_be_written_is_an_error(tmp_path, capsys):
    (tmp_path / "export_place.hy").write_text(HEAD + "(defnative f :int () 1)", encoding="utf-8")
    place = str(tmp_path / "no" / "libmine.so")
    assert cli.main(["compile", str(tmp_path / "export_place.hy"), "--shared", place]) == 1
    assert place in capsys.readouterr().err
