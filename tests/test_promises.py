"""docs/promises.md names a test for each promise, and each of them exists."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "promises.md"


def rows() -> list[tuple[str, str]]:
    """Each promise, and the cell with its tests."""
    cells = re.findall(r"^\| (.*?) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    return [(promise, tests) for promise, tests in cells if promise != "promise"]


@functools.cache
def names_in(file: str) -> set[str]:
    """The tests in a file, by the names that pytest knows them by; a Hy test by the name that its author wrote."""
    text = (HERE / file).read_text(encoding="utf-8")
    if file.endswith(".hy"):
        return set(re.findall(r"^\(defn (?:\[.*\] )?(test[^\s\[]*)", text, re.M))
    return {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("promise", "tests"), rows(), ids=[promise[:60] for promise, _ in rows()])
def test_each_promise_is_held_by_tests_that_exist(promise, tests):
    named = re.findall(r"`([^`]+)`", tests)
    assert named and ", ".join(f"`{one}`" for one in named) == tests, "the tests of a promise are `file::test`, …"
    for one in named:
        file, _, test = one.partition("::")
        assert (HERE / file).exists() and test in names_in(file), f"there is no {one}"
        assert test.startswith("test"), f"{one} is no test"


def test_no_promise_is_made_twice():
    promises = [promise for promise, _ in rows()]
    assert len(promises) > 40 and len(set(promises)) == len(promises)
