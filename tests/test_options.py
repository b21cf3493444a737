"""The options of a call beyond ``check``: error, default, retry, attempts, free, abi; alone and together."""

from __future__ import annotations

import errno
import gc
import pickle
import platform
import signal

import pytest
from clib import compile_c, load_c, run_child, shim_only

import epsilon
from epsilon.libc import free

SOURCE = """
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* fails `failures` times with `number`, then answers */
static int calls;
int eventually(int failures, int number)
{
    if (++calls <= failures) { errno = number; return -1; }
    return 42;
}
int calls_made(void) { int made = calls; calls = 0; return made; }
void *eventually_pointer(int failures, int number)
{
    return eventually(failures, number) < 0 ? NULL : (void *)&calls;
}
/* adds to what it is given, then fails as often as it is told */
int adds(int *value, int failures)
{
    *value += 1;
    return eventually(failures, EAGAIN);
}
unsigned eventually_unsigned(int failures) { return (unsigned)eventually(failures, EINTR); }
int fails_after(int (*callback)(int), int number)
{
    int answer = callback(++calls);
    errno = number;
    return answer;
}

/* a library with handles that say what went wrong */
typedef struct handle { char text[64]; } handle;
static int live;
int handles(void) { return live; }
handle *handle_open(const char *text)
{
    handle *made = calloc(1, sizeof *made);
    strncpy(made->text, text, 63);
    live++;
    return made;
}
void handle_close(handle *h) { if (h) { live--; free(h); } }
const char *handle_message(handle *h) { return h->text; }
int handle_use(int flags, handle *h) { (void)flags; return h->text[0] ? 7 : 0; }
int handle_make(const char *text, handle **out) { *out = handle_open(text); return text[0] ? 0 : 1; }
const char *code_message(int code) { return code == 7 ? "seven" : "other"; }
int double_message(double x) { return (int)x; }

/* texts that the caller frees */
static int texts;
int texts_live(void) { return texts; }
char *text_new(const char *from) { if (!from) return NULL; texts++; return strdup(from); }
void text_free(void *text) { texts--; free(text); }
int text_out(const char *from, char **to) { *to = text_new(from); return from ? 0 : 1; }
char *bad_text(void) { return text_new("\\xff\\xfe"); }
char *text_after(void (*callback)(void)) { char *made = text_new("made"); callback(); return made; }
int *numbers_new(void)
{
    int *made = malloc(3 * sizeof(int));
    made[0] = 7; made[1] = 8; made[2] = 9;
    texts++;
    return made;
}
int sum3(const int *numbers) { return numbers[0] + numbers[1] + numbers[2]; }
"""


@pytest.fixture(scope="module")
def c():
    return load_c(SOURCE)


@pytest.fixture(autouse=True)
def no_calls(c):
    c.bind("int calls_made(void)")()


# --- error and default ----------------------------------------------------------------------------------------------


def test_error_gets_the_result_and_the_arguments(c):
    seen = []

    def say(result, *arguments):
        seen.append((result, *arguments))
        return "it did not like that"

    eventually = c.bind("int eventually(int failures, int number)", check="nonnegative", error=say)
    with pytest.raises(epsilon.ForeignError, match=r"eventually\(failures=1, number=5\) gave -1: it did not like that"):
        eventually(1, 5)
    assert seen == [(-1, 1, 5)]
    assert eventually(1, 5) == 42 and len(seen) == 1  # a good result asks nobody


def test_error_under_errno_keeps_the_code(c):
    eventually = c.bind(
        "int eventually(int failures, int number)", errno=True, check="nonnegative", error=lambda *_: b"in bytes"
    )
    with pytest.raises(epsilon.ForeignOSError, match="gave -1: in bytes") as caught:
        eventually(1, errno.EBUSY)
    assert (caught.value.code, caught.value.errno, caught.value.function) == (errno.EBUSY, errno.EBUSY, "eventually")


def test_error_none_leaves_the_ordinary_message(c):
    eventually = c.bind("int eventually(int f, int n)", errno=True, check="nonnegative", error=lambda *_: None)
    with pytest.raises(epsilon.ForeignOSError, match=rf"\[errno {errno.EBUSY}\]"):
        eventually(1, errno.EBUSY)


@pytest.mark.parametrize("give", [KeyError, KeyError("mine")], ids=["class", "instance"])
def test_error_may_give_an_exception(c, give):
    with pytest.raises(KeyError):
        c.bind("int eventually(int f, int n)", check="nonnegative", error=lambda *_: give)(1, 5)


def test_error_may_raise_by_itself(c):
    with pytest.raises(ZeroDivisionError):
        c.bind("int eventually(int f, int n)", check="nonnegative", error=lambda *_: 1 // 0)(1, 5)


def test_an_error_of_ours_that_it_gives_is_completed(c):
    given = epsilon.ForeignValueError("mine")
    eventually = c.bind("int eventually(int f, int n)", errno=True, check="nonnegative", error=lambda *_: given)
    with pytest.raises(epsilon.ForeignValueError, match="mine") as caught:
        eventually(1, errno.EBUSY)
    assert (caught.value.code, caught.value.function) == (errno.EBUSY, "eventually")


def test_error_that_gives_nonsense_is_named(c):
    with pytest.raises(epsilon.ForeignTypeError, match=r"eventually\(\): error gave 5, wanted a text"):
        c.bind("int eventually(int f, int n)", check="nonnegative", error=lambda *_: 5)(1, 5)


def test_error_by_code(c):
    table = {errno.EBUSY: "busy", errno.EPERM: PermissionError, "ENOENT": FileNotFoundError}
    eventually = c.bind("int eventually(int f, int n)", errno=True, check="nonnegative", error=table)
    with pytest.raises(epsilon.ForeignOSError, match="gave -1: busy"):
        eventually(1, errno.EBUSY)
    c.bind("int calls_made(void)")()
    with pytest.raises(PermissionError) as caught:
        eventually(1, errno.EPERM)
    assert caught.value.errno == errno.EPERM
    c.bind("int calls_made(void)")()
    with pytest.raises(FileNotFoundError):
        eventually(1, errno.ENOENT)
    c.bind("int calls_made(void)")()
    with pytest.raises(epsilon.ForeignOSError, match=rf"\[errno {errno.EIO}\]"):  # not in the table
        eventually(1, errno.EIO)


def test_error_by_result(c):
    use = c.bind("int handle_use(int flags, void *h)", check="zero", error={7: "seven it is"})
    made = c.bind("handle_open", "pointer", ["string"])("x")
    with pytest.raises(epsilon.ForeignError, match="seven it is") as caught:
        use(0, made)
    assert caught.value.code == 7
    c.bind("handle_close", "void", ["pointer"])(made)


def test_error_by_a_c_function_finds_its_argument(c):
    b = c.declare("typedef struct handle handle; handle *handle_open(const char *t); void handle_close(handle *h); "
                  "const char *handle_message(handle *h); const char *code_message(int code);")  # fmt: skip
    handle = ("pointer", ("struct", "handle"))
    opened = b.handle_open("a handle's words")
    by_handle = c.bind("handle_use", "int", ["int", handle], check="zero", error=b.handle_message)
    with pytest.raises(epsilon.ForeignError, match="gave 7: a handle's words"):
        by_handle(0, opened)
    by_code = c.bind("handle_use", "int", ["int", handle], check="zero", error=b.code_message)
    with pytest.raises(epsilon.ForeignError, match="gave 7: seven"):  # the result, not the flags, which are an int too
        by_code(0, opened)
    b.handle_close(opened)


def test_error_by_a_c_function_finds_its_output(c):
    b = c.declare("typedef struct handle handle; const char *handle_message(handle *h); int handles(void);")
    handle = ("pointer", ("struct", "handle"), {"free": "handle_close"})
    make = c.bind("handle_make", "int", ["string", ("out", handle)], check="zero", error=b.handle_message)
    code, made = make("words")
    assert code == 0 and b.handle_message(made) == "words" and b.handles() == 1
    with pytest.raises(epsilon.ForeignError, match=r"handle_make\(arg1=''\) gave 1: "):
        make("")
    del made
    gc.collect()
    assert b.handles() == 0  # the one that came with the failure was freed, too


@pytest.mark.parametrize("prototype", ["int double_message(double x)", "const char *code_message(double x)"])
def test_a_c_function_that_does_not_fit_is_refused_when_bound(c, prototype):
    with pytest.raises(epsilon.ForeignTypeError, match="error"):
        c.bind("int eventually(int f, int n)", check="nonnegative", error=c.bind(prototype))


def test_default_is_given_instead(c):
    eventually = c.bind("int eventually(int f, int n)", check="nonnegative", default="no answer")
    assert eventually(1, 5) == "no answer" and eventually(1, 5) == 42
    assert c.bind("int eventually(int f, int n)", check="positive", default=None)(9, 5) is None


def test_default_stands_for_the_outputs_too(c):
    make = c.bind("handle_make", "int", ["string", ("out", ("pointer", "void", {"free": "handle_close"}))],
                  check="zero", default=None)  # fmt: skip
    assert make("") is None
    assert c.bind("int handles(void)")() == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"error": str}, "there is no check"),
        ({"default": 5}, "there is no check"),
        ({"check": "zero", "error": str, "default": 5}, "give one of them"),
        ({"check": "zero", "error": 5}, "error is a callable"),
        ({"attempts": 3}, "there is no retry"),
        ({"retry": "EINTERRUPTED"}, "is no errno"),
        ({"retry": "EINT"}, "EINTR"),
        ({"retry": []}, "retry is the name of an errno"),
        ({"retry": 0}, "is no errno"),
        ({"retry": "EINTR", "attempts": 0}, "attempts is a number of calls"),
        ({"retry": "EINTR", "attempts": "many"}, "attempts is a number of calls"),
        ({"free": "free"}, "free is for a pointer or a string"),
        ({"abi": "pascal"}, "unknown calling convention"),
    ],
)
def test_an_option_that_cannot_be_is_refused_when_bound(c, options, said):
    with pytest.raises(epsilon.ForeignTypeError, match=f"eventually.*{said}" if "abi" not in options else said):
        c.bind("int eventually(int failures, int number)", **options)


# --- retry ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retry", ["EINTR", ":EINTR", errno.EINTR, ["EINTR"], ["EAGAIN", "EINTR"]])
def test_retry_calls_again_on_that_errno(c, retry):
    eventually = c.bind("int eventually(int failures, int number)", errno=True, check="nonnegative", retry=retry)
    assert eventually(5, errno.EINTR) == 42
    assert c.bind("int calls_made(void)")() == 6


def test_retry_does_not_on_another(c):
    eventually = c.bind("int eventually(int failures, int number)", errno=True, check="nonnegative", retry="EINTR")
    with pytest.raises(epsilon.ForeignOSError) as caught:
        eventually(5, errno.EIO)
    assert caught.value.code == errno.EIO and c.bind("int calls_made(void)")() == 1


def test_attempts_limits_the_calls(c):
    eventually = c.bind("int eventually(int f, int n)", check="nonnegative", retry=["EINTR", "EAGAIN"], attempts=3)
    with pytest.raises(epsilon.ForeignOSError) as caught:  # retry implies errno
        eventually(5, errno.EAGAIN)
    assert caught.value.code == errno.EAGAIN and c.bind("int calls_made(void)")() == 3
    assert eventually(2, errno.EAGAIN) == 42 and c.bind("int calls_made(void)")() == 3


def test_retry_without_a_check_knows_a_failed_system_call_and_raises_nothing(c):
    eventually = c.bind("int eventually(int f, int n)", retry="EINTR", attempts=2)
    assert eventually(5, errno.EINTR) == -1 and epsilon.errno() == errno.EINTR
    assert c.bind("int calls_made(void)")() == 2
    pointer = c.bind("void *eventually_pointer(int f, int n)", retry="EINTR")
    assert pointer(3, errno.EINTR) and c.bind("int calls_made(void)")() == 4
    with pytest.raises(epsilon.ForeignTypeError, match="eventually_unsigned: retry needs a check"):
        c.bind("unsigned eventually_unsigned(int f)", retry="EINTR")


def test_retry_with_a_callable_check(c):
    unsigned = c.bind("unsigned eventually_unsigned(int f)", retry="EINTR", check=lambda result: result != 2**32 - 1)
    assert unsigned(4) == 42 and c.bind("int calls_made(void)")() == 5


def test_retry_gives_c_the_first_value_of_an_inout_again(c):
    adds = c.bind("adds", "int", [("inout", "int"), "int"], retry="EAGAIN")
    assert adds(10, 4) == (42, 11)


def test_retry_ends_with_a_callback_s_exception(c):
    fails_after = c.bind("fails_after", "int", [("function", "int", ["int"]), "int"], retry="EINTR")

    def third_time(number):
        if number == 3:
            raise KeyError(number)
        return -1

    with pytest.raises(KeyError):
        fails_after(third_time, errno.EINTR)
    assert c.bind("int calls_made(void)")() == 3


def test_retry_runs_signal_handlers_between_the_calls(c):
    """PEP 475: the handler runs, and may raise."""
    fails_after = c.bind("fails_after", "int", [("function", "int", ["int"]), "int"], retry="EINTR")
    handled = []

    def handler(number, frame):
        handled.append(number)
        if len(handled) == 2:
            raise InterruptedError("enough")

    def interrupted(number):
        signal.raise_signal(signal.SIGUSR1)
        return -1

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(InterruptedError, match="enough"):
            fails_after(interrupted, errno.EINTR)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(handled) == 2


def test_a_library_may_be_closed_between_two_attempts():
    """The call keeps it open until it has ended."""
    library = load_c(SOURCE + "/* closed */")
    fails_after = library.bind("fails_after", "int", [("function", "int", ["int"]), "int"], retry="EINTR")

    def closing(number):
        library.close()
        return -1 if number < 3 else number

    assert fails_after(closing, errno.EINTR) == 3
    with pytest.raises(epsilon.ForeignError, match="closed"):
        fails_after(closing, errno.EINTR)


def test_memory_that_ends_between_two_attempts_is_noticed(c):
    memory = epsilon.foreign_alloc("int", initial=[5])
    fails = load_c(
        "#include <errno.h>\nint with_memory(int *p, void (*f)(void)) { f(); errno = EINTR; return -1; }"
    ).bind("with_memory", "int", [("pointer", "int"), ("function", "void", [])], retry="EINTR")
    with pytest.raises(epsilon.ForeignMemoryError, match="use of .* after its end"):
        fails(memory, lambda: epsilon.foreign_free(memory))


def test_options_compose(c):
    """``:errno :check nonnegative :retry "EINTR"``, with everything else beside it."""
    said = []
    eventually = c.bind(
        "int eventually(int failures, int number)", errno=True, check="nonnegative", retry=["EINTR"], attempts=4,
        error=lambda result, *arguments: said.append(arguments), name="patient", doc="tries",
    )  # fmt: skip
    assert eventually(3, errno.EINTR) == 42 and said == []
    c.bind("int calls_made(void)")()
    with pytest.raises(epsilon.ForeignOSError):
        eventually(4, errno.EINTR)
    assert said == [(4, errno.EINTR)] and eventually.__name__ == "patient"


def test_options_survive_pickling():
    libc = epsilon.lib_open("libc")
    close = libc.bind("int close(int fd)", errno=True, check="nonnegative", error={errno.EBADF: "no such thing"})
    with pytest.raises(epsilon.ForeignOSError, match="no such thing"):
        pickle.loads(pickle.dumps(close))(-1)
    quiet = libc.bind("int close(int fd)", check="nonnegative", default="quiet", retry="EINTR", attempts=2)
    assert pickle.loads(pickle.dumps(quiet))(-1) == "quiet"
    copy = libc.bind("strdup", "string", ["string"], free="free")
    assert pickle.loads(pickle.dumps(copy))("once more") == "once more"


# --- free -----------------------------------------------------------------------------------------------------------


def test_free_of_a_string_frees_it_once_it_is_copied(c):
    for new in (
        c.bind("text_new", "string", ["string"], free="text_free"),
        c.bind("text_new", ("string", {"free": "text_free"}), ["string"]),
        c.bind("text_new", ("string", {"encoding": "latin-1", "free": "text_free"}), ["string"]),
    ):
        assert [new("abc") for _ in range(100)] == ["abc"] * 100
        assert new(None) is None
        assert c.bind("int texts_live(void)")() == 0


def test_free_of_an_output(c):
    text = c.bind("text_out", "int", ["string", ("out", ("string", {"free": "text_free"}))])
    assert text("given") == (0, "given") and text(None) == (1, None)
    assert c.bind("int texts_live(void)")() == 0


def test_an_owned_output_is_shown_as_c_has_it(c):
    text = c.bind("text_out", "int", ["string", ("out", ("string", {"free": "text_free"}))])
    assert repr(text) == "int text_out(const char *, const char **)"
    make = c.bind("handle_make", "int", ["string", ("out", ("pointer", "void", {"free": "handle_close"}))])
    assert repr(make) == "int handle_make(const char *, void **)"


def test_a_text_that_is_not_valid_is_freed_all_the_same(c):
    bad = c.bind("bad_text", ("string", {"free": "text_free"}), [])
    with pytest.raises(epsilon.ForeignValueError, match="offset 0"):
        bad()
    assert c.bind("int texts_live(void)")() == 0


def test_a_result_that_nobody_gets_is_freed(c):
    after = c.bind("text_after", "string", [("function", "void", [])], free="text_free")
    with pytest.raises(ZeroDivisionError):
        after(lambda: 1 // 0)
    assert c.bind("int texts_live(void)")() == 0


def test_free_of_a_pointer_waits_for_the_end_of_the_object(c):
    live, numbers = c.bind("int texts_live(void)"), c.bind("int *numbers_new(void)", free="text_free")
    made = numbers()
    assert live() == 1 and made[0:3] == [7, 8, 9] and epsilon.deref(made, 2) == 9
    assert c.bind("sum3", "int", [("pointer", "int")])(made) == 24  # it passes as the pointer that it is
    del made
    gc.collect()
    assert live() == 0
    with numbers() as made:
        made[1] = 5
        assert made[1] == 5 and live() == 1
    assert live() == 0
    with pytest.raises(epsilon.ForeignMemoryError, match="it was freed at .*test_options.py"):
        made[0]
    with pytest.raises(epsilon.ForeignMemoryError):
        c.bind("sum3", "int", [("pointer", "int")])(made)
    made = numbers()
    epsilon.foreign_free(made)
    assert live() == 0
    with pytest.raises(epsilon.ForeignMemoryError):
        epsilon.foreign_free(made)


def test_what_is_owned_has_no_end_that_is_known(c):
    with c.bind("int *numbers_new(void)", free="text_free")() as made:
        for what in (len, list, lambda p: p[0:]):
            with pytest.raises(epsilon.ForeignError):
                what(made)
        with pytest.raises(epsilon.ForeignIndexError):
            made[-1]


def test_an_owned_null_is_a_plain_null(c):
    new = c.bind("void *text_new(const char *from)", free="text_free")
    assert not new(None) and c.bind("int texts_live(void)")() == 0


def test_free_is_looked_up_in_the_process_where_the_library_has_none(c):
    assert epsilon.lib_open("libm").bind("double cos(double)")(0) == 1  # a library that has no free
    assert load_c("#include <string.h>\nchar *copy(const char *s) { return strdup(s); }").bind(
        "copy", "string", ["string"], free="free"
    )("from the process") == "from the process"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is made of glibc's parts")
def test_free_is_that_of_the_process_where_another_allocator_is_loaded_before_the_c_library():
    """As by ``LD_PRELOAD=libjemalloc.so``: what strdup allocates is no block of the C library's own."""
    allocator = compile_c("""
    #include <errno.h>
    #include <stddef.h>
    #include <string.h>
    void *__libc_memalign(size_t alignment, size_t size);
    void __libc_free(void *block);
    /* a block begins `alignment` bytes after the C library's, whose address and size are before it */
    static void *get(size_t alignment, size_t size)
    {
        alignment = alignment < 32 ? 32 : alignment;
        char *base = __libc_memalign(alignment, size + alignment);
        if (!base) return NULL;
        char **block = (char **)(base + alignment);
        block[-1] = base;
        block[-2] = (char *)size;
        return block;
    }
    void free(void *block) { if (block) __libc_free(((void **)block)[-1]); }
    void *malloc(size_t size) { return get(32, size); }
    void *calloc(size_t count, size_t size)
    {
        void *block = get(32, count * size);
        return block ? memset(block, 0, count * size) : NULL;
    }
    void *realloc(void *block, size_t size)
    {
        void *moved = get(32, size);
        if (moved && block) {
            size_t before = ((size_t *)block)[-2];
            memcpy(moved, block, before < size ? before : size);
            free(block);
        }
        return moved;
    }
    void *memalign(size_t alignment, size_t size) { return get(alignment, size); }
    void *aligned_alloc(size_t alignment, size_t size) { return get(alignment, size); }
    int posix_memalign(void **block, size_t alignment, size_t size)
    {
        return (*block = get(alignment, size)) ? 0 : ENOMEM;
    }
    """, "-fno-builtin")  # fmt: skip
    code = """
import epsilon
duplicate = epsilon.lib_open("libc").bind("strdup", "string", ["string"], free="free")
print([duplicate(text) for text in ("one", "two")])
"""
    assert run_child(code, LD_PRELOAD=allocator) == "['one', 'two']\n"


def test_a_symbol_that_frees_and_is_missing_is_told_before_the_first_call(c):
    new = c.bind("text_new", "string", ["string"], free="text_fre")
    with pytest.raises(epsilon.SymbolNotFoundError, match="text_fre"):
        new("abc")
    assert c.bind("int texts_live(void)")() == 0


def test_free_may_be_a_function(c):
    assert c.bind("strdup", "string", ["string"], free=free)("by a function") == "by a function"
    seen = []
    new = c.bind("text_new", "string", ["string"], free=lambda p: (seen.append(p), c.bind("void text_free(void *)")(p)))
    assert new("abc") == "abc" and len(seen) == 1 and c.bind("int texts_live(void)")() == 0


@pytest.mark.parametrize("bad", [5, "", "a\0b", b"free"])
def test_what_cannot_free_is_refused(c, bad):
    with pytest.raises(epsilon.ForeignTypeError, match="free is the name of a C function"):
        c.bind("text_new", "string", ["string"], free=bad)


def test_what_is_owned_is_no_member_and_no_element():
    for owned in (("string", {"free": "free"}), ("pointer", "int", {"free": "free"})):
        with pytest.raises(epsilon.ForeignTypeError, match=":free"):
            epsilon.define_c_struct("owner", [("text", owned)])
        with pytest.raises(epsilon.ForeignTypeError, match=":free"):
            epsilon.foreign_alloc(owned)
        with pytest.raises(epsilon.ForeignTypeError, match=":free"):
            epsilon.ctype(("in", owned))


def test_owned_memory_is_freed_on_other_threads_and_at_the_exit():
    run_child(
        """
import sys, threading
sys.path.insert(0, "tests")
import epsilon
libc = epsilon.lib_open("libc")
duplicate = libc.bind("char *strdup(const char *text)", free="free")
def work():
    for number in range(2000):
        duplicate(str(number))
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
kept = duplicate("until the end")
"""
    )


# --- abi ------------------------------------------------------------------------------------------------------------

MS = """
__attribute__((ms_abi)) long ms(long a, long b, long c, long d, long e, double f)
{
    return a + 10 * b + 100 * c + 1000 * d + 10000 * e + (long)f;
}
long sysv(long a, long b, long c, long d, long e, double f) { return -ms(a, b, c, d, e, f); }
long calls_ms(__attribute__((ms_abi)) long (*f)(long, double, long)) { return f(1, 2.5, 3); }
"""
x86_64 = pytest.mark.skipif("ms_abi" not in epsilon.signatures.CONVENTIONS, reason="ms_abi is x86-64's")


@x86_64
@shim_only
def test_the_calling_convention_reaches_libffi():
    """The same arguments land elsewhere: System V passes six integers in registers, Microsoft's x64 convention four
    arguments of any kind."""
    library = load_c(MS)
    types = ["long"] * 5 + ["double"]
    assert library.bind("ms", "long", types, abi="ms_abi")(1, 2, 3, 4, 5, 600000) == 654321
    assert library.bind("sysv", "long", types, abi=":sysv-abi")(1, 2, 3, 4, 5, 600000) == -654321
    assert library.bind("ms", "long", types, abi="ms_abi").signature.abi == "ms_abi"


@x86_64
@shim_only
def test_a_callback_of_another_convention():
    library = load_c(MS)
    kind = ("function", "long", ["long", "double", "long"], {"abi": "ms_abi"})
    calls_ms = library.bind("calls_ms", "long", [kind])
    assert calls_ms(lambda a, b, c: int(100 * a + 10 * b + c)) == 128
    with pytest.raises(epsilon.ForeignTypeError):  # one of the default convention would be called wrongly
        calls_ms(epsilon.make_callback(lambda a, b, c: 0, "long", ["long", "double", "long"]))


def test_conventions_that_mean_the_same_are_one_signature():
    plain = epsilon.Signature("int", ["int"])
    assert epsilon.Signature("int", ["int"], abi="cdecl") is plain
    assert epsilon.Signature("int", ["int"], abi=":system") is plain


def test_a_convention_that_this_platform_lacks_is_a_clear_error():
    if "stdcall" in epsilon.signatures.CONVENTIONS:
        pytest.skip("this platform has stdcall")
    with pytest.raises(epsilon.ForeignTypeError, match="'stdcall' does not exist on this platform; it has .*default"):
        epsilon.Signature("int", ["int"], abi="stdcall")
