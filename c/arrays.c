/* Arrays whose lengths are in other parameters, arrays that are given back, and the views that callbacks get.
 *
 * What there is to know of them, a Python object knows (epsilon/arrays.py, Plan), which comes with the signature: it makes
 * memory of the arguments before they are converted, and lists of the memory after the call; in a callback, views of what
 * C passed, which end when the callback returns.  A trampoline without such arrays has no plan, and never comes here.
 */
#include "shim.h"

/* Read what the trampoline must know of the plan. */
int
arrays_plan(Trampoline *t, PyObject *plan)
{
    PyObject *marks = PyObject_GetAttrString(plan, "marks"), *taken = PyObject_GetAttrString(plan, "taken");
    PyObject *counted = PyObject_GetAttrString(plan, "counted"), *viewed = PyObject_GetAttrString(plan, "viewed");
    PyObject *bounded = PyObject_GetAttrString(plan, "bounded");
    int good = marks && taken && counted && viewed && bounded && PyBytes_Check(marks) && PyBytes_GET_SIZE(marks) == t->count;
    if (good) {
        t->arrays = Py_NewRef(plan);
        t->counted = counted == Py_True;
        t->viewed = viewed == Py_True;
        t->taken = (int)PyLong_AsLong(taken);
        for (int i = 0; i < t->count; i++) {
            t->parameters[i].array = PyBytes_AS_STRING(marks)[i];
            t->outputs += t->parameters[i].array == ARRAY_BACK;
        }
        t->outputs += bounded == Py_True; /* the plan has the last word about the result, too */
        t->words_only = t->words_only && !t->viewed; /* the quick way of callbacks */
        t->plain = t->plain && !t->counted;          /* the quick ways of calls */
        t->structs = t->structs && !t->counted;
    }
    else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "the plan for arrays does not fit the parameters");
    Py_XDECREF(marks);
    Py_XDECREF(taken);
    Py_XDECREF(counted);
    Py_XDECREF(viewed);
    Py_XDECREF(bounded);
    return good ? 0 : -1;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

/* Write a plain number of an integer or floating type: 1; 0, and nothing is written: it is not a plain one, or does not
 * fit, or the type is another. */
int
put_plain(char code, PyObject *value, char *where)
{
#define PUT(T, NUMBER)                                                                                                 \
    {                                                                                                                  \
        T fitting = (T)(NUMBER);                                                                                       \
        if (UNLIKELY(fitting != (NUMBER)))                                                                             \
            return 0;                                                                                                  \
        memcpy(where, &fitting, sizeof fitting);                                                                       \
        return 1;                                                                                                      \
    }
    if (code == 'd' || code == 'f') {
        if (!PyFloat_CheckExact(value))
            return 0;
        double number = PyFloat_AS_DOUBLE(value);
        if (code == 'd')
            memcpy(where, &number, sizeof number);
        else {
            float single = (float)number;
            memcpy(where, &single, sizeof single);
        }
        return 1;
    }
    int64_t number;
    if (!compact(value, &number)) {
        if (!PyLong_CheckExact(value))
            return 0;
        int overflow;
        number = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (overflow)
            return 0;
    }
    switch (code) {
    case 'b': case 'c': PUT(int8_t, number)
    case 'B': case 'C': PUT(uint8_t, number)
    case 'h': PUT(int16_t, number)
    case 'H': PUT(uint16_t, number)
    case 'i': PUT(int32_t, number)
    case 'I': PUT(uint32_t, number)
    case 'q': PUT(int64_t, number)
    case 'Q':
        if (number < 0)
            return 0;
        PUT(int64_t, number)
    default: return 0;
    }
#undef PUT
}

/* A copy of a list of plain numbers, or None.  Nothing here runs Python, so the list stays as it is. */
static PyObject *
copy_list(Converter *element, PyObject *values, PyObject *pointer_type)
{
    Py_ssize_t count = PyList_GET_SIZE(values), size = element->size;
    Guarded *memory = (Guarded *)guarded_allocate(&GuardedType, count * size, element->alignment, pointer_type);
    if (!memory)
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++)
        if (!put_plain(element->code, PyList_GET_ITEM(values, i), memory->address + i * size)) {
            Py_DECREF(memory);
            Py_RETURN_NONE;
        }
    return (PyObject *)memory;
}

/* Whether a buffer's elements, of one of the struct module's native formats, are the element's. */
static int
same_elements(const Converter *element, const Py_buffer *buffer)
{
    const char *format = buffer->format ? buffer->format : "B";
    if (buffer->itemsize != element->size || !format[0] || format[1] || !PyBuffer_IsContiguous(buffer, 'C'))
        return 0;
    if (strchr("fd", element->code))
        return *format == element->code;
    if (element->size == 1)
        return strchr("bBc", *format) != NULL;
    return strchr(strchr("hiq", element->code) ? "hilqn" : "HILQN", *format) != NULL;
}

/* A buffer in place, locked for as long as the memory lives, or None. */
static PyObject *
lend_buffer(Converter *element, PyObject *value, PyObject *pointer_type, int writable)
{
    PyObject *view = PyMemoryView_FromObject(value);
    if (!view) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    const Py_buffer *buffer = PyMemoryView_GET_BUFFER(view);
    Guarded *memory = NULL;
    if (same_elements(element, buffer) && !(writable && buffer->readonly)) {
        memory = (Guarded *)GuardedType.tp_alloc(&GuardedType, 0);
        if (memory) {
            memory->pointer_type = Py_NewRef(pointer_type);
            memory->address = buffer->buf;
            memory->size = buffer->len;
            memory->readonly = (char)buffer->readonly;
            memory->owner = view;
            return (PyObject *)memory;
        }
    }
    Py_DECREF(view);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

/* Converter.pack */
PyObject *
arrays_pack(Converter *element, PyObject *args)
{
    PyObject *value, *pointer_type;
    int writable;
    if (!PyArg_ParseTuple(args, "OOp:pack", &value, &pointer_type, &writable))
        return NULL;
    if (!strchr("bcBChHiIqQfd", element->code))
        Py_RETURN_NONE;
    if (PyList_CheckExact(value))
        return copy_list(element, value, pointer_type);
    if (!PyObject_CheckBuffer(value) || is_guarded(value))
        Py_RETURN_NONE;
    return lend_buffer(element, value, pointer_type, writable);
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

/* What the converters get in place of the arguments: one for each parameter that is no '>'.  The frame keeps the tuple, as
 * the first thing in it. */
PyObject *const *
arrays_prepare(Trampoline *t, PyObject *who, PyObject *const *args, Frame *frame)
{
    PyObject *given = PyTuple_New(t->taken);
    if (!given)
        return NULL;
    for (int i = 0; i < t->taken; i++)
        PyTuple_SET_ITEM(given, i, Py_NewRef(args[i]));
    PyObject *prepared = PyObject_CallMethod(t->arrays, "prepare", "OO", who, given);
    Py_DECREF(given);
    if (!prepared)
        return NULL;
    frame_keep(frame, prepared);
    return &PyTuple_GET_ITEM(prepared, 0);
}

/* What the call gives, of the result, the values of the '>' and '=' parameters and the memory of arrays.  What C wrote as a
 * length is taken for what it is only if the call has not `failed`. */
PyObject *
arrays_finish(Trampoline *t, PyObject *who, PyObject *result, PyObject *boxes, PyObject *prepared, int failed)
{
    return PyObject_CallMethod(t->arrays, "finish", "OOOOO", who, result, boxes, prepared, failed ? Py_True : Py_False);
}

/* --- callbacks ---------------------------------------------------------------------------------------------------- */

/* The arguments of a callback, into the vector from its second place on; how many, or -1. */
int
arrays_receive(Trampoline *t, PyObject *callable, PyObject *raw, PyObject **vector, PyObject **received)
{
    PyObject *pair = PyObject_CallMethod(t->arrays, "receive", "OO", callable, raw), *arguments;
    if (!pair)
        return -1;
    int given = -1;
    if (PyArg_ParseTuple(pair, "O!O", &PyTuple_Type, &arguments, received)) {
        Py_INCREF(*received);
        for (given = 0; given < PyTuple_GET_SIZE(arguments); given++)
            vector[given + 1] = Py_NewRef(PyTuple_GET_ITEM(arguments, given));
    }
    else
        *received = NULL;
    Py_DECREF(pair);
    return given;
}

/* Let the plan write what a callable returned, and end the views; gives the result proper and the values for the '>' and
 * '=' parameters.  Takes the reference to the result. */
PyObject *
arrays_spread(Trampoline *t, PyObject *callable, PyObject *received, PyObject *result, PyObject **boxes, Frame *frame)
{
    PyObject *found = PyObject_CallMethod(t->arrays, "spread", "OOO", callable, received, result), *proper, *kept;
    Py_DECREF(result);
    if (!found)
        return NULL;
    if (!PyArg_ParseTuple(found, "OO!O", &proper, &PyTuple_Type, boxes, &kept)) {
        *boxes = NULL;
        Py_DECREF(found);
        return NULL;
    }
    Py_INCREF(proper);
    Py_INCREF(*boxes);
    if (kept != Py_None)
        frame_keep(frame, Py_NewRef(kept));
    Py_DECREF(found);
    return proper;
}

/* The callback has failed: its views end all the same. */
void
arrays_end(PyObject *received, PyObject *callable)
{
    PyObject *done = PyObject_CallMethod(received, "end", NULL);
    if (!done)
        PyErr_WriteUnraisable(callable);
    Py_XDECREF(done);
}
