"""API §9 from Python: errors at the user's line, the C text, the cache, debuggers, threads, and what must not crash."""

from __future__ import annotations

import io
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
import types

import hy
import hy.compiler
import pytest
from clib import SHIM, compile_c, load_c, run_child

import epsilon
from epsilon import CompilerError, ForeignError, ForeignTypeError, define_native
from epsilon.native import building

COMPILES = building.compiles()
compiled = pytest.mark.skipif(not COMPILES, reason="natives are interpreted here: no C compiler, or no shim")

libc = epsilon.lib_open("libc")
qsort = libc.bind("void qsort(void *base, size_t count, size_t width, int (*compare)(const void *, const void *))")
point = epsilon.define_c_struct("native_point", [("x", "int"), ("y", "double")])
packed = epsilon.define_c_struct("native_packed", [("c", "char"), ("d", "double")], packed=True)
bits = epsilon.define_c_struct(
    "native_bits", [("a", "int", {"bits": 3}), ("b", "unsigned-int", {"bits": 5}), ("c", "int")]
)
a_list = [1, 2]


def source(function) -> str:
    out = io.StringIO()
    epsilon.native_source(function, out)
    return out.getvalue()


# --- the Python face --------------------------------------------------------------------------------------------------


def test_a_native_from_python():
    mean = define_native(
        "double mean(const int *values, size_t count)",
        "(setv total (the :long 0)) (for [i (range count)] (+= total (get values i))) (/ (cast total :double) count)",
        doc="The mean.",
    )
    assert mean(epsilon.foreign_alloc("int", initial=[1, 2, 6]), 3) == 3.0
    assert mean(values=epsilon.foreign_alloc("int", initial=[4]), count=1) == 4.0
    assert mean.__doc__ == "double mean(const int *values, size_t count)\n\nThe mean."
    with pytest.raises(ZeroDivisionError):
        mean(None, 0)


def test_what_cannot_be_a_native():
    with pytest.raises(ForeignTypeError, match="native f: native code cannot be variadic"):
        define_native("int f(int a, ...)", "a")
    with pytest.raises(ForeignTypeError, match="native f: the body cannot be read"):
        define_native("int f(int a)", "(+ a")
    with pytest.raises(ForeignTypeError, match="a C prototype and a body, which are texts; not 7"):
        define_native("int f(int a)", 7)
    with pytest.raises(ForeignTypeError, match="native_source takes a native"):
        epsilon.native_source(qsort)


def test_critical_natives():
    if not SHIM:
        with pytest.raises(ForeignTypeError, match="needs the shim"):
            define_native("int f(int a)", "a", critical=True)
        return
    function = define_native("int f(int a)", "(// 7 a)", critical=True)
    assert function(2) == 3
    with pytest.raises(ZeroDivisionError):
        function(0)


def test_structs_by_value():
    moved = define_native("struct native_point moved(struct native_point p, int by)", "(+= p.x by) p")
    assert moved(point(1, 2.5), 4) == point(5, 2.5)
    again = define_native("double again(struct native_point p)", "(let [q (moved p 1)] (+ q.x q.y))")
    globals()["moved"] = moved
    assert again(point(1, 2.5)) == 4.5
    made = define_native("struct native_point made(int x)", "(assert x) (point x 0.5)")
    assert made(3) == point(3, 0.5)
    with pytest.raises(AssertionError):
        made(0)


def test_packed_structs_and_bit_fields():
    function = define_native(
        "double f(struct native_packed *p, struct native_bits *b)",
        "(setv p.d (+ p.d 1) b.a (- b.b 12) b.c 9) (+ p.d p.c b.a)",
    )
    one, other = packed(3, 4.5), bits(a=0, b=10, c=1)
    assert function(one, other) == 5.5 + 3 - 2
    assert (one.d, other.a, other.b, other.c) == (5.5, -2, 10, 9)


def test_c_functions_with_struct_results_and_variadic_ones():
    library = load_c("#include <stdio.h>\nstruct pair { int a, b; }; struct pair twice(struct pair p) "
                     "{ p.a *= 2; p.b *= 2; return p; } _Bool odd(signed char c) { return c & 1; }")  # fmt: skip
    pair = epsilon.define_c_struct("pair", [("a", "int"), ("b", "int")])
    scope = {"twice": library.bind("struct pair twice(struct pair p)"), "pair": pair,
             "odd": library.bind("bool odd(signed char c)"),
             "snprintf": libc.bind("int snprintf(char *to, size_t size, const char *format, ...)")}  # fmt: skip
    globals().update(scope)
    total = define_native("int total(int n)", "(let [p (twice (pair n 1))] (+ p.a p.b (odd n)))")
    assert total(5) == 13
    text = define_native("int text(char *to, int n, double x)", '(snprintf to 40 "%d %s %.2f %c" n "and" x (ord "!"))')
    out = epsilon.foreign_alloc("char", count=40)
    assert text(out, 12, 0.5) == 13 and epsilon.foreign_string(out) == "12 and 0.50 !"


def test_out_parameters():
    split = define_native("int split(int n, int *rest)", "(setv (deref rest) (% n 10)) (// n 10)")
    assert epsilon.registry.trampoline("int", ["int", ("out", "int")])(split.address, 47) == (4, 7)


# --- errors -----------------------------------------------------------------------------------------------------------

WRONG = [
    ("int f(int a)", "(+ a\n  (g 1))", 2, "unknown name g"),
    ("int f(int a)", "\n\n(+ a xyz)", 3, "unknown name xyz"),
    ("int f(int alpha)", "(+ 1 alpa)", 1, "unknown name alpa; did you mean 'alpha'"),
    ("int f(int *p)", "(* p 2)", 1, r"\* of int \* and an int literal: of a pointer, \+ and - take an integer"),
    ("int f(double x)", "x", 1, r"the result is int, and x is double; \(cast x :int\) cuts it off"),
    ("int f(int a)", "(/ a 2)", 1, "/ is for floats, .* // divides them"),
    ("int f(int a)", '(+ a "text")', 1, "the result is int, and .* is const char"),
    ("int f(int a)", "(setv a None) 1", 1, "a is int, and None is None"),
    ("int f(int a)", "(when a 1)", 1, r"the result is int, and \(when a 1\) gives no value"),
    ("int f(int a)", "(while a 1)", 1, "gives no value"),
    ("int f(int a)", "", 1, "the body is empty"),
    ("int f(int a)", "(setv x (if a 1 None)) 1", 1, "x is long, and None is None"),
    ("int f(int a)", "(setv x 1)\n(setv x None) 1", 2, r"x is .* elsewhere, and None here; \(the TYPE …\)"),
    ("int f(int a)", "(get a 0)", 1, "int is no pointer"),
    ("int f(void *p)", "(get p 0)", 1, r"void \* has no elements of a known size; \(cast p \(:pointer :char\)\)"),
    ("int f(const int *p)", "(setv (get p 0) 1) 1", 1, "behind a const pointer"),
    ("int f(struct native_point *p)", "p.z", 1, "struct native_point has no member z; .*x, y"),
    ("int f(int a)", "(. a x)", 1, "int has no members"),
    ("int f(int a)", "(the :char 300)", 1, "300 does not fit char, which goes from"),
    ("int f(int a)", "(the :int 2.5)", 1, "the type said is int, and 2.5 is double"),
    ("int f(int a)", "99999999999999999999", 1, "fits no C integer"),
    ("int f(int a)", "(break) 1", 1, r"\(break\) is outside of a loop"),
    ("int f(int a)", "(for [x [1 2]] x) 1", 1, "a native loops over a range"),
    ("int f(int a)", "(for [x (range 1.5)] x) 1", 1, "a range is of integers|counts, and is double"),
    ("int f(int a)", "(for [x (range 1 2 0)] x) 1", 1, "the step of a range is not 0"),
    ("int f(int a)", "(lfor x (range a) x)", 1, "lfor is not in the subset of .*; use a local array and a for"),
    ("int f(int a)", "(try a (except [E] 1))", 1, "try is not in the subset"),
    ("int f(int a)", '(print "x")', 1, "print .*bind printf of libc"),
    ("int f(int a)", "(.method a)", 1, "native code has no methods"),
    ("int f(int a)", "[a]", 1, r"an array is \(the \(:array TYPE LENGTH\)"),
    ("int f(int a)", "{1 2}", 1, "a struct is made by calling its type"),
    ("int f(int a)", ":int", 1, "a type stands in the, cast and sizeof"),
    ("int f(int a)", "a_list", 1, "a_list is a list; native code takes numbers, strings"),
    ("int f(int a)", "(a_list 1)", 1, "a_list is a list of Python"),
    ("int f(int a)", "(a 1)", 1, "a is int, and cannot be called"),
    ("int f(int a)", "(abs_ 1 2)", 1, "abs takes 1 argument, and 2 are given"),
    ("int f(int a)", "(abs_ None)", 1, "argument 1 of abs is int, and None is None"),
    ("int f(int a)", "(the (:array :int 3) [1 2 3 4])", 1, "has no place for 4 values"),
    ("int f(int a)", "(setv x (the (:array :char 9999999))) 1", 1, "has its place on the stack"),
    ("int f(int a)", "(setv x (the (:array :int 3))) (get x 3)", 1, r"int \[3\] has no element 3"),
    ("int f(int a)", "(cast a native_missing)", 1, "unknown name native_missing"),
    ("int f(int a)", "(cast a :nothing)", 1, "unknown type 'nothing'"),
    ("int f(long double a)", "1", 1, "native code has no long double"),
    ("int f(int a)", "(return)", 1, r"\(return VALUE\) is wanted; the result is int"),
    ("void f(int a)", "(return 1)", 1, "the result is void"),
    ("int f(int a)", "(if a)", 1, r"\(if CONDITION THEN ELSE\) is wanted"),
    ("int f(int a)", "(let [x] x)", 1, r"\(let \[NAME VALUE …\]"),
    ("int f(int a)", "(setv (+ a 1) 2) 1", 1, "cannot be assigned"),
    ("int f(int a)", "(assert a a) 1", 1, "string literal"),
    ("int f(int a)", "()", 1, r"\(\) is no value"),
    ("int f(double x)", "(& x 1)", 1, "& takes an integer, and x is double"),
    ("int f(int a)", "(bnot 1.5)", 1, "bnot takes an integer"),
    ("int f(int a)", '"\\0"', 1, "ends where its NUL is"),
]
abs_ = libc.bind("int abs(int n)")


@pytest.mark.parametrize(("prototype", "body", "line", "message"), WRONG)
def test_an_error_names_the_form_at_its_line(prototype, body, line, message):
    function, here = define_native(prototype, body), line_here()
    with pytest.raises(CompilerError, match=message) as caught:
        function.address  # noqa: B018
    assert f"native f, <text at {__file__}:{here}>:{line}: " in str(caught.value)
    with pytest.raises(CompilerError, match=message):  # and again
        function.address  # noqa: B018


def line_here() -> int:
    """The line of the caller."""
    return sys._getframe(1).f_lineno


def test_a_body_that_stands_in_the_call_has_the_lines_of_its_file():
    here = line_here()
    function = define_native("int f(int a)", """
        (setv b (* a 2))
        (+ b nothing)
    """)  # fmt: skip
    with pytest.raises(CompilerError, match="unknown name nothing") as caught:
        function.address  # noqa: B018
    assert f"native f, {__file__}:{here + 3}: unknown name" in str(caught.value)
    assert f'#line {here + 8} "{__file__}"' in source(define_native("int f(int a)", "a"))

    divided = define_native("int divided(int a)", """\
(setv b 10)
        (// b a)""")  # fmt: skip
    with pytest.raises(ZeroDivisionError, match=rf"in divided \(.*test_native.py:{here + 12}\)") as zero:
        divided(0)
    places = [(entry.path, entry.lineno + 1) for entry in zero.traceback]
    assert (__file__, here + 12) in [(str(path), line) for path, line in places]


def test_a_body_from_elsewhere_is_named_by_the_line_of_the_call():
    body = "(setv b 10)\n(// b " + "a)"
    divided, here = define_native("int divided(int a)", body), line_here()
    with pytest.raises(ZeroDivisionError, match=rf"in divided \(<text at .*test_native.py:{here}>:2\)"):
        divided(0)
    wrong, here = define_native("int wrong(int a)", body + " nothing"), line_here()
    with pytest.raises(CompilerError, match="unknown name nothing"):
        wrong.address  # noqa: B018
    with pytest.raises(CompilerError, match="unknown name nothing") as caught:
        source(wrong)
    assert (caught.value.filename, caught.value.lineno) == (__file__, here)


def expand(text: str) -> None:
    module = types.ModuleType("expanded")
    forms = hy.read_many("(require epsilon *)\n" + text, filename="user.hy")
    hy.compiler.hy_compile(forms, module, import_stdlib=False)


@pytest.mark.parametrize(
    ("form", "line", "column", "message"),
    [
        ("(defnative f :int ((a :int))\n  (+ a\n     1.5))", 3, 3, r"the result is int, and \(\+ a 1.5\) is double"),
        ("(defnative f :int ((a :int))\n  (try a))", 3, 3, "try is not in the subset"),
        ("(defnative f :int ((a :int))\n  (+ a (get a 0)))", 3, 8, "int is no pointer"),
        ("(defnative f :int ((p (:pointer :int)))\n  (setv x 1)\n  (setv x p) 1)", 4, 11, "x is long elsewhere"),
        ("(defnative f :int ((a :int)) (foreign-string a))", 2, 30, "foreign-string is not in the subset"),
        ("(defnative f :int ((a :int)))", 2, 1, "the body is missing"),
        ("(defnative f :int ((a :long-double)) 1)", 2, 1, "native code has no long double"),
        ("(defnative f :int ((a :int)) :on-error x 1)", 2, 40, "what a native gives on an error is a number, not x"),
        ("(defcallback f :int ((a :int)) :native x 1)", 2, 40, ":native is True or False"),
        ("(defcallback f :int ((a :int)) :native True :thread :loop a)", 2, 1, ":thread is for a callback in Python"),
    ],
)
def test_what_is_wrong_in_a_form_is_said_when_it_is_expanded(form, line, column, message):
    with pytest.raises(SyntaxError, match=message) as caught:
        expand(form)
    assert (caught.value.lineno, caught.value.offset) == (line, column)


def test_a_mistake_in_one_native_is_no_other_ones():
    good = define_native("int good(int a)", "(+ a 1)")
    bad = define_native("int bad(int a)", "(+ a nothing)")
    globals()["bad"] = bad
    uses = define_native("int uses(int a)", "(bad a)")
    assert good(1) == 2
    with pytest.raises(CompilerError, match="unknown name nothing"):
        bad(1)
    with pytest.raises(CompilerError, match="unknown name nothing"):
        uses(1)


def test_bodies_of_all_sorts_do_not_crash():
    words = ["+", "-", "//", "get", "deref", ".", "setv", "let", "for", "while", "if", "cond", "the", "cast", "sizeof",
             "return", "and", "or", "not", "<", "=", "range", "a", "p", "s", "1", "2.5", '"t"', ":int",
             "None", "point", "abs_", "struct-ref", "'x", "assert", "do", "when", "+=", "True", "ord", "<<",
             "break"]  # fmt: skip
    import random

    pick = random.Random(6)

    def form(depth: int) -> str:
        if depth == 0 or pick.random() < 0.3:
            return pick.choice([word for word in words])
        inner = " ".join(form(depth - 1) for _ in range(pick.randint(0, 4)))
        return f"({pick.choice(words[:24])} {inner})" if pick.random() < 0.85 else f"[{inner}]"

    done = 0
    for _ in range(400):
        function = define_native("int f(int a, int *p, const char *s)", form(4))
        try:
            source(function)
            done += 1
        except CompilerError:
            pass
    building._waiting.pop(__file__, None)
    assert done > 1


# --- text -------------------------------------------------------------------------------------------------------------


def test_forms_that_are_nested_too_deeply():
    function = define_native("int f(int a)", "(+ 1 " * 60 + "a" + ")" * 60)
    assert function(2) == 62
    with pytest.raises((CompilerError, ForeignTypeError), match="nested too deeply|recursion"):
        define_native("int f(int a)", "(+ 1 " * 250 + "a" + ")" * 250)(2)


def test_a_native_is_pickled_by_name():
    with pytest.raises(TypeError, match="pickled by its module and name, and is not .*f"):
        pickle.dumps(define_native("int f(int a)", "a"))


def test_the_c_text_is_readable():
    function = define_native(
        "long sum_of(const int *p, size_t n)",
        "(setv total (the :long 0))\n(for [i (range n)]\n  (+= total (get p i)))\ntotal",
    )
    here = function.declaration.native.text_at
    text = re.sub(r"/\*.*\*/\n|^(typedef|static (?!long sum_of.*{)).*\n", "", source(function), flags=re.M).strip()
    assert text == f"""\
#line 1 "<text at {__file__}:{here}>"
static long sum_of(const int *p, size_t n) {{
#line 1
    long total = 0;
    for (size_t i = 0; i < n; i++) {{
        total += p[i];
    }}
#line 4
    return total;
#line 4
}}"""


def test_native_source_prints(capsys):
    epsilon.native_source(define_native("int one(void)", "1"))
    assert "return 1;" in capsys.readouterr().out


def test_user_text_never_reaches_c_unquoted():
    evil = '*/ int main; /* ") ; #error \\ " ??/ %s \n'
    path = f"evil {evil!r}"
    code = compile(
        f"function = define('int f(int a)', {('(assert a ' + hy.repr(evil) + ') (puts_ ' + hy.repr(evil) + ')')!r})",
        path, "exec",
    )  # fmt: skip
    space = {"define": define_native, "puts_": libc.bind("size_t puts_(const char *s)", symbols=["strlen"])}
    exec(code, space)
    assert space["function"](1) == len(evil.encode())
    with pytest.raises(AssertionError) as caught:
        space["function"](0)
    assert str(caught.value).startswith(evil)


def test_lisp_names_that_c_has_for_itself():
    names = ["int_", "stop", "memcpy", "main", "floor_divide_int", "epsilon_stop", "for_", "c_abs"]
    for name in names:
        function = define_native(f"int {name}(int {name}, int t)", f"(setv t (+ t (// {name} 2))) (abs_ (+ {name} t))")
        assert function(-7, 1) == 10


# --- building ---------------------------------------------------------------------------------------------------------

MANY = "\n".join(f"f{n} = define('int f{n}(int a)', '(+ a {n})')" for n in range(20))


def load(text: str, name: str) -> dict:
    space = {"define": define_native}
    exec(compile(text, name, "exec"), space)
    return space


@compiled
def test_the_natives_of_a_file_are_one_library(monkeypatch):
    built = []
    build = building.compiler.build
    monkeypatch.setattr(building.compiler, "build", lambda *a, **k: built.append(a) or build(*a, **k))
    space = load(MANY, "many-natives.hy")
    assert [space[f"f{n}"](1) for n in range(20)] == [n + 1 for n in range(20)]
    assert len(built) == 1
    again = load(MANY, "many-natives.hy")
    monkeypatch.setattr(building.Native, "read", lambda self: pytest.fail("the forms are read though all is cached"))
    assert [again[f"f{n}"](1) for n in range(20)] == [n + 1 for n in range(20)]
    assert len(built) == 1


@compiled
def test_a_damaged_library_of_natives_is_built_again(monkeypatch, tmp_path):
    monkeypatch.setenv("EPSILON_CACHE", str(tmp_path / "cache"))
    text = "f = define('int f(int a)', '(+ a 1)')\ng = define('int g(int a)', '(// 7 a)')"
    assert load(text, "damaged.hy")["g"](2) == 3
    (path,) = (tmp_path / "cache" / "library").glob("*.so")
    for damage in (path.read_bytes()[:1000], b"", b"\x7fELF of another\n" * 100):
        path.unlink()  # what is in its place is not what this process has mapped
        path.write_bytes(damage)
        assert load(text, "damaged.hy")["f"](1) == 2
        assert [path] == list((tmp_path / "cache" / "library").glob("*.so")) and path.stat().st_size > 2000
    path.parent.chmod(0o777)
    with pytest.raises(ForeignError, match="can be written by other users"):
        load(text, "damaged.hy")["f"](1)


def test_only_natives_that_can_stop_are_told_how():
    code = ("import epsilon\nfrom epsilon.native import building\n"
            "f = epsilon.define_native('int f(int a)', '(+ a 1)')\nprint(f(1), len(building._stop))\n"
            "g = epsilon.define_native('int g(int a)', '(// 7 a)')\nprint(g(2))\n"
            "try: g(0)\nexcept ZeroDivisionError as error: print(error, len(building._stop))")  # fmt: skip
    said = run_child(code).splitlines()
    place = r"\((<text at <string>:5>:1|<string>:5)\)"  # since Python 3.13 the lines of -c are known
    assert said[:2] == ["2 0", "3"] and re.search(rf", in g {place} 1$", said[2]), said


@compiled
def test_what_a_name_means_is_part_of_the_key():
    text = "K = {}\nf = define('int f(struct keyed *p)', '(+ K (. p b))')\n"
    for number in (1, 2):
        epsilon.define_c_struct("keyed", [("a", "int"), ("b", "int")][:: 1 if number == 1 else -1])
        space = load(text.format(number), "keyed-natives.hy")
        kind = epsilon.ctype("keyed").python_class
        assert space["f"](kind(a=10, b=20)) == 20 + number


def test_two_structs_of_one_name_in_one_file():
    first = epsilon.define_c_struct("doubled", [("a", "int")])
    one = define_native("int one(struct doubled *p)", "p.a")
    second = epsilon.define_c_struct("doubled", [("b", "double"), ("a", "int")])
    two = define_native("int two(struct doubled *p)", "p.a")
    assert (one(first(3)), two(second(1.5, 4))) == (3, 4)


def test_many_threads_need_a_native_at_once():
    function = define_native("int f(int a)", "(* a 3)")
    found = []
    threads = [threading.Thread(target=lambda: found.append(function(5))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [15] * 8


def test_a_closed_library_stays_for_the_natives_that_call_it():
    path = compile_c("int closing(int a) { return a + 40; }")
    library = epsilon.lib_open(path)
    space = {"closing": library.bind("int closing(int a)"), "define": define_native}
    exec(compile("f = define('int f(int a)', '(closing a)')", "closing.hy", "exec"), space)
    assert space["f"](2) == 42
    library.close()
    if COMPILES:
        assert space["f"](2) == 42
    else:
        with pytest.raises(ForeignError, match="closed"):
            space["f"](2)


def test_a_native_on_a_thread_that_python_has_never_seen():
    library = load_c("""#include <pthread.h>
        static void *run(void *f) { return (void *)(long)((int (*)(int))f)(20); }
        long on_thread(int (*f)(int)) { pthread_t t; void *r; pthread_create(&t, 0, run, (void *)f);
        pthread_join(t, &r); return (long)r; }""")  # fmt: skip
    on_thread = library.bind("long on_thread(int (*f)(int))")
    assert on_thread(define_native("int f(int a)", "(+ a 1)")) == 21


def test_without_a_compiler_natives_are_interpreted():
    code = ("import epsilon\nf = epsilon.define_native('int f(int a)', '(// (* a 7) 2)')\nprint(f(3))\n"
            "from epsilon.native import building\nprint(building.compiles())")  # fmt: skip
    assert run_child(code, CC="/no/such/compiler") == "10\nFalse\n"


@compiled
def test_a_compiler_that_fails_is_an_error_with_its_words():
    code = ("import epsilon\nf = epsilon.define_native('int f(int a)', 'a')\n"
            "try: f(1)\nexcept epsilon.CompilerError as error: print('told', 'native f' in str(error))")  # fmt: skip
    assert run_child(code, CFLAGS="-Werror -fno-such-option") == "told True\n"


def test_import_epsilon_imports_nothing_of_natives():
    code = "import sys, epsilon; print([name for name in sys.modules if 'native' in name])"
    assert run_child(code) == "[]\n"


@compiled
@pytest.mark.skipif(not shutil.which("readelf"), reason="readelf (binutils) is not installed")
def test_the_debug_lines_are_those_of_lisp(monkeypatch):
    paths, load_file = [], building.loader.load
    monkeypatch.setattr(building.loader, "load", lambda path: paths.append(path) or load_file(path))
    name = "lines of lisp.hy"
    space = load("f = define('int f(int a)', '''(setv b (+ a 1))\n(while (< b 10)\n  (+= b 3))\n\n\nb''')", name)
    space["f"].address  # noqa: B018
    told = subprocess.run(["readelf", "--debug-dump=decodedline", *paths], capture_output=True, text=True, check=True)
    lines = {int(found) for found in re.findall(r"^<text at lines of lisp.hy:1>\s+(\d+)", told.stdout, re.M)}
    assert {1, 2, 3, 6} <= lines and max(lines) == 6


@compiled
@pytest.mark.skipif(not shutil.which("gdb"), reason="gdb is not installed")
def test_a_debugger_stops_on_lisp_lines(tmp_path):
    script = tmp_path / "stepped.py"
    script.write_text("import epsilon\nf = epsilon.define_native('int stepped(int n)', '''(setv total 0)\n"
                      "(for [i (range n)]\n  (+= total (* i i)))\ntotal''')\nf.address\nprint(f(3))\n")  # fmt: skip
    commands = ["set confirm off", "set breakpoint pending on", "break stepped", "run", "bt 1", "next", "info source"]
    arguments = [word for command in commands for word in ("-ex", command)]
    done = subprocess.run(
        ["gdb", "-q", "-nx", "-batch", *arguments, "--args", sys.executable, str(script)],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(epsilon.__file__)), "DEBUGINFOD_URLS": ""},
    )  # fmt: skip
    if "ptrace" in done.stderr:
        pytest.skip("gdb may not trace here")
    assert re.search(r"stepped \(n=3\) at .*stepped\.py:\d", done.stdout), done.stdout + done.stderr
