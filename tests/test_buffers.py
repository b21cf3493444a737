"""Foreign memory as NumPy arrays and arrays into foreign memory: copies, views without a copy, and who takes what."""

from __future__ import annotations

import array
import functools
import gc
import random
import struct

import _cffi_backend as cffi
import pytest
from clib import SHIM, load_c, run_child

import epsilon
from epsilon import ForeignMemoryError, ForeignTypeError, ForeignValueError, _backend, from_buffer, into_buffer

try:
    import numpy
except ImportError:
    numpy = None

needs_numpy = pytest.mark.skipif(numpy is None, reason="NumPy is not installed")

lib = load_c("""
#include <complex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#define SUM(T, NAME) \\
    double sum_##NAME(const T *xs, size_t n) { double t = 0; while (n--) t += (double)xs[n]; return t; } \\
    void ramp_##NAME(T *xs, size_t n) { for (size_t i = 0; i < n; i++) xs[i] = (T)i; }
SUM(int8_t, int8) SUM(uint8_t, uint8) SUM(int16_t, int16) SUM(uint16_t, uint16) SUM(int32_t, int32)
SUM(uint32_t, uint32) SUM(int64_t, int64) SUM(uint64_t, uint64) SUM(float, float) SUM(double, double) SUM(bool, bool)
SUM(long double, long_double)
double sum_float_complex(const float complex *xs, size_t n)
{ double t = 0; while (n--) t += creal(xs[n]) + 10 * cimag(xs[n]); return t; }
double sum_double_complex(const double complex *xs, size_t n)
{ double t = 0; while (n--) t += creal(xs[n]) + 10 * cimag(xs[n]); return t; }
struct sample { char tag; double value; int16_t pair[2]; unsigned low : 3, high : 5; };
double total(const struct sample *s, size_t n)
{ double t = 0; while (n--) t += s[n].value + s[n].pair[1] + 100 * s[n].high; return t; }
int *numbers(int n) { int *p = malloc(n * sizeof *p); for (int i = 0; i < n; i++) p[i] = i * i; return p; }
int released;
void release(void *p) { released++; free(p); }
int lend(int (*f)(int *, int)) { int xs[4] = {1, 2, 3, 4}; int r = f(xs, 4); return r * 1000 + xs[0]; }
""")

NAMES = ("int8 uint8 int16 uint16 int32 uint32 int64 uint64 float double bool long-double float-complex "
         "double-complex").split()  # fmt: skip


def c_sum(name, memory, count):
    return lib.bind("sum_" + name.replace("-", "_"), "double", ["pointer", "size"])(memory, count)


def sample_type():
    return epsilon.define_c_struct_auto("sample", """struct sample { char tag; double value; int16_t pair[2];
                                                  unsigned low : 3, high : 5; };""")  # fmt: skip


# --- copies ---------------------------------------------------------------------------------------------------------


@needs_numpy
@pytest.mark.parametrize("name", NAMES)
def test_c_reads_what_into_buffer_wrote_and_from_buffer_what_c_has(name):
    dtype = epsilon.numpy_dtype(name)
    values = numpy.array([1, 0, 1, 1, 0, 1]).astype(dtype)
    if "complex" in name:
        values = values + dtype.type(2j)
    memory = epsilon.foreign_alloc(name, count=8)
    assert into_buffer(values, memory) == 6
    assert c_sum(name, memory, 6) == float(values.real.astype(float).sum() + 10 * values.imag.astype(float).sum())
    back = from_buffer(memory, 6, dtype)
    assert back.dtype == dtype and (back == values).all()
    assert (from_buffer(memory, (2, 3), name) == values.reshape(2, 3)).all()
    assert from_buffer(memory).shape == (8,) and (from_buffer(memory, copy=False)[:6] == values).all()
    assert from_buffer(memory, 0).shape == (0,) and from_buffer(memory, ()) == values[0]


@needs_numpy
def test_a_copy_is_apart_from_the_memory():
    memory = epsilon.foreign_alloc("int", initial=[1, 2])
    copy = from_buffer(memory, 2, "int")
    memory[0] = 9
    copy[1] = 8
    assert list(copy) == [1, 8] and list(memory) == [9, 2] and copy.flags.owndata


@needs_numpy
def test_elements_count_row_by_row_whatever_the_strides():
    choose = random.Random(1)
    whole = numpy.arange(24, dtype="i4").reshape(2, 3, 4)
    frozen = whole.copy()
    frozen.flags.writeable = False
    arrays = [whole, whole.T, numpy.asfortranarray(whole), whole[:, ::2], whole[::-1, :, 1], whole[1, :, ::-1], frozen,
              whole[0, 0, 0], whole[:, :0], numpy.broadcast_to(whole[0, 0], (3, 4))]  # fmt: skip
    for one in arrays:
        flat = list(one.flat)
        for start in range(len(flat) + 1):
            length = choose.choice([None, choose.randint(0, len(flat) - start)])
            memory = epsilon.foreign_alloc("int", count=30, initial=-1)
            wanted = flat[start:] if length is None else flat[start : start + length]
            assert into_buffer(one, memory, start, length) == len(wanted)
            assert list(memory) == wanted + [-1] * (30 - len(wanted))


def test_any_buffer_goes_into_memory_without_numpy():
    numbers = array.array("i", range(6))
    memory = epsilon.foreign_alloc("int", count=6)
    assert into_buffer(numbers, memory, start=4) == 2 and list(memory) == [4, 5, 0, 0, 0, 0]
    assert into_buffer(numbers, memory, 1, 3) == 3 and list(memory) == [1, 2, 3, 0, 0, 0]
    assert into_buffer(memoryview(numbers)[::2], memory) == 3 and list(memory)[:3] == [0, 2, 4]
    assert into_buffer(memoryview(numbers)[::-2], memory, 1, 1) == 1 and memory[0] == 3
    text = epsilon.foreign_alloc("char", count=6)
    assert into_buffer(b"letters", text, 0, 6) == 6 and bytes(text[0:6]) == b"letter"
    assert into_buffer(bytearray(b"xy"), text) == 2 and bytes(text[0:6]) == b"xytter"
    with pytest.raises(ForeignTypeError, match=r"the elements are int and <foreign memory double \[1\].* to double"):
        into_buffer(numbers, epsilon.foreign_alloc("double"))
    with pytest.raises(ForeignTypeError, match="an array with the buffer protocol, not \\[1, 2\\]"):
        into_buffer([1, 2], memory)


def test_without_numpy_from_buffer_says_how_to_get_it():
    print(run_child("""
import sys
sys.modules["numpy"] = None
import epsilon
memory = epsilon.foreign_alloc("int", count=3)
assert epsilon.into_buffer(memoryview(b"abcdabcd").cast("i"), memory) == 2 and memory[0] == memory[1] != 0
for attempt in (lambda: epsilon.from_buffer(memory), lambda: epsilon.numpy_dtype("int"), memory.__dlpack__):
    try:
        attempt()
    except ImportError as error:
        assert "needs NumPy, which is not here: pip install 'epsilon-ffi[numpy]'" in str(error)
    else:
        raise AssertionError
class Shows:
    __array_interface__ = {}
try:
    epsilon.pinned_array(Shows())
except epsilon.ForeignTypeError as error:
    assert "with __array_interface__, which needs NumPy to be read" in str(error)
else:
    raise AssertionError
"""))


@needs_numpy
@pytest.mark.parametrize(("name", "dtype"), [
    ("int", "unsigned-int"), ("int", "float32"), ("int", ">i4"), ("int", "long"), ("float", "double"), ("double", int),
    ("bool", "uint8"), ("uint8", "bool"), ("double", "double-complex"), ("int", object), ("int", "m8[s]"),
    ("int", "V4"), ("int", [("a", "i4")]), ("long-double", "double-complex"), ("int64", "pointer"),
])  # fmt: skip
def test_a_dtype_that_is_not_the_pointers_type_is_refused(name, dtype):
    memory = epsilon.foreign_alloc(name, count=4)
    with pytest.raises(ForeignTypeError, match="from_buffer: (the dtype is .* points to|C has no object)"):
        from_buffer(memory, 1, dtype)
    try:
        wrong = numpy.zeros(1, epsilon.numpy_dtype(dtype))
    except ForeignTypeError:
        wrong = numpy.zeros(1, dtype)
    with pytest.raises(ForeignTypeError, match="into_buffer: (the dtype is .* points to|C has no object)"):
        into_buffer(wrong, memory)
    assert list(memory) == [0] * 4


@needs_numpy
def test_one_type_under_several_names_is_taken():
    for name, dtypes in {"char": ["i1", "u1", "S1", "char", numpy.uint8], "unsigned-long": ["size", "u8", "uint64_t"],
                         "double": [float, "f8", "double", numpy.float64, numpy.dtype("d")], "wchar": ["i4", "int"],
                         "float": ["float", "float32", "<f4"], "string": ["uintp"]}.items():  # fmt: skip
        memory = epsilon.foreign_alloc(name, count=2)
        for dtype in dtypes:
            assert from_buffer(memory, 2, dtype).nbytes == memory.size


@needs_numpy
def test_a_size_that_is_known_and_too_small_is_refused():
    memory = epsilon.foreign_alloc("int", count=10)
    with pytest.raises(ForeignValueError, match=r"shape \(3, 4\) of int32 takes 48 bytes, and <.* \[10\], .*> has 40"):
        from_buffer(memory, (3, 4), "int")
    with pytest.raises(ForeignValueError, match=r"11 elements of int32 take 44 bytes, and <foreign .*> has 40"):
        into_buffer(numpy.zeros(11, "i4"), memory)
    with pytest.raises(ForeignValueError, match="no memory has so many"):
        from_buffer(lib.bind("numbers", ("pointer", "int"), ["int"])(1), (2**62, 2**62))
    assert into_buffer(numpy.zeros(11, "i4"), memory, 1) == 10
    assert from_buffer(memory, 3).shape == (3,), "a larger buffer is taken"


@pytest.mark.parametrize(("start", "length", "message"), [
    (-1, None, "start -1 is no place in an array of 5"), (6, None, "start 6 is no place in an array of 5"),
    (0, 6, "6 elements from 0 on are not all in an array of 5"), (4, 2, "2 elements from 4 on are not all"),
    (0, -1, "-1 elements from 0 on are not all"),
    (2**60, None, "start 1152921504606846976 is no place"), (0, 2**70, "1180591620717411303424 elements from"),
])  # fmt: skip
def test_a_start_or_length_outside_the_array_is_refused(start, length, message):
    for one in [array.array("i", range(5))] + ([numpy.arange(5, dtype="i4")] if numpy else []):
        memory = epsilon.foreign_alloc("int", count=10)
        with pytest.raises(ForeignValueError, match=f"into_buffer: {message}"):
            into_buffer(one, memory, start, length)
        assert not any(memory)
    with pytest.raises(ForeignTypeError, match="start and length are ints, got start 'x' and length None"):
        into_buffer(array.array("i"), memory, "x")


@needs_numpy
def test_bad_shapes_and_pointers():
    memory = epsilon.foreign_alloc("int", count=4)
    for shape, error in [(-1, ForeignValueError), ((2, -2), ForeignValueError), ("x", ForeignTypeError),
                         (1.5, ForeignTypeError), ((1, "x"), ForeignTypeError),
                         (2**80, ForeignValueError)]:  # fmt: skip
        with pytest.raises(error, match="from_buffer: "):
            from_buffer(memory, shape)
    for pointer, error in [(None, ForeignMemoryError), (cffi.cast(cffi.new_pointer_type(
            cffi.new_primitive_type("int")), 0), ForeignMemoryError), (bytearray(8), ForeignTypeError),
            (12345, ForeignTypeError), ("text", ForeignTypeError)]:  # fmt: skip
        with pytest.raises(error, match="from_buffer"):
            from_buffer(pointer, 1, "int")
        with pytest.raises(error, match="into_buffer"):
            into_buffer(b"", pointer)
    with pytest.raises(ForeignTypeError, match="unknown type 'imt'.*nor is it a dtype of NumPy's"):
        from_buffer(memory, 1, "imt")
    with pytest.raises(ForeignValueError, match="nobody knows how many elements .* has; say the shape"):
        from_buffer(lib.bind("numbers", ("pointer", "int"), ["int"])(1))
    epsilon.foreign_free(memory)
    for attempt in (lambda: from_buffer(memory), lambda: into_buffer(numpy.zeros(1, "i4"), memory)):
        with pytest.raises(ForeignMemoryError, match="after its end: it was freed at"):
            attempt()


@needs_numpy
def test_a_void_pointer_takes_any_dtype():
    pointer = lib.bind("malloc", "pointer", ["size"])(64)
    assert into_buffer(numpy.array([1.5, 2.5]), pointer) == 2
    assert list(from_buffer(pointer, 2, "double")) == [1.5, 2.5]
    assert list(from_buffer(pointer, 2, "M8[s]").view("f8")) == [1.5, 2.5]
    assert into_buffer(b"bytes", pointer) == 5 and from_buffer(pointer, 1, "S5")[0] == b"bytes"
    with pytest.raises(ForeignTypeError, match="points to void; say the dtype"):
        from_buffer(pointer, 1)
    for dtype in ("O", [("a", "i4"), ("b", "O")]):
        with pytest.raises(ForeignTypeError, match="whose values are Python objects"):
            from_buffer(pointer, 1, dtype)
        with pytest.raises(ForeignTypeError, match="whose values are Python objects"):
            into_buffer(numpy.zeros(1, dtype), pointer)
    lib.bind("free", "void", ["pointer"])(pointer)


@needs_numpy
def test_pointers_that_c_gave_and_cffi_s_own():
    numbers = lib.bind("numbers", ("pointer", "int"), ["int"])
    pointer = numbers(5)
    assert list(from_buffer(pointer, 5)) == [0, 1, 4, 9, 16]
    view = from_buffer(pointer, 5, "int", copy=False)
    view[0] = 7
    assert epsilon.deref(pointer) == 7
    own = cffi.newp(cffi.new_array_type(cffi.new_pointer_type(cffi.new_primitive_type("double")), None), 4)
    assert into_buffer(numpy.ones(4), own) == 4 and from_buffer(own).sum() == 4
    with pytest.raises(ForeignValueError, match="has 32"):
        into_buffer(numpy.ones(5), own)
    view = from_buffer(own, copy=False)
    del own
    gc.collect()
    assert view.sum() == 4
    lib.bind("release", "void", ["pointer"])(pointer)


# --- structs --------------------------------------------------------------------------------------------------------


@needs_numpy
def test_structs_cross_whole_with_padding_and_bit_fields():
    sample = sample_type()
    dtype = epsilon.numpy_dtype(sample)
    assert dtype.itemsize == sample.size and dtype.names == ("tag", "value", "pair")
    assert {name: dtype.fields[name][1] for name in dtype.names} == {name: sample.offset(name) for name in dtype.names}
    memory = epsilon.foreign_alloc(sample, count=4)
    for place in range(4):
        memory[place] = sample(value=place, pair=[0, 10], high=place)
    total = lib.bind("total", "double", ["pointer", "size"])
    assert total(memory, 4) == 6 + 40 + 600
    view = numpy.asarray(memory)
    assert view.dtype == dtype and list(view["value"]) == [0, 1, 2, 3] and view["pair"].tolist() == [[0, 10]] * 4
    view["value"] += 1
    assert memory[3].value == 4 and total(memory, 4) == 10 + 40 + 600
    for copy in (True, False):
        other = epsilon.foreign_alloc(sample, count=4)
        assert into_buffer(from_buffer(memory, 4, sample, copy=copy), other) == 4
        assert total(other, 4) == 10 + 40 + 600, "the bits, which the dtype does not have, came along"
        assert into_buffer(from_buffer(memory, 4, sample, copy=copy)[::-2], other) == 2
        assert total(other, 2) == 4 + 2 + 20 + 400
    assert from_buffer(memory[1], 1)["value"] == [2] and from_buffer(memory[1].pair).tolist() == [0, 10]
    assert into_buffer(numpy.array([5, 6], "i2"), memory[1].pair) == 2 and list(memory[1].pair) == [5, 6]
    pair = from_buffer(memory[2].pair, copy=False)
    pair[0] = 77
    assert memory[2].pair[0] == 77


@needs_numpy
def test_a_structured_dtype_must_have_the_layout_of_the_struct():
    sample = sample_type()
    memory = epsilon.foreign_alloc(sample, count=2)
    dtype = epsilon.numpy_dtype(sample)
    for wrong in (numpy.dtype([("tag", "i1"), ("value", "f8"), ("pair", "i2", 2)]), f"V{sample.size}", "f8",
                  numpy.dtype({"names": list("abc"), "formats": [dtype[n] for n in dtype.names],
                               "offsets": [dtype.fields[n][1] for n in dtype.names], "itemsize": dtype.itemsize}),
                  epsilon.define_c_struct("other", [("value", "double")])):  # fmt: skip
        with pytest.raises(ForeignTypeError, match="the dtype is .* points to struct sample, which is "):
            from_buffer(memory, 1, wrong)
    offsets = [dtype.fields[name][1] for name in dtype.names]
    again = numpy.dtype({"names": dtype.names, "formats": [dtype[name] for name in dtype.names],
                         "itemsize": sample.size, "offsets": offsets})  # fmt: skip
    assert from_buffer(memory, 1, again).shape == (1,)
    with pytest.raises(ForeignTypeError, match="has no size, and no dtype"):
        epsilon.numpy_dtype("struct never_defined")


@needs_numpy
def test_unions_pointers_enums_nested_structs_and_arrays_have_dtypes():
    union = epsilon.define_c_struct_auto("word_or_real", "union word_or_real { uint32_t word; float real; };")
    memory = epsilon.foreign_alloc(union, count=2)
    view = numpy.asarray(memory)
    view["real"] = 1.0
    assert memory[1].word == struct.unpack("I", struct.pack("f", 1.0))[0]
    color = epsilon.define_c_enum("buffer_color", ["red", "green"])
    outer = epsilon.define_c_struct("outer", [("inner", sample_type()), ("color", color), ("next", "pointer"),
                                              ("grid", ("array", ("array", "int", 3), 2))])  # fmt: skip
    dtype = epsilon.numpy_dtype(outer)
    assert dtype["color"].kind in "iu" and dtype["next"] == numpy.uintp and dtype["grid"].shape == (2, 3)
    assert dtype.itemsize == outer.size and dtype["inner"] == epsilon.numpy_dtype(("struct", "sample"))
    grids = epsilon.foreign_alloc(("array", "int", 3), count=2)
    assert into_buffer(numpy.arange(6, dtype="i4").reshape(2, 3), grids) == 6
    assert list(grids[1]) == [3, 4, 5] and from_buffer(grids).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert from_buffer(grids, 2, ("array", "int", 3)).shape == (2, 3) and from_buffer(grids, 6).shape == (6,)
    assert numpy.asarray(grids).shape == (2, 3)


# --- views without a copy -------------------------------------------------------------------------------------------


@needs_numpy
def test_a_view_shares_the_memory_and_keeps_it():
    memory = epsilon.foreign_alloc("double", count=1000, initial=1.0)
    view = from_buffer(memory, (10, 100), "double", copy=False)
    view[9, 99] = 5
    memory[0] = 3
    assert view[0, 0] == 3 and memory[999] == 5 and _backend.leases_of(memory) == 1
    part = view[2:, ::3]
    address = memory.address
    del memory, view
    gc.collect()
    assert part.base is not None and part.__array_interface__["data"][0] == address + 1600 and part[0, 0] == 1


@needs_numpy
def test_memory_that_ends_keeps_its_bytes_for_its_views():
    memory = epsilon.foreign_alloc("double", count=1000, initial=1.0)
    view, other = from_buffer(memory, copy=False), numpy.asarray(memory)
    assert _backend.leases_of(memory) == 2
    epsilon.foreign_free(memory)
    with pytest.raises(ForeignMemoryError, match="after its end"):
        memory[0]
    taken = [epsilon.foreign_alloc("double", count=1000, initial=2.0) for _ in range(10)]
    view += 1
    assert view.sum() == other.sum() == 2000 and taken[0][0] == 2
    del view
    assert _backend.leases_of(memory) == 1
    del other
    assert _backend.leases_of(memory) == 0
    with epsilon.foreign_memory("int", initial=[1, 2, 3]) as small:
        view = numpy.asarray(small)
    assert view.sum() == 6 and not small.alive


@needs_numpy
def test_a_block_of_a_pool_is_nobody_elses_while_it_is_viewed():
    with epsilon.pooled_memory("int", count=77) as block:
        view = from_buffer(block, copy=False)
        address = block.address
    with epsilon.pooled_memory("int", count=77) as block:
        assert block.address != address
        block[0] = 1
    assert view.__array_interface__["data"][0] == address


@needs_numpy
def test_a_pinned_object_stays_locked_for_its_views():
    data = bytearray(8)
    with epsilon.pinned_array(data) as pinned:
        view = from_buffer(pinned, copy=False)
    view[0] = 5
    assert data[0] == 5
    with pytest.raises(BufferError):
        data.append(1)
    del view, pinned
    gc.collect()
    data.append(1)


@needs_numpy
def test_what_c_gave_away_is_freed_with_its_last_view():
    released = epsilon.foreign_variable("released", lib, "int")
    numbers = lib.bind("numbers", ("pointer", "int"), ["int"], free="release")
    before = released.value
    with numbers(5) as owned:
        view = from_buffer(owned, 5, "int", copy=False)
        assert view.tolist() == [0, 1, 4, 9, 16]
    assert released.value == before and view.tolist() == [0, 1, 4, 9, 16]
    with pytest.raises(ForeignMemoryError):
        owned[0]
    del view, owned
    gc.collect()
    assert released.value == before + 1


@needs_numpy
def test_read_only_memory_gives_read_only_views():
    with epsilon.pinned_array(b"constant") as pinned:
        view, copy = from_buffer(pinned, copy=False), from_buffer(pinned)
        copy[0] = 1
        for one in (view, numpy.asarray(pinned)):
            with pytest.raises(ValueError, match="read-only"):
                one[0] = 1
            if SHIM:  # cffi's own buffers know no read-only ones
                with pytest.raises(ValueError):
                    one.flags.writeable = True
        with pytest.raises(ForeignMemoryError, match="is read-only"):
            into_buffer(b"x", pinned)


@needs_numpy
def test_what_c_lends_to_a_callback_is_copied():
    seen = []

    def received(xs):
        with pytest.raises(ForeignMemoryError, match="goes away when the callback returns; a view could outlive it"):
            from_buffer(xs, copy=False)
        with pytest.raises(ForeignMemoryError):
            xs.__dlpack__()
        with pytest.raises(AttributeError):
            _ = xs.__array_interface__
        seen.extend([from_buffer(xs), numpy.asarray(xs), numpy.asarray(xs, dtype="f8")])
        into_buffer(seen[0] * 2, xs)
        return 0

    callback = epsilon.make_callback(received, "int", [("array", "int", {"length": 1}), "int"])
    assert lib.bind("lend", "int", ["pointer"])(callback) == 2
    assert all(one.tolist() == [1, 2, 3, 4] for one in seen) and seen[2].dtype == "f8"


@needs_numpy
def test_numpy_s_own_ways_of_asking_for_a_view():
    memory = epsilon.foreign_alloc("uint16", initial=[1, 2, 3])
    assert numpy.asarray(memory).dtype == "u2" and not numpy.asarray(memory).flags.owndata
    assert numpy.array(memory).flags.owndata
    assert numpy.asarray(memory, dtype="f8").tolist() == [1, 2, 3]
    assert memory.__array__("f4").dtype == "f4" and memory.__array__(copy=True).flags.owndata
    with pytest.raises(ValueError, match="without a copy"):
        memory.__array__("f4", copy=False)
    assert numpy.add(memory, 1).tolist() == [2, 3, 4]
    interface = memory.__array_interface__
    assert interface["shape"] == (3,) and interface["typestr"] == "<u2"
    assert bytes(interface["data"]) == bytes(numpy.asarray(memory))


@needs_numpy
def test_views_are_made_and_dropped_while_other_threads_end_the_memory():
    print(run_child("""
import threading, numpy, epsilon
source = numpy.ones(50000)
def work():
    for _ in range(200):
        memory = epsilon.foreign_alloc("double", count=50000)
        ender = threading.Thread(target=epsilon.foreign_free, args=(memory,))
        ender.start()
        try:
            epsilon.into_buffer(source, memory)
            view = epsilon.from_buffer(memory, copy=False)
            epsilon.from_buffer(memory)
            assert view.sum() == 50000
        except epsilon.ForeignMemoryError:
            pass
        ender.join()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""))


# --- DLPack and __array_interface__ ---------------------------------------------------------------------------------


class OnlyDLPack:
    """What a tensor of another library is to us."""

    def __init__(self, of, device=(1, 0)):
        self.of, self.device = of, device

    def __dlpack__(self, **options):
        return self.of.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device


class OnlyInterface:
    """An object that shows its memory by the older protocol alone."""

    def __init__(self, of):
        self.of = of

    @property
    def __array_interface__(self):
        return self.of.__array_interface__


@needs_numpy
def test_dlpack_out_is_a_view():
    memory = epsilon.foreign_alloc("float", initial=[1, 2, 3])
    assert memory.__dlpack_device__() == (1, 0)
    found = numpy.from_dlpack(memory)
    memory[0] = 9
    assert found.tolist() == [9, 2, 3]
    epsilon.foreign_free(memory)
    assert found.tolist() == [9, 2, 3]
    with epsilon.pinned_array(b"xyz") as pinned, pytest.raises(BufferError):
        pinned.__dlpack__()
    with pytest.raises(BufferError):
        epsilon.foreign_alloc(sample_type()).__dlpack__()


@needs_numpy
@pytest.mark.parametrize("shows", [OnlyDLPack, OnlyInterface, None])
def test_what_shows_its_memory_is_taken_wherever_a_buffer_is(shows):
    numbers = numpy.arange(5, dtype="i4")
    given = numbers if shows is None else shows(numbers)
    assert lib.bind("sum_int32", "double", ["buffer", "size"])(given, 5) == 10
    assert lib.bind("sum_int32", "double", [("array", "int32", {"length": 1}), "size"])(given) == 10
    with epsilon.pinned_array(given) as pinned:
        assert list(pinned) == [0, 1, 2, 3, 4]
        if not pinned.readonly:
            pinned[0] = 7
            assert numbers[0] == 7, "without a copy"
            pinned[0] = 0
    memory = epsilon.foreign_alloc("int", count=5)
    assert into_buffer(given, memory, 1) == 4 and list(memory) == [1, 2, 3, 4, 0]
    ramp = lib.bind("ramp_int32", "void", [("buffer", "writable"), "size"])
    numbers[:] = 0
    if shows is not OnlyDLPack:  # which older NumPys read as read-only
        ramp(given, 5)
        assert numbers.tolist() == [0, 1, 2, 3, 4]
    frozen = numpy.arange(3, dtype="i4")
    frozen.flags.writeable = False
    if shows is OnlyDLPack:
        with pytest.raises(ForeignTypeError, match="__dlpack__ NumPy does not take"):
            ramp(shows(numpy.array(["a"])), 1)
    else:
        with pytest.raises(ForeignValueError, match="read-only"):
            ramp(frozen if shows is None else shows(frozen), 3)


@needs_numpy
def test_memory_of_a_gpu_and_nonsense_are_refused():
    memory = epsilon.foreign_alloc("int", count=5)
    in_place = lib.bind("sum_int32", "double", ["buffer"])
    on_gpu = OnlyDLPack(numpy.zeros(1, "i4"), device=(2, 0))
    nonsense = OnlyInterface(type("x", (), {"__array_interface__": 5}))
    for wrong in (on_gpu, nonsense):
        for take in (in_place, epsilon.pinned_array, functools.partial(into_buffer, pointer=memory)):
            with pytest.raises(ForeignTypeError, match="NumPy does not take"):
                take(wrong)


def test_a_slice_of_a_memoryview_is_pinned_where_it_begins():
    data = bytearray(b"abcdef")
    with memoryview(data) as whole, whole[2:4] as part, epsilon.pinned_array(part) as pinned:
        assert bytes(pinned[0:2]) == b"cd" and len(pinned) == 2
    assert lib.bind("sum_uint8", "double", [("array", "uint8"), "size"])(memoryview(data)[2:4], 2) == 99 + 100


@needs_numpy
def test_views_and_copies_leave_nothing():
    """800 KB, ended under a view, 3,000 times over: 2.4 GB, were they not freed with the view."""
    print(run_child("""
import resource, numpy, epsilon
def once():
    memory = epsilon.foreign_alloc("double", count=100_000)
    view = epsilon.from_buffer(memory, copy=False)
    view[:] = 1
    epsilon.foreign_free(memory)
    del view
    held = epsilon.from_buffer(memory2, copy=False)
    epsilon.into_buffer(source, memory2)
source, memory2 = numpy.ones(1000), epsilon.foreign_alloc("double", count=1000)
for _ in range(100): once()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(3000): once()
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert grown < 20_000, grown
"""))
