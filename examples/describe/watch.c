/* See watch.h. What is known of each file stays in a table: a file is new when its stamp is another than the one that was reported last. */
#define _GNU_SOURCE /* for POSIX's functions, and for nothing else */
#include "watch.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/inotify.h>
#endif

typedef struct stamp {
    int64_t size, seconds, nanoseconds;
    uint64_t file; /* its number on the file system */
} stamp;

typedef struct entry {
    struct entry *next; /* in its row */
    stamp reported, seen;
    int is_reported, is_seen;
    unsigned round; /* the last look that met it */
    char name[];
} entry;

enum { ROWS = 1024 };

struct watch {
    watch_options options;
    char *folder;
    int events; /* inotify's descriptor, or -1 */
    int looked; /* the first look is done */
    unsigned round;
    entry *rows[ROWS];
    char **ready; /* names, the next one first */
    size_t n_ready, next, room;
    char *last; /* the name that was handed out */
};

enum look { REMEMBER, AT_ONCE, SETTLED }; /* what becomes of a file that is new: nothing; ready; ready if it was so the last time too */

static entry **place_of(watch *w, const char *name)
{
    uint32_t hash = 2166136261u;
    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    entry **at = &w->rows[hash % ROWS];
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

static void forget(entry **at)
{
    entry *old = *at;
    *at = old->next;
    free(old);
}

/* 0, or -1 when there is no memory. */
static int make_ready(watch *w, const char *name)
{
    if (w->next == w->n_ready)
        w->next = w->n_ready = 0;
    if (w->n_ready == w->room) {
        char **grown = realloc(w->ready, (2 * w->room + 16) * sizeof *grown);
        if (!grown)
            return -1;
        w->ready = grown;
        w->room = 2 * w->room + 16;
    }
    char *copy = strdup(name);
    if (!copy)
        return -1;
    w->ready[w->n_ready++] = copy;
    return 0;
}

/* 1: it is a file; 0: it is none, or gone. */
static int stamp_of(const watch *w, const char *name, stamp *out)
{
    struct stat s;
    size_t room = strlen(w->folder) + strlen(name) + 2;
    char *path = malloc(room);
    if (!path)
        return 0;
    snprintf(path, room, "%s/%s", w->folder, name);
    int there = stat(path, &s) == 0 && S_ISREG(s.st_mode);
    free(path);
    if (!there)
        return 0;
#if defined(__APPLE__)
    *out = (stamp){(int64_t)s.st_size, (int64_t)s.st_mtimespec.tv_sec, (int64_t)s.st_mtimespec.tv_nsec, (uint64_t)s.st_ino};
#else
    *out = (stamp){(int64_t)s.st_size, (int64_t)s.st_mtim.tv_sec, (int64_t)s.st_mtim.tv_nsec, (uint64_t)s.st_ino};
#endif
    return 1;
}

static int same(const stamp *a, const stamp *b)
{
    return a->size == b->size && a->seconds == b->seconds && a->nanoseconds == b->nanoseconds && a->file == b->file;
}

static int meet(watch *w, const char *name, enum look how)
{
    stamp now;
    if (name[0] == '.' || !w->options.wanted(name) || !stamp_of(w, name, &now))
        return 0;
    entry **at = place_of(w, name), *e = *at;
    if (!e) {
        size_t length = strlen(name) + 1;
        e = calloc(1, sizeof *e + length);
        if (!e)
            return -1;
        memcpy(e->name, name, length);
        *at = e;
    }
    const int settled = e->is_seen && same(&e->seen, &now);
    e->round = w->round;
    e->seen = now;
    e->is_seen = 1;
    if ((e->is_reported && same(&e->reported, &now)) || (how == SETTLED && !settled))
        return 0;
    e->reported = now;
    e->is_reported = 1;
    return how == REMEMBER ? 0 : make_ready(w, name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Looks at the whole folder. */
static int look(watch *w, enum look how)
{
    DIR *d = opendir(w->folder);
    struct dirent *file;
    if (!d)
        return -1;
    w->round++;
    int status = 0;
    size_t before = w->next == w->n_ready ? 0 : w->n_ready;
    while (status == 0 && (errno = 0, file = readdir(d)))
        status = meet(w, file->d_name, how);
    int error = errno;
    closedir(d);
    errno = error;
    if (status || error)
        return -1;
    for (size_t i = 0; i < ROWS; i++) /* what is gone is forgotten: another file of its name will be new */
        for (entry **at = &w->rows[i]; *at;)
            if ((*at)->round != w->round)
                forget(at);
            else
                at = &(*at)->next;
    if (w->n_ready > before)
        qsort(w->ready + before, w->n_ready - before, sizeof *w->ready, by_name);
    return 0;
}

#if defined(__linux__)
/* Takes what inotify has to say. */
static int take_events(watch *w)
{
    _Alignas(struct inotify_event) char buffer[4096 + sizeof(struct inotify_event)];
    ssize_t n = read(w->events, buffer, sizeof buffer);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const struct inotify_event *)(buffer + at);
        at += (ssize_t)(sizeof *e + e->len);
        int status = 0;
        if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) {
            errno = ENOENT;
            status = -1;
        } else if (e->mask & IN_Q_OVERFLOW)
            status = look(w, AT_ONCE); /* some were not told: whoever looks sees them */
        else if (e->len && (e->mask & (IN_DELETE | IN_MOVED_FROM))) {
            entry **place = place_of(w, e->name);
            if (*place)
                forget(place);
        } else if (e->len)
            status = meet(w, e->name, AT_ONCE);
        if (status)
            return -1;
    }
    return 0;
}
#endif

static int begin_events(const char *folder)
{
#if defined(__linux__)
    int events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (events >= 0 && inotify_add_watch(events, folder,
                                         IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR) < 0) {
        close(events);
        events = -1;
    }
    return events;
#else
    (void)folder;
    return -1;
#endif
}

watch *watch_open(const char *folder, const watch_options *options)
{
    watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->options = *options;
    w->folder = strdup(folder);
    w->events = options->poll || options->once ? -1 : begin_events(folder); /* if the system has none left, looking is as good */
    if (!w->folder || look(w, options->once || (options->existing && w->events >= 0) ? AT_ONCE : options->existing ? SETTLED : REMEMBER)) {
        int error = errno;
        watch_close(w);
        errno = error;
        return NULL;
    }
    return w;
}

int watch_next(watch *w, const volatile sig_atomic_t *stop, const char **name)
{
    while (!*stop && w->next == w->n_ready) {
        if (w->options.once)
            return 0;
        struct pollfd source = {.fd = w->events, .events = POLLIN};
        int told = poll(&source, w->events >= 0, w->events >= 0 ? 500 : w->options.milliseconds); /* a signal may come just before it */
        if (told < 0 && errno != EINTR)
            return -1;
        if (told < 0)
            continue;
#if defined(__linux__)
        if (w->events >= 0 && told > 0 && take_events(w))
            return -1;
#endif
        if (w->events < 0 && look(w, SETTLED))
            return -1;
    }
    if (*stop)
        return 0;
    free(w->last);
    *name = w->last = w->ready[w->next++];
    return 1;
}

void watch_close(watch *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < ROWS; i++)
        while (w->rows[i])
            forget(&w->rows[i]);
    while (w->next < w->n_ready)
        free(w->ready[w->next++]);
    free(w->ready);
    free(w->last);
    free(w->folder);
    if (w->events >= 0)
        close(w->events);
    free(w);
}
