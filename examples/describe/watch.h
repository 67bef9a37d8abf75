/* New files in a folder, by inotify where there is one, else by looking every now and then. */
#ifndef DESCRIBE_WATCH_H
#define DESCRIBE_WATCH_H

#include <signal.h>

typedef struct watch watch;

typedef struct watch_options {
    int existing;     /* not 0: what lies there already is new */
    int once;         /* not 0: look once, and that is all */
    int poll;         /* not 0: no inotify */
    int milliseconds; /* between two looks */
    int (*wanted)(const char *name);
} watch_options;

/* Begins to watch; NULL, with errno set, if that is impossible. From here on nothing is missed. */
watch *watch_open(const char *folder, const watch_options *options);

/* Waits for the next new file, at most until *stop is not 0. It is complete: closed after writing, moved there, or unchanged between two looks.
 * 1: *name is its name in the folder, valid until the next call. 0: stopped, or there are no more. -1: the folder is gone, or no memory; errno
 * says which. */
int watch_next(watch *w, const volatile sig_atomic_t *stop, const char **name);

void watch_close(watch *w);

#endif
