/* Preload library for crash tests: ends the process, makes a call fail or sends a signal at the n-th call
 * that changes the file system; makes calls fail at random; sets the clock back.
 *
 *   LD_PRELOAD=crash_shim.so KNLP_CRASH_AT=7 program    _exit(137) instead of call 7 (as SIGKILL would)
 *   LD_PRELOAD=crash_shim.so KNLP_FAIL_AT=7 program     call 7 fails with ENOSPC, later ones work
 *   KNLP_FAIL_FROM=7                                    call 7 and all later ones fail
 *   KNLP_SIGTERM_AT=7                                   SIGTERM to the process before call 7
 *   KNLP_FAIL_PERMILLE=10 KNLP_FAIL_SEED=3              one call in a hundred fails with EIO; read, pread and
 *                                                       mmap are among the counted ones then
 *   KNLP_CLOCK_BACK_AFTER=20                            from its 20th reading on, the clock of the day is a
 *                                                       day behind
 *   KNLP_CRASH_COUNT=FILE                               at exit, writes the number of calls to FILE
 *   KNLP_CRASH_BELOW=DIR                                counts calls on files below DIR only
 *   KNLP_CRASH_LOSES=FILE                               a crash is a power cut: FILE keeps what its last fsync
 *                                                       had seen, and nothing without one
 *
 * Counted: write, writev, pwrite, fallocate, fsync, fdatasync, ftruncate, rename, renameat, unlink, mkdir. Writes to
 * descriptors 0-2 are not. A crash "at" a write first writes half of the bytes: a torn write is the worst
 * a kill can leave.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum action { PASS, FAIL, CRASH };

static atomic_long calls, clock_readings;
static long crash_at, fail_at, fail_from, sigterm_at, permille, seed, clock_back_after;
static const char *below, *losing;
static atomic_long kept; /* bytes of losing that were synced */

static long number_of(const char *name)
{
    const char *text = getenv(name);
    return text != NULL ? strtol(text, NULL, 10) : 0;
}

__attribute__((constructor)) static void start(void)
{
    crash_at = number_of("KNLP_CRASH_AT");
    fail_at = number_of("KNLP_FAIL_AT");
    fail_from = number_of("KNLP_FAIL_FROM");
    sigterm_at = number_of("KNLP_SIGTERM_AT");
    permille = number_of("KNLP_FAIL_PERMILLE");
    seed = number_of("KNLP_FAIL_SEED");
    clock_back_after = number_of("KNLP_CLOCK_BACK_AFTER");
    below = getenv("KNLP_CRASH_BELOW");
    losing = getenv("KNLP_CRASH_LOSES");
}

__attribute__((destructor)) static void finish(void)
{
    const char *path = getenv("KNLP_CRASH_COUNT");
    FILE *out = path != NULL ? fopen(path, "w") : NULL;
    if (out == NULL)
        return;
    fprintf(out, "%ld\n", atomic_load(&calls));
    fclose(out);
}

static int counts_path(const char *path)
{
    return below == NULL || strncmp(path, below, strlen(below)) == 0;
}

static int path_of(int fd, char path[PATH_MAX])
{
    char link[64];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, PATH_MAX - 1);
    path[n < 0 ? 0 : n] = '\0';
    return n >= 0;
}

static int counts_fd(int fd)
{
    char path[PATH_MAX];

    if (fd <= 2)
        return 0;
    if (below == NULL)
        return 1;
    return path_of(fd, path) && counts_path(path);
}

static void crash(void)
{
    if (losing != NULL && truncate(losing, atomic_load(&kept)) != 0)
        perror(losing);
    _exit(137);
}

static int synced(int fd, int status)
{
    char path[PATH_MAX];
    struct stat info;

    if (status == 0 && losing != NULL && path_of(fd, path) && strcmp(path, losing) == 0 && fstat(fd, &info) == 0)
        atomic_store(&kept, info.st_size);
    return status;
}

/* A number that depends on the seed and n alone (splitmix64). */
static unsigned long drawn(long n)
{
    unsigned long z = (unsigned long)seed * 0x9e3779b97f4a7c15ul + (unsigned long)n * 0xbf58476d1ce4e5b9ul;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ul;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebul;
    return z ^ (z >> 31);
}

static enum action next_call(int counted)
{
    long n;

    if (!counted)
        return PASS;
    n = atomic_fetch_add(&calls, 1) + 1;
    if (crash_at > 0 && n >= crash_at)
        return CRASH;
    if (n == sigterm_at)
        kill(getpid(), SIGTERM);
    if (permille > 0 && drawn(n) % 1000 < (unsigned long)permille)
        return FAIL;
    return (fail_at > 0 && n == fail_at) || (fail_from > 0 && n >= fail_from) ? FAIL : PASS;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (real == NULL) \
        *(void **)&real = dlsym(RTLD_NEXT, #name)

static int failed(void)
{
    errno = permille > 0 ? EIO : ENOSPC;
    return -1;
}

ssize_t write(int fd, const void *data, size_t size)
{
    enum action act = next_call(counts_fd(fd));
    ssize_t done;

    REAL(ssize_t, write, int, const void *, size_t);
    if (act == FAIL)
        return failed();
    done = real(fd, data, act == CRASH ? size / 2 : size);
    if (act == CRASH)
        crash();
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    enum action act = next_call(counts_fd(fd));
    ssize_t done;

    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    if (act == FAIL)
        return failed();
    done = real(fd, data, act == CRASH ? size / 2 : size, at);
    if (act == CRASH)
        crash();
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    enum action act = next_call(counts_fd(fd));
    ssize_t done;

    REAL(ssize_t, writev, int, const struct iovec *, int);
    if (act == FAIL)
        return failed();
    done = real(fd, parts, act == CRASH ? count / 2 : count);
    if (act == CRASH)
        crash();
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at)
{
    return pwrite(fd, data, size, at);
}

#define DECIDE(counted) \
    do { \
        enum action act = next_call(counted); \
        if (act == CRASH) \
            crash(); \
        if (act == FAIL) \
            return failed(); \
    } while (0)

int fsync(int fd)
{
    REAL(int, fsync, int);
    DECIDE(counts_fd(fd));
    return synced(fd, real(fd));
}

int fdatasync(int fd)
{
    REAL(int, fdatasync, int);
    DECIDE(counts_fd(fd));
    return synced(fd, real(fd));
}

int ftruncate(int fd, off_t size)
{
    REAL(int, ftruncate, int, off_t);
    DECIDE(counts_fd(fd));
    return real(fd, size);
}

int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

int fallocate(int fd, int mode, off_t at, off_t size)
{
    REAL(int, fallocate, int, int, off_t, off_t);
    DECIDE(counts_fd(fd));
    return real(fd, mode, at, size);
}

int fallocate64(int fd, int mode, off_t at, off_t size)
{
    return fallocate(fd, mode, at, size);
}

int rename(const char *from, const char *to)
{
    REAL(int, rename, const char *, const char *);
    DECIDE(counts_path(to));
    return real(from, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    REAL(int, renameat, int, const char *, int, const char *);
    DECIDE(counts_path(to));
    return real(from_dir, from, to_dir, to);
}

int unlink(const char *path)
{
    REAL(int, unlink, const char *);
    DECIDE(counts_path(path));
    return real(path);
}

int mkdir(const char *path, mode_t mode)
{
    REAL(int, mkdir, const char *, mode_t);
    DECIDE(counts_path(path));
    return real(path, mode);
}

/* Reading fails only at random: with the other variables the count is that of the changes. */
static int read_fails(int fd)
{
    return permille > 0 && next_call(counts_fd(fd)) == FAIL;
}

ssize_t read(int fd, void *data, size_t size)
{
    REAL(ssize_t, read, int, void *, size_t);
    return read_fails(fd) ? failed() : real(fd, data, size);
}

ssize_t pread(int fd, void *data, size_t size, off_t at)
{
    REAL(ssize_t, pread, int, void *, size_t, off_t);
    return read_fails(fd) ? failed() : real(fd, data, size, at);
}

ssize_t pread64(int fd, void *data, size_t size, off_t at)
{
    return pread(fd, data, size, at);
}

void *mmap(void *where, size_t size, int protection, int flags, int fd, off_t at)
{
    REAL(void *, mmap, void *, size_t, int, int, int, off_t);
    if (read_fails(fd)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return real(where, size, protection, flags, fd, at);
}

void *mmap64(void *where, size_t size, int protection, int flags, int fd, off_t at)
{
    return mmap(where, size, protection, flags, fd, at);
}

static time_t day_behind(void)
{
    return clock_back_after > 0 && atomic_fetch_add(&clock_readings, 1) >= clock_back_after ? 86400 : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int done;

    REAL(int, clock_gettime, clockid_t, struct timespec *);
    done = real(clock, now);
    if (done == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec -= day_behind();
    return done;
}

int gettimeofday(struct timeval *now, void *zone)
{
    int done;

    REAL(int, gettimeofday, struct timeval *, void *);
    done = real(now, zone);
    if (done == 0)
        now->tv_sec -= day_behind();
    return done;
}

time_t time(time_t *out)
{
    time_t now;

    REAL(time_t, time, time_t *);
    now = real(NULL) - day_behind();
    if (out != NULL)
        *out = now;
    return now;
}
