"""Reads the code in a Markdown page, runs it, and holds the results against what the page's comments promise.

``python tests/snippets.py PAGE`` runs one page, its Python and Hy blocks in order and in one namespace, and ends with
status 1 at the first promise that is broken.  A promise is a comment that follows a statement or form of the top
level::

    strlen("hello")     # => 5                        the value's repr (in Hy: hy.repr)
    print("a", "b")     # prints a b                  what came out
    strlen(5)           # raises ForeignTypeError: strlen(): parameter 1 …

``…`` stands for any text, white space counts as one blank, and the lines of comment that follow, indented by two blanks
or more, continue it.  The language of a block may be followed by ``needs=shim`` or ``needs=numpy``: it is left out
where there is none.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

FENCE = re.compile(r"^( *)```(.*)$")
PROMISE = re.compile(r"(=>|prints|raises(?= [A-Z]\w*:))\s*(.*)", re.S)


class Block(NamedTuple):
    """A fenced block: its language, the words after it, the line of the page that it begins on, and the text."""

    language: str
    flags: tuple[str, ...]
    line: int
    text: str


class Step(NamedTuple):
    """A statement or form of a block: its line in the page, what runs it, and what is promised of it, if anything."""

    line: int
    run: Callable[[types.ModuleType], Any]
    promise: tuple[str, str] | None


class BrokenPromiseError(Exception):
    """The page says one thing and the code another."""


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    opened: tuple[int, str, list[str]] | None = None
    indent = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if opened is None:
            if fence:
                indent, opened = fence[1], (number + 1, fence[2], [])
        elif fence:
            first, words, text = opened
            language, *flags = words.split() or [""]
            yield Block(language, tuple(flags), first, "\n".join(text) + "\n")
            opened = None
        else:
            opened[2].append(line.removeprefix(indent))
    if opened is not None:
        raise BrokenPromiseError(f"{page}:{opened[0] - 1}: the block is never closed")


# --- steps ----------------------------------------------------------------------------------------------------------


def python_steps(block: Block, page: str) -> list[Step]:
    """The statements of a Python block."""
    tree = ast.parse(block.text, page)
    ast.increment_lineno(tree, block.line - 1)
    ends = [(node.end_lineno - block.line, _characters(block, node)) for node in tree.body]
    starts = [_first_line(node) - block.line for node in tree.body]
    promises = _promises(block, "#", starts, ends)
    return [
        Step(node.lineno, _python_runner(node, page), promise)
        for node, promise in zip(tree.body, promises, strict=True)
    ]


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _characters(block: Block, node: ast.stmt) -> int:
    """Where the statement ends in its last line; ``ast`` counts bytes."""
    line = block.text.splitlines()[node.end_lineno - block.line]
    return len(line.encode()[: node.end_col_offset].decode())


def _python_runner(node: ast.stmt, page: str) -> Callable[[types.ModuleType], Any]:
    if isinstance(node, ast.Expr):
        code = compile(ast.Expression(node.value), page, "eval")
        return lambda module: eval(code, module.__dict__)
    code = compile(ast.Module([node], []), page, "exec")
    return lambda module: exec(code, module.__dict__)


def hy_steps(block: Block, page: str) -> list[Step]:
    """The forms of a Hy block."""
    import hy

    padding = "\n" * (block.line - 1)  # so that errors tell the page's own lines
    forms = list(hy.read_many(padding + block.text, filename=page))
    starts = [form._start_line - block.line for form in forms]
    ends = [(form._end_line - block.line, form._end_column) for form in forms]
    promises = _promises(block, ";", starts, ends)
    return [
        Step(form._start_line, lambda module, form=form: hy.eval(form, module.__dict__, module=module), promise)
        for form, promise in zip(forms, promises, strict=True)
    ]


STEPS = {"python": python_steps, "hy": hy_steps}


def _promises(
    block: Block, marker: str, starts: list[int], ends: list[tuple[int, int]]
) -> list[tuple[str, str] | None]:
    """What the comments after each statement promise.

    A promise that follows no statement of the top level would never be checked; it is an error.
    """
    lines = block.text.splitlines()
    comment = re.compile(rf"\s*{marker}+( *)(.*)")
    found: list[tuple[str, str] | None] = []
    for (line, column), following in zip(ends, [*starts[1:], len(lines)], strict=True):
        promise: list[str] | None = None
        for text in [lines[line][column:], *lines[line + 1 : following]]:
            said = comment.fullmatch(text)
            if said and promise is None and (match := PROMISE.fullmatch(said[2])):
                promise = [match[1], match[2]]
            elif said and promise is not None and len(said[1]) > 1:
                promise[1] += "\n" + said[2]
            elif promise is not None:
                break
        found.append(None if promise is None else (promise[0], promise[1]))
    written = re.findall(rf"{marker} *(?:=>|prints |raises [A-Z]\w*:)", block.text)
    if len(written) != len([promise for promise in found if promise]):
        raise BrokenPromiseError(f"line {block.line}: a promise in this block follows no statement of the top level")
    return found


# --- running --------------------------------------------------------------------------------------------------------


def run(page: Path, *, missing: tuple[str, ...]) -> int:
    """Run every block of ``page``; gives how many promises were kept, and raises at the first broken one."""
    module = types.ModuleType("__page__")
    sys.modules["__page__"] = module
    kept = 0
    for block in blocks(page):
        if block.language in STEPS and not any(f"needs={name}" in block.flags for name in missing):
            for step in STEPS[block.language](block, str(page)):
                hold(step, module, block.language, page)
                kept += step.promise is not None
    return kept


def hold(step: Step, module: types.ModuleType, language: str, page: Path) -> None:
    """Run one step and hold its promise against what happened."""
    kind, wanted = step.promise or ("", "")
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out) if kind == "prints" else contextlib.nullcontext():
            value = step.run(module)
    except Exception as error:
        if kind != "raises":
            raise BrokenPromiseError(f"{page}:{step.line}: {type(error).__name__}: {error}") from error
        given = f"{type(error).__name__}: {error}"
    else:
        given = {"=>": lambda: shown(value, language), "prints": out.getvalue, "raises": lambda: "nothing"}.get(
            kind, str
        )()
    if not matches(wanted, given):
        raise BrokenPromiseError(f"{page}:{step.line}: the page says\n  {kind} {wanted}\nbut it is\n  {given}")


def shown(value: Any, language: str) -> str:
    """A value as its language writes it."""
    if language == "python":
        return repr(value)
    import hy

    return hy.repr(value)


def matches(wanted: str, given: str) -> bool:
    """Whether ``given`` is what was ``wanted``: ``…`` for any text, white space for one blank."""
    wanted, given = " ".join(wanted.split()), " ".join(given.split())
    return re.fullmatch(".*".join(map(re.escape, wanted.split("…"))), given, re.S) is not None


def main(arguments: list[str]) -> int:
    from epsilon import _backend

    here = {"shim": _backend.shim is not None, "numpy": importlib.util.find_spec("numpy") is not None}
    try:
        kept = run(Path(arguments[0]), missing=tuple(name for name in here if not here[name]))
    except BrokenPromiseError as broken:
        print(broken)
        return 1
    print(f"{kept} promises kept")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
