"""Every example in a docstring runs and gives what it says, with the public names at hand."""

import doctest
import importlib
import pkgutil

import pytest
from clib import SHIM

import epsilon

PUBLIC = {name: getattr(epsilon, name) for name in dir(epsilon) if not name.startswith("_")}


def examples() -> list[doctest.DocTest]:
    """The docstrings with examples of every Python module of the package, each under its dotted name."""
    found = []
    for module_info in pkgutil.walk_packages(epsilon.__path__, "epsilon."):
        if module_info.name.endswith(("__main__", "._shim", ".macros")):
            continue
        module = importlib.import_module(module_info.name)
        found += doctest.DocTestFinder(exclude_empty=True).find(module, globs={**PUBLIC, **vars(module)})
    found += doctest.DocTestFinder().find(epsilon)
    return [docstring for docstring in found if docstring.examples]


@pytest.mark.usefixtures("named_types")
@pytest.mark.parametrize("docstring", examples(), ids=lambda docstring: docstring.name)
def test_docstring(docstring):
    if any(name in docstring.docstring for name in (">>> from_buffer", ">>> numpy_dtype", "epsilon.vectorize(")):
        pytest.importorskip("numpy")
    if "epsilon.vectorize(" in docstring.docstring and not SHIM:
        pytest.skip("ufuncs need the shim")
    complaints: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(docstring, out=complaints.append)
    assert not runner.failures, "".join(complaints)
