// SPDX-License-Identifier: GPL-2.0
/*
 * What splice(2) and sendfile(2) give of a file, compared with read(2).
 *
 * usage: splice_direct_io FILE
 *
 * FILE is one of a FUSE file system that opens it with FOPEN_DIRECT_IO and says that its size is 0.
 * Exit status 0 if all three give the same bytes or refuse with EINVAL, 1 if they do not, 2 if FILE
 * cannot be read at all.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

enum { MOST = 1 << 20 };
static char expected[MOST], found[MOST];

static ssize_t by_read(int in, char *into)
{
	ssize_t total = 0, n;

	while (total < MOST && (n = read(in, into + total, MOST - total)) > 0)
		total += n;
	return n < 0 ? -1 : total;
}

static ssize_t by_splice(int in, char *into)
{
	ssize_t total = 0, n = 0, taken;
	int ends[2];

	if (pipe(ends))
		return -1;
	while (total < MOST && (n = splice(in, NULL, ends[1], NULL, 4096, 0)) > 0)
		for (; n > 0; n -= taken, total += taken)
			if ((taken = read(ends[0], into + total, n)) <= 0)
				return -1;
	return n < 0 ? -1 : total;
}

static ssize_t by_sendfile(int in, char *into)
{
	int out = memfd_create("copy", 0);
	ssize_t n;

	while ((n = sendfile(out, in, NULL, 4096)) > 0)
		;
	return n < 0 ? -1 : pread(out, into, MOST, 0);
}

static int compare(const char *path, const char *name, ssize_t (*get)(int, char *), ssize_t size)
{
	int in = open(path, O_RDONLY);
	ssize_t got = get(in, found);
	int same = got < 0 ? errno == EINVAL : got == size && !memcmp(found, expected, size);

	printf("%s %s: %zd of %zd bytes\n", same ? "ok" : "not ok", name, got, size);
	close(in);
	return !same;
}

int main(int argc, char **argv)
{
	int in = argc == 2 ? open(argv[1], O_RDONLY) : -1;
	ssize_t size = in < 0 ? -1 : by_read(in, expected);

	if (size <= 0) {
		fprintf(stderr, "usage: splice_direct_io FILE, one that can be read and is not empty\n");
		return 2;
	}
	return compare(argv[1], "splice", by_splice, size) |
	       compare(argv[1], "sendfile", by_sendfile, size);
}
