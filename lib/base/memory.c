/* base/memory.h: physical memory, and on Linux the limits of control groups. /proc/self/mountinfo says where their file systems
 * are, /proc/self/cgroup which group of each is ours; every group up to the top may hold a limit in a small file. What cannot be read, or makes
 * no sense, limits nothing. */
#include "base/memory.h"

#include "base/file.h"

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

/* The limit in a file of a group: UINT64_MAX for "max", for what is no number, and if there is no such file. */
static uint64_t read_limit(const char *directory, const char *name)
{
    char path[2 * LINE + 64], text[32];
    int n = snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = n > 0 && n < (int)sizeof path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return UINT64_MAX;
    ssize_t got = read(fd, text, sizeof text);
    close(fd);
    uint64_t value = 0;
    ssize_t i = 0;
    for (; i < got && text[i] >= '0' && text[i] <= '9'; i++) {
        if (value > (UINT64_MAX - 9) / 10)
            return UINT64_MAX;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    return i == 0 || (i < got && text[i] != '\n') || value == 0 ? UINT64_MAX : value;
}

/* The lowest limit of the group at mount point + path and of those above it. The kernel holds a process to all of them. */
static uint64_t walk(const char *root, const char *mount, const char *path, int version)
{
    char directory[2 * LINE];
    uint64_t lowest = UINT64_MAX;
    const size_t top = strlen(root) + strlen(mount);
    int n = snprintf(directory, sizeof directory, "%s%s%s", root, mount, path);
    if (n < 0 || n >= (int)sizeof directory)
        return UINT64_MAX;
    for (size_t length = (size_t)n;;) {
        while (length > top && directory[length - 1] == '/')
            length--;
        directory[length] = 0;
        uint64_t limit = read_limit(directory, version == 2 ? "memory.max" : "memory.limit_in_bytes");
        lowest = limit < lowest ? limit : lowest;
        if (version == 2) { /* beyond it a process is slowed down until it gives memory back */
            limit = read_limit(directory, "memory.high");
            lowest = limit < lowest ? limit : lowest;
        }
        if (length <= top)
            return lowest;
        while (length > top && directory[length - 1] != '/')
            length--;
    }
}

/* Which group of a hierarchy is ours, as a path from the group that is mounted: into `out`, "" if it is that very group or not below it. */
static int own_group(const char *root, int version, const char *mounted, char *out)
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
        if (version == 2 ? strcmp(line, "0") || *controllers : !has_item(controllers, "memory"))
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

/* Takes a line of mountinfo apart: "36 31 0:35 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory". Returns the version of the control groups with
 * memory limits that it mounts, or 0. */
static int parse_mount(char *line, char **mounted, char **point)
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
    return !strcmp(type, "cgroup2") ? 2 : !strcmp(type, "cgroup") && has_item(options, "memory") ? 1 : 0;
}

uint64_t l4_memory_group_limit(const char *root)
{
    lines l;
    char path[LINE];
    uint64_t lowest = UINT64_MAX;
    if (!lines_open(&l, root, "/proc/self/mountinfo"))
        return UINT64_MAX;
    for (char *line, *mounted, *point; (line = lines_next(&l));) {
        int version = parse_mount(line, &mounted, &point);
        if (!version || !own_group(root, version, mounted, path))
            continue;
        uint64_t limit = walk(root, point, path, version);
        lowest = limit < lowest ? limit : lowest;
    }
    close(l.fd);
    return lowest;
}
#else
uint64_t l4_memory_group_limit(const char *root)
{
    (void)root;
    return UINT64_MAX;
}
#endif

uint64_t l4_memory_total(void)
{
    const uint64_t size = l4_memory_size(), limit = l4_memory_group_limit("");
    return size ? (limit < size ? limit : size) : limit == UINT64_MAX ? 0 : limit;
}

uint64_t l4_memory_budget_of(uint64_t total)
{
    const uint64_t gib = (uint64_t)1 << 30, tenth = total / 10, rest = tenth > gib ? tenth : gib;
    return rest < total / 2 ? total - rest : total - total / 2;
}

uint64_t l4_memory_budget_default(void)
{
    return l4_memory_budget_of(l4_memory_total());
}
