/* The library that every peer calls: the shapes of the table, one upcall loop, and C's own sort as the floor.
 *
 * The functions do next to nothing, so what is measured is the way in and out. They live in a shared library of
 * their own, so that no peer can inline them.
 */
#include <stdlib.h>
#include <string.h>

void f0(void);
int add(int a, int b);
double mul3(double a, double b, double c);
size_t length(const char *text);
long mixed(int a, double b, long c, float d, void *p);
int call_back(int (*f)(int, int), int n);
int compare_ints(const void *a, const void *b);
void sort_in_c(int *numbers, size_t count);

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
