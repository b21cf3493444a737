/* The yardstick: the extension an expert writes by hand for target.c, METH_FASTCALL, with every check and no frills.
 *
 * It keeps the GIL in calls and callbacks alike. Arity, types, ranges, embedded NULs and a raising callback are all
 * handled; nothing is cached between calls that a careful author would not cache.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

void f0(void);
int add(int a, int b);
double mul3(double a, double b, double c);
size_t length(const char *text);
long mixed(int a, double b, long c, float d, void *p);
int call_back(int (*f)(int, int), int n);

/* ---- converters: 0 on success, -1 with an exception set ---- */

static inline int to_int(PyObject *object, int *value)
{
    long wide = PyLong_AsLong(object);
    if (wide == -1 && PyErr_Occurred())
        return -1;
    if (wide < INT_MIN || wide > INT_MAX) {
        PyErr_Format(PyExc_OverflowError, "%ld does not fit an int", wide);
        return -1;
    }
    *value = (int)wide;
    return 0;
}

static inline int to_long(PyObject *object, long *value)
{
    *value = PyLong_AsLong(object);
    return *value == -1 && PyErr_Occurred() ? -1 : 0;
}

static inline int to_double(PyObject *object, double *value)
{
    *value = PyFloat_AsDouble(object);
    return *value == -1.0 && PyErr_Occurred() ? -1 : 0;
}

static inline int to_text(PyObject *object, const char **value)
{
    Py_ssize_t size;
    *value = PyUnicode_AsUTF8AndSize(object, &size);
    if (*value == NULL)
        return -1;
    if (strlen(*value) != (size_t)size) {
        PyErr_SetString(PyExc_ValueError, "embedded null character");
        return -1;
    }
    return 0;
}

static inline int to_pointer(PyObject *object, void **value)
{
    if (object == Py_None) {
        *value = NULL;
        return 0;
    }
    *value = PyCapsule_GetPointer(object, NULL);
    return *value == NULL ? -1 : 0;
}

static inline int arity(const char *name, Py_ssize_t given, Py_ssize_t wanted)
{
    if (given == wanted)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, %zd given", name, wanted, given);
    return -1;
}

/* ---- calls ---- */

static PyObject *py_f0(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    f0();
    Py_RETURN_NONE;
}

static PyObject *py_add(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    int a, b;
    if (arity("add", count, 2) < 0 || to_int(args[0], &a) < 0 || to_int(args[1], &b) < 0)
        return NULL;
    return PyLong_FromLong(add(a, b));
}

static PyObject *py_mul3(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    double a, b, c;
    if (arity("mul3", count, 3) < 0 || to_double(args[0], &a) < 0 || to_double(args[1], &b) < 0 ||
        to_double(args[2], &c) < 0)
        return NULL;
    return PyFloat_FromDouble(mul3(a, b, c));
}

static PyObject *py_length(PyObject *Py_UNUSED(module), PyObject *text)
{
    const char *bytes;
    if (to_text(text, &bytes) < 0)
        return NULL;
    return PyLong_FromSize_t(length(bytes));
}

static PyObject *py_mixed(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    int a;
    double b, d;
    long c;
    void *p;
    if (arity("mixed", count, 5) < 0 || to_int(args[0], &a) < 0 || to_double(args[1], &b) < 0 ||
        to_long(args[2], &c) < 0 || to_double(args[3], &d) < 0 || to_pointer(args[4], &p) < 0)
        return NULL;
    return PyLong_FromLong(mixed(a, b, c, (float)d, p));
}

/* ---- callbacks: the callable of the running call is parked here; an exception stops further upcalls ---- */

static PyObject *current;
static int failed;

static int upcall(long a, long b)
{
    if (failed)
        return 0;
    int value = 0;
    PyObject *result = NULL;
    PyObject *args[3] = {NULL, PyLong_FromLong(a), PyLong_FromLong(b)};
    if (args[1] != NULL && args[2] != NULL)
        result = PyObject_Vectorcall(current, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_XDECREF(args[1]);
    Py_XDECREF(args[2]);
    if (result == NULL || to_int(result, &value) < 0)
        failed = 1;
    Py_XDECREF(result);
    return value;
}

static int on_add(int a, int b) { return upcall(a, b); }

static int on_compare(const void *a, const void *b) { return upcall(*(const int *)a, *(const int *)b); }

static PyObject *py_call_back(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    int n;
    if (arity("call_back", count, 2) < 0 || to_int(args[1], &n) < 0)
        return NULL;
    PyObject *outer = current;
    current = args[0];
    failed = 0;
    int sum = call_back(on_add, n);
    current = outer;
    return failed ? NULL : PyLong_FromLong(sum);
}

static PyObject *py_sort(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    Py_buffer view;
    if (arity("sort", count, 2) < 0 || PyObject_GetBuffer(args[0], &view, PyBUF_WRITABLE) < 0)
        return NULL;
    PyObject *outer = current;
    current = args[1];
    failed = 0;
    qsort(view.buf, (size_t)view.len / sizeof(int), sizeof(int), on_compare);
    current = outer;
    PyBuffer_Release(&view);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"f0", py_f0, METH_NOARGS, "void f0(void)"},
    {"add", (PyCFunction)(void (*)(void))py_add, METH_FASTCALL, "int add(int a, int b)"},
    {"mul3", (PyCFunction)(void (*)(void))py_mul3, METH_FASTCALL, "double mul3(double a, double b, double c)"},
    {"length", py_length, METH_O, "size_t length(const char *text)"},
    {"mixed", (PyCFunction)(void (*)(void))py_mixed, METH_FASTCALL, "long mixed(int, double, long, float, void *)"},
    {"call_back", (PyCFunction)(void (*)(void))py_call_back, METH_FASTCALL, "call_back(callable, n) -> sum"},
    {"sort", (PyCFunction)(void (*)(void))py_sort, METH_FASTCALL, "sort(buffer of int, comparator)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "handwritten", .m_doc = "target.c by hand", .m_methods = methods, .m_slots = slots,
};

PyMODINIT_FUNC PyInit_handwritten(void) { return PyModuleDef_Init(&module); }
