// target.c as the C++ peers see it, and the two C trampolines they share: BINDER is the peer's namespace.
#pragma once
#include <cstdlib>

extern "C" {
void f0(void);
int add(int a, int b);
double mul3(double a, double b, double c);
size_t length(const char *text);
long mixed(int a, double b, long c, float d, void *p);
int call_back(int (*f)(int, int), int n);
}

// The callable of the running call; C's function pointers carry no user data.
static BINDER::handle current;

// An exception must not unwind through C frames: it is kept, and thrown when C has returned.
static std::exception_ptr pending;

static int upcall(int a, int b) noexcept
{
    if (pending)
        return 0;
    try {
        return BINDER::cast<int>(current(a, b));
    } catch (...) {
        pending = std::current_exception();
        return 0;
    }
}

static int on_compare(const void *a, const void *b) noexcept
{
    return upcall(*static_cast<const int *>(a), *static_cast<const int *>(b));
}

static void finish()
{
    if (auto error = std::exchange(pending, nullptr))
        std::rethrow_exception(error);
}

static int py_call_back(BINDER::handle callable, int n)
{
    current = callable;
    int sum = call_back(upcall, n);
    finish();
    return sum;
}

static void sort_ints(int *numbers, size_t count, BINDER::handle callable)
{
    current = callable;
    std::qsort(numbers, count, sizeof *numbers, on_compare);
    finish();
}
