/* epsilon._shim: floor 0 in C.
 *
 * Overview.  A signature is compiled once into a Trampoline (plan.c): for each parameter a Converter (converter.c) and a
 * place.  A Function (function.c) is a trampoline, an address and flags; calling it (call.c, quick.c) runs the conversions
 * (convert.c), which write C values straight into the words of the call, jumps, and converts the result; what the declaration asks of the result is
 * results.c's, and the shapes of variadic calls tails.c's.  A Callback
 * (callback.c) is the way back: C jumps to a thunk (thunks.c) or to a closure of libffi's, the same conversions make Python
 * values, and the result travels back (upcall.c).  A Cell and a Guarded (guarded.c) are the lives of a library and of
 * memory (with elements.c, field.c and pool.c: what is in it, and where blocks are reused).  The shim knows nothing of names, libraries, C text or Hy: those come as `signature`, `declaration` and `ctype`
 * objects that it only hands back.
 *
 * Implementation.  Common values are converted inline; anything unusual goes to one Python hook, `adapt`, which gives a
 * plain value or raises.  So the C code has no table of types and no error texts of its own, and both live in Python once,
 * for this implementation and for the one over cffi's ABI mode (epsilon/_abi).
 *
 * Life cycle.  A Converter lives as long as its CType, a Trampoline as long as its Signature or any function or callback
 * of it; a cif's type array belongs to its trampoline.  Python objects that a call borrows C memory from are kept in the
 * call's Frame until it lands.  Exceptions of callbacks are parked in the thread's Record and raised on landing.
 * A callback's Slot is never freed, only reused, and late (callback.c).
 */
#include "shim.h"

struct Hooks hooks;

static const struct {
    const char *name;
    PyObject **place;
} hook_table[] = {
    {"adapt", &hooks.adapt},
    {"explain", &hooks.explain},
    {"undecodable", &hooks.undecodable},
    {"check_failed", &hooks.check_failed},
    {"retrying", &hooks.retrying},
    {"take", &hooks.take},
    {"arguments", &hooks.arguments},
    {"tail", &hooks.tail},
    {"closed", &hooks.closed},
    {"dead", &hooks.dead},
    {"library_closed", &hooks.library_closed},
    {"another", &hooks.another},
    {"cdata", &hooks.cdata},
    {"depart", &hooks.depart},
    {"type_error", &hooks.type_error},
    {"null_pointer", &hooks.null_pointer},
    {"readonly", &hooks.readonly},
    {"in_use", &hooks.in_use},
    {"batch_plan", &hooks.batch_plan},
    {"batch_failed", &hooks.batch_failed},
    {"shown", &hooks.shown},
    {"member", &hooks.member},
};

static PyObject *
set_hooks(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args)) {
        PyErr_SetString(PyExc_TypeError, "set_hooks takes keyword arguments only");
        return NULL;
    }
    Py_ssize_t known = 0;
    for (size_t i = 0; kwargs && i < sizeof hook_table / sizeof *hook_table; i++) {
        PyObject *hook = PyDict_GetItemString(kwargs, hook_table[i].name);
        if (hook) {
            Py_XSETREF(*hook_table[i].place, Py_NewRef(hook));
            known++;
        }
    }
    if (kwargs && known != PyDict_GET_SIZE(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "set_hooks got a hook that the shim does not know");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* The calling conventions that have a name on this platform: name → the number that Trampoline takes. */
static PyObject *
conventions(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    static const struct {
        const char *name;
        ffi_abi number;
    } known[] = {
        {"default", FFI_DEFAULT_ABI},
        {"cdecl", FFI_DEFAULT_ABI},
#if defined(__x86_64__) && !defined(_WIN32)
        {"ms_abi", FFI_GNUW64},
        {"sysv_abi", FFI_DEFAULT_ABI},
#elif defined(__x86_64__) || defined(_M_X64)
        {"ms_abi", FFI_DEFAULT_ABI},
#elif defined(__i386__) || defined(_M_IX86)
        {"stdcall", FFI_STDCALL},
        {"fastcall", FFI_FASTCALL},
        {"thiscall", FFI_THISCALL},
#endif
    };
    PyObject *found = PyDict_New();
    for (size_t i = 0; found && i < sizeof known / sizeof *known; i++) {
        PyObject *number = PyLong_FromLong((long)known[i].number);
        if (!number || PyDict_SetItemString(found, known[i].name, number) < 0)
            Py_CLEAR(found);
        Py_XDECREF(number);
    }
    return found;
}

static PyMethodDef methods[] = {
    {"set_hooks", (PyCFunction)(void (*)(void))set_hooks, METH_VARARGS | METH_KEYWORDS, "Set the hooks of floors above."},
    {"conventions", conventions, METH_NOARGS, "The calling conventions of this platform, by name."},
    {"errno", shim_errno, METH_NOARGS, "The errno of this thread's last call under errno=True."},
    {"set_errno", shim_set_errno, METH_O, "Set what errno() gives on this thread."},
    {"layout", shim_layout, METH_NOARGS, "layout() → {name: number}: what generated C has to know; None where there is none."},
    {"lend", shim_lend, METH_O, "lend(address) → bool: give what generated C calls to the library whose function that is."},
    {"adopt", shim_adopt, METH_VARARGS, "adopt(trampoline, address) → bool: the entries there are those of its functions."},
    {"adopt_upcall", shim_adopt_upcall, METH_VARARGS,
     "adopt_upcall(trampoline, address) → bool: the entry there is that of its callbacks."},
    {"own_calls", shim_own_calls, METH_NOARGS, "This thread's foreign calls in progress, for leave_to."},
    {"vectorize", shim_vectorize, METH_VARARGS, "A NumPy ufunc whose inner loop is a function."},
    {"leave_to", shim_leave_to, METH_VARARGS, "Leave an exception to the foreign call that a thread is in, if any."},
    {NULL, NULL, 0, NULL},
};

/* The objects and the hooks are static: one Python at a time.  A subinterpreter is refused, for callbacks could not tell
 * whose they are. */
static int
execute(PyObject *module)
{
    static const struct {
        const char *name;
        PyTypeObject *type;
    } types[] = {
        {"Cell", &CellType},           {"Guarded", &GuardedType},   {"Converter", &ConverterType},
        {"Memory", &MemoryType},       {"Field", &FieldType},
        {"Trampoline", &TrampolineType}, {"Function", &FunctionType}, {"Callback", &CallbackType},
        {"Lease", &LeaseType},         {"Batch", &BatchType},
    };
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "epsilon._shim does not support subinterpreters");
        return -1;
    }
    if (convert_init() < 0 || threads_init() < 0 || elements_init() < 0)
        return -1;
    if (PyType_Ready(&VectorType) < 0)
        return -1;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (PyType_Ready(types[i].type) < 0 ||
            PyModule_AddObjectRef(module, types[i].name, (PyObject *)types[i].type) < 0)
            return -1;
    if (PyModule_AddIntConstant(module, "has_registers", HAVE_REGISTERS) < 0 ||
        PyModule_AddIntConstant(module, "has_eightbytes", HAVE_EIGHTBYTES) < 0 ||
        PyModule_AddIntConstant(module, "has_thunks", HAVE_THUNKS) < 0)
        return -1;
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_USED}, /* a free-threaded Python takes its GIL back: everything here relies on it */
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "epsilon._shim",
    .m_doc = "Floor 0 of Epsilon in C: trampolines, closures, guarded memory.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__shim(void);

PyMODINIT_FUNC
PyInit__shim(void)
{
    return PyModuleDef_Init(&definition);
}
