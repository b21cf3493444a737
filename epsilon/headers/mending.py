"""A header with a mistake in it, made to compile: the declarations that the compiler complains of are taken out."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

_MARKER = re.compile(r'^# (\d+) "((?:[^"\\\n]|\\.)*)"', re.M)
_MARK = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|^#.*$|[{};]', re.M)


def mended(plain: str, places: Iterable[tuple[str, int]]) -> str:
    """The preprocessed text without what stands in the ``places``, pairs of a file, as markers name it, and a line.

    Of a function and of a struct the outermost braces go, so that its name stays declared; of another declaration all.
    All lines keep their numbers.

    >>> print(mended('# 1 "a.h"\\nint f(void) { return x; }\\nx_t g;\\nint h;', [("a.h", 1), ("a.h", 2)]))
    # 1 "a.h"
    int f(void) ;
    <BLANKLINE>
    int h;
    """
    bodies, others = _regions(plain)
    cuts = {}
    for at in _offsets(plain, set(places)):
        for regions, instead in ((bodies, ";"), (others, "")):
            index = bisect_right(regions, (at[1], 0)) - 1
            # the region that begins last on the line or before it, if it reaches the line
            if index >= 0 and regions[index][1] > at[0]:
                cuts[regions[index]] = instead
                break
    parts, done = [], 0
    for (start, end), instead in sorted(cuts.items()):
        if start >= done:
            parts += [plain[done:start], instead, "\n" * plain.count("\n", start, end)]
            done = end
    return "".join([*parts, plain[done:]])


def _offsets(plain: str, places: set[tuple[str, int]]) -> list[tuple[int, int]]:
    """Where the lines of ``places`` begin and end in the text."""
    found = []
    markers = list(_MARKER.finditer(plain))
    for index, marker in enumerate(markers):
        start, number = plain.find("\n", marker.end()) + 1, int(marker[1])
        end = markers[index + 1].start() if index + 1 < len(markers) else len(plain)
        wanted = [line for file, line in places if file == marker[2] and line >= number]
        if not start or not wanted:
            continue
        for line, text in enumerate(plain[start:end].split("\n"), number):
            if line in wanted:
                found.append((start, start + len(text)))
            start += len(text) + 1
    return found


def _regions(plain: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The outermost braces, and the declarations that have none, by their starts and ends."""
    bodies, others = [], []
    depth = start = opened = 0
    for mark in _MARK.finditer(plain):
        word = mark[0]
        if word == "{":
            if depth == 0:
                opened = mark.start()
            depth += 1
        elif word == "}":
            depth = max(depth - 1, 0)
            if depth == 0:
                bodies.append((opened, mark.end()))
                start = mark.end()
        elif word == ";" and depth == 0:
            others.append((start, mark.end()))
            start = mark.end()
        elif word[0] == "#" and depth == 0 and not plain[start : mark.start()].strip():
            start = mark.end()
    return bodies, others
