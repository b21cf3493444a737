"""The everyday C library, declared: ``from epsilon.libc import strlen, malloc, qsort``.

A name is bound when it is first asked for, so that importing the module costs nothing.  The declarations are those of
POSIX.1-2017, with ``const char *`` where C only reads the text; a test holds each of them against the headers of the
system it runs on.  What sets ``errno`` is bound with ``errno=True``: ``epsilon.errno()`` tells it.

>>> from epsilon.libc import strlen
>>> strlen("hello")
5
"""

from __future__ import annotations

from _thread import RLock

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

    from epsilon.bindings import Bindings

_TYPES = """
typedef struct _IO_FILE FILE;
typedef struct __dirstream DIR;
typedef struct { int quot; int rem; } div_t;
typedef struct { long quot; long rem; } ldiv_t;
typedef struct { long long quot; long long rem; } lldiv_t;
struct timespec { time_t tv_sec; long tv_nsec; };
struct timeval { time_t tv_sec; suseconds_t tv_usec; };
struct tm { int tm_sec; int tm_min; int tm_hour; int tm_mday; int tm_mon; int tm_year; int tm_wday; int tm_yday;
            int tm_isdst; long tm_gmtoff; const char *tm_zone; };
extern FILE *stdin;
extern FILE *stdout;
extern FILE *stderr;
extern char **environ;
"""
#: where a declaration needs them
_OWN = r"\b(FILE|DIR|l{0,2}div_t|struct)\b"

# <string.h> <strings.h> <ctype.h> <wctype.h>, and what of <stdlib.h> <stdio.h> <unistd.h> <time.h> leaves errno alone
_PLAIN = """
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t maxlen);
char *strcpy(char *dest, const char *src);
char *strncpy(char *dest, const char *src, size_t n);
char *stpcpy(char *dest, const char *src);
char *strcat(char *dest, const char *src);
char *strncat(char *dest, const char *src, size_t n);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
int strcasecmp(const char *a, const char *b);
int strncasecmp(const char *a, const char *b, size_t n);
int strcoll(const char *a, const char *b);
size_t strxfrm(char *dest, const char *src, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *haystack, const char *needle);
char *strpbrk(const char *s, const char *accept);
size_t strspn(const char *s, const char *accept);
size_t strcspn(const char *s, const char *reject);
char *strtok(char *s, const char *delimiters);
char *strtok_r(char *s, const char *delimiters, char **rest);
char *strsep(char **rest, const char *delimiters);
char *strerror(int error);
char *strsignal(int signal);
void *memcpy(void *dest, const void *src, size_t n);
void *memmove(void *dest, const void *src, size_t n);
void *memset(void *s, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);

int isalnum(int c);
int isalpha(int c);
int isblank(int c);
int iscntrl(int c);
int isdigit(int c);
int isgraph(int c);
int islower(int c);
int isprint(int c);
int ispunct(int c);
int isspace(int c);
int isupper(int c);
int isxdigit(int c);
int tolower(int c);
int toupper(int c);
wint_t towlower(wint_t c);
wint_t towupper(wint_t c);

void free(void *memory);
int abs(int n);
long labs(long n);
long long llabs(long long n);
div_t div(int numerator, int denominator);
ldiv_t ldiv(long numerator, long denominator);
lldiv_t lldiv(long long numerator, long long denominator);
int atoi(const char *s);
long atol(const char *s);
long long atoll(const char *s);
double atof(const char *s);
int rand(void);
void srand(unsigned int seed);
long random(void);
void srandom(unsigned int seed);
double drand48(void);
void srand48(long seed);
void qsort(void *base, size_t count, size_t size, int (*compar)(const void *, const void *));
void *bsearch(const void *key, const void *base, size_t count, size_t size, int (*compar)(const void *, const void *));
char *getenv(const char *name);
void abort(void);
void exit(int status);
void _exit(int status);

void clearerr(FILE *stream);
int feof(FILE *stream);
int ferror(FILE *stream);

pid_t getpid(void);
pid_t getppid(void);
uid_t getuid(void);
uid_t geteuid(void);
gid_t getgid(void);
gid_t getegid(void);
unsigned int sleep(unsigned int seconds);
unsigned int alarm(unsigned int seconds);

double difftime(time_t later, time_t earlier);
size_t strftime(char *s, size_t max, const char *format, const struct tm *time);
"""

# <stdlib.h> <string.h> <stdio.h> <fcntl.h> <unistd.h> <sys/stat.h> <dirent.h> <time.h> <signal.h>
_WITH_ERRNO = """
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *memory, size_t size);
int posix_memalign(void **memory, size_t alignment, size_t size);
char *strdup(const char *s);
char *strndup(const char *s, size_t n);
long strtol(const char *s, char **end, int base);
long long strtoll(const char *s, char **end, int base);
unsigned long strtoul(const char *s, char **end, int base);
unsigned long long strtoull(const char *s, char **end, int base);
double strtod(const char *s, char **end);
float strtof(const char *s, char **end);
int setenv(const char *name, const char *value, int overwrite);
int unsetenv(const char *name);
int system(const char *command);
int mkstemp(char *path);
char *mkdtemp(char *path);
char *realpath(const char *path, char *resolved);

int printf(const char *format, ...);
int fprintf(FILE *stream, const char *format, ...);
int dprintf(int fd, const char *format, ...);
int sprintf(char *s, const char *format, ...);
int snprintf(char *s, size_t size, const char *format, ...);
int sscanf(const char *s, const char *format, ...);
int fscanf(FILE *stream, const char *format, ...);
int puts(const char *s);
int putchar(int c);
int getchar(void);
FILE *fopen(const char *path, const char *mode);
FILE *fdopen(int fd, const char *mode);
FILE *freopen(const char *path, const char *mode, FILE *stream);
FILE *tmpfile(void);
int fclose(FILE *stream);
int fflush(FILE *stream);
int fileno(FILE *stream);
size_t fread(void *buffer, size_t size, size_t count, FILE *stream);
size_t fwrite(const void *buffer, size_t size, size_t count, FILE *stream);
int fgetc(FILE *stream);
int fputc(int c, FILE *stream);
int ungetc(int c, FILE *stream);
char *fgets(char *s, int size, FILE *stream);
int fputs(const char *s, FILE *stream);
ssize_t getline(char **line, size_t *size, FILE *stream);
int fseek(FILE *stream, long offset, int whence);
long ftell(FILE *stream);
void rewind(FILE *stream);
int setvbuf(FILE *stream, char *buffer, int mode, size_t size);
void perror(const char *s);
int remove(const char *path);
int rename(const char *from, const char *to);
FILE *popen(const char *command, const char *mode);
int pclose(FILE *stream);

int open(const char *path, int flags, ...);
int creat(const char *path, mode_t mode);
int fcntl(int fd, int command, ...);
int close(int fd);
ssize_t read(int fd, void *buffer, size_t count);
ssize_t write(int fd, const void *buffer, size_t count);
ssize_t pread(int fd, void *buffer, size_t count, off_t offset);
ssize_t pwrite(int fd, const void *buffer, size_t count, off_t offset);
off_t lseek(int fd, off_t offset, int whence);
int ftruncate(int fd, off_t length);
int truncate(const char *path, off_t length);
int fsync(int fd);
int dup(int fd);
int dup2(int from, int to);
int pipe(int fds[2]);
int isatty(int fd);
int access(const char *path, int mode);
int chdir(const char *path);
char *getcwd(char *buffer, size_t size);
int mkdir(const char *path, mode_t mode);
int rmdir(const char *path);
int unlink(const char *path);
int link(const char *from, const char *to);
int symlink(const char *target, const char *path);
ssize_t readlink(const char *path, char *buffer, size_t size);
int chmod(const char *path, mode_t mode);
int chown(const char *path, uid_t owner, gid_t group);
mode_t umask(mode_t mask);
int gethostname(char *name, size_t size);
long sysconf(int name);
int usleep(useconds_t microseconds);
int pause(void);
pid_t waitpid(pid_t pid, int *status, int options);
int kill(pid_t pid, int signal);
int raise(int signal);
DIR *opendir(const char *path);
int closedir(DIR *directory);
void rewinddir(DIR *directory);

time_t time(time_t *now);
clock_t clock(void);
time_t mktime(struct tm *time);
time_t timegm(struct tm *time);
struct tm *gmtime(const time_t *time);
struct tm *gmtime_r(const time_t *time, struct tm *result);
struct tm *localtime(const time_t *time);
struct tm *localtime_r(const time_t *time, struct tm *result);
char *asctime(const struct tm *time);
char *ctime(const time_t *time);
int nanosleep(const struct timespec *wanted, struct timespec *left);
int clock_gettime(clockid_t clock, struct timespec *now);
int clock_getres(clockid_t clock, struct timespec *resolution);
"""

# <math.h>
_MATH = """
double sin(double x);
double cos(double x);
double tan(double x);
double asin(double x);
double acos(double x);
double atan(double x);
double atan2(double y, double x);
double sinh(double x);
double cosh(double x);
double tanh(double x);
double asinh(double x);
double acosh(double x);
double atanh(double x);
double exp(double x);
double exp2(double x);
double expm1(double x);
double log(double x);
double log2(double x);
double log10(double x);
double log1p(double x);
double logb(double x);
double pow(double x, double y);
double sqrt(double x);
double cbrt(double x);
double hypot(double x, double y);
double fabs(double x);
double floor(double x);
double ceil(double x);
double trunc(double x);
double round(double x);
double rint(double x);
double nearbyint(double x);
long lround(double x);
long lrint(double x);
double fmod(double x, double y);
double remainder(double x, double y);
double remquo(double x, double y, int *quotient);
double fma(double x, double y, double z);
double fmax(double x, double y);
double fmin(double x, double y);
double fdim(double x, double y);
double copysign(double x, double y);
double nextafter(double x, double y);
double frexp(double x, int *exponent);
double ldexp(double x, int exponent);
double modf(double x, double *whole);
double scalbn(double x, int exponent);
int ilogb(double x);
double erf(double x);
double erfc(double x);
double tgamma(double x);
double lgamma(double x);
float sqrtf(float x);
float sinf(float x);
float cosf(float x);
float powf(float x, float y);
float fabsf(float x);
float floorf(float x);
"""

#: a library, the options of its functions, and their declarations
_BLOCKS = (("libc", {}, _PLAIN), ("libc", {"errno": True}, _WITH_ERRNO), ("libm", {}, _MATH))
_NAME = r"(?m)^[^(\n]*?(\w+)\(.*\);$"

_index: dict[str, tuple[str, dict[str, Any], str]] = {}
_declared: list[Bindings] = []
#: so that two threads do not define the types twice
_lock = RLock()


def _functions() -> dict[str, tuple[str, dict[str, Any], str]]:
    """Name → library, options and declaration, of all functions."""
    if not _index:
        import re

        for library, options, text in _BLOCKS:
            _index.update((found[1], (library, options, found[0])) for found in re.finditer(_NAME, text))
    return _index


def _types() -> Bindings:
    """The types and the variables, which are declared when one of them is asked for."""
    if not _declared:
        from epsilon.libraries import library_for
        from epsilon.typesystem import TAGS

        # A struct tm that the user has defined goes on to be what ``struct tm`` means.
        users = {tag: found for tag, found in TAGS.items() if found.fields is not None}
        bindings = library_for("libc").declare(_TYPES)
        TAGS.update(users)
        for made in bindings.structs.values():
            if isinstance(made, type):
                made.__module__ = __name__
        _declared.append(bindings)
    return _declared[0]


def _bind(name: str) -> Any:
    import re

    from epsilon.declarator import Reader
    from epsilon.libraries import library_for
    from epsilon.prototypes import Prototype

    library, options, text = _functions()[name]
    if not re.search(_OWN, text):
        return library_for(library).bind(text, **options)
    reader = Reader(text, names=_types()._block)
    return library_for(library).bind(Prototype(*reader.declaration()), **options)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    with _lock:
        found = _bind(name) if name in _functions() else getattr(_types(), name, None)
    if found is None:
        from epsilon.errors import nearest

        raise AttributeError(f"epsilon.libc declares no {name!r}{nearest(name, __dir__())}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    with _lock:
        types = _types()
    return sorted({*_functions(), *types.variables, *types.typedefs, *types.structs})
