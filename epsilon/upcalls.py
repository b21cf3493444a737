"""C for signatures, the other way: the entry that takes C's call of a callback to Python.

It stands for the shim's ``interpret`` (``c/upcall.c``), once the GIL is held: it makes an object of each word, calls
the callable, and writes the plainest results.  A closed callback, an error and a result that is not plain go to
functions that the shim lends, so that texts, exceptions and meaning are the same.

C's call comes through a thunk, whose number leads to the callback and so to the signature: no machine code is made at
run time.  A closure of libffi's has pointers in place of words, and is interpreted.

A callback's shape begins with a star and has a letter for each conversion: ``*i(<i,<i)``.  ``x`` and ``X`` are words
that the shim converts, from an integer and a float register; ``<i`` is the int that C points to.
"""

from __future__ import annotations

from epsilon.entries import CALLBACK, FLOATS, word_for

PRELUDE = r"""
/* --- callbacks --------------------------------------------------------------------------------------- */

extern char PyFunction_Type[];
extern void _Py_Dealloc(PyObject *);
#if IMMORTAL
typedef int32_t Count; /* negative: not counted (PEP 683) */
#else
typedef ptrdiff_t Count;
#endif

INLINE PyObject *
hold(PyObject *object)
{
    if (!IMMORTAL || LIKELY(AT(Count, object, OBJECT_COUNT) >= 0))
        AT(Count, object, OBJECT_COUNT)++;
    return object;
}

INLINE void
drop(PyObject *object)
{
    if ((!IMMORTAL || AT(Count, object, OBJECT_COUNT) >= 0) && --AT(Count, object, OBJECT_COUNT) == 0)
        _Py_Dealloc(object);
}

/* The value in a word, and the one that it points to.  A converter may have got a Python function behind it since. */
#define WORD(LETTER, T) \
    INLINE PyObject *word_##LETTER(void *converter, uint64_t word) \
    { \
        T value; \
        memcpy(&value, &word, sizeof value); \
        return from_##LETTER(converter, value); \
    } \
    INLINE PyObject *behind_##LETTER(void *converter, uint64_t word) \
    { \
        T value; \
        if (UNLIKELY(AT(char, converter, CONVERTER_CODE) != '<') || UNLIKELY(!word)) \
            return api.from_word(converter, word); \
        memcpy(&value, (const void *)word, sizeof value); \
        return from_##LETTER(AT(void *, converter, CONVERTER_INNER), value); \
    }
WORD(b, int8_t)
WORD(c, int8_t)
WORD(B, uint8_t)
WORD(C, uint8_t)
WORD(h, int16_t)
WORD(H, uint16_t)
WORD(i, int32_t)
WORD(I, uint32_t)
WORD(q, int64_t)
WORD(Q, uint64_t)
WORD(bool, uint8_t)
WORD(f, float)
WORD(d, double)
#define word_x(converter, word) api.from_word(converter, word)
#define word_X word_x

/* Results: 1 if it is plain and done.  An integer fills its register. */
#define ANSWER(LETTER, T, WIDE) \
    INLINE int answer_##LETTER(PyObject *result, uint64_t *where) \
    { \
        T value; \
        if (UNLIKELY(!to_##LETTER(result, &value, NULL))) \
            return 0; \
        *where = (uint64_t)(WIDE)value; \
        return 1; \
    }
ANSWER(b, int8_t, int64_t)
ANSWER(c, int8_t, int64_t)
ANSWER(B, uint8_t, uint64_t)
ANSWER(C, uint8_t, uint64_t)
ANSWER(h, int16_t, int64_t)
ANSWER(H, uint16_t, uint64_t)
ANSWER(i, int32_t, int64_t)
ANSWER(I, uint32_t, uint64_t)
ANSWER(q, int64_t, int64_t)
ANSWER(Q, uint64_t, uint64_t)
ANSWER(bool, uint8_t, uint64_t)
INLINE int answer_f(PyObject *result, uint64_t *where) { return to_f(result, (float *)where, NULL); }
INLINE int answer_d(PyObject *result, uint64_t *where) { return to_d(result, (double *)where, NULL); }
INLINE int
answer_p(PyObject *result, uint64_t *where)
{
    *where = 0;
    return LIKELY(result == NONE);
}
#define answer_x(result, where) 0
#define answer_v(result, where) 1

#define UPCALL void *slot, Record *record, const uint64_t *words, uint64_t *where
#define ENTER \
    void *callback = AT(void *, slot, SLOT_CALLBACK), *trampoline = AT(void *, slot, SLOT_TRAMPOLINE); \
    if (UNLIKELY(!callback)) { \
        api.closed(slot, record, where); \
        return; \
    } \
    PyObject *callable = hold(AT(PyObject *, callback, CALLBACK_CALLABLE)); \
    AT(unsigned long long, trampoline, TRAMPOLINE_CALLBACKS)++; \
    AT(int, slot, SLOT_ENTERED)++; /* the callback may close itself while it runs */
#define TAKE(INDEX, CONVERT, WORD) \
    char *parameter##INDEX = AT(char *, trampoline, TRAMPOLINE_PARAMETERS) + INDEX * PARAMETER_SIZE; \
    PyObject *a##INDEX = CONVERT(AT(void *, parameter##INDEX, PARAMETER_CONVERTER), WORD); \
    if (UNLIKELY(!a##INDEX)) { \
        api.refused(slot, record, callable, INDEX, where); \
        goto drop##INDEX; \
    }
/* The place before the first argument is the callee's to use for the length of the call (PEP 590). */
#define CALL(COUNT, ...) \
    PyObject *vector[] = {NULL, __VA_ARGS__}, *result; \
    size_t nargsf = COUNT | (size_t)1 << 63; \
    if (LIKELY(IS(callable, PyFunction_Type))) \
        result = AT(vectorcallfunc, callable, PYTHON_FUNCTION_VECTORCALL)(callable, vector + 1, nargsf, NULL); \
    else \
        result = api.vectorcall(callable, vector + 1, nargsf); \
    if (UNLIKELY(!result)) \
        api.upcall_failed(slot, record, callable, where);
#define ANSWERED(ANSWER) \
    else if (!ANSWER(result, where)) \
        api.upcall_result(slot, record, callable, result, where);
#define DROP(INDEX) \
    drop(a##INDEX); \
    drop##INDEX:;
#define LEAVE \
    AT(int, slot, SLOT_ENTERED)--; \
    drop(callable);
"""


def upcall(number: int, shape: str) -> str:
    """The C of the entry of a callback's shape.

    >>> print(upcall(0, "*i(<i,d)"))
    /* *i(<i,d) */
    __attribute__((aligned(64))) void
    epsilon_entry_0(UPCALL)
    {
        ENTER
        TAKE(0, behind_i, words[0])
        TAKE(1, word_d, words[INTEGER_REGISTERS + 0])
        CALL(2, a0, a1)
        ANSWERED(answer_i)
        if (result)
            drop(result);
        DROP(1)
        DROP(0)
        LEAVE
    }
    """
    result, _, rest = shape.removeprefix(CALLBACK).partition("(")
    letters = [letter for letter in rest.rstrip(")").split(",") if letter]
    lines = [f"/* {shape} */", "__attribute__((aligned(64))) void", f"epsilon_entry_{number}(UPCALL)", "{", "    ENTER"]
    integers = floats = 0
    for index, letter in enumerate(letters):
        if letter in FLOATS:
            word, floats = f"INTEGER_REGISTERS + {floats}", floats + 1
        else:
            word, integers = str(integers), integers + 1
        convert = f"behind_{word_for(letter[1])}" if letter[0] == "<" else f"word_{word_for(letter)}"
        lines.append(f"    TAKE({index}, {convert}, words[{word}])")
    lines.append(f"    CALL({', '.join([str(len(letters)), *(f'a{index}' for index in range(len(letters)))])})")
    lines += [f"    ANSWERED(answer_{word_for(result)})", "    if (result)", "        drop(result);"]
    lines += [f"    DROP({index})" for index in reversed(range(len(letters)))]
    return "\n".join([*lines, "    LEAVE", "}"])
