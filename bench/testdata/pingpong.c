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
	check(group = socket(AF_INET, SOCK_DGRAM, 0), "socket");
	check(own = socket(AF_INET, SOCK_DGRAM, 0), "socket");
	dest.sin_family = local.sin_family = AF_INET;
	dest.sin_port = htons(port);
	dest.sin_addr.s_addr = inet_addr("239.253.1.1");
	local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	check(bind(own, (struct sockaddr *)&local, sizeof local), "bind");
	check(setsockopt(own, IPPROTO_IP, IP_MULTICAST_IF, &m, sizeof m), "IP_MULTICAST_IF");
	check(setsockopt(group, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), "SO_REUSEADDR");
	check(bind(group, (struct sockaddr *)&dest, sizeof dest), "bind");
	m.imr_multiaddr = dest.sin_addr;
	check(setsockopt(group, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m), "IP_ADD_MEMBERSHIP");
	check(setsockopt(group, IPPROTO_IP, IP_MULTICAST_ALL, &zero, sizeof zero), "IP_MULTICAST_ALL");
}

/* The calls are those of package raw while nothing queues: one datagram in, one out. The first byte is who sent it. */
static void hear(char *buf, int size, char from) {
	static char mem[2048];
	for (;;) {
		int n = recv(group, mem, sizeof mem, MSG_DONTWAIT);
		if (n == size && mem[0] == from) {
			memcpy(buf, mem, size);
			return;
		}
	}
}

static void say(char *buf, int size, char from) {
	buf[0] = from;
	check(sendto(own, buf, size, 0, (struct sockaddr *)&dest, sizeof dest), "sendto");
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
		for (;;) { hear(buf, size, 1); say(buf, size, 2); }
	}
	setup(port);
	check(read(ready[0], &byte, 1), "read");
	for (int i = -warm; i < rounds; i++) {
		long t = now();
		say(buf, size, 1);
		hear(buf, size, 2);
		if (i >= 0) ns[i] = now() - t;
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	qsort(ns, rounds, sizeof *ns, compare);
	printf("size %d rounds %d p50 %ld ns p99 %ld ns\n", size, rounds, ns[rounds / 2], ns[(long)rounds * 99 / 100]);
	return 0;
}
