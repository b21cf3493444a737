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
    int good = marks && taken && counted && viewed && PyBytes_Check(marks) && PyBytes_GET_SIZE(marks) == t->count;
    if (good) {
        t->arrays = Py_NewRef(plan);
        t->counted = counted == Py_True;
        t->viewed = viewed == Py_True;
        t->taken = (int)PyLong_AsLong(taken);
        for (int i = 0; i < t->count; i++) {
            t->parameters[i].array = PyBytes_AS_STRING(marks)[i];
            t->outputs += t->parameters[i].array == ARRAY_BACK;
        }
        t->words_only = t->words_only && !t->viewed; /* the quick way of callbacks */
        t->plain = t->plain && !t->counted;          /* the quick way of calls */
    }
    else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "the plan for arrays does not fit the parameters");
    Py_XDECREF(marks);
    Py_XDECREF(taken);
    Py_XDECREF(counted);
    Py_XDECREF(viewed);
    return good ? 0 : -1;
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
