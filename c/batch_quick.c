/* The quick run of a plain batch: every call has an entry of its own (few integers, or few floats), none hands back a text, all
 * hold the GIL alike, and what a failed check gives is an error.  Where C was compiled for the batch's shape
 * (epsilon/batch_source.py), that converts and calls, and any plain signature will do.
 *
 * What the run needs is laid out flat when the batch is planned: arguments to be converted, then calls, then results.  Where
 * an argument is not of the plainest kind, the run of any batch takes over; nothing has happened by then.
 */
#include "batch.h"
#include "words.h"

#if HAVE_REGISTERS

#define WORDS 4 /* of each call */

/* Where the word of an argument comes from. */
typedef struct {
    PyObject *constant; /* or NULL: the argument `place` of the run */
    int place, word;
    char code;
} Given;

typedef struct {
    int from, word;
    char given, wanted; /* the codes of the result and of the parameter */
} Wire;

/* A callable that is given with each run, and must be the one that was planned. */
typedef struct {
    PyObject *callable;
    int place;
} Named;

typedef struct {
    void *address;
    Converter *result;
    int first_wire, wires;
    char entry, code, keeps_errno, check;
} Operation;

/* Things of one kind in a row, which one loop does. */
typedef struct {
    int end;   /* the index behind the last of them */
    char kind; /* 0: each says for itself */
} Stretch;

struct Quick {
    Named *named;
    Given *givens;
    Wire *wires;
    Operation *operations;
    Stretch *arguments, *jumps, *results;
    Cell **cells;             /* each once */
    Trampoline **trampolines; /* each once, … */
    int *uses;                /* … how often it is used … */
    char *codes;              /* … and the letter of its result, which changes when a Python function converts it */
    int named_count, given_count, wire_count, cell_count, trampoline_count;
    int critical;
    const BatchCode *code;    /* compiled for this shape, or NULL; … */
    Flat flat;                /* … what it gets */
    PyObject *list;           /* of the results of the last run */
};

/* The ints that Python has once: as results they are the commonest. */
#define SMALLEST (-5)
#define LARGEST 256
static PyObject *small_ints[LARGEST - SMALLEST + 1];

static int
know_small_ints(void)
{
    for (int i = SMALLEST; i <= LARGEST && !small_ints[LARGEST - SMALLEST]; i++)
        if (!(small_ints[i - SMALLEST] = PyLong_FromLong(i)))
            return -1;
    return 0;
}

void
quick_forget(Batch *self)
{
    struct Quick *quick = self->quick;
    self->quick = NULL;
    self->vectorcall = batch_vectorcall;
    if (!quick)
        return;
    Py_CLEAR(quick->list);
    PyMem_Free(quick->named);
    PyMem_Free(quick->givens);
    PyMem_Free(quick->wires);
    PyMem_Free(quick->operations);
    PyMem_Free(quick->arguments);
    PyMem_Free(quick->jumps);
    PyMem_Free(quick->results);
    PyMem_Free(quick->cells);
    PyMem_Free(quick->trampolines);
    PyMem_Free(quick->uses);
    PyMem_Free(quick->codes);
    PyMem_Free((void *)quick->flat.addresses);
    PyMem_Free((void *)quick->flat.constants);
    PyMem_Free((void *)quick->flat.parameters);
    PyMem_Free((void *)quick->flat.results);
    PyMem_Free(quick);
}

/* 1: it can be part of a quick run; 0: it cannot; -1: an error. */
static int
is_plain(const Step *step, int compiled)
{
    if (!step->function || (!step->entry && !compiled) || step->text)
        return 0;
    if (!(step->function->flags & CHECK))
        return 1;
    PyObject *instead = PyObject_GetAttrString(step->function->declaration, "default");
    int some = instead ? PyObject_IsTrue(instead) : -1;
    Py_XDECREF(instead);
    return some < 0 ? -1 : !some;
}

static void
note_use(struct Quick *quick, Function *f)
{
    int i = 0;
    while (i < quick->cell_count && quick->cells[i] != f->cell)
        i++;
    if (f->cell && i == quick->cell_count)
        quick->cells[quick->cell_count++] = f->cell;
    for (i = 0; i < quick->trampoline_count && quick->trampolines[i] != f->trampoline;)
        i++;
    if (i == quick->trampoline_count)
        quick->trampolines[quick->trampoline_count++] = f->trampoline;
    quick->uses[i]++;
    quick->codes[i] = f->trampoline->result->code;
}

/* The next thing in a row is of this kind. */
static void
stretch(Stretch *stretches, int index, char kind)
{
    while (stretches->end && !(stretches->end == index && stretches->kind == kind))
        stretches++;
    stretches->end = index + 1;
    stretches->kind = kind;
}

static PyObject *quick_vectorcall(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *kwnames);
static PyObject *code_vectorcall(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *kwnames);

/* What compiled code gets: 0, or -1 with the error set. */
static int
flatten(const Batch *self, struct Quick *quick)
{
    size_t count = (size_t)self->count + 1, arguments = (size_t)self->arguments + 1;
    void **addresses = PyMem_Calloc(count, sizeof *addresses);
    PyObject **constants = PyMem_Calloc(arguments, sizeof *constants);
    Converter **parameters = PyMem_Calloc(arguments, sizeof *parameters), **results = PyMem_Calloc(count, sizeof *results);
    quick->flat = (Flat){addresses, constants, parameters, results};
    if (!addresses || !constants || !parameters || !results) {
        PyErr_NoMemory();
        return -1;
    }
    for (int i = 0; i < self->count; i++) {
        const Step *step = &self->steps[i];
        const Trampoline *t = step->function->trampoline;
        addresses[i] = step->function->address;
        results[i] = t->result;
        for (int k = 0; k < step->count; k++) {
            const Source *source = &step->sources[k];
            if (source->from >= 0)
                continue;
            *parameters++ = t->parameters[k].converter;
            if (source->constant)
                *constants++ = source->constant;
        }
    }
    return 0;
}

/* Lay out the quick run of a batch that is planned, if it can have one, and by `code` if that was compiled for it: 0, or -1
 * with the error set. */
int
quick_plan(Batch *self, const BatchCode *code)
{
    for (int i = 0; i < self->count; i++) {
        int plain = is_plain(&self->steps[i], code != NULL);
        if (plain < 0)
            return -1;
        if (!plain || (self->steps[i].function->flags ^ self->steps[0].function->flags) & CRITICAL)
            return 0;
    }
    for (int i = 0; i < self->count; i++)
        if (function_resolve(self->steps[i].function) < 0)
            return -1;
    size_t count = (size_t)self->count + 1, arguments = (size_t)self->arguments + 1;
    if (know_small_ints() < 0)
        return -1;
    struct Quick *quick = self->quick = PyMem_Calloc(1, sizeof *quick);
    if (quick) {
        quick->named = PyMem_Calloc(count, sizeof(Named));
        quick->givens = PyMem_Calloc(arguments, sizeof(Given));
        quick->wires = PyMem_Calloc(arguments, sizeof(Wire));
        quick->operations = PyMem_Calloc(count, sizeof(Operation));
        quick->arguments = PyMem_Calloc(arguments, sizeof(Stretch));
        quick->jumps = PyMem_Calloc(count, sizeof(Stretch));
        quick->results = PyMem_Calloc(count, sizeof(Stretch));
        quick->cells = PyMem_Calloc(count, sizeof(Cell *));
        quick->trampolines = PyMem_Calloc(count, sizeof(Trampoline *));
        quick->uses = PyMem_Calloc(count, sizeof(int));
        quick->codes = PyMem_Calloc(count, sizeof(char));
    }
    if (!quick || !quick->named || !quick->givens || !quick->wires || !quick->operations || !quick->arguments || !quick->jumps ||
        !quick->results || !quick->cells || !quick->trampolines ||
        !quick->uses || !quick->codes) {
        quick_forget(self);
        PyErr_NoMemory();
        return -1;
    }
    quick->code = code;
    if (code && flatten(self, quick) < 0) {
        quick_forget(self);
        return -1;
    }
    int place = 0;
    for (int i = 0; i < self->count; i++) {
        const Step *step = &self->steps[i];
        Function *f = step->function;
        const Trampoline *t = f->trampoline;
        Operation *op = &quick->operations[i];
        quick->critical = f->flags & CRITICAL;
        *op = (Operation){
            .address = f->address, .result = t->result, .first_wire = quick->wire_count, .entry = step->entry,
            .code = t->result->code, .keeps_errno = (f->flags & ERRNO) != 0, .check = f->flags & CHECK ? f->check : 0,
        };
        note_use(quick, f);
        if (step->named)
            quick->named[quick->named_count++] = (Named){step->callable, place++};
        for (int k = 0; k < step->count; k++) {
            const Source *source = &step->sources[k];
            char code = t->parameters[k].converter->code;
            int word = i * WORDS + k;
            if (source->from >= 0) {
                char given = self->steps[source->from].function->trampoline->result->code;
                quick->wires[quick->wire_count++] = (Wire){source->from, word, given, code};
                op->wires++;
            }
            else {
                char kind = source->constant || !strchr("id", code) ? 0 : code;
                stretch(quick->arguments, quick->given_count, kind);
                quick->givens[quick->given_count++] =
                    (Given){source->constant, source->constant ? 0 : place++, word, code};
            }
        }
        stretch(quick->jumps, i, op->wires || op->keeps_errno || op->check || !strchr("012a", op->entry) ? 0 : op->entry);
        stretch(quick->results, i, strchr("id", op->code) ? op->code : 0);
    }
    self->vectorcall = code ? code_vectorcall : quick_vectorcall;
    return 0;
}

/* A call was stopped: by a callback's exception, by its check, or by a result that cannot be had. */
COLD void
fail(Batch *self, PyObject *const *args, const uint64_t *raw, int failed, int made, PyObject *exception)
{
    PyObject **objects = PyMem_Calloc((size_t)self->arguments + 1, sizeof(PyObject *));
    Landed *landed = PyMem_Calloc((size_t)self->count + 1, sizeof(Landed));
    Run run = {.batch = self, .objects = objects, .landed = landed};
    if (!objects || !landed) {
        Py_XDECREF(exception);
        PyErr_NoMemory();
    }
    else {
        batch_gather(&run, args);
        for (int i = 0; i < self->count; i++)
            landed[i].raw[0] = raw[i];
        if (exception)
            give_exception(exception);
        else if (!PyErr_Occurred())
            batch_failed_check(&run, &self->steps[failed]);
        batch_name_call(&run, failed, made);
        for (int i = 0; i < self->count; i++)
            Py_XDECREF(landed[i].value);
    }
    PyMem_Free(objects);
    PyMem_Free(landed);
}

ALWAYS_INLINE u64
jump_operation(const Operation *op, const u64 *w)
{
    void *address = op->address;
    const double *d = (const double *)w;
    double r;
    u64 word;
    switch (op->entry) {
    case '0': return jump_word(address, w, 0, 0, 'I');
    case '1': return jump_word(address, w, 1, 0, 'I');
    case '2': return jump_word(address, w, 2, 0, 'I');
    case '3': return jump_word(address, w, 3, 0, 'I');
    case '4': return jump_word(address, w, 4, 0, 'I');
    case 'a': r = ((double (*)(double))address)(d[0]); break;
    case 'b': r = ((double (*)(double, double))address)(d[0], d[1]); break;
    default: r = ((double (*)(double, double, double))address)(d[0], d[1], d[2]);
    }
    memcpy(&word, &r, sizeof r);
    return word;
}

/* Convert the arguments: 0 if one is not of the plainest kind. */
ALWAYS_INLINE int
put_givens(const struct Quick *quick, PyObject *const *args, uint64_t *words)
{
    const Given *one = quick->givens;
    for (const Stretch *next = quick->arguments; next->end; next++) {
        const Given *end = quick->givens + next->end;
        if (next->kind == 'i') {
            for (; one < end; one++)
                if (UNLIKELY(!quick_word('i', args[one->place], words + one->word)))
                    return 0;
        }
        else if (next->kind == 'd') {
            for (; one < end; one++)
                if (UNLIKELY(!quick_word('d', args[one->place], words + one->word)))
                    return 0;
        }
        else
            for (; one < end; one++)
                if (UNLIKELY(!quick_word(one->code, one->constant ? one->constant : args[one->place], words + one->word)))
                    return 0;
    }
    return 1;
}

/* A call that other results go into, that keeps errno, or whose result is checked: 0 if it fails the check. */
ALWAYS_INLINE int
make_call(const struct Quick *quick, const Operation *op, uint64_t *words, uint64_t *raw, int i)
{
    const Wire *wire = quick->wires + op->first_wire;
    for (int k = op->wires; k; k--, wire++)
        words[wire->word] = carry(wire->given, wire->wanted, raw[wire->from]);
    int *number = op->keeps_errno ? &errno : NULL;
    if (number)
        *number = 0;
    raw[i] = jump_operation(op, words + i * WORDS);
    if (number)
        saved_errno = *number;
    return !op->check || quick_passes(op->result, op->check, raw[i]);
}

#define STOPPED UNLIKELY(*(PyObject *volatile *)&record->exception != NULL)

/* Make the calls: how many were made well. */
ALWAYS_INLINE int
make_calls(const struct Quick *quick, uint64_t *words, uint64_t *raw, Record *record)
{
    int i = 0;
    for (const Stretch *next = quick->jumps; next->end; next++) {
        int end = next->end;
        const Operation *op = quick->operations + i;
        switch (next->kind) {
#define EACH(KIND, JUMP)                                                                                               \
    case KIND:                                                                                                         \
        for (; i < end; i++, op++) {                                                                                   \
            const u64 *w = words + i * WORDS;                                                                          \
            raw[i] = JUMP;                                                                                             \
            if (STOPPED)                                                                                               \
                return i;                                                                                              \
        }                                                                                                              \
        break;
        EACH('0', jump_word(op->address, w, 0, 0, 'I'))
        EACH('1', jump_word(op->address, w, 1, 0, 'I'))
        EACH('2', jump_word(op->address, w, 2, 0, 'I'))
        EACH('a', jump_operation(op, w))
        default:
            for (; i < end; i++, op++)
                if (!make_call(quick, op, words, raw, i) || STOPPED)
                    return i;
        }
    }
    return i;
}

/* Put the results into a list that has as many places: how many could be had. */
ALWAYS_INLINE int
get_results(const struct Quick *quick, const uint64_t *raw, PyObject *results)
{
    PyObject **items = ((PyListObject *)results)->ob_item, *value, *old;
    int i = 0;
    for (const Stretch *next = quick->results; next->end; next++) {
        int end = next->end;
        if (next->kind == 'i')
            for (; i < end; i++) {
                int32_t number = (int32_t)raw[i];
                old = items[i];
                if (LIKELY(number >= SMALLEST && number <= LARGEST)) {
                    value = small_ints[number - SMALLEST];
                    if (value == old) /* to count it up and down would take longer than all else here */
                        continue;
                    Py_INCREF(value);
                }
                else if (UNLIKELY(!(value = PyLong_FromLong(number))))
                    return i;
                items[i] = value;
                Py_XDECREF(old);
            }
        else
            for (; i < end; i++) {
                if (UNLIKELY(!(value = get_word(quick->operations[i].result, raw[i]))))
                    return i;
                old = items[i];
                items[i] = value;
                Py_XDECREF(old);
            }
    }
    return i;
}

/* A list for the results: the one of the last run, if nobody has it any more; so zip does with its tuples. */
ALWAYS_INLINE PyObject *
take_list(struct Quick *quick, int count)
{
    PyObject *list = quick->list;
    quick->list = NULL; /* for an item that goes may have a finalizer that runs this batch */
    if (LIKELY(list != NULL) && LIKELY(Py_REFCNT(list) == 1) && LIKELY(PyList_GET_SIZE(list) == count))
        return list;
    Py_XDECREF(list);
    return PyList_New(count);
}

/* In the air: the libraries stay open, and the calls are counted. */
ALWAYS_INLINE void
begin_run(struct Quick *quick)
{
    for (int i = 0; i < quick->cell_count; i++)
        quick->cells[i]->inflight++;
    for (int i = 0; i < quick->trampoline_count; i++)
        quick->trampolines[i]->calls += (unsigned)quick->uses[i];
}

ALWAYS_INLINE void
end_run(struct Quick *quick)
{
    for (int i = 0; i < quick->cell_count; i++)
        if (--quick->cells[i]->inflight == 0 && UNLIKELY(quick->cells[i]->closed))
            cell_leave_slowly(quick->cells[i]);
}

/* Whether the plan holds no longer: a library was closed, or a result is converted by a Python function now. */
ALWAYS_INLINE int
is_outdated(const struct Quick *quick)
{
    for (int i = 0; i < quick->cell_count; i++)
        if (UNLIKELY(quick->cells[i]->closed))
            return 1;
    for (int i = 0; i < quick->trampoline_count; i++)
        if (UNLIKELY(quick->trampolines[i]->result->code != quick->codes[i]))
            return 1;
    return 0;
}

typedef int (*Getter)(const struct Quick *quick, const uint64_t *raw, PyObject *results);

/* The list of the results, once `made` calls were made well, or NULL with the error set. */
ALWAYS_INLINE PyObject *
list_results(Batch *self, PyObject *const *args, const uint64_t *raw, int made, const Record *record, Getter get)
{
    struct Quick *quick = self->quick;
    const int count = self->count;
    if (UNLIKELY(made < count) || UNLIKELY(record->exception != NULL)) {
        made -= made == count; /* another thread left the exception, after the last call */
        fail(self, args, raw, made, made, record->exception);
        return NULL;
    }
    PyObject *results = take_list(quick, count);
    if (UNLIKELY(!results))
        return NULL;
    int had = get(quick, raw, results);
    if (UNLIKELY(had < count)) {
        Py_DECREF(results);
        explain(self->steps[had].function->declaration, -1);
        fail(self, args, raw, had, had, NULL);
        return NULL;
    }
    Py_XSETREF(quick->list, Py_NewRef(results));
    return results;
}

/* One run; the general one takes over where it is no quick one after all. */
ALWAYS_INLINE PyObject *
quick_run(Batch *self, PyObject *const *args)
{
    struct Quick *quick = self->quick;
    const int count = self->count;
    uint64_t *words = alloca(((size_t)count * (WORDS + 1) + 1) * sizeof(uint64_t)), *raw = words + count * WORDS;
    if (UNLIKELY(is_outdated(quick)) || UNLIKELY(!put_givens(quick, args, words)))
        return batch_run(self, args);
    begin_run(quick);
    Record record = {current_record, quick->critical ? PyThreadState_Get() : PyEval_SaveThread(), NULL};
    current_record = &record;
    int made = make_calls(quick, words, raw, &record);
    if (!quick->critical)
        PyEval_RestoreThread(record.state);
    current_record = record.previous;
    PyObject *results = list_results(self, args, raw, made, &record, get_results);
    end_run(quick);
    return results;
}

ALWAYS_INLINE int
get_by_code(const struct Quick *quick, const uint64_t *raw, PyObject *results)
{
    return quick->code->results(&quick->flat, raw, ((PyListObject *)results)->ob_item);
}

/* The same by compiled code (epsilon/batch_source.py), which lets go of the GIL, and of the record, itself. */
ALWAYS_INLINE PyObject *
code_run(Batch *self, PyObject *const *args)
{
    struct Quick *quick = self->quick;
    uint64_t *raw = alloca((size_t)self->count * sizeof(uint64_t));
    if (UNLIKELY(is_outdated(quick)))
        return batch_run(self, args);
    begin_run(quick);
    Record record = {current_record, NULL, NULL};
    int made = quick->code->calls(&quick->flat, args, raw, &record);
    if (UNLIKELY(made < 0)) { /* an argument is not plain: nothing has happened */
        for (int i = 0; i < quick->trampoline_count; i++)
            quick->trampolines[i]->calls -= (unsigned)quick->uses[i];
        PyObject *results = batch_run(self, args);
        end_run(quick);
        return results;
    }
    PyObject *results = list_results(self, args, raw, made, &record, get_by_code);
    end_run(quick);
    return results;
}

typedef PyObject *(*Runner)(Batch *self, PyObject *const *args);

ALWAYS_INLINE PyObject *
run_planned(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *kwnames, Runner run)
{
    Batch *self = (Batch *)object;
    const struct Quick *quick = self->quick;
    if (UNLIKELY(PyVectorcall_NARGS(nargsf) != self->wanted) || UNLIKELY(kwnames != NULL))
        return batch_vectorcall(object, args, nargsf, kwnames);
    for (const Named *one = quick->named, *end = one + quick->named_count; one < end; one++)
        if (UNLIKELY(args[one->place] != one->callable))
            return batch_vectorcall(object, args, nargsf, kwnames);
    self->running++;
    PyObject *result = run(self, args);
    self->running--;
    return result;
}

/* aligned, that their speed does not hang on what stands before them */
#define ALIGNED static __attribute__((aligned(64)))

ALIGNED PyObject *
quick_vectorcall(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    return run_planned(object, args, nargsf, kwnames, quick_run);
}

ALIGNED PyObject *
code_vectorcall(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    return run_planned(object, args, nargsf, kwnames, code_run);
}

int
quick_is_compiled(const Batch *self)
{
    return self->quick && self->quick->code;
}

#else

int
quick_is_compiled(const Batch *self)
{
    (void)self;
    return 0;
}

int
quick_plan(Batch *self, const BatchCode *code)
{
    (void)self;
    (void)code;
    return 0;
}

void
quick_forget(Batch *self)
{
    (void)self;
}

#endif
