/* Ping-pong over Aeron's multicast between two processes that spin, for blazebench compare --with. Each has the media
 * driver in it and runs driver, client and application on one thread, which is the quickest that Aeron offers.
 * docs/operations.md says how it is built.
 *
 *   aeronping ping|pong SIZE SECONDS GROUP PORT ADDRESS      ADDRESS is that of the interface
 *
 * ping prints p50=… p99=… of the round trip in nanoseconds. pong ends with SIGINT. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <aeronc.h>
#include <aeronmd.h>

enum { ping_stream = 1, pong_stream = 2, most = 50000000 };

static aeron_driver_t *driver;
static aeron_t *client;
static aeron_exclusive_publication_t *out;
static aeron_subscription_t *in;
static bool answers; /* this end is pong */
static uint64_t heard;

static void check(int r, const char *what) {
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", what, aeron_errmsg());
		exit(1);
	}
}

static int64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static volatile sig_atomic_t stopped;

static void stop(int signal) {
	(void)signal;
	stopped = 1;
}

/* finish takes the directory away. */
static void finish(void) {
	if (client != NULL)
		aeron_close(client);
	aeron_driver_close(driver);
	exit(0);
}

static void turn(void) {
	if (stopped)
		finish();
	check(aeron_driver_main_do_work(driver), "driver");
}

/* patient turns everything once while something is being set up. */
static void patient(void) {
	turn();
	if (client != NULL)
		check(aeron_main_do_work(client), "client");
}

static void say(const uint8_t *b, size_t n) {
	while (aeron_exclusive_publication_offer(out, b, n, NULL, NULL) < 0)
		patient();
}

static void take(void *state, const uint8_t *b, size_t n, aeron_header_t *header) {
	(void)state, (void)header;
	heard++;
	if (answers)
		say(b, n);
}

/* start makes driver and client; they meet in a directory of their own. */
static void start(void) {
	char dir[64];
	aeron_driver_context_t *d;
	aeron_context_t *c;
	snprintf(dir, sizeof dir, "/dev/shm/aeronping-%d", (int)getpid());
	check(aeron_driver_context_init(&d), "driver context");
	check(aeron_driver_context_set_dir(d, dir), "directory");
	check(aeron_driver_context_set_dir_delete_on_start(d, true), "directory");
	check(aeron_driver_context_set_dir_delete_on_shutdown(d, true), "directory");
	check(aeron_driver_context_set_threading_mode(d, AERON_THREADING_MODE_INVOKER), "threading mode");
	check(aeron_driver_init(&driver, d), "driver");
	check(aeron_driver_start(driver, true), "driver");
	patient();
	check(aeron_context_init(&c), "client context");
	check(aeron_context_set_dir(c, dir), "directory");
	check(aeron_context_set_use_conductor_agent_invoker(c, true), "invoker");
	check(aeron_init(&client, c), "client");
	check(aeron_start(client), "client");
}

static void connect_streams(const char *channel) {
	aeron_async_add_subscription_t *s;
	aeron_async_add_exclusive_publication_t *p;
	check(aeron_async_add_subscription(&s, client, channel, answers ? ping_stream : pong_stream, NULL, NULL, NULL, NULL), "subscription");
	while (in == NULL) {
		patient();
		check(aeron_async_add_subscription_poll(&in, s), "subscription");
	}
	check(aeron_async_add_exclusive_publication(&p, client, channel, answers ? pong_stream : ping_stream), "publication");
	while (out == NULL) {
		patient();
		check(aeron_async_add_exclusive_publication_poll(&out, p), "publication");
	}
	while (!aeron_subscription_is_connected(in) || !aeron_exclusive_publication_is_connected(out))
		patient();
}

static int compare(const void *a, const void *b) {
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* work turns until more has been heard than before; the client's conductor, which only keeps alive, has a turn now and then. */
static void work(void) {
	static unsigned turns;
	turn();
	aeron_subscription_poll(in, take, NULL, 16);
	if (++turns % 4096 == 0)
		check(aeron_main_do_work(client), "client");
}

int main(int argc, char **argv) {
	static uint8_t b[1 << 16];
	char channel[128];
	if (argc != 7 || (strcmp(argv[1], "ping") && strcmp(argv[1], "pong")) || atoi(argv[2]) < 1 || atoi(argv[2]) > (int)sizeof b) {
		fprintf(stderr, "aeronping ping|pong SIZE SECONDS GROUP PORT ADDRESS\n");
		return 2;
	}
	answers = !strcmp(argv[1], "pong");
	snprintf(channel, sizeof channel, "aeron:udp?endpoint=%s:%s|interface=%s", argv[4], argv[5], argv[6]);
	signal(SIGINT, stop);
	start();
	connect_streams(channel);
	if (answers)
		for (;;)
			work();
	int64_t *ns = malloc(most * sizeof *ns), begin = now(), length = atof(argv[3]) * 1e9;
	size_t n = 0;
	for (int64_t t = begin; t - begin < length + length / 10 && n < most;) {
		uint64_t want = heard + 1;
		t = now();
		say(b, atoi(argv[2]));
		while (heard < want)
			work();
		if (t - begin >= length / 10) /* warm by now */
			ns[n++] = now() - t;
	}
	qsort(ns, n, sizeof *ns, compare);
	printf("p50=%lldns p99=%lldns of %zu\n", (long long)ns[n / 2], (long long)ns[n * 99 / 100], n);
	finish();
}
