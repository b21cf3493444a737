"""Arenas and pools: what is taken from them knows its end."""

import gc
import threading
import weakref

import pytest
from clib import load_c

import epsilon
from epsilon import (
    ForeignIndexError,
    ForeignMemoryError,
    ForeignTypeError,
    ForeignValueError,
    Pool,
    arena,
    foreign_free,
    pointer_add,
)

C = r"""
#include <stdint.h>
int sum(const int *p, int n) { int s = 0; while (n--) s += *p++; return s; }
struct wide { _Alignas(64) char c; };
"""


@pytest.fixture(scope="module")
def total():
    return load_c(C).bind("int sum(const int *p, int n)")


def on_another_thread(function):
    """What ``function`` gives or raises on a thread of its own."""
    found = []

    def run():
        try:
            found.append(function())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


# --- arenas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["shared", "confined", "collected", ":shared"])
def test_memory_of_an_arena_is_memory(kind, total):
    a = arena(kind)
    p = a.alloc("int", count=3, initial=[1, 2])
    assert list(p) == [1, 2, 0] and total(p, 3) == 3
    assert a.alloc("char", initial="text")[0] == ord("t") and a.alloc("double")[0] == 0.0
    with pytest.raises(ForeignIndexError):
        p[3]
    with pytest.raises(ForeignValueError, match="arena.alloc: 2 initial values for 1"):
        a.alloc("int", 1, [1, 2])


def test_all_memory_of_an_arena_ends_together(total):
    with arena() as a:
        blocks = [a.alloc("int", count=1 + n % 50, initial=n) for n in range(500)]
        assert [block[0] for block in blocks] == list(range(500))
        assert len({block.address for block in blocks}) == 500
        derived = pointer_add(blocks[0], 0)
    for use in (lambda: blocks[0][0], lambda: blocks[499][0], lambda: total(blocks[250], 1), lambda: derived[0]):
        with pytest.raises(ForeignMemoryError, match="arena> after its end: it was freed at .*test_arenas.py"):
            use()
    with pytest.raises(ForeignMemoryError, match="the arena has ended: it was closed at .*test_arenas.py"):
        a.alloc("int")
    a.close()
    assert a.closed and "ended" in repr(a) and "ended" in repr(blocks[0])


def test_an_arena_ends_when_the_block_raises():
    with pytest.raises(RuntimeError), arena() as a:
        p = a.alloc("int")
        raise RuntimeError
    assert not p.alive


def test_blocks_are_aligned_apart_and_zeroed():
    with arena() as a:
        last = 0
        for type_ in ("char", "double", "short", "long-double", "char", "int64"):
            p = a.alloc(type_, count=3)
            assert p.address % epsilon.alignof(type_) == 0 and p.address >= last
            assert not any(epsilon.cast(p, ("pointer", "uint8"))[:])
            last = p.address + p.size
        large = a.alloc("int", count=1_000_000)
        large[999_999] = 1
        assert a.alloc("int", count=0).address != a.alloc("int", count=0).address


def test_a_block_of_an_arena_has_no_end_of_its_own():
    with arena() as a:
        p = a.alloc("int")
        with pytest.raises(ForeignMemoryError, match="was not allocated by foreign_alloc"):
            foreign_free(p)
        with p:
            pass
        assert p[0] == 0


def test_structs_and_strings_in_an_arena():
    point = epsilon.define_c_struct("arenas_point", [("x", "int"), ("name", "string")])
    with arena() as a:
        p = a.alloc(point, initial=point(3, "three"))
        inside = p[0]
        gc.collect()
        assert (inside.x, inside.name) == (3, "three")
    with pytest.raises(ForeignMemoryError):
        inside.x  # noqa: B018


def test_a_confined_arena_is_its_thread_s_alone(total):
    with arena("confined") as a:
        p = a.alloc("int", initial=[5])
        q = pointer_add(p, 0)
        point = epsilon.define_c_struct("arenas_confined", [("x", "int")])
        one = a.alloc(point)[0]
        for use in (
            lambda: p[0],
            lambda: p.__setitem__(0, 1),
            lambda: total(p, 1),
            lambda: q[0],
            lambda: one.x,
            lambda: setattr(one, "x", 1),
            lambda: epsilon.deref(p),
            lambda: a.alloc("int"),
            lambda: a.close(),
        ):
            error = on_another_thread(use)
            assert isinstance(error, ForeignMemoryError) and "thread than the one" in str(error)
        assert "confined to another thread" in on_another_thread(lambda: repr(p))
        assert p[0] == q[0] == total(p, 1) == 5 and p.alive
    with pytest.raises(ForeignMemoryError, match="after its end"):
        p[0]


def test_a_shared_arena_serves_all_threads():
    with arena() as a:
        blocks = []

        def work(number):
            for _ in range(300):
                blocks.append((number, a.alloc("int", count=5, initial=number)))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(blocks) == 1200 and all(list(block) == [number] * 5 for number, block in blocks)


def test_a_collected_arena_ends_when_nobody_holds_it():
    a = arena("collected")
    p, q = a.alloc("int", initial=[1]), a.alloc("char", count=100_000)
    life = weakref.ref(a)
    with pytest.raises(ForeignMemoryError, match="ends when nobody holds it"):
        a.close()
    with a:
        pass
    del a, q
    gc.collect()
    assert p[0] == 1 and life() is not None
    del p
    gc.collect()
    assert life() is None


def test_unknown_kinds_of_arena_are_named():
    with pytest.raises(ForeignTypeError, match="unknown kind of arena 'sharde'; did you mean 'shared'"):
        arena("sharde")
    with pytest.raises(ForeignTypeError, match="unknown kind of arena"):
        arena(5)


# --- pools ----------------------------------------------------------------------------------------------------------


def test_a_freed_block_is_used_again_and_zeroed(total):
    with Pool("int", count=4) as pool:
        first = pool.alloc(initial=[1, 2, 3, 4])
        assert total(first, 4) == 10
        address = first.address
        pool.free(first)
        again = pool.alloc()
        assert again.address == address and list(again) == [0, 0, 0, 0]
        for use in (lambda: first[0], lambda: pool.free(first), lambda: total(first, 1)):
            with pytest.raises(ForeignMemoryError, match="after its end: it was freed at .*test_arenas.py"):
                use()
        with pytest.raises(ForeignIndexError):
            again[4]
    with pytest.raises(ForeignMemoryError, match="after its end"):
        again[0]
    with pytest.raises(ForeignMemoryError, match="it was closed at .*test_arenas.py"):
        pool.alloc()
    pool.close()


def test_an_exhausted_pool_grows_or_raises():
    with Pool("int", capacity=2) as pool:
        blocks = [pool.alloc(initial=n) for n in range(9)]
        assert [block[0] for block in blocks] == list(range(9)) and pool.capacity == 16
    with Pool("int", capacity=2, grow=False) as pool:
        blocks = [pool.alloc(), pool.alloc()]
        with pytest.raises(ForeignMemoryError, match="2 of 2 in use> is exhausted"):
            pool.alloc()
        pool.free(blocks.pop())
        assert pool.alloc().alive


def test_a_block_goes_back_at_the_end_of_with_and_as_garbage():
    pool = Pool("int", capacity=1, grow=False)
    for _ in range(3):
        with pool.alloc() as p:
            p[0] = 1
        assert not p.alive
    for _ in range(3):
        q = pool.alloc()
        del q
        gc.collect()
    q = pointer_add(pool.alloc(), 0)
    gc.collect()
    with pytest.raises(ForeignMemoryError, match="exhausted"):
        pool.alloc()
    assert q[0] == 0


def test_a_pool_takes_back_only_its_own():
    pool, other = Pool("int"), Pool("int")
    for thing in (other.alloc(), epsilon.foreign_alloc("int"), 5, None):
        with pytest.raises(ForeignMemoryError, match="is no block of"):
            pool.free(thing)


def test_bad_pools_are_refused():
    with pytest.raises(ForeignValueError, match="capacity is 1 or more"):
        Pool("int", capacity=0)
    with pytest.raises(ForeignTypeError, match="capacity is an int"):
        Pool("int", capacity="2")
    with pytest.raises(ForeignTypeError, match="has no size"):
        Pool("void")
    with pytest.raises(ForeignValueError):
        Pool("int", count=1 << 40, capacity=1 << 40)


def test_a_pool_serves_all_threads():
    with Pool("int", capacity=1) as pool:
        good = []

        def work(number):
            for _ in range(300):
                with pool.alloc(initial=number) as p:
                    good.append(p[0] == number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(good) == 1200 and all(good)
