/* Compiled entries: what C that was generated for a signature (epsilon/trampolines.py, upcalls.py) has to know of the shim,
 * and how it becomes the entry of a function or of the callbacks.
 *
 * The generated C is no part of the shim and includes nothing of it.  Where things lie in the shim's objects it is told as
 * numbers (`layout`), which are part of its text and so of its key in the cache; what it calls, when it is loaded (`Api`).
 * A library that was made for another shim or another Python says so and is refused.  It is never unloaded.
 */
#include "jump.h"

#ifndef __has_builtin
#define __has_builtin(x) 0
#endif
/* the two thread-local variables lie at a fixed distance from the thread pointer there */
#if defined(__linux__) && HAVE_REGISTERS && !defined(Py_GIL_DISABLED) && __has_builtin(__builtin_thread_pointer)

/* The same struct is written in epsilon/trampolines.py. */
typedef struct {
    vectorcallfunc general;
    void (*explain)(PyObject *, int);
    void (*give)(PyObject *);
    PyObject *(*from_word)(Converter *, uint64_t);
    PyObject *(*from_memory)(Converter *, const void *);
    PyObject *(*failed)(Function *, PyObject *, PyObject *const *, char *, PyObject *const *);
    int (*leave)(Cell *);
    PyObject *(*vectorcall)(PyObject *, PyObject *const *, size_t);
    void (*closed)(Slot *, Record *, void *);
    void (*refused)(Slot *, Record *, PyObject *, int, void *);
    void (*upcall_failed)(Slot *, Record *, PyObject *, void *);
    void (*upcall_result)(Slot *, Record *, PyObject *, PyObject *, void *);
    PyObject *cdata, *void_pointer;
    Py_ssize_t record, number; /* where current_record and saved_errno are, from the thread pointer */
} Api;

static const struct {
    const char *name;
    Py_ssize_t value;
} places[] = {
    {"FUNCTION_ADDRESS", offsetof(Function, address)},
    {"FUNCTION_CELL", offsetof(Function, cell)},
    {"FUNCTION_TRAMPOLINE", offsetof(Function, trampoline)},
    {"FUNCTION_FLAGS", offsetof(Function, flags)},
    {"FUNCTION_CHECK", offsetof(Function, check)},
    {"FUNCTION_DECLARATION", offsetof(Function, declaration)},
    {"CELL_INFLIGHT", offsetof(Cell, inflight)},
    {"CELL_CLOSED", offsetof(Cell, closed)},
    {"TRAMPOLINE_RESULT", offsetof(Trampoline, result)},
    {"TRAMPOLINE_PARAMETERS", offsetof(Trampoline, parameters)},
    {"TRAMPOLINE_CALLS", offsetof(Trampoline, calls)},
    {"TRAMPOLINE_CALLBACKS", offsetof(Trampoline, callbacks)},
    {"SLOT_CALLBACK", offsetof(Slot, callback)},
    {"SLOT_TRAMPOLINE", offsetof(Slot, trampoline)},
    {"SLOT_ENTERED", offsetof(Slot, entered)},
    {"CALLBACK_CALLABLE", offsetof(Callback, callable)},
    {"THUNKS", HAVE_THUNKS},
    {"INTEGER_REGISTERS", INTEGER_REGISTERS},
    {"FLOAT_REGISTERS", FLOAT_REGISTERS},
    {"PARAMETER_CONVERTER", offsetof(Parameter, converter)},
    {"PARAMETER_SIZE", sizeof(Parameter)},
    {"CONVERTER_BACKEND", offsetof(Converter, backend)},
    {"CONVERTER_INNER", offsetof(Converter, inner)},
    {"CONVERTER_MAKE", offsetof(Converter, make)},
    {"CONVERTER_CODE", offsetof(Converter, code)},
    {"GUARDED_ADDRESS", offsetof(Guarded, address)},
    {"GUARDED_ROOT", offsetof(Guarded, root)},
    {"GUARDED_ENDED", offsetof(Guarded, ended)},
    {"FLAG_CRITICAL", CRITICAL},
    {"FLAG_ERRNO", ERRNO},
    {"RECORD_SIZE", sizeof(Record)},
    {"API_SIZE", sizeof(Api)},
    {"EIGHTBYTES", HAVE_EIGHTBYTES},
    {"PYTHON", PY_VERSION_HEX >> 16},
    {"OBJECT_COUNT", offsetof(PyObject, ob_refcnt)},
    {"OBJECT_TYPE", offsetof(PyObject, ob_type)},
    {"OBJECT_SIZE", sizeof(PyObject)},
    {"IMMORTAL", PY_VERSION_HEX >= 0x030C0000},
    {"LONG_SIZE", sizeof(PyLongObject)},
#if PY_VERSION_HEX >= 0x030C0000
    {"LONG_TAGGED", 1},
    {"LONG_TAG", offsetof(PyLongObject, long_value.lv_tag)},
    {"LONG_TAG_BITS", _PyLong_NON_SIZE_BITS},
    {"LONG_DIGIT", offsetof(PyLongObject, long_value.ob_digit)},
#else
    {"LONG_TAGGED", 0},
    {"LONG_TAG", offsetof(PyVarObject, ob_size)},
    {"LONG_DIGIT", offsetof(PyLongObject, ob_digit)},
#endif
    {"LONG_DIGIT_SIZE", sizeof(digit)},
    {"PYTHON_FUNCTION_VECTORCALL", offsetof(PyFunctionObject, vectorcall)},
    {"FLOAT_VALUE", offsetof(PyFloatObject, ob_fval)},
    {"BYTES_VALUE", offsetof(PyBytesObject, ob_sval)},
    {"TEXT_LENGTH", offsetof(PyASCIIObject, length)},
    {"TEXT_STATE", offsetof(PyASCIIObject, state)},
    {"TEXT_DATA", sizeof(PyASCIIObject)},
};

/* The bits of a str's state that say that it is compact and ASCII. */
static Py_ssize_t
ascii_state(void)
{
    PyASCIIObject text;
    uint32_t bits;
    memset(&text, 0, sizeof text);
    text.state.compact = 1;
    text.state.ascii = 1;
    memcpy(&bits, &text.state, sizeof bits);
    return (Py_ssize_t)bits;
}

/* layout() → {name: number}, for the generated C. */
PyObject *
shim_layout(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    PyObject *all = Py_BuildValue("{s:n}", "TEXT_ASCII", ascii_state());
    for (size_t i = 0; all && i < sizeof places / sizeof *places; i++) {
        PyObject *value = PyLong_FromSsize_t(places[i].value);
        if (!value || PyDict_SetItemString(all, places[i].name, value) < 0)
            Py_CLEAR(all);
        Py_XDECREF(value);
    }
    return all;
}

/* lend(begin): give what the generated C calls to the library whose function `begin` is at that address; whether all is
 * where it was told. */
PyObject *
shim_lend(PyObject *Py_UNUSED(module), PyObject *address)
{
    static Api api = {
        call_general,      explain,       give_exception, from_word,      from_memory,   result_failed, cell_leave_slowly,
        upcall_vectorcall, upcall_closed, upcall_refused, upcall_failed,  upcall_result, 0,             0,
        0,                 0,
    };
    void *begin = PyLong_AsVoidPtr(address);
    if (!begin)
        return NULL;
    char *thread = __builtin_thread_pointer();
    api.record = (char *)&current_record - thread;
    api.number = (char *)&saved_errno - thread;
    cdata_types(&api.cdata, &api.void_pointer);
    return PyBool_FromLong(((int (*)(const Api *))begin)(&api));
}

/* adopt(trampoline, address): the entries at that address are those of the trampoline's functions, from their first call
 * on; False where a call is more than its values, and so the general entry's. */
PyObject *
shim_adopt(PyObject *Py_UNUSED(module), PyObject *args)
{
    Trampoline *t;
    PyObject *address;
    if (!PyArg_ParseTuple(args, "O!O:adopt", &TrampolineType, &t, &address))
        return NULL;
    void *entries = PyLong_AsVoidPtr(address);
    if (!entries && PyErr_Occurred())
        return NULL;
    if (t->counted || t->outputs || t->owned || t->gives || t->foreign || t->fixed >= 0)
        Py_RETURN_FALSE;
    t->compiled = entries;
    Py_RETURN_TRUE;
}

/* adopt_upcall(trampoline, address): the entry at that address is that of the trampoline's callbacks, of those that are
 * there already too; False where they are more than words in registers and a word. */
PyObject *
shim_adopt_upcall(PyObject *Py_UNUSED(module), PyObject *args)
{
    Trampoline *t;
    PyObject *address;
    if (!PyArg_ParseTuple(args, "O!O:adopt_upcall", &TrampolineType, &t, &address))
        return NULL;
    void *entry = PyLong_AsVoidPtr(address);
    if (!entry && PyErr_Occurred())
        return NULL;
    if (!HAVE_THUNKS || t->strategy != BY_REGISTERS || !t->words_only || t->after || is_wide(t->result))
        Py_RETURN_FALSE;
    t->upcall = (Upcall)entry;
    Py_RETURN_TRUE;
}

#else

PyObject *
shim_layout(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    Py_RETURN_NONE;
}

PyObject *
shim_lend(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(address))
{
    Py_RETURN_NONE;
}

PyObject *
shim_adopt(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    Py_RETURN_NONE;
}

PyObject *
shim_adopt_upcall(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    Py_RETURN_NONE;
}
#endif

/* The compiled entry of a function, or NULL. */
vectorcallfunc
compiled_entry(const Function *f)
{
    const Trampoline *t = f->trampoline;
    if (!t->compiled || !f->address || !f->cell || f->flags & RETRY || f->check == CHECK_CALLABLE)
        return NULL;
    return t->compiled[(f->flags & ~CRITICAL) != 0][f->flags & CRITICAL ? 1 : 0];
}
