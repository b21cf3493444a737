"""The one room that runs the C compiler: C text in; a library in the cache, or what the compiler says, out.

The compiler is ``$CC`` with ``$CFLAGS``, or ``cc``.  No shell is between: options are a list.  What goes into the text
from outside is checked first (``header_name``, ``identifier``) or quoted (``literal``, ``line``), so that it cannot be
code.  A ``#line`` directive in the text makes the compiler, and so ``CompilerError``, speak of lines of Lisp.

What is found in the cache is on the way of quick starts: little is imported at the top.
"""

from __future__ import annotations

import os

from epsilon import cache
from epsilon.errors import CompilerError, ForeignError, ForeignTypeError, shorten

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from subprocess import CompletedProcess

    from epsilon.libraries import Library

_LONGEST = 60  #: seconds that one run of the compiler or of a probe may take, and one more for each 1,000 characters
#: how each kind of file is made, and how its name ends; -w, for a warning about generated C helps nobody
_KINDS = {
    "library": (("-std=gnu11", "-O2", "-w", "-fPIC", "-shared"), ".so"),
    "object": (("-std=gnu11", "-O2", "-w", "-fPIC", "-c"), ".o"),
}
#: options whose argument may be the next word
_WITH_ARGUMENT = frozenset(
    "-I -D -U -L -l -include -imacros -isystem -iquote -idirafter -isysroot --sysroot -framework -arch -target "
    "-Xlinker -Xpreprocessor -Xassembler".split()
)
#: options that would make the compiler write or run something else than what was asked for
_REFUSED = (
    "-o", "-wrapper", "-specs", "--specs", "-fplugin", "-Xclang", "-load", "-save-temps", "-dump", "-fdump", "-M",
    "-aux-info",
)  # fmt: skip
#: what the compiler reads besides its command line (GCC manual, "Environment Variables Affecting GCC")
_ENVIRONMENT = (
    "CPATH", "C_INCLUDE_PATH", "LIBRARY_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX", "SDKROOT", "MACOSX_DEPLOYMENT_TARGET"
)  # fmt: skip


# --- which compiler ---------------------------------------------------------------------------------------------------


def _words(variable: str) -> list[str]:
    text = os.environ.get(variable) or ""
    if not any(mark in text for mark in "\"'\\#"):
        return text.split()
    import shlex

    try:
        return shlex.split(text)
    except ValueError as error:
        raise CompilerError(f"the environment variable {variable} is {text!r}: {error}") from None


def command() -> list[str]:
    """The compiler and its first options: ``$CC``, or ``cc``."""
    return _words("CC") if os.environ.get("CC") else ["cc"]


def flags() -> list[str]:
    """The user's own options, for every run: ``$CFLAGS``."""
    return _words("CFLAGS")


def _found(word: str) -> str | None:
    """The file that the command ``word`` runs, as the search path has it."""
    folders = [""] if os.path.dirname(word) else (os.environ.get("PATH") or os.defpath).split(os.pathsep)
    for folder in folders:
        path = os.path.join(folder, word)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None


def is_there() -> bool:
    """Whether the compiler can be run."""
    return bool(command()) and _found(command()[0]) is not None


def identity() -> str:
    """Which compiler it is, without running it: command, and path, inode, size and time of each program in it, which
    another one behind the same links does not share; and what it reads.

    >>> identity() == identity()
    True
    """
    parts = [*command(), "CFLAGS", *flags()]
    for word in command():  # of "ccache gcc-12 -m32" two are programs
        path = None if word.startswith("-") else _found(word)
        if path is not None:
            status = os.stat(path)
            parts.append(f"{path} {status.st_ino} {status.st_size} {status.st_mtime_ns}")
    parts += [f"{name}={os.environ[name]}" for name in _ENVIRONMENT if name in os.environ]
    return "\n".join(parts)


# --- text that comes from outside -------------------------------------------------------------------------------------


def header_name(header: object) -> str:
    """``header`` if it can stand between ``<`` and ``>``, else ``ForeignTypeError``.

    >>> header_name("sys/stat.h")
    'sys/stat.h'
    """
    import re

    if not isinstance(header, str) or not re.fullmatch(r"[\w.+/-]+", header, re.ASCII):
        raise ForeignTypeError(f"a header is a name such as 'sys/stat.h', not {shorten(header)}")
    return str(header)


def identifier(name: object) -> str:
    """``name`` if it is a C identifier, else ``ForeignTypeError``."""
    import re

    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise ForeignTypeError(f"a C name is wanted, not {shorten(name)}")
    return str(name)


def literal(text: str | bytes) -> str:
    """``text`` as a C string literal, whatever is in it; a str in UTF-8.

    >>> print(literal('say "hi"\\n'))
    "say \\042hi\\042\\012"
    """
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
    plain = {byte: chr(byte) for byte in range(32, 127) if chr(byte) not in '"\\?'}  # "?" could begin a trigraph
    return '"' + "".join(plain.get(byte) or f"\\{byte:03o}" for byte in data) + '"'


def line(number: int, file: str) -> str:
    """The directive that makes what follows line ``number`` of ``file``, in the compiler's words and a debugger's.

    >>> line(12, "/home/me/sums.hy")
    '#line 12 "/home/me/sums.hy"\\n'
    """
    return f"#line {min(max(int(number), 1), 2**31 - 1)} {_file_literal(file)}\n"


def _file_literal(file: str) -> str:
    # Of escapes, #line knows but the backslash and the quote; a control character has no place in the directive.
    shown = "".join(mark if mark.isprintable() else "?" for mark in file)
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'


def checked_options(options: Iterable[object]) -> list[str]:
    """The compiler's ``options`` as a list, if they are options; ``ForeignTypeError`` for what is none: a file's name,
    an ``@file``, an option that has the compiler write elsewhere or run something.

    >>> checked_options(["-DNAME=1", "-I", "/opt/include"])
    ['-DNAME=1', '-I', '/opt/include']
    """
    if isinstance(options, (str, bytes)):
        raise ForeignTypeError(f"the compiler's options are a list of words, not {shorten(options)}")
    checked: list[str] = []
    for option in options:
        if not isinstance(option, str) or not option or "\0" in option:
            raise ForeignTypeError(f"an option of the compiler is a word such as '-DNAME=1', not {shorten(option)}")
        argument = bool(checked) and checked[-1] in _WITH_ARGUMENT
        if argument and option.startswith(("-", "@")) or not argument and not option.startswith("-"):
            raise ForeignTypeError(f"{shorten(option)} is no option of the compiler")
        if not argument and option.startswith(_REFUSED):
            raise ForeignTypeError(f"the option {shorten(option)} is not for Epsilon to pass on")
        checked.append(str(option))
    return checked


# --- running it -------------------------------------------------------------------------------------------------------


def _run(arguments: Sequence[str], what: str, text: str | None = None) -> CompletedProcess[str]:
    import subprocess

    if not arguments:
        raise CompilerError(f"{what} needs a C compiler, and the environment variable CC names none")
    longest = _LONGEST + len(text or "") // 1000
    try:
        return subprocess.run(
            arguments, input=text, capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=longest,
            check=False, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except OSError as error:
        raise CompilerError(
            f"{what} needs a C compiler, and {_shown(arguments[:1])} cannot be run: {error.strerror}; install one "
            f"(Debian: apt install gcc libc6-dev) or name it in the environment variable CC"
        ) from None
    except ValueError as error:  # a NUL in CC or CFLAGS
        raise CompilerError(f"{what}: {_shown(arguments)} cannot be run: {error}") from None
    except subprocess.TimeoutExpired:
        raise CompilerError(f"{what}: {_shown(arguments)} took more than {longest} s") from None


def _shown(arguments: Sequence[str]) -> str:
    import shlex

    return shlex.join(arguments)


def run(arguments: Sequence[str], text: str, what: str) -> tuple[int, str, str]:
    """One run of the compiler over ``text``, without the cache: its exit status, what it printed, and what it said.

    ``arguments`` are Epsilon's own, such as ``-E``, or went through ``checked_options``; those of a library to link
    come after the text by themselves (``-l…``, ``-L…``).  ``CompilerError`` if the compiler cannot be run; that it
    refuses the text is for the caller to say (``refusal``).

    >>> run(["-fsyntax-only"], "int two = 2;", "an example")
    (0, '', '')
    """
    before, after = _around(arguments)
    first = command()
    done = _run([*first, *flags(), *before, "-x", "c", "-", *after] if first else [], what, text)
    return done.returncode, done.stdout, done.stderr


def _around(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options before the text, and those behind it: a linker takes of a library what it has missed so far."""
    behind = [word for word in arguments if word.startswith(("-l", "-L", "-Wl,"))]
    return [word for word in arguments if word not in behind], behind


def refusal(what: str, said: str, status: int = 1) -> CompilerError:
    """The error for a text that the compiler refused: its first complaint with its place, then all its words.

    >>> print(refusal("sums", "sums.hy:12:9: error: expected ';'"))
    sums: sums.hy:12: expected ';'
    the compiler's words:
    sums.hy:12:9: error: expected ';'
    """
    import re

    said = said.strip()
    words = f"\nthe compiler's words:\n{said}" if said else ""
    found = re.search(r"^(.+?):(\d+)(?::\d+)?: (?:fatal )?error: (.*)$", said, re.M)
    if found is None:
        return CompilerError(f"{what}: {_shown(command())} ended with {status}{words}")
    file, number, complaint = found[1], int(found[2]), found[3]
    if file == "<stdin>":
        return CompilerError(f"{what}: {complaint} (line {number} of the generated C){words}")
    error = CompilerError(f"{what}: {file}:{number}: {complaint}{words}")
    error.filename, error.lineno = file, number
    return error


# --- what is built once -----------------------------------------------------------------------------------------------


def build(
    text: str,
    *,
    what: str,
    options: Iterable[str] = (),
    kind: str = "library",
    link: Iterable[str] = (),
    depends: Iterable[str] = (),
    key: str | None = None,
) -> str:
    """The path of what the compiler makes of the C ``text``: a shared library, or with ``kind="object"`` an object.

    It is built once, for all processes of this user, and found in the cache from then on.  The key covers the text,
    the options, the compiler, Epsilon's version and the platform, but not what the text includes: ``depends`` are
    the paths of such files, whose size and time the key covers then; who knows the ``key`` of all that (``cache.key``)
    without the text gives it, and finds the library by it.  ``what`` begins the message of an error.
    ``options`` and ``link`` (what stands behind the text: ``-l…``) are checked; the user's ``CFLAGS`` come before them.

    Raises ``CompilerError`` with the compiler's words if it refuses the text or is not there, and ``ForeignError`` if
    the cache cannot be used.

    >>> path = build("int five(void) { return 5; }", what="an example")
    >>> load(path).bind("int five(void)")()
    5
    """
    usual, suffix = _KINDS[kind]
    own, behind = checked_options(options), checked_options(link)
    if key is None:
        states = [_state(path) for path in depends]
        key = cache.key(kind, text, *usual, *own, "link", *behind, identity(), "depends", *states)
    name = key + suffix
    path = cache.find(kind, name)
    if path is not None:
        return path
    if not command() or _found(command()[0]) is None:  # before the lock: the message is the same for all
        _run(command(), what)
    path = cache.entry(kind, name)
    with cache.lock(kind, name):
        if not cache.holds(kind, name):  # another process may have built it meanwhile
            _build(text, [*usual, *flags(), *own], behind, path, what)
    return path


def _build(text: str, options: Sequence[str], behind: Sequence[str], path: str, what: str) -> None:
    temporary = cache.temporary_name(path)
    try:
        arguments = [*command(), *options, "-o", temporary, "-x", "c", "-", "-x", "none", *behind]
        done = _run(arguments, what, text)
        if done.returncode:
            raise refusal(what, done.stderr or done.stdout, done.returncode)
        cache.adopt(temporary, path)
    except OSError as error:
        raise CompilerError(f"{what}: the cache cannot be written: {path}: {error.strerror}") from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _state(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return f"{path} is not there"
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def load(path: str) -> Library:
    """The library that ``build`` gave the path of, opened; ``ForeignError`` for a file that is not the cache's own."""
    from epsilon.libraries import lib_open

    if not cache.trusted(path):
        raise ForeignError(f"{path} is not loaded: it is no file of this user's alone in the cache")
    return lib_open(path)
