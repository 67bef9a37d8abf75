/* The control groups (v1 and v2) that this process is in, on Linux; elsewhere there are none. What cannot be read, or makes no sense, is passed over. */
#ifndef L4_BASE_GROUPS_H
#define L4_BASE_GROUPS_H

#include <stdint.h>

typedef void (*l4_group_fn)(void *user, const char *directory, int version);

/* Calls `visit` for the process's group of a controller, such as "memory", and for each group above it, of every hierarchy that is mounted. `root`
 * stands in front of every path that is looked at: "" outside of tests. */
void l4_groups_walk(const char *root, const char *controller, l4_group_fn visit, void *user);

/* The n numbers in a file of a group, with a blank between two: UINT64_MAX for "max", for what is no number, and if there is no such file. */
void l4_group_read(const char *directory, const char *name, uint64_t *out, int n);

#endif
