/* Threads, mutexes and condition variables of the system, for lib/base alone. Thread functions return nothing; a thread has
 * a stack of its own size, and the host's signals stay with the host's threads. */
#ifndef L4_BASE_THREAD_H
#define L4_BASE_THREAD_H

#include <stddef.h>

#include "base/floats.h"

#if defined(_WIN32)

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>

#include <process.h>

typedef SRWLOCK l4_mutex;
typedef CONDITION_VARIABLE l4_cond;

typedef struct l4_thread {
    void (*fn)(void *argument); /* both live as long as the thread */
    void *argument;
    HANDLE handle;
} l4_thread;

static inline int l4_mutex_init(l4_mutex *m) { return InitializeSRWLock(m), 1; }
static inline void l4_mutex_destroy(l4_mutex *m) { (void)m; }
static inline void l4_mutex_lock(l4_mutex *m) { AcquireSRWLockExclusive(m); }
static inline void l4_mutex_unlock(l4_mutex *m) { ReleaseSRWLockExclusive(m); }
static inline int l4_cond_init(l4_cond *c) { return InitializeConditionVariable(c), 1; }
static inline void l4_cond_destroy(l4_cond *c) { (void)c; }
static inline void l4_cond_wait(l4_cond *c, l4_mutex *m) { SleepConditionVariableSRW(c, m, INFINITE, 0); }
static inline void l4_cond_wait_for(l4_cond *c, l4_mutex *m, unsigned ms) { SleepConditionVariableSRW(c, m, ms, 0); }
static inline void l4_cond_signal(l4_cond *c) { WakeConditionVariable(c); }
static inline void l4_cond_broadcast(l4_cond *c) { WakeAllConditionVariable(c); }

static unsigned __stdcall l4_thread_main(void *self)
{
    l4_thread *t = self;
    l4_floats_enter(); /* POSIX threads begin as the one that starts them */
    t->fn(t->argument);
    return 0;
}

/* Fills *t and starts it; 0 if the system refuses. *t must not move until the thread is joined. */
static inline int l4_thread_start(l4_thread *t, size_t stack, void (*fn)(void *argument), void *argument)
{
    t->fn = fn;
    t->argument = argument;
    t->handle = (HANDLE)_beginthreadex(NULL, (unsigned)stack, l4_thread_main, t, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    return t->handle != NULL;
}

static inline void l4_thread_join(l4_thread *t)
{
    WaitForSingleObject(t->handle, INFINITE);
    CloseHandle(t->handle);
}

#else

#include <pthread.h>
#include <signal.h>
#include <time.h>

typedef pthread_mutex_t l4_mutex;
typedef pthread_cond_t l4_cond;

typedef struct l4_thread {
    void (*fn)(void *argument); /* both live as long as the thread */
    void *argument;
    pthread_t handle;
} l4_thread;

static inline int l4_mutex_init(l4_mutex *m) { return pthread_mutex_init(m, NULL) == 0; }
static inline void l4_mutex_destroy(l4_mutex *m) { pthread_mutex_destroy(m); }
static inline void l4_mutex_lock(l4_mutex *m) { pthread_mutex_lock(m); }
static inline void l4_mutex_unlock(l4_mutex *m) { pthread_mutex_unlock(m); }

static inline int l4_cond_init(l4_cond *c)
{
#if defined(__APPLE__) /* waits by the difference anyway */
    return pthread_cond_init(c, NULL) == 0;
#else
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes))
        return 0;
    int fine = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 && pthread_cond_init(c, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return fine;
#endif
}

/* Also returns after `ms` milliseconds. */
static inline void l4_cond_wait_for(l4_cond *c, l4_mutex *m, unsigned ms)
{
    struct timespec t;
#if defined(__APPLE__)
    t.tv_sec = ms / 1000;
    t.tv_nsec = (long)(ms % 1000) * 1000000;
    pthread_cond_timedwait_relative_np(c, m, &t);
#else
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    pthread_cond_timedwait(c, m, &t);
#endif
}

static inline void l4_cond_destroy(l4_cond *c) { pthread_cond_destroy(c); }
static inline void l4_cond_wait(l4_cond *c, l4_mutex *m) { pthread_cond_wait(c, m); }
static inline void l4_cond_signal(l4_cond *c) { pthread_cond_signal(c); }
static inline void l4_cond_broadcast(l4_cond *c) { pthread_cond_broadcast(c); }

static void *l4_thread_main(void *self)
{
    l4_thread *t = self;
    l4_floats_enter(); /* POSIX threads begin as the one that starts them */
    t->fn(t->argument);
    return NULL;
}

/* Fills *t and starts it; 0 if the system refuses. *t must not move until the thread is joined. */
static inline int l4_thread_start(l4_thread *t, size_t stack, void (*fn)(void *argument), void *argument)
{
    pthread_attr_t attributes;
    sigset_t all, old;
    t->fn = fn;
    t->argument = argument;
    if (pthread_attr_init(&attributes))
        return 0;
    pthread_attr_setstacksize(&attributes, stack);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int fine = pthread_create(&t->handle, &attributes, l4_thread_main, t) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    return fine;
}

static inline void l4_thread_join(l4_thread *t)
{
    pthread_join(t->handle, NULL);
}

#endif
#endif
