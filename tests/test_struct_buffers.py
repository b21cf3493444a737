"""Structs and arrays of structs have the buffer protocol: bytes in place, which keep their memory from ending."""

from __future__ import annotations

import gc
import io
import struct
import sys

import pytest
from clib import SHIM, load_c, run_child

import epsilon
from epsilon import ForeignMemoryError, foreign_alloc, foreign_free

#: Python itself gives classes written in it a buffer from 3.12 on (PEP 688)
HAS_BUFFERS = SHIM or sys.version_info >= (3, 12)
needs_buffers = pytest.mark.skipif(not HAS_BUFFERS, reason="without the shim buffers of structs need Python 3.12")
needs_shim = pytest.mark.skipif(not SHIM, reason="buffers with items that are structs need the shim")


@pytest.fixture
def point():
    return epsilon.define_c_struct("buffered_point", [("x", "int"), ("y", "int")])


def test_bytes_are_the_memory_as_it_is(point):
    assert bytes(point(1, 2)) == struct.pack("ii", 1, 2)
    points = foreign_alloc(point, initial=[{"x": 1}, {"y": 2}])
    assert bytes(points) == struct.pack("iiii", 1, 0, 0, 2)
    assert bytes(foreign_alloc("short", initial=[1, -1])) == struct.pack("hh", 1, -1)
    with pytest.raises(epsilon.ForeignTypeError, match="no end that is known"):
        bytes(epsilon.cast(epsilon.lib_open("libc").bind("strdup", ("pointer", "char"), ["string"], free="free")("x"),
                           "const char *"))


@needs_buffers
def test_a_memoryview_of_a_struct_is_its_bytes_in_place(point):
    one = point(1, 2)
    with memoryview(one) as view:
        assert (view.nbytes, view.itemsize, view.format, view.ndim, view.readonly) == (8, 1, "B", 1, False)
        assert view.tobytes() == bytes(one)
        view[0:4] = struct.pack("i", 7)
        one.y = 9
        assert view.cast("i").tolist() == [7, 9]
    assert one.x == 7
    assert io.BytesIO(struct.pack("ii", 3, 4)).readinto(one) == 8
    assert struct.unpack_from("ii", one) == (3, 4) == (one.x, one.y)


@needs_buffers
def test_nested_structs_and_unions_have_one_too(point):
    line = epsilon.define_c_struct("buffered_line", [("from", point), ("to", point)])
    value = epsilon.define_c_union("buffered_value", [("i", "int"), ("f", "float")])
    one = line()
    one.to.y = 5
    with memoryview(one["to"]) as view:
        assert view.tobytes() == struct.pack("ii", 0, 5)
        with pytest.raises(ForeignMemoryError, match="a buffer of it, such as a memoryview"):
            foreign_free(one)
    foreign_free(one)
    with pytest.raises(ForeignMemoryError, match="after its end"):
        memoryview(one)
    assert memoryview(value(f=1.0)).tobytes() == struct.pack("f", 1.0)


@needs_buffers
def test_a_buffer_keeps_its_memory_and_makes_its_end_an_error(point):
    one = point(1, 2)
    view = memoryview(one)
    second = view[2:]
    for end in (lambda: foreign_free(one), lambda: one.__exit__(None, None, None)):
        with pytest.raises(ForeignMemoryError, match="cannot end: a buffer of it, such as a memoryview"):
            end()
    assert one.x == 1
    view.release()
    with pytest.raises(ForeignMemoryError):
        foreign_free(one)
    second.release()
    foreign_free(one)
    view = memoryview(point(3, 4))
    gc.collect()
    others = [point(0, 0) for _ in range(100)]
    assert view.tobytes() == struct.pack("ii", 3, 4)
    del others


@needs_buffers
def test_arenas_and_pools_wait_for_it_too(point):
    with epsilon.arena() as a:
        block = a.alloc(point, initial={"x": 5})
        with memoryview(block[0]) as view:
            with pytest.raises(ForeignMemoryError, match="a buffer of it"):
                a.close()
            assert view[0] == 5
    assert a.closed
    pool = epsilon.Pool(point)
    block = pool.alloc()
    view = memoryview(block[0])
    with pytest.raises(ForeignMemoryError, match="a buffer of it"):
        pool.free(block)
    with pytest.raises(ForeignMemoryError, match="a buffer of it"):
        pool.close()
    block[0].x = 6
    assert view[0] == 6
    view.release()
    pool.close()


@needs_buffers
def test_memory_that_may_only_be_read_gives_buffers_that_may_only_be_read(point):
    points = foreign_alloc(point, count=1)
    constant = epsilon.cast(points, "const struct buffered_point *")[0]
    with memoryview(constant) as view:
        assert view.readonly
        with pytest.raises(TypeError):
            view[0] = 1
    with pytest.raises((BufferError, TypeError)):
        io.BytesIO(b"12345678").readinto(constant)


@needs_shim
def test_an_array_of_structs_has_an_item_for_each(point):
    points = foreign_alloc(point, initial=[{"x": 1}, {"y": 2}, {"x": 3}])
    with memoryview(points) as view:
        assert (view.shape, view.itemsize, view.nbytes) == ((3,), 8, 24)
        assert view.format == "T{^i:x:i:y:}"
        assert view[2:].tobytes() == struct.pack("ii", 3, 0)
        with pytest.raises(ForeignMemoryError, match="a buffer of it"):
            foreign_free(points)
    part = memoryview(epsilon.pointer_add(points, 1, 1))
    with pytest.raises(ForeignMemoryError, match="a buffer of it"):
        foreign_free(points)
    del part
    foreign_free(points)


@needs_buffers
def test_other_memory_says_that_it_has_none(point):
    for memory in (foreign_alloc("int"), foreign_alloc("double", count=3)):
        with pytest.raises(BufferError, match="is no struct and no array of structs"):
            memoryview(memory)
    lib = load_c("struct buffered_point { int x, y; }; "
                 "void lend(void (*f)(struct buffered_point *, int)) { struct buffered_point p = {1, 2}; f(&p, 1); }")
    seen = []

    def look(points):
        for one in (points, points[0]):
            with pytest.raises(BufferError, match="goes away when the callback returns"):
                memoryview(one)
        seen.append(bytes(points[0]))

    kind = ("function", "void", [("array", point, {"length": 1}), "int"])
    lib.bind("lend", "void", [kind])(look)
    assert seen == [struct.pack("ii", 1, 2)]


@needs_shim
def test_members_that_lie_over_one_another_have_no_format():
    value = epsilon.define_c_union("buffered_union", [("i", "int"), ("f", "float")])
    values = foreign_alloc(value, initial={"i": 3})
    with pytest.raises(BufferError, match="lie over one another"):
        memoryview(values)
    assert bytes(values) == struct.pack("i", 3)


def test_without_the_shim_python_says_what_it_lacks(point):
    if SHIM:
        pytest.skip("this is about epsilon/_abi")
    if HAS_BUFFERS:
        with pytest.raises(BufferError, match="needs the shim"):
            memoryview(foreign_alloc(point, count=2))
    else:
        with pytest.raises(TypeError):
            memoryview(point())


def test_numpy_sees_an_array_of_structs_as_records_in_place(point):
    numpy = pytest.importorskip("numpy")
    inner = epsilon.define_c_struct("buffered_inner", [("c", "char"), ("d", "double"), ("p", "pointer")])
    kinds = epsilon.define_c_struct_auto("buffered_kinds", """struct buffered_kinds { struct buffered_inner one;
        short grid[2][3]; unsigned low : 3; long double wide; float _Complex z; _Bool yes; unsigned char b; };""")
    values = foreign_alloc(kinds, count=2)
    values[1].one.d, values[1].grid[1][2], values[1].z, values[1].b = 2.5, -3, 1 + 2j, 200
    seen = numpy.asarray(values)
    assert seen.dtype == epsilon.numpy_dtype(kinds) and seen.shape == (2,)
    assert (seen[1]["one"]["d"], seen[1]["grid"][1, 2], seen[1]["z"], seen[1]["b"]) == (2.5, -3, 1 + 2j, 200)
    seen["one"]["d"][0] = 8
    assert values[0].one.d == 8
    assert seen.base is not None and inner.size == 24
    if SHIM:  # else NumPy has it by another way, which keeps the bytes
        with pytest.raises(ForeignMemoryError, match="a buffer of it, such as a memoryview or a NumPy array"):
            foreign_free(values)
    view = epsilon.from_buffer(values, copy=False)
    del seen
    foreign_free(values)
    assert view[0]["one"]["d"] == 8
    one = point(1, 2)
    assert numpy.frombuffer(one, "int32").tolist() == [1, 2] if HAS_BUFFERS else True


@needs_buffers
def test_threads_and_the_collector_meet_at_buffers():
    assert run_child("""
import gc, threading, epsilon
point = epsilon.define_c_struct("p", [("x", "int"), ("rest", ("array", "int", 40))])
def work():
    for n in range(2000):
        one = point(n)
        view = memoryview(one)
        try:
            epsilon.foreign_free(one)
        except epsilon.ForeignMemoryError:
            pass
        else:
            raise SystemExit("it ended")
        assert int.from_bytes(view[:4], "little") == n
        del one
        if n % 3:
            view.release()
            cycle = [view]; cycle.append(cycle)
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
gc.collect()
print("done")
""") == "done\n"
