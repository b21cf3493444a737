"""Random programs give what Python's own arithmetic gives, compiled and interpreted."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_programs import Program

import epsilon
from epsilon.native import building

needs_compiler = pytest.mark.skipif(not building.compiles(), reason="natives are interpreted: no compiler, or no shim")


def outcome(call, arguments):
    """What a call gives, or the class of what it raises."""
    try:
        return call(*arguments)
    except (ZeroDivisionError, ValueError, AssertionError) as error:
        return type(error)


def same(one, other) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other) or one != one and other != other
    return one == other


def check(random, count: int) -> None:
    programs = [Program(random, number) for number in range(count)]
    made = [epsilon.define_native(program.prototype(), program.lisp()) for program in programs]
    for program, function in zip(programs, made, strict=True):
        for arguments in program.arguments():
            wanted = program.run(*arguments)
            found = outcome(function, arguments)
            told = f"{program.prototype()} {arguments}: {found}, Python: {wanted}\n{program.lisp()}"
            assert same(found, wanted), told


def interpret(monkeypatch) -> None:
    monkeypatch.setattr(building, "interprets", True)


QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]


@needs_compiler
@settings(max_examples=6, derandomize=True, deadline=None, suppress_health_check=QUIET)
@given(st.randoms(use_true_random=False))
def test_compiled_programs_give_what_python_gives(random):
    check(random, 12)


@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=QUIET)
@given(st.randoms(use_true_random=False))
def test_interpreted_programs_give_what_python_gives(random):
    with pytest.MonkeyPatch.context() as monkeypatch:
        interpret(monkeypatch)
        check(random, 3)
