"""One run of the preprocessor over the headers: their text with its macros, the files that were read, whose counts."""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Iterator, Mapping

from epsilon import compiler
from epsilon.errors import HeaderError
from epsilon.headers import system
from epsilon.headers.request import Request

#: ``# 12 "file" 1 3 4``; GCC manual, "Preprocessor Output".  The flag 1 says that the file begins here
MARKER = re.compile(r'^# (\d+) "((?:[^"\\\n]|\\.)*)"((?: \d)*)$', re.M)
_MISSING = re.compile(r"^(.+?):(\d+):\d+: fatal error: '?(.+?)'?(?: file not found|: No such file or directory)$", re.M)
_SEARCH = re.compile(r"search starts here:\n((?: [^\n]+\n)*)")
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|(.))")


class Unit:
    """The headers of ``request`` as the preprocessor gives them.

    ``text`` is what ``cc -E -dD`` prints: declarations, ``#define`` lines, and markers that say which line of which
    file follows.  ``files`` are the files as the markers name them, in the order of their first appearance
    (``<built-in>`` and the like among them), and a file's index is its place there.  ``folders`` are where the compiler
    looks for headers by itself, ``search`` those and the ones that the options add.
    """

    def __init__(self, request: Request, options: list[str], text: str, search: list[str], folders: list[str]):
        self.request, self.prelude, self.options, self.text = request, request.prelude(), options, text
        self.search, self.folders = search, folders
        self.files: list[str] = []
        self._index: dict[str, int] = {}
        for found in MARKER.finditer(text):
            self.index(found[2])
        self.own = self._own()

    def index(self, quoted: str) -> int:
        """The index of the file that a marker quotes as ``quoted``."""
        index = self._index.get(quoted)
        if index is None:
            index = self._index[quoted] = len(self.files)
            self.files.append(_ESCAPE.sub(_unescaped, quoted))
        return index

    def belongs(self, file: int) -> bool:
        """Whether what the file of this index declares counts: all that is reached, but what is the system's and was
        not asked for (``epsilon.headers.system``)."""
        return file in self.own

    def lines(self) -> Iterator[tuple[int, int, str]]:
        """``(file index, line number, text)`` of each line that is no marker."""
        file = number = 0
        for line in self.text.split("\n"):
            if line.startswith("# "):
                marker = MARKER.match(line)
                if marker:
                    file, number = self._index[marker[2]], int(marker[1])
                    continue
            yield file, number, line
            number += 1

    def leave_out(self, places: Mapping[tuple[int, int], str]) -> None:
        """Replace the lines of ``text`` that stand at these places: ``(file index, line number)``."""
        file = number = 0
        kept = []
        for line in self.text.split("\n"):
            marker = MARKER.match(line) if line.startswith("# ") else None
            if marker:
                file, number = self._index[marker[2]], int(marker[1])
                kept.append(line)
                continue
            kept.append(places.get((file, number), line) if not line.startswith("#") else line)
            number += 1
        self.text = "\n".join(kept)

    def _own(self) -> set[int]:
        named = self._named()
        own = set()
        systems = {}
        for index, path in enumerate(self.files):
            if path.startswith("<") and path.endswith(">"):
                continue
            if system.is_systems(self.folders, path):
                systems[path] = index
            else:
                own.add(index)
        asked = [path for path in systems if systems[path] in named]
        served = system.serving(self.folders, asked, systems)
        return own | {systems[path] for path in (*asked, *served)}

    def _named(self) -> set[int]:
        """The headers that were asked for: those that the prelude enters, and those that another had entered before."""
        found = {
            index for index, path in enumerate(self.files)
            if path in self.request.headers or system.name_in(self.search, path) in self.request.headers
        }  # fmt: skip
        depth = 0
        for marker in MARKER.finditer(self.text):
            flags = marker[3].split()
            if "1" in flags:
                depth += 1
                if depth == 1 and not marker[2].endswith("stdc-predef.h"):
                    found.add(self._index[marker[2]])
            elif "2" in flags:
                depth = max(depth - 1, 0)
        return found


def _unescaped(found: re.Match) -> str:
    return chr(int(found[1], 8)) if found[1] else found[2]


def preprocess(request: Request) -> Unit:
    """The unit of ``request``; ``HeaderError`` for a header that is not found or that the preprocessor refuses,
    ``CompilerError`` where there is none."""
    options = request.options()
    what = f"reading {', '.join(request.headers)}"
    status, text, said = compiler.run(["-E", "-dD", "-v", *options], request.prelude(), what)
    search = [os.path.normpath(line.strip().removesuffix(" (framework directory)"))
              for block in _SEARCH.findall(said) for line in block.splitlines()]  # fmt: skip
    if status:
        raise _refused(request, search, said.partition("End of search list.\n")[2] or said)
    return Unit(request, options, text, search, _default_folders(compiler.identity()) or search)


@functools.lru_cache(maxsize=8)
def _default_folders(_compiler: str) -> list[str]:
    """Where the compiler looks for headers by itself."""
    _, _, said = compiler.run(["-E", "-v"], "", "asking for the compiler's search path")
    return [os.path.normpath(line.strip()) for block in _SEARCH.findall(said) for line in block.splitlines()]


def _refused(request: Request, search: list[str], said: str) -> HeaderError:
    missing = _MISSING.search(said)
    if missing is None:
        words = "\n".join(line for line in said.strip().splitlines() if not line.startswith(("COMPILER_", "COLLECT_")))
        return HeaderError(f"{', '.join(request.headers)}: the compiler cannot read it:\n{words}")
    file, line, name = missing.groups()
    where = f" (it is included by {file}, line {line})" if file != "<stdin>" else ""
    places = [name] if os.path.isabs(name) else search
    looked = "".join(f"\n  {place}" for place in places)
    return HeaderError(f"the header {name} is not found{where}; it was looked for in:{looked}{_nearest(name, search)}")


def _nearest(name: str, search: list[str]) -> str:
    """What the message may add: a header of nearly this name, or one in the folder where the user is."""
    if not os.path.isabs(name) and os.path.exists(name):
        return f"\na file of this folder is named by its path: './{name}'"
    if os.path.isabs(name):
        search, name = [os.path.dirname(name)], os.path.basename(name)
    folder, base = os.path.split(name)
    there: set[str] = set()
    for place in search:
        try:
            there.update(os.listdir(os.path.join(place, folder)))
        except OSError:
            continue
    near = difflib.get_close_matches(base, sorted(there), 1, 0.7)
    return f"\ndid you mean {os.path.join(folder, near[0])!r}?" if near else ""
