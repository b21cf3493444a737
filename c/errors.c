/* What travels beside C: exceptions, which never cross it, and errno. */
#include "shim.h"

_Thread_local Record *current_record TLS_FAST = NULL;
_Thread_local int saved_errno TLS_FAST = 0;

PyObject *
take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (!type)
        return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(traceback);
    Py_DECREF(type);
    return value;
#endif
}

void
give_exception(PyObject *exception)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exception);
#else
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
#endif
}

/* Let the floors above name the function and the parameter in the error that is set. */
void
explain(PyObject *who, int index)
{
    PyObject *exception = take_exception();
    PyObject *better = PyObject_CallFunction(hooks.explain, "OiO", who, index, exception);
    Py_DECREF(exception);
    if (better)
        give_exception(better);
}

/* --- errno -------------------------------------------------------------------------------------------------------- */

PyObject *
shim_errno(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyLong_FromLong(saved_errno);
}

PyObject *
shim_set_errno(PyObject *Py_UNUSED(module), PyObject *value)
{
    int number = (int)PyLong_AsLong(value);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    saved_errno = number;
    Py_RETURN_NONE;
}
