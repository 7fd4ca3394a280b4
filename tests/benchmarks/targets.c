/* Processes to look at: `targets processes N`, `targets threads N` or `targets mappings N`. Says "ready", and ends with all it
 * has started when its input ends. The single processes are small, so that ten thousand of them fit. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void *asleep(void *nothing)
{
	for (;;)
		pause();
	return nothing;
}

static void processes(int count, pid_t *children)
{
	for (int i = 0; i < count; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			asleep(NULL);
		}
		if (children[i] < 0) {
			perror("fork");
			exit(1);
		}
	}
}

static void threads(int count)
{
	pthread_attr_t small;
	pthread_t thread;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	for (int i = 1; i < count; i++)
		if (pthread_create(&thread, &small, asleep, NULL))
			exit(1);
}

static void mappings(int count)
{
	long page = sysconf(_SC_PAGESIZE);
	char *first = mmap(NULL, count * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (first == MAP_FAILED)
		exit(1);
	for (int i = 0; i < count; i += 2)
		if (mprotect(first + i * page, page, PROT_READ | PROT_WRITE))
			exit(1);
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[2]) : 0;
	pid_t *children = calloc(count + 1, sizeof *children);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	if (count < 1 || !children)
		return 2;
	if (!strcmp(argv[1], "processes"))
		processes(count, children);
	else if (!strcmp(argv[1], "threads"))
		threads(count);
	else
		mappings(count);
	puts("ready");
	fflush(stdout);
	getchar();
	for (int i = 0; i < count && children[i] > 0; i++)
		kill(children[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	_exit(0);
}
