"""API §1, §3, §5.1: signatures enumerated, in both directions, against the C compiler.

This is a sample of what ``make conformance`` runs in full, another one each day; see ``conformance.py``.  The run's
header and every failure name the seed that repeats it.
"""

from __future__ import annotations

import functools
import itertools
import os
import random
import re
import subprocess
import sys

import cgen
import conformance
import pytest
from cgen import DOUBLE, INT, POINTER, Difference, Shape, struct_kind
from clib import load_c

import epsilon
from epsilon import _backend, entries

SEED = int(os.environ["EPSILON_CONFORMANCE_SEED"])
COUNT = 1200


@functools.cache
def sample() -> tuple[list[Shape], epsilon.Library]:
    shapes = conformance.shapes(COUNT, SEED)
    return shapes, load_c(cgen.source(shapes))


@pytest.mark.parametrize("direction", ["calls", "callbacks"])
def test_a_sample_of_the_enumeration(direction):
    shapes, library = sample()
    differences = conformance.differences(shapes, library, direction)
    assert not differences, f"EPSILON_CONFORMANCE_SEED={SEED} repeats this:\n" + "\n".join(differences)


@pytest.mark.skipif(bool(_backend.strategy), reason="it runs every strategy itself")
def test_the_run_of_them_all_sees_no_difference_under_any_strategy():
    command = [sys.executable, conformance.__file__, "--count", "96", "--one-in", "4", "--seed", str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    for strategy in conformance.STRATEGIES if entries.hindrance() is None else ["cffi"]:
        assert re.search(rf"^{strategy or 'by default'} .* 0 differences", done.stdout, re.M), done.stdout
    assert entries.hindrance() or "24 through compiled), 24 callbacks" in done.stdout, done.stdout


# --- the enumeration itself -----------------------------------------------------------------------------------------


def test_there_are_160_types_and_each_has_a_turn_as_a_result():
    assert len({kind.c for kind in conformance.KINDS}) == 160
    assert {shape.result.c for shape in sample()[0]} == {kind.c for kind in conformance.KINDS}


def test_no_shape_is_chosen_twice_and_all_prefixes_and_arities_are():
    names = [shape.name.partition("_")[2] for shape in conformance.shapes(6000, SEED)]
    assert len(set(names)) == len(names) == 6000
    assert {name.partition("_leaving_")[2] for name in names} == set(conformance.PREFIXES)
    few = [name for name in names if name[0] in "01"]
    assert len(few) == 6000 // 8 and {name[0] for name in names} == set("0123")


def test_the_scattered_order_ends_with_all_of_them():
    assert sorted(conformance.scattered(10**6, 1000, SEED)) == list(range(1000))
    lists = [tuple(kind.c for kind in conformance.parameters_at(2, index)) for index in range(conformance.LISTS[2])]
    assert sorted(lists) == sorted(itertools.product((kind.c for kind in conformance.KINDS), repeat=2))


def test_the_same_seed_gives_the_same_shapes():
    one, two = (cgen.source(conformance.shapes(40, 7)) for _ in range(2))
    assert one == two != cgen.source(conformance.shapes(40, 8))


# --- a difference is seen and told ----------------------------------------------------------------------------------


def judged_wrongly(change: str) -> str:
    """What is said when Python sends, or expects, another value than C."""
    pair = struct_kind("pair_of_conformance", [DOUBLE, INT])
    shape = Shape("judged", INT, [DOUBLE, pair, POINTER]).draw(random.Random(1))
    shape.arguments[1], shape.value = pair.word(1.5, 2), 3
    library = load_c(cgen.source([shape]))
    if change.endswith("argument"):
        shape.arguments[1] = pair.word(1.5, 4)
    else:
        shape.value = 5
    with pytest.raises(Difference) as caught:
        (shape.check_call if change.startswith("call:") else shape.check_callback)(library)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("call: argument", "a call, *: argument 2 was {sent} and arrived as {sent}"),  # it is C that wants another
        ("call: result", "a call, *: the result was 5 and arrived as 3"),
        ("callback: argument", "a callback, *: argument 2 was {sent} and arrived as {got}"),
        ("callback: result", "a callback, *: the result was 5 and arrived as 5"),
    ],
)
def test_a_difference_is_told_with_prototype_direction_strategy_and_both_values(change, told):
    said = judged_wrongly(change)
    four, two = "pair_of_conformance(m0=1.5, m1=4)", "pair_of_conformance(m0=1.5, m1=2)"
    before, _, after = told.format(sent=four, got=two).partition("*")
    assert said.startswith("int judged(double, struct pair_of_conformance, void *)\n")
    assert before in said and said.endswith(after) and ", strategy " in said
