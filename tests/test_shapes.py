"""API §3, §5.1: signatures of every shape, in both directions: many arguments, mixed ones, more than the registers
hold.

Each shape is generated once as C (see ``cgen``), where every parameter is compared with the literal it should be.
"""

from __future__ import annotations

import functools
import random

import cgen
import pytest
from cgen import DOUBLE, FLOAT, INT, INTEGERS, SCALARS, UINT64, Shape
from clib import load_c
from hypothesis import given, settings
from hypothesis import strategies as st

import epsilon

_rng = random.Random(574)
_mixed = [INT, DOUBLE, INTEGERS[0], FLOAT, UINT64, INTEGERS[2], DOUBLE, INTEGERS[3], FLOAT, cgen.BOOL]

SHAPES = [
    Shape("nothing", INT, []),
    *(Shape(f"ints_{count}", INT, [INT] * count) for count in (1, 2, 5, 6, 7, 8, 9, 10, 30, 127)),
    *(Shape(f"doubles_{count}", DOUBLE, [DOUBLE] * count) for count in (1, 7, 8, 9, 26)),
    *(Shape(f"floats_{count}", FLOAT, [FLOAT] * count) for count in (1, 8, 9, 26)),
    *(Shape(f"mixed_{count}", DOUBLE, [_mixed[i % 10] for i in range(count)]) for count in (10, 15, 16, 30, 127)),
    *(Shape(f"alternating_{count}", INT, [INT, DOUBLE] * count) for count in (4, 6, 8, 12)),
    # the integer registers end before the float registers, and the other way about
    Shape("integers_first", UINT64, [UINT64] * 9 + [DOUBLE] * 9),
    Shape("floats_first", FLOAT, [FLOAT] * 9 + [UINT64] * 9),
    # narrow values on the stack keep to their own slots
    *(Shape(f"stack_of_{kind.word.replace('-', '_')}", kind, [UINT64] * 8 + [kind] * 5) for kind in SCALARS),
    *(Shape(f"ten_{kind.word.replace('-', '_')}", kind, [kind] * 10) for kind in SCALARS),
    *(
        Shape(f"random_{i}", _rng.choice(SCALARS), [_rng.choice(SCALARS) for _ in range(_rng.randint(0, 24))])
        for i in range(40)
    ),
]  # fmt: skip
for _shape in SHAPES:
    _shape.draw(_rng)

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


@functools.cache
def library() -> epsilon.Library:
    return load_c(cgen.source(SHAPES))


@each_shape
def test_a_call_of_every_shape(shape):
    shape.check_call(library())


@each_shape
def test_a_callback_of_every_shape(shape):
    shape.check_callback(library())


@each_shape
def test_a_call_by_name_of_every_shape(shape):
    """By parameter name the same arguments arrive, whatever their order."""
    function = library().bind(shape.name, shape.result.word, [kind.word for kind in shape.parameters])
    names = [f"arg{index + 1}" for index in range(len(shape.parameters))]
    keywords = dict(zip(names, shape.arguments, strict=True))
    assert function(**dict(reversed(keywords.items()))) == shape.value
    assert library().bind("int first_wrong(void)")() == 0


def test_the_trampoline_of_a_shape_serves_every_function_of_it():
    first, second = Shape("first", INT, [INT, DOUBLE]).draw(_rng), Shape("second", INT, [INT, DOUBLE]).draw(_rng)
    lib = load_c(cgen.source([first, second]))
    trampoline = epsilon.get_or_create_trampoline("int", ["int", "double"])
    for shape in (first, second):
        assert trampoline(lib.address(shape.name), *shape.arguments) == shape.value
        assert lib.bind(shape.name, "int", ["int", "double"]).trampoline is trampoline
        assert lib.bind("int first_wrong(void)")() == 0


def test_arguments_beyond_the_registers_survive_callbacks_in_between():
    """A call inside a callback inside a call: each has its own words."""
    shape = Shape("outer", INT, [INT] * 12).draw(_rng)
    text = cgen.source([shape]) + "int through(int (*f)(int), int n) { return f(n) + f(n + 1); }\n"
    lib = load_c(text)
    function = lib.bind("outer", "int", ["int"] * 12)
    through = lib.bind("through", "int", ["pointer", "int"])

    @epsilon.callback("int", ["int"])
    def descend(n):
        assert function(*shape.arguments) == shape.value
        assert lib.bind("int first_wrong(void)")() == 0
        return n if n > 6 else through(descend, n + 1)

    assert through(descend, 1) == _reference(1)


def _reference(n: int) -> int:
    def descend(n: int) -> int:
        return n if n > 6 else descend(n + 1) + descend(n + 2)

    return descend(n) + descend(n + 1)


kinds = st.sampled_from(SCALARS)


@settings(max_examples=30, derandomize=True, deadline=None, database=None)
@given(result=kinds, parameters=st.lists(kinds, max_size=20), seed=st.integers(0, 2**32))
def test_any_signature_of_scalars(result, parameters, seed):
    shape = Shape("any", result, parameters).draw(random.Random(seed))
    lib = load_c(cgen.source([shape]))
    shape.check_call(lib)
    shape.check_callback(lib)
