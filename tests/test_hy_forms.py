"""What the Hy macros expand to, what they refuse and where they say it is wrong, and how they are required."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import subprocess
import sys
import types
from pathlib import Path

import cffi
import epsilon.macros
import hy
import hy.compiler
import pytest

import epsilon
from epsilon import _runtime
from epsilon.bodies import parse_body
from epsilon.declarator import parse_type
from epsilon.expressions import ctype
from epsilon.form_types import read_type
from epsilon.prototypes import parse_prototype
from epsilon.typesystem import TYPEDEFS, WORDS

REQUIRE = "(require epsilon *)\n"


def expand(form: str) -> str:
    """The Python that ``form`` compiles to, as hy2py writes it."""
    module = types.ModuleType("expanded")
    tree = hy.compiler.hy_compile(hy.read_many(REQUIRE + form), module, import_stdlib=False)
    lines = ast.unparse(tree).splitlines()
    return "\n".join(line for line in lines if line and not line.startswith(("import hy", "hy.macros.require")))


# --- expansions -----------------------------------------------------------------------------------------------------

RUNTIME = "__import__('epsilon._runtime')._runtime"

EXPANSIONS = {
    '(defshared my-strlen "strlen" "libc" :unsigned-long (s :string))':
        f"my_strlen = {RUNTIME}.bind('libc', 'unsigned long strlen(const char *s);')",
    '(defshared f ["g2" "g"] lib :void)':
        f"f = {RUNTIME}.bind(lib, 'void g2(void);', symbols=['g2', 'g'])",
    '(defshared f "f" "l" :int (s :string) ... :critical True :check non-null)':
        f"f = {RUNTIME}.bind('l', 'int f(const char *s, ...);', critical=True, check='non-null')",
    '(defshared f "f" "l" :int (a (:in :int)) (b (:pointer :int)) (c point))':
        f"f = {RUNTIME}.bind('l', 'int f(const int *a, int *b, struct point c);', "
        "special={0: ('in', 'int'), 2: point})",
    '(defshared f "f" "l" (:pointer point) (a (:string :encoding "latin-1")) (b (:buffer :writable)))':
        f"f = {RUNTIME}.bind('l', 'struct point *f(const char *a, void *b);', special={{0: ('string', "
        "{'encoding': 'latin-1'}), 1: ('buffer', 'writable'), 'result': ('pointer', point)})",
    '(defshared f "f" "l" :int (a (:pointer (:struct point))) (b "struct stat *") (c (:function :int (:int))))':
        f"f = {RUNTIME}.bind('l', 'int f(struct point *a, struct stat *b, int (*c)(int));')",
    '(defshared-with-errno c-rmdir "rmdir" "libc" :int (path :string))':
        f"c_rmdir = {RUNTIME}.bind('libc', 'int rmdir(const char *path);', errno=True, check='nonnegative')",
    '(defshared-with-errno f "fopen" "libc" :pointer (path :string) :check ok)':
        f"f = {RUNTIME}.bind('libc', 'void *fopen(const char *path);', errno=True, check=ok)",
    "(shared-call '(\"strlen\" \"libc\") :unsigned-long '(:string) \"hello\")":
        f"{RUNTIME}.function('libc', 'unsigned long strlen(const char *);')('hello')",
    "(shared-call '(\"strlen\" \"libc\") 'strlen \"hello\")":
        f"{RUNTIME}.shared_call(('strlen', 'libc'), 'strlen', 'hello')",
    "(define-c-struct timespec (sec :long) (nsec :long))":
        f"timespec = {RUNTIME}.struct('struct timespec {{ long sec; long nsec; }};')",
    "(define-c-struct node (next (:pointer node)) (at point) (xs (:array :int 4)))":
        f"node = {RUNTIME}.struct('struct node {{ struct node *next; struct point at; int xs[4]; }};', "
        "special={'at': point})",
    '(define-c-struct-auto stat-struct "struct stat { dev_t st_dev; };")':
        f"stat_struct = {RUNTIME}.struct('struct stat {{ dev_t st_dev; }};', name='stat_struct')",
    "(setv (struct-ref ts 'sec) 5)": "ts['sec'] = 5",
    "(struct-ref ts (field))": "ts[field()]",
    "(defcallback compare-ints :int ((a (:in :int)) (b (:in :int))) :on-error 0 (- a b))":
        f"@{RUNTIME}.callback('int compare_ints(const int *a, const int *b);', special={{0: ('in', 'int'), "
        "1: ('in', 'int')}, on_error=0)\ndef compare_ints(a, b):\n    return a - b",
    "(make-callback f :int '(:int))": f"{RUNTIME}.make_callback(f, 'int', ['int'])",
    "(register-signature 'strlen :unsigned-long '(:string))":
        f"{RUNTIME}.register_signature('strlen', 'unsigned-long', ['string'])",
    "(get-or-create-trampoline :int [(:pointer :int) ...])":
        f"{RUNTIME}.get_or_create_trampoline('int', [('pointer', 'int'), '...'])",
    "(foreign-alloc :int :count 3)": f"{RUNTIME}.foreign_alloc('int', count=3)",
    "(deref p 3 :int)": f"{RUNTIME}.deref(p, 3, type='int')",
    "(sizeof point)": f"{RUNTIME}.sizeof(point)",
    '(declare-c "int abs(int);" :library "libc" :as c :critical True)':
        f"c = {RUNTIME}.declare('libc', 'int abs(int);', critical=True)",
    '(import-header "sqlite3.h" :library "sqlite3" :as sqlite :prefix "sqlite3-")':
        f"sqlite = {RUNTIME}.import_header('sqlite3.h', library='sqlite3', prefix='sqlite3-')",
    '(import-header ["a.h" "b.h"] :as ab :rename {do-it try} :macros {BIT [:int "T *"]} :defines {N 5}'
    " :include-dirs here)":
        f"ab = {RUNTIME}.import_header(['a.h', 'b.h'], rename={{'do_it': 'try'}}, "
        "macros={'BIT': ['int', 'T *']}, defines={'N': 5}, include_dirs=here)",
    '(defcvar environ "environ" libc (:pointer :string))':
        f"environ = {RUNTIME}.foreign_variable('environ', libc, ('pointer', 'string'))",
    '(define-library tls (:linux "a" "b"))': f"{RUNTIME}.define_library('tls', linux=['a', 'b'])",
}  # fmt: skip


@pytest.mark.parametrize("form", EXPANSIONS)
def test_expansions_read_well(form):
    assert expand(form) == EXPANSIONS[form]


def test_hy2py_gives_python_that_runs(tmp_path):
    """The whole way: a Hy file, its translation, and the translation's work."""
    source = tmp_path / "lengths.hy"
    source.write_text('(require epsilon [defshared])\n(defshared length "strlen" "libc" :size (s :string))\n'
                      '(print (length "four"))\n')  # fmt: skip
    code = "import sys; from hy.cmdline import hy2py_main; sys.argv[0] = 'hy2py'; sys.exit(hy2py_main())"
    translated = run(code, source)
    assert f"length = {RUNTIME}.bind('libc', 'size_t strlen(const char *s);')" in translated
    assert run(translated) == "4\n"


def test_the_declarations_of_a_module_go_to_cffi():
    module = types.ModuleType("declared")
    hy.eval(hy.read_many(REQUIRE + """
        (define-c-struct point (x :double) (y :double))
        (define-c-struct shape (corners (:array point 4)) (name :string))
        (defshared strlen "strlen" "libc" :unsigned-long (s :string))
        (defshared area "area" "libc" :double (s (:in shape)) (kind (:out :int)) (at point))
        (defcallback compare :int ((a (:in :int)) (b (:in :int))) (- a b))
    """), module=module)  # fmt: skip
    text = epsilon.cdef(module)
    assert "unsigned long strlen(const char *s);" in text
    assert 'extern "Python" int compare(const int *a, const int *b);' in text
    ffi = cffi.FFI()
    ffi.cdef(text)
    assert ffi.sizeof("struct shape") == module.shape.size


@pytest.mark.parametrize("word", [word for word in WORDS if word not in ("buffer", "object")])
def test_c_text_says_every_word(word):
    assert parse_type(ctype(word).spelling) is ctype(word)
    assert read_type(hy.models.Keyword(word)).sayable()


@pytest.mark.parametrize("spelling", [
    ":int", ":string", "(:pointer :char)", "(:pointer :string)", "(:pointer (:pointer :int))", "(:array :int 4)",
    "(:in :int)", "(:out :string)", ":buffer", "(:buffer :writable)", '(:string :encoding "latin-1")', "(:array :int)",
    "(:function :int (:int (:pointer :char)))", "(:function :int ((:in :int)))", "(:pointer (:array :int 3))",
    "(:array (:array :int 2) 3)", '"const int *"', '"int (*)(void)"', *TYPEDEFS,
])  # fmt: skip
@pytest.mark.parametrize("parameter", [False, True])
def test_what_c_text_says_it_says_exactly(spelling, parameter):
    """The macros trust ``sayable``: what it calls sayable must come back from the text as the same type."""
    found = read_type(hy.read(spelling))
    if parameter:
        read_back = parse_prototype(f"void f({found.ctype.declare('x')});").type.parameters[0]
    else:
        read_back = parse_body(f"struct s {{ {found.ctype.declare('x')}; }};", ctype).members[0].ctype
    assert found.sayable(parameter) == (read_back is found.ctype)


# --- the frozen run time --------------------------------------------------------------------------------------------


def test_the_run_time_is_frozen():
    """Expansions in users' .pyc files call these; whoever changes one breaks them.  Only additions are allowed."""
    assert {name: list(inspect.signature(getattr(_runtime, name)).parameters) for name in _runtime.__all__} == {
        "alignof": ["type"],
        "arena": ["kind"],
        "bind": ["library", "declaration", "special", "symbols", "options"],
        "call_async": ["function", "arguments", "keywords"],
        "callback": ["declaration", "special", "on_error", "abi", "thread", "give", "export"],
        "cast": ["pointer", "type"],
        "converter": ["direction", "python_type", "type"],
        "declare": ["library", "text", "options"],
        "define_c_enum": ["name", "constants", "type"],
        "define_c_flags": ["name", "constants", "type"],
        "define_c_type": ["name", "type"],
        "define_foreign_class": ["name", "free", "acquire"],
        "define_foreign_type": ["name", "base", "to_foreign", "from_foreign"],
        "define_library": ["name", "linux", "darwin", "windows"],
        "deref": ["pointer", "index", "type"],
        "enumeration": ["tag", "variable"],
        "foreign_alloc": ["type", "count", "initial"],
        "foreign_memory": ["type", "count", "initial"],
        "foreign_string": ["pointer", "encoding", "errors", "length"],
        "foreign_variable": ["name", "library", "type"],
        "function": ["library", "declaration", "special"],
        "from_buffer": ["pointer", "shape", "dtype", "copy"],
        "get_or_create_trampoline": ["result", "parameters"],
        "import_header": ["header", "library", "include", "exclude", "prefix", "rename", "cflags", "defines",
                          "include_dirs", "pkg_config", "macros", "options"],
        "make_callback": ["function", "result", "parameters", "on_error", "thread", "give", "abi"],
        "native": ["declaration", "body", "scope", "special", "doc", "on_error", "options"],
        "numpy_dtype": ["type"],
        "offsetof": ["type", "members"],
        "pinned_array": ["array"],
        "planned_batch": ["shape"],
        "pooled_memory": ["type", "count"],
        "register_signature": ["name", "result", "parameters", "replace", "abi"],
        "scope": [],
        "shared_call": ["target", "result", "rest"],
        "sizeof": ["type"],
        "struct": ["declaration", "special", "name", "options", "packed", "align", "header"],
    }


# --- mistakes -------------------------------------------------------------------------------------------------------

#: a form with the field that is wrong between ‹ and ›, and what the message must say
MISTAKES = {
    '‹(defshared)›': "ends where a name",
    '(declare-c ‹"int f(foo);"› :library "libc" :as c)': "unknown type 'foo' in the C declaration 'int f(foo)'",
    '(declare-c ‹"#define N 5"› :library "libc" :as c)': "'#define N 5' is a header's",
    '‹(declare-c "int f(void);" :library "libc")›': "the option :as is missing",
    '‹(declare-c "int f(void);" :as c)›': "the option :library is missing",
    '(declare-c "int f(void);" :library "libc" :as ‹"c"›)': 'a name (a symbol) is wanted after :as, not "c"',
    '(declare-c "int f(void);" :library "libc" :as c ‹:name› "f")': "unknown option :name",
    '‹(import-header "a.h" :library "libc")›': "the option :as is missing",
    '(import-header ‹5› :as c)': "a header's name (a string) is wanted here, not 5",
    '(import-header "a.h" :as ‹"c"›)': 'a name (a symbol) is wanted after :as, not "c"',
    '(import-header "a.h" :as c ‹:librery› "x")': "unknown option :librery; did you mean ':library'",
    '(import-header "a.h" :as c :macros {BIT [‹:itn›]})': "unknown type :itn; did you mean ':int'",
    '(defcvar x ‹y› "libc" :int)': "the C symbol's name (a string) is wanted here, not y",
    '(defcvar x "y" "libc" ‹:itn›)': "unknown type :itn; did you mean ':int'",
    '‹(defshared f)›': "ends where the C symbol's name",
    '(defshared ‹5› "f" "libc" :int)': "a name (a symbol) is wanted here, not 5",
    '(defshared f ‹g› "libc" :int)': "the C symbol's name (a string) is wanted here, not g",
    '(defshared f ‹[]› "libc" :int)': "the C symbol's name is missing",
    '(defshared f ["a" ‹b›] "libc" :int)': "a C symbol's name is a string, not b",
    '(defshared f "f" ‹:int› (x :int))': "a library",
    '(defshared f "f" "libc" ‹:itn› (x :int))': "unknown type :itn; did you mean ':int'",
    '(defshared f "f" "libc" ‹:point› (x :int))': "A struct type is named without the colon",
    '(defshared f "f" "libc" :int (x ‹:strin›))': "did you mean ':string'",
    '(defshared f "f" "libc" :int (x ‹:in›))': "it is written (:in TYPE)",
    '(defshared f "f" "libc" :int (x :string) ‹(x :int)›)': "x is there twice",
    '(defshared f "f" "libc" :int ‹(x)›)': "(NAME TYPE) is wanted here, not (x)",
    '(defshared f "f" "libc" :int ‹("x" :int)›)': "(NAME TYPE) is wanted here",
    '(defshared f "f" "libc" :int ‹x›)': "x is not wanted here",
    '(defshared f "f" "libc" :int ‹:string›)': "is a type, and stands where an option may",
    '(defshared f "f" "libc" :int ... ‹(x :int)›)': "nothing comes after ...",
    '(defshared f "f" "libc" :int (x (‹:pointr› :int)))': "unknown compound type :pointr; did you mean ':pointer'",
    '(defshared f "f" "libc" :int (x ‹(:in)›))': "it is written (:in TYPE)",
    '(defshared f "f" "libc" :int (x (:in ‹:void›)))': ":void has no values",
    '(defshared f "f" "libc" :int (x ‹(pointer :int)›))': "begins with a keyword",
    '(defshared f "f" "libc" :int (x ‹(:array :int -1)›))': "an int of 0 or more",
    '(defshared f "f" "libc" :int (x (:string ‹:encodng› "utf-8")))': "its options are :encoding, :errors",
    '(defshared f "f" "libc" :int (x (:string ‹:encoding›)))': "needs a value",
    '(defshared f "f" "libc" :int (x ‹(:buffer :writeable)›))': "'writable' is the one option",
    '(defshared f "f" "libc" :int (x (:function :int ‹:int›)))': "a list of parameter types is wanted",
    '(defshared f "f" "libc" :int (x ‹:void›))': ":void has no values",
    '(defshared f "f" "libc" ‹(:out :int)›)': "cannot return (:out :int)",
    '(defshared f "f" "libc" :int (x ‹"const chra *"›))': "did you mean 'char'",
    '(defshared f "f" "libc" :int (x (:in (:struct ‹5›))))': "the tag of a struct is a name",
    '(defshared f "f" "libc" :int (x :int) ‹:errno›)': "the option :errno needs a value",
    '(defshared f "f" "libc" :int ‹:errno› :check zero)': "the option :errno needs a value",
    '(defshared f "f" "libc" :int ‹:erno› True)': "unknown option :erno; did you mean ':errno'",
    '(defshared f "f" "libc" :int :check ‹"nonegative"›)': "unknown check \"nonegative\"; did you mean 'nonnegative'",
    '(defshared f "f" "libc" :int :abi ‹:stdcal›)': "unknown calling convention :stdcal",
    '(defshared f "f" "libc" :int :errno True ‹:errno› True)': "is there twice",
    '(defshared-with-errno f "f" "libc" ‹:void›)': "a void result cannot be checked",
    "‹(shared-call)›": "a function, (\"symbol\" LIBRARY), is wanted",
    "‹(shared-call '(\"f\" \"libc\") :int)›": "a list of parameter types is wanted",
    "(shared-call '(\"f\" \"libc\") ‹:itn› '(:int) 5)": "unknown type :itn",
    "(shared-call '(\"f\" \"libc\") :int '(‹:itn›) 5)": "unknown type :itn",
    "(defcallback f :int (‹a› :int) a)": "(NAME TYPE) is wanted here, not a",
    "(defcallback f :int ((a :int) ‹...›) a)": "a callback cannot be variadic",
    "(defcallback f :int () ‹:on-eror› 0 1)": "did you mean ':on-error'",
    "‹(defcallback f :int)›": "a list of parameters",
    "‹(make-callback f :int)›": "a list of parameter types is wanted",
    "(make-callback f :int '(:int) ‹:onerror› 0)": "did you mean ':on-error'",
    "(with-callback ‹(f)› 1)": "ends where a function is wanted",
    "(with-callback ((f g :int [:int]) ‹(f g :int)›) 1)": "a list of parameter types is wanted",
    "‹(define-c-struct s)›": "(NAME TYPE) is wanted",
    "(define-c-struct s (a :int) ‹(a :long)›)": "a is there twice",
    "(define-c-struct s (a ‹:itn›))": "did you mean ':int'",
    '(define-c-struct-auto s ‹"struct s { int a; foo b; };"›)': "unknown type 'foo'",
    '(define-c-struct-auto s ‹"struct s { int a"›)': "cannot read the C declaration",
    '(define-c-struct-auto s "struct s { int a; };" ‹:hedder› "x.h")': "did you mean ':header'?",
    "(with-c-struct (a ‹:int›) 1)": "a struct type is wanted here",
    "(with-c-struct (a ‹(:struct b)›) 1)": "a struct type is wanted here",
    "(with-c-struct (a ‹5›) 1)": "a struct type is wanted here",
    "(with-c-struct ‹a› 1)": "a binding (NAME STRUCT)",
    "(with-foreign-memory ((p :int ‹:cuont› 1)) 1)": "did you mean ':count'",
    "(with-foreign-memory ((p :int) (‹5› :int)) 1)": "a name (a symbol) is wanted here, not 5",
    "(with-foreign-memory ((p :int) ‹q›) 1)": "(NAME TYPE :count N) is wanted here, not q",
    "(with-pooled-memory ((p :int ‹:initial› [1])) 1)": "unknown option :initial",
    "(with-pinned-array ‹(p)› 1)": "an array is wanted",
    "(with-foreign-batch (f) ‹5›)": "5 is not wanted here",
    "(struct-ref a 'b ‹'c›)": "'c is not wanted here",
    "(define-library tls ‹(:linx \"a\")›)": "(:linux NAME …), (:darwin NAME …) or (:windows NAME …) is wanted",
    "(define-library tls ‹(:linux)›)": ":linux needs at least one name",
    "(define-library tls (:linux \"a\") ‹(:linux \"b\")›)": "is there twice",
    "(defconverter ‹to-frgn› [v str] :string v)": "to-foreign or from-foreign is wanted here",
    "(defconverter to-foreign ‹[v]› :string v)": "a Python class is wanted",
    "(sizeof ‹:nit›)": "did you mean ':int'",
    "(deref p 1 ‹2›)": "a pointer, an index and a type are wanted; 2 is one more",
    "‹(define-c-enum color)›": "ends where a constant, :NAME or (:NAME VALUE), is wanted",
    "(define-c-enum color ‹5›)": ":NAME or (:NAME VALUE) is wanted here, not 5",
    "(define-c-enum color :red ‹(:blue)›)": ":NAME or (:NAME VALUE) is wanted here, not (:blue)",
    "(define-c-enum color :red (‹:dark!› 5))": ":dark! is no C name",
    "(define-c-enum color :red (:blue 5) ‹:red›)": ":red is there twice",
    "(define-c-enum color :red :type ‹:unit8›)": "unknown type :unit8; did you mean ':uint8'",
    "(define-c-flags modes (:a 1) ‹:b›)": "a flag has a value, (:NAME VALUE), and :b has none",
    "(define-c-type ‹int› :long)": "int is a type already",
    "(define-c-type fd ‹:itn›)": "unknown type :itn; did you mean ':int'",
    "(define-c-type fd ‹:void›)": ":void has no values",
    "(define-c-type fd :int ‹:long›)": ":long is not wanted here",
    "‹(define-foreign-type day :to-foreign f)›": "the option :base is missing",
    "(define-foreign-type day :base ‹:itn›)": "unknown type :itn",
    "(define-foreign-type day ‹:bse› :int)": "unknown option :bse; did you mean ':base'",
    "(define-foreign-type ‹array› :base :int)": "array is a type already",
    "(sizeof (:enum ‹5›))": "the name of enum is a name, not 5",
    "(register-signature 'x :int '(:int) ‹:replce› True)": "did you mean ':replace'",
}  # fmt: skip


@pytest.mark.parametrize("marked", MISTAKES)
def test_a_mistake_is_reported_at_the_users_field(marked):
    source = f"{REQUIRE}\n(print 1)\n  {marked}\n"
    line, before = 4, 2 + marked.index("‹")
    source = source.replace("‹", "").replace("›", "")
    width = marked.index("›") - marked.index("‹") - 1
    with pytest.raises(hy.errors.HySyntaxError) as caught:
        hy.compiler.hy_compile(hy.read_many(source, filename="user.hy"), types.ModuleType("user"))
    error = caught.value
    assert MISTAKES[marked] in error.msg
    assert error.msg.startswith(f"{marked.lstrip('‹').lstrip('(').split(')')[0].split(' ')[0]}: ")
    assert (error.filename, error.lineno, error.offset, error.arrow_offset) == ("user.hy", line, before + 1, width - 1)


def test_a_mistake_in_a_file_is_reported_by_import(tmp_path):
    path = tmp_path / "mistaken.hy"
    path.write_text('(require epsilon [defshared])\n\n(defshared f "f" "libc" :int\n  (x :int)\n  (y :itn))\n')
    specification = importlib.util.spec_from_file_location("mistaken", path)
    with pytest.raises(hy.errors.HySyntaxError) as caught:
        specification.loader.exec_module(importlib.util.module_from_spec(specification))
    assert (caught.value.filename, caught.value.lineno, caught.value.offset) == (str(path), 5, 6)


def test_a_failure_at_run_time_is_at_the_forms_first_line(tmp_path):
    path = tmp_path / "failing.hy"
    path.write_text('(require epsilon [defshared])\n\n(defshared f\n  "f"\n  "libnowhere"\n  :int)\n')
    specification = importlib.util.spec_from_file_location("failing", path)
    with pytest.raises(epsilon.LibraryLoadError) as caught:
        specification.loader.exec_module(importlib.util.module_from_spec(specification))
    assert [entry.lineno + 1 for entry in caught.traceback if Path(entry.path) == path] == [3]


# --- requiring ------------------------------------------------------------------------------------------------------


def run(code: str, *arguments: object, environment: dict | None = None) -> str:
    """The output of ``code`` in a new interpreter."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_plain_import_imports_neither_hy_nor_pycparser():
    code = "import sys, epsilon; print(sorted({'hy', 'pycparser', 'cffi', 'epsilon.macros'} & set(sys.modules)))"
    assert run(code) == "[]\n"


def test_a_compiled_module_does_not_import_the_reader_of_forms(tmp_path):
    """Requiring costs a compiled module the macros, but not what reads forms: it has none to expand."""
    (tmp_path / "bound.hy").write_text('(require epsilon [defshared])\n(defshared c-abs "abs" "libc" :int (n :int))')
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path / "cache")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    code = "import hy, sys; sys.path.insert(0, sys.argv[1]); import bound; print('epsilon.forms' in sys.modules)"
    outputs = [run(code, tmp_path, environment=environment) for _ in range(2)]
    assert outputs == ["True\n", "False\n"]


@pytest.mark.parametrize("form", [
    "(require epsilon [sizeof])",
    "(require epsilon [sizeof :as sizeof])",
    "(require epsilon *)",
    "(require epsilon.macros [sizeof])",
])  # fmt: skip
def test_ways_to_require(form):
    module = types.ModuleType("requiring")
    hy.eval(hy.read_many(f"{form} (setv size (sizeof :int))"), module=module)
    assert module.size == 4


def test_a_required_macro_has_a_prefix():
    module = types.ModuleType("requiring")
    hy.eval(hy.read_many("(require epsilon) (setv size (epsilon.sizeof :int))"), module=module)
    assert module.size == 4
    hy.eval(hy.read_many("(setv size (hy.R.epsilon.sizeof :long))"), module=module)
    assert module.size == 8


def test_a_macro_that_is_not_there():
    with pytest.raises(hy.errors.HyRequireError, match="defshred"):
        hy.eval(hy.read_many("(require epsilon [defshred])"), module=types.ModuleType("requiring"))


def test_every_macro_is_exported_and_explained():
    wanted = {
        "alignof", "call-async", "cast", "declare-c", "defcallback", "defconverter", "defcvar", "define-c-enum",
        "define-c-flags", "define-c-struct", "define-c-struct-auto", "define-c-type", "define-c-union",
        "define-foreign-class", "define-foreign-type", "define-library", "import-header", "defnative",
        "defshared", "defshared-with-errno", "deref", "foreign-alloc", "foreign-string", "from-buffer",
        "get-or-create-trampoline", "make-callback", "numpy-dtype", "offsetof",
        "register-signature", "shared-call", "sizeof", "struct-ref", "with-arena", "with-c-struct", "with-callback",
        "with-ffi",
        "with-foreign-batch", "with-foreign-memory", "with-pinned-array", "with-pooled-memory",
    }  # fmt: skip
    table = epsilon._hy_macros
    assert {hy.unmangle(name) for name in table} == wanted
    assert all(f"({name}" == table[hy.mangle(name)].__doc__.split(" ")[0].rstrip(")") for name in wanted)


def test_hy_names_that_python_lacks():
    assert getattr(epsilon, hy.mangle("null-pointer?")) is epsilon.is_null_pointer
    assert getattr(epsilon, hy.mangle("pointer+")) is epsilon.pointer_add
    assert getattr(epsilon, hy.mangle("pointer-")) is epsilon.pointer_sub
