/* Ten threads call everything at once, with handles that are good, closed, of another kind and made up, for some
 * seconds. Nothing is asserted of what a call returns but that it is a code; a sanitizer watches the memory. */
#include <pthread.h>
#include <stdatomic.h>

#include "test.h"

/* Handles that all threads use, those of one kind together. */
enum { CHANNEL, PUBLISHER, SUBSCRIPTION, LISTENER, MESSAGE, MAP, LOCK, KINDS };
enum { THREADS = 10, EACH = 6, SHARED = EACH * KINDS };

static _Atomic uint64_t shared[SHARED];
static _Atomic unsigned long calls, callbacks;
static int64_t end;

static void code(int rc) { TRUE(rc <= 0 && rc >= BLAZE_E_FAILED); atomic_fetch_add(&calls, 1); }

static unsigned draw(unsigned *seed) { return *seed = *seed * 1664525 + 1013904223, *seed >> 8; }

static uint64_t some(unsigned *seed, int kind)
{
	switch (draw(seed) % 32) {
	case 0: return 0;
	case 1: return ((uint64_t)draw(seed) << 32) | draw(seed);
	case 2: return atomic_load(&shared[draw(seed) % SHARED]);
	default: return atomic_load(&shared[kind * EACH + draw(seed) % EACH]);
	}
}

/* Takes a handle in; the one that it replaces is closed, while others use it. */
static void keep(unsigned *seed, int kind, int rc, const uint64_t *made)
{
	code(rc);
	if (rc != BLAZE_OK) return;
	uint64_t h = atomic_exchange(&shared[kind * EACH + draw(seed) % EACH], *made);
	if (h) code(blaze_close(h));
}

static uint64_t touch(const void *p, size_t n)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < n; i++) sum += ((const unsigned char *)p)[i];
	return sum;
}

static void on_log(void *arg, int level, const char *line) { (void)arg; fprintf(stderr, "%d %s\n", level, line); }

static void on_message(void *arg, const blaze_delivery *d)
{
	static _Atomic uint64_t sum;
	atomic_fetch_add(&sum, touch(d->payload, d->length) + strlen(d->topic));
	atomic_fetch_add(&callbacks, 1);
	unsigned seed = (unsigned)d->sequence;
	if (seed % 8 == 0) code(blaze_offer(some(&seed, PUBLISHER), "again", 5)); /* fewer come of it than there were */
	if (seed % 64 == 0) {
		blaze_message m;
		if (blaze_delivery_message(d, &m) == BLAZE_OK) code(blaze_close(m));
	}
	(void)arg;
}
static void on_loss(void *arg, const blaze_loss *l) { (void)arg; TRUE(l->reason > 0); }
static void on_stream(void *arg, const blaze_stream_event *e) { (void)arg; touch(e->address, strlen(e->address)); }
static void on_member(void *arg, const blaze_member_event *e) { (void)arg; touch(e->member->name,
	strlen(e->member->name)); }
static void on_mail(void *arg, blaze_message m)
{
	blaze_message reply;
	(void)arg;
	if (blaze_message_new(&reply) == BLAZE_OK) {
		unsigned seed = (unsigned)m;
		code(blaze_reply(some(&seed, CHANNEL), m, reply, 10));
		code(blaze_close(reply));
	}
}
static int on_work(void *arg, blaze_message m) { (void)arg; (void)m; return 0; }
static void on_change(void *arg, const blaze_map_event *e) { (void)arg; touch(e->key, e->key_length);
	touch(e->after->value, e->after->value_length); }
static void on_call(void *arg, const blaze_call_data *c) { (void)arg; code(blaze_call_reply(c->call, c->payload,
	c->length)); }

static void *run(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg * 7919 + 1;
	uint64_t h, n64;
	size_t n;
	int i;
	while (now_ms() < end) {
		char payload[256];
		memset(payload, (int)seed, sizeof payload);
		const char *topic = draw(&seed) % 2 ? "a.b" : "c";
		switch (draw(&seed) % 40) {
		case 0: {
			if (draw(&seed) % 8) break;
			blaze_config c = settings(draw(&seed) % 2 ? "block" : "backoff");
			OK(blaze_config_set(c, "Linger", "10ms"));
			OK(blaze_config_log(c, BLAZE_LOG_ERROR, on_log, NULL));
			int rc = blaze_open(c, draw(&seed) % 8 ? BLAZE_CHANNEL + draw(&seed) % 2 : BLAZE_CLUSTER, &h);
			keep(&seed, CHANNEL, rc, &h);
			code(blaze_close(c));
			if (rc == BLAZE_OK) code(blaze_start(h));
			break;
		}
		case 1: code(blaze_start(some(&seed, CHANNEL))); break;
		case 2: if (draw(&seed) % 32 == 0) code(blaze_stop(some(&seed, CHANNEL))); break;
		case 3: if (draw(&seed) % 16 == 0) code(blaze_close(some(&seed, (int)(draw(&seed) % KINDS)))); break;
		case 4: code(blaze_state(some(&seed, CHANNEL), &i)); break;
		case 5: { blaze_id id; code(blaze_channel_id(some(&seed, CHANNEL), &id)); break; }
		case 6: code(blaze_turn(some(&seed, CHANNEL), &i)); break;
		case 7: {
			char *json;
			int rc = blaze_stats(some(&seed, CHANNEL), &json);
			code(rc);
			if (rc == BLAZE_OK) {
				touch(json, strlen(json));
				code(blaze_release(json));
			}
			break;
		}
		case 8: case 9: keep(&seed, PUBLISHER, blaze_publisher_open(some(&seed, CHANNEL), topic, &h), &h); break;
		case 10: case 11: case 12: case 13: code(blaze_offer(some(&seed, PUBLISHER), payload,
			draw(&seed) % sizeof payload)); break;
		case 14: {
			void *room;
			int rc = blaze_claim_open(some(&seed, PUBLISHER), 64, &h, &room);
			code(rc);
			if (rc == BLAZE_OK) code(draw(&seed) % 2 ? blaze_commit(h) : blaze_abort(h));
			break;
		}
		case 15: code(blaze_receivers(some(&seed, PUBLISHER), &n)); break;
		case 16: code(blaze_wait_receivers(some(&seed, PUBLISHER), 1, 1)); break;
		case 17: code(blaze_broadcast(some(&seed, CHANNEL), topic, some(&seed, MESSAGE), 1)); break;
		case 18: case 19: {
			const char *pattern = draw(&seed) % 2 ? "a.*" : ">";
			uint32_t flags = draw(&seed) % 2 * BLAZE_INLINE;
			uint64_t c = some(&seed, CHANNEL);
			keep(&seed, SUBSCRIPTION, blaze_subscribe(c, pattern, flags, on_message, on_loss, NULL, &h), &h);
			break;
		}
		case 20: {
			/* One thread polls a subscription at a time: this one is not shared. */
			blaze_event events[16];
			uint64_t s;
			int rc = blaze_subscribe_poll(some(&seed, CHANNEL), ">", &s);
			code(rc);
			for (int k = 0; rc == BLAZE_OK && k < 20; k++) {
				code(blaze_poll(s, events, 16, &n, 1));
				for (size_t e = 0; e < n; e++)
					if (events[e].what == BLAZE_EVENT_MESSAGE) touch(events[e].message.payload,
						events[e].message.length);
			}
			if (rc == BLAZE_OK) code(blaze_close(s));
			break;
		}
		case 21: keep(&seed, LISTENER, blaze_on_stream(some(&seed, CHANNEL), on_stream, NULL, &h), &h); break;
		case 22: case 23: keep(&seed, MESSAGE, blaze_message_new(&h), &h); break;
		case 24: case 25: {
			blaze_value v = {.kind = draw(&seed) % 14, .integer = (int)draw(&seed) % 200, .data = payload,
				.length = draw(&seed) % 32, .inner = some(&seed, MESSAGE)};
			memset(payload, 'x', sizeof payload);
			char key[2] = {(char)('a' + draw(&seed) % 8), 0};
			code(blaze_message_set(some(&seed, MESSAGE), key, &v));
			break;
		}
		case 26: { int64_t x; code(blaze_message_int64(some(&seed, MESSAGE), "a", &x)); break; }
		case 27: {
			void *p;
			int rc = blaze_message_encode(some(&seed, MESSAGE), &p, &n);
			code(rc);
			if (rc == BLAZE_OK) {
				touch(p, n);
				code(blaze_release(p));
			}
			break;
		}
		case 28: {
			blaze_member *m;
			int rc = blaze_members(some(&seed, CHANNEL), NULL, &m, &n);
			code(rc);
			for (size_t k = 0; rc == BLAZE_OK && k < n; k++) touch(m[k].name, strlen(m[k].name));
			if (rc == BLAZE_OK) code(blaze_release(m));
			break;
		}
		case 29: code((draw(&seed) % 2 ? blaze_join : blaze_leave)(some(&seed, CHANNEL), "g")); break;
		case 30: keep(&seed, LISTENER, blaze_on_member(some(&seed, CHANNEL), on_member, NULL, &h), &h); break;
		case 31: keep(&seed, SUBSCRIPTION, blaze_handle_inbox(some(&seed, CHANNEL), "", on_mail, NULL, &h), &h); break;
		case 32: keep(&seed, SUBSCRIPTION, blaze_consume(some(&seed, CHANNEL), "jobs", 0, on_work, NULL, &h), &h); break;
		case 33: {
			uint32_t flags = draw(&seed) % 2 * BLAZE_INLINE;
			uint64_t c = some(&seed, CHANNEL);
			keep(&seed, SUBSCRIPTION, blaze_handle_calls(c, "calls", flags, on_call, NULL, &h), &h);
			break;
		}
		case 34: {
			uint64_t c = some(&seed, CHANNEL);
			blaze_id id = {{0}};
			code(blaze_channel_id(c, &id));
			uint64_t m = some(&seed, MESSAGE);
			code(blaze_send(c, &id, NULL, m, 1));
			keep(&seed, MESSAGE, blaze_request(c, &id, m, &h, 1), &h);
			code(blaze_enqueue(c, "jobs", m, 1));
			code(blaze_send_group(c, "g", m, 1));
			code(blaze_request_payload(c, &id, "calls", "x", 1, payload, sizeof payload, &n, 1));
			break;
		}
		case 35: keep(&seed, MAP, blaze_map_open(some(&seed, CHANNEL), "m", &h), &h); break;
		case 36: code(blaze_map_put(some(&seed, MAP), "k", payload, 8, NULL, 2, &n64)); break;
		case 37: {
			blaze_entry *e;
			int rc = blaze_map_get(some(&seed, MAP), "k", &e);
			code(rc);
			if (rc == BLAZE_OK) {
				touch(e->value, e->value_length);
				code(blaze_release(e));
			}
			break;
		}
		case 38: keep(&seed, LISTENER, blaze_map_watch(some(&seed, MAP), "", on_change, NULL, &h), &h); break;
		case 39: keep(&seed, LOCK, blaze_map_trylock(some(&seed, MAP), "k", 1000, 0, 2, &h), &h); break;
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	end = now_ms() + 1000 * (argc > 1 ? atoi(argv[1]) : 5);
	for (uintptr_t i = 0; i < THREADS; i++) TRUE(pthread_create(&threads[i], NULL, run, (void *)i) == 0);
	for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
	for (int i = 0; i < SHARED; i++) {
		uint64_t h = atomic_load(&shared[i]);
		if (h) code(blaze_close(h));
	}
	TRUE(atomic_load(&callbacks) > 0);
	printf("ok stress: %lu calls, %lu callbacks\n", atomic_load(&calls), atomic_load(&callbacks));
	return 0;
}
