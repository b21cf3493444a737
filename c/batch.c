/* Batches: several foreign calls in one crossing.
 *
 * A Batch has the shape of its calls: for each, where its arguments come from (the caller, a constant, or the result of an
 * earlier call).  Called with the callables and their arguments, it converts all arguments first, lets go of the GIL once,
 * makes the calls in order, and converts all results.  A result that a later call takes is placed as a word, without
 * Python; that its type fits is the hook's to say, before anything is called (epsilon/batches.py).
 *
 * What needs Python between the calls is made as an ordinary call in its turn, with the GIL taken back: a Python callable, a
 * variadic function, counted arrays, what is the caller's to free or C's to keep, a check by a callable, retrying, and
 * values that users' converters make.
 *
 * A text that C returns is copied as soon as the call is back, for the next one may use the same place.
 */
#include "batch.h"

/* --- the plan ----------------------------------------------------------------------------------------------------- */

static char
base_of(const Converter *c)
{
    while (c->code == 'x')
        c = c->inner;
    return c->code;
}

static int
is_number(char code)
{
    return strchr("bBhHiIqQcC?fd", code) != NULL;
}

/* Whether a call can be made here; else it is an ordinary one. */
static int
is_ours(const Batch *self, const Step *step)
{
    if (Py_TYPE(step->callable) != &FunctionType)
        return 0;
    const Function *f = (Function *)step->callable;
    const Trampoline *t = f->trampoline;
    if (t->counted || t->gives || t->owned || t->fixed >= 0 || t->taken != step->count || f->flags & RETRY ||
        f->check == CHECK_CALLABLE)
        return 0;
    if ((step->awaited && t->outputs) || (t->result->code == 'x' && (step->awaited || !is_number(base_of(t->result)))))
        return 0;
    const Source *source = step->sources;
    for (int i = 0; i < t->count; i++) {
        char code = t->parameters[i].converter->code;
        if ((code == '>' || code == '=') && !is_number(t->parameters[i].converter->inner->code) &&
            !strchr("pPsgFD", t->parameters[i].converter->inner->code))
            return 0;
        if (t->parameters[i].optional)
            continue;
        if (source->from >= 0 && (code == 'x' || code == '<' || code == '=' || !self->steps[source->from].function))
            return 0; /* it takes a Python value, which has to be converted then */
        source++;
    }
    return 1;
}

static size_t
room(Batch *self, size_t size, size_t alignment)
{
    size_t start = (self->size + alignment - 1) & ~(alignment - 1);
    self->size = start + size;
    return start;
}

static char
entry_of(const Trampoline *t)
{
    if (!t->plain)
        return 0;
    if (!t->floats && t->jump == 'I' && t->count <= 4)
        return (char)('0' + t->count);
    if (t->jump == 'S' && t->floats == t->count && t->count >= 1 && t->count <= 3)
        return (char)('a' + t->count - 1);
    return 0;
}

/* Plan the run of these callables. */
static int
batch_plan(Batch *self, PyObject *const *callables)
{
    PyObject *given = PyTuple_New(self->count);
    for (int i = 0; given && i < self->count; i++)
        PyTuple_SET_ITEM(given, i, Py_NewRef(callables[i]));
    PyObject *result = given ? PyObject_CallFunctionObjArgs(hooks.batch_plan, given, self->shape, self->callables, NULL) : NULL;
    Py_XDECREF(given);
    const BatchCode *code = result ? PyLong_AsVoidPtr(result) : NULL;
    Py_XDECREF(result);
    if (!code && PyErr_Occurred())
        return -1;
    quick_forget(self);
    self->planned = self->items = 0;
    self->size = 0;
    self->lends = self->tidies = 0;
    for (int i = 0; i < self->count; i++) {
        Step *step = &self->steps[i];
        Py_INCREF(callables[i]);
        Py_XSETREF(step->callable, callables[i]);
        step->function = NULL;
        if (!is_ours(self, step)) {
            self->tidies = 1;
            continue;
        }
        const Trampoline *t = ((Function *)step->callable)->trampoline;
        size_t size = (size_t)t->result->size, alignment = t->result->alignment > 16 ? (size_t)t->result->alignment : 16;
        step->function = (Function *)step->callable;
        step->entry = entry_of(t);
        step->text = t->result->code == 'z';
        self->tidies |= step->text || step->function->flags & CHECK || step->wired; /* which may be filled */
        for (int k = 0; k < t->count; k++)
            self->lends |= !is_number(base_of(t->parameters[k].converter));
        step->wide_size = is_wide(t->result) && (t->hidden || size > sizeof ((Landed *)NULL)->raw);
        step->words = room(self, ((size_t)t->words + 2) * sizeof(uint64_t), 16);
        step->values = room(self, t->strategy == BY_REGISTERS ? 0 : ((size_t)t->nffi + 1) * sizeof(void *), 16);
        step->temporaries = room(self, (size_t)t->temporaries, 16);
        step->wide = room(self, step->wide_size ? size : 0, alignment);
        self->items += t->count * OWNED_PER_PARAMETER;
    }
    if (quick_plan(self, code) < 0)
        return -1;
    self->planned = 1;
    return 0;
}

/* --- the object --------------------------------------------------------------------------------------------------- */

/* Whether the plan is that of these callables. */
static int
is_planned(const Batch *self, PyObject *const *args)
{
    if (!self->planned)
        return 0;
    for (int i = 0; i < self->named_count; i++) {
        const Step *step = &self->steps[self->named[i]];
        if (UNLIKELY(args[step->place] != step->callable))
            return 0;
    }
    return 1;
}

static int
plan_anew(Batch *self, PyObject *const *args)
{
    PyObject **callables = PyMem_Malloc(((size_t)self->count + 1) * sizeof(PyObject *));
    if (!callables) {
        PyErr_NoMemory();
        return -1;
    }
    for (int i = 0; i < self->count; i++) {
        const Step *step = &self->steps[i];
        callables[i] = step->named ? args[step->place] : step->same >= 0 ? callables[step->same] : step->callable;
    }
    int done = batch_plan(self, callables);
    PyMem_Free(callables);
    return done;
}

PyObject *
batch_vectorcall(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Batch *self = (Batch *)object;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (UNLIKELY(nargs != self->wanted) || UNLIKELY(kwnames != NULL)) {
        PyErr_Format(hooks.type_error, "a batch of %d calls: %d arguments wanted, by position; %zd given", self->count,
                     self->wanted, nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0));
        return NULL;
    }
    if (UNLIKELY(!is_planned(self, args))) {
        if (self->running) { /* with other callables, by a callback or on another thread */
            PyObject *other = PyObject_CallFunctionObjArgs((PyObject *)Py_TYPE(self), self->shape, self->callables, NULL);
            PyObject *result = other ? batch_vectorcall(other, args, nargsf, kwnames) : NULL;
            Py_XDECREF(other);
            return result;
        }
        if (plan_anew(self, args) < 0)
            return NULL;
        if (self->quick)
            return self->vectorcall(object, args, nargsf, kwnames);
    }
    self->running++;
    PyObject *result = batch_run(self, args);
    self->running--;
    return result;
}

/* How the callable of the next call is known: 0 if it is not. */
static int
read_callable(Batch *self, Step *step, PyObject *callable)
{
    step->same = -1;
    if (callable == Py_None) {
        self->named[self->named_count++] = self->count;
        step->named = 1;
        self->wanted++;
        return 1;
    }
    if (!PyLong_Check(callable)) {
        step->callable = Py_NewRef(callable);
        return 1;
    }
    long index = PyLong_AsLong(callable);
    if (index < 0 || index >= self->count)
        return 0;
    step->same = (int)index;
    step->callable = Py_XNewRef(self->steps[index].callable);
    return 1;
}

/* Batch(shape, callables): of each call, a tuple with, for each argument, None (it is given), the index of the call whose
 * result it is, or (value,); and a callable, None (it is given, before the arguments), or the index of the call that has the
 * same. */
static PyObject *
batch_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"shape", "callables", NULL};
    PyObject *shape, *callables;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!:Batch", names, &PyTuple_Type, &shape, &PyTuple_Type, &callables))
        return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(shape), arguments = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!PyTuple_Check(PyTuple_GET_ITEM(shape, i)))
            goto wrong;
        arguments += PyTuple_GET_SIZE(PyTuple_GET_ITEM(shape, i));
    }
    if (PyTuple_GET_SIZE(callables) != count)
        goto wrong;
    Batch *self = (Batch *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->vectorcall = batch_vectorcall;
    self->shape = Py_NewRef(shape);
    self->steps = PyMem_Calloc((size_t)count + 1, sizeof(Step));
    self->sources = PyMem_Calloc((size_t)arguments + 1, sizeof(Source));
    self->named = PyMem_Calloc((size_t)count + 1, sizeof(int));
    self->callables = Py_NewRef(callables);
    if (!self->steps || !self->sources || !self->named) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->arguments = (int)arguments;
    Source *source = self->sources;
    for (; self->count < count; self->count++) {
        Step *step = &self->steps[self->count];
        PyObject *call = PyTuple_GET_ITEM(shape, self->count);
        step->sources = source;
        step->count = (int)PyTuple_GET_SIZE(call);
        step->first = (int)(source - self->sources);
        step->place = self->wanted;
        if (!read_callable(self, step, PyTuple_GET_ITEM(callables, self->count))) {
            Py_DECREF(self);
            goto wrong;
        }
        for (int i = 0; i < step->count; i++, source++) {
            PyObject *from = PyTuple_GET_ITEM(call, i);
            source->from = -1;
            if (from == Py_None)
                self->wanted++;
            else if (PyTuple_Check(from) && PyTuple_GET_SIZE(from) == 1)
                source->constant = Py_NewRef(PyTuple_GET_ITEM(from, 0));
            else {
                long index = PyLong_Check(from) ? PyLong_AsLong(from) : -1;
                if (index < 0 || index >= self->count) {
                    self->count++; /* this call has a callable, too */
                    Py_DECREF(self);
                    goto wrong;
                }
                source->from = (int)index;
                step->wired = self->steps[index].awaited = 1;
            }
        }
    }
    return (PyObject *)self;
wrong:
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "the shape of a batch is a tuple of tuples, with an item for each argument");
    return NULL;
}

static int
batch_traverse(Batch *self, visitproc visit, void *arg)
{
    for (int i = 0; i < self->count; i++)
        Py_VISIT(self->steps[i].callable);
    for (int i = 0; self->sources && i < self->arguments; i++)
        Py_VISIT(self->sources[i].constant);
    return 0; /* of a quick run's list only this object knows while nobody has it */
}

static int
batch_clear(Batch *self)
{
    self->planned = 0; /* and no run is in progress, for it would hold the batch */
    quick_forget(self);
    for (int i = 0; self->sources && i < self->arguments; i++)
        if (self->sources[i].constant) /* whoever calls it yet gives as many arguments as before */
            Py_SETREF(self->sources[i].constant, Py_NewRef(Py_None));
    return 0;
}

static void
batch_dealloc(Batch *self)
{
    PyObject_GC_UnTrack(self);
    quick_forget(self);
    for (int i = 0; self->sources && i < self->arguments; i++)
        Py_CLEAR(self->sources[i].constant);
    for (int i = 0; i < self->count; i++)
        Py_CLEAR(self->steps[i].callable);
    Py_CLEAR(self->shape);
    Py_CLEAR(self->callables);
    PyMem_Free(self->named);
    PyMem_Free(self->steps);
    PyMem_Free(self->sources);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *
batch_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<batch of %d calls>", ((Batch *)self)->count);
}

static PyObject *
batch_compiled(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(quick_is_compiled((Batch *)self));
}

static PyGetSetDef batch_getset[] = {
    {"compiled", batch_compiled, NULL, "Whether C that was compiled for this shape makes the calls.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject BatchType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "epsilon._shim.Batch",
    .tp_doc = "Several foreign calls in one crossing: batch(*arguments) → the list of all results.",
    .tp_basicsize = sizeof(Batch),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Batch, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_new = batch_new,
    .tp_traverse = (traverseproc)batch_traverse,
    .tp_clear = (inquiry)batch_clear,
    .tp_dealloc = (destructor)batch_dealloc,
    .tp_repr = batch_repr,
    .tp_getset = batch_getset,
};
