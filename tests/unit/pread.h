/* The program's own pread, in front of the C library's: counts reads, and makes the n-th and all later ones fail, or all of them give fewer bytes than
 * asked for. A test that wants more than that defines PREAD_HOOK, the name of a function that sees each read first: -1 with errno set is its result. */
#ifndef LLAMA4_TESTS_PREAD_H
#define LLAMA4_TESTS_PREAD_H

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int reads, fail_at, cut;

static int PREAD_HOOK(int fd, int n);

static ssize_t faulty_pread(int fd, void *buffer, size_t size, off_t offset)
{
    const int n = atomic_fetch_add(&reads, 1) + 1;
    if (atomic_load(&fail_at) && n >= atomic_load(&fail_at)) {
        errno = EIO;
        return -1;
    }
    if (PREAD_HOOK(fd, n))
        return -1;
    if (atomic_load(&cut) && size > 8192)
        size = 4096 + size / 2 / 512 * 512;
    return syscall(SYS_pread64, fd, buffer, size, offset);
}

ssize_t own_pread(int fd, void *buffer, size_t size, off_t offset) __asm__("pread");
ssize_t own_pread64(int fd, void *buffer, size_t size, off_t offset) __asm__("pread64");

ssize_t own_pread(int fd, void *buffer, size_t size, off_t offset)
{
    return faulty_pread(fd, buffer, size, offset);
}

ssize_t own_pread64(int fd, void *buffer, size_t size, off_t offset)
{
    return faulty_pread(fd, buffer, size, offset);
}

static void healthy_pread(void)
{
    atomic_store(&fail_at, 0);
    atomic_store(&cut, 0);
    atomic_store(&reads, 0);
}

#endif
