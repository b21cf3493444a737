"""Where a library may be: the files that a name stands for, in the order in which they are tried.

The order is: the directories of ``epsilon.library_search_paths``, those of ``EPSILON_LIBRARY_PATH``, the platform's own
search, and last the names with a version, the highest first.  In the directories that a user names the versioned names
count at once, so that a library put there comes before the system's.  The current directory is never searched unless
it is named in one of the two.
"""

from __future__ import annotations

import os
import sys
from _operator import itemgetter  # operator, without what it has in Python

from .errors import ForeignTypeError, nearest

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    #: one place to try: a file to be loaded or, where the fault says why not, a place that has none; and who named it
    Candidate = tuple[str, str, str | None]  # target, origin, fault
    #: a directory to search, and who named it
    Directory = tuple[str, str]  # path, origin

__all__ = ["candidates", "is_path", "library_search_paths", "named_directories", "suggestion"]

library_search_paths: list[str] = []
"""Directories to be searched first; users append to it, or rebind ``epsilon.library_search_paths``."""

_LD_SO_CACHE = "/etc/ld.so.cache"
_SYSTEM = "the system's search"


def _once(function: Callable[[], tuple[str, ...]]) -> Callable[[], tuple[str, ...]]:
    """``functools.cache`` for a function without arguments; its module takes a millisecond to import."""
    found: list[tuple[str, ...]] = []

    def remembered() -> tuple[str, ...]:
        if not found:
            found.append(function())
        return found[0]

    remembered.__doc__ = function.__doc__
    return remembered


# --- Names ------------------------------------------------------------------------------------------------------------


def is_path(name: str) -> bool:
    """Whether ``name`` has a directory in it, so that it is taken as it stands and not searched for.

    >>> is_path("./libm.so.6"), is_path("libm.so.6")
    (True, False)
    """
    return os.sep in name or (os.altsep is not None and os.altsep in name)


def is_c_library(name: str) -> bool:
    """Whether ``name`` means the platform's C library, whatever its file is called.

    >>> is_c_library("libc"), is_c_library("c"), is_c_library("curl")
    (True, True, False)
    """
    return name in ("c", "libc", "libc.so.6")


def _c_library_files() -> tuple[str, ...]:
    if sys.platform == "darwin":
        return ("/usr/lib/libSystem.B.dylib",)
    if sys.platform == "win32":
        return ("ucrtbase.dll", "msvcrt.dll")
    # glibc's and FreeBSD's own names, then the one that musl takes for itself (its ldso/dynlink.c) and Android has.
    return ("libc.so.6", "libc.so.7", "libc.so") if sys.platform.startswith("freebsd") else ("libc.so.6", "libc.so")


def is_file_name(name: str) -> bool:
    """Whether ``name`` is a library's file name as it stands.

    >>> is_file_name("libssl"), is_file_name("libssl.so.3") or sys.platform in ("darwin", "win32")
    (False, True)
    """
    if sys.platform == "win32":
        return name.lower().endswith((".dll", ".pyd"))
    if sys.platform == "darwin":
        return name.endswith((".dylib", ".so", ".bundle"))
    return name.endswith(".so") or ".so." in name


def file_names(name: str) -> tuple[str, ...]:
    """The unversioned file names that a library's name may stand for, the likeliest first.

    >>> file_names("ssl") if sys.platform == "linux" else ("libssl.so", "ssl.so")
    ('libssl.so', 'ssl.so')
    """
    if is_file_name(name):
        return (name,)
    if sys.platform == "win32":
        other = name.removeprefix("lib") if name.startswith("lib") else f"lib{name}"
        return (f"{name}.dll", f"{other}.dll")
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    return (name + suffix,) if name.startswith("lib") else (f"lib{name}{suffix}", name + suffix)


def version(file: str, name: str) -> tuple[int, ...] | None:
    """The version of ``file`` if it is a versioned name of the file ``name``, else ``None``.

    >>> version("libssl.so.1.1", "libssl.so") if sys.platform == "linux" else (1, 1)
    (1, 1)
    """
    if sys.platform in ("darwin", "win32"):
        # libssl.3.dylib; libssl-3-x64.dll
        stem, suffix = os.path.splitext(name)
        if not (file.startswith(stem) and file.endswith(suffix)) or file == name:
            return None
        rest = file[len(stem) : len(file) - len(suffix)]
        for machine in ("-x64", "-x86", "-arm64"):
            rest = rest.removesuffix(machine) if sys.platform == "win32" else rest
        separators = ".-_" if sys.platform == "win32" else "."
    else:
        if not file.startswith(name):
            return None
        rest, separators = file[len(name) :], "."
    if rest[:1] not in tuple(separators):
        return None
    parts = rest[1:].replace("_", ".").split(".")
    return tuple(map(int, parts)) if all(part.isascii() and part.isdigit() for part in parts) else None


def _matches(paths: Sequence[str], names: Sequence[str]) -> list[str]:
    """Those of ``paths`` whose file ``names`` stand for: as it is, in their order, then the highest version first."""
    exact: list[tuple[int, str]] = []
    versioned: list[tuple[tuple[int, ...], str]] = []
    for path in paths:
        file = os.path.basename(path)
        if file in names:
            exact.append((names.index(file), path))
        else:
            found = next(filter(None, (version(file, name) for name in names)), None)
            if found is not None:
                versioned.append((found, path))
    first = [path for _, path in sorted(exact, key=itemgetter(0))]
    return first + [path for _, path in sorted(versioned, key=itemgetter(0), reverse=True)]


# --- Directories ------------------------------------------------------------------------------------------------------


def named_directories() -> tuple[Directory, ...]:
    """The directories that the user named, read anew at each open."""
    paths = getattr(sys.modules.get("epsilon"), "library_search_paths", library_search_paths)
    if type(paths) is list and not paths and not os.environ.get("EPSILON_LIBRARY_PATH"):
        return ()  # nothing was named, as mostly: each binding by name asks
    if isinstance(paths, (str, bytes, os.PathLike)) or not hasattr(paths, "__iter__"):
        raise ForeignTypeError(f"epsilon.library_search_paths is to be a list of directories, not {paths!r}")
    directories = []
    for path in paths:
        if not isinstance(path, (str, bytes, os.PathLike)):
            raise ForeignTypeError(f"epsilon.library_search_paths holds {path!r}, which is no directory's name")
        directories.append((os.fsdecode(path), "library_search_paths"))
    for path in os.environ.get("EPSILON_LIBRARY_PATH", "").split(os.pathsep):
        directories.append((path, "EPSILON_LIBRARY_PATH"))
    return tuple(directory for directory in directories if directory[0])  # "" would be the current directory


@_once
def _loader_path() -> tuple[str, ...]:
    """The fields of ``LD_LIBRARY_PATH`` (macOS: ``DYLD_LIBRARY_PATH``) when the process began: the loader's view."""
    variable = "DYLD_LIBRARY_PATH" if sys.platform == "darwin" else "LD_LIBRARY_PATH"
    value = os.environ.get(variable, "")
    try:
        with open("/proc/self/environ", "rb") as file:
            fields = dict(field.partition(b"=")[::2] for field in file.read().split(b"\0"))
        value = os.fsdecode(fields.get(os.fsencode(variable), b""))
    except OSError:
        pass  # no such file on this system: the variable's present value is the best there is
    return tuple(value.replace(";", ":").split(":")) if value else ()


def _is_here_by_accident(file: str) -> bool:
    """Whether the loader, given the bare name ``file``, would take it from the current directory.

    ``LD_LIBRARY_PATH=/opt/lib:$LD_LIBRARY_PATH`` with nothing in the second ends in an empty field, and that is the
    current directory (ld.so(8)).
    """
    return any(not os.path.isabs(field) and os.path.exists(os.path.join(field, file)) for field in _loader_path())


@_once
def _standard_directories() -> tuple[str, ...]:
    """Where this platform keeps libraries, beyond what its loader is told."""
    own = [os.path.join(prefix, "lib") for prefix in (sys.prefix, sys.base_prefix)]
    if sys.platform == "win32":
        windows = os.path.join(os.environ.get("SystemRoot", r"C:\Windows"), "System32")
        path = [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if os.path.isabs(entry)]
        return tuple(dict.fromkeys([windows, os.path.join(sys.base_prefix, "DLLs"), *path]))
    if sys.platform == "darwin":
        brew = os.environ.get("HOMEBREW_PREFIX", "/opt/homebrew")
        # Homebrew keeps out of its lib what macOS has as well; such a "keg" has a lib of its own.
        kegs = [f"{brew}/opt/{keg}/lib" for keg in sorted(_listing(f"{brew}/opt"))]
        return tuple(dict.fromkeys([f"{brew}/lib", "/usr/local/lib", "/opt/local/lib", *kegs, "/usr/lib", *own]))
    multiarch = getattr(sys.implementation, "_multiarch", "")
    debian = [f"{root}/{multiarch}" for root in ("/usr/local/lib", "/lib", "/usr/lib") if multiarch]
    musl: list[str] = []
    for file in _listing("/etc"):
        if file.startswith("ld-musl-") and file.endswith(".path"):
            with open(f"/etc/{file}", encoding="utf-8", errors="surrogateescape") as lines:
                musl += [entry.strip() for line in lines for entry in line.split(":") if entry.startswith("/")]
    common = ["/usr/local/lib", "/lib64", "/usr/lib64", "/lib", "/usr/lib"]
    return tuple(dict.fromkeys([*musl, *debian, *common, *own]))


def _ld_so_cache(prefixes: Sequence[str] = ("",)) -> list[str]:
    """The paths in glibc's cache of libraries (ldconfig(8)) whose file names begin with one of ``prefixes``.

    The layout is that of ``struct cache_file_new`` in glibc's ``sysdeps/generic/dl-cache.h``: a header of 48 bytes,
    then entries of 24 (flags, file name, path, OS version, hardware), the strings by their offset from the header.
    Variants for particular hardware are left to the loader, which knows whether they would run.
    """
    try:
        with open(_LD_SO_CACHE, "rb") as file:
            image = file.read()
    except OSError:
        return []
    start = image.find(b"glibc-ld.so.cache1.1")  # an older cache may come before it in the same file
    if start < 0:
        return []
    import struct

    (count,) = struct.unpack_from("=I", image, start + 20)
    entries = image[start + 48 : start + 48 + 24 * count]
    wanted = tuple(map(os.fsencode, prefixes))
    paths = []
    for _, name, path, _, hardware in struct.iter_unpack("=iIIIQ", entries):
        if not hardware and image.startswith(wanted, start + name):
            paths.append(os.fsdecode(image[start + path : image.index(b"\0", start + path)]))
    return paths


def _listing(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


# --- The search -------------------------------------------------------------------------------------------------------


def candidates(name: str) -> Iterator[Candidate]:
    """The files that ``name`` may stand for, in the order to be tried, and the places that have none.

    It is lazy: what comes after the first file that loads is never looked at.
    """
    if is_path(name):
        yield name, "as given", None
        return
    if is_c_library(name):
        for file in _c_library_files():
            yield file, "the platform's C library", None
        return
    names = file_names(name)
    for directory in named_directories():
        yield from _in_directory(directory, name, names)
    if sys.platform in ("darwin", "win32"):
        yield from _on_darwin_or_windows(name, names)
    else:
        yield from _by_ld_so(names)


def _in_directory(directory: Directory, name: str, names: Sequence[str]) -> Iterator[Candidate]:
    """The candidates in a directory that the user named."""
    path, origin = directory
    try:
        listing = os.listdir(path)
    except OSError as error:
        yield path, origin, f"not a directory that can be read: {error.strerror}"
        return
    # A file of exactly that name, without a suffix, counts only here: elsewhere it is no library's name.
    files = list(dict.fromkeys(_matches(listing, names) + [file for file in listing if file == name]))
    for file in files:
        yield os.path.join(path, file), origin, None
    if not files:
        yield path, origin, _none_of(names)


def _by_ld_so(names: Sequence[str]) -> Iterator[Candidate]:
    """The candidates of ld.so(8): what the loader finds by itself, then what it has under a versioned name."""
    for file in names:
        if _is_here_by_accident(file):
            yield file, _SYSTEM, "not asked: by a relative LD_LIBRARY_PATH it means the current directory"
        else:
            yield file, _SYSTEM, None
    for path in filter(os.path.isabs, _loader_path()):
        for file in _matches(_listing(path), names):
            yield os.path.join(path, file), "LD_LIBRARY_PATH", None
    seen = set()
    for path in _matches(_ld_so_cache(names), names):
        seen.add(os.path.realpath(path))
        yield path, _LD_SO_CACHE, None
    others = [os.path.join(directory, file) for directory in _standard_directories() for file in _listing(directory)]
    for path in _matches(others, names):
        real = os.path.realpath(path)
        if real not in seen:
            seen.add(real)
            yield path, "a standard directory", None
    if not seen:
        yield ", ".join((_LD_SO_CACHE, *_standard_directories())), _SYSTEM, _none_of(names)


def _on_darwin_or_windows(name: str, names: Sequence[str]) -> Iterator[Candidate]:
    """The candidates by directory.

    The bare name goes to Windows's loader, which leaves out the current directory when it is told to; but not to
    macOS's, which looks there first (dlopen(3) of macOS).
    """
    directories = _standard_directories()
    if sys.platform == "win32":
        yield from ((file, _SYSTEM, None) for file in names)
    else:
        directories = (*filter(os.path.isabs, _loader_path()), *directories)
        frameworks = ("/Library/Frameworks", "/System/Library/Frameworks")
        yield from ((f"{root}/{name}.framework/{name}", _SYSTEM, None) for root in frameworks)
    for directory in directories:
        files = _matches(_listing(directory), names)
        if directory == "/usr/lib":  # macOS: most of it is in the loader's cache and not on the disk
            files = list(dict.fromkeys([*names, *files]))
        for file in files:
            path = os.path.join(directory, file)
            if path in ("/usr/lib/libssl.dylib", "/usr/lib/libcrypto.dylib"):
                yield path, _SYSTEM, "macOS ends a process that loads its own copy; install OpenSSL"
            else:
                yield path, _SYSTEM, None
    yield ", ".join(directories), _SYSTEM, _none_of(names)


def _none_of(names: Sequence[str]) -> str:
    suffix = "" if sys.platform in ("darwin", "win32") else ".<version>"
    return f"no {', '.join(names)}" + (f" or {names[0]}{suffix}" if suffix else " of any version")


# --- What it could have been ------------------------------------------------------------------------------------------


def suggestion(name: str, defined: Sequence[str] = ()) -> str:
    """A clause with the names nearest to ``name`` among the libraries there are and those that were ``defined``.

    >>> suggestion("our-own-libary", ["our-own-library"])
    "; did you mean 'our-own-library'?"
    """
    directories = [*(path for path, _ in named_directories()), *_loader_path(), *_standard_directories()]
    if is_path(name):
        directories, defined = [os.path.dirname(name)], ()
    files = {file for path in directories if path for file in _listing(path)}
    files.update(() if is_path(name) else map(os.path.basename, _ld_so_cache()))
    files = set(filter(is_file_name, files))
    if is_path(name) or is_file_name(name):
        return nearest(os.path.basename(name), files)
    prefix = "lib" if name.startswith("lib") else ""
    return nearest(name, {*defined, *(prefix + _plain(file) for file in files)})


def _plain(file: str) -> str:
    """The short name of a library's file: ``ssl`` of ``libssl.so.3``."""
    stem = file.partition(".so")[0] if ".so" in file else os.path.splitext(file)[0]
    return stem.removeprefix("lib")
