/* blaze-c-member publishes or receives, with a record in JSON for each message, a line each: for the matrix by which
 * members in several languages are tested against each other. The command line and the records are those of the other
 * members.
 *
 * {"t":TOPIC,"n":NUMBER,"sha":FIRST 8 DIGITS OF SHA-256,"size":BYTES} is a message. A payload begins with its number, 8
 * bytes, the highest first; the text of a typed message with 16 hexadecimal digits. {"lost":{"count":N}} is a reported
 * loss. {"ready":true} comes when sub has started, and when pub begins to send. */
#include <errno.h>
#include <inttypes.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "blaze.h"

static const char usage[] =
	"usage: blaze-c-member sub --topic PATTERN [options]\n"
	"       blaze-c-member pub --topic TOPIC[,TOPIC...] [options]\n\n"
	"  --uri URI      where to send and receive (default udp://239.255.66.76:6676, on loopback)\n"
	"  --cluster NAME the cluster (default \"default\")\n"
	"  --count N      pub: messages to send (default 1); sub: end after so many (default: until a signal)\n"
	"  --size S       pub: bytes of each message, 8 or more (default 64)\n"
	"  --rate R       pub: messages a second (default 0: as fast as they are taken)\n"
	"  --wait N       pub: wait for N receivers first (default 0)\n"
	"  --typed        pub: typed messages with a text, instead of raw payloads\n"
	"  --protocol P   nack, besteffort, fec, hybrid or totem (default nack)\n"
	"  --linger S     seconds that pub waits at the end until all is received (default 10)\n"
	"  --loss P       for tests: the share of datagrams that are lost on arrival\n"
	"  --seed S       for tests: which ones follows from it\n"
	"  --stats        print the counters at the end\n";

/* SHA-256 (FIPS 180-4), of which the first four bytes are wanted. */
static const uint32_t round_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
		0x12835b01, 0x243185be,
	0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
		0x2de92c6f, 0x4a7484aa,
	0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351,
		0x14292967, 0x27b70a85,
	0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
		0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3,
		0x4ed8aa4a, 0x5b9cca4f,
	0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turned(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void digest_block(uint32_t h[8], const uint8_t *p)
{
	uint32_t w[64], s[8];
	for (int i = 0; i < 16;
		i++) w[i] = (uint32_t)p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] + (turned(w[i - 15], 7) ^ turned(w[i - 15], 18) ^ w[i - 15] >> 3) +
			(turned(w[i - 2], 17) ^ turned(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(s, h, sizeof s);
	for (int i = 0; i < 64; i++) {
		uint32_t a = s[7] + (turned(s[4], 6) ^ turned(s[4], 11) ^ turned(s[4],
			25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + round_constants[i] + w[i];
		uint32_t b = (turned(s[0], 2) ^ turned(s[0], 13) ^ turned(s[0],
			22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
		memmove(s + 1, s, 7 * sizeof *s);
		s[4] += a;
		s[0] = a + b;
	}
	for (int i = 0; i < 8; i++) h[i] += s[i];
}

static uint32_t digest(const void *data, size_t n)
{
	uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	const uint8_t *p = data;
	uint8_t end[128] = {0};
	size_t rest = n % 64, blocks = rest < 56 ? 1 : 2;
	for (size_t i = 0; i < n / 64; i++) digest_block(h, p + 64 * i);
	memcpy(end, p + (n - rest), rest);
	end[rest] = 0x80;
	for (int i = 0; i < 8; i++) end[64 * blocks - 1 - i] = (uint8_t)((uint64_t)n * 8 >> 8 * i);
	for (size_t i = 0; i < blocks; i++) digest_block(h, end + 64 * i);
	return h[0];
}

static struct {
	const char *uri, *cluster, *topic, *protocol, *loss, *seed;
	unsigned long count, size, wait;
	double rate, linger;
	int typed, stats, counted;
} o = {.count = 1, .size = 64, .linger = 10};

static volatile sig_atomic_t ended;
static atomic_ulong heard;

static void on_signal(int s) { (void)s; ended = 1; }

static void check(int code, const char *what)
{
	if (code == BLAZE_OK) return;
	fflush(stdout);
	fprintf(stderr, "blaze-c-member: %s: %s\n", what, blaze_error());
	exit(1);
}

static void print_text(const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\') putchar('\\');
		putchar(*text);
	}
}

/* Callbacks of one subscription come one at a time. */
static void record(const char *topic, const void *data, size_t n, uint64_t number)
{
	fputs("{\"t\":\"", stdout);
	print_text(topic);
	printf("\",\"n\":%" PRIu64 ",\"sha\":\"%08" PRIx32 "\",\"size\":%zu}\n", number, digest(data, n), n);
}

static void record_raw(const char *topic, const void *payload, size_t n)
{
	uint64_t number = 0;
	if (n >= 8)
		for (int i = 0; i < 8; i++) number = number << 8 | ((const uint8_t *)payload)[i];
	record(topic, payload, n, number);
}

static void record_typed(const char *topic, const char *text, size_t n)
{
	char digits[17] = {0};
	uint64_t number = 0;
	if (n >= 16) memcpy(digits, text, 16);
	if (strspn(digits, "0123456789abcdef") == 16) number = strtoull(digits, NULL, 16);
	record(topic, text, n, number);
}

static void on_message(void *arg, const blaze_delivery *d)
{
	(void)arg;
	if (d->kind == BLAZE_KIND_MESSAGE) {
		blaze_message m;
		blaze_value body;
		if (blaze_delivery_message(d, &m) == BLAZE_OK) {
			if (blaze_message_body(m, &body) == BLAZE_OK)
				record_typed(d->topic, body.data ? body.data : "", body.length);
			blaze_close(m);
		}
	} else {
		record_raw(d->topic, d->payload, d->length);
	}
	atomic_fetch_add(&heard, 1);
}

static void on_loss(void *arg, const blaze_loss *l)
{
	(void)arg;
	printf("{\"lost\":{\"count\":%" PRIu64 ",\"reason\":%" PRIu32 "}}\n", l->first ? l->last - l->first + 1 : 0, l->reason);
}

static void doze(double seconds)
{
	struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
	nanosleep(&t, NULL);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void ready(void)
{
	puts("{\"ready\":true}");
}

static void stats(blaze_channel c)
{
	char *json;
	if (!o.stats) return;
	check(blaze_stats(c, &json), "stats");
	printf("{\"stats\":%s}\n", json);
	blaze_release(json);
}

static void sub(blaze_channel c)
{
	blaze_subscription s;
	check(blaze_subscribe(c, o.topic, 0, on_message, on_loss, NULL, &s), "subscribe");
	check(blaze_start(c), "start");
	ready();
	while (!ended && !(o.counted && atomic_load(&heard) >= o.count)) doze(0.001);
	check(blaze_close(s), "close");
	stats(c);
}

static void pub(blaze_channel c)
{
	enum { MOST = 16 };
	char *topics[MOST], *names = strdup(o.topic);
	blaze_publisher publishers[MOST];
	size_t n = 0;
	check(blaze_start(c), "start");
	for (char *t = strtok(names, ","); t && n < MOST; t = strtok(NULL, ",")) {
		topics[n] = t;
		check(blaze_publisher_open(c, t, &publishers[n++]), "publisher");
	}
	if (n == 0) exit(2);
	for (size_t i = 0; i < n; i++)
		while (!ended) {
			int rc = blaze_wait_receivers(publishers[i], o.wait, 100);
			if (rc == BLAZE_OK) break;
			if (rc != BLAZE_E_TIMEOUT) check(rc, "waiting for receivers");
		}
	ready();
	uint8_t *payload = malloc(o.size + 1);
	double began = now();
	for (uint64_t number = 1; number <= o.count && !ended; number++) {
		size_t at = (number - 1) % n;
		if (o.typed) {
			size_t length = o.size < 16 ? 16 : o.size;
			char *text = malloc(length + 1);
			memset(text, 'x', length);
			snprintf(text, 17, "%016" PRIx64, number);
			text[16] = 'x';
			text[length] = 0;
			blaze_message m;
			blaze_value body = {.kind = BLAZE_VALUE_TEXT, .data = text, .length = length};
			check(blaze_message_new(&m), "message");
			check(blaze_message_set_body(m, &body), "body");
			int rc;
			while ((rc = blaze_broadcast(c, topics[at], m, 100)) != BLAZE_OK && blaze_error_is(BLAZE_E_TIMEOUT) && !ended) {}
			if (!(ended && rc)) check(rc, "broadcast");
			check(blaze_close(m), "close");
			if (rc == BLAZE_OK) record_typed(topics[at], text, length);
			free(text);
		} else {
			for (size_t i = 0; i < 8; i++) payload[i] = (uint8_t)(number >> (56 - 8 * i));
			for (size_t i = 8; i < o.size; i++) payload[i] = (uint8_t)(number * 31 + i);
			int rc;
			while ((rc = blaze_offer(publishers[at], payload, o.size)) == BLAZE_E_BACK_PRESSURE && !ended) doze(50e-6);
			if (rc != BLAZE_E_BACK_PRESSURE) check(rc, "offer");
			if (rc == BLAZE_OK) record_raw(topics[at], payload, o.size);
		}
		if (o.rate > 0) {
			double early = began + (double)number / o.rate - now();
			if (early > 0) doze(early);
		}
	}
	/* Who comes at the end is waited for a little: without receivers there is nothing to wait for. */
	for (size_t i = 0; i < n && !ended; i++) blaze_wait_receivers(publishers[i], 1, 2000);
	stats(c);
	check(blaze_stop(c), "stop");
	free(payload);
	free(names);
}

static unsigned long number_of(const char *name, const char *text)
{
	char *end;
	errno = 0;
	unsigned long n = strtoul(text, &end, 10);
	if (errno || *end || text[0] == '-' || !text[0]) {
		fprintf(stderr, "blaze-c-member: --%s %s: must be a number, 0 or more\n", name, text);
		exit(2);
	}
	return n;
}

static void set(blaze_config c, const char *name, const char *value)
{
	if (value) check(blaze_config_set(c, name, value), name);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"uri", 1, 0, 'u'}, {"cluster", 1, 0, 'C'}, {"topic", 1, 0, 't'}, {"count", 1, 0, 'n'}, {"size", 1, 0, 's'}, {"rate", 1, 0, 'r'},
		{"wait", 1, 0, 'w'}, {"typed", 0, 0, 'T'}, {"protocol", 1, 0, 'p'}, {"linger", 1, 0, 'l'}, {"loss", 1, 0, 'L'}, {"seed", 1, 0, 'S'},
		{"stats", 0, 0, 'x'}, {"help", 0, 0, 'h'}, {0, 0, 0, 0}};
	for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (c) {
		case 'u': o.uri = optarg; break;
		case 'C': o.cluster = optarg; break;
		case 't': o.topic = optarg; break;
		case 'n': o.count = number_of("count", optarg); o.counted = 1; break;
		case 's': o.size = number_of("size", optarg); break;
		case 'r': o.rate = strtod(optarg, NULL); break;
		case 'w': o.wait = number_of("wait", optarg); break;
		case 'T': o.typed = 1; break;
		case 'p': o.protocol = optarg; break;
		case 'l': o.linger = strtod(optarg, NULL); break;
		case 'L': o.loss = optarg; break;
		case 'S': o.seed = optarg; break;
		case 'x': o.stats = 1; break;
		case 'h': fputs(usage, stdout); return 0;
		default: fputs(usage, stderr); return 2;
		}
	}
	const char *command = optind + 1 == argc ? argv[optind] : "";
	if (!o.topic || (strcmp(command, "sub") && strcmp(command, "pub"))) {
		fputs(usage, stderr);
		return 2;
	}
	if (o.size < 8) o.size = 8;
	setvbuf(stdout, NULL, _IOLBF, 0); /* a record is a line, and leaves at once */
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_RESTART};
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);

	blaze_config config;
	blaze_channel channel;
	char linger[32];
	snprintf(linger, sizeof linger, "%gs", o.linger > 0 ? o.linger : 0.001);
	check(blaze_config_new(&config), "settings");
	set(config, "BroadcastURI", o.uri);
	set(config, "Cluster", o.cluster);
	set(config, "Protocol", o.protocol);
	set(config, "Linger", linger);
	set(config, "NoSelfDelivery", "true");
	set(config, "Idle", "block");
	set(config, "test.loss", o.loss);
	set(config, "test.seed", o.seed);
	check(blaze_open(config, BLAZE_CHANNEL, &channel), "open");
	(strcmp(command, "sub") ? pub : sub)(channel);
	check(blaze_close(channel), "close");
	return 0;
}
