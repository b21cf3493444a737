"""API §3, §5.6: the calling convention of Windows on x86-64, ``ms_abi``, beside the platform's own.

GCC and Clang compile functions of that convention on every x86-64 system.  Its rules are other ones for everything
that can be seen: four registers in all, each argument's number choosing its register; structs of 1, 2, 4 and 8 bytes by
value, all others by the address of a copy; a result of any other size in memory.  C judges; see ``cgen``.
"""

from __future__ import annotations

import functools
import os
import random

import cgen
import pytest
from cgen import BYTE, DOUBLE, FLOAT, INT, INTEGERS, LONG, MS_ABI, POINTER, SCALARS, UINT64, Kind, Shape, struct_kind
from clib import load_c, shim_only

import epsilon

X86_64 = os.uname().machine in ("x86_64", "amd64")
on_x86_64 = pytest.mark.skipif(not X86_64, reason="the convention is that of x86-64")

STRUCTS = {
    1: struct_kind("ms_1", [BYTE]),
    2: struct_kind("ms_2", [BYTE] * 2),
    3: struct_kind("ms_3", [BYTE] * 3),
    4: struct_kind("ms_4", [INT]),
    5: struct_kind("ms_5", [BYTE] * 5),
    8: struct_kind("ms_8", [INT, FLOAT]),
    12: struct_kind("ms_12", [FLOAT, INT, FLOAT]),
    16: struct_kind("ms_16", [LONG, DOUBLE]),
    24: struct_kind("ms_24", [DOUBLE, POINTER, INT]),
    72: struct_kind("ms_72", [UINT64] * 9),
}
FLOATING = [struct_kind("ms_float", [FLOAT]), struct_kind("ms_double", [DOUBLE]), struct_kind("ms_floats", [FLOAT] * 2)]
KINDS: list[Kind] = [*SCALARS, POINTER, *STRUCTS.values(), *FLOATING]


@functools.cache
def shapes() -> list[Shape]:
    rng = random.Random(64)
    found = [Shape("nothing", INT, [])]
    for number, kind in enumerate(KINDS):
        found.append(Shape(f"result_{number}", kind, []))
        found.append(Shape(f"alone_{number}", kind, [kind]))
        # on each side of the last register, with its neighbours in place
        found += [Shape(f"at_{place}_{number}", kind, [INT, DOUBLE] * 3) for place in range(6)]
        for place, shape in enumerate(found[-6:]):
            shape.parameters = [*shape.parameters[:place], kind, *shape.parameters[place:]]
    for count in range(2, 13):
        found.append(Shape(f"ints_{count}", INTEGERS[6], [INT] * count))
        found.append(Shape(f"doubles_{count}", DOUBLE, [DOUBLE] * count))
        found.append(Shape(f"floats_{count}", FLOAT, [FLOAT] * count))
    for number in range(80):
        parameters = [rng.choice(KINDS) for _ in range(rng.randint(3, 12))]
        found.append(Shape(f"random_{number}", rng.choice(KINDS), parameters))
    for shape in found:
        shape.convention = MS_ABI
        shape.draw(rng)
    return found


@functools.cache
def library() -> epsilon.Library:
    return load_c(cgen.source(shapes()))


@on_x86_64
@shim_only
def test_calls_of_every_shape():
    for shape in shapes():
        shape.check_call(library())


@on_x86_64
@shim_only
def test_callbacks_of_every_shape():
    for shape in shapes():
        shape.check_callback(library())


@on_x86_64
@shim_only
def test_the_convention_is_part_of_the_signature():
    types = ["int", "double", "int"]
    own, other = epsilon.Signature("int", types), epsilon.Signature("int", types, abi="ms_abi")
    assert own is not other and other is epsilon.Signature("int", types, abi=":ms-abi")
    assert (own.abi, other.abi) == ("default", "ms_abi")
    assert own.trampoline is not other.trampoline


@on_x86_64
@shim_only
def test_a_call_and_its_callback_may_have_other_conventions():
    lib = load_c("""
    typedef int (__attribute__((ms_abi)) *Theirs)(int, double, int, double, int);
    int ours(Theirs f) { return f(1, 2, 3, 4, 5); }
    __attribute__((ms_abi)) int theirs(int (*f)(int, double, int, double, int), int n) { return f(n, 2, 3, 4, 5); }
    """)
    types = ["int", "double", "int", "double", "int"]

    def as_decimal(*digits):
        return int("".join(str(int(digit)) for digit in digits))

    with epsilon.make_callback(as_decimal, epsilon.Signature("int", types, abi="ms_abi")) as callback:
        assert lib.bind("ours", "int", ["pointer"])(callback) == 12345
    with epsilon.make_callback(as_decimal, "int", types) as callback:
        assert lib.bind("theirs", "int", ["pointer", "int"], abi="ms_abi")(callback, 7) == 72345


@on_x86_64
@shim_only
def test_an_exception_comes_through_both_conventions():
    lib = load_c("""
    int ours(int (__attribute__((ms_abi)) *f)(int)) { return f(1); }
    __attribute__((ms_abi)) int theirs(int (__attribute__((ms_abi)) *f)(int)) { return f(1); }
    """)
    signature = epsilon.Signature("int", ["int"], abi="ms_abi")
    with epsilon.make_callback(lambda n: n // 0, signature, on_error=-1) as failing:
        for name, options in (("ours", {}), ("theirs", {"abi": "ms_abi"})):
            with pytest.raises(ZeroDivisionError):
                lib.bind(name, "int", ["pointer"], **options)(failing)


@pytest.mark.skipif(X86_64, reason="here it exists")
def test_elsewhere_it_is_an_error_that_names_what_there_is():
    with pytest.raises(epsilon.ForeignTypeError, match="'ms_abi' does not exist on this platform"):
        epsilon.lib_open("libc").bind("int abs(int n)", abi="ms_abi")
