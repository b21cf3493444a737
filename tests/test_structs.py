"""API §7, as far as issue 2 has it: structs defined by hand or from their declaration, laid out as C lays them out.

The layouts are judged by C: three hundred random structs (the seed is fixed) are written as C, compiled once, and every
size, alignment and offset compared; then each is filled by Python and read by C, and the other way round.
"""

from __future__ import annotations

import copy
import functools
import gc
import pickle
import random
import sys
from dataclasses import dataclass

import pytest
from clib import compile_c, load_c, run_child

import epsilon
from epsilon import define_c_struct, define_c_struct_auto, foreign_alloc, foreign_free

HEADERS = "".join(f"#include <{name}.h>\n" for name in ("complex", "stdbool", "stddef", "stdint", "sys/types", "wchar"))

SCALARS = {
    word: epsilon.ctype(word).spelling
    for word in (
        "char",
        "signed-char",
        "unsigned-char",
        "short",
        "unsigned-short",
        "int",
        "unsigned-int",
        "long",
        "unsigned-long",
        "long-long",
        "unsigned-long-long",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "size",
        "ssize",
        "ptrdiff",
        "intptr",
        "uintptr",
        "wchar",
        "float",
        "double",
        "long-double",
        "float-complex",
        "double-complex",
        "bool",
        "string",
        "pointer",
        "dev_t",
        "mode_t",
        "time_t",
    )
}


@dataclass
class Sample:
    """A random struct: its tag, its members as Epsilon takes them, and its C."""

    tag: str
    members: list
    c: str
    made: object = None


@functools.cache
def samples() -> list[Sample]:
    rng, found = random.Random(2), []
    for number in range(300):
        tag, members, lines = f"sample_{number}", [], []
        for place in range(rng.randint(1, 9)):
            name, kind = f"m{place}", rng.random()
            if kind < 0.15 and found:
                inner = rng.choice(found)
                expression, c = ("struct", inner.tag), f"struct {inner.tag} {name}"
                if rng.random() < 0.3:
                    length = rng.randint(1, 3)
                    expression, c = ("array", expression, length), f"{c}[{length}]"
            elif kind < 0.25:
                expression, c = ("pointer", ("struct", tag)), f"struct {tag} *{name}"
            elif kind < 0.30:
                expression, c = ("function", "int", ["double"]), f"int (*{name})(double)"
            else:
                word = rng.choice(list(SCALARS))
                expression, c = word, f"{SCALARS[word]} {name}"
                for _ in range(rng.choice([0, 0, 0, 1, 2])):
                    length = rng.randint(1, 4)
                    expression = ("array", expression, length)
                    c = c.replace(name, f"{name}[{length}]", 1)
            members.append((name, expression))
            lines.append(c)
        text = f"struct {tag} {{ {' '.join(f'{line};' for line in lines)} }};"
        found.append(Sample(tag, members, text))
        found[-1].made = define_c_struct(tag, members)
    return found


@functools.cache
def layouts_of_c() -> epsilon.Library:
    functions = []
    for sample in samples():
        offsets = ", ".join(f"offsetof(struct {sample.tag}, {name})" for name, _ in sample.members)
        functions.append(
            f"{sample.c}\nconst size_t *layout_{sample.tag}(void) {{ static const size_t found[] = "
            f"{{sizeof(struct {sample.tag}), _Alignof(struct {sample.tag}), {offsets}}}; return found; }}"
        )
    return load_c(HEADERS + "\n".join(functions))


def layout_of_c(sample: Sample) -> list[int]:
    pointer = layouts_of_c().bind(f"layout_{sample.tag}", ("pointer", "size"), [])()
    return [epsilon.deref(pointer, index) for index in range(len(sample.members) + 2)]


def layout(struct) -> list[int]:
    return [struct.size, struct.alignment, *(struct.offset(name) for name in struct.__match_args__)]


# --- layout -----------------------------------------------------------------------------------------------------------


def test_three_hundred_layouts_are_those_of_c():
    for sample in samples():
        assert layout(sample.made) == layout_of_c(sample), sample.c
        assert epsilon.struct_layout_size(sample.made) == epsilon.struct_layout_size(sample.made()) == sample.made.size


def test_a_declaration_gives_the_same_layout():
    for sample in samples():
        assert layout(define_c_struct_auto(sample.tag, sample.c)) == layout_of_c(sample), sample.c


def test_declarations_with_all_that_c_allows_in_them():
    text = """
    struct declared {
        unsigned char a, *b, c[2][3];
        const char *name, *const other;
        int (*compare)(const void *, const void *);
        struct { short x, y; } at, *there;
        union { int i; float f; char bytes[sizeof_bytes]; } either;
        struct { int hidden; double deep; };
        unsigned flags : 3, more : 7;
        enum { RED, GREEN } color;
        time_t when; // a comment
        struct declared *next; /* another */
    };""".replace("sizeof_bytes", "(1 << 3) + 1").replace("enum { RED, GREEN } color", "enum color color")
    declared = define_c_struct_auto("declared", text)
    names = [
        "a",
        "b",
        "c",
        "name",
        "other",
        "compare",
        "at",
        "there",
        "either",
        "hidden",
        "deep",
        "color",
        "when",
        "next",
    ]
    c = load_c(
        HEADERS
        + "enum color { RED, GREEN };\n"
        + text
        + "\nconst size_t *layout(void) { static const size_t found[] = {"
        + "sizeof(struct declared), _Alignof(struct declared), "
        + ", ".join(f"offsetof(struct declared, {name})" for name in names)
        + "}; return found; }\n"
        "int flags(struct declared *d)\n"
        "{ int was = d->flags + 10 * d->more; d->flags = 5; d->more = 99; return was; }"
    )
    pointer = c.bind("layout", ("pointer", "size"), [])()
    assert declared.size == epsilon.deref(pointer) and declared.alignment == epsilon.deref(pointer, 1)
    assert [declared.offset(name) for name in names] == [
        epsilon.deref(pointer, place + 2) for place in range(len(names))
    ]
    one = declared(flags=7, more=100)
    one.at.x, one.either.f, one.hidden, one.c = 4, 1.0, 3, [[1, 2, 3], [4, 5, 6]]
    assert one.either.i == 0x3F800000 and [list(row) for row in one.c] == [[1, 2, 3], [4, 5, 6]]
    assert c.bind("flags", "int", [("pointer", declared)])(one) == 7 + 1000
    assert (one.flags, one.more) == (5, 99)
    with pytest.raises(epsilon.ForeignRangeError, match="member 'flags'.*from 0 to 7"):
        one.flags = 8


def test_offset_names_the_nearest_member():
    timespec = define_c_struct("timespec", [("sec", "long"), ("nsec", "long")])
    assert timespec.offset("nsec") == timespec.offset(":nsec") == epsilon.sizeof("long")
    with pytest.raises(epsilon.ForeignTypeError, match="no member 'nsek'.*'nsec'"):
        timespec.offset("nsek")


def test_c_reads_what_python_wrote_and_python_what_c_wrote():
    c = load_c("""
    struct all { char c; short h; int i; long l; float f; double d; _Bool b; const char *s; void *p; int a[3]; };
    int check(const struct all *x)
    {
        return x->c == -1 && x->h == -2 && x->i == -3 && x->l == -4 && x->f == 0.5f && x->d == 0.25 && x->b == 1
            && x->s[1] == 'b' && x->p == (void *)x && x->a[0] == 7 && x->a[1] == 8 && x->a[2] == 9;
    }
    void fill(struct all *x) { *x = (struct all){'A', 2, 3, 4, 1.5f, 2.5, 0, "from C", x, {4, 5, 6}}; }
    """)
    fields = [
        ("c", "signed-char"),
        ("h", "short"),
        ("i", "int"),
        ("l", "long"),
        ("f", "float"),
        ("d", "double"),
        ("b", "bool"),
        ("s", "string"),
        ("p", "pointer"),
        ("a", ("array", "int", 3)),
    ]
    all_ = define_c_struct("all", fields)
    one = all_(-1, -2, -3, -4, 0.5, 0.25, True, "abc", a=[7, 8, 9])
    one.p = one
    assert c.bind("check", "int", [("pointer", all_)])(one) == 1
    c.bind("fill", "void", [("pointer", all_)])(one)
    assert (one.c, one.h, one.i, one.l, one.f, one.d, one.b, one.s) == (65, 2, 3, 4, 1.5, 2.5, False, "from C")
    assert list(one.a) == [4, 5, 6] and epsilon.deref_int(one, 1) == 3


# --- instances --------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair():
    return define_c_struct("pair", [("a", "int"), ("b", "double")])


def test_construction(pair):
    assert (pair().a, pair().b) == (0, 0.0)
    assert pair(1, 2) == pair(1, b=2) == pair(a=1, b=2) == pair(b=2.0, a=True)
    with pytest.raises(epsilon.ForeignTypeError, match="struct pair has 2 members, 3 values given"):
        pair(1, 2, 3)
    with pytest.raises(epsilon.ForeignTypeError, match="no member 'aa'.*'a'"):
        pair(aa=1)
    with pytest.raises(epsilon.ForeignTypeError, match="struct pair: member 'a' .int.: got 'x'"):
        pair("x")
    with pytest.raises(epsilon.ForeignRangeError, match="struct pair: member 'a'"):
        pair(2**31)


def test_members_read_and_write(pair):
    one = pair()
    one.a = 5
    one["b"] = 2.5
    assert (one["a"], one.b, one[":a"]) == (5, 2.5, 5)
    with pytest.raises(epsilon.ForeignTypeError, match="no member 'aa'.*'a'"):
        one["aa"]
    with pytest.raises(epsilon.ForeignTypeError, match="no member 'c'"):
        one["c"] = 1
    assert not hasattr(one, "c")
    with pytest.raises(AttributeError):
        one.c = 1
    with pytest.raises(epsilon.ForeignRangeError):
        one.a = -(2**31) - 1
    assert one.a == 5


def test_repr_equality_and_dict(pair):
    one = pair(1, 2.5)
    assert repr(one) == "pair(a=1, b=2.5)" and repr(pair) == "<struct pair>"
    assert one == pair(1, 2.5) and one != pair(1, 2) and one != (1, 2.5) and one != {"a": 1, "b": 2.5}
    assert dict(one) == {"a": 1, "b": 2.5} == {**one}
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    assert "int a, at byte 0" in pair.a.__doc__ and "16 bytes, aligned to 8" in pair.__doc__


def test_match(pair):
    def which(value):
        match value:
            case pair(a=0):
                return "zero"
            case pair(1, b):
                return b
            case {"a": 2}:
                return "mapping"
        return "other"

    assert [which(pair(0, 5)), which(pair(1, 5)), which(pair(3, 5)), which((1, 5))] == ["zero", 5.0, "other", "other"]


def test_nested_structs_are_views():
    inner = define_c_struct("inner", [("x", "int"), ("y", "int")])
    outer = define_c_struct(
        "outer", [("first", inner), ("rest", ("array", inner, 2)), ("grid", ("array", ("array", "short", 2), 2))]
    )
    one = outer(first=inner(1, 2), rest=[{"x": 3}, inner(5, 6)], grid=[[1, 2], [3, 4]])
    view, element = one.first, one.rest[1]
    view.x, element.y, one.grid[1][0] = 7, 8, 9
    assert one == outer(first={"x": 7, "y": 2}, rest=[inner(3, 0), inner(5, 8)], grid=[[1, 2], [9, 4]])
    one.first = inner(10, 11)
    assert (view.x, view.y) == (10, 11), "assigning copies into the place that the view shows"
    copied = inner(1, 1)
    one.first = copied
    copied.x = 99
    assert one.first.x == 1


def test_array_members():
    holder = define_c_struct("holder", [("n", ("array", "int", 3)), ("text", ("array", "char", 6))])
    one = holder(n=[1, 2, 3], text="né")
    assert list(one.n) == [1, 2, 3] == one.n and len(one.n) == 3 and one.n[1:] == [2, 3] and 2 in one.n
    assert bytes(number & 255 for number in one.text) == "né".encode() + bytes(3)
    one.n[1] = 9
    one.n[::2] = [7, 8]
    assert list(one.n) == [7, 9, 8] and repr(one.n) == "[7, 9, 8]"
    one.text = b"abcdef"
    assert bytes(one.text) == b"abcdef"
    for index in (3, -1, 10**30):
        with pytest.raises(epsilon.ForeignIndexError, match="3 elements"):
            one.n[index]
        with pytest.raises(epsilon.ForeignIndexError):
            one.n[index] = 1
    for values in ([1], [1, 2, 3, 4]):
        with pytest.raises(epsilon.ForeignValueError, match=f"member 'n'.*got {len(values)} values, wanted 3"):
            one.n = values
    with pytest.raises(epsilon.ForeignValueError, match="wanted 6"):
        one.text = "too long"
    assert list(one.n) == [7, 9, 8]


def test_text_in_a_field_lives_as_long_as_the_struct():
    length = load_c("#include <string.h>\nstruct named { const char *s; };\n"
                    "int length(struct named *n) { return n->s ? strlen(n->s) : -1; }")  # fmt: skip
    named = define_c_struct("named", [("s", "string")])
    count = length.bind("length", "int", [("pointer", named)])
    one = named("".join(["x"] * 1000))
    gc.collect()
    clutter = ["y" * 1000 for _ in range(1000)]
    assert count(one) == 1000 and one.s == "x" * 1000 and clutter
    one.s = None
    assert count(one) == -1 and one.s is None


def test_pointers_in_a_field_keep_what_they_point_to():
    node = define_c_struct("node", [("next", ("pointer", ("struct", "node"))), ("value", "int")])

    def chain():
        return node(node(node(None, 3), 2), 1)

    first = chain()
    gc.collect()
    clutter = [node(None, 9) for _ in range(100)]
    second = epsilon.deref(first.next)
    assert (first.value, second.value, epsilon.deref(second.next).value) == (1, 2, 3) and clutter
    assert epsilon.is_null_pointer(epsilon.deref(second.next).next)


def test_what_a_field_kept_is_let_go_with_the_next_value():
    named = define_c_struct("named", [("s", "string"), ("t", "string")])
    one, text = named(t="other"), "".join(["kept", " text"])
    before = sys.getrefcount(text)
    one.s = text
    assert sys.getrefcount(text) > before
    one.s = None
    assert sys.getrefcount(text) == before and one.t == "other"


def test_a_struct_pointer_keeps_the_struct_and_ends_with_it(pair):
    pointer = epsilon.struct_pointer(pair(5, 6))
    gc.collect()
    clutter = [pair(9, 9) for _ in range(100)]
    assert epsilon.deref(pointer).a == pointer[0].a == 5 and clutter
    one = pair(1)
    pointer = epsilon.struct_pointer(one)
    pointer[0].a = 8
    assert one.a == 8
    foreign_free(one)
    with pytest.raises(epsilon.ForeignMemoryError, match="test_structs.py"):
        pointer[0]
    for value in (5, None, foreign_alloc("int"), pair):
        with pytest.raises(epsilon.ForeignTypeError, match="takes a struct"):
            epsilon.struct_pointer(value)


def test_struct_layout_size_takes_structs_only():
    for value in (5, "pair", None, foreign_alloc("int"), epsilon.Library):
        with pytest.raises(epsilon.ForeignTypeError, match="takes a struct or a struct type"):
            epsilon.struct_layout_size(value)


# --- the end ----------------------------------------------------------------------------------------------------------


def test_with_ends_the_struct(pair):
    with pair(1, 2) as one:
        assert one.a == 1
    for use in (
        lambda: one.a,
        lambda: setattr(one, "a", 1),
        lambda: one["a"],
        lambda: one == pair(),
        lambda: dict(one),
        lambda: epsilon.struct_pointer(one),
        lambda: foreign_free(one),
        lambda: epsilon.deref_int(one),
    ):
        with pytest.raises(
            epsilon.ForeignMemoryError, match=r"<ended struct pair> after its end: it was freed at .*test_structs\.py"
        ):
            use()
    assert repr(one) == "<ended struct pair>"
    with pytest.raises(ZeroDivisionError), pair() as one:
        raise ZeroDivisionError
    assert repr(one) == "<ended struct pair>"


def test_views_end_with_their_struct():
    inner = define_c_struct("inner", [("x", "int")])
    outer = define_c_struct("outer", [("first", inner), ("n", ("array", "int", 2)), ("deep", ("array", inner, 2))])
    one = outer()
    first, numbers, deep = one.first, one.n, one.deep[1]
    foreign_free(one)
    for use in (lambda: first.x, lambda: setattr(first, "x", 1), lambda: numbers[0], lambda: numbers.__setitem__(0, 1),
                lambda: list(numbers), lambda: deep.x):  # fmt: skip
        with pytest.raises(epsilon.ForeignMemoryError, match="test_structs.py"):
            use()


def test_views_keep_their_struct():
    inner = define_c_struct("inner", [("x", "int")])
    outer = define_c_struct("outer", [("first", inner), ("n", ("array", "int", 2))])
    first, numbers = outer(first={"x": 5}).first, outer(n=[6, 7]).n
    gc.collect()
    clutter = [outer(first={"x": 9}, n=[9, 9]) for _ in range(100)]
    assert first.x == 5 and list(numbers) == [6, 7] and clutter


# --- definition -------------------------------------------------------------------------------------------------------


def test_defining_again_leaves_the_earlier_one_to_its_holders():
    first = define_c_struct("again", [("a", "int")])
    old = first(5)
    second = define_c_struct("again", [("a", "double"), ("b", "int")])
    assert second is not first and epsilon.ctype("struct again") is epsilon.ctype(second)
    assert old.a == 5 and first(6).a == 6 and second(1.5).a == 1.5 and (first.size, second.size) == (4, 16)
    take = load_c("int take(void *p) { return p != 0; }")
    assert take.bind("take", "int", [("pointer", second)])(second()) == 1
    with pytest.raises(epsilon.ForeignTypeError, match="a pointer to struct again"):
        take.bind("take", "int", [("pointer", second)])(old)


def test_a_failed_definition_leaves_the_earlier_one():
    first = define_c_struct("kept_one", [("a", "int")])
    for members in ([("a", "no-such-type")], [], [("a", "void")]):
        with pytest.raises(epsilon.ForeignTypeError):
            define_c_struct("kept_one", members)
    assert epsilon.ctype("struct kept_one") is epsilon.ctype(first)


def test_pointers_to_an_opaque_struct_know_it_once_it_is_defined():
    pointer = epsilon.ctype("struct defined_later *")
    with pytest.raises(epsilon.ForeignTypeError, match="size is not known"):
        define_c_struct("holds_it", [("a", ("struct", "defined_later"))])
    later = define_c_struct("defined_later", [("a", "int")])
    assert epsilon.ctype(("pointer", later)) is pointer


BAD_MEMBERS = {
    "none": ([], "has no members"),
    "twice": ([("a", "int"), ("a", "long")], "'a' is there twice"),
    "no name": ([("a b", "int")], "'a b' is no C name"),
    "Python's name": ([("__init__", "int")], "a name that Python keeps"),
    "void": ([("a", "void")], "whose size is not known"),
    "itself": ([("a", ("struct", "bad"))], "whose size is not known"),
    "undefined": ([("a", ("struct", "never_defined"))], "whose size is not known"),
    "function": ([("a", "int (int)")], "whose size is not known|a pointer to"),
    "unknown": ([("a", "strng")], "did you mean 'string'"),
    "no pair": ([("a",)], "a member is .name, type."),
    "too long": ([("a", "int", "b")], "a member is .name, type."),
    "a str": (["ab"], "a member is .name, type."),
    "no list": ("ab", "the members are a list"),
    "a number": (5, "the members are a list"),
    "no length": ([("a", ("array", "int"))], "whose size is not known"),
}


@pytest.mark.parametrize("case", BAD_MEMBERS)
def test_wrong_definitions(case):
    members, message = BAD_MEMBERS[case]
    with pytest.raises(epsilon.ForeignTypeError, match=message):
        define_c_struct("bad", members)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "int",
        "struct",
        "struct s",
        "struct s {",
        "struct s { int a }",
        "struct s { int; int a",
        "struct s { strng a; };",
        "struct s { int a : x; };",
        "struct s { int a[]; };",
        "struct s { int f(int); };",
        "struct s { int a; } extra more;",
        "struct s { };",
        "int f(void);",
        "struct s { int a; int a; };",
        "struct s { unsigned a : 40; };",
    ],
)
def test_wrong_declarations(text):
    with pytest.raises(epsilon.ForeignTypeError):
        define_c_struct_auto("s", text)


def test_names_of_structs():
    for name in ("1s", "a b", "", 5, None):
        with pytest.raises(epsilon.ForeignTypeError, match="the name of a struct"):
            define_c_struct(name, [("a", "int")])
    assert define_c_struct("lisp-name", [("with-dash", "int")])(with_dash=3)["with-dash"] == 3
    assert define_c_struct_auto("mine", "typedef struct { int a; } theirs;")(a=1).a == 1
    assert repr(define_c_struct_auto("mine", "struct of_c { int a; };")(1)) == "mine(a=1)"


INNER_NAMES = [
    "address",
    "alive",
    "end",
    "kept",
    "owner",
    "pointer_type",
    "size",
    "ended_at",
    "ctype",
    "offset",
    "alignment",
    "view",
    "copy",
    "root",
    "mro",
    "count",
    "element",
    "class",
    "def",
    "self",
    "cls",
    "name",
    "values",
    "members",
]


def test_members_may_bear_any_name_that_c_allows():
    """Also those that the struct's own attributes have: C decides what a member is called."""
    named = define_c_struct("any_names", [(name, "int") for name in INNER_NAMES] + [("s", "string")])
    one = named(*range(len(INNER_NAMES)), s="text")
    assert [getattr(one, name) for name in INNER_NAMES] == list(range(len(INNER_NAMES))) and one.s == "text"
    assert [one[name] for name in INNER_NAMES] == list(range(len(INNER_NAMES)))
    assert [named.offset(name) for name in INNER_NAMES] == [4 * place for place in range(len(INNER_NAMES))]
    assert named.size == epsilon.sizeof(named) == epsilon.struct_layout_size(one) and named(**{"self": 5})["self"] == 5
    assert one == named(*range(len(INNER_NAMES)), s="text") and repr(one).startswith(
        "any_names(address=0, alive=1, end=2"
    )
    assert epsilon.deref(epsilon.struct_pointer(one)).end == 2 and epsilon.deref_int(one, 1) == 1
    outer = define_c_struct("any_outer", [("view", named), ("n", ("array", named, 2))])(view=one)
    outer.n[1].address = 8
    assert outer.view.end == 2 and outer.n[1].address == 8
    same = load_c("void *same(void *p) { return p; }").bind("same", ("pointer", named), [("pointer", named)])
    assert epsilon.deref(same(one)).owner == 4
    with one as inside:
        assert inside.end == 2
    with pytest.raises(epsilon.ForeignMemoryError, match="test_structs.py"):
        getattr(one, "end")  # noqa: B009  (as a statement it would look useless)
    foreign_free(named())


picklable = define_c_struct("picklable", [("x", "int")])


def test_struct_classes_pickle_by_name():
    assert pickle.loads(pickle.dumps(picklable)) is picklable
    assert picklable.__module__ == __name__ and copy.copy(picklable) is picklable


# --- by value, where size matters -------------------------------------------------------------------------------------


OVERREAD = """
import sys
import epsilon
lib = epsilon.lib_open(sys.argv[1])
large = epsilon.define_c_struct("large", [("n", ("array", "long", 4096))])
total = lib.bind("total", "long", [large])
assert total(large(n=[1] * 4096)) == 4096
assert total(epsilon.foreign_alloc(large, count=1)) == 0, "memory of one struct stands for it"
for nothing in (epsilon.foreign_alloc(large, count=0), epsilon.foreign_alloc("int", count=9000)):
    try:
        total(nothing)
    except epsilon.ForeignError as error:
        assert "total(): parameter 1 (struct large)" in str(error), error
    else:
        raise AssertionError("C was given more than there is")
holder = epsilon.define_c_struct("holder", [("l", large)])()
for write in (lambda: setattr(holder, "l", epsilon.foreign_alloc(large, count=0)),
              lambda: epsilon.foreign_alloc(large).__setitem__(0, epsilon.foreign_alloc(large, count=0))):
    try:
        write()
    except epsilon.ForeignError:
        pass
    else:
        raise AssertionError("copied more than there is")
print("alive")
"""


def test_b7_memory_of_no_structs_is_no_struct_by_value():
    library = compile_c("struct large { long n[4096]; };\n"
                        "long total(struct large l)\n"
                        "{ long s = 0; for (int i = 0; i < 4096; i++) s += l.n[i]; return s; }")  # fmt: skip
    assert run_child(OVERREAD, library) == "alive\n"


def test_a_pointer_to_a_flexible_struct_is_as_large_as_that_struct():
    message = epsilon.define_c_struct("flexible_pointed", [("kind", "int"), ("data", ("array", "uint8"))])
    one = message.with_count(3, kind=7, data=b"abc")
    pointer = epsilon.struct_pointer(one)
    assert (pointer.size, len(pointer)) == (7, 1)
    assert list(epsilon.deref(pointer).data) == [97, 98, 99]
    assert list(epsilon.cast(pointer, ("pointer", "uint8")))[4:] == [97, 98, 99]
    copy = message.with_count(3)
    assert epsilon.foreign_copy(epsilon.cast(epsilon.struct_pointer(copy), "pointer"),
                                epsilon.cast(pointer, "pointer")) == 7
    assert copy == one
    with pytest.raises(epsilon.ForeignIndexError):
        pointer[1]
    epsilon.foreign_free(one)
    with pytest.raises(epsilon.ForeignMemoryError, match="after its end"):
        pointer[0]


def test_a_pointer_to_a_struct_that_may_only_be_read_does_not_write():
    pair = epsilon.define_c_struct("read_only_pointed", [("a", "int")])
    constant = epsilon.cast(epsilon.foreign_alloc(pair), "const struct read_only_pointed *")[0]
    with pytest.raises(epsilon.ForeignMemoryError, match="read-only"):
        epsilon.struct_pointer(constant)[0].a = 1
