/* Variadic calls: each shape of tail has a trampoline of its own, and a function remembers the shapes that it was called
 * with.
 *
 * Which C types the extra arguments have is decided in Python (the hook `tail`), once for each shape; the decision is a
 * Function like any other, whose parameters are the fixed ones and the tail's.  What is remembered here is how to know
 * the shape again by looking at the arguments: an int that C's int holds, a longer one, a float, a text, None, a pair
 * whose first part is that very type expression, or an object of that very class.  The first SHAPES shapes are kept, the
 * latest found first.
 */
#include "shim.h"

#define SHAPES 16
#define ARGUMENTS 32 /* the longest tail that is remembered */

/* How one extra argument is known again. */
typedef struct {
    char kind;      /* the letter of the type by default promotion, or T: an object of class `what`, 2: a pair with `what` */
    PyObject *what; /* or NULL */
} Mark;

struct Tail {
    struct Tail *next;
    PyObject *function;
    int count;
    Mark marks[];
};

/* The pair's parts, or NULL. */
static PyObject *const *
pair(PyObject *argument)
{
    if (PyTuple_CheckExact(argument) && PyTuple_GET_SIZE(argument) == 2)
        return &PyTuple_GET_ITEM(argument, 0);
    if (PyList_CheckExact(argument) && PyList_GET_SIZE(argument) == 2)
        return &PyList_GET_ITEM(argument, 0);
    return NULL;
}

/* How this argument would be known again. */
ALWAYS_INLINE Mark
mark(PyObject *argument)
{
    int64_t number;
    if (LIKELY(compact(argument, &number)))
        return (Mark){number == (int32_t)number ? 'i' : 'q', NULL};
    if (PyFloat_CheckExact(argument))
        return (Mark){'d', NULL};
    if (PyUnicode_CheckExact(argument) || PyBytes_CheckExact(argument))
        return (Mark){'z', NULL};
    if (argument == Py_None)
        return (Mark){'P', NULL};
    if (PyLong_CheckExact(argument)) {
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(argument, &overflow);
        return (Mark){!overflow && value == (int32_t)value ? 'i' : 'q', NULL};
    }
    PyObject *const *parts = pair(argument);
    return parts ? (Mark){'2', parts[0]} : (Mark){'T', (PyObject *)Py_TYPE(argument)};
}

/* The same mark: the same type expression may be another str with the same letters. */
ALWAYS_INLINE int
same_mark(const Mark *known, Mark given)
{
    if (known->kind != given.kind)
        return 0;
    if (known->what == given.what)
        return 1;
    return given.kind == '2' && PyUnicode_CheckExact(known->what) && PyUnicode_CheckExact(given.what) &&
           PyUnicode_Compare(known->what, given.what) == 0;
}

static int
fits(const Tail *tail, PyObject *const *args, Py_ssize_t count)
{
    if (tail->count != count)
        return 0;
    for (Py_ssize_t i = 0; i < count; i++)
        if (!same_mark(&tail->marks[i], mark(args[i])))
            return 0;
    return 1;
}

/* Remember that tails like this one are for `function`. */
static void
remember(Function *f, PyObject *const *args, Py_ssize_t count, PyObject *function)
{
    int shapes = 0;
    for (Tail *tail = f->tails; tail; tail = tail->next) {
        if (fits(tail, args, count)) /* another thread was faster, or the arguments' conversion called this function */
            return;
        shapes++;
    }
    Tail *tail = shapes < SHAPES && count <= ARGUMENTS ? PyMem_Malloc(sizeof(Tail) + (size_t)count * sizeof(Mark)) : NULL;
    if (!tail)
        return;
    tail->function = Py_NewRef(function);
    tail->count = (int)count;
    for (Py_ssize_t i = 0; i < count; i++) {
        tail->marks[i] = mark(args[i]);
        Py_XINCREF(tail->marks[i].what);
    }
    tail->next = f->tails;
    f->tails = tail;
}

int
tails_traverse(Tail *tail, visitproc visit, void *arg)
{
    for (; tail; tail = tail->next) {
        Py_VISIT(tail->function);
        for (int i = 0; i < tail->count; i++)
            Py_VISIT(tail->marks[i].what);
    }
    return 0;
}

void
tails_free(Tail *tail)
{
    while (tail) {
        Tail *next = tail->next;
        Py_DECREF(tail->function);
        for (int i = 0; i < tail->count; i++)
            Py_XDECREF(tail->marks[i].what);
        PyMem_Free(tail);
        tail = next;
    }
}

/* A shape that is not remembered: Python says which function it is for, and which values it gets. */
static PyObject *
call_unknown(Function *f, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *all = PyTuple_New(nargs);
    for (Py_ssize_t i = 0; all && i < nargs; i++)
        PyTuple_SET_ITEM(all, i, Py_NewRef(args[i]));
    PyObject *answer = all ? PyObject_CallFunctionObjArgs(hooks.tail, f->declaration, all, NULL) : NULL;
    Py_XDECREF(all);
    PyObject *function, *values, *result = NULL;
    int alike;
    if (answer && PyArg_ParseTuple(answer, "O!O!p:tail", &FunctionType, &function, &PyTuple_Type, &values, &alike)) {
        if (alike)
            remember(f, args + f->trampoline->taken, nargs - f->trampoline->taken, function);
        result = PyObject_Call(function, values, NULL);
    }
    Py_XDECREF(answer);
    return result;
}

/* The entry of a variadic function. */
PyObject *
call_variadic(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Function *f = (Function *)callable;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf), fixed = f->trampoline->taken, count = nargs - fixed;
    if (count <= 0 || kwnames)
        return call_general(callable, args, nargsf, kwnames);
    const Tail *tail = count <= ARGUMENTS ? f->tails : NULL;
    while (tail && !fits(tail, args + fixed, count))
        tail = tail->next;
    if (!tail)
        return call_unknown(f, args, nargs);
    PyObject *function = Py_NewRef(tail->function); /* a callback may end this function */
    PyObject **all = alloca((size_t)nargs * sizeof(PyObject *));
    PyObject *held[ARGUMENTS]; /* a list's item is the list's only until somebody changes it */
    int lists = 0;
    for (Py_ssize_t i = 0; i < fixed; i++)
        all[i] = args[i];
    for (Py_ssize_t i = fixed; i < nargs; i++) {
        all[i] = args[i];
        if (tail->marks[i - fixed].kind != '2')
            continue;
        all[i] = pair(args[i])[1];
        if (PyList_CheckExact(args[i]))
            held[lists++] = Py_NewRef(all[i]);
    }
    PyObject *result = ((Function *)function)->vectorcall(function, all, (size_t)nargs, NULL);
    while (lists)
        Py_DECREF(held[--lists]);
    Py_DECREF(function);
    return result;
}
