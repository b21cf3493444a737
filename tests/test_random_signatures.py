"""API §1, §3, §5.1: signatures that nobody thought of: up to 30 parameters of scalars and of structs, unions and arrays
within one another, in both directions, and C checks what it receives.

hypothesis draws them, other ones each day; the run's header and every failure name the seed that repeats them.  An
example is a batch of signatures in one C file, and a failure names the one prototype that differs: nothing is shrunk.
"""

from __future__ import annotations

import itertools
import os
import random
from typing import Any

import cgen
from cgen import POINTER, SCALARS, Kind, Shape, StructKind, record
from clib import SHIM, load_c
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

import epsilon

SEED = int(os.environ["EPSILON_CONFORMANCE_SEED"])
SIGNATURES = 25

LONG_DOUBLE = cgen.real("long-double", "long double")
KINDS = [*SCALARS, POINTER, LONG_DOUBLE]
#: libffi 3.4.4 starts a union that holds one at an odd register on AArch64 (AAPCS64 §6.8.2, C.10: even)
IN_UNIONS = KINDS[:-1] if os.uname().machine == "aarch64" else KINDS
#: cffi's ABI mode passes no unions (DESIGN, decision 2)
WORDS = ("struct", "union") if SHIM else ("struct",)

# A member is a Kind, an array (member, length), or an aggregate (word, members).
scalar = st.sampled_from(KINDS)
members = st.recursive(
    scalar,
    lambda inner: st.one_of(
        st.tuples(inner, st.integers(1, 4)),
        st.tuples(st.just("struct"), st.lists(inner, min_size=1, max_size=4)),
        *([st.tuples(st.just("union"), st.lists(st.sampled_from(IN_UNIONS), min_size=1, max_size=3))] if SHIM else []),
    ),
    max_leaves=6,
)


def leaves(member: Any) -> int:
    """How many scalars are in it."""
    if isinstance(member, Kind):
        return 1
    if isinstance(member[0], str):
        return sum(map(leaves, member[1]))
    return leaves(member[0]) * member[1]


def body(inside: list[Any]) -> str:
    """C's text of the members."""
    return " ".join(f"{declaration(member, f'm{index}')};" for index, member in enumerate(inside))


def declaration(member: Any, name: str) -> str:
    if isinstance(member, Kind):
        return f"{member.c} {name}"
    if isinstance(member[0], str):
        return f"{member[0]} {{ {body(member[1])} }} {name}"
    return declaration(member[0], f"{name}[{member[1]}]")


def part(member: Any) -> Any:
    """The same as a part of a StructKind; a union's value is in its first member."""
    if isinstance(member, Kind):
        return member
    if isinstance(member[0], str):
        held = member[1][:1] if member[0] == "union" else member[1]
        return {f"m{index}": part(one) for index, one in enumerate(held)}
    return [part(member[0])] * member[1]


aggregates = st.lists(members.filter(lambda member: leaves(member) <= 12), min_size=1, max_size=4)
signatures = st.tuples(
    st.integers(0, 29),  # the result
    st.lists(st.integers(0, 29), max_size=30),
)
_numbers = itertools.count()


def make_kind(inside: list[Any]) -> StructKind:
    return record(f"struct random_{next(_numbers)}", body(inside), part(("struct", inside)))


@seed(SEED)
@settings(max_examples=10, deadline=None, database=None, phases=[Phase.generate], verbosity=Verbosity.quiet,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(
    st.lists(aggregates, min_size=8, max_size=8),
    st.lists(signatures, min_size=SIGNATURES, max_size=SIGNATURES),
    st.integers(0, 2**32),
)
def test_any_signature_of_nested_aggregates(structs, drawn, values):
    pick = [*map(make_kind, structs), *KINDS]
    rng = random.Random(values)
    shapes = [
        Shape(f"any_{number}", pick[result % len(pick)], [pick[place % len(pick)] for place in parameters]).draw(rng)
        for number, (result, parameters) in enumerate(drawn)
    ]
    text = cgen.source(shapes)
    library = load_c(text)
    for shape in shapes:
        try:
            shape.check_call(library)
            shape.check_callback(library)
        except Exception as error:
            used = {kind.define for kind in (shape.result, *shape.parameters) if isinstance(kind, StructKind)}
            told = f"EPSILON_CONFORMANCE_SEED={SEED} repeats this:\n{''.join(sorted(used))}{shape}\n{error}"
            raise AssertionError(told) from error


def test_the_layout_of_a_nested_aggregate_is_that_of_c():
    """What the test above draws, once by hand."""
    inside = [KINDS[0], ((("struct", [KINDS[-3], (KINDS[1], 3)]), 2)), (WORDS[-1], [KINDS[4], KINDS[0]])]
    kind = make_kind(inside)
    size = load_c(f"{cgen.PRELUDE}{kind.define}int size(void) {{ return sizeof({kind.c}); }}").bind("int size(void)")
    assert kind.word.size == size() == epsilon.struct_layout_size(kind.word)
