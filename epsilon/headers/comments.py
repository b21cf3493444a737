"""The comment that a header has for a declaration: before it, behind it, or before the group that it stands in.

The file is read when somebody asks for help, and only then; one that is no longer there, or shorter, has no comment.
"""

from __future__ import annotations

import functools
import os
import re
import textwrap

#: what decorates the beginning of a comment's lines
_DECORATION = re.compile(r"^\s*(?:\*+(?!\w)|//+[!<]?)?")
_RULE = re.compile(r"[\s*=_#~+/-]*$")
_LONGEST = 64  #: lines that one declaration, or the group that it stands in, may have
_LONGEST_COMMENT = 2000  #: lines


@functools.lru_cache(maxsize=8)
def _lines(path: str, _size: int, _time: int) -> list[str]:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().split("\n")


def comment_at(path: str, line: int) -> str | None:
    """The comment on the declaration at ``line`` (the first is 1) of the file ``path``, without its decoration; None
    where there is none."""
    try:
        status = os.stat(path)
        lines = _lines(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return None
    if not 1 <= line <= len(lines):
        return None
    end = _end(lines, line - 1)
    first = line - 1
    found = _beside(lines, end) or _before(lines, first, 0) or _after(lines, end) or _before(lines, first, _LONGEST)
    found = found or _above_empty_line(lines, first)
    return (_plain(found) or None) if found else None


def _end(lines: list[str], at: int) -> int:
    """The line in which the declaration ends."""
    for index in range(at, min(at + _LONGEST, len(lines))):
        if re.search(r"[;{]", _split(lines[index])[0]):
            return index
    return at


def _beside(lines: list[str], end: int) -> str | None:
    """A comment behind the semicolon, in the same line."""
    code, mark, rest = _split(lines[end])
    if not mark or not code.rstrip().endswith(";"):
        return None
    return mark + rest if mark == "//" else _to_end(lines, end, mark + rest)[0]


def _after(lines: list[str], end: int) -> str | None:
    """A comment in the lines behind the declaration, after which nothing follows at once that could be its owner."""
    if end + 1 >= len(lines) or not lines[end + 1].lstrip().startswith("/*"):
        return None
    comment, last = _to_end(lines, end + 1, lines[end + 1].lstrip())
    follows = last + 1 < len(lines) and lines[last + 1].strip()
    return None if follows else comment


def _split(line: str) -> tuple[str, str, str]:
    """The code of a line, the mark of the comment behind it, and the rest."""
    found = re.search(r"//|/\*", line)
    if not found:
        return line, "", ""
    return line[: found.start()], found[0], line[found.end() :]


def _to_end(lines: list[str], at: int, begun: str) -> tuple[str, int]:
    """The whole comment that begins in the line ``at``, and the line in which it ends."""
    text = [begun]
    while "*/" not in text[-1] and at + 1 < len(lines) and len(text) < _LONGEST_COMMENT:
        at += 1
        text.append(lines[at])
    return "\n".join(text).partition("*/")[0] + "*/", at


def _before(lines: list[str], at: int, between: int) -> str | None:
    """A comment that ends above the declaration; with nothing between, or up to ``between`` lines of other declarations
    of the same group."""
    index = at - 1
    while index >= 0:
        text = lines[index].strip()
        if text.endswith("*/"):
            begin = _block_start(lines, index)
            if begin is None:
                return None
            if lines[begin].lstrip().startswith("/*"):
                return "\n".join(lines[begin : index + 1])
            index = begin  # a comment beside another declaration of the group
        elif text.startswith("//"):
            begin = index
            while begin and lines[begin - 1].lstrip().startswith("//"):
                begin -= 1
            return "\n".join(lines[begin : index + 1])
        if between <= 0 or not text or text.startswith("#") or text.endswith(("{", "}", "};")):
            return None
        between -= 1
        index -= 1
    return None


def _above_empty_line(lines: list[str], at: int) -> str | None:
    """A comment with one empty line below it; but not the file's own, which speaks of no declaration."""
    if at < 3 or lines[at - 1].strip() or not lines[at - 2].rstrip().endswith("*/"):
        return None
    begin = _block_start(lines, at - 2)
    return "\n".join(lines[begin : at - 1]) if begin and lines[begin].lstrip().startswith("/*") else None


def _block_start(lines: list[str], at: int) -> int | None:
    for index in range(at, max(at - _LONGEST_COMMENT, -1), -1):
        if "/*" in lines[index]:
            return index
    return None


def _plain(comment: str) -> str:
    """The words of a comment: without its marks, stars, rules and common indent."""
    text = comment.strip()
    if text.startswith("/*"):
        text = re.sub(r"^/\*[*!]*<?", "", text)
        text = re.sub(r"\**\*/$", "", text)
    each = text.startswith("//")
    words = [_DECORATION.sub("", line).rstrip() for line in text.split("\n")]
    words = ["" if _RULE.match(line) else line for line in words]
    if words[0] and not each:  # the first line begins where the mark ends, and not where the others do
        words[0] = words[0].strip()
        return "\n".join([words[0], *textwrap.dedent("\n".join(words[1:])).split("\n")]).strip()
    return textwrap.dedent("\n".join(words)).strip("\n").rstrip()
