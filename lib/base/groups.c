/* base/groups.h: /proc/self/mountinfo says where the file systems of control groups are, /proc/self/cgroup which group of each is ours. */
#include "base/groups.h"

#if defined(__linux__)
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE 2048 /* longer lines are skipped: none of a control group's come near */

/* The lines of a file, one after the other, in a buffer of fixed size. */
typedef struct lines {
    int fd;
    size_t begin, end; /* of what was read and not yet given out */
    char data[LINE];
} lines;

static int lines_open(lines *l, const char *root, const char *path)
{
    char name[LINE];
    int n = snprintf(name, sizeof name, "%s%s", root, path);
    l->fd = n > 0 && n < LINE ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    l->begin = l->end = 0;
    return l->fd >= 0;
}

/* Reads more behind what is there; 0 at the end of the file, on an error, or if the buffer is full. */
static int lines_fill(lines *l)
{
    ssize_t n;
    memmove(l->data, l->data + l->begin, l->end - l->begin);
    l->end -= l->begin;
    l->begin = 0;
    do
        n = read(l->fd, l->data + l->end, sizeof l->data - l->end);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        l->end += (size_t)n;
    return n > 0;
}

/* The next line without its end, valid until the next call, or NULL. Bytes behind the last newline are no line. */
static char *lines_next(lines *l)
{
    int skipping = 0;
    for (;;) {
        char *end = l->end > l->begin ? memchr(l->data + l->begin, '\n', l->end - l->begin) : NULL;
        if (end) {
            char *line = l->data + l->begin;
            l->begin = (size_t)(end - l->data) + 1;
            *end = 0;
            if (!skipping && !memchr(line, 0, (size_t)(end - line)))
                return line;
            skipping = 0;
        } else if (l->begin == 0 && l->end == sizeof l->data) {
            l->end = 0;
            skipping = 1;
        } else if (!lines_fill(l)) {
            return NULL;
        }
    }
}

/* 1 if `name` is an item of a list with commas between. */
static int has_item(const char *list, const char *name)
{
    const size_t n = strlen(name);
    for (const char *p = list; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (!strncmp(p, name, n) && (p[n] == 0 || p[n] == ','))
            return 1;
    }
    return 0;
}

void l4_group_read(const char *directory, const char *name, uint64_t *out, int n)
{
    char path[2 * LINE + 64], text[64];
    ssize_t got = -1;
    int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = length > 0 && length < (int)sizeof path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        got = read(fd, text, sizeof text - 1);
        close(fd);
    }
    text[got > 0 ? got : 0] = 0;
    for (const char *p = text; n > 0; n--, out++) {
        uint64_t value = 0;
        int digits = 0, fine = 1;
        for (; *p >= '0' && *p <= '9'; p++, digits++) {
            fine &= value <= (UINT64_MAX - 9) / 10;
            value = value * 10 + (uint64_t)(*p - '0');
        }
        *out = fine && digits && (n > 1 ? *p == ' ' : *p == '\n' || *p == 0) ? value : UINT64_MAX;
        p += strcspn(p, " ");
        p += *p == ' ';
    }
}

/* The group at mount point + path, and those above it. The kernel holds a process to all of them. */
static void walk(const char *root, const char *mount, const char *path, int version, l4_group_fn visit, void *user)
{
    char directory[2 * LINE];
    const size_t top = strlen(root) + strlen(mount);
    int n = snprintf(directory, sizeof directory, "%s%s%s", root, mount, path);
    if (n < 0 || n >= (int)sizeof directory)
        return;
    for (size_t length = (size_t)n;;) {
        while (length > top && directory[length - 1] == '/')
            length--;
        directory[length] = 0;
        visit(user, directory, version);
        if (length <= top)
            return;
        while (length > top && directory[length - 1] != '/')
            length--;
    }
}

/* Which group of a hierarchy is ours, as a path from the group that is mounted: into `out`, "" if it is that very group or not below it. */
static int own_group(const char *root, const char *controller, int version, const char *mounted, char *out)
{
    lines l;
    int found = 0;
    if (!lines_open(&l, root, "/proc/self/cgroup"))
        return 0;
    for (char *line; !found && (line = lines_next(&l));) { /* "4:cpu,memory:/path", and for version 2 "0::/path" */
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *controllers++ = 0;
        *path++ = 0;
        if (version == 2 ? strcmp(line, "0") || *controllers : !has_item(controllers, controller))
            continue;
        const size_t n = strcmp(mounted, "/") ? strlen(mounted) : 0; /* of a container's mount, only what is below it is seen */
        const int below = !strncmp(path, mounted, n) && (path[n] == '/' || path[n] == 0) && !strstr(path, "/..");
        snprintf(out, LINE, "%s", below ? path + n : "");
        found = 1;
    }
    close(l.fd);
    return found;
}

/* "\040" and its like become the bytes that they stand for. */
static void unescape(char *text)
{
    char *out = text;
    for (const char *p = text; *p; out++) {
        if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' && p[3] <= '7') {
            *out = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
            p += 4;
        } else {
            *out = *p++;
        }
    }
    *out = 0;
}

/* Takes a line of mountinfo apart: "36 31 0:35 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory". Returns the version of the control groups that it
 * mounts, or 0 if those of version 1 are not the controller's. */
static int parse_mount(char *line, const char *controller, char **mounted, char **point)
{
    char *rest = strstr(line, " - "), *field[5], *save = NULL, *type, *options;
    if (!rest)
        return 0;
    *rest = 0;
    field[0] = strtok_r(line, " ", &save);
    for (int i = 1; i < 5; i++)
        if (!field[i - 1] || !(field[i] = strtok_r(NULL, " ", &save)))
            return 0;
    type = strtok_r(rest + 3, " ", &save);
    strtok_r(NULL, " ", &save);
    options = strtok_r(NULL, " ", &save);
    if (!type || !options)
        return 0;
    unescape(field[3]);
    unescape(field[4]);
    *mounted = field[3];
    *point = field[4];
    return !strcmp(type, "cgroup2") ? 2 : !strcmp(type, "cgroup") && has_item(options, controller) ? 1 : 0;
}

void l4_groups_walk(const char *root, const char *controller, l4_group_fn visit, void *user)
{
    lines l;
    char path[LINE];
    if (!lines_open(&l, root, "/proc/self/mountinfo"))
        return;
    for (char *line, *mounted, *point; (line = lines_next(&l));) {
        int version = parse_mount(line, controller, &mounted, &point);
        if (version && own_group(root, controller, version, mounted, path))
            walk(root, point, path, version, visit, user);
    }
    close(l.fd);
}
#else
void l4_group_read(const char *directory, const char *name, uint64_t *out, int n)
{
    (void)directory, (void)name;
    for (int i = 0; i < n; i++)
        out[i] = UINT64_MAX;
}

void l4_groups_walk(const char *root, const char *controller, l4_group_fn visit, void *user)
{
    (void)root, (void)controller, (void)visit, (void)user;
}
#endif
