/* Makes every flush of a process take two milliseconds longer, as on a disk without a battery behind its cache.
 *
 *   cc -shared -fPIC -O2 -o slow_flush.so slow_flush.c -ldl
 *   LD_PRELOAD=$PWD/slow_flush.so postgres ...
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <time.h>

static void wait_for_the_disk(void)
{
    struct timespec left = {0, 2 * 1000 * 1000};
    while (nanosleep(&left, &left) != 0) {
    }
}

int fsync(int file)
{
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_for_the_disk();
    return real(file);
}

int fdatasync(int file)
{
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_for_the_disk();
    return real(file);
}
