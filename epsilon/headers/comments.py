"""The comment that a header has for a declaration: before it, behind it, or before the group that it stands in.

The file is read when somebody asks for help, and only then; one that is no longer there, or shorter, has no comment.
"""

from __future__ import annotations

import functools
import os
import re

#: a line that says nothing: a macro that stands alone before a declaration, such as ``SQLITE_API``
_BARE = re.compile(r"\s*(?:[A-Z_][A-Z0-9_]*(?:\([^()]*\))?\s*)*$")
_CODE_END = re.compile(r"[;}{]\s*$|^\s*#")
#: what decorates the beginning of a comment's lines
_DECORATION = re.compile(r"^\s*(?:\*+(?!\w)|//+[!<]?)?")
_RULE = re.compile(r"[\s*=_#~+/-]*$")
_LONGEST = 64  #: lines that one declaration may have between its comment and its place


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
    found = _behind(lines, line - 1) or _before(lines, line - 1)
    return (_plain(found) or None) if found else None


def _behind(lines: list[str], at: int) -> str | None:
    """A comment that begins behind the end of the declaration, in its last line."""
    for index in range(at, min(at + _LONGEST, len(lines))):
        code, mark, rest = _split(lines[index])
        if mark and code.rstrip().endswith((";", ",", "}")):
            if mark == "//":
                return mark + rest
            return _to_end(lines, index, mark + rest)
        if ";" in code or "{" in code:
            return None
        if index > at and not code.strip():
            return None
    return None


def _split(line: str) -> tuple[str, str, str]:
    """The code of a line, the mark of the comment behind it, and the rest."""
    found = re.search(r"//|/\*", line)
    if not found:
        return line, "", ""
    return line[: found.start()], found[0], line[found.end() :]


def _to_end(lines: list[str], at: int, begun: str) -> str:
    text = [begun]
    while "*/" not in text[-1] and at + 1 < len(lines) and len(text) < 400:
        at += 1
        text.append(lines[at])
    return "\n".join(text).partition("*/")[0] + "*/"


def _before(lines: list[str], at: int) -> str | None:
    """A comment that ends above the declaration, with nothing but other declarations of the same group between."""
    index = at - 1
    blanks = 0
    while index >= 0 and at - index <= _LONGEST:
        text = lines[index].strip()
        if text.endswith("*/"):
            begin = _block_start(lines, index)
            if begin is None or lines[begin].strip().startswith("/*"):
                return None if begin is None else "\n".join(lines[begin : index + 1])
            text = _split(lines[begin])[0].strip()  # a comment behind another declaration: part of the group
            index = begin
        elif text.startswith("//"):
            begin = index
            while begin and lines[begin - 1].strip().startswith("//"):
                begin -= 1
            return "\n".join(lines[begin : index + 1])
        if not text:
            blanks += 1
            if blanks > 1 or index < at - 1:
                return None
        elif text.startswith("#") or text.endswith(("{", "}", "};")):
            return None
        index -= 1
    return None


def _block_start(lines: list[str], at: int) -> int | None:
    while at >= 0:
        if "/*" in lines[at]:
            return at
        at -= 1
    return None


def _plain(comment: str) -> str:
    """The words of a comment: without its marks, stars, rules and common indent."""
    text = comment.strip()
    if text.startswith("/*"):
        text = re.sub(r"^/\*[*!]*<?", "", text)
        text = re.sub(r"\**\*/$", "", text)
    words = [_DECORATION.sub("", line).rstrip() for line in text.split("\n")]
    words = ["" if _RULE.match(line) else line for line in words]
    while words and not words[0].strip():
        words.pop(0)
    while words and not words[-1].strip():
        words.pop()
    indent = min((len(line) - len(line.lstrip()) for line in words[1:] if line.strip()), default=0)
    return "\n".join([words[0].strip(), *(line[indent:] for line in words[1:])]) if words else ""
