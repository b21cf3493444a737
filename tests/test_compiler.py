"""Issue 6, the compiler service: built once, kept safely, loaded from nobody else's hands; nothing gets in as code."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from clib import run_child

import epsilon
from epsilon import cache, compiler

pytestmark = pytest.mark.skipif(not compiler.is_there(), reason="needs a C compiler")

FIVE = "int five(void) { return 5; }\n"


@pytest.fixture
def place(monkeypatch, tmp_path) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("EPSILON_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def counted(monkeypatch, tmp_path):
    """A compiler that counts how often it runs: a script around ``cc``, and a function that gives the count."""
    log, script = tmp_path / "runs", tmp_path / "counting-cc"
    script.write_text(f'#!/bin/sh\necho run >> {log}\nexec cc "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    return lambda: len(log.read_text().splitlines()) if log.exists() else 0


def files(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file() and path.suffix != ".lock")


def five(path: str) -> int:
    with epsilon.scope():
        return compiler.load(path).bind("int five(void)")()


# --- built once ------------------------------------------------------------------------------------------------------


def test_what_was_built_is_found_again(place, counted):
    path = compiler.build(FIVE, what="five")
    assert compiler.build(FIVE, what="five") == path
    assert counted() == 1
    assert files(place) == [Path(path)]
    assert five(path) == 5  # counted or not: the strategy "compiled" builds an entry for this call


def test_another_process_finds_it_without_running_the_compiler(place, counted):
    path = compiler.build(FIVE, what="five")
    code = "import sys; from epsilon import compiler; print(compiler.build(sys.argv[1], what='five'), end='')\n"
    code += "assert 'subprocess' not in sys.modules and 'filelock' not in sys.modules"
    assert run_child(code, FIVE) == path
    assert counted() == 1


def test_many_processes_at_once_build_once(place, counted):
    code = "import sys; from epsilon import compiler\n"
    code += "print('ready', flush=True); sys.stdin.readline()\n"
    code += f"print(compiler.build({FIVE!r}, what='five'))"
    root = str(Path(epsilon.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        for _ in range(12)
    ]  # fmt: skip
    assert [child.stdout.readline() for child in children] == ["ready\n"] * 12
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    (said,) = {child.communicate()[0] for child in children}
    assert [child.returncode for child in children] == [0] * 12
    assert counted() == 1
    assert files(place) == [Path(said.strip())]
    assert five(said.strip()) == 5


def test_many_threads_at_once_build_once(place, counted):
    paths: list[str] = []
    threads = [threading.Thread(target=lambda: paths.append(compiler.build(FIVE, what="five"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 8 and len(set(paths)) == 1
    assert counted() == 1


def test_the_key_covers_what_the_result_depends_on(place, monkeypatch, tmp_path):
    header = tmp_path / "answer.h"
    header.write_text("#define ANSWER 5\n")
    built = [compiler.build(FIVE, what="five")]
    built.append(compiler.build(FIVE + "\n", what="five"))
    built.append(compiler.build(FIVE, what="five", options=["-DX"]))
    built.append(compiler.build(FIVE, what="five", link=["-lm"]))
    built.append(compiler.build(FIVE, what="five", kind="object"))
    built.append(compiler.build(FIVE, what="five", depends=[str(header)]))
    header.write_text("#define ANSWER 42\n")
    built.append(compiler.build(FIVE, what="five", depends=[str(header)]))
    monkeypatch.setenv("CFLAGS", "-DY")
    built.append(compiler.build(FIVE, what="five"))
    monkeypatch.setenv("CC", "cc -DZ")
    built.append(compiler.build(FIVE, what="five"))
    monkeypatch.setattr(epsilon, "__version__", "99")
    built.append(compiler.build(FIVE, what="five"))
    assert len(set(built)) == len(built)


def test_another_compiler_of_the_same_name_is_another_compiler(monkeypatch, tmp_path):
    script = tmp_path / "my-cc"
    script.write_text("#!/bin/sh\nexec cc $@\n")
    script.chmod(0o755)
    monkeypatch.setenv("CC", "my-cc")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before = compiler.identity()
    script.write_text('#!/bin/sh\nexec cc "$@"\n')
    assert compiler.identity() != before


def test_another_compiler_behind_the_same_link_is_another_compiler(monkeypatch, tmp_path):
    """Of the same size and time, even: package managers give all files one time."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(f'#!/bin/sh\n# {name}\nexec cc "$@"\n')
        (tmp_path / name).chmod(0o755)
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / "linked-cc").symlink_to("one")
    monkeypatch.setenv("CC", "linked-cc")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before = compiler.identity()
    assert compiler.identity() == before
    (tmp_path / "linked-cc").unlink()
    (tmp_path / "linked-cc").symlink_to("two")
    assert compiler.identity() != before


def test_who_knows_the_key_finds_the_library_without_the_text(place, counted):
    key = cache.key("a test", "of keys")
    assert cache.find("library", key + ".so") is None
    path = compiler.build(FIVE, what="five", key=key)
    assert cache.find("library", key + ".so") == path and five(path) == 5
    assert compiler.build("this is not looked at", what="five", key=key) == path and counted() == 1
    Path(path).write_bytes(Path(path).read_bytes()[:-1])
    assert cache.find("library", key + ".so") is None


def test_cc_and_cflags_are_respected(place, monkeypatch):
    monkeypatch.setenv("CC", "cc '-DWORDS=two words'")
    monkeypatch.setenv("CFLAGS", "-DANSWER=5")
    text = "#define _(x) #x\n#define __(x) _(x)\nconst char *words(void) { return __(WORDS); }"
    library = compiler.load(compiler.build(text + "\nint answer(void) { return ANSWER; }", what="words"))
    assert library.bind("const char *words(void)")() == "two words"
    assert library.bind("int answer(void)")() == 5
    assert "int x = 5;" in compiler.run(["-E"], "int x = ANSWER;", "a test")[1]


# --- what is in the cache is whole, and ours -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"#!/bin/sh\n" * 100),
        lambda path: path.write_bytes(path.read_bytes().replace(b"five", b"eviL")),
        lambda path: (path.unlink(), path.mkdir(), (path / "file").touch()),
        lambda path: (path.unlink(), path.symlink_to("/bin/sh")),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: path.chmod(0o666),
        lambda path: path.write_bytes(Path(compiler.build("int six;", what="six")).read_bytes()),
    ],
    ids=["cut short", "empty", "another file", "changed", "a directory", "a link", "a pipe", "writable", "another's"],
)
def test_what_is_not_what_was_written_is_built_again(place, counted, damage):
    path = Path(compiler.build(FIVE, what="five"))
    damage(path)
    before = counted()
    assert compiler.build(FIVE, what="five") == str(path)
    assert counted() == before + 1
    assert five(str(path)) == 5


def test_data_is_read_as_it_was_written_or_not_at_all(place):
    assert cache.read("facts", "one") is None
    for data in (b"", b"hello", bytes(range(256)) * 1000):
        path = Path(cache.write("facts", "one", data))
        assert cache.read("facts", "one") == data
    path.write_bytes(path.read_bytes()[:-1])
    assert cache.read("facts", "one") is None


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a\0b", "a b", "/etc/passwd"])
def test_no_name_leads_out_of_the_cache(place, name):
    for kind, key in (("facts", name), (name, "one")):
        with pytest.raises(epsilon.ForeignError, match="no name for what is in the cache"):
            cache.write(kind, key, b"")
        with pytest.raises(epsilon.ForeignError, match="no name for what is in the cache"):
            cache.find(kind, key)


def test_the_directory_is_the_users_alone(place):
    path = Path(compiler.build(FIVE, what="five"))
    assert [os.stat(one).st_mode & 0o777 for one in (place, path.parent, path)] == [0o700, 0o700, 0o600]


@pytest.mark.parametrize("below", ["", "library"])
def test_nothing_is_loaded_from_a_directory_that_others_can_write(place, below):
    path = compiler.build(FIVE, what="five")
    (place / below).chmod(0o777)
    for attempt in (lambda: compiler.build(FIVE, what="five"), lambda: compiler.load(path)):
        with pytest.raises(epsilon.ForeignError, match=r"written by other users|is not loaded"):
            attempt()
    (place / below).chmod(0o700)
    assert five(path) == 5


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@needs_root
def test_nothing_is_loaded_from_another_users_directory(place):
    compiler.build(FIVE, what="five")
    os.chown(place, 65534, -1)
    with pytest.raises(epsilon.ForeignError, match=r"belongs to user 65534.*EPSILON_CACHE"):
        compiler.build(FIVE, what="five")


@needs_root
def test_another_users_file_is_not_loaded(place, counted):
    path = compiler.build(FIVE, what="five")
    os.chown(path, 65534, -1)
    with pytest.raises(epsilon.ForeignError, match="is not loaded"):
        compiler.load(path)
    assert compiler.build(FIVE, what="five") == path and counted() == 2
    assert os.stat(path).st_uid == 0


def test_only_what_is_in_the_cache_is_loaded(place, tmp_path):
    copy = tmp_path / "copy.so"
    copy.write_bytes(Path(compiler.build(FIVE, what="five")).read_bytes())
    with pytest.raises(epsilon.ForeignError, match="is not loaded"):
        compiler.load(str(copy))


# --- where it is -----------------------------------------------------------------------------------------------------


def test_the_default_place_is_platformdirs(monkeypatch, tmp_path):
    platformdirs = pytest.importorskip("platformdirs")
    for value in (None, "", str(tmp_path)):
        if value is None:
            monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        else:
            monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache.default_directory() == platformdirs.user_cache_dir("epsilon", appauthor=False)


def test_a_file_is_no_cache(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EPSILON_CACHE", str(tmp_path / "file"))
    with pytest.raises(epsilon.ForeignError, match=r"file is no directory; .*EPSILON_CACHE"):
        compiler.build(FIVE, what="five")
    monkeypatch.setenv("EPSILON_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(epsilon.ForeignError, match="cannot be made: Not a directory"):
        compiler.build(FIVE, what="five")


def test_a_home_that_cannot_be_written_has_a_cache_that_ends_with_the_process():
    code = """
import os, sys
from epsilon import cache, compiler
path = compiler.build(sys.argv[1], what="five")
assert os.stat(cache.directory()).st_mode & 0o777 == 0o700
assert compiler.build(sys.argv[1], what="five") == path
print(compiler.load(path).bind("int five(void)")(), path, end="")
if os.fork() == 0:
    sys.exit()  # a child that runs the exit handlers leaves the directory alone
os.wait()
assert os.path.exists(path)
"""
    value, path = run_child(code, FIVE, EPSILON_CACHE="", XDG_CACHE_HOME="/dev/null/cache").split(" ")
    assert value == "5" and not os.path.exists(os.path.dirname(path))


@needs_root
def test_a_read_only_home_is_such_a_one(tmp_path):
    """A process without root's powers, in a home that it may only read."""
    (tmp_path / "cache").mkdir()
    tmp_path.chmod(0o755)
    code = """
import atexit, os, shutil, sys, tempfile  # the Python itself may be where nobody else may read
from epsilon import cache
os.setgid(65534)
os.setuid(65534)
assert not cache.directory().startswith(sys.argv[1])
cache.write("facts", "one", b"kept")
assert cache.read("facts", "one") == b"kept"
"""
    run_child(code, str(tmp_path), EPSILON_CACHE="", XDG_CACHE_HOME=str(tmp_path / "cache"))


# --- what the compiler says ------------------------------------------------------------------------------------------


def test_an_error_has_the_lisp_line():
    text = "int one;\n" + compiler.line(12, "/home/me/sums of \"mine\".hy") + "int two(void) { return three; }\n"
    with pytest.raises(epsilon.CompilerError, match="'three' undeclared") as told:
        compiler.build(text, what="sums")
    assert str(told.value).startswith('sums: /home/me/sums of "mine".hy:12: ')
    assert (told.value.filename, told.value.lineno) == ('/home/me/sums of "mine".hy', 12)


def test_an_error_without_one_says_which_line_of_the_c():
    with pytest.raises(epsilon.CompilerError, match=r"sums: .*line 2 of the generated C"):
        compiler.build("int one;\nint two(void) { return three; }\n", what="sums")


def test_what_was_refused_leaves_nothing_behind(place):
    with pytest.raises(epsilon.CompilerError):
        compiler.build("int", what="sums")
    assert files(place) == []


def test_no_compiler_is_said_clearly(place, monkeypatch):
    monkeypatch.setenv("CC", "/nonexistent/compiler")
    for attempt in (
        lambda: compiler.build("int no;", what="sums"),
        lambda: compiler.run(["-E"], "", "sums"),
    ):
        with pytest.raises(epsilon.CompilerError, match="sums needs a C compiler, and /nonexistent/compiler cannot be"):
            attempt()
    monkeypatch.setenv("CC", " ")
    with pytest.raises(epsilon.CompilerError, match="the environment variable CC names none"):
        compiler.build("int no;", what="sums")


def test_a_run_gives_what_the_compiler_says():
    status, printed, said = compiler.run(["-E", "-P"], "#define X 5\nX\n", "a test")
    assert (status, printed.strip(), said) == (0, "5", "")
    status, _, said = compiler.run(["-fsyntax-only"], "int", "a test")
    assert status != 0 and "error" in said


# --- nothing gets in as code -----------------------------------------------------------------------------------------

EVIL = [
    'x"); system("touch /tmp/pwned"); ("', "a\nb", "x\\\n#include </etc/passwd>", "stdio.h>\n#define int", "x/**/y",
    "$(touch pwned)", "`touch pwned`", "; touch pwned", "%n", "a b", "ünï", "", "-o", "\0", '"', "??/", "x;",
]  # fmt: skip


@pytest.mark.parametrize("text", EVIL)
def test_no_name_or_header_is_code(text):
    for check in (compiler.identifier, compiler.header_name):
        if check is compiler.header_name and text == "-o":
            continue  # between < and > it is a name like another
        with pytest.raises(epsilon.ForeignTypeError, match="is wanted|is a name"):
            check(text)


def test_no_text_breaks_out_of_its_literal():
    """C reads each literal back as the text that it was."""
    texts = [*EVIL, "é", "0" * 300, "\x001", "\udcff", "".join(map(chr, range(1, 300)))]
    lines = [
        f"static const char t{number}[] = {compiler.literal(text)};\n"
        f"long get{number}(char *to) {{ __builtin_memcpy(to, t{number}, sizeof t{number}); return sizeof t{number}; }}"
        for number, text in enumerate(texts)
    ]
    library = compiler.load(compiler.build("\n".join(lines), what="literals", options=["-trigraphs"]))
    for number, text in enumerate(texts):
        there = bytearray(2000)
        size = library.bind(f"get{number}", "long", ["buffer"])(there)
        assert there[: size - 1] == text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("text", EVIL)
def test_no_file_name_breaks_out_of_its_directive(text):
    path = compiler.build(compiler.line(5, text) + FIVE, what="five")
    assert five(path) == 5


@pytest.mark.parametrize(
    "options",
    [
        ["-o/tmp/pwned"], ["-o", "/tmp/pwned"], ["@/tmp/options"], ["/etc/passwd"], ["-I"] + ["@x"], ["-I", "-o"], [""],
        ["-DX\0"], [5], [None], "-DX", ["-fplugin=/tmp/evil.so"], ["-specs=/tmp/evil"], ["-wrapper", "sh,-c"],
        ["-MF/tmp/pwned"], ["; touch pwned"],
    ],
)  # fmt: skip
def test_no_option_is_more_than_an_option(options):
    with pytest.raises(epsilon.ForeignTypeError):
        compiler.build(FIVE, what="five", options=options)
    with pytest.raises(epsilon.ForeignTypeError):
        compiler.build(FIVE, what="five", link=options)


def test_an_option_is_data_and_no_shell_reads_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "#define _(x) #x\n#define __(x) _(x)\nconst char *said(void) { return __(SAID); }"
    path = compiler.build(text, what="said", options=["-DSAID=$(touch pwned) `touch pwned`; touch pwned"])
    assert compiler.load(path).bind("const char *said(void)")() == "$(touch pwned) `touch pwned`; touch pwned"
    assert not os.listdir(tmp_path)
