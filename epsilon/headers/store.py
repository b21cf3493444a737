"""Facts that are kept: what headers declare is worked out once, and found in the cache until something changes.

The key covers what was asked for, the compiler and Epsilon; the entry, every file that was read, and every place where
a file would now be found before the one that was.  A file whose time and size are as they were is not read again; one
whose are not, is, and only other contents count.  Nothing here imports the compiler's driver, a parser, or ``re``.
"""

from __future__ import annotations

import marshal
import os
import sys
from _collections_abc import Mapping  # collections.abc, without all of collections
from time import time_ns

from epsilon import cache, compiler

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from epsilon.headers.facts import Facts

_KIND = "headers"
#: of the layout of an entry; ``marshal``'s own differs between Pythons
_FORMAT = f"3 {sys.implementation.cache_tag} {marshal.version}"
#: what pkg-config reads (pkg-config(1))
_ENVIRONMENT = ("PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR")
#: nanoseconds in which a file may change twice without its time telling
_TICK = 2_000_000_000


def facts_of(asked: str, work_out: Callable[[], tuple[Facts, list[str]]]) -> Facts | KeptFacts:
    """The facts for what is ``asked`` for, which is a text that says everything: those of the cache if they still hold,
    else those that ``work_out()`` gives, with the paths of further files that they rest on."""
    environment = [f"{name}={os.environ.get(name)}" for name in _ENVIRONMENT]
    key = cache.key(_FORMAT, asked, compiler.identity(), *environment)
    found = _kept(key)
    if found is not None:
        return found
    with cache.lock(_KIND, key):
        found = _kept(key)  # another process may have done it meanwhile
        if found is None:
            started = time_ns()
            found, further = work_out()
            stamps = _stamps(found, further, started)
            if stamps is not None:
                cache.write(_KIND, key, marshal.dumps((*stamps, _entry(found))))
    return found


def _kept(key: str) -> KeptFacts | None:
    data = cache.read(_KIND, key)
    if data is None:
        return None
    files, folders, (own, proved, wrappers, search, tables) = marshal.loads(data)
    fresh = _still(files, folders)
    if fresh is None or (wrappers is not None and not os.path.exists(wrappers)):
        return None
    if fresh is not files:
        cache.write(_KIND, key, marshal.dumps((fresh, folders, (own, proved, wrappers, search, tables))))
    facts = KeptFacts(tables)
    facts.own, facts.proved, facts.wrappers, facts.search = set(own), proved, wrappers, search
    return facts


class KeptFacts:
    """``Facts`` from the cache, of which a table is read when it is first asked for."""

    own: set[int]
    proved: bool
    wrappers: str | None
    search: list[str]

    def __init__(self, kept: dict[str, bytes]):
        self._kept = kept

    def __getattr__(self, name: str) -> Any:
        if name[:1] == "_" or name not in self._kept:
            raise AttributeError(f"facts have no {name!r}")
        found = marshal.loads(self._kept[name])
        if name != "files":
            from epsilon.headers.facts import TABLES  # whose namedtuples take a millisecond to make

            found = Rows(found, TABLES[name])
        setattr(self, name, found)
        return found


class Rows(Mapping):
    """A table whose rows are plain tuples until somebody takes them out."""

    __slots__ = ("_make", "_rows")

    def __init__(self, rows: dict[str, tuple], row: Any):
        self._rows, self._make = rows, row._make

    def __getitem__(self, name: str) -> Any:
        return self._make(self._rows[name])

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _entry(facts: Facts) -> tuple:
    """The facts without a class of our own, for ``marshal``."""
    from epsilon.headers.facts import TABLES

    tables = {name: {key: tuple(row) for key, row in getattr(facts, name).items()} for name in TABLES}
    tables["enums"] = {key: (tuple(map(tuple, row[0])), *row[1:]) for key, row in tables["enums"].items()}
    kept = {name: marshal.dumps(table) for name, table in tables.items()}
    kept["files"] = marshal.dumps(list(facts.files))
    return sorted(facts.own), facts.proved, facts.wrappers, list(facts.search), kept


# --- whether it still holds -------------------------------------------------------------------------------------------


def _stamp(status: os.stat_result) -> tuple:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _digest(path: str) -> bytes:
    with open(path, "rb") as file:
        return cache.blake2b(file.read(), digest_size=20).digest()


def _stamps(facts: Facts, further: list[str], started: int) -> tuple | None:
    """What is looked at again: files, with their times and digests, and folders where nothing else may appear.  None
    where a file was written while the headers were read: nobody knows which of its texts counted."""
    paths = dict.fromkeys(os.path.abspath(path) for path in facts.files if not path.startswith("<"))
    paths.update(dict.fromkeys(further))
    files = []
    for path in paths:
        try:
            status, digest = os.stat(path), _digest(path)
        except OSError:  # a name that a #line directive made up
            continue
        changed = max(status.st_mtime_ns, status.st_ctime_ns)
        if changed >= started:
            return None
        files.append((path, () if changed >= started - _TICK else _stamp(status), digest))
    return files, _folders([path for path, _, _ in files], facts.search, started)


def _folders(paths: list[str], search: list[str], started: int) -> list[tuple]:
    """``(folder, its stamp, names)``: a file of such a name there would be read in place of one that was."""
    names: dict[str, list[str]] = {}
    for path in paths:
        place = next((index for index, folder in enumerate(search) if path.startswith(folder + os.sep)), 0)
        for folder in search[:place]:
            missing = os.path.join(folder, path[len(search[place]) + 1 :])
            if not os.path.exists(missing):  # #include_next takes the second of two
                names.setdefault(os.path.dirname(missing), []).append(os.path.basename(missing))
    return [(folder, _folder_stamp(folder, started), missing) for folder, missing in names.items()]


def _folder_stamp(folder: str, started: int) -> tuple | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return () if status.st_mtime_ns >= started - _TICK else (status.st_mtime_ns, status.st_ino)


def _still(files: list[tuple], folders: list[tuple]) -> list[tuple] | None:
    """The files as they are stamped now, if nothing has changed: the same list, or one with newer times; else None."""
    stat, newer = os.stat, None
    for index, (path, stamp, digest) in enumerate(files):
        try:
            status = stat(path)
            if _stamp(status) != stamp:
                if _digest(path) != digest:
                    return None
                if max(status.st_mtime_ns, status.st_ctime_ns) < time_ns() - _TICK:
                    newer = list(files) if newer is None else newer
                    newer[index] = (path, _stamp(status), digest)
        except OSError:
            return None
    for folder, stamp, missing in folders:
        try:
            status = stat(folder)
        except OSError:
            continue
        if (status.st_mtime_ns, status.st_ino) != stamp and any(
            os.path.exists(os.path.join(folder, name)) for name in missing
        ):
            return None
    return files if newer is None else newer
