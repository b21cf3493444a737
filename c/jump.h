/* The typed jumps of the register strategy, inline: quick.c and call.c make them. */
#ifndef EPSILON_JUMP_H
#define EPSILON_JUMP_H

#include "shim.h"

/* A C function that is declared with more register parameters than it has ignores the rest: both ABIs assign registers
 * from the left, integers and floats apart, and no callee looks further.  So one jump serves every signature that fits. */
#if HAVE_REGISTERS
typedef uint64_t u64;
typedef struct { u64 a, b; } Pair1;
typedef struct { u64 a; double b; } Pair2;
typedef struct { double a; u64 b; } Pair3;
typedef struct { double a, b; } Pair4;

#if INTEGER_REGISTERS == 6
#define INTEGERS u64, u64, u64, u64, u64, u64
#define INTEGER_WORDS w[0], w[1], w[2], w[3], w[4], w[5]
#else
#define INTEGERS u64, u64, u64, u64, u64, u64, u64, u64
#define INTEGER_WORDS w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
#endif
#define FLOATS double, double, double, double, double, double, double, double
#define FLOAT_WORDS d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]

/* Every jump is that of a variadic call: it says in AL how many float registers are used (System V §3.5.7), and is else the
 * same.  AArch64 has nothing to say. */
#if INTEGER_REGISTERS == 6
#define CALL(R, ...) ((R(*)(u64, ...))address)
#define WITH_FLOATS(R) ((R(*)(u64, ...))address)(INTEGER_WORDS, FLOAT_WORDS)
#else
#define CALL(R, ...) ((R(*)(__VA_ARGS__))address)
#define WITH_FLOATS(R) ((R(*)(INTEGERS, FLOATS))address)(INTEGER_WORDS, FLOAT_WORDS)
#endif
#define JUMP(R, FLOATING) ((FLOATING) ? WITH_FLOATS(R) : CALL(R, INTEGERS)(INTEGER_WORDS))

/* The jump for a result of one word, in the integer register ('I') or the float register ('S').  With the numbers of
 * integer and float arguments known when this is compiled, it loads no more registers than it must. */
ALWAYS_INLINE u64
jump_word(void *address, const u64 *w, int integers, int floats, int kind)
{
    const double *d = (const double *)(w + INTEGER_REGISTERS);
    u64 word;
    if (kind == 'I') {
        if (!floats)
            switch (integers) {
            case 0: return ((u64(*)(void))address)();
            case 1: return CALL(u64, u64)(w[0]);
            case 2: return CALL(u64, u64, u64)(w[0], w[1]);
            case 3: return CALL(u64, u64, u64, u64)(w[0], w[1], w[2]);
            case 4: return CALL(u64, u64, u64, u64, u64)(w[0], w[1], w[2], w[3]);
            }
        return JUMP(u64, floats);
    }
    double r;
    if (!integers && floats == 1)
        r = ((double (*)(double))address)(d[0]);
    else if (!integers && floats == 2)
        r = ((double (*)(double, double))address)(d[0], d[1]);
    else if (!integers && floats == 3)
        r = ((double (*)(double, double, double))address)(d[0], d[1], d[2]);
    else
        r = JUMP(double, floats);
    memcpy(&word, &r, sizeof r);
    return word;
}

/* The jump for every kind of result. */
ALWAYS_INLINE void
jump(const Trampoline *t, void *address, const u64 *w, u64 *result)
{
    const double *d = (const double *)(w + INTEGER_REGISTERS);
    switch (t->jump) {
    case '1': { Pair1 r = JUMP(Pair1, t->floats); memcpy(result, &r, sizeof r); break; }
    case '2': { Pair2 r = JUMP(Pair2, t->floats); memcpy(result, &r, sizeof r); break; }
    case '3': { Pair3 r = JUMP(Pair3, t->floats); memcpy(result, &r, sizeof r); break; }
    case '4': { Pair4 r = JUMP(Pair4, t->floats); memcpy(result, &r, sizeof r); break; }
    default: *result = jump_word(address, w, INTEGER_REGISTERS, t->floats, t->jump);
    }
}
#else
ALWAYS_INLINE void
jump(const Trampoline *t, void *address, const uint64_t *w, uint64_t *result)
{
    (void)t, (void)address, (void)w, (void)result;
}
#endif /* HAVE_REGISTERS */

/* Whether a result of one word passes a check that is a word, the commonest kinds inline. */
ALWAYS_INLINE int
quick_passes(const Converter *c, char check, uint64_t word)
{
    if (check == CHECK_NONNEGATIVE && c->code == 'i')
        return (int32_t)word >= 0;
    if (check == CHECK_NONNEGATIVE && c->code == 'q')
        return (int64_t)word >= 0;
    return word_passes(c, check, word);
}

/* The result of one word, the commonest kinds inline. */
ALWAYS_INLINE PyObject *
get_word(Converter *c, uint64_t word)
{
    char code = c->code;
    if (code == 'i')
        return PyLong_FromLong((int32_t)word);
    if (code == 'd') {
        double number;
        memcpy(&number, &word, sizeof number);
        return PyFloat_FromDouble(number);
    }
    if (sizeof(long) == 8 && (code == 'q' || (code == 'Q' && LIKELY((int64_t)word >= 0))))
        return PyLong_FromLong((long)word);
    if (code == 'v')
        Py_RETURN_NONE;
    return from_word(c, word);
}

#endif
