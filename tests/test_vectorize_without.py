"""``vectorize`` where it cannot work: without NumPy, and without the shim."""

from __future__ import annotations

import pytest
from clib import SHIM, run_child

import epsilon


@pytest.mark.skipif(SHIM, reason="there is a shim")
def test_without_the_shim_it_says_so():
    with pytest.raises(epsilon.ForeignTypeError, match="vectorize: fabs: ufuncs need the shim"):
        epsilon.vectorize(epsilon.lib_open("libm").bind("double fabs(double x)"))


@pytest.mark.skipif(not SHIM, reason="ufuncs need the shim")
def test_without_numpy_it_says_how_to_get_it():
    run_child(
        """
import sys, epsilon
sys.modules["numpy"] = None
try:
    epsilon.vectorize(epsilon.lib_open("libm").bind("double fabs(double x)"))
except ImportError as error:
    assert "vectorize needs NumPy" in str(error) and "pip install" in str(error), error
else:
    raise AssertionError
"""
    )
