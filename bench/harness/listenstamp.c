/* Preloaded into a server (LD_PRELOAD): the moment at which each listen(2) has returned, on the monotonic clock.
   It appends a line "NANOSECONDS PORT" to the file that the variable LISTEN_STAMP names. Nothing is polled, so it is the
   yardstick for how late a harness notices. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int listen(int fd, int backlog) {
    int (*next)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "listen");
    int result = next(fd, backlog);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const char *path = getenv("LISTEN_STAMP");
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    if (result || !path || getsockname(fd, (struct sockaddr *)&name, &length)) return result;
    int port = name.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&name)->sin_port)
             : name.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&name)->sin6_port) : 0;
    int out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (out >= 0) {
        dprintf(out, "%lld %d\n", now.tv_sec * 1000000000LL + now.tv_nsec, port);
        close(out);
    }
    return result;
}
