"""Lets pytest collect tests written in Hy (``test_*.hy``), and has the fixtures that several files share.

This is a conftest and not a plugin on purpose: pytest rewrites the assertions of every file of a distribution that
brings a plugin, and would read our ``.hy`` files as Python.
"""

from __future__ import annotations

import datetime
import functools
import os
import sys
import tempfile
import types
from pathlib import Path

import hy
import hy.compiler
import pytest
from _pytest.assertion.rewrite import rewrite_asserts


class HyModule(pytest.Module):
    """A test module in Hy. Its functions are collected as those of a Python module are.

    ``(defn test-empty? [] …)`` too: its mangled name, ``hyx_test_emptyXquestion_markX``, is matched unmangled.
    """

    def _getobj(self) -> types.ModuleType:
        return import_hy(self.path)

    def funcnamefilter(self, name: str) -> bool:
        """Whether *name* is a test's, by the name that its author wrote."""
        return super().funcnamefilter(name) or super().funcnamefilter(hy.unmangle(name).replace("-", "_"))


def import_hy(path: Path) -> types.ModuleType:
    """Import the Hy test module at *path*, its assertions rewritten, so that a failed one shows the values in it."""
    name = path.stem
    if name in sys.modules or path.with_suffix(".py").exists():
        raise pytest.Collector.CollectError(f"{path.name} needs another name: a module {name} is there already")
    source = path.read_text(encoding="utf-8")
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        tree = hy.compiler.hy_compile(hy.read_many(source, filename=str(path)), module)
        rewrite_asserts(tree, source.encode("utf-8"), str(path))
        exec(compile(tree, str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect ``test_*.hy``."""
    if file_path.suffix == ".hy" and file_path.name.startswith("test_"):
        return HyModule.from_parent(parent, path=file_path)
    return None


#: what the tests compile is theirs: no user's cache is read or written
_cache = tempfile.TemporaryDirectory(prefix="epsilon-tests-cache-")


def pytest_configure() -> None:
    """Choose the seed of the tests that change with the day, and the cache; child processes have the same."""
    os.environ.setdefault("EPSILON_CONFORMANCE_SEED", datetime.date.today().strftime("%Y%m%d"))
    os.environ["EPSILON_CACHE"] = _cache.name


def pytest_report_header() -> list[str]:
    """On top of the test run: which Epsilon is tested, and how it calls; and what repeats the random tests."""
    import epsilon
    from epsilon import _backend

    shim = "the C shim" if _backend.shim is not None else f"no C shim ({_backend.why_no_shim})"
    return [
        f"epsilon: {Path(epsilon.__file__).parent}, {shim}, strategy {_backend.strategy or 'by default'}",
        f"random signatures: EPSILON_CONFORMANCE_SEED={os.environ['EPSILON_CONFORMANCE_SEED']} repeats them",
    ]


# --- what the tests of libraries share --------------------------------------------------------------------------------


@pytest.fixture
def make(tmp_path):
    """Compile a library into this test's own directory; see ``library_kit.make_library``."""
    from library_kit import make_library  # not there where the smoke tests run alone

    return functools.partial(make_library, tmp_path)


@pytest.fixture
def search_paths(monkeypatch):
    """``epsilon.library_search_paths``, which is the test's own until it ends."""
    import epsilon

    paths = []
    monkeypatch.setattr(epsilon, "library_search_paths", paths)
    return paths


@pytest.fixture
def definitions(monkeypatch):
    """What ``define_library`` was told, which is the test's own until it ends."""
    from epsilon import libraries

    monkeypatch.setattr(libraries, "_definitions", {})


@pytest.fixture
def named_types():
    """The types that users have named, which are the test's own until it ends."""
    from epsilon import typesystem

    before = [(table, dict(table)) for table in (typesystem.NAMED, typesystem.ENUMS)]
    yield
    for table, content in before:
        table.clear()
        table.update(content)
