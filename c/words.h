/* The conversions of the plainest arguments, inline: quick.c's calls and batch_quick.c's batches begin with them. */
#ifndef EPSILON_WORDS_H
#define EPSILON_WORDS_H

#include "jump.h"

/* All eight bytes are written at once: the jump loads them at once, and a narrower store would stall it. */
ALWAYS_INLINE uint64_t
float_word(PyFloatObject *value)
{
    float single = (float)value->ob_fval;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    return bits;
}

/* Whether there is a NUL among the first `length` bytes; short texts without a call. */
ALWAYS_INLINE int
has_nul(const char *text, size_t length)
{
    if (length < 8 || length > 24)
        return strlen(text) != length;
    uint64_t found = 0;
    for (size_t at = 0;; at += 8) {
        uint64_t chunk;
        if (at + 8 > length)
            at = length - 8;
        memcpy(&chunk, text + at, sizeof chunk);
        found |= (chunk - 0x0101010101010101u) & ~chunk; /* the text is ASCII: bit 7 of a byte is set only for a NUL */
        if (at + 8 == length)
            return (found & 0x8080808080808080u) != 0;
    }
}

/* The conversions that most calls need, inline, the commonest first: 1 if it is done, 0 if it is a matter for to_word. */
ALWAYS_INLINE int
quick_word(char code, PyObject *value, uint64_t *word)
{
    int64_t number;
    if (code == 'i') {
        if (UNLIKELY(!compact(value, &number)) || (PyLong_SHIFT > 30 && UNLIKELY(number != (int32_t)number)))
            return 0; /* a compact int is one digit of PyLong_SHIFT bits */
        *word = (uint64_t)number;
        return 1;
    }
    if (code == 'd') {
        if (UNLIKELY(!PyFloat_CheckExact(value)))
            return 0;
        memcpy(word, &((PyFloatObject *)value)->ob_fval, sizeof(double));
        return 1;
    }
    if (code == 'z') {
        if (UNLIKELY(!PyUnicode_CheckExact(value)) || UNLIKELY(!PyUnicode_IS_COMPACT_ASCII(value)))
            return 0;
        const char *text = (const char *)((PyASCIIObject *)value + 1);
        *word = (uintptr_t)text;
        return LIKELY(!has_nul(text, (size_t)PyUnicode_GET_LENGTH(value)));
    }
    if (code == 'P') {
        *word = 0;
        return LIKELY(value == Py_None);
    }
    if (code == 'f') {
        if (UNLIKELY(!PyFloat_CheckExact(value)))
            return 0;
        *word = float_word((PyFloatObject *)value);
        return 1;
    }
    if (UNLIKELY(!compact(value, &number)))
        return 0;
    *word = (uint64_t)number;
    return code == 'q' || (code == 'Q' && LIKELY(number >= 0)) || (code == 'I' && LIKELY(number == (uint32_t)number));
}

#endif
