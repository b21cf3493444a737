"""API §6, as far as issue 2 has it: memory that is allocated, pooled and pinned, with a type, bounds and an end."""

from __future__ import annotations

import array
import ctypes
import gc

import cffi
import pytest
from clib import load_c, run_child

import epsilon
from epsilon import deref, deref_int, foreign_alloc, foreign_free, foreign_memory, pinned_array, pooled_memory

ffi = cffi.FFI()


@pytest.fixture
def point():
    return epsilon.define_c_struct("memory_point", [("x", "int"), ("y", "int")])


# --- allocating -------------------------------------------------------------------------------------------------------


def test_memory_begins_zeroed():
    assert list(foreign_alloc("int", count=4)) == [0, 0, 0, 0]
    assert foreign_alloc("double")[0] == 0.0 and len(foreign_alloc("double")) == 1
    assert epsilon.is_null_pointer(foreign_alloc("pointer")[0])
    assert foreign_alloc("string")[0] is None


def test_initial_values():
    assert list(foreign_alloc("int", count=3, initial=[7, 8])) == [7, 8, 0]
    assert list(foreign_alloc("int", initial=range(3))) == [0, 1, 2]
    assert list(foreign_alloc("int", initial=(n * n for n in range(3)))) == [0, 1, 4]
    assert list(foreign_alloc("int", count=3, initial=7)) == [7, 7, 7]
    assert list(foreign_alloc("bool", initial=[True, 0, 5])) == [True, False, True]
    assert list(foreign_alloc("string", initial=["λ", None])) == ["λ", None]
    assert list(foreign_alloc("string", count=2, initial="both")) == ["both", "both"]


def test_initial_structs(point):
    assert foreign_alloc(point, initial=point(1, 2))[0] == point(1, 2)
    assert list(foreign_alloc(point, initial=[point(1, 2), {"y": 3}])) == [point(1, 2), point(0, 3)]
    assert list(foreign_alloc(point, count=2, initial={"x": 4})) == [point(4, 0)] * 2


def test_initial_arrays():
    rows = foreign_alloc(("array", "short", 3), count=2, initial=[[1, 2, 3], (4, 5, 6)])
    assert [list(row) for row in rows] == [[1, 2, 3], [4, 5, 6]]
    rows[0] = [7, 8, 9]
    assert list(rows[0]) == [7, 8, 9] and list(rows[1]) == [4, 5, 6]
    with pytest.raises(epsilon.ForeignValueError, match="got 2 values, wanted 3"):
        rows[1] = [1, 2]


@pytest.mark.parametrize("word", ["char", "signed-char", "unsigned-char", "int8", "uint8"])
def test_text_fills_memory_of_characters(word):
    memory = foreign_alloc(word, count=8, initial="aé")
    assert epsilon.foreign_string(memory) == "aé"
    assert bytes(number & 255 for number in memory) == b"a\xc3\xa9" + bytes(5)
    assert len(foreign_alloc(word, initial=b"\xff\0")) == 2


def test_too_many_initial_values():
    with pytest.raises(epsilon.ForeignValueError, match="4 initial values for 3 elements of int"):
        foreign_alloc("int", count=3, initial=[1, 2, 3, 4])


def test_an_initial_value_that_does_not_fit():
    with pytest.raises(epsilon.ForeignRangeError, match="element 1: got 1000"):
        foreign_alloc("int8", initial=[1, 1000])
    with pytest.raises(epsilon.ForeignTypeError, match="element 0: got 'x'"):
        foreign_alloc("int", initial=["x"])


@pytest.mark.parametrize("allocate", [foreign_alloc, foreign_memory, pooled_memory])
def test_a_count_larger_than_any_memory_is_a_named_error(allocate):
    for count in (10**30, 2**62, 2**63 - 1, 10**5000):
        with pytest.raises(epsilon.ForeignValueError, match="larger than any memory"):
            allocate("int", count=count)


@pytest.mark.parametrize("allocate", [foreign_alloc, foreign_memory, pooled_memory])
def test_counts_that_are_none(allocate):
    with pytest.raises(epsilon.ForeignValueError, match="the count is 0 or more, not -1"):
        allocate("int", count=-1)
    for count in (1.5, "3", [3]):
        with pytest.raises(epsilon.ForeignTypeError, match="the count is an int"):
            allocate("int", count=count)
    empty = allocate("int", count=0)
    assert len(empty) == 0
    with pytest.raises(epsilon.ForeignIndexError):
        empty[0]


@pytest.mark.parametrize("expression", ["void", "struct never_defined", ("array", "int"), "int (int)"])
def test_types_without_a_size_cannot_be_allocated(expression):
    with pytest.raises(epsilon.ForeignTypeError, match="no size"):
        foreign_alloc(expression)


@pytest.mark.parametrize("expression", [("in", "int"), ("out", "int"), "buffer", ("buffer", "writable")])
def test_ways_of_passing_are_no_types_of_memory(expression):
    with pytest.raises(epsilon.ForeignTypeError, match="in memory it is"):
        foreign_alloc(expression)
    with pytest.raises(epsilon.ForeignTypeError, match="in memory it is"):
        epsilon.define_c_struct("with_a_way", [("member", expression)])


@pytest.mark.parametrize("word", ["char", "int", "double", "long-double", "double-complex"])
def test_memory_is_aligned_as_c_wants_it(word):
    assert all(foreign_alloc(word, count=3).address % epsilon.alignof(word) == 0 for _ in range(50))


def test_c_sees_the_memory():
    lib = load_c("long sum(long *p, int n) { long s = 0; for (int i = 0; i < n; i++) s += p[i], p[i] = -i; return s; }")
    memory = foreign_alloc("long", initial=[1, 2, 3])
    assert lib.bind("long sum(long *p, int n)")(memory, 3) == 6
    assert list(memory) == [0, -1, -2]


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [3, -1, -3, 4, 2**31, 10**30, -(10**30)])
def test_an_index_outside_raises_and_negative_ones_are_outside(index):
    memory = foreign_alloc("int", count=3)
    for use in (lambda: memory[index], lambda: memory.__setitem__(index, 1), lambda: deref(memory, index)):
        with pytest.raises(epsilon.ForeignIndexError, match=f"index {index} of .*int \\[3\\].*3 elements") as caught:
            use()
        assert isinstance(caught.value, IndexError)
    assert list(memory) == [0, 0, 0]


@pytest.mark.parametrize("index", ["a", 1.0, None, (0,)])
def test_an_index_is_an_int(index):
    memory = foreign_alloc("int", count=3)
    for use in (lambda: memory[index], lambda: memory.__setitem__(index, 1), lambda: deref(memory, index)):
        with pytest.raises(epsilon.ForeignTypeError, match="an index is an int"):
            use()


def test_slices_read_and_write():
    memory = foreign_alloc("int", initial=[1, 2, 3, 4])
    assert memory[1:3] == [2, 3] and memory[::-1] == [4, 3, 2, 1] and memory[2:100] == [3, 4]
    memory[1:3] = [8, 9]
    assert list(memory) == [1, 8, 9, 4]
    with pytest.raises(epsilon.ForeignValueError, match="got 1 values for 2 elements"):
        memory[1:3] = [0]
    assert list(memory) == [1, 8, 9, 4]


def test_structs_in_memory_are_views(point):
    memory = foreign_alloc(point, count=2)
    memory[1].x = 5
    memory[0] = {"x": 1, "y": 2}
    assert list(memory) == [point(1, 2), point(5, 0)]
    view = memory[0]
    memory[0].y = 7
    assert view.y == 7


# --- the end ----------------------------------------------------------------------------------------------------------

USES = {
    "read": lambda memory: memory[0],
    "write": lambda memory: memory.__setitem__(0, 1),
    "slice": lambda memory: memory[0:1],
    "iterate": list,
    "deref": deref,
    "deref_int": deref_int,
    "address": lambda memory: memory.address,
    "cdata": lambda memory: memory.cdata,
    "foreign_string": epsilon.foreign_string,
    "pass as :pointer": lambda memory: load_c("void take(void *p) {}").bind("void take(void *p)")(memory),
    "pass typed": lambda memory: load_c("void take(void *p) {}").bind("void take(int *p)")(memory),
    "pass as :buffer": lambda memory: load_c("void take(void *p) {}").bind("take", "void", ["buffer"])(memory),
    "pass as :string": lambda memory: load_c("void take(void *p) {}").bind("take", "void", ["string"])(memory),
    "store": lambda memory: foreign_alloc("pointer").__setitem__(0, memory),
    "free": foreign_free,
}


@pytest.mark.parametrize("use", USES)
def test_use_after_free_names_the_place(use):
    memory = foreign_alloc("int", count=3)
    foreign_free(memory)
    with pytest.raises(
        epsilon.ForeignMemoryError, match=r"int \[3\], ended> after its end: it was freed at .*test_memory\.py:\d+"
    ):
        USES[use](memory)
    assert repr(memory) == "<foreign memory int [3], ended>" and len(memory) == 3


def test_a_view_ends_with_its_memory(point):
    memory = foreign_alloc(point, count=2)
    view = memory[1]
    foreign_free(memory)
    for use in (lambda: view.x, lambda: setattr(view, "x", 1), lambda: view == view, lambda: dict(view)):
        with pytest.raises(epsilon.ForeignMemoryError, match="freed at .*test_memory.py"):
            use()
    assert repr(view) == "<ended struct memory_point>"


def test_a_view_keeps_its_memory(point):
    view = foreign_alloc(point, count=2, initial=[{}, {"x": 5}])[1]
    gc.collect()
    others = [foreign_alloc(point, count=2, initial={"x": 9}) for _ in range(100)]
    assert view.x == 5 and len(others) == 100


@pytest.mark.parametrize("what", [None, 5, "text", b"bytes", bytearray(4), [], object()], ids=lambda what: type(what).__name__)
def test_freeing_what_was_never_allocated(what):
    with pytest.raises(epsilon.ForeignMemoryError, match="was not allocated by foreign_alloc"):
        foreign_free(what)


def test_freeing_what_is_not_its_own(point):
    memory, one = foreign_alloc(point), point()
    data = bytearray(4)
    with pinned_array(data) as pinned, pooled_memory("int") as pooled:
        for part in (memory[0], epsilon.struct_pointer(one), pinned, pooled, memory.cdata, ffi.new("int *")):
            with pytest.raises(epsilon.ForeignMemoryError, match="was not allocated by foreign_alloc"):
                foreign_free(part)
    assert memory.alive and one.x == 0


def test_foreign_memory_ends_with_its_block():
    with foreign_memory("int", count=2, initial=[1]) as memory:
        assert list(memory) == [1, 0]
    with pytest.raises(epsilon.ForeignMemoryError, match=r"freed at .*test_memory\.py"):
        memory[0]
    with pytest.raises(ZeroDivisionError), foreign_memory("int") as memory:
        raise ZeroDivisionError
    assert not memory.alive


def test_freeing_early_within_the_block():
    with foreign_memory("int") as memory:
        foreign_free(memory)
    assert not memory.alive


def test_what_memory_points_to_lives_as_long():
    memory = foreign_alloc("string", count=2)
    memory[0] = "".join(["made ", "here"])
    memory[1] = "x" * 1000
    pointers = foreign_alloc(("pointer", "int"), initial=[foreign_alloc("int", initial=[42])])
    gc.collect()
    clutter = [foreign_alloc("int", initial=[7]) for _ in range(100)] + ["y" * n for n in range(1000)]
    assert memory[0] == "made here" and memory[1] == "x" * 1000
    assert deref(pointers[0]) == 42 and clutter


FREEING = """
import epsilon
class Freeing:
    "frees the memory that it is being written to"
    def __init__(self, memory): self.memory = memory
    def __index__(self):
        epsilon.foreign_free(self.memory)
        return 1
    __float__ = lambda self: float(self.__index__())
    def __fspath__(self):
        epsilon.foreign_free(self.memory)
        return "path"

inner = epsilon.define_c_struct("freed_inner", [("n", "long")])
pair = epsilon.define_c_struct("freed_pair", [("n", "int"), ("d", "double"), ("numbers", ("array", "int", 4)),
                                              ("text", "string"), ("inner", inner)])
def fails(write, *arguments):
    try:
        write(*arguments)
    except epsilon.ForeignMemoryError as error:
        assert "freed at" in str(error), error
    else:
        raise AssertionError(f"{write} wrote into freed memory")

for word in ("int", "int8", "uint64", "char", "double", "float", "long-double", "bool", "string"):
    memory = epsilon.foreign_alloc(word, count=3)
    fails(memory.__setitem__, 0, Freeing(memory))
    memory = epsilon.foreign_alloc(word, count=3)
    fails(memory.__setitem__, slice(0, 2), [Freeing(memory), Freeing(memory)])
for name in ("n", "d", "text"):
    one = pair()
    fails(setattr, one, name, Freeing(one))
    memory = epsilon.foreign_alloc(pair, count=2)
    fails(setattr, memory[1], name, Freeing(memory))
one = pair(); fails(one.numbers.__setitem__, 1, Freeing(one))
one = pair(); fails(setattr, one, "numbers", [1, Freeing(one), 3, 4])
one = pair(); fails(setattr, one.inner, "n", Freeing(one))
one = pair(); fails(setattr, one, "inner", {"n": Freeing(one)})
memory = epsilon.foreign_alloc(pair); fails(memory.__setitem__, 0, {"n": Freeing(memory)})
class Index(Freeing):
    def __index__(self):
        epsilon.foreign_free(self.memory)
        return 0
memory = epsilon.foreign_alloc("int", count=3); fails(memory.__setitem__, Index(memory), 1)
memory = epsilon.foreign_alloc("int", count=3); fails(memory.__getitem__, Index(memory))
memory = epsilon.foreign_alloc("int", count=3); fails(epsilon.deref, memory, Index(memory))
memory = epsilon.foreign_alloc("int", count=3); fails(epsilon.deref_int, memory, Index(memory))
print("alive")
"""


def test_b8_a_value_that_frees_the_memory_it_is_written_to():
    """The conversion of the value runs Python, which may end the memory: nothing is written there any more."""
    assert run_child(FREEING, MALLOC_PERTURB_="165") == "alive\n"


FREED_ARGUMENT = """
import epsilon
class Freeing:
    def __init__(self, memory): self.memory = memory
    def __index__(self):
        epsilon.foreign_free(self.memory)
        return 1
memset = epsilon.lib_open("libc").bind("void *memset(void *s, int c, size_t n)")
memory = epsilon.foreign_alloc("char", count=1 << 20)
try:
    memset(memory, Freeing(memory), 1)
except epsilon.ForeignMemoryError as error:
    assert "freed at" in str(error)
else:
    raise AssertionError("C was given memory that had ended")
print("alive")
"""


def test_b9_a_later_argument_that_frees_an_earlier_one():
    """The conversion of an argument runs Python, which may end the memory that an earlier argument points to."""
    assert run_child(FREED_ARGUMENT) == "alive\n"


# --- deref ------------------------------------------------------------------------------------------------------------


def test_deref_reads_as_the_pointer_says(point):
    memory = foreign_alloc("double", initial=[1.5, 2.5])
    assert deref(memory) == 1.5 and deref(memory, 1) == 2.5
    assert deref(memory.cdata) == 1.5 and deref(memory.cdata, 1) == 2.5
    assert deref(ffi.new("unsigned char[2]", [1, 255]), 1) == 255
    assert deref(ffi.new("size_t *", 7)) == 7 and deref(ffi.new("wchar_t *", "x")) == ord("x")
    one = point(1, 2)
    assert deref(one) is one and deref(epsilon.struct_pointer(one)) == one
    strings = foreign_alloc(("pointer", "char"), initial=[foreign_alloc("char", initial="text\0")])
    assert epsilon.foreign_string(deref(strings)) == "text"


def test_deref_as_another_type():
    memory = foreign_alloc("uint32", initial=[0x01020304, 0xFFFFFFFF])
    raw = bytes(deref(memory, index, "uint8") for index in range(8))
    assert raw == bytes(ctypes.c_uint32(0x01020304)) + b"\xff" * 4
    assert deref(memory, 1, "int") == -1 and deref(memory, 0, "uint64") == int.from_bytes(
        raw, __import__("sys").byteorder
    )


def test_deref_as_another_type_keeps_the_bounds():
    memory = foreign_alloc("uint32", count=2)
    for index, word in ((8, "uint8"), (-1, "uint8"), (1, "uint64"), (10**30, "uint8")):
        with pytest.raises(epsilon.ForeignIndexError, match="which has 8 bytes"):
            deref(memory, index, word)
    with pytest.raises(epsilon.ForeignIndexError):
        deref_int(foreign_alloc("uint8", count=3))


def test_deref_int_reads_ints_through_anything(point):
    memory = foreign_alloc("int", initial=[41, -42])
    assert deref_int(memory) == deref_int(memory.cdata) == 41 and deref_int(memory, 1) == -42
    assert deref_int(ffi.cast("void *", memory.cdata), 1) == -42
    assert deref_int(point(5, 6), 1) == 6


def test_deref_of_null_and_of_no_pointer():
    with pytest.raises(epsilon.ForeignMemoryError, match="NULL"):
        deref(ffi.cast("int *", 0))
    with pytest.raises(epsilon.ForeignMemoryError, match="NULL"):
        deref_int(ffi.NULL)
    with pytest.raises(epsilon.ForeignTypeError, match="points to void"):
        deref(ffi.cast("void *", ffi.new("int *")))
    with pytest.raises(epsilon.ForeignTypeError, match="points to struct"):
        deref(load_c("struct hidden *give(void) { return (void *)8; }").bind("struct hidden *give(void)")())
    for value in (5, None, "text", b"x", [1]):
        with pytest.raises(epsilon.ForeignTypeError, match="takes a pointer"):
            deref(value)
        with pytest.raises(epsilon.ForeignTypeError, match="takes a pointer"):
            deref_int(value)


def test_is_null_pointer():
    assert epsilon.is_null_pointer(None) and epsilon.is_null_pointer(ffi.NULL)
    assert not epsilon.is_null_pointer(foreign_alloc("int")) and not epsilon.is_null_pointer(ffi.new("int *"))
    for value in (0, "", b""):
        with pytest.raises(epsilon.ForeignTypeError):
            epsilon.is_null_pointer(value)


# --- strings ----------------------------------------------------------------------------------------------------------


def test_foreign_string_reads_to_the_nul():
    memory = foreign_alloc("char", count=9, initial="λx\0yz")
    assert epsilon.foreign_string(memory) == epsilon.foreign_string(memory.cdata) == "λx"
    assert epsilon.foreign_string(ffi.new("char[]", b"abc")) == "abc"
    assert epsilon.foreign_string(ffi.cast("void *", memory.cdata)) == "λx"
    assert epsilon.foreign_string(None) is epsilon.foreign_string(ffi.NULL) is None


def test_foreign_string_never_reads_beyond_the_memory():
    assert epsilon.foreign_string(foreign_alloc("char", initial="full")) == "full"
    assert epsilon.foreign_string(foreign_alloc("char", count=0)) == ""


def test_foreign_string_in_an_encoding():
    memory = foreign_alloc("uint8", initial=b"a\xff\0")
    assert epsilon.foreign_string(memory, "latin-1") == "aÿ"
    assert epsilon.foreign_string(memory, None) == b"a\xff"
    assert epsilon.foreign_string(memory, errors="replace") == "a\ufffd"
    with pytest.raises(epsilon.ForeignValueError, match="offset 1"):
        epsilon.foreign_string(memory)
    with pytest.raises(epsilon.ForeignTypeError, match="nope"):
        epsilon.foreign_string(memory, "nope")
    for value in (5, "text", b"text"):
        with pytest.raises(epsilon.ForeignTypeError, match="takes a pointer"):
            epsilon.foreign_string(value)


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_sizeof_and_alignof_are_those_of_c(point):
    lib = load_c("struct s { char c; long double d; short h[3]; };\nint size(void) { return sizeof(struct s); }\n"
                 "int alignment(void) { return _Alignof(struct s); }")  # fmt: skip
    s = epsilon.define_c_struct_auto("s", "struct s { char c; long double d; short h[3]; };")
    assert epsilon.sizeof(s) == epsilon.sizeof("struct s") == s.size == lib.bind("int size(void)")()
    assert epsilon.alignof(s) == s.alignment == lib.bind("int alignment(void)")()
    assert epsilon.sizeof(("array", "double", 3)) == 24 and epsilon.sizeof("struct s *") == ffi.sizeof("void *")
    for expression in ("void", "struct never_defined", ("array", "int")):
        for measure in (epsilon.sizeof, epsilon.alignof):
            with pytest.raises(epsilon.ForeignTypeError, match="has no size"):
                measure(expression)


# --- pools ------------------------------------------------------------------------------------------------------------


def test_a_pool_gives_the_same_block_again():
    with pooled_memory("long", count=100) as first:
        address = first.address
        first[0] = 5
    for _ in range(10):
        with pooled_memory("long", count=100) as again:
            assert again.address == address and again[0] == 5
    with pooled_memory("long", count=101) as other, pooled_memory("long", count=100) as same:
        assert other.address != address == same.address


def test_blocks_in_use_are_not_given_twice():
    with pooled_memory("int", count=7) as one, pooled_memory("int", count=7) as two:
        one[0], two[0] = 1, 2
        assert one.address != two.address and (one[0], two[0]) == (1, 2)


def test_a_pooled_block_ends_with_its_block_of_code():
    with pooled_memory("int", count=3) as old:
        old[2] = 1
        with pytest.raises(epsilon.ForeignIndexError):
            old[3]
    with pooled_memory("int", count=3) as new:
        new[0] = 2
        for use in (lambda: old[0], lambda: old.__setitem__(0, 9)):
            with pytest.raises(epsilon.ForeignMemoryError, match="test_memory.py"):
                use()
        assert new[0] == 2


# --- pinned arrays ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (bytearray(b"abc"), "uint8"),
        (array.array("i", [1, 2]), "int"),
        (array.array("d", [1.5]), "double"),
        (array.array("h", [-1]), "short"),
        (array.array("Q", [2**64 - 1]), "unsigned-long-long"),
        (array.array("f", [0.5]), "float"),
        (memoryview(bytearray(8)).cast("i"), "int"),
        ((ctypes.c_int64 * 3)(1, 2, 3), "int64"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_pinned_array_is_the_array_itself(data, word):
    with pinned_array(data) as pinned:
        assert pinned.element is epsilon.ctype(word) and list(pinned) == list(data) and len(pinned) == len(data)
        pinned[0] = 0
        assert data[0] == 0 == pinned[0]
        data[-1] = 3
        assert pinned[len(data) - 1] == 3
        with pytest.raises(epsilon.ForeignIndexError):
            pinned[len(data)]


def test_c_writes_into_a_pinned_array():
    fill = load_c("void fill(int *p, int n) { for (int i = 0; i < n; i++) p[i] = i; }").bind("void fill(int *p, int n)")
    data = array.array("i", bytes(4 * 5))
    with pinned_array(data) as pinned:
        fill(pinned, 5)
    assert list(data) == [0, 1, 2, 3, 4]


def test_a_pinned_bytearray_cannot_be_resized_until_the_end():
    data = bytearray(b"abc")
    with pinned_array(data):
        with pytest.raises(BufferError):
            data.extend(b"d")
    data.extend(b"d")
    with pytest.raises(ZeroDivisionError), pinned_array(data):
        raise ZeroDivisionError
    data.extend(b"e")
    assert data == b"abcde"


def test_read_only_objects_give_read_only_memory():
    data = b"immutable"
    with pinned_array(data) as pinned:
        assert bytes(pinned) == data
        with pytest.raises(epsilon.ForeignMemoryError, match="is read-only"):
            pinned[0] = 1
        with pytest.raises(epsilon.ForeignMemoryError, match="is read-only"):
            pinned[0:2] = b"xy"
    with pinned_array(memoryview(bytearray(2)).toreadonly()) as pinned, pytest.raises(epsilon.ForeignMemoryError):
        pinned[0] = 1
    assert data == b"immutable"


def test_a_pinned_array_ends_with_its_block():
    with pinned_array(bytearray(3)) as pinned:
        pass
    with pytest.raises(epsilon.ForeignMemoryError, match="test_memory.py"):
        pinned[0]


def test_what_cannot_be_pinned():
    for value in ("text", 5, [1], object()):
        with pytest.raises(epsilon.ForeignTypeError, match="an object with the buffer protocol"):
            pinned_array(value)
    for value in (memoryview(bytearray(8))[::2], memoryview(bytearray(8))[::-1]):
        with pytest.raises(epsilon.ForeignValueError, match="not contiguous"):
            pinned_array(value)

    class Pair(ctypes.Structure):
        _fields_ = [("a", ctypes.c_int), ("b", ctypes.c_int)]

    with pytest.raises(epsilon.ForeignTypeError, match="no C scalars"):
        pinned_array((Pair * 2)())
    assert len(pinned_array(bytearray())) == 0


def test_read_only_memory_is_refused_where_c_writes():
    data = b"".join([b"abc", b"def"])
    memset = epsilon.lib_open("libc").bind("memset", "pointer", [("buffer", "writable"), "int", "size"])
    with epsilon.pinned_array(data) as pinned, pytest.raises(epsilon.ForeignValueError, match="read-only"):
        memset(pinned, 88, 6)
    assert data == b"abcdef"


def test_a_const_char_pointer_takes_read_only_buffers():
    libc = epsilon.lib_open("libc")
    compare = libc.bind("int memcmp(const unsigned char *a, const unsigned char *b, size_t n)")
    assert compare(b"abc", bytearray(b"abc"), 3) == 0
    copy = libc.bind("void *memcpy(unsigned char *to, const unsigned char *from, size_t n)")
    with pytest.raises(epsilon.ForeignValueError, match="read-only"):
        copy(b"abc", b"xyz", 3)
    target = bytearray(3)
    copy(target, b"xyz", 3)
    assert target == b"xyz"


def test_a_callback_of_another_signature_is_refused_for_a_function_parameter():
    qsort = epsilon.lib_open("libc").bind("void qsort(void *, size_t, size_t, int (*)(const void *, const void *))")
    numbers = epsilon.foreign_alloc("int", initial=[3, 1, 2])
    qsort(numbers, 3, 4, epsilon.make_callback(lambda a, b: a - b, "int", [("in", "int"), ("in", "int")]))
    assert list(numbers) == [1, 2, 3]
    with pytest.raises(epsilon.ForeignTypeError, match="parameter 4"):
        qsort(numbers, 3, 4, epsilon.make_callback(lambda a: a, "double", ["double"]))
