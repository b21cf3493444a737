"""API §7: every layout is C's: packing, alignment, offsets, bit-fields, flexible arrays, headers; and its table."""

from __future__ import annotations

import copy
import os
import pickle

import layout_check
import pytest
from clib import load_c, output_of, run_child, shim_only

import epsilon
from epsilon import cli

SEED = int(os.environ["EPSILON_CONFORMANCE_SEED"])


def test_random_structs_have_the_compilers_layout():
    """A sample of what ``make conformance`` checks 5,000 of; another one each day."""
    told = layout_check.check(300, SEED)
    assert not told, f"EPSILON_CONFORMANCE_SEED={SEED} repeats this:\n" + "\n".join(told)


def test_the_generator_makes_every_kind_of_member_and_a_difference_is_seen():
    made = layout_check.structs(500, 1)
    items = [item for node in made for item in node.items]
    assert {node.kind for node in made} == {"struct", "union"} and {0, 1, 2, 4, 8, 16} == {node.pack for node in made}
    for seen in ("packed", "align", "bits", "dimensions"):
        assert any(getattr(item, seen) for item in items)
    assert any(item.name is None and item.bits is None for item in items)
    assert any(item.bits == 0 for item in items) and any(-1 in item.dimensions for item in items)
    node = layout_check.Node("struct", "of_the_check", [layout_check.Item("a", "char"), layout_check.Item("b", "int")])
    library = load_c(layout_check.source([node._replace(packed=True)]))
    assert "offset of b: C has 1, Epsilon 4" in layout_check.differences(node, library, False)[0]


# --- options ----------------------------------------------------------------------------------------------------------


def test_packed_aligned_and_pragma_pack():
    members = [("c", "char"), ("d", "double")]
    assert epsilon.define_c_struct("of_c", members).size == 16
    assert epsilon.define_c_struct("of_c", members, packed=True).size == 9
    assert epsilon.define_c_struct("of_c", members, packed=2).offset("d") == 2
    aligned = epsilon.define_c_struct("of_c", members, align=32)
    assert (aligned.size, aligned.alignment) == (32, 32)
    assert epsilon._backend.address_of(aligned()) % 32 == 0
    member = epsilon.define_c_struct("of_c", [("c", "char"), ("d", "char", {"align": 8})])
    assert (member.offset("d"), member.size) == (8, 16)


@pytest.mark.parametrize("text", [
    "struct t { char c; double d; } __attribute__((packed));",
    "struct __attribute__((__packed__)) t { char c; double d; };",
    "typedef struct { char c; double d; } __attribute__((packed)) t;",
    "#pragma pack(push, 1)\nstruct t { char c; double d; };\n#pragma pack(pop)\n",
    "struct t { char c; double d __attribute__((packed)); };",
])  # fmt: skip
def test_packing_in_c_text(text):
    found = epsilon.define_c_struct_auto("t", text)
    assert (found.size, found.offset("d")) == (9, 1)


def test_alignment_in_c_text():
    found = epsilon.define_c_struct_auto(
        "t", "struct t { char c; _Alignas(16) char d; int e __attribute__((aligned(8))); };"
    )
    assert (found.size, found.offset("d"), found.offset("e")) == (32, 16, 24)
    assert epsilon.define_c_struct_auto("t", "struct t { char c; _Alignas(double) char d; };").size == 16
    with pytest.raises(epsilon.ForeignTypeError, match="not known to leave the layout as it is"):
        epsilon.define_c_struct_auto("t", "struct t { int a __attribute__((vector_size(16))); };")


def test_explicit_offsets():
    found = epsilon.define_c_struct("placed", [("a", "int"), ("b", "short", {"offset": 12}), ("c", "char")])
    assert (found.offset("b"), found.offset("c"), found.size) == (12, 14, 16)
    shared = epsilon.define_c_struct("shared", [("word", "uint32"), ("low", "uint8", {"offset": 0})])
    one = shared(word=0x1234)
    assert (shared.size, one.low) == (4, 0x34)
    with pytest.raises(
        epsilon.ForeignTypeError, match="3 is no offset of a int, which is aligned to 4; packed allows it"
    ):
        epsilon.define_c_struct("placed", [("a", "char"), ("b", "int", {"offset": 3})])
    assert epsilon.define_c_struct("placed", [("a", "char"), ("b", "int", {"offset": 3})], packed=True).size == 7


BAD = {
    "packed 3": (dict(packed=3), "packed is True, or 1, 2, 4, 8 or 16"),
    "align 3": (dict(align=3), "align is a power of two"),
    "align True": (dict(align=True), "align is a power of two"),
    "align huge": (dict(align=1 << 40), "align is a power of two"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_options_of_a_struct(case):
    options, message = BAD[case]
    with pytest.raises(epsilon.ForeignTypeError, match=message):
        epsilon.define_c_struct("bad", [("a", "int")], **options)


BAD_MEMBERS = {
    "unknown": (("a", "int", {"bit": 3}), "no option 'bit'; did you mean 'bits'"),
    "too wide": (("a", "int", {"bits": 33}), "0 to 32 bits, not 33"),
    "negative": (("a", "int", {"bits": -1}), "0 to 32 bits, not -1"),
    "a bool": (("a", "_Bool", {"bits": 2}), "0 to 1 bits"),
    "named zero": (("a", "int", {"bits": 0}), "of no bits has no name"),
    "no integer": (("a", "double", {"bits": 3}), "of an integer type, not double"),
    "bits aligned": (("a", "int", {"bits": 3, "align": 8}), "takes no align and no offset"),
    "nameless": ((None, "int"), "only structs, unions and bit-fields go nameless"),
    "offset": (("a", "int", {"offset": -4}), "0 or more, not -4"),
    "align": (("a", "int", {"align": "x"}), "align is a power of two"),
    "flexible alone": (("a", ("array", "int")), "whose size is not known"),
}


@pytest.mark.parametrize("case", BAD_MEMBERS)
def test_wrong_members(case):
    entry, message = BAD_MEMBERS[case]
    with pytest.raises(epsilon.ForeignTypeError, match=message):
        epsilon.define_c_struct("bad", [entry])


def test_a_bit_field_of_all_its_bits_and_across_bytes():
    wide = epsilon.define_c_struct(
        "wide", [("a", "char"), ("b", "uint64", {"bits": 64}), ("c", "int", {"bits": 5})], packed=True
    )
    one = wide(b=2**64 - 1, c=-16)
    assert (wide.size, one.b, one.c, one.a) == (10, 2**64 - 1, -16, 0)
    with pytest.raises(epsilon.ForeignRangeError, match="member 'c'.*from -16 to 15"):
        one.c = 16


# --- flexible arrays --------------------------------------------------------------------------------------------------


def test_a_flexible_array_is_allocated_with_a_count():
    message = epsilon.define_c_struct("message", [("kind", "int"), ("data", ("array", "short"))])
    one = message.with_count(3, kind=7, data=[1, 2, 3])
    assert (message.size, message.offset("data"), list(one.data), one.kind) == (4, 4, [1, 2, 3], 7)
    with pytest.raises(epsilon.ForeignIndexError):
        one.data[3]
    assert len(message().data) == 0
    with pytest.raises(epsilon.ForeignValueError, match="is no count"):
        message.with_count(-1)
    with pytest.raises(epsilon.ForeignTypeError, match="does not end with an array"):
        epsilon.define_c_struct("plainly", [("a", "int")]).with_count(1)


def test_c_reads_a_flexible_array_and_gives_one():
    library = load_c("""
        #include <stdlib.h>
        struct flex { int n; double data[]; };
        double total(struct flex *f) { double t = 0; for (int i = 0; i < f->n; i++) t += f->data[i]; return t; }
        static char memory[64];
        struct flex *made(void) {
            struct flex *f = (void *)memory; f->n = 2; f->data[0] = 1.5; f->data[1] = 2; return f;
        }
    """)  # fmt: skip
    flex = epsilon.define_c_struct("flex", [("n", "int"), ("data", ("array", "double"))])
    total = library.bind("double total(struct flex *f)")
    assert total(flex.with_count(3, n=3, data=[1, 2, 4])) == 7
    pointer = library.bind("struct flex *made(void)")()
    count = epsilon.deref(pointer).n
    assert list(flex.with_count(count, pointer).data) == [1.5, 2.0]


# --- by value ---------------------------------------------------------------------------------------------------------


@shim_only
def test_packed_structs_go_by_value_as_the_compiler_passes_them():
    library = load_c("""
        struct __attribute__((packed)) bent { char c; int i; };
        struct bent turn(int before, struct bent b, int after) { b.i += before * after; b.c++; return b; }
    """)  # fmt: skip
    epsilon.define_c_struct("bent", [("c", "char"), ("i", "int")], packed=True)
    turned = library.bind("struct bent turn(int before, struct bent b, int after)")(2, {"c": 1, "i": 5}, 3)
    assert (turned.c, turned.i) == (2, 11)


@shim_only
@pytest.mark.parametrize("definition", [
    "struct odd { char c; int a; } __attribute__((packed, aligned(4)));",
    "struct odd { float f; int : 32; int a; };",
    "struct odd { float a; int : 32; };",
    "struct odd { long b; int a; } __attribute__((packed));",
    "struct odd { char c; int a : 20; long b : 44; } __attribute__((packed));",
    "struct odd { int a; int b __attribute__((aligned(16))); };",
])  # fmt: skip
def test_odd_layouts_go_by_value_as_the_compiler_passes_them(definition):
    library = load_c(f"""{definition}
        struct odd turn(double x, int y, struct odd s, int z, double w) {{ s.a = s.a * 2 + y + z + x + w; return s; }}
    """)  # fmt: skip
    epsilon.define_c_struct_auto("odd", definition)
    turn = library.bind("struct odd turn(double x, int y, struct odd s, int z, double w)")
    assert turn(1.0, 2, {"a": 5}, 3, 4.0).a == 20


@pytest.mark.parametrize("align", [16, 32])
def test_what_an_alignment_hides_from_libffi_is_refused_by_value(align):
    wide = epsilon.define_c_struct("wide", [("a", "int")], align=align)
    with pytest.raises(epsilon.ForeignTypeError, match="struct wide cannot be passed by value: .*; pass a pointer"):
        epsilon.lib_open("libc").bind("abs", wide, ["int"])(5)


# --- the table --------------------------------------------------------------------------------------------------------


def test_a_layout_is_a_table_with_the_holes():
    pair = epsilon.define_c_struct("pair", [("c", "char"), ("d", "double"), ("b", "int", {"bits": 3})])
    table = pair.layout()
    assert str(table).splitlines()[0] == "struct pair: 24 bytes, aligned to 8"
    assert [(row.offset, row.size, row.name) for row in table] == [
        (0, 1, "c"), (1, 7, "padding"), (8, 8, "d"), (16, 1, "b"), (16, 1, "padding"), (17, 7, "padding"),
    ]  # fmt: skip
    assert table.rows[3].bits == (0, 3) and table.rows[4].bits == (3, 5)
    assert str(pair().layout()) == str(table)


def test_nested_members_have_their_paths_and_the_rows_cover_every_bit():
    for node in layout_check.structs(60, SEED):
        if node.kind == "struct":
            found = node.python()
            covered = set()
            for row in found.layout():
                first, width = row.bits if row.bits else (0, (row.size or 0) * 8)
                covered.update(range(row.offset * 8 + first, row.offset * 8 + first + width))
            if "union" not in "".join(other.text() for other in (*node.needed(), node)):
                assert covered == set(range(found.size * 8)), node.text()


def test_a_layout_as_svg():
    from xml.etree import ElementTree

    svg = epsilon.define_c_struct("pair", [("c", "char"), ("d", "double")]).layout().svg()
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg") and "struct pair" in svg and "(padding)" in svg


def test_the_command_layout(capsys, tmp_path):
    assert cli.main(["layout", "struct timespec { long sec; int nsec; }", "--svg", str(tmp_path / "a.svg")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("struct timespec: 16 bytes") and "(padding)" in said
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
    assert cli.main(["layout", "struct stat", "--header", "sys/stat.h"]) == 0
    assert "st_mode" in capsys.readouterr().out
    assert cli.main(["layout", "struct stat"]) == 1
    assert "header" in capsys.readouterr().err


# --- headers ----------------------------------------------------------------------------------------------------------

HEADERS = [("struct stat", "sys/stat.h"), ("struct epoll_event", "sys/epoll.h"), ("div_t", "stdlib.h"),
           ("struct sockaddr_in", "netinet/in.h"), ("struct iphdr", "netinet/ip.h"), ("siginfo_t", "signal.h"),
           ("struct termios", ["termios.h"]), ("pthread_mutex_t", "pthread.h"), ("FILE", "stdio.h")]  # fmt: skip


@pytest.mark.parametrize(("name", "header"), HEADERS)
def test_a_struct_is_discovered_in_its_header(name, header):
    found = epsilon.define_c_struct_auto("discovered", name, header=header)
    assert found.proved and found.size > 0
    size = output_of(
        f"#define _GNU_SOURCE\n#include <{header[0] if isinstance(header, list) else header}>\n#include <stdio.h>\n"
        f'int main(void) {{ printf("%zu", sizeof({name})); }}')  # fmt: skip
    assert int(size) == found.size


def test_a_discovered_struct_is_filled_by_c():
    stat_struct = epsilon.define_c_struct_auto("stat_struct", "struct stat", header="sys/stat.h")
    one = stat_struct()
    assert epsilon.lib_open("libc").bind("int stat(const char *path, struct stat *to)")("/", one) == 0
    assert (one.st_ino, one.st_mode) == (os.stat("/").st_ino, os.stat("/").st_mode)
    assert one.st_mtim.tv_sec == int(os.stat("/").st_mtime)


def test_discovery_leaves_the_users_own_structs_alone():
    own = epsilon.define_c_struct("timespec", [("sec", "long"), ("nsec", "long")])
    epsilon.define_c_struct_auto("stat_struct", "struct stat", header="sys/stat.h")
    assert epsilon.ctype(("struct", "timespec")) is own.ctype


def test_members_are_proved_against_a_header():
    good = epsilon.define_c_struct("timespec", [("tv_sec", "long"), ("tv_nsec", "long")], header="time.h")
    assert good.proved
    assert not epsilon.define_c_struct("timespec", [("tv_sec", "long"), ("tv_nsec", "long")]).proved
    with pytest.raises(epsilon.HeaderError) as caught:
        epsilon.define_c_struct("timespec", [("tv_sec", "int"), ("tv_nsec", "long")], header="time.h")
    assert "member tv_sec   byte 0, 4 bytes  byte 0, 8 bytes  (differs)" in str(caught.value)
    assert "size            16               16\n" in str(caught.value)
    assert epsilon.ctype(("struct", "timespec")).size == 16  # the earlier one stays
    text = "struct iphdr { unsigned ihl : 4, version : 4; uint8_t tos; uint16_t len; };"
    with pytest.raises(epsilon.HeaderError, match="another layout|ended with"):
        epsilon.define_c_struct_auto("iphdr", text.replace("len", "tot_len"), header="netinet/ip.h")


def test_a_member_that_the_header_lacks_is_told_in_the_compilers_words():
    with pytest.raises(epsilon.CompilerError, match="no member named"):
        epsilon.define_c_struct("timespec", [("seconds", "long"), ("tv_nsec", "long")], header="time.h")


def test_without_a_compiler(monkeypatch):
    monkeypatch.setenv("CC", "/nonexistent/compiler")
    found = epsilon.define_c_struct("timespec", [("tv_sec", "long"), ("tv_nsec", "long")], header="time.h")
    assert found.size == 16 and not found.proved
    with pytest.raises(epsilon.CompilerError, match="needs a C compiler, and /nonexistent/compiler cannot be run"):
        epsilon.define_c_struct_auto("stat_struct", "struct stat", header="sys/stat.h")
    with pytest.raises(epsilon.ForeignTypeError, match="header= names the header"):
        epsilon.define_c_struct_auto("stat_struct", "struct stat")


@pytest.mark.parametrize("header", ['a"b', "a>\n#define x", "", 5, ["sys/stat.h", "a b"]])
def test_what_is_no_header_never_reaches_the_compiler(header):
    with pytest.raises(epsilon.ForeignTypeError, match="a header is a name"):
        epsilon.define_c_struct_auto("x", "struct stat", header=header)


@pytest.mark.parametrize("name", ["struct a-b", "struct stat x y", "1a", "struct a;int"])
def test_what_is_no_struct_never_reaches_the_compiler(name):
    with pytest.raises(epsilon.ForeignTypeError):
        epsilon.define_c_struct_auto("x", name, header="sys/stat.h")


def test_what_the_compiler_or_the_header_lacks_is_said():
    with pytest.raises(epsilon.CompilerError, match="no_such_header.h"):
        epsilon.define_c_struct_auto("x", "struct stat", header="no_such_header.h")
    with pytest.raises(epsilon.HeaderError, match="does not define struct statt; did you mean 'stat'"):
        epsilon.define_c_struct_auto("x", "struct statt", header="sys/stat.h")


# --- instances --------------------------------------------------------------------------------------------------------

inner_of_pickle = epsilon.define_c_struct("inner_of_pickle", [("a", "short"), ("b", ("array", "double", 2))])
pickled = epsilon.define_c_struct(
    "pickled",
    [("n", "int"), ("name", "string"), ("inner", inner_of_pickle), ("bits", "int", {"bits": 5}), ("next", "pointer"),
     ("tail", ("array", "uint8"))],
)  # fmt: skip


def sample():
    return pickled.with_count(2, n=3, name="a name", inner={"a": 1, "b": [1.5, 2]}, bits=-7, tail=b"xy")


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_are_equal_and_their_own(way):
    one = sample()
    other = way(one)
    assert other == one and type(other) is pickled and other is not one
    other.inner.b[0] = 9
    one.name = "another"
    assert one.inner.b[0] == 1.5 and other.name == "a name" and bytes(other.tail) == b"xy"


def test_a_copy_of_a_view_lives_without_its_struct():
    one = sample()
    inner = copy.copy(one.inner)
    epsilon.foreign_free(one)
    assert inner == inner_of_pickle(a=1, b=[1.5, 2])


def test_a_pointer_is_not_pickled():
    one = sample()
    memory = epsilon.foreign_alloc("int")
    one.next = memory
    with pytest.raises(epsilon.ForeignTypeError, match=r"holds a pointer, void \* at byte .* only strings and NULL"):
        pickle.dumps(one)
    union = epsilon.define_c_union("either", [("i", "long"), ("s", "string")])
    with pytest.raises(epsilon.ForeignTypeError, match="holds a pointer"):
        pickle.dumps(union(i=5))


def test_an_instance_is_a_pattern_a_mapping_and_bytes():
    one = sample()
    match one:
        case pickled(n=3, inner=inner_of_pickle(a=1)):
            pass
        case _:
            raise AssertionError
    assert dict(one)["bits"] == -7 and repr(one).startswith(
        "pickled(n=3, name='a name', inner=inner_of_pickle(a=1, b=[1.5, 2.0])"
    )
    assert bytes(inner_of_pickle(a=1))[:2] == b"\x01\x00" and len(bytes(one)) == pickled.offset("tail") + 2


def test_two_structs_of_one_name_live_side_by_side():
    first = epsilon.define_c_struct("twice", [("a", "int")])
    library = load_c("struct twice { int a; }; int get_twice(struct twice *t) { return t->a; }")
    get = library.bind("int get_twice(struct twice *t)")
    second = epsilon.define_c_struct("twice", [("b", "double")])
    assert get(first(a=7)) == 7 and second(b=1.5).b == 1.5 and first.ctype is not second.ctype
    with pytest.raises(epsilon.ForeignTypeError):
        get(second())


def test_a_million_instances_do_not_grow():
    run_child("""
import resource, epsilon
pair = epsilon.define_c_struct("pair", [("a", "int"), ("b", "double"), ("c", ("array", "int", 30))])
def make(count):
    for _ in range(count):
        pair(a=1)
make(50_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
make(1_000_000)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert grown < 4096, grown
""")
