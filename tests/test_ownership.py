"""Who owns what crosses: (:give T), (:keep T), and the objects of foreign classes."""

import copy
import gc
import pickle

import pytest
from clib import load_c, run_child

import epsilon
from epsilon import ForeignMemoryError, ForeignTypeError, foreign_alloc, foreign_release

C = r"""
#include <stdlib.h>
#include <string.h>
#include <errno.h>
static void *taken;
static const void *kept;
static int (*function)(int);
int take(void *p, int n) { free(taken); taken = p; return n; }
int first(void) { return *(int *)taken; }
const char *text(void) { return taken; }
void drop(void) { free(taken); taken = NULL; }
int is_same(const void *p) { return p == taken; }
int fail_with(void *p, int times)
{
    static int calls;
    errno = EINTR;
    if (calls++ < times)
        return -1;
    free(p);
    return calls;
}
char *make(void) { return strdup("made"); }

int keep(const void *p, int n) { kept = p; return n; }
int kept_int(int i) { return ((const int *)kept)[i]; }
const char *kept_text(void) { return kept; }
const void *kept_pointer(void) { return kept; }
void keep_function(int (*f)(int)) { function = f; }
int call(int x) { return function(x); }

struct image { int count, width; };
static int live;
int alive(void) { return live; }
struct image *image_new(int width)
{
    if (width < 0)
        return NULL;
    struct image *i = malloc(sizeof *i);
    i->count = 1;
    i->width = width;
    live++;
    return i;
}
struct image *image_ref(struct image *i) { i->count++; return i; }
static char order[100];
const char *image_order(void) { return order; }
void image_unref(struct image *i)
{
    if (--i->count)
        return;
    order[strlen(order)] = (char)('0' + i->width % 10);
    live--;
    free(i);
}
int image_width(struct image *i) { return i ? i->width : -1; }
int image_count(struct image *i) { return i->count; }
static struct image *logo;
struct image *image_logo(void) { if (!logo) logo = image_new(77); return logo; }
"""


@pytest.fixture(scope="module")
def c():
    return load_c(C)


# --- give -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 10_000])
def test_given_memory_is_c_s_and_ends_here(c, count):
    take = c.bind("take", "int", [("give", ("pointer", "int")), "int"])
    p = foreign_alloc("int", count=count, initial=7)
    assert take(p, 5) == 5 and c.bind("int first(void)")() == 7
    for use in (lambda: p[0], lambda: take(p, 1), lambda: epsilon.foreign_free(p)):
        with pytest.raises(ForeignMemoryError, match="it was freed at .*test_ownership.py:[0-9]+, given to C"):
            use()
    c.bind("void drop(void)")()


def test_texts_buffers_and_sequences_are_given_as_copies(c):
    text, drop = c.bind("text", "string", []), c.bind("void drop(void)")
    for type_, value in (
        ("string", "text"), ("string", b"text"), (("pointer", "char"), bytearray(b"text\0")),
        (("array", "char"), b"text\0"),
    ):  # fmt: skip
        take = c.bind("take", "int", [("give", type_), "int"])
        take(value, 1)
        gc.collect()
        assert text() == "text"
    take = c.bind("take", "int", [("give", ("array", "int")), "int"])
    take([5, 6], 2)
    assert c.bind("int first(void)")() == 5
    drop()


def test_what_c_made_is_given_as_it_is(c):
    make = c.bind("make", ("pointer", "char"), [])
    take = c.bind("take", "int", [("give", ("pointer", "char")), "int"])
    raw = make()
    take(raw, 1)
    assert c.bind("is_same", "int", ["pointer"])(raw) == 1
    owned = c.bind("make", ("pointer", "char"), [], free="free")()
    address = owned.address
    take(owned, 1)
    assert c.bind("is_same", "int", ["pointer"])(epsilon.cast(address, "pointer")) == 1
    with pytest.raises(ForeignMemoryError, match="given to C"):
        owned[0]
    take(None, 1)


def test_a_call_that_is_not_made_gives_nothing(c):
    take = c.bind("take", "int", [("give", ("pointer", "int")), "int"])
    p = foreign_alloc("int", initial=[3])
    for bad in ("text", 1 << 40):
        with pytest.raises((ForeignTypeError, OverflowError)):
            take(p, bad)
    assert p[0] == 3
    take(p, 1)
    c.bind("void drop(void)")()


def test_parts_of_memory_and_what_python_keeps_alive_cannot_be_given(c):
    take = c.bind("take", "int", [("give", "pointer"), "int"])
    p = foreign_alloc("int", count=3)
    with epsilon.arena() as a:
        for part in (epsilon.pointer_add(p, 1), epsilon.cast(p, "pointer"), a.alloc("int")):
            with pytest.raises(ForeignMemoryError, match="part of other memory"):
                take(part, 1)
    with pytest.raises(ForeignMemoryError, match="Python keeps alive"):
        take(foreign_alloc("string", initial=["".join(["te", "xt"])]), 1)
    assert p.alive


def test_a_struct_can_be_given(c):
    pair = epsilon.define_c_struct("ownership_pair", [("a", "int"), ("b", "int")])
    take = c.bind("take", "int", [("give", ("pointer", pair)), "int"])
    one = pair(41, 2)
    take(one, 1)
    assert c.bind("int first(void)")() == 41
    with pytest.raises(ForeignMemoryError):
        one.a  # noqa: B018
    c.bind("void drop(void)")()


def test_a_retried_call_gives_once(c):
    options = {"errno": True, "check": "nonnegative", "retry": "EINTR"}
    fail = c.bind("fail_with", "int", [("give", ("pointer", "int")), "int"], **options)
    p = foreign_alloc("int")
    assert fail(p, 2) == 3 and not p.alive


# --- keep -----------------------------------------------------------------------------------------------------------


def test_what_c_keeps_is_alive_until_it_is_released(c):
    keep = c.bind("keep", "int", [("keep", ("pointer", "int")), "int"])
    kept = c.bind("int kept_int(int i)")
    keep(foreign_alloc("int", initial=[1, 2]), 2)
    gc.collect()
    assert kept(1) == 2
    pointer = c.bind("kept_pointer", "pointer", [])()
    foreign_release(pointer)
    with pytest.raises(ForeignMemoryError, match="C keeps nothing of"):
        foreign_release(pointer)


@pytest.mark.parametrize("kind", ["block", "struct", "part", "arena", "pool", "owned", "with"])
def test_what_c_keeps_cannot_be_freed_before_it_is_released(c, kind):
    keep = c.bind("keep", "int", [("keep", "pointer"), "int"])
    pair = epsilon.define_c_struct("kept_pair", [("a", "int"), ("b", "int")])
    p = part = foreign_alloc("int", count=3)
    free = lambda: epsilon.foreign_free(p)  # noqa: E731
    if kind == "struct":
        p = part = pair(1, 2)
    elif kind == "part":
        part = epsilon.pointer_add(p, 1)
    elif kind == "arena":
        a = epsilon.arena()
        p = part = a.alloc("int")
        free = a.close
    elif kind == "pool":
        pool = epsilon.Pool("int", 4)
        p = part = pool.alloc()
        free = lambda: pool.free(p)  # noqa: E731
    elif kind == "owned":
        p = part = c.bind("make", ("pointer", "char"), [], free="free")()
    elif kind == "with":
        free = lambda: p.__exit__(None, None, None)  # noqa: E731
    keep(part, 1)
    keep(part, 1)
    for _ in range(2):
        with pytest.raises(ForeignMemoryError, match=r"C keeps it since .*test_ownership.py:\d+; foreign_release"):
            free()
        epsilon.struct_pointer(p) if kind == "struct" else p[0]
        foreign_release(part)
    free()
    with pytest.raises(ForeignMemoryError, match="after its end"):
        epsilon.deref_int(p)


def test_what_c_keeps_cannot_be_given_to_it(c):
    keep = c.bind("keep", "int", [("keep", ("pointer", "int")), "int"])
    take = c.bind("take", "int", [("give", ("pointer", "int")), "int"])
    p = foreign_alloc("int", initial=[5])
    keep(p, 1)
    with pytest.raises(ForeignMemoryError, match=r"take\(\): parameter 1.*, which C keeps already"):
        take(p, 1)
    foreign_release(p)
    take(p, 1)
    with pytest.raises(ForeignMemoryError, match="given to C"):
        keep(p, 1)
    with pytest.raises(ForeignMemoryError, match="C keeps nothing of"):
        foreign_release(p)
    c.bind("void drop(void)")()


def test_memory_that_c_took_cannot_be_freed(c):
    take = c.bind("take", "int", [("give", "pointer"), "int"])
    owned = c.bind("make", ("pointer", "char"), [], free="free")
    pair = epsilon.define_c_struct("taken_pair", [("a", "int"), ("b", "int")])
    for p in (foreign_alloc("int"), owned(), pair(1, 2)):
        take(p, 1)
        with pytest.raises(ForeignMemoryError, match=r"after its end: it was freed at .*, given to C"):
            epsilon.foreign_free(p)
    c.bind("void drop(void)")()


def test_texts_sequences_and_buffers_are_kept(c):
    text = c.bind("kept_text", "string", [])
    keep = c.bind("keep", "int", [("keep", "string"), "int"])
    value = "".join(["a ", "text"])
    keep(value, 1)
    gc.collect()
    assert text() == "a text"
    foreign_release(value)
    numbers = [4, 5, 6]
    c.bind("keep", "int", [("keep", ("array", "int")), "int"])(numbers, 3)
    gc.collect()
    assert c.bind("int kept_int(int i)")(2) == 6
    foreign_release(numbers)
    data = bytearray(b"bytes\0")
    c.bind("keep", "int", [("keep", ("pointer", "char")), "int"])(data, 1)
    assert text() == "bytes"
    with pytest.raises(BufferError):
        data.extend(b"more")
    foreign_release(data)
    data.extend(b"more")


def test_a_callable_is_kept(c):
    keep, call = c.bind("keep_function", "void", [("keep", ("function", "int", ["int"]))]), c.bind("int call(int x)")

    def double(x):
        return 2 * x

    keep(double)
    gc.collect()
    assert call(21) == 42
    foreign_release(double)
    keep(None)


def test_each_call_keeps_once_more_and_one_that_fails_does_not(c):
    keep = c.bind("keep", "int", [("keep", ("pointer", "int")), "int"])
    p = foreign_alloc("int")
    keep(p, 1)
    keep(p, 1)
    with pytest.raises(ForeignTypeError):
        keep(p, "text")
    foreign_release(p)
    foreign_release(p)
    with pytest.raises(ForeignMemoryError):
        foreign_release(p)


def test_wrong_uses_of_give_and_keep_are_told(c):
    for way in ("give", "keep"):
        for type_ in ("int", "double", ("in", "int"), "object", (way, "pointer")):
            with pytest.raises(ForeignTypeError):
                c.bind("take", "int", [(way, type_), "int"])
        with pytest.raises(ForeignTypeError, match="cannot return"):
            c.bind("make", (way, "pointer"), [])
        with pytest.raises(ForeignTypeError, match="in memory it is a plain pointer"):
            foreign_alloc((way, "pointer"))
        with pytest.raises(ForeignTypeError, match="a callback gets it from C"):
            epsilon.make_callback(lambda p: None, "void", [(way, "pointer")])
    with pytest.raises(ForeignTypeError, match="not C's to free"):
        c.bind("take", "int", [("give", ("function", "int", ["int"])), "int"])
    take = c.bind("take", "int", [("give", ("pointer", "int")), "int"])
    for bad in (5, "text", foreign_alloc("double")):
        with pytest.raises(ForeignTypeError, match="parameter 1"):
            take(bad, 1)
    assert repr(take) == "int take(int *, int)"


# --- foreign classes ------------------------------------------------------------------------------------------------


@pytest.fixture
def image():
    return epsilon.define_foreign_class("image", free="image_unref", acquire="image_ref")


@pytest.fixture
def new(c, image):
    return c.bind("image_new", image, ["int"])


def test_the_last_one_frees(c, new, image):
    alive, count = c.bind("int alive(void)"), c.bind("image_count", "int", [image])
    width = c.bind("image_width", "int", [image])
    before = alive()
    one = new(5)
    assert isinstance(one, image) and width(one) == 5 and alive() == before + 1
    two = copy.copy(one)
    assert count(one) == 2 and one == two and hash(one) == hash(two) and one != new(5)
    del one
    gc.collect()
    assert count(two) == 1 and alive() == before + 1
    del two
    gc.collect()
    assert alive() == before


def test_with_frees_early(c, new, image):
    alive, width = c.bind("int alive(void)"), c.bind("image_width", "int", [image])
    before = alive()
    with new(5) as one:
        assert alive() == before + 1
    assert alive() == before
    for use in (lambda: width(one), lambda: copy.copy(one), lambda: one.address):
        with pytest.raises(ForeignMemoryError, match="use of <foreign image, ended> after its end: .*test_own"):
            use()
    with one:
        pass
    gc.collect()
    assert alive() == before and one != new(5)


def test_null_is_none_and_other_values_are_refused(c, new, image):
    width = c.bind("image_width", "int", [image])
    assert new(-1) is None and width(None) == -1
    other = epsilon.define_foreign_class("ownership_other", free="image_unref")
    stranger = c.bind("image_new", other, ["int"])(1)
    for bad in (5, "text", foreign_alloc("int"), stranger):
        with pytest.raises(ForeignTypeError, match="an object of the class image"):
            width(bad)
    with pytest.raises(ForeignTypeError, match="has no acquire"):
        copy.copy(stranger)
    with pytest.raises(ForeignTypeError, match="copy.copy shares it"):
        copy.deepcopy(stranger)
    with pytest.raises(TypeError):
        pickle.dumps(stranger)
    with pytest.raises(ForeignTypeError, match="made by C"):
        image()


def test_a_borrowed_result_is_acquired(c, image):
    logo, count = c.bind("image_logo", image.borrowed, []), c.bind("image_count", "int", [image])
    one, two = logo(), logo()
    assert one == two and count(one) == 3
    del two
    gc.collect()
    assert count(one) == 2


def test_a_scope_releases_in_reverse(c, new):
    order = c.bind("image_order", "string", [])
    before = order()
    with epsilon.scope() as s:
        for width in (1, 2, 3):
            s.enter(new(width))
    assert order()[len(before):] == "321"


def test_a_name_that_is_a_type_and_a_free_that_is_none():
    with pytest.raises(ForeignTypeError, match="is a type already"):
        epsilon.define_foreign_class("int", free="f")
    with pytest.raises(ForeignTypeError, match="free is the name"):
        epsilon.define_foreign_class("ownership_bad", free=5)


def test_objects_alive_at_exit_are_no_crash(c):
    run_child(
        "import epsilon, sys\n"
        "c = epsilon.lib_open(sys.argv[1])\n"
        "image = epsilon.define_foreign_class('image', free='image_unref', acquire='image_ref')\n"
        "one = c.bind('image_new', image, ['int'])(5)\n"
        "c.bind('keep', 'int', [('keep', 'pointer'), 'int'])(epsilon.foreign_alloc('int'), 1)\n"
        "c.bind('take', 'int', [('give', 'pointer'), 'int'])(epsilon.foreign_alloc('int'), 1)\n",
        c.path,
    )
