"""C for signatures: the entry that calls a function of one signature, with nothing left to decide at run time.

An entry converts the plainest values of each parameter inline, jumps through a typed function pointer, and converts the
result.  Whatever is not plain (another number of arguments, keywords, an int that is too large, an object that must be
asked) goes to the shim's general entry before anything has happened, so that texts, exceptions and meaning are the
same.  It is written from the signature's *shape*: the letters of its conversions.  Signatures of one shape share it.

``epsilon/entries.py`` builds it and finds it again.  What the C knows of the shim is what ``_shim.layout()`` tells.
"""

from __future__ import annotations

from epsilon import batch_source, upcalls
from epsilon.entries import BATCH, CALLBACK, TYPES, made_for, word_for

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# --- the text ---------------------------------------------------------------------------------------------------------

_PRELUDE = r"""
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define INLINE static inline __attribute__((always_inline))
#define AT(T, object, offset) (*(T *)((char *)(object) + (offset)))

const char epsilon_made_for[] = MADE_FOR;

/* --- Python, of which the shim knows where things lie: its headers need not be there -------------------- */

typedef struct PyObject PyObject;
typedef struct Thread Thread;
typedef PyObject *(*vectorcallfunc)(PyObject *, PyObject *const *, size_t, PyObject *);
extern char PyLong_Type[], PyFloat_Type[], PyUnicode_Type[], PyBytes_Type[];
extern char _Py_NoneStruct[], _Py_TrueStruct[], _Py_FalseStruct[];
extern Thread *PyEval_SaveThread(void);
extern void PyEval_RestoreThread(Thread *);
extern PyObject *PyLong_FromLong(long), *PyLong_FromUnsignedLong(unsigned long), *PyFloat_FromDouble(double);

#define NONE ((PyObject *)_Py_NoneStruct)
#define TRUTH ((PyObject *)_Py_TrueStruct)
#define FALSEHOOD ((PyObject *)_Py_FalseStruct)
#define IS(object, type) (AT(char *, object, OBJECT_TYPE) == (type))

/* Another reference to None, a truth or a small int: Python 3.12 does not count them (PEP 683). */
INLINE PyObject *
another(PyObject *object)
{
    if (!IMMORTAL)
        AT(ptrdiff_t, object, OBJECT_COUNT)++;
    return object;
}

/* what the shim lends */
struct Record;
typedef struct {
    vectorcallfunc general;
    void (*explain)(PyObject *, int);
    void (*give)(PyObject *);
    PyObject *(*from_word)(void *, uint64_t);
    PyObject *(*from_memory)(void *, const void *);
    PyObject *(*failed)(void *, PyObject *, PyObject *const *, char *, PyObject *const *);
    int (*leave)(void *);
    PyObject *(*vectorcall)(PyObject *, PyObject *const *, size_t);
    void (*closed)(void *, struct Record *, void *);
    void (*refused)(void *, struct Record *, PyObject *, int, void *);
    void (*upcall_failed)(void *, struct Record *, PyObject *, void *);
    void (*upcall_result)(void *, struct Record *, PyObject *, PyObject *, void *);
    PyObject *cdata, *void_pointer;
    ptrdiff_t record, number;
} Api;
_Static_assert(sizeof(Api) == API_SIZE, "made for another shim");
static Api api;

typedef struct Record {
    struct Record *previous;
    Thread *state; /* NULL: the GIL is kept, and nobody asked yet whose it is */
    PyObject *exception;
} Record;
_Static_assert(sizeof(Record) == RECORD_SIZE, "made for another shim");

/* What lies at a distance from the thread pointer, which x86-64 has in a segment register. */
#ifdef __SEG_FS
#define OF_THREAD(T, distance) (*(T __seg_fs *)(intptr_t)(distance))
#else
#define OF_THREAD(T, distance) AT(T, __builtin_thread_pointer(), distance)
#endif
#define CURRENT OF_THREAD(Record *, api.record)
#define SAVED_ERRNO OF_THREAD(int, api.number)

/* --- values: 1 if it is plain and done, 0 if it is a matter for the general entry --------------------------------- */

/* An int has its sign and its number of digits in one word: since Python 3.12 the number, and below it
 * two bits of 1 - sign; before, the number, negative for a negative int. */
#if LONG_TAGGED
enum { NO_DIGIT = 1, ONE_DIGIT = 1 << LONG_TAG_BITS, NEGATIVE_DIGIT = ONE_DIGIT | 2 };
#else
enum { NO_DIGIT = 0, ONE_DIGIT = 1, NEGATIVE_DIGIT = -1 };
#endif

/* The value of an int of one digit. */
INLINE int
whole(PyObject *object, int64_t *value)
{
    if (UNLIKELY(!IS(object, PyLong_Type)))
        return 0;
    ptrdiff_t form = AT(ptrdiff_t, object, LONG_TAG);
    *value = AT(LONG_DIGIT_TYPE, object, LONG_DIGIT);
    if (LIKELY(form == ONE_DIGIT))
        return 1;
    if (form == NEGATIVE_DIGIT) {
        *value = -*value;
        return 1;
    }
    *value = 0;
    return form == NO_DIGIT;
}

/* The small ints, where this Python has them in a row: looked at, one after the other, when the library is loaded. */
static char *small_ints;
static uint64_t small_count;
#define SMALLEST (-5)
#define SMALL_COUNT 262

static void
look_for_small_ints(void)
{
    char *first = (char *)PyLong_FromLong(SMALLEST);
    for (int n = 1; n < SMALL_COUNT; n++)
        if ((char *)PyLong_FromLong(SMALLEST + n) != first + (size_t)n * LONG_SIZE) /* kept: they live for ever */
            return;
    small_ints = first;
    small_count = SMALL_COUNT;
}

INLINE PyObject *
integer(long number)
{
    uint64_t index = (uint64_t)number - SMALLEST;
    if (LIKELY(index < small_count))
        return another((PyObject *)(small_ints + index * LONG_SIZE));
    return PyLong_FromLong(number);
}

/* Whether things lie where they are said to; nothing is called before it is known. */
int
epsilon_begin(const Api *lent)
{
    static const long numbers[] = {0, 1, -1, 1000, -1000, 32767, -32767};
    api = *lent;
    int64_t value;
    for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) {
        PyObject *number = PyLong_FromLong(numbers[n]);
        if (!number || !whole(number, &value) || value != numbers[n])
            return 0;
    }
    PyObject *large = PyLong_FromLong(1L << 62), *real = PyFloat_FromDouble(2.5);
    if (!large || whole(large, &value) || !real || !IS(real, PyFloat_Type) || AT(double, real, FLOAT_VALUE) != 2.5)
        return 0;
    look_for_small_ints();
    return 1;
}

#define INTEGER(LETTER, T) \
    INLINE int to_##LETTER(PyObject *value, T *to, const void *converter) \
    { \
        int64_t number; \
        (void)converter; \
        if (UNLIKELY(!whole(value, &number)) || (T)-1 > 0 && UNLIKELY(number < 0)) \
            return 0; \
        if (sizeof(T) < 4 && UNLIKELY((T)number != number)) /* a digit has 30 bits at most */ \
            return 0; \
        *to = (T)number; \
        return 1; \
    }
INTEGER(b, int8_t)
INTEGER(c, int8_t)
INTEGER(B, uint8_t)
INTEGER(C, uint8_t)
INTEGER(h, int16_t)
INTEGER(H, uint16_t)
INTEGER(i, int32_t)
INTEGER(I, uint32_t)
INTEGER(q, int64_t)
INTEGER(Q, uint64_t)

INLINE int
to_bool(PyObject *value, uint8_t *to, const void *converter)
{
    (void)converter;
    *to = value == TRUTH;
    return LIKELY(value == TRUTH || value == FALSEHOOD);
}

INLINE int
to_d(PyObject *value, double *to, const void *converter)
{
    (void)converter;
    if (UNLIKELY(!IS(value, PyFloat_Type)))
        return 0;
    *to = AT(double, value, FLOAT_VALUE);
    return 1;
}

INLINE int
to_f(PyObject *value, float *to, const void *converter)
{
    (void)converter;
    if (UNLIKELY(!IS(value, PyFloat_Type)))
        return 0;
    *to = (float)AT(double, value, FLOAT_VALUE);
    return 1;
}

/* Of ASCII, whose bit 7 is set by this for a NUL only. */
#define NULS(chunk) (((chunk) - 0x0101010101010101u) & ~(chunk))
typedef char Chunk __attribute__((vector_size(16)));

/* Whether no byte is NUL of a text that has fewer than 8 bytes or more than 15.  It calls nothing, not strlen either:
 * so the compiler sees how few registers it needs (GCC: -fipa-ra), and its caller has none to save. */
static __attribute__((noinline)) int
no_nul(const char *text, size_t length)
{
    if (length < 8) {
        int found = 0;
        for (size_t at = 0; at < length; at++)
            found |= !text[at];
        return !found;
    }
    Chunk chunk, found = {0};
    for (size_t at = 0; at + 16 < length; at += 16) {
        memcpy(&chunk, text + at, sizeof chunk);
        found |= chunk == 0;
    }
    memcpy(&chunk, text + length - 16, sizeof chunk); /* it overlaps */
    found |= chunk == 0;
    uint64_t halves[2];
    memcpy(halves, &found, sizeof halves);
    return !(halves[0] | halves[1]);
}

INLINE int
to_z(PyObject *value, const char **to, const void *converter)
{
    (void)converter;
    if (UNLIKELY(!IS(value, PyUnicode_Type)) || UNLIKELY(~AT(uint32_t, value, TEXT_STATE) & TEXT_ASCII))
        return 0;
    const char *text = (const char *)value + TEXT_DATA;
    size_t length = AT(size_t, value, TEXT_LENGTH);
    *to = text;
    if (length < 8 || length > 16)
        return LIKELY(no_nul(text, length));
    uint64_t first, last; /* they overlap */
    memcpy(&first, text, sizeof first);
    memcpy(&last, text + length - 8, sizeof last);
    return LIKELY(!((NULS(first) | NULS(last)) & 0x8080808080808080u));
}

/* The address in a pointer that owns nothing, if it is of that type or a `void *`: cffi's object is its head, its type
 * and the address. */
#define NOT_PLAIN ((void *)-1)
static __attribute__((noinline)) void *
address_in(PyObject *value, PyObject *wanted)
{
    if (!IS(value, (char *)api.cdata))
        return NOT_PLAIN;
    PyObject *type = AT(PyObject *, value, OBJECT_SIZE);
    return type == wanted || type == api.void_pointer ? AT(void *, value, OBJECT_SIZE + sizeof(void *)) : NOT_PLAIN;
}

INLINE int
to_pointer(PyObject *value, void **to, PyObject *wanted)
{
    *to = NULL;
    return LIKELY(value == NONE) || LIKELY((*to = address_in(value, wanted)) != NOT_PLAIN);
}
INLINE int
to_p(PyObject *value, void **to, const void *converter)
{
    return to_pointer(value, to, AT(PyObject *, converter, CONVERTER_BACKEND));
}
INLINE int to_P(PyObject *value, void **to, const void *converter) { return to_pointer(value, to, NULL); }

INLINE int
to_y(PyObject *value, void **to, const void *converter)
{
    (void)converter;
    *to = IS(value, PyBytes_Type) ? (char *)value + BYTES_VALUE : NULL;
    return LIKELY(*to != NULL) || value == NONE;
}

INLINE int
to_Y(PyObject *value, void **to, const void *converter)
{
    (void)converter;
    *to = NULL;
    return LIKELY(value == NONE);
}

/* A struct of the parameter's own class, which has not ended. */
INLINE int
to_struct(PyObject *value, void *to, size_t size, const void *converter)
{
    if (UNLIKELY(!IS(value, AT(char *, converter, CONVERTER_MAKE))))
        return 0;
    void *root = AT(void *, value, GUARDED_ROOT);
    if (UNLIKELY(AT(char, root ? root : value, GUARDED_ENDED)))
        return 0;
    memcpy(to, AT(void *, value, GUARDED_ADDRESS), size);
    return 1;
}

/* --- results: a converter may have got a Python function behind it since, which changes its letter ------- */

#define RESULT(LETTER, T, CODE, MADE) \
    INLINE PyObject *from_##LETTER(void *converter, T result) \
    { \
        uint64_t word = 0; \
        if (LIKELY(AT(char, converter, CONVERTER_CODE) == CODE)) \
            return MADE; \
        memcpy(&word, &result, sizeof result); \
        return api.from_word(converter, word); \
    }
RESULT(b, int8_t, 'b', integer(result))
RESULT(c, int8_t, 'c', integer(result))
RESULT(B, uint8_t, 'B', integer(result))
RESULT(C, uint8_t, 'C', integer(result))
RESULT(h, int16_t, 'h', integer(result))
RESULT(H, uint16_t, 'H', integer(result))
RESULT(i, int32_t, 'i', integer(result))
RESULT(I, uint32_t, 'I', integer((long)result))
RESULT(q, int64_t, 'q', integer((long)result))
RESULT(Q, uint64_t, 'Q', LIKELY((int64_t)result >= 0) ? integer((long)result) : PyLong_FromUnsignedLong(result))
RESULT(bool, uint8_t, '?', another(result ? TRUTH : FALSEHOOD))
RESULT(d, double, 'd', PyFloat_FromDouble(result))
RESULT(f, float, 'f', PyFloat_FromDouble(result))
#define from_z(converter, result) api.from_word(converter, (uintptr_t)(result))
#define from_p from_z
#define from_P from_z

/* what a good result is: CHECK_NONNEGATIVE …, in the order of shim.h */
#define PASSES(check, r) ((check) == 1 ? (r) >= 0 : (check) == 2 ? (r) > 0 : (check) == 3 ? (r) != 0 : (r) == 0)

/* --- the call ---------------------------------------------------------------------------------------- */

/* read again after the call: to load is cheaper than to keep a register over it */
#define CELL AT(void *, self, FUNCTION_CELL)
#define TRAMPOLINE AT(void *, self, FUNCTION_TRAMPOLINE)
#define CONVERTER(index) \
    AT(void *, AT(char *, TRAMPOLINE, TRAMPOLINE_PARAMETERS) + (index) * PARAMETER_SIZE, PARAMETER_CONVERTER)
#define OF_RESULT AT(void *, TRAMPOLINE, TRAMPOLINE_RESULT)
#define BEGIN(COUNT) \
    if (UNLIKELY(nargsf << 1 != COUNT << 1) || UNLIKELY(kwnames != NULL) || /* its highest bit says another thing */ \
        UNLIKELY(AT(char, CELL, CELL_CLOSED))) \
        return api.general(self, args, nargsf, kwnames);
#define TO(LETTER, NAME, INDEX) \
    if (UNLIKELY(!to_##LETTER(args[INDEX], &NAME, CONVERTER(INDEX)))) \
        return api.general(self, args, nargsf, kwnames);
#define TO_STRUCT(NAME, INDEX, SIZE) \
    if (UNLIKELY(!to_struct(args[INDEX], &NAME, SIZE, CONVERTER(INDEX)))) \
        return api.general(self, args, nargsf, kwnames);
/* In the air from here to LAND: nothing but C runs on this thread, and callbacks, which find the record. */
#define FLY \
    AT(ptrdiff_t, CELL, CELL_INFLIGHT)++; \
    AT(unsigned long long, TRAMPOLINE, TRAMPOLINE_CALLS)++; \
    Record record = {CURRENT, NULL, NULL}; \
    if (!critical && LIKELY(!(AT(int, self, FUNCTION_FLAGS) & FLAG_CRITICAL))) \
        record.state = PyEval_SaveThread(); \
    CURRENT = &record; \
    int *number = !critical && AT(int, self, FUNCTION_FLAGS) & FLAG_ERRNO ? &errno : NULL; \
    if (number) \
        *number = 0;
#define LAND \
    if (number) \
        SAVED_ERRNO = *number; \
    if (!critical && LIKELY(!(AT(int, self, FUNCTION_FLAGS) & FLAG_CRITICAL))) \
        PyEval_RestoreThread(record.state); \
    CURRENT = record.previous; \
    PyObject *value = NULL; \
    if (UNLIKELY(record.exception != NULL)) \
        api.give(record.exception); \
    else
#define NAMED_IF_WRONG \
    if (UNLIKELY(!value)) \
        api.explain(AT(PyObject *, self, FUNCTION_DECLARATION), -1);
#define CHECKED(r) \
    else if (!critical && AT(char, self, FUNCTION_CHECK) && UNLIKELY(!PASSES(AT(char, self, FUNCTION_CHECK), r))) \
        value = api.failed(self, value, args, NULL, NULL);
#define END \
    AT(ptrdiff_t, CELL, CELL_INFLIGHT)--; \
    if (UNLIKELY(AT(char, CELL, CELL_CLOSED))) \
        api.leave(CELL); /* which looks whether it was the last */ \
    return value;

#define PARAMETERS PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames
/* aligned, that speed does not hang on what stands before */
#define ENTRY(NAME, NUMBER, CRITICAL) \
    static __attribute__((aligned(64))) PyObject *NAME##_##NUMBER(PARAMETERS) \
    { \
        return call_##NUMBER(self, args, nargsf, kwnames, CRITICAL); \
    }
/* One body for functions that keep the GIL and ask for nothing else, and one that looks at the flags: beside what it
 * takes to give up the GIL, that is nothing.  By whether there are options, and whether the GIL is kept. */
#define ENTRIES(NUMBER) \
    ENTRY(any, NUMBER, 0) \
    ENTRY(critical, NUMBER, 1) \
    const vectorcallfunc epsilon_entry_##NUMBER[2][2] = { \
        {any_##NUMBER, critical_##NUMBER}, \
        {any_##NUMBER, any_##NUMBER}, \
    };
/* a struct's check is the general entry's */
static PyObject *general(PARAMETERS) { return api.general(self, args, nargsf, kwnames); }
#define PLAIN_ENTRIES(NUMBER) \
    ENTRY(any, NUMBER, 0) \
    ENTRY(critical, NUMBER, 1) \
    const vectorcallfunc epsilon_entry_##NUMBER[2][2] = {{any_##NUMBER, critical_##NUMBER}, {general, general}};
"""


def source(shapes: Iterable[str], layout: Mapping[str, int]) -> str:
    """The C of the entries of these shapes: ``epsilon_entry_0`` and so on, in their order."""
    from epsilon.compiler import literal

    lines = [f"#define {name} {value}" for name, value in layout.items()]
    lines.append(f"#define LONG_DIGIT_TYPE uint{8 * layout['LONG_DIGIT_SIZE']}_t")
    lines.append(f"#define MADE_FOR {literal(made_for(layout))}")
    lines.append(_PRELUDE)
    further = {
        CALLBACK: (upcalls.PRELUDE, upcalls.upcall),
        BATCH: (batch_source.PRELUDE, batch_source.batch),
    }
    structs: dict[str, str] = {}
    entries = []
    for number, shape in enumerate(shapes):
        if shape[0] in further:
            prelude, write = further[shape[0]]
            entries.append(write(number, shape))
            if prelude not in lines:
                lines.append(prelude)
        else:
            entries.append(_entry(number, shape, structs))
    return "\n".join([*lines, *structs.values(), *entries, ""])


def _entry(number: int, shape: str, structs: dict[str, str]) -> str:
    result, _, rest = shape.partition("(")
    letters = [letter for letter in rest.rstrip(")").split(",") if letter]
    types = [_c_type(letter, structs) for letter in letters]
    lines = [f"/* {shape} */", "INLINE PyObject *", f"call_{number}(PARAMETERS, int critical)", "{"]
    lines.append(f"    BEGIN({len(letters)})")
    for index, (letter, ctype) in enumerate(zip(letters, types, strict=True)):
        if letter[0] == "s":
            lines += [f"    {ctype} a{index} = {{0}};", f"    TO_STRUCT(a{index}, {index}, {_size(letter)})"]
        else:
            lines += [f"    {ctype} a{index};", f"    TO({word_for(letter)}, a{index}, {index})"]
    arguments = ", ".join(f"a{index}" for index in range(len(letters)))
    returned = "void" if result == "v" else _c_type(result, structs)
    call = f"(({returned} (*)({', '.join(types) or 'void'}))AT(void *, self, FUNCTION_ADDRESS))({arguments})"
    lines.append("    FLY")
    lines.append(f"    {call};" if result == "v" else f"    {returned} result = {call};")
    lines.append("    LAND {")
    plain = result[0] == "s"
    if result == "v":
        lines += ["        value = another(NONE);", "        if (0)", "            ;", "        CHECKED(0)"]
    elif plain:
        lines += ["        value = api.from_memory(OF_RESULT, &result);",
                  "        NAMED_IF_WRONG"]  # fmt: skip
    else:
        checked = "(uintptr_t)result" if "*" in returned else "result"
        lines += [f"        value = from_{word_for(result)}(OF_RESULT, result);",
                  "        NAMED_IF_WRONG", f"        CHECKED({checked})"]  # fmt: skip
    lines += ["    }", "    END", "}", f"{'PLAIN_' if plain else ''}ENTRIES({number})"]
    return "\n".join(lines)


def _size(letter: str) -> int:
    return int(letter[1:].rstrip("ISM"))


def _c_type(letter: str, structs: dict[str, str]) -> str:
    """C's type; of a struct, one that is passed as it is: of its size and its eightbytes (System V §3.2.3)."""
    if letter[0] != "s":
        return TYPES[letter]
    if letter not in structs:
        left, parts = _size(letter), []
        for index, kind in enumerate(letter.lstrip("s0123456789")):
            size = left if kind == "M" else min(left, 8)
            if kind == "S":
                parts.append(f"{'float' if size == 4 else 'double'} m{index};")
            else:
                parts.append(f"uint64_t m{index};" if size == 8 else f"char m{index}[{size}];")
            left -= size
        structs[letter] = f"typedef struct {{ {' '.join(parts)} }} {letter};"
    return letter
