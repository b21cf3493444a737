/* The library that every peer calls: the shapes of the table, one upcall loop, and C's own sort as the floor.
 *
 * The functions do next to nothing, so what is measured is the way in and out. They live in a shared library of
 * their own, so that no peer can inline them.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct pair { double x; long n; };

void f0(void);
int add(int a, int b);
double mul3(double a, double b, double c);
size_t length(const char *text);
long mixed(int a, double b, long c, float d, void *p);
int call_back(int (*f)(int, int), int n);
int compare_ints(const void *a, const void *b);
void sort_in_c(int *numbers, size_t count);
long sum_fixed(int n, int a, double b);
long sum_variadic(int n, ...);
struct pair advance(struct pair p);
long call_back_on_a_thread(int (*f)(int, int), int n);

void f0(void) {}

int add(int a, int b) { return a + b; }

double mul3(double a, double b, double c) { return a * b * c; }

size_t length(const char *text) { return strlen(text); }

long mixed(int a, double b, long c, float d, void *p) { return a + (long)b + c + (long)d + (p != NULL); }

/* Call f n times with small numbers; the sum of its results proves that every call arrived. */
int call_back(int (*f)(int, int), int n)
{
    int sum = 0;
    for (int i = 0; i < n; i++)
        sum += f(i & 63, 1);
    return sum;
}

int compare_ints(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

void sort_in_c(int *numbers, size_t count) { qsort(numbers, count, sizeof *numbers, compare_ints); }

long sum_fixed(int n, int a, double b) { return n + a + (long)b; }

long sum_variadic(int n, ...)
{
    va_list tail;
    va_start(tail, n);
    int a = va_arg(tail, int);
    double b = va_arg(tail, double);
    va_end(tail);
    return n + a + (long)b;
}

struct pair advance(struct pair p)
{
    p.x += 1;
    p.n += 1;
    return p;
}

struct work { int (*f)(int, int); int n; long sum; };

static void *work(void *pointer)
{
    struct work *todo = pointer;
    todo->sum = call_back(todo->f, todo->n);
    return NULL;
}

/* call_back on a thread that no Python has seen; -1 if there is no thread to be had. */
long call_back_on_a_thread(int (*f)(int, int), int n)
{
    struct work todo = {f, n, 0};
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, &todo))
        return -1;
    pthread_join(thread, NULL);
    return todo.sum;
}

/* over an array: the function, and the loop that calls it through a pointer */
double poly(double x) { return x * x + 1; }
void apply(double (*f)(double), const double *from, double *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = f(from[i]);
}
