/* The run of any batch; batch.c says what it promises. */
#include "batch.h"

static uint64_t *
words_of(const Run *run, const Step *step)
{
    return (uint64_t *)(run->block + step->words);
}

/* Where a wide result of a call is. */
static void *
wide_of(const Run *run, const Step *step)
{
    const Trampoline *t = step->function->trampoline;
    Landed *landed = &run->landed[step - run->batch->steps];
    return (t->strategy == BY_REGISTERS && !t->hidden) || !step->wide_size ? (void *)landed->raw : run->block + step->wide;
}

static void
take_off(Run *run)
{
    run->record.previous = current_record;
    run->record.state = PyThreadState_Get();
    run->record.exception = NULL;
    current_record = &run->record;
    run->flying = 1;
}

/* Have the GIL, and give up the record: 0, or -1 with a callback's exception set. */
static int
land(Run *run)
{
    if (run->released)
        PyEval_RestoreThread(run->record.state);
    run->released = 0;
    if (!run->flying)
        return 0;
    current_record = run->record.previous;
    run->flying = 0;
    if (LIKELY(!run->record.exception))
        return 0;
    give_exception(run->record.exception);
    return -1;
}

static int
put_argument(Run *run, const Step *step, Parameter *p, PyObject *value)
{
    uint64_t *words = words_of(run, step);
    if (UNLIKELY(p->temporary >= 0))
        run->frame.temporaries = run->block + step->temporaries + p->temporary;
    int failed = p->mode == WORD ? to_word(p->converter, value, words + p->word, &run->frame)
                                 : put_wide(p, value, words, &run->frame);
    if (UNLIKELY(failed))
        explain(step->function->declaration, (int)(p - step->function->trampoline->parameters));
    return failed;
}

/* The commonest conversions inline, as in quick.c; 0: it is a matter for put_argument. */
ALWAYS_INLINE int
put_quickly(const Parameter *p, PyObject *value, uint64_t *words)
{
    int64_t number;
    char code = p->converter->code; /* of a type that is one word */
    if (code == 'i') {
        if (UNLIKELY(!compact(value, &number)) || (PyLong_SHIFT > 30 && UNLIKELY(number != (int32_t)number)))
            return 0;
        words[p->word] = (uint64_t)number;
        return 1;
    }
    if (code != 'd' || UNLIKELY(!PyFloat_CheckExact(value)))
        return 0;
    memcpy(words + p->word, &((PyFloatObject *)value)->ob_fval, sizeof(double));
    return 1;
}

/* The arguments that no earlier call gives. */
ALWAYS_INLINE int
put_arguments(Run *run, const Step *step)
{
    const Trampoline *t = step->function->trampoline;
    PyObject **next = run->objects + step->first;
    const Source *source = step->sources;
    if (UNLIKELY(t->hidden))
        words_of(run, step)[0] = (uintptr_t)wide_of(run, step);
    for (Parameter *p = t->parameters, *end = p + t->count; p < end; p++) {
        if (UNLIKELY(p->optional)) {
            if (put_argument(run, step, p, Py_None) < 0)
                return -1;
            continue;
        }
        if (LIKELY(source->from < 0) && UNLIKELY(!put_quickly(p, *next, words_of(run, step))) &&
            put_argument(run, step, p, *next) < 0)
            return -1;
        source++;
        next++;
    }
    return 0;
}

/* A number as it goes from a result to a parameter of another type: the types fit, or nothing would have been called. */
uint64_t
carry(char from, char to, uint64_t word)
{
    double real = 0;
    int is_real = from == 'd' || from == 'f';
    switch (from) {
    case 'b': case 'c': word = (uint64_t)(int8_t)word; break;
    case 'h': word = (uint64_t)(int16_t)word; break;
    case 'i': word = (uint64_t)(int32_t)word; break;
    case 'B': case 'C': word = (uint8_t)word; break;
    case '?': word = (uint8_t)word != 0; break;
    case 'H': word = (uint16_t)word; break;
    case 'I': word = (uint32_t)word; break;
    case 'd': memcpy(&real, &word, sizeof real); break;
    case 'f': { float single; memcpy(&single, &word, sizeof single); real = single; break; }
    default: break;
    }
    if (to == '?')
        return word != 0;
    if (to != 'd' && to != 'f')
        return word;
    if (!is_real)
        real = strchr("BHIQC?", from) ? (double)word : (double)(int64_t)word;
    word = 0;
    if (to == 'd')
        memcpy(&word, &real, sizeof real);
    else {
        float single = (float)real;
        memcpy(&word, &single, sizeof single);
    }
    return word;
}

/* Place the result of an earlier call, which was made here, as an argument. */
static void
place(Run *run, const Step *step, const Parameter *p, const Step *from)
{
    Converter *result = from->function->trampoline->result;
    uint64_t *words = words_of(run, step);
    if (p->mode == WORD && !is_wide(p->converter)) {
        words[p->word] = carry(result->code, p->converter->code, run->landed[from - run->batch->steps].raw[0]);
        return;
    }
    const char *bytes = wide_of(run, from);
    size_t size = (size_t)result->size;
    if (p->mode == REFERENCE) {
        char *copy = run->block + step->temporaries + p->temporary;
        memcpy(copy, bytes, size);
        words[p->word] = (uintptr_t)copy;
    }
    else if (p->mode == PIECES) {
        uint64_t pieces[4] = {0};
        memcpy(pieces, bytes, size);
        words[p->word] = pieces[0];
        if (p->word2 >= 0)
            words[p->word2] = pieces[1];
    }
    else
        memcpy(words + p->word, bytes, size);
}

/* The results of earlier calls that this one takes: 0; or -1 with an error set, and then the GIL is held. */
static int
put_results(Run *run, const Step *step)
{
    const Trampoline *t = step->function->trampoline;
    const Source *source = step->sources;
    for (Parameter *p = t->parameters, *end = p + t->count; p < end; p++) {
        if (p->optional)
            continue;
        int from = source++->from;
        if (from < 0)
            continue;
        if (!run->landed[from].value)
            place(run, step, p, &run->batch->steps[from]);
        else if (land(run) < 0 || put_argument(run, step, p, run->landed[from].value) < 0)
            return -1;
    }
    return 0;
}

ALWAYS_INLINE void
jump_step(Run *run, const Step *step, Landed *landed)
{
    const Function *f = step->function;
    Trampoline *t = f->trampoline;
    uint64_t *words = words_of(run, step);
#if HAVE_REGISTERS
    switch (step->entry) {
    case '0': landed->raw[0] = jump_word(f->address, words, 0, 0, 'I'); return;
    case '1': landed->raw[0] = jump_word(f->address, words, 1, 0, 'I'); return;
    case '2': landed->raw[0] = jump_word(f->address, words, 2, 0, 'I'); return;
    case '3': landed->raw[0] = jump_word(f->address, words, 3, 0, 'I'); return;
    case '4': landed->raw[0] = jump_word(f->address, words, 4, 0, 'I'); return;
    case 'a': landed->raw[0] = jump_word(f->address, words, 0, 1, 'S'); return;
    case 'b': landed->raw[0] = jump_word(f->address, words, 0, 2, 'S'); return;
    case 'c': landed->raw[0] = jump_word(f->address, words, 0, 3, 'S'); return;
    }
#endif
    if (t->strategy == BY_REGISTERS)
        jump(t, f->address, words, landed->raw);
    else
        call_libffi(t, f->address, words, t->hidden ? (void *)landed->raw : wide_of(run, step),
                    (void **)(run->block + step->values));
}

/* The result of a call that was made here, as a Python value. */
ALWAYS_INLINE PyObject *
result_of(Run *run, const Step *step)
{
    const Function *f = step->function;
    Trampoline *t = f->trampoline;
    Landed *landed = &run->landed[step - run->batch->steps];
    PyObject *value = is_wide(t->result) ? from_memory(t->result, wide_of(run, step))
                                         : get_word(t->result, landed->text ? (uintptr_t)landed->text : landed->raw[0]);
    if (UNLIKELY(!value))
        explain(f->declaration, -1);
    return value;
}

static PyObject *
value_of(Run *run, int index)
{
    const Step *step = &run->batch->steps[index];
    Landed *landed = &run->landed[index];
    if (landed->value)
        return Py_NewRef(landed->value);
    PyObject *value = result_of(run, step);
    if (value && step->function->trampoline->outputs)
        value = with_outputs(step->function->trampoline, step->function->declaration, value,
                             run->block + step->temporaries, NULL, 0);
    return value;
}

/* The arguments of a call as Python has them, with the results of earlier calls among them. */
static int
fill(Run *run, const Step *step)
{
    for (int i = 0; i < step->count; i++) {
        int from = step->sources[i].from;
        if (from < 0)
            continue;
        Landed *landed = &run->landed[from];
        if (!landed->value && !(landed->value = value_of(run, from)))
            return -1;
        run->objects[step->first + i] = landed->value;
    }
    return 0;
}

/* A result failed its check: 0 if there is a default for that, and it is the result; or -1 with the error set. */
int
batch_failed_check(Run *run, const Step *step)
{
    Landed *landed = &run->landed[step - run->batch->steps];
    PyObject *value = fill(run, step) < 0 ? NULL : result_of(run, step);
    if (!value)
        return -1;
    landed->value = result_failed(step->function, value, run->objects + step->first, run->block + step->temporaries, NULL);
    return landed->value ? 0 : -1;
}

/* Make the calls: how many were made well; where that is not all of them an error is set. */
static int
make_calls(Run *run)
{
    Batch *self = run->batch;
    int i = 0;
    for (; i < self->count; i++) {
        const Step *step = &self->steps[i];
        const Function *f = step->function;
        Landed *landed = &run->landed[i];
        if (UNLIKELY(!f)) {
            if (land(run) < 0 || fill(run, step) < 0)
                return i;
            landed->value = PyObject_Vectorcall(step->callable, run->objects + step->first, (size_t)step->count, NULL);
            if (!landed->value)
                return i;
            continue;
        }
        if (UNLIKELY(step->wired) && UNLIKELY(put_results(run, step) < 0))
            return i;
        if (UNLIKELY(!run->flying))
            take_off(run);
        if (UNLIKELY(run->released == (f->flags & CRITICAL))) { /* CRITICAL is 1 */
            if (run->released)
                PyEval_RestoreThread(run->record.state);
            else
                PyEval_SaveThread();
            run->released = !run->released;
        }
        if (UNLIKELY(f->flags & ERRNO))
            errno = 0;
        jump_step(run, step, landed);
        if (UNLIKELY(f->flags & ERRNO))
            saved_errno = errno;
        if (UNLIKELY(step->text) && landed->raw[0])
            landed->text = strdup((const char *)(uintptr_t)landed->raw[0]);
        if (UNLIKELY(*(PyObject *volatile *)&run->record.exception != NULL))
            break;
        if (UNLIKELY(f->flags & CHECK) && !word_passes(f->trampoline->result, f->check, landed->raw[0]) &&
            (land(run) < 0 || batch_failed_check(run, step) < 0))
            return i;
    }
    if (land(run) == 0)
        return i;
    return i < self->count ? i : self->count - 1; /* left to this thread by another, after the last call */
}

/* The results of the first `count` calls; NULL with `*failed` where one cannot be had. */
static PyObject *
results_of(Run *run, int count, int *failed)
{
    PyObject *results = PyList_New(count);
    for (int i = 0; results && i < count; i++) {
        const Step *step = &run->batch->steps[i];
        PyObject *value = LIKELY(step->entry && !run->landed[i].value) ? result_of(run, step) : value_of(run, i);
        if (UNLIKELY(!value)) {
            *failed = i;
            Py_CLEAR(results);
            break;
        }
        PyList_SET_ITEM(results, i, value);
    }
    return results;
}

/* Name the call in the error that is set, and put the results so far there. */
void
batch_name_call(Run *run, int failed, int made)
{
    Batch *self = run->batch;
    PyObject *exception = take_exception();
    if (!exception) {
        PyErr_SetString(PyExc_SystemError, "a batch was stopped without an error");
        return;
    }
    int before = made, ignored;
    PyObject *results = NULL, *callables = PyTuple_New(self->count), *done = NULL;
    for (int i = 0; callables && i < self->count; i++)
        PyTuple_SET_ITEM(callables, i, Py_NewRef(self->steps[i].callable));
    while (!(results = results_of(run, before, &ignored)) && before > 0) {
        PyErr_Clear();
        before = ignored; /* of a result that cannot be had the error was another; what comes before it can */
    }
    if (results && callables)
        done = PyObject_CallFunction(hooks.batch_failed, "OiOO", callables, failed, results, exception);
    if (!done)
        PyErr_WriteUnraisable((PyObject *)self);
    Py_XDECREF(done);
    Py_XDECREF(results);
    Py_XDECREF(callables);
    give_exception(exception);
}

/* The arguments of all calls; None where a result will go. */
void
batch_gather(Run *run, PyObject *const *args)
{
    const Batch *self = run->batch;
    PyObject **next = run->objects;
    for (int i = 0; i < self->count; i++) {
        const Step *step = &self->steps[i];
        args += step->named;
        for (const Source *source = step->sources, *end = source + step->count; source < end; source++)
            *next++ = source->constant ? source->constant : source->from < 0 ? *args++ : Py_None;
    }
}

/* The memory among the arguments that a call was given is not in use any more. */
ALWAYS_INLINE void
come_ashore(Run *run, const Step *step)
{
    PyObject **objects = run->objects + step->first;
    for (int i = 0; UNLIKELY(step->wired) && i < step->count; i++)
        if (step->sources[i].from >= 0)
            objects[i] = Py_None; /* a result, which was put there later */
    guarded_land(objects, step->count);
}

PyObject *
batch_run(Batch *self, PyObject *const *args)
{
    size_t landed_size = (size_t)self->count * sizeof(Landed), objects_size = ((size_t)self->arguments + 1) * sizeof(PyObject *);
    size_t items_size = ((size_t)self->items + 1) * sizeof(PyObject *);
    size_t size = self->size + landed_size + objects_size + items_size + 5 * 64;
    char *heap = NULL, *block;
    if (LIKELY(size <= BLOCK_ON_STACK))
        block = alloca(size);
    else if (!(block = heap = PyMem_Malloc(size)))
        return PyErr_NoMemory();
    Run run = {.batch = self};
    run.block = carve(&block, self->size, 64);
    run.landed = carve(&block, landed_size, 16);
    run.objects = carve(&block, objects_size, 16);
    run.frame.items = carve(&block, items_size, 16);

    PyObject *results = NULL;
    int failed = 0, made = 0, boarded = 0, aboard = 0, kept = 0, kept_aboard = 0;
    batch_gather(&run, args);
    for (int i = 0; i < self->count; i++) {
        run.landed[i].value = NULL;
        run.landed[i].text = NULL;
    }
    for (; boarded < self->count; boarded++) {
        const Step *step = &self->steps[boarded];
        Function *f = step->function;
        if (UNLIKELY(!f))
            continue;
        if ((UNLIKELY(!f->address) || (f->cell && UNLIKELY(f->cell->closed))) && function_resolve(f) < 0) {
            failed = boarded;
            goto out;
        }
        if (f->cell) /* in flight from before the conversions, which may run Python that closes the library */
            f->cell->inflight++;
        if (UNLIKELY(put_arguments(&run, step) < 0)) {
            failed = boarded++;
            goto out;
        }
        f->trampoline->calls++;
    }
    for (; self->lends && aboard < self->count; aboard++)
        if (UNLIKELY(guarded_board(run.objects + self->steps[aboard].first, self->steps[aboard].count) < 0)) {
            failed = aboard;
            goto out;
        }
    kept = run.frame.count;
    if (UNLIKELY(kept) && UNLIKELY((kept_aboard = guarded_board(run.frame.items, kept)) < 0)) {
        failed = -1;
        goto out;
    }
    made = failed = make_calls(&run);
    if (LIKELY(failed == self->count))
        results = results_of(&run, self->count, &failed);
out:
    if (UNLIKELY(!results))
        batch_name_call(&run, failed, made < failed ? made : failed);
    for (int i = 0; i < aboard; i++)
        come_ashore(&run, &self->steps[i]);
    if (kept_aboard > 0)
        guarded_land(run.frame.items, kept);
    while (UNLIKELY(run.frame.count))
        Py_DECREF(run.frame.items[--run.frame.count]);
    for (int i = 0; (UNLIKELY(self->tidies) || UNLIKELY(!results)) && i < self->count; i++) {
        free(run.landed[i].text);
        Py_XDECREF(run.landed[i].value);
    }
    PyMem_Free(heap);
    for (int i = 0; i < boarded; i++) {
        Cell *cell = self->steps[i].function ? self->steps[i].function->cell : NULL;
        if (cell && --cell->inflight == 0 && UNLIKELY(cell->closed))
            cell_leave_slowly(cell);
    }
    return results;
}

