# target.c through Cython: typed `def` functions, and `noexcept` trampolines for the callable of the running call.
# (The directive stands in the third line: in the first two, Python would read it as this file's encoding.)
# cython: language_level=3, c_string_type=unicode, c_string_encoding=utf8

from cpython.pycapsule cimport PyCapsule_GetPointer

cdef extern from *:
    """
    void f0(void);
    int add(int a, int b);
    double mul3(double a, double b, double c);
    size_t length(const char *text);
    long mixed(int a, double b, long c, float d, void *p);
    int call_back(int (*f)(int, int), int n);
    """
    void c_f0 "f0"()
    int c_add "add"(int a, int b)
    double c_mul3 "mul3"(double a, double b, double c)
    size_t c_length "length"(const char *text)
    long c_mixed "mixed"(int a, double b, long c, float d, void *p)
    int c_call_back "call_back"(int (*f)(int, int) noexcept, int n)


# libc.stdlib declares the comparator nogil; this one runs with the GIL, which nobody released.
cdef extern from "stdlib.h":
    void qsort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *) noexcept)


def f0():
    c_f0()


def add(int a, int b):
    return c_add(a, b)


def mul3(double a, double b, double c):
    return c_mul3(a, b, c)


def length(const char *text):
    return c_length(text)


def mixed(int a, double b, long c, float d, p):
    return c_mixed(a, b, c, d, NULL if p is None else PyCapsule_GetPointer(p, NULL))


cdef object current


cdef int on_add(int a, int b) noexcept:
    return current(a, b)


cdef int on_compare(const void *a, const void *b) noexcept:
    return current((<const int *>a)[0], (<const int *>b)[0])


def call_back(callable, int n):
    global current
    current = callable
    return c_call_back(on_add, n)


def sort(int[::1] data, callable):
    global current
    current = callable
    qsort(&data[0], data.shape[0], sizeof(int), on_compare)
