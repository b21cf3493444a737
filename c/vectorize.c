/* Vectors: a C function as the inner loop of a NumPy ufunc.
 *
 * NumPy is not needed to build this: its C API is reached through the table that `_UFUNC_API` points to, in which the places
 * are fixed (numpy/__ufunc_api.h).  A ufunc calls its loop mostly without the GIL, over aligned elements of the types that
 * were declared; broadcasting, casting, `out`, `where` and reductions are NumPy's.
 *
 * The loops of functions of one to three numbers of one type are compiled here, each a call through a pointer; every other
 * signature has the loop that loads and stores by type, and the typed jump, or libffi.
 *
 * A library is not unloaded while a loop is in it: the loop counts itself in on the Cell with an atomic of its own, for it
 * may have no GIL to do so.  What a callback raises is parked in a Record, as in a call; the loop stops, and NumPy finds the
 * error set when it is over.
 */
#include "jump.h"

#include <fenv.h>
#include <pthread.h>

#define MOST 16         /* arguments of a ufunc: NumPy takes 32 and more */
#define PART 16384      /* elements that are worth a thread */
#define MOST_THREADS 256

typedef Py_ssize_t Index; /* npy_intp */
typedef struct Vector Vector;
typedef void Run(const Vector *v, char **args, Index count, const Index *steps, const Record *record);
typedef void InnerLoop(char **args, const Index *dimensions, const Index *steps, void *data);

struct Vector {
    PyObject_HEAD
    Function *function;
    PyObject *name, *doc;    /* bytes, which the ufunc points to */
    Run *run;
    int threads, inputs, outputs;
    int gives;               /* the result is the first of the outputs */
    signed char slots[MOST]; /* of each C parameter: its place among the ufunc's arguments */
    char types[MOST];
    InnerLoop *loops[1];
    void *data[1];
};

/* The head of NumPy's PyUFuncObject; it has been so since NumPy 1.0, and vectorize() proves it. */
typedef struct {
    PyObject_HEAD
    int inputs, outputs, arguments, identity;
    InnerLoop **functions;
    void *const *data;
    int ntypes, reserved;
    const char *name, *types, *doc;
    void *ptr;
    PyObject *obj; /* kept by the ufunc */
} UfuncHead;

#define STOPPED UNLIKELY(*(PyObject *volatile const *)&record->exception != NULL)

/* --- loops -------------------------------------------------------------------------------------------------------- */

#define LOOPS(T, NAME)                                                                                                 \
    static void NAME##_1(const Vector *v, char **args, Index count, const Index *steps, const Record *record)         \
    {                                                                                                                  \
        T (*f)(T) = (T(*)(T))v->function->address;                                                                     \
        char *a = args[0], *r = args[1];                                                                               \
        Index da = steps[0], dr = steps[1];                                                                            \
        for (; count > 0; count--, a += da, r += dr) {                                                                 \
            *(T *)r = f(*(T *)a);                                                                                      \
            if (STOPPED)                                                                                               \
                return;                                                                                                \
        }                                                                                                              \
    }                                                                                                                  \
    static void NAME##_2(const Vector *v, char **args, Index count, const Index *steps, const Record *record)         \
    {                                                                                                                  \
        T (*f)(T, T) = (T(*)(T, T))v->function->address;                                                               \
        char *a = args[0], *b = args[1], *r = args[2];                                                                 \
        Index da = steps[0], db = steps[1], dr = steps[2];                                                             \
        for (; count > 0; count--, a += da, b += db, r += dr) {                                                        \
            *(T *)r = f(*(T *)a, *(T *)b);                                                                             \
            if (STOPPED)                                                                                               \
                return;                                                                                                \
        }                                                                                                              \
    }                                                                                                                  \
    static void NAME##_3(const Vector *v, char **args, Index count, const Index *steps, const Record *record)         \
    {                                                                                                                  \
        T (*f)(T, T, T) = (T(*)(T, T, T))v->function->address;                                                         \
        char *a = args[0], *b = args[1], *c = args[2], *r = args[3];                                                   \
        Index da = steps[0], db = steps[1], dc = steps[2], dr = steps[3];                                              \
        for (; count > 0; count--, a += da, b += db, c += dc, r += dr) {                                               \
            *(T *)r = f(*(T *)a, *(T *)b, *(T *)c);                                                                    \
            if (STOPPED)                                                                                               \
                return;                                                                                                \
        }                                                                                                              \
    }                                                                                                                  \
    static Run *const NAME##s[] = {NAME##_1, NAME##_2, NAME##_3};

LOOPS(double, double_loop)
LOOPS(float, float_loop)
LOOPS(int32_t, int_loop)
LOOPS(int64_t, long_loop)

static uint64_t
load(char code, const char *where)
{
    uint64_t word = 0;
    switch (code) {
    case 'b': case 'c': return (uint64_t)*(const int8_t *)where;
    case 'B': case 'C': return *(const uint8_t *)where;
    case '?': return *(const uint8_t *)where != 0;
    case 'h': return (uint64_t)*(const int16_t *)where;
    case 'H': return *(const uint16_t *)where;
    case 'i': return (uint64_t)*(const int32_t *)where;
    case 'I': return *(const uint32_t *)where;
    case 'f': memcpy(&word, where, 4); return word;
    default: memcpy(&word, where, 8); return word;
    }
}

static void
store(const Converter *c, const uint64_t *raw, char *where)
{
    const char *from = (const char *)raw;
#if PY_BIG_ENDIAN
    if (c->code != 'f' && c->code != 'd')
        from += 8 - c->size; /* an ffi_arg */
#endif
    memcpy(where, from, (size_t)c->size);
}

/* Every signature: what is an output goes by its address. */
static void
general_loop(const Vector *v, char **args, Index count, const Index *steps, const Record *record)
{
    Trampoline *t = v->function->trampoline;
    void *address = v->function->address, *values[MOST + 1];
    int arguments = v->inputs + v->outputs;
    uint64_t *words = alloca(((size_t)t->words + REGISTERS + 2) * sizeof(uint64_t)), raw[4] = {0};
    char *at[MOST];
    memcpy(at, args, (size_t)arguments * sizeof *at);
    for (; count > 0; count--) {
        for (int i = 0; i < t->count; i++) {
            const Parameter *p = &t->parameters[i];
            words[p->word] = p->optional ? (uintptr_t)at[v->slots[i]] : load(p->converter->code, at[v->slots[i]]);
        }
        if (t->strategy == BY_REGISTERS)
            jump(t, address, words, raw);
        else
            call_libffi(t, address, words, raw, values);
        if (v->gives)
            store(t->result, raw, at[v->inputs]);
        if (STOPPED)
            return;
        for (int i = 0; i < arguments; i++)
            at[i] += steps[i];
    }
}

static Run *
choose(const Vector *v)
{
    const Trampoline *t = v->function->trampoline;
    char code = t->result->code;
    Run *const *runs = code == 'd' ? double_loops : code == 'f' ? float_loops : code == 'i' ? int_loops
                     : code == 'q' ? long_loops : NULL;
    if (!runs || t->foreign || v->outputs != 1 || t->count < 1 || t->count > 3)
        return general_loop;
    for (int i = 0; i < t->count; i++)
        if (t->parameters[i].converter->code != code)
            return general_loop;
    return runs[t->count - 1];
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

typedef struct {
    const Vector *v;
    char *args[MOST];
    Index count;
    const Index *steps;
    int flags; /* of the floating-point unit */
} Part;

static void *
run_part(void *given)
{
    Part *part = given;
    static const Record nobody = {NULL, NULL, NULL};
    part->v->run(part->v, part->args, part->count, part->steps, &nobody);
    part->flags = fetestexcept(FE_ALL_EXCEPT);
    return NULL;
}

/* Whether elements may be computed in any order: no output lies over an input, but where each lies over its own. */
static int
is_independent(const Vector *v, char **args, Index count, const Index *steps)
{
    for (int o = v->inputs; o < v->inputs + v->outputs; o++) {
        if (!steps[o])
            return 0; /* a reduction */
        uintptr_t low = (uintptr_t)args[o], high = (uintptr_t)(args[o] + steps[o] * (count - 1));
        for (int i = 0; i < v->inputs; i++) {
            uintptr_t first = (uintptr_t)args[i], last = (uintptr_t)(args[i] + steps[i] * (count - 1));
            int apart = (first < last ? last : first) + 16 <= (low < high ? low : high) ||
                        (low < high ? high : low) + 16 <= (first < last ? first : last);
            if (!apart && !(args[i] == args[o] && steps[i] == steps[o]))
                return 0;
        }
    }
    return 1;
}

static void
run_split(const Vector *v, char **args, Index count, const Index *steps, Record *record, int threads)
{
    Part *parts = calloc((size_t)threads, sizeof *parts);
    pthread_t *workers = calloc((size_t)threads, sizeof *workers);
    char *started = calloc((size_t)threads, 1);
    int arguments = v->inputs + v->outputs, flags = 0;
    if (!parts || !workers || !started)
        threads = 1; /* without */
    Index done = 0;
    for (int i = 1; i < threads; i++) {
        Index share = (count - done) / (threads - i + 1);
        parts[i] = (Part){.v = v, .count = share, .steps = steps};
        for (int k = 0; k < arguments; k++)
            parts[i].args[k] = args[k] + steps[k] * done;
        done += share;
        started[i] = pthread_create(&workers[i], NULL, run_part, &parts[i]) == 0;
    }
    char *rest[MOST];
    for (int k = 0; k < arguments; k++)
        rest[k] = args[k] + steps[k] * done;
    v->run(v, rest, count - done, steps, record);
    for (int i = 1; i < threads; i++)
        if (started[i]) {
            pthread_join(workers[i], NULL);
            flags |= parts[i].flags;
        }
        else
            v->run(v, parts[i].args, parts[i].count, steps, record);
    if (flags)
        feraiseexcept(flags);
    free(parts);
    free(workers);
    free(started);
}

/* --- what NumPy calls --------------------------------------------------------------------------------------------- */

static void
refuse_closed(const Vector *v)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *result = PyObject_CallOneArg(hooks.library_closed, v->function->declaration);
    Py_XDECREF(result);
    PyGILState_Release(gil);
}

static void
vector_loop(char **args, const Index *dimensions, const Index *steps, void *data)
{
    Vector *v = data;
    Cell *cell = v->function->cell;
    Index count = dimensions[0];
    if (cell) {
        __atomic_add_fetch(&cell->aloft, 1, __ATOMIC_SEQ_CST);
        if (UNLIKELY(__atomic_load_n(&cell->closed, __ATOMIC_SEQ_CST))) {
            __atomic_sub_fetch(&cell->aloft, 1, __ATOMIC_SEQ_CST);
            refuse_closed(v);
            return;
        }
    }
    Record record = {current_record, PyGILState_GetThisThreadState(), NULL};
    current_record = &record;
    Index parts = count / PART < v->threads ? count / PART : v->threads;
    if (parts > 1 && is_independent(v, args, count, steps)) {
        PyThreadState *held = PyGILState_Check() ? PyEval_SaveThread() : NULL;
        run_split(v, args, count, steps, &record, (int)parts);
        if (held)
            PyEval_RestoreThread(held);
    }
    else
        v->run(v, args, count, steps, &record);
    current_record = record.previous;
    if (cell && __atomic_sub_fetch(&cell->aloft, 1, __ATOMIC_SEQ_CST) == 0 &&
        UNLIKELY(__atomic_load_n(&cell->closed, __ATOMIC_SEQ_CST))) {
        PyGILState_STATE gil = PyGILState_Ensure();
        cell_leave_slowly(cell);
        PyGILState_Release(gil);
    }
    if (UNLIKELY(record.exception != NULL)) {
        PyGILState_STATE gil = PyGILState_Ensure();
        give_exception(record.exception);
        PyGILState_Release(gil);
    }
}

/* vectorize(table, function, slots, inputs, outputs, gives, types, threads, name, doc) → a ufunc */
PyObject *
shim_vectorize(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *capsule, *function, *name, *doc;
    const char *slots, *types;
    Py_ssize_t slot_count, type_count;
    int inputs, outputs, gives, threads;
    if (!PyArg_ParseTuple(args, "OO!y#iipy#iSS:vectorize", &capsule, &FunctionType, &function, &slots, &slot_count, &inputs,
                          &outputs, &gives, &types, &type_count, &threads, &name, &doc))
        return NULL;
    void **table = PyCapsule_GetPointer(capsule, NULL);
    if (!table)
        return NULL;
    const Trampoline *t = ((Function *)function)->trampoline;
    int sound = slot_count == t->count && slot_count <= MOST && inputs > 0 && outputs > 0 && inputs + outputs <= MOST &&
                type_count == inputs + outputs && threads >= 1 && threads <= MOST_THREADS;
    for (Py_ssize_t i = 0; sound && i < slot_count; i++)
        sound = slots[i] >= 0 && slots[i] < inputs + outputs && t->parameters[i].mode == WORD;
    if (!sound) {
        PyErr_SetString(PyExc_SystemError, "vectorize: no such loop");
        return NULL;
    }
    if (function_resolve((Function *)function) < 0)
        return NULL;
    Vector *v = (Vector *)VectorType.tp_alloc(&VectorType, 0);
    if (!v)
        return NULL;
    v->function = (Function *)Py_NewRef(function);
    v->name = Py_NewRef(name);
    v->doc = Py_NewRef(doc);
    v->threads = threads;
    v->inputs = inputs;
    v->outputs = outputs;
    v->gives = gives;
    memcpy(v->slots, slots, (size_t)slot_count);
    memcpy(v->types, types, (size_t)type_count);
    v->run = choose(v);
    v->loops[0] = vector_loop;
    v->data[0] = v;
    typedef PyObject *FromLoops(InnerLoop **, void *const *, const char *, int, int, int, int, const char *, const char *, int);
    FromLoops *from_loops = (FromLoops *)table[1]; /* PyUFunc_FromFuncAndData; -1 is PyUFunc_None */
    PyObject *ufunc = from_loops(v->loops, v->data, v->types, 1, inputs, outputs, -1, PyBytes_AS_STRING(v->name),
                                 PyBytes_AS_STRING(v->doc), 0);
    UfuncHead *head = (UfuncHead *)ufunc;
    if (!ufunc) {
        Py_DECREF(v);
        return NULL;
    }
    if (Py_TYPE(ufunc)->tp_basicsize < (Py_ssize_t)sizeof(UfuncHead) || head->functions != v->loops ||
        head->data != v->data || head->name != PyBytes_AS_STRING(v->name) || head->types != v->types || head->obj) {
        PyErr_SetString(PyExc_SystemError, "this NumPy lays its ufuncs out in a way that the shim does not know");
        return NULL; /* both are left alone, for one points into the other */
    }
    head->obj = (PyObject *)v;
    return ufunc;
}

static void
vector_dealloc(Vector *self)
{
    Py_XDECREF(self->function);
    Py_XDECREF(self->name);
    Py_XDECREF(self->doc);
    Py_TYPE(self)->tp_free(self);
}

PyTypeObject VectorType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "epsilon._shim.Vector",
    .tp_doc = "What a ufunc of a C function keeps.",
    .tp_basicsize = sizeof(Vector),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = (destructor)vector_dealloc,
};
