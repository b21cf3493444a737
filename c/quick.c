/* Quick calls: functions whose parameters and result are one word each, all in registers, with no option but errno and a
 * check that is a word.
 *
 * Most calls are of this kind.  An entry is compiled once for each way of holding the GIL, with those options and without,
 * and for each kind of jump, so that nothing is decided at run time that the signature decides; with few arguments, all
 * integers or all floats, the words of the call never touch memory.  Small structs by value have an entry of their own.
 * Everything else is call.c's.
 */
#include "words.h"

#if HAVE_REGISTERS

/* The quick entry: every parameter and the result are one word each, all in registers.  An argument that is not of the plainest kind sends the whole call to the general entry; nothing has happened by then.  `integers` and
 * `floats` are how many arguments there are where that is known (then the words never touch memory); ANY where it is not. */
#define ANY 99

ALWAYS_INLINE PyObject *
quick(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames, int release, int options, int integers,
      int floats, int kind)
{
    Function *f = (Function *)callable;
    Trampoline *t = f->trampoline;
    Cell *cell = f->cell;
    uint64_t words[REGISTERS + 1], result;
    int count = integers == ANY ? t->count : integers + floats;
    if (UNLIKELY(PyVectorcall_NARGS(nargsf) != count) || UNLIKELY(kwnames != NULL) || UNLIKELY(cell->closed))
        return call_general(callable, args, nargsf, kwnames);
    if (integers == ANY) {
        for (int i = 0; i < count; i++)
            if (UNLIKELY(!quick_word(f->codes[i], args[i], words + f->places[i])))
                return call_general(callable, args, nargsf, kwnames);
    }
    else {
        int first = integers ? 0 : INTEGER_REGISTERS;
#pragma GCC unroll 4
        for (int i = 0; i < count; i++)
            if (UNLIKELY(!quick_word(f->codes[i], args[i], words + first + i)))
                return call_general(callable, args, nargsf, kwnames);
    }
    cell->inflight++;
    t->calls++;
    Record record = {current_record, release ? PyEval_SaveThread() : PyThreadState_Get(), NULL};
    current_record = &record;
    int *number = options && f->flags & ERRNO ? &errno : NULL;
    if (number)
        *number = 0;
    result = jump_word(f->address, words, integers, floats, kind);
    if (number)
        saved_errno = *number;
    if (release)
        PyEval_RestoreThread(record.state);
    current_record = record.previous;
    PyObject *value = NULL;
    if (UNLIKELY(record.exception != NULL))
        give_exception(record.exception);
    else {
        value = get_word(t->result, result);
        if (UNLIKELY(!value))
            explain(f->declaration, -1);
        else if (options && f->check && UNLIKELY(!quick_passes(t->result, f->check, result)))
            value = result_failed(f, value, args, NULL, NULL);
    }
    if (--cell->inflight == 0 && UNLIKELY(cell->closed))
        cell_leave_slowly(cell);
    return value;
}

/* Aligned, that their speed does not hang on what stands before them.  Where in its page an entry lies made up to 15 % of a
 * call, as measured here; the sets of the instruction cache that it shares with the interpreter would explain it.  One entry
 * begins a page, and so gives all of this file their places, whatever becomes of the other files. */
#define ENTRY(NAME, RELEASE, OPTIONS, INTEGERS_, FLOATS_, KIND, PLACE)                                                 \
    static __attribute__((aligned(PLACE))) PyObject *NAME(PyObject *self, PyObject *const *args, size_t nargsf,        \
                                                          PyObject *kwnames)                                           \
    {                                                                                                                  \
        return quick(self, args, nargsf, kwnames, RELEASE, OPTIONS, INTEGERS_, FLOATS_, KIND);                         \
    }
#define QUICK_AT(PLACE, NAME, INTEGERS_, FLOATS_, KIND)                                                                \
    ENTRY(NAME##_release, 1, 0, INTEGERS_, FLOATS_, KIND, PLACE)                                                       \
    ENTRY(NAME##_critical, 0, 0, INTEGERS_, FLOATS_, KIND, 64)                                                         \
    ENTRY(NAME##_release_options, 1, 1, INTEGERS_, FLOATS_, KIND, 64)                                                  \
    ENTRY(NAME##_critical_options, 0, 1, INTEGERS_, FLOATS_, KIND, 64)                                                 \
    static const vectorcallfunc NAME[2][2] = {                                                                         \
        {NAME##_release, NAME##_critical},                                                                             \
        {NAME##_release_options, NAME##_critical_options},                                                             \
    };
#define QUICK(NAME, INTEGERS_, FLOATS_, KIND) QUICK_AT(64, NAME, INTEGERS_, FLOATS_, KIND)
QUICK(integers_0, 0, 0, 'I')
QUICK_AT(4096, integers_1, 1, 0, 'I')
QUICK(integers_2, 2, 0, 'I')
QUICK(integers_3, 3, 0, 'I')
QUICK(integers_4, 4, 0, 'I')
QUICK(floats_1, 0, 1, 'S')
QUICK(floats_2, 0, 2, 'S')
QUICK(floats_3, 0, 3, 'S')
QUICK(integers_to_word, ANY, 0, 'I')
QUICK(integers_to_float, ANY, 0, 'S')
QUICK(mixed_to_word, ANY, ANY, 'I')
QUICK(mixed_to_float, ANY, ANY, 'S')

/* --- small structs by value --------------------------------------------------------------------------------------- */

/* A struct of the parameter's own class, as its eightbytes: 1, or 0 if it is a matter for to_memory. */
ALWAYS_INLINE int
quick_pieces(const Parameter *p, PyObject *value, uint64_t *words)
{
    const Converter *c = p->converter;
    if (UNLIKELY((PyObject *)Py_TYPE(value) != c->make))
        return 0;
    const Guarded *memory = (Guarded *)value;
    if (UNLIKELY((memory->root ? memory->root : memory)->ended))
        return 0;
    if (LIKELY(c->size == 16)) {
        memcpy(words + p->word, memory->address, 8);
        memcpy(words + p->word2, memory->address + 8, 8);
        return 1;
    }
    uint64_t pieces[2] = {0};
    memcpy(pieces, memory->address, (size_t)c->size);
    words[p->word] = pieces[0];
    if (p->word2 >= 0)
        words[p->word2] = pieces[1];
    return 1;
}

/* The entry of functions that pass or return structs in registers, and no option is set. */
ALWAYS_INLINE PyObject *
quick_structs(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames, int release)
{
    Function *f = (Function *)callable;
    Trampoline *t = f->trampoline;
    Cell *cell = f->cell;
    uint64_t words[REGISTERS + 1], result[4];
    if (UNLIKELY(PyVectorcall_NARGS(nargsf) != t->count) || UNLIKELY(kwnames != NULL) || UNLIKELY(cell->closed))
        return call_general(callable, args, nargsf, kwnames);
    const Parameter *p = t->parameters;
    for (const Parameter *end = p + t->count; p < end; p++, args++)
        if (UNLIKELY(!(p->mode == WORD ? quick_word(quick_code(p->converter), *args, words + p->word)
                                       : quick_pieces(p, *args, words))))
            return call_general(callable, args - (p - t->parameters), nargsf, kwnames);
    cell->inflight++;
    t->calls++;
    Record record = {current_record, release ? PyEval_SaveThread() : PyThreadState_Get(), NULL};
    current_record = &record;
    jump(t, f->address, words, result);
    if (release)
        PyEval_RestoreThread(record.state);
    current_record = record.previous;
    PyObject *value = NULL;
    if (UNLIKELY(record.exception != NULL))
        give_exception(record.exception);
    else {
        value = is_wide(t->result) ? from_memory(t->result, result) : get_word(t->result, result[0]);
        if (UNLIKELY(!value))
            explain(f->declaration, -1);
    }
    if (--cell->inflight == 0 && UNLIKELY(cell->closed))
        cell_leave_slowly(cell);
    return value;
}

static PyObject *
structs_release(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    return quick_structs(self, args, nargsf, kwnames, 1);
}

static PyObject *
structs_critical(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    return quick_structs(self, args, nargsf, kwnames, 0);
}

/* The entry that calls of this function take: the quickest that serves it, once it is resolved. */
vectorcallfunc
function_entry(const Function *f)
{
    static const vectorcallfunc(*const by_integers[])[2] = {integers_0, integers_1, integers_2, integers_3, integers_4};
    static const vectorcallfunc(*const by_floats[])[2] = {floats_1, floats_2, floats_3};
    static const vectorcallfunc(*const otherwise[2][2])[2] = {
        {integers_to_word, integers_to_float},
        {mixed_to_word, mixed_to_float},
    };
    const Trampoline *t = f->trampoline;
    int critical = f->flags & CRITICAL, options = (f->flags & ~CRITICAL) != 0, to_float = t->jump == 'S';
    if (t->fixed >= 0 && t->fixed == t->count)
        return call_variadic;
    vectorcallfunc compiled = compiled_entry(f);
    if (compiled)
        return compiled;
    if (f->address && t->structs && f->cell && !options)
        return critical ? structs_critical : structs_release;
    if (!f->address || !t->plain || !f->cell || f->flags & RETRY || f->check == CHECK_CALLABLE ||
        t->count > QUICK_PARAMETERS)
        return call_general;
    if (!t->floats && !to_float && t->count <= 4)
        return by_integers[t->count][options][critical];
    if (to_float && t->floats == t->count && t->count >= 1 && t->count <= 3 && t->fixed < 0)
        return by_floats[t->count - 1][options][critical];
    return otherwise[t->floats > 0][to_float][options][critical];
}

#else

vectorcallfunc
function_entry(const Function *f)
{
    return f->trampoline->fixed >= 0 && f->trampoline->fixed == f->trampoline->count ? call_variadic : call_general;
}

#endif
