"""What is asked for: which headers, with which options of the compiler; checked here, so the rest can trust it."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
from collections import namedtuple
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from epsilon import compiler
from epsilon.errors import ForeignTypeError, HeaderError, shorten

_FIELDS = ["headers", "cflags", "defines", "include_dirs", "pkg_config", "include", "exclude", "macros"]
#: what no header's name holds: what would end it in an ``#include`` line
_NO_NAME = re.compile(r'["<>\x00-\x1f\x7f]')


class Request(namedtuple("Request", _FIELDS, defaults=[()] * (len(_FIELDS) - 1))):
    """The headers of one import and their options, all of it plain data; ``Request.of`` makes one from a user's words.

    ``headers`` are names as in ``#include <…>``, or absolute paths; ``cflags`` options of the compiler; ``defines``
    pairs ``(name, text or None)``; ``include_dirs`` absolute paths; ``pkg_config`` names of packages; ``include`` and
    ``exclude`` patterns (fnmatch) of C names; ``macros`` pairs ``(name, (type, …))``: the parameters' types of
    function-like macros.
    """

    __slots__ = ()

    @classmethod
    def of(
        cls,
        headers: Any,
        *,
        cflags: Any = (),
        defines: Any = (),
        include_dirs: Any = (),
        pkg_config: Any = (),
        include: Any = (),
        exclude: Any = (),
        macros: Any = (),
    ) -> Request:
        """What a user asks for; ``ForeignTypeError`` names what is not as it should be.

        A header is a name, or a path where it is absolute, begins with a dot, or is a ``Path``.  Each option is one
        word or a list; ``defines`` and ``macros`` may be mappings.

        >>> Request.of("zlib.h", defines={"Z_SOLO": None, "LIMIT": 5}).options()
        ['-std=gnu11', '-DZ_SOLO', '-DLIMIT=5']
        """
        named = tuple(dict.fromkeys(_header(one) for one in _list(headers)))
        if not named:
            raise ForeignTypeError("a header is wanted, such as 'sqlite3.h'")
        return cls(
            named,
            tuple(compiler.checked_options([_plain("cflags", one) for one in _list(cflags)])),
            tuple(_define(*one) for one in _pairs(defines)),
            tuple(os.path.abspath(_plain("include-dirs", os.fspath(one))) for one in _list(include_dirs)),
            tuple(_package(one) for one in _list(pkg_config)),
            tuple(_plain("include", one) for one in _list(include)),
            tuple(_plain("exclude", one) for one in _list(exclude)),
            tuple(
                (compiler.identifier(name), tuple(_plain("macros", one) for one in _list(types)))
                for name, types in _pairs(macros)
            ),
        )

    def options(self) -> list[str]:
        """The compiler's options; the user's come last, and so win.  ``HeaderError`` where pkg-config fails."""
        defines = [f"-D{name}" if text is None else f"-D{name}={text}" for name, text in self.defines]
        folders = [f"-I{folder}" for folder in self.include_dirs]
        return ["-std=gnu11", *defines, *folders, *package_options("--cflags", self.pkg_config), *self.cflags]

    def wants(self, name: str) -> bool:
        """Whether ``include`` and ``exclude`` leave the C name ``name``."""
        if self.include and not any(fnmatchcase(name, pattern) for pattern in self.include):
            return False
        return not any(fnmatchcase(name, pattern) for pattern in self.exclude)

    def prelude(self) -> str:
        """The ``#include`` lines, in their order."""
        return "".join(
            f'#include "{one}"\n' if os.path.isabs(one) else f"#include <{one}>\n" for one in self.headers
        )


def _list(given: Any) -> list[Any]:
    """One word, or several."""
    if isinstance(given, (str, bytes, os.PathLike)) or not isinstance(given, Iterable):
        return [given]
    return list(given)


def _plain(option: str, word: Any) -> str:
    """A word of text that is one line."""
    if not isinstance(word, str) or not word or re.search(r"[\x00-\x1f\x7f]", word):
        raise ForeignTypeError(f"{option}: a word of text is wanted, not {shorten(word)}")
    return str(word)


def _pairs(given: Any) -> list[tuple[Any, Any]]:
    """``(name, value)`` from a mapping, from pairs, or from words such as ``NAME`` and ``NAME=VALUE``."""
    if isinstance(given, Mapping):
        return list(given.items())
    pairs = []
    for one in _list(given):
        if isinstance(one, str):
            name, equals, value = one.partition("=")
            pairs.append((name, value if equals else None))
        elif isinstance(one, (list, tuple)) and len(one) == 2:
            pairs.append((one[0], one[1]))
        else:
            raise ForeignTypeError(f"a name, or a name and a value, is wanted, not {shorten(one)}")
    return pairs


def _header(given: Any) -> str:
    path = isinstance(given, os.PathLike)
    name = os.fspath(given) if path else given
    if not isinstance(name, str) or not name or _NO_NAME.search(name) or name.endswith(("/", "\\")):
        raise ForeignTypeError(f"a header is a name such as 'sys/stat.h', or a path, not {shorten(given)}")
    return os.path.abspath(name) if path or name.startswith((".", "/")) else compiler.header_name(name)


def _define(name: Any, value: Any) -> tuple[str, str | None]:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise ForeignTypeError(f"defines: a C name is wanted, not {shorten(name)}")
    text = None if value is None or value is True else str(value)
    if text is not None and (isinstance(value, (bytes, float)) or re.search(r"[\x00-\x1f\x7f]", text)):
        raise ForeignTypeError(f"defines: {name} is an int or a line of text, not {shorten(value)}")
    return str(name), text


def _package(name: Any) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.+-]*", name, re.ASCII):
        raise ForeignTypeError(f"pkg-config: a package's name such as 'libpng' is wanted, not {shorten(name)}")
    return str(name)


def package_options(asked: str, packages: Iterable[str]) -> list[str]:
    """What pkg-config says of ``packages``: of ``--cflags`` or ``--libs``."""
    packages = tuple(packages)
    return list(_package_options(asked, packages, os.environ.get("PKG_CONFIG_PATH"))) if packages else []


@functools.lru_cache(maxsize=64)
def _package_options(asked: str, packages: tuple[str, ...], _path: str | None) -> tuple[str, ...]:
    command = [*shlex.split(os.environ.get("PKG_CONFIG") or "pkg-config"), asked, "--", *packages]
    what = f"pkg-config has no {', '.join(packages)}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    except OSError as error:
        raise HeaderError(
            f"{what}: {command[0]} cannot be run: {error.strerror}; install it (Debian: apt install pkgconf)"
        ) from None
    except subprocess.TimeoutExpired:
        raise HeaderError(f"{what}: {shlex.join(command)} took more than 60 s") from None
    if done.returncode:
        raise HeaderError(f"{what}: {(done.stderr or done.stdout).strip()}")
    return tuple(shlex.split(done.stdout))
