/* Blocks in the system call named by its argument, for the tests; says "ready" on standard output just before. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *directory;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static char *below(const char *name)
{
    char *path = malloc(4096);
    snprintf(path, 4096, "%s/%s", directory, name);
    return path;
}

static void ready(void)
{
    if (write(1, "ready\n", 6) != 6)
        exit(1);
}

static int listening(int family)
{
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    int fd = socket(family, SOCK_STREAM, 0);
    if (family == AF_UNIX)
        snprintf(local.sun_path, sizeof local.sun_path, "%s/socket", directory);
    if (bind(fd, family == AF_INET ? (void *)&any : family == AF_INET6 ? (void *)&any6 : (void *)&local,
             family == AF_INET ? sizeof any : family == AF_INET6 ? sizeof any6 : sizeof local) || listen(fd, 5)) {
        perror("listen");
        exit(1);
    }
    return fd;
}

static void *held(void *unused)
{
    pthread_mutex_lock(&mutex);
    sleep(1000);
    return unused;
}

static void *sleeping(void *unused)
{
    sleep(1000);
    return unused;
}

static void child(void)
{
    if (fork() == 0) {
        alarm(1000);
        pause();
        _exit(0);
    }
}

static void thread(void *(*function)(void *), pthread_t *started)
{
    pthread_create(started, NULL, function, NULL);
    usleep(100000);
}

int main(int count, char **arguments)
{
    const char *call = arguments[1];
    int pipes[2], others[2];
    char buffer[4096] = "some data";
    pthread_t started;
    if (count != 3)
        return 2;
    directory = arguments[2];
    alarm(300);
#define CASE(name) if (!strcmp(call, #name))
    CASE(nanosleep) {
        struct timespec time = {300, 5000};
        ready();
        syscall(SYS_nanosleep, &time, NULL);
    }
    CASE(clock_nanosleep) {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        time.tv_sec += 300;
        ready();
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
    }
    CASE(read) {
        if (pipe(pipes)) return 1;
        ready();
        return read(pipes[0], buffer, 100) < 0;
    }
    CASE(write) {
        if (pipe2(pipes, O_NONBLOCK)) return 1;
        while (write(pipes[1], buffer, sizeof buffer) > 0);
        fcntl(pipes[1], F_SETFL, 0);
        ready();
        return write(pipes[1], "quote \" and \033[31m red\n and more than thirty-two bytes of it", 60) < 0;
    }
    CASE(accept) {
        int fd = listening(AF_INET);
        ready();
        accept(fd, NULL, NULL);
    }
    CASE(accept4) {
        struct sockaddr_in6 peer;
        socklen_t length = sizeof peer;
        int fd = listening(AF_INET6);
        ready();
        accept4(fd, (void *)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    CASE(accept_unix) {
        int fd = listening(AF_UNIX);
        ready();
        accept(fd, NULL, NULL);
    }
    CASE(connect) {
        struct sockaddr_un local = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        snprintf(local.sun_path, sizeof local.sun_path, "%s/full", directory);
        bind(fd, (void *)&local, sizeof local);
        listen(fd, 0);
        connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&local, sizeof local);
        ready();
        connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&local, sizeof local);
    }
    CASE(recvfrom) {
        struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        bind(fd, (void *)&any, sizeof any);
        ready();
        recvfrom(fd, buffer, sizeof buffer, MSG_PEEK | MSG_TRUNC, NULL, NULL);
    }
    CASE(poll) {
        struct pollfd set[3];
        if (pipe(pipes) || pipe2(others, O_NONBLOCK)) return 1;
        while (write(others[1], buffer, sizeof buffer) > 0);
        set[0] = (struct pollfd){pipes[0], POLLIN | POLLPRI, 0};
        set[1] = (struct pollfd){-1, POLLIN, 0};
        set[2] = (struct pollfd){others[1], POLLOUT, 0};
        ready();
        poll(set, 3, 300000);
    }
    CASE(select) {
        fd_set reads, writes;
        struct timeval time = {300, 250000};
        if (pipe(pipes) || pipe2(others, O_NONBLOCK)) return 1;
        while (write(others[1], buffer, sizeof buffer) > 0);
        FD_ZERO(&reads);
        FD_ZERO(&writes);
        FD_SET(pipes[0], &reads);
        FD_SET(others[1], &writes);
        ready();
#ifdef SYS__newselect
        syscall(SYS__newselect, 8, &reads, &writes, NULL, &time);
#else
        syscall(SYS_select, 8, &reads, &writes, NULL, &time);
#endif
    }
    CASE(epoll_wait) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET}, events[4];
        int epoll = epoll_create1(EPOLL_CLOEXEC);
        if (pipe(pipes)) return 1;
        epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[0], &event);
        event.events = EPOLLIN | EPOLLRDHUP;
        epoll_ctl(epoll, EPOLL_CTL_ADD, listening(AF_INET), &event);
        ready();
        epoll_wait(epoll, events, 4, -1);
    }
    CASE(futex) {
        static int word = 7;
        struct timespec time = {300, 0};
        ready();
        syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 7, &time, NULL, 0);
    }
    CASE(mutex) {
        thread(held, &started);
        ready();
        pthread_mutex_lock(&mutex);
    }
    CASE(join) {
        thread(sleeping, &started);
        ready();
        pthread_join(started, NULL);
    }
    CASE(wait4) {
        child();
        child();
        ready();
        wait4(-1, NULL, WUNTRACED, NULL);
    }
    CASE(waitid) {
        siginfo_t info;
        child();
        ready();
        waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
    }
    CASE(flock) {
        char *path = below("lock");
        flock(open(path, O_RDWR | O_CREAT, 0600), LOCK_EX);
        int fd = open(path, O_RDWR);
        ready();
        flock(fd, LOCK_EX);
    }
    CASE(fcntl) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20};
        char *path = below("range");
        fcntl(open(path, O_RDWR | O_CREAT, 0600), F_OFD_SETLKW, &lock);
        int fd = open(path, O_RDWR);
        ready();
        fcntl(fd, F_OFD_SETLKW, &lock);
    }
    CASE(openat) {
        char *path = below("fifo \"of\" \033 test");
        mkfifo(path, 0600);
        ready();
        openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
    }
    CASE(semop) {
        struct sembuf take[2] = {{1, 0, 0}, {0, -1, SEM_UNDO}};
        /* A set outlives the program, which the tests kill: not so in a namespace that ends with it. */
        unshare(CLONE_NEWIPC);
        int set = semget(IPC_PRIVATE, 2, 0600);
        struct timespec time = {30, 0};
        ready();
        semtimedop(set, take, 2, &time);
        semctl(set, 0, IPC_RMID);
    }
    CASE(rt_sigtimedwait) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigaddset(&set, SIGCHLD);
        ready();
        sigwaitinfo(&set, NULL);
    }
    CASE(rt_sigsuspend) {
        sigset_t set;
        sigfillset(&set);
        sigdelset(&set, SIGALRM);
        sigdelset(&set, SIGTERM);
        ready();
        sigsuspend(&set);
    }
    CASE(pause) {
        ready();
        syscall(SYS_pause);
    }
    CASE(eventfd) {
        int fd = eventfd(0, 0);
        ready();
        return read(fd, buffer, 8) < 0;
    }
    CASE(vfork) {
        ready();
        if (vfork() == 0) {
            struct timespec time = {300, 0};
            nanosleep(&time, NULL);
            _exit(0);
        }
    }
    CASE(int80) {
        /* Number 29 is pause for i386, and shmget for x86_64. */
        ready();
        __asm__ volatile("int $0x80" : : "a"(29) : "memory", "r8", "r9", "r10", "r11");
    }
    CASE(spin) {
        ready();
        for (;;);
    }
    return 0;
}
