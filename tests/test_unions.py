"""API §7: unions, and anonymous structs and unions inside others."""

from __future__ import annotations

import pytest
from clib import load_c, shim_only

import epsilon


def test_a_union_is_cs():
    library = load_c("""
        #include <stdint.h>
        union value { int64_t i; double d; void *p; };
        struct tagged { int kind; union { int64_t i; double d; }; struct { short x, y; }; };
        double as_double(union value *v) { return v->d; }
        int fill(struct tagged *t) { t->kind = 2; t->d = 1.0; t->y = 5; return sizeof *t; }
    """)
    value = epsilon.define_c_union("value", [("i", "int64"), ("d", "double"), ("p", "pointer")])
    assert library.bind("double as_double(union value *v)")(value(i=0x4000000000000000)) == 2.0
    either = epsilon.define_c_union("either", [("i", "int64"), ("d", "double")])
    place = epsilon.define_c_struct("place", [("x", "short"), ("y", "short")])
    tagged = epsilon.define_c_struct("tagged", [("kind", "int"), (None, either), (None, place)])
    one = tagged()
    assert library.bind("int fill(struct tagged *t)")(one) == tagged.size
    assert (one.kind, one.i, one.y, tagged.offset("y")) == (2, 0x3FF0000000000000, 5, 18)
    assert tagged.__match_args__ == ("kind", "i", "d", "x", "y")


@shim_only
def test_a_union_by_value():
    library = load_c("union n { int i; float f; }; union n next(union n v) { v.i++; return v; }")
    epsilon.define_c_union("n", [("i", "int"), ("f", "float")])
    assert library.bind("union n next(union n v)")({"i": 41}).i == 42


def test_options_and_names_of_unions():
    packed = epsilon.define_c_union("packed", [("c", "char"), ("d", "double")], packed=True)
    assert (packed.size, packed.alignment) == (8, 1)
    assert epsilon.define_c_union("wide", [("c", "char")], align=16).size == 16
    assert repr(packed) == "<union packed>"
    with pytest.raises(epsilon.ForeignTypeError, match="union bad: member 'a' is there twice"):
        inner = epsilon.define_c_struct("inner", [("a", "int")])
        epsilon.define_c_union("bad", [("a", "int"), (None, inner)])
    with pytest.raises(epsilon.ForeignTypeError, match="union bad has no members"):
        epsilon.define_c_union("bad", [])
    with pytest.raises(epsilon.ForeignTypeError, match="the name of a union is a C name"):
        epsilon.define_c_union("a b", [("a", "int")])
    with pytest.raises(epsilon.ForeignTypeError, match="whose size is not known"):
        epsilon.define_c_union("bad", [("a", "int"), ("b", ("array", "int"))])


def test_pointers_to_itself_and_to_one_another():
    node = epsilon.define_c_struct("node", [("value", "int"), ("next", ("pointer", ("struct", "node")))])
    ping = epsilon.define_c_struct("ping", [("n", "int"), ("other", ("pointer", ("struct", "pong")))])
    pong = epsilon.define_c_struct("pong", [("n", "int"), ("other", ("pointer", ("struct", "ping")))])
    second = node(value=2)
    first = node(value=1, next=second)
    assert epsilon.deref(first.next).value == 2
    one = ping(n=1)
    other = pong(n=2, other=one)
    one.other = other
    assert epsilon.deref(epsilon.deref(one.other).other).n == 1


def test_cdef_says_what_plain_c_text_can_and_leaves_the_rest_opaque():
    import cffi

    plain = epsilon.define_c_struct("plainly", [("a", "char"), ("b", "int")])
    packed = epsilon.define_c_struct("bent", [("a", "char"), ("b", "int")], packed=True)
    text = epsilon.cdef({"plainly": plain, "bent": packed})
    assert "struct plainly { char a; int b; };" in text and "struct bent;" in text
    cffi.FFI().cdef(text)
