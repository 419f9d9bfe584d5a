/* Ping-pong over loopback multicast between two processes that spin: an independent check of
 * the round trip that package raw measures. Each end hears the group (its own packets too,
 * which it passes over) and sends from a socket of its own.
 *
 *   cc -O2 -o pingpong pingpong.c && ./pingpong [size [rounds [port]]]
 *
 * Prints one line: p50 and p99 of the round trip in nanoseconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int group, own;
static struct sockaddr_in dest, local;

static void check(int r, const char *what) { if (r < 0) { perror(what); exit(1); } }

static void setup(int port) {
	int one = 1, zero = 0;
	struct ip_mreqn m = { .imr_ifindex = if_nametoindex("lo") };
	socklen_t n = sizeof local;
	check(group = socket(AF_INET, SOCK_DGRAM, 0), "socket");
	check(own = socket(AF_INET, SOCK_DGRAM, 0), "socket");
	dest.sin_family = local.sin_family = AF_INET;
	dest.sin_port = htons(port);
	dest.sin_addr.s_addr = inet_addr("239.253.1.1");
	local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	check(bind(own, (struct sockaddr *)&local, sizeof local), "bind");
	check(getsockname(own, (struct sockaddr *)&local, &n), "getsockname");
	check(setsockopt(own, IPPROTO_IP, IP_MULTICAST_IF, &m, sizeof m), "IP_MULTICAST_IF");
	check(setsockopt(group, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), "SO_REUSEADDR");
	check(bind(group, (struct sockaddr *)&dest, sizeof dest), "bind");
	m.imr_multiaddr = dest.sin_addr;
	check(setsockopt(group, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m), "IP_ADD_MEMBERSHIP");
	check(setsockopt(group, IPPROTO_IP, IP_MULTICAST_ALL, &zero, sizeof zero), "IP_MULTICAST_ALL");
}

/* The calls are those of package raw: a batch of 64 in, one out. recvfrom and sendto are about a
 * microsecond faster over the round trip, and no use to a member. */
static void hear(char *buf, int size) {
	enum { batch = 64 };
	static char mem[batch][2048];
	static struct sockaddr_in from[batch];
	static struct iovec io[batch];
	static struct mmsghdr h[batch];
	for (;;) {
		for (int i = 0; i < batch; i++) {
			io[i] = (struct iovec){ mem[i], sizeof mem[i] };
			h[i].msg_hdr = (struct msghdr){ .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &io[i], .msg_iovlen = 1 };
		}
		int n = recvmmsg(group, h, batch, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++)
			if ((int)h[i].msg_len == size && from[i].sin_port != local.sin_port) {
				memcpy(buf, mem[i], size);
				return;
			}
	}
}

static void say(char *buf, int size) {
	struct iovec io = { buf, size };
	struct mmsghdr h = { .msg_hdr = { .msg_name = &dest, .msg_namelen = sizeof dest, .msg_iov = &io, .msg_iovlen = 1 } };
	check(sendmmsg(own, &h, 1, 0), "sendmmsg");
}

static long now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000L + t.tv_nsec; }

static int compare(const void *a, const void *b) { long x = *(long *)a, y = *(long *)b; return (x > y) - (x < y); }

int main(int argc, char **argv) {
	int size = argc > 1 ? atoi(argv[1]) : 64, rounds = argc > 2 ? atoi(argv[2]) : 200000, warm = rounds / 10;
	int port = argc > 3 ? atoi(argv[3]) : 20000 + getpid() % 20000, ready[2];
	char buf[1472] = { 0 }, byte;
	long *ns = calloc(rounds, sizeof *ns);
	if (size < 1 || size > (int)sizeof buf || rounds < 1 || pipe(ready) < 0) return 2;
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setup(port);
		check(write(ready[1], "r", 1), "write");
		for (;;) { hear(buf, size); say(buf, size); }
	}
	setup(port);
	check(read(ready[0], &byte, 1), "read");
	for (int i = -warm; i < rounds; i++) {
		long t = now();
		say(buf, size);
		hear(buf, size);
		if (i >= 0) ns[i] = now() - t;
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	qsort(ns, rounds, sizeof *ns, compare);
	printf("size %d rounds %d p50 %ld ns p99 %ld ns\n", size, rounds, ns[rounds / 2], ns[(long)rounds * 99 / 100]);
	return 0;
}
