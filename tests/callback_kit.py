"""The C that calls callbacks, for the tests of callbacks."""

from __future__ import annotations

SOURCE = """
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef int (*Unary)(int);
int apply(Unary f, int x) { return f(x); }
int add_up(Unary f, int n) { int sum = 0; for (int i = 0; i < n; i++) sum += f(i); return sum; }
void no_result(void (*f)(void)) { f(); }

static Unary stored;
void store(Unary f) { stored = f; }
int call_stored(int x) { return stored(x); }

/* on_error */
static int got;
int what_c_got(void) { return got; }
int note(Unary f, int x) { got = f(x); return 0; }
double give_double(double (*f)(void)) { return f(); }
signed char give_char(signed char (*f)(void)) { return f(); }
unsigned long long give_large(unsigned long long (*f)(void)) { return f(); }
_Bool is_null(void *(*f)(void)) { return f() == NULL; }
int string_is(const char *(*f)(void), const char *expected)
{
    const char *s = f();
    return s && expected ? strcmp(s, expected) == 0 : s == expected;
}
struct point { int x, y; };
struct wide { double a, b, c, d; };
int point_sum(struct point (*f)(void)) { struct point p = f(); return 10 * p.x + p.y; }
double wide_sum(struct wide (*f)(void)) { struct wide w = f(); return w.a + 2 * w.b + 3 * w.c + 4 * w.d; }

/* threads that Python never made */
typedef struct { Unary f; int x, result; } Job;
static void *work(void *job) { Job *j = job; j->result = j->f(j->x); return NULL; }
int on_thread(Unary f, int x)
{
    Job job = {f, x, -99};
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, &job)) return -98;
    pthread_join(thread, NULL);
    return job.result;
}
int on_threads(Unary f, int n)
{
    Job jobs[64];
    pthread_t threads[64];
    int sum = 0;
    for (int i = 0; i < n; i++) { jobs[i] = (Job){f, i, 0}; pthread_create(&threads[i], NULL, work, &jobs[i]); }
    for (int i = 0; i < n; i++) { pthread_join(threads[i], NULL); sum += jobs[i].result; }
    return sum;
}
typedef const char *(*Text)(int);
typedef struct { Text first; Unary meanwhile; char copy[200]; int wrong; } Reader;
static void *read_texts(void *reader)
{
    Reader *r = reader;
    const char *text = r->first(0);
    strcpy(r->copy, text);
    for (int i = 0; i < 50; i++) { r->meanwhile(i); r->wrong |= strcmp(r->copy, text) != 0; }
    text = r->first(1);
    r->meanwhile(50);
    r->wrong |= strlen(text) != strlen(r->copy);
    return NULL;
}
int text_changes(Text first, Unary meanwhile)
{
    Reader reader = {first, meanwhile};
    read_texts(&reader);
    return reader.wrong;
}
int text_changes_on_thread(Text first, Unary meanwhile)
{
    Reader reader = {first, meanwhile};
    pthread_t thread;
    pthread_create(&thread, NULL, read_texts, &reader);
    pthread_join(thread, NULL);
    return reader.wrong;
}
int text_changes_over_threads(Text first, Unary meanwhile)
{
    const char *text = first(0);
    char copy[200];
    strcpy(copy, text);
    int wrong = text_changes_on_thread(first, meanwhile);
    return wrong | (strcmp(copy, text) != 0);
}

/* pointers and outputs */
int compare_ends(int (*compare)(const int *, const int *)) { int a = 7, b = 3; return compare(&a, &b); }
int compare_null(int (*compare)(const int *, const int *)) { int a = 7; return compare(&a, NULL); }
static int outs[3];
int out(int place) { return outs[place]; }
int outputs(int (*f)(int *, int, int *)) { outs[0] = 10, outs[1] = 20; int r = f(&outs[0], 5, &outs[1]); return r; }
void one_output(void (*f)(int *)) { outs[0] = 10; f(&outs[0]); }
int null_output(int (*f)(int *, int, int *)) { outs[0] = 10; return f(&outs[0], 5, NULL); }
int pass_struct(int (*f)(struct point *, const char *, void *))
{
    struct point p = {3, 4};
    int r = f(&p, "text", NULL);
    return r + 100 * p.x;
}
Unary identity(Unary f) { return f; }
int through(int (*f)(Unary), int x) { Unary g(void); return f(NULL); }
int call_with(int (*f)(Unary, int), Unary g, int x) { return f(g, x); }

/* errno and the GIL */
int errno_survives(Unary f) { errno = 77; f(0); return errno; }
int PyGILState_Check(void);
int gil_before_and_after(Unary f, int n)
{
    int before = PyGILState_Check(), same = 1;
    for (int i = 0; i < n; i++) { f(i); same = same && PyGILState_Check() == before; }
    return 10 * before + same;
}
"""

#: result and parameters of the plainest callback
UNARY = ("int", ["int"])
