/* What the C library costs beside the Go API. bench/inside is the same program in Go; scripts/clients-c.sh bench runs
 * both in turn.
 *
 * bench ping|pong URI COUNT engine|turn   a round trip between two processes, in the handler, BusySpin
 * bench calls COUNT                       what one call, and one callback, costs: a member that sends to itself and turns
 *                                         the engine on its own thread */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "blaze.h"

static void check(int code, const char *what)
{
	if (code == BLAZE_OK) return;
	fprintf(stderr, "%s: %s\n", what, blaze_error());
	exit(1);
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static blaze_publisher out;
static int64_t *took, sent;
static long count, warm = 20000, got;
static atomic_int over;
static char payload[64];

static void on_ping(void *arg, const blaze_delivery *d)
{
	(void)arg;
	if (d->length == 1) {
		atomic_store(&over, 1);
		return;
	}
	while (blaze_offer(out, d->payload, d->length) == BLAZE_E_BACK_PRESSURE) {}
}

static void on_pong(void *arg, const blaze_delivery *d)
{
	(void)arg;
	(void)d;
	int64_t t = now();
	if (got >= warm) took[got - warm] = t - sent;
	if (++got == warm + count) {
		atomic_store(&over, 1);
		return;
	}
	sent = now();
	while (blaze_offer(out, payload, sizeof payload) == BLAZE_E_BACK_PRESSURE) {}
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static blaze_channel member(const char *uri, int turn)
{
	blaze_config c;
	blaze_channel ch;
	check(blaze_config_new(&c), "settings");
	check(blaze_config_set(c, "Cluster", "bench"), "Cluster");
	check(blaze_config_set(c, "BroadcastURI", uri), "BroadcastURI");
	check(blaze_config_set(c, "Idle", "busyspin"), "Idle");
	check(blaze_config_set(c, "Invoker", turn ? "true" : "false"), "Invoker");
	check(blaze_open(c, BLAZE_CHANNEL, &ch), "open");
	check(blaze_start(ch), "start");
	return ch;
}

static void round_trip(int ping, const char *uri, int turn)
{
	blaze_channel ch = member(uri, turn);
	blaze_subscription s;
	const char *in = ping ? "pong" : "ping";
	check(blaze_subscribe(ch, in, BLAZE_INLINE, ping ? on_pong : on_ping, NULL, NULL, &s), "subscribe");
	check(blaze_publisher_open(ch, ping ? "ping" : "pong", &out), "publisher");
	check(blaze_wait_receivers(out, 1, 30000), "waiting for the other");
	struct timespec a_while = {0, 300000000};
	if (!turn) nanosleep(&a_while, NULL);
	if (ping) {
		took = malloc(sizeof *took * count);
		if (turn)
			for (int64_t until = now() + 300000000; now() < until;) check(blaze_turn(ch, NULL), "turn");
		sent = now();
		check(blaze_offer(out, payload, sizeof payload), "offer");
	}
	while (!atomic_load(&over)) {
		if (turn) check(blaze_turn(ch, NULL), "turn");
		else nanosleep(&(struct timespec){0, 10000000}, NULL);
	}
	if (ping) {
		check(blaze_offer(out, "x", 1), "offer");
		qsort(took, count, sizeof *took, by_size);
		printf("%.3f %.3f %.3f\n", took[count / 2] / 1e3, took[count / 100 * 99] / 1e3, took[0] / 1e3);
	}
	check(blaze_close(ch), "close");
}

static long handled;
static void on_self(void *arg, const blaze_delivery *d) { (void)arg; (void)d; handled++; }

static void calls(void)
{
	enum { BURST = 32 };
	blaze_channel idle, ch = member("udp://239.255.66.76:17802?interface=lo", 1);
	blaze_subscription s;
	check(blaze_open(0, BLAZE_CHANNEL, &idle), "open");
	check(blaze_subscribe(ch, "self", BLAZE_INLINE, on_self, NULL, NULL, &s), "subscribe");
	check(blaze_publisher_open(ch, "self", &out), "publisher");
	int64_t turns = now(), offers = 0, handlers = 0, empty = 0, t;
	for (long i = 0; i < count; i++) blaze_turn(idle, NULL);
	turns = now() - turns;
	long rounds = count / BURST, n_empty = 0;
	for (long i = 0; i < rounds; i++) {
		t = now();
		for (int k = 0; k < BURST; k++) check(blaze_offer(out, payload, 8), "offer");
		offers += now() - t;
		handled = 0;
		t = now();
		while (handled < BURST) blaze_turn(ch, NULL);
		handlers += now() - t;
		t = now();
		for (int k = 0; k < BURST; k++) blaze_turn(ch, NULL);
		empty += now() - t;
		n_empty += BURST;
	}
	printf("%.1f %.1f %.1f %.1f\n", (double)turns / count, (double)offers / (rounds * BURST), (double)handlers / (rounds * BURST),
		(double)empty / n_empty);
	check(blaze_close(ch), "close");
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "calls")) {
		count = atol(argv[2]);
		calls();
	} else if (argc == 5) {
		count = atol(argv[3]);
		round_trip(!strcmp(argv[1], "ping"), argv[2], !strcmp(argv[4], "turn"));
	} else {
		fputs("usage: bench ping|pong URI COUNT engine|turn, or bench calls COUNT\n", stderr);
		return 2;
	}
	return 0;
}
