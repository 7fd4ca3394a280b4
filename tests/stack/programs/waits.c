/* Threads that wait in the ways of pthread and of descriptors; the main thread holds the locks. */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/timerfd.h>
#include <unistd.h>

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER, own = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t shared = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static pthread_t first;

static void *mutex(void *none) { pthread_mutex_lock(&held); return none; }
static void *cond(void *none) { pthread_mutex_lock(&own); pthread_cond_wait(&condition, &own); return none; }
static void *reader(void *none) { pthread_rwlock_rdlock(&shared); return none; }
static void *writer(void *none) { pthread_rwlock_wrlock(&shared); return none; }
static void *sem(void *none) { sem_wait(&semaphore); return none; }
static void *meets(void *none) { pthread_barrier_wait(&barrier); return none; }
static void *join(void *none) { pthread_join(first, NULL); return none; }
static void *lock(void *none) { flock(open("lock", O_RDWR | O_CREAT, 0600), LOCK_EX); return none; }
static void *timer(void *none)
{
    struct itimerspec when = {.it_value = {500, 0}};
    char expired[8];
    int clock = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(clock, 0, &when, NULL);
    read(clock, expired, 8);
    return none;
}

int main(void)
{
    static const struct { const char *name; void *(*function)(void *); } ways[] = {
        {"mutex", mutex}, {"cond", cond}, {"reader", reader}, {"writer", writer}, {"sem", sem},
        {"barrier", meets}, {"join", join}, {"lock", lock}, {"timer", timer},
    };
    pthread_t thread;
    first = pthread_self();
    pthread_mutex_lock(&held);
    pthread_rwlock_wrlock(&shared);
    sem_init(&semaphore, 0, 0);
    pthread_barrier_init(&barrier, NULL, 2);
    flock(open("lock", O_RDWR | O_CREAT, 0600), LOCK_EX);
    for (unsigned at = 0; at < sizeof ways / sizeof *ways; at++) {
        pthread_create(&thread, NULL, ways[at].function, NULL);
        pthread_setname_np(thread, ways[at].name);
    }
    pause();
}
