/* Preloaded into the program: counts its calls of the system on one folder, and lets one of them fail.
 *
 * FAULT_FOLDER  the folder, absolute       FAULT_AT    the number of the call that fails, from 1
 * FAULT_KIND    `kill` or an errno         FAULT_COUNT a file that takes a byte for each call, to count them
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *folder, *kind;
static long at, calls;
static int counter = -1;
static char ours[4096];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static DIR *listed[64];

__attribute__((constructor)) static void begin(void) {
    folder = getenv("FAULT_FOLDER");
    kind = getenv("FAULT_KIND");
    at = getenv("FAULT_AT") ? atol(getenv("FAULT_AT")) : 0;
    const char *path = getenv("FAULT_COUNT");
    if (path) counter = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static int inside(const char *path) { return folder && path && strncmp(path, folder, strlen(folder)) == 0; }
static int is_ours(int fd) { return fd >= 0 && fd < (int)sizeof ours && ours[fd]; }

/* Whether this call fails; errno says how. */
static int fails(void) {
    pthread_mutex_lock(&mutex);
    long number = ++calls;
    if (counter >= 0) syscall(SYS_write, counter, ".", 1);
    pthread_mutex_unlock(&mutex);
    if (number != at) return 0;
    if (strcmp(kind, "kill") == 0) kill(getpid(), SIGKILL);
    errno = atoi(kind);
    return 1;
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define OPEN(name, parameters, arguments)                                                                              \
    int name parameters {                                                                                              \
        va_list list;                                                                                                  \
        va_start(list, flags);                                                                                         \
        mode_t mode = va_arg(list, mode_t);                                                                            \
        va_end(list);                                                                                                  \
        REAL(name);                                                                                                    \
        if (inside(path) && fails()) return -1;                                                                        \
        int fd = real arguments;                                                                                       \
        if (fd >= 0 && fd < (int)sizeof ours) ours[fd] = inside(path);                                                 \
        return fd;                                                                                                     \
    }
OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int at_, const char *path, int flags, ...), (at_, path, flags, mode))
OPEN(openat64, (int at_, const char *path, int flags, ...), (at_, path, flags, mode))

#define ON_FILE(type, name, parameters, arguments)                                                                     \
    type name parameters {                                                                                             \
        REAL(name);                                                                                                    \
        if (is_ours(fd) && fails()) return -1;                                                                         \
        return real arguments;                                                                                         \
    }
ON_FILE(ssize_t, read, (int fd, void *to, size_t count), (fd, to, count))
ON_FILE(ssize_t, write, (int fd, const void *from, size_t count), (fd, from, count))
ON_FILE(int, fsync, (int fd), (fd))
ON_FILE(int, fdatasync, (int fd), (fd))
ON_FILE(int, ftruncate64, (int fd, off64_t length), (fd, length))
ON_FILE(int, flock, (int fd, int operation), (fd, operation))

#define ON_PATH(name, parameters, arguments)                                                                           \
    int name parameters {                                                                                              \
        REAL(name);                                                                                                    \
        if (inside(path) && fails()) return -1;                                                                        \
        return real arguments;                                                                                         \
    }
ON_PATH(rename, (const char *path, const char *to), (path, to))
ON_PATH(unlink, (const char *path), (path))
ON_PATH(rmdir, (const char *path), (path))
ON_PATH(mkdir, (const char *path, mode_t mode), (path, mode))

int statx(int fd, const char *restrict path, int flags, unsigned mask, struct statx *restrict to) {
    REAL(statx);
    int concerns = path && *path ? inside(path) : is_ours(fd);
    if (concerns && fails()) return -1;
    return real(fd, path, flags, mask, to);
}

DIR *opendir(const char *path) {
    REAL(opendir);
    if (inside(path) && fails()) return NULL;
    DIR *folder_ = real(path);
    for (int i = 0; folder_ && inside(path) && i < 64; i++)
        if (!listed[i]) {
            listed[i] = folder_;
            break;
        }
    return folder_;
}

struct dirent64 *readdir64(DIR *of) {
    REAL(readdir64);
    for (int i = 0; i < 64; i++)
        if (listed[i] == of && fails()) return NULL;
    return real(of);
}

int closedir(DIR *of) {
    REAL(closedir);
    for (int i = 0; i < 64; i++)
        if (listed[i] == of) listed[i] = NULL;
    return real(of);
}

int close(int fd) {
    REAL(close);
    if (fd >= 0 && fd < (int)sizeof ours) ours[fd] = 0;
    return real(fd);
}
