/* Conversions: how one value of one C type crosses, each way.
 *
 * A scalar or pointer crosses as one 64-bit word (`to_word`, `from_word`): integers extended as the ABI wants them, a
 * float in the low half.  In memory it has its exact width (`to_memory`, `from_memory`).  Wide types (long double,
 * complex, structs) only have the memory form.  The common cases are handled here; everything else asks the Python hook
 * `adapt` once for a plain value, and tries again.
 */
#include "shim.h"

/* --- cffi's pointers ---------------------------------------------------------------------------------------------- */

/* The head of cffi's CDataObject.  It has been so since cffi 0.1; convert_init proves it before anything relies on it. */
typedef struct {
    PyObject_HEAD
    PyObject *type;
    char *data;
} CDataHead;

static void **cffi_exports;
static PyTypeObject *cdata_base;
static PyObject *void_pointer;

#define cffi_from_pointer ((PyObject * (*)(char *, PyObject *)) cffi_exports[10])
#define cffi_to_pointer ((char *(*)(PyObject *, PyObject *))cffi_exports[11])

int
convert_init(void)
{
    PyObject *module = PyImport_ImportModule("_cffi_backend");
    if (!module)
        return -1;
    PyObject *capsule = PyObject_GetAttrString(module, "_C_API");
    cffi_exports = capsule ? PyCapsule_GetPointer(capsule, "cffi") : NULL;
    Py_XDECREF(capsule);
    cdata_base = (PyTypeObject *)PyObject_GetAttrString(module, "_CDataBase");
    PyObject *void_type = PyObject_CallMethod(module, "new_void_type", NULL);
    if (void_type)
        void_pointer = PyObject_CallMethod(module, "new_pointer_type", "N", void_type);
    Py_DECREF(module);
    if (!cffi_exports || !cdata_base || !void_pointer)
        return -1;
    char *probe = (char *)&cffi_exports;
    PyObject *cdata = cffi_from_pointer(probe, void_pointer);
    if (!cdata)
        return -1;
    CDataHead *head = (CDataHead *)cdata;
    int same = head->type == void_pointer && head->data == probe;
    Py_DECREF(cdata);
    if (!same) {
        PyErr_SetString(PyExc_ImportError, "this cffi lays its pointers out in a way that the shim does not know");
        return -1;
    }
    return 0;
}

/* The class of pointers that own nothing, and cffi's type `void *`: borrowed. */
void
cdata_types(PyObject **type, PyObject **pointer)
{
    *type = (PyObject *)cdata_base;
    *pointer = void_pointer;
}

int
is_wide(const Converter *c)
{
    while (c->code == 'x')
        c = c->inner;
    return c->code == 's' || c->code == 'g' || c->code == 'F' || c->code == 'D';
}

/* --- Python → C --------------------------------------------------------------------------------------------------- */

/* Ask the floors above for a plain value; the new reference is kept until the call ends. */
static PyObject *
adapt(Converter *c, PyObject *value, Frame *frame)
{
    if (PyErr_Occurred())
        PyErr_Clear();
    PyObject *arguments[] = {NULL, c->ctype, value};
    PyObject *plain = PyObject_Vectorcall(hooks.adapt, arguments + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (plain)
        frame_keep(frame, plain);
    return plain;
}

/* 1: done; 0: not a plain int, or out of range */
static int
plain_signed(PyObject *value, int64_t *out)
{
    if (!PyLong_Check(value))
        return 0;
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow || (number == -1 && PyErr_Occurred()))
        return 0;
    *out = number;
    return 1;
}

static int
plain_unsigned(PyObject *value, uint64_t *out)
{
    if (!PyLong_Check(value))
        return 0;
    unsigned long long number = PyLong_AsUnsignedLongLong(value);
    if (number == (unsigned long long)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    *out = number;
    return 1;
}

#define SIGNED_CASE(T)                                                                                                 \
    {                                                                                                                  \
        int64_t number;                                                                                                \
        if (!plain_signed(value, &number) || number != (T)number)                                                      \
            return 0;                                                                                                  \
        *word = (uint64_t)number;                                                                                      \
        return 1;                                                                                                      \
    }
#define UNSIGNED_CASE(T)                                                                                               \
    {                                                                                                                  \
        uint64_t number;                                                                                               \
        if (!plain_unsigned(value, &number) || number != (T)number)                                                    \
            return 0;                                                                                                  \
        *word = number;                                                                                                \
        return 1;                                                                                                      \
    }

/* The address behind a plain pointer value: 1, 0 (not plain), -1 (error). */
static int
plain_pointer(Converter *c, PyObject *value, uint64_t *word)
{
    if (value == Py_None) {
        *word = 0;
        return 1;
    }
    PyTypeObject *type = Py_TYPE(value);
    if (is_guarded(value)) {
        Guarded *memory = (Guarded *)value;
        if (c->code == 'p' && memory->pointer_type != c->backend)
            return 0;
        if (!guarded_alive(memory))
            return -1;
        *word = (uintptr_t)memory->address;
        return 1;
    }
    if (PyType_IsSubtype(type, cdata_base)) {
        CDataHead *head = (CDataHead *)value;
        if (head->type == void_pointer || (c->code == 'p' && head->type == c->backend)) {
            *word = (uintptr_t)head->data;
            return 1;
        }
        if (c->code != 'P')
            return 0;
        char *address = cffi_to_pointer(value, void_pointer);
        if (!address && PyErr_Occurred()) {
            PyErr_Clear();
            return 0;
        }
        *word = (uintptr_t)address;
        return 1;
    }
    if (c->code == 'P') {
        if (type == &CallbackType) {
            *word = (uintptr_t)((Callback *)value)->code;
            return 1;
        }
        if (type == &FunctionType) {
            if (function_resolve((Function *)value) < 0)
                return -1;
            *word = (uintptr_t)((Function *)value)->address;
            return 1;
        }
    }
    return 0;
}

static int
plain_buffer(Converter *c, PyObject *value, uint64_t *word, Frame *frame)
{
    int writable = c->code == 'Y' || (c->code == 'p' && !c->raw);
    if (value == Py_None) {
        *word = 0;
        return 1;
    }
    if (PyBytes_CheckExact(value) && !writable) {
        *word = (uintptr_t)PyBytes_AS_STRING(value);
        return 1;
    }
    if (is_guarded(value)) {
        if (writable && ((Guarded *)value)->readonly)
            return 0;
        if (!guarded_alive((Guarded *)value))
            return -1;
        *word = (uintptr_t)((Guarded *)value)->address;
        return 1;
    }
    if (!PyObject_CheckBuffer(value))
        return 0;
    PyObject *view = PyMemoryView_FromObject(value);
    if (!view) {
        PyErr_Clear();
        return 0;
    }
    Py_buffer *buffer = PyMemoryView_GET_BUFFER(view);
    if (!PyBuffer_IsContiguous(buffer, 'C') || (writable && buffer->readonly)) {
        Py_DECREF(view);
        return 0;
    }
    frame_keep(frame, view);
    *word = (uintptr_t)buffer->buf;
    return 1;
}

/* One attempt at a plain value: 1 done, 0 not plain, -1 error. */
static int
plain_word(Converter *c, PyObject *value, uint64_t *word, Frame *frame)
{
    switch (c->code) {
    case 'b': case 'c': SIGNED_CASE(int8_t)
    case 'B': case 'C': UNSIGNED_CASE(uint8_t)
    case 'h': SIGNED_CASE(int16_t)
    case 'H': UNSIGNED_CASE(uint16_t)
    case 'i': SIGNED_CASE(int32_t)
    case 'I': UNSIGNED_CASE(uint32_t)
    case 'q': SIGNED_CASE(int64_t)
    case 'Q': UNSIGNED_CASE(uint64_t)
    case '?': {
        if (!PyLong_Check(value))
            return 0;
        int truth = PyObject_IsTrue(value); /* a subclass of int may raise */
        *word = (uint64_t)truth;
        return truth < 0 ? -1 : 1;
    }
    case 'f':
    case 'd': {
        if (!PyFloat_Check(value) && !PyLong_Check(value))
            return 0;
        double number = PyFloat_AsDouble(value);
        if (number == -1.0 && PyErr_Occurred())
            return 0;
        if (c->code == 'd')
            memcpy(word, &number, sizeof number);
        else {
            float single = (float)number;
            *word = 0;
            memcpy(word, &single, sizeof single);
        }
        return 1;
    }
    case 'z': {
        if (PyUnicode_Check(value)) {
            Py_ssize_t length;
            const char *text = PyUnicode_AsUTF8AndSize(value, &length);
            if (!text || strlen(text) != (size_t)length)
                return 0;
            *word = (uintptr_t)text;
            return 1;
        }
        if (PyBytes_Check(value)) {
            if (strlen(PyBytes_AS_STRING(value)) != (size_t)PyBytes_GET_SIZE(value))
                return 0;
            *word = (uintptr_t)PyBytes_AS_STRING(value);
            return 1;
        }
        if (value == Py_None || is_guarded(value))
            return plain_buffer(c, value, word, frame);
        if (PyObject_TypeCheck(value, cdata_base) && ((CDataHead *)value)->type == void_pointer) {
            *word = (uintptr_t)((CDataHead *)value)->data;
            return 1;
        }
        return 0;
    }
    case 'p':
    case 'P': return plain_pointer(c, value, word);
    case 'y':
    case 'Y': return plain_buffer(c, value, word, frame);
    default:
        PyErr_Format(PyExc_SystemError, "no conversion '%c' to a word", c->code);
        return -1;
    }
}

int
to_word(Converter *c, PyObject *value, uint64_t *word, Frame *frame)
{
    switch (c->code) {
    case 'x':
        if (c->to) {
            PyObject *converted = PyObject_CallOneArg(c->to, value);
            if (!converted)
                return -1;
            frame_keep(frame, converted);
            value = converted;
        }
        return to_word(c->inner, value, word, frame);
    case '<':
    case '=':
        if (to_memory(c->inner, value, frame->temporaries, frame) < 0)
            return -1;
        *word = (uintptr_t)frame->temporaries;
        return 0;
    case '>':
        memset(frame->temporaries, 0, (size_t)c->inner->size);
        *word = (uintptr_t)frame->temporaries;
        return 0;
    }
    int done = plain_word(c, value, word, frame);
    if (LIKELY(done > 0) && LIKELY(!c->required || *word))
        return 0;
    if (done < 0)
        return -1;
    PyObject *plain = adapt(c, value, frame);
    if (!plain)
        return -1;
    int buffer = (c->code == 'p' || c->code == 'P') && PyMemoryView_Check(plain); /* for a char pointer, or const void * */
    done = buffer ? plain_buffer(c, plain, word, frame) : plain_word(c, plain, word, frame);
    if (done == 0)
        PyErr_Format(PyExc_SystemError, "adapt() gave a %s for conversion '%c'", Py_TYPE(plain)->tp_name, c->code);
    return done > 0 ? 0 : -1;
}

static int
wide_to_memory(Converter *c, PyObject *value, void *address, Frame *frame)
{
    if (c->code == 's') {
        if (!PyObject_TypeCheck(value, (PyTypeObject *)c->make)) {
            value = adapt(c, value, frame);
            if (!value)
                return -1;
        }
        Guarded *memory = (Guarded *)value;
        if (!guarded_alive(memory))
            return -1;
        memmove(address, memory->address, (size_t)c->size);
        return 0;
    }
    int plain = c->code == 'g' ? PyFloat_Check(value) || PyLong_CheckExact(value)
                               : PyComplex_Check(value) || PyFloat_Check(value) || PyLong_CheckExact(value);
    if (!plain) {
        value = adapt(c, value, frame);
        if (!value)
            return -1;
    }
    if (c->code == 'g') {
        long double number = (long double)PyFloat_AsDouble(value);
        if (number == -1.0L && PyErr_Occurred()) {
            adapt(c, value, frame); /* an int too large: the hook says so */
            return -1;
        }
        memset(address, 0, (size_t)c->size);
        memcpy(address, &number, sizeof number);
        return 0;
    }
    Py_complex number = PyComplex_AsCComplex(value);
    if (number.real == -1.0 && PyErr_Occurred()) {
        adapt(c, value, frame);
        return -1;
    }
    if (c->code == 'F') {
        float parts[2] = {(float)number.real, (float)number.imag};
        memcpy(address, parts, sizeof parts);
    }
    else {
        double parts[2] = {number.real, number.imag};
        memcpy(address, parts, sizeof parts);
    }
    return 0;
}

int
to_memory(Converter *c, PyObject *value, void *address, Frame *frame)
{
    if (c->code == 'x' && c->to) {
        PyObject *converted = PyObject_CallOneArg(c->to, value);
        if (!converted)
            return -1;
        frame_keep(frame, converted);
        return to_memory(c->inner, converted, address, frame);
    }
    if (c->code == 'x')
        return to_memory(c->inner, value, address, frame);
    if (is_wide(c))
        return wide_to_memory(c, value, address, frame);
    uint64_t word;
    if (to_word(c, value, &word, frame) < 0)
        return -1;
    switch (c->size) {
    case 1: *(uint8_t *)address = (uint8_t)word; break;
    case 2: { uint16_t narrow = (uint16_t)word; memcpy(address, &narrow, 2); break; }
    case 4:
        if (c->code == 'f')
            memcpy(address, &word, 4);
        else {
            uint32_t narrow = (uint32_t)word;
            memcpy(address, &narrow, 4);
        }
        break;
    default: memcpy(address, &word, 8);
    }
    return 0;
}

/* --- C → Python --------------------------------------------------------------------------------------------------- */

static PyObject *
decode(Converter *c, const char *text)
{
    if (!text)
        Py_RETURN_NONE;
    if (c->raw)
        return PyBytes_FromString(text);
    PyObject *result = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), NULL);
    if (result || !PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
        return result;
    PyErr_Clear();
    PyObject *bytes = PyBytes_FromString(text);
    if (!bytes)
        return NULL;
    result = PyObject_CallFunctionObjArgs(hooks.undecodable, c->ctype, bytes, NULL);
    Py_DECREF(bytes);
    return result;
}

PyObject *
from_word(Converter *c, uint64_t word)
{
    switch (c->code) {
    case 'v': Py_RETURN_NONE;
    case 'b': case 'c': return PyLong_FromLong((int8_t)word);
    case 'B': case 'C': return PyLong_FromLong((uint8_t)word);
    case 'h': return PyLong_FromLong((int16_t)word);
    case 'H': return PyLong_FromLong((uint16_t)word);
    case 'i': return PyLong_FromLong((int32_t)word);
    case 'I': return PyLong_FromUnsignedLong((uint32_t)word);
    case 'q': return PyLong_FromLongLong((int64_t)word);
    case 'Q': return PyLong_FromUnsignedLongLong(word);
    case '?': return PyBool_FromLong((uint8_t)word);
    case 'd': { double number; memcpy(&number, &word, sizeof number); return PyFloat_FromDouble(number); }
    case 'f': { float number; memcpy(&number, &word, sizeof number); return PyFloat_FromDouble(number); }
    case 'z': return decode(c, (const char *)(uintptr_t)word);
    case 'p': case 'P': return cffi_from_pointer((char *)(uintptr_t)word, c->backend);
    case 'y': case 'Y': return cffi_from_pointer((char *)(uintptr_t)word, void_pointer);
    case 'x': {
        PyObject *value = from_word(c->inner, word);
        if (!value || !c->back)
            return value;
        PyObject *result = PyObject_CallOneArg(c->back, value);
        Py_DECREF(value);
        return result;
    }
    case '<':
    case '=':
        if (!word)
            return PyObject_CallOneArg(hooks.null_pointer, c->ctype);
        return from_memory(c->inner, (const void *)(uintptr_t)word);
    default:
        PyErr_Format(PyExc_SystemError, "no conversion '%c' from a word", c->code);
        return NULL;
    }
}

PyObject *
from_memory(Converter *c, const void *address)
{
    uint64_t word = 0;
    switch (c->code) {
    case 'x': {
        PyObject *value = from_memory(c->inner, address);
        if (!value || !c->back)
            return value;
        PyObject *result = PyObject_CallOneArg(c->back, value);
        Py_DECREF(value);
        return result;
    }
    case 's': {
        PyObject *result = guarded_allocate((PyTypeObject *)c->make, c->size, c->alignment, c->backend);
        if (result)
            memcpy(((Guarded *)result)->address, address, (size_t)c->size);
        return result;
    }
    case 'g': { long double number; memcpy(&number, address, sizeof number); return PyFloat_FromDouble((double)number); }
    case 'F': { float parts[2]; memcpy(parts, address, sizeof parts); return PyComplex_FromDoubles(parts[0], parts[1]); }
    case 'D': { double parts[2]; memcpy(parts, address, sizeof parts); return PyComplex_FromDoubles(parts[0], parts[1]); }
    case 'f': memcpy(&word, address, 4); return from_word(c, word);
    }
    switch (c->size) {
    case 0: break;
    case 1: word = *(const uint8_t *)address; break;
    case 2: { uint16_t narrow; memcpy(&narrow, address, 2); word = narrow; break; }
    case 4: { uint32_t narrow; memcpy(&narrow, address, 4); word = narrow; break; }
    default: memcpy(&word, address, 8);
    }
    return from_word(c, word);
}
