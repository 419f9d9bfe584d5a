/* Every part of blaze.h once, as it is meant to be used and as it is not. */
#include <pthread.h>
#include <stdatomic.h>

#include "test.h"

static atomic_int heard, lost, logged, streams, views, members, masters, changes, mails, works, calls;
static char last_payload[256];
static uint64_t last_sequence;

static void on_message(void *arg, const blaze_delivery *d)
{
	TRUE(arg == &heard);
	TRUE(d->length < sizeof last_payload && strlen(d->topic) == d->topic_length);
	memcpy(last_payload, d->payload, d->length);
	last_payload[d->length] = 0;
	TRUE(d->sequence > last_sequence && d->received > 0);
	last_sequence = d->sequence;
	atomic_fetch_add(&heard, 1);
}

static void on_loss(void *arg, const blaze_loss *l)
{
	(void)arg;
	TRUE(l->first <= l->last);
	atomic_fetch_add(&lost, (int)(l->last - l->first + 1));
}

static void on_log(void *arg, int level, const char *line)
{
	TRUE(arg == &logged && level >= BLAZE_LOG_INFO && line[0]);
	atomic_fetch_add(&logged, 1);
}

static void on_stream(void *arg, const blaze_stream_event *e)
{
	(void)arg;
	TRUE(e->what >= BLAZE_STREAM_STARTED && e->what <= BLAZE_RECEIVER_EVICTED && strchr(e->address, ':') &&
		e->protocol[0]);
	atomic_fetch_add(&streams, 1);
}

static void on_view(void *arg, const blaze_view *v)
{
	(void)arg;
	TRUE(v->member_count > 0 && (v->kind == BLAZE_VIEW_REGULAR || v->kind == BLAZE_VIEW_TRANSITIONAL));
	atomic_fetch_add(&views, 1);
}

/* What has to be refused, in the words of the Go member. */
static void refusals(void)
{
	blaze_config c = settings("block");
	blaze_channel ch;
	IS(BLAZE_E_ARGUMENT, blaze_config_new(NULL));
	SAYS("NULL");
	IS(BLAZE_E_ARGUMENT, blaze_config_set(c, NULL, "1"));
	IS(BLAZE_E_ARGUMENT, blaze_config_set(c, "Window", NULL));
	IS(BLAZE_E_HANDLE, blaze_config_set(0, "Window", "1"));
	IS(BLAZE_E_HANDLE, blaze_config_set(~0ull, "Window", "1"));
	IS(BLAZE_E_CONFIG, blaze_config_set(c, "Windows", "1"));
	SAYS("there is no such setting");
	IS(BLAZE_E_CONFIG, blaze_config_set(c, "Window", "much"));
	SAYS("Window = much");
	IS(BLAZE_E_CONFIG, blaze_config_set(c, "Linger", "12"));
	SAYS("20ms");
	IS(BLAZE_E_CONFIG, blaze_config_set(c, "Protocol", "tcp"));
	SAYS("nack");
	IS(BLAZE_E_ARGUMENT, blaze_open(c, BLAZE_CHANNEL, NULL));
	IS(BLAZE_E_ARGUMENT, blaze_open(c, 4, &ch));
	OK(blaze_config_set(c, "Window", "17"));
	IS(BLAZE_E_CONFIG, blaze_open(c, BLAZE_CHANNEL, &ch));
	SAYS("Window");
	OK(blaze_close(c));
	IS(BLAZE_E_HANDLE, blaze_close(c));
	IS(BLAZE_E_HANDLE, blaze_open(c, BLAZE_CHANNEL, &ch));
	SAYS("closed");

	const char *uris[][2] = {
		{"udp://239.255.66.76:6676?interface=nosuch0", "nosuch0"},
		{"udp://10.0.0.1:6676?interface=lo", "10.0.0.1"},
		{"udp://239.255.66.76:99999?interface=lo", "99999"},
		{"tcp://239.255.66.76:6676", "tcp"},
	};
	for (size_t i = 0; i < sizeof uris / sizeof *uris; i++) {
		c = settings("block");
		OK(blaze_config_set(c, "BroadcastURI", uris[i][0]));
		int rc = blaze_open(c, BLAZE_CHANNEL, &ch);
		if (rc == BLAZE_OK) {
			rc = blaze_start(ch);
			TRUE(rc != BLAZE_OK);
			SAYS(uris[i][1]);
			OK(blaze_close(ch));
		} else {
			SAYS(uris[i][1]);
		}
		TRUE(rc == BLAZE_E_CONFIG);
		OK(blaze_close(c));
	}
	IS(BLAZE_E_ARGUMENT, blaze_release(&ch));
	OK(blaze_release(NULL));
	TRUE(strcmp(blaze_strerror(-99), "unknown code") == 0 && strcmp(blaze_strerror(0), "success") == 0);
	for (int code = BLAZE_E_FAILED; code < 0; code++) TRUE(strcmp(blaze_strerror(code), "unknown code") != 0);
	TRUE(blaze_abi_version() == BLAZE_ABI_VERSION);
	blaze_id id, back;
	char text[36];
	for (int i = 0; i < 16; i++) id.bytes[i] = (uint8_t)(i * 17);
	OK(blaze_id_text(&id, text));
	OK(blaze_id_parse(text, &back));
	TRUE(memcmp(&id, &back, sizeof id) == 0 && strcmp(text, "00112233-44556677-8899aabb-ccddeeff") == 0);
	IS(BLAZE_E_ARGUMENT, blaze_id_parse("x", &back));
}

static void topics(void)
{
	blaze_config c = settings("block");
	OK(blaze_config_log(c, BLAZE_LOG_INFO, on_log, &logged));
	blaze_channel a, b;
	blaze_subscription s, polled;
	blaze_publisher p, q;
	blaze_listener l;
	int state;
	OK(blaze_open(c, BLAZE_CHANNEL, &a));
	OK(blaze_open(c, BLAZE_CHANNEL, &b));
	OK(blaze_subscribe(b, "a.*", 0, on_message, on_loss, &heard, &s));
	OK(blaze_subscribe_poll(b, ">", &polled));
	IS(BLAZE_E_TOPIC, blaze_subscribe(b, "a..b", 0, on_message, NULL, NULL, &s));
	IS(BLAZE_E_ARGUMENT, blaze_subscribe(b, "a", 0, NULL, NULL, NULL, &s));
	IS(BLAZE_E_ARGUMENT, blaze_subscribe(b, "a", 64, on_message, NULL, NULL, &s));
	IS(BLAZE_E_ARGUMENT, blaze_subscribe(b, NULL, 0, on_message, NULL, NULL, &s));
	OK(blaze_on_stream(b, on_stream, NULL, &l));
	OK(blaze_publisher_open(a, "a.b", &p));
	IS(BLAZE_E_STATE, blaze_offer(p, "x", 1));
	SAYS("Start the channel first");
	OK(blaze_start(b));
	OK(blaze_start(a));
	OK(blaze_start(a));
	OK(blaze_state(a, &state));
	TRUE(state == BLAZE_STARTED);
	blaze_id id, zero = {{0}};
	OK(blaze_channel_id(a, &id));
	TRUE(memcmp(&id, &zero, sizeof id) != 0);
	OK(blaze_wait_receivers(p, 1, 30000));
	size_t n;
	OK(blaze_receivers(p, &n));
	TRUE(n == 1);
	IS(BLAZE_E_TIMEOUT, blaze_wait_receivers(p, 7, 1));
	IS(BLAZE_E_TOPIC, blaze_publisher_open(a, "a.*", &q));
	IS(BLAZE_E_HANDLE, blaze_publisher_open(p, "a", &q));
	SAYS("a publisher");
	OK(blaze_offer(p, "one", 3));
	OK(blaze_offer(p, "", 0));
	OK(blaze_offer(p, NULL, 0));
	IS(BLAZE_E_ARGUMENT, blaze_offer(p, NULL, 1));
	IS(BLAZE_E_TOO_LARGE, blaze_offer(p, "", SIZE_MAX));
	static char large[70000];
	IS(BLAZE_E_TOO_LARGE, blaze_offer(p, large, sizeof large));
	SAYS("MaxMessageSize");
	blaze_claim claim;
	void *room;
	OK(blaze_claim_open(p, 5, &claim, &room));
	memcpy(room, "claim", 5);
	OK(blaze_commit(claim));
	IS(BLAZE_E_HANDLE, blaze_commit(claim));
	IS(BLAZE_E_HANDLE, blaze_abort(claim));
	OK(blaze_claim_open(p, 5, &claim, &room));
	OK(blaze_abort(claim));
	IS(BLAZE_E_TOO_LARGE, blaze_claim_open(p, 1u << 30, &claim, &room));
	SOON(atomic_load(&heard) == 4);
	TRUE(strcmp(last_payload, "claim") == 0);

	blaze_event events[8];
	size_t got = 0, count;
	while (got < 4) {
		OK(blaze_poll(polled, events, 2, &count, 30000));
		for (size_t i = 0; i < count; i++, got++) {
			TRUE(events[i].what == BLAZE_EVENT_MESSAGE && strcmp(events[i].message.topic, "a.b") == 0);
			TRUE(memcmp(&events[i].message.from, &id, sizeof id) == 0);
			if (got == 0) TRUE(events[i].message.length == 3 && memcmp(events[i].message.payload, "one", 3) == 0);
			if (got == 3) TRUE(events[i].message.length == 5 && memcmp(events[i].message.payload, "claim", 5) == 0);
		}
	}
	IS(BLAZE_E_TIMEOUT, blaze_poll(polled, events, 8, &count, 0));
	IS(BLAZE_E_TIMEOUT, blaze_poll(polled, events, 8, &count, 5));
	IS(BLAZE_E_ARGUMENT, blaze_poll(polled, events, 0, &count, 0));
	IS(BLAZE_E_ARGUMENT, blaze_poll(polled, NULL, 1, &count, 0));
	IS(BLAZE_E_ARGUMENT, blaze_poll(s, events, 8, &count, 0));
	OK(blaze_subscription_error(polled));

	blaze_message m, received;
	blaze_value v = {.kind = BLAZE_VALUE_TEXT, .data = "ACME", .length = 4};
	OK(blaze_message_new(&m));
	OK(blaze_message_set(m, "symbol", &v));
	OK(blaze_broadcast(a, "prices", m, BLAZE_FOREVER));
	OK(blaze_poll(polled, events, 8, &count, 30000));
	TRUE(count == 1 && events[0].message.kind == BLAZE_KIND_MESSAGE);
	OK(blaze_delivery_message(&events[0].message, &received));
	const char *text;
	OK(blaze_message_text(received, "symbol", &text, &n));
	TRUE(n == 4 && strcmp(text, "ACME") == 0);
	OK(blaze_close(received));
	OK(blaze_close(m));
	IS(BLAZE_E_HANDLE, blaze_broadcast(a, "prices", m, 0));
	IS(BLAZE_E_UNSUPPORTED, blaze_join(a, "g"));
	SAYS("BLAZE_GROUP");

	char *json;
	OK(blaze_stats(a, &json));
	TRUE(json[0] == '{' && strstr(json, "\"nack\"") && strstr(json, "\"transport\":\"udp\""));
	OK(blaze_release(json));
	IS(BLAZE_E_ARGUMENT, blaze_release(json));
	SOON(atomic_load(&streams) > 0);
	OK(blaze_close(l));
	OK(blaze_stop(a));
	IS(BLAZE_E_STATE, blaze_offer(p, "x", 1));
	OK(blaze_start(a));
	OK(blaze_wait_receivers(p, 1, 30000));
	OK(blaze_offer(p, "again", 5));
	last_sequence = 0;
	SOON(strcmp(last_payload, "again") == 0);
	OK(blaze_close(s));
	IS(BLAZE_E_HANDLE, blaze_close(s));
	OK(blaze_close(a));
	IS(BLAZE_E_HANDLE, blaze_offer(p, "x", 1));
	IS(BLAZE_E_HANDLE, blaze_start(a));
	IS(BLAZE_E_HANDLE, blaze_turn(a, NULL));
	OK(blaze_close(b));
	IS(BLAZE_E_HANDLE, blaze_poll(polled, events, 8, &count, 0));
	OK(blaze_close(c));
}

/* What is lost is reported, to callbacks and in polls. */
static void losses(void)
{
	blaze_config c = settings("block");
	OK(blaze_config_set(c, "Protocol", "besteffort"));
	blaze_channel a, b;
	blaze_subscription s, polled;
	blaze_publisher p;
	OK(blaze_open(c, BLAZE_CHANNEL, &a));
	OK(blaze_config_set(c, "test.loss", "0.2"));
	OK(blaze_config_set(c, "test.seed", "7"));
	OK(blaze_open(c, BLAZE_CHANNEL, &b));
	atomic_store(&heard, 0);
	atomic_store(&lost, 0);
	last_sequence = 0;
	OK(blaze_subscribe(b, "a.b", 0, on_message, on_loss, &heard, &s));
	OK(blaze_subscribe_poll(b, "a.b", &polled));
	OK(blaze_start(a));
	OK(blaze_start(b));
	OK(blaze_publisher_open(a, "a.b", &p));
	OK(blaze_wait_receivers(p, 1, 30000));
	blaze_event events[64];
	size_t count, in = 0, out = 0;
	int64_t till = now_ms() + 60000;
	while (atomic_load(&lost) == 0 || out == 0) {
		TRUE(now_ms() < till);
		int rc = blaze_offer(p, "x", 1);
		TRUE(rc == BLAZE_OK || rc == BLAZE_E_BACK_PRESSURE);
		pause_ms(1);
		while (blaze_poll(polled, events, 64, &count, 0) == BLAZE_OK)
			for (size_t i = 0; i < count; i++) {
				in += events[i].what == BLAZE_EVENT_MESSAGE;
				if (events[i].what == BLAZE_EVENT_LOSS) out += events[i].loss.last - events[i].loss.first + 1;
			}
	}
	TRUE(in > 0 && atomic_load(&heard) > 0);
	OK(blaze_close(a));
	OK(blaze_close(b));
	OK(blaze_close(c));
}

/* Without an engine's thread: everything runs on this one. */
static blaze_publisher answers;
static pthread_t turner;

static void on_ping(void *arg, const blaze_delivery *d)
{
	(void)arg;
	TRUE(pthread_equal(turner, pthread_self()));
	atomic_fetch_add(&heard, 1);
	if (strcmp(d->topic, "ping") == 0) OK(blaze_offer(answers, d->payload, d->length));
}

static void invoker(void)
{
	blaze_config c = settings("busyspin");
	OK(blaze_config_set(c, "Invoker", "true"));
	blaze_channel a;
	blaze_subscription s, t;
	blaze_publisher p;
	turner = pthread_self();
	atomic_store(&heard, 0);
	OK(blaze_open(c, BLAZE_CHANNEL, &a));
	int work = 7;
	OK(blaze_turn(a, &work));
	TRUE(work == 0);
	OK(blaze_start(a));
	OK(blaze_subscribe(a, "ping", BLAZE_INLINE, on_ping, NULL, NULL, &s));
	OK(blaze_subscribe(a, "pong", BLAZE_INLINE, on_ping, NULL, NULL, &t));
	OK(blaze_publisher_open(a, "ping", &p));
	OK(blaze_publisher_open(a, "pong", &answers));
	blaze_claim claim;
	void *room;
	OK(blaze_claim_open(p, 4, &claim, &room));
	memcpy(room, "ping", 4);
	IS(BLAZE_E_STATE, blaze_offer(p, "x", 1));
	OK(blaze_commit(claim));
	int64_t till = now_ms() + 60000;
	while (atomic_load(&heard) < 2) {
		TRUE(now_ms() < till);
		OK(blaze_turn(a, NULL));
	}
	OK(blaze_close(a));
	OK(blaze_close(c));
}

static void on_unsubscribe(void *arg, const blaze_delivery *d)
{
	(void)d;
	blaze_channel ch = *(blaze_channel *)arg;
	OK(blaze_close(ch));
	IS(BLAZE_E_HANDLE, blaze_stop(ch));
	atomic_fetch_add(&heard, 1);
}

/* A callback closes its own channel, Inline and not. */
static void closed_by_callback(void)
{
	for (uint32_t flags = 0; flags <= BLAZE_INLINE; flags++) {
		blaze_config c = settings("block");
		static blaze_channel a;
		blaze_subscription s;
		blaze_publisher p;
		atomic_store(&heard, 0);
		OK(blaze_open(c, BLAZE_CHANNEL, &a));
		OK(blaze_subscribe(a, "x", flags, on_unsubscribe, NULL, &a, &s));
		OK(blaze_start(a));
		OK(blaze_publisher_open(a, "x", &p));
		OK(blaze_offer(p, "x", 1));
		SOON(atomic_load(&heard) == 1);
		SOON(blaze_close(s) == BLAZE_E_HANDLE);
		OK(blaze_close(c));
	}
}

static void messages(void)
{
	blaze_message m, inner, back;
	blaze_value v;
	OK(blaze_message_new(&m));
	OK(blaze_message_new(&inner));
	struct { const char *key; blaze_value v; } all[] = {
		{"bool", {.kind = BLAZE_VALUE_BOOL, .integer = 1}},
		{"byte", {.kind = BLAZE_VALUE_BYTE, .integer = -128}},
		{"bytes", {.kind = BLAZE_VALUE_BYTES, .data = "\0\1", .length = 2}},
		{"char", {.kind = BLAZE_VALUE_CHAR, .integer = 0x10ffff}},
		{"f32", {.kind = BLAZE_VALUE_FLOAT32, .real = 0.5}},
		{"f64", {.kind = BLAZE_VALUE_FLOAT64, .real = 0.1}},
		{"i16", {.kind = BLAZE_VALUE_INT16, .integer = 32767}},
		{"i32", {.kind = BLAZE_VALUE_INT32, .integer = -2147483648LL}},
		{"i64", {.kind = BLAZE_VALUE_INT64, .integer = INT64_MIN}},
		{"text", {.kind = BLAZE_VALUE_TEXT, .data = "\xc3\xa4", .length = 2}},
	};
	size_t n = sizeof all / sizeof *all, count;
	for (size_t i = n; i-- > 0;) {
		OK(blaze_message_set(m, all[i].key, &all[i].v));
		OK(blaze_message_set(inner, all[i].key, &all[i].v));
	}
	v = (blaze_value){.kind = BLAZE_VALUE_MAP, .inner = inner};
	OK(blaze_message_set(m, "zmap", &v));
	v = (blaze_value){.kind = BLAZE_VALUE_TEXT, .data = "body", .length = 4};
	OK(blaze_message_set_body(m, &v));
	OK(blaze_close(inner));
	void *bytes;
	size_t length;
	OK(blaze_message_encode(m, &bytes, &length));
	OK(blaze_message_decode(bytes, length, &back));
	IS(BLAZE_E_MALFORMED, blaze_message_decode("\xff\xff", 2, &inner));
	OK(blaze_release(bytes));
	OK(blaze_close(m));
	OK(blaze_message_count(back, &count));
	TRUE(count == n + 1);
	for (size_t i = 0; i < n; i++) {
		const char *key;
		OK(blaze_message_at(back, i, &key, &v));
		TRUE(strcmp(key, all[i].key) == 0 && v.kind == all[i].v.kind && v.integer == all[i].v.integer &&
			v.real == all[i].v.real);
		TRUE(v.length == all[i].v.length && (v.length == 0 || memcmp(v.data, all[i].v.data, v.length) == 0));
	}
	const char *key;
	IS(BLAZE_E_NOT_FOUND, blaze_message_at(back, n + 1, &key, &v));
	OK(blaze_message_get(back, "zmap", &v));
	blaze_message within = v.inner;
	OK(blaze_message_count(within, &count));
	TRUE(v.kind == BLAZE_VALUE_MAP && count == n);
	OK(blaze_message_get(back, "zmap", &v));
	TRUE(v.inner == within);
	OK(blaze_message_body(back, &v));
	TRUE(v.kind == BLAZE_VALUE_TEXT && strcmp(v.data, "body") == 0);
	int64_t i;
	double d;
	int b;
	const char *text;
	const void *data;
	OK(blaze_message_int64(back, "i16", &i));
	TRUE(i == 32767);
	OK(blaze_message_float64(back, "f32", &d));
	TRUE(d == 0.5);
	OK(blaze_message_bool(back, "bool", &b));
	TRUE(b == 1);
	OK(blaze_message_bytes(back, "bytes", &data, &count));
	TRUE(count == 2);
	IS(BLAZE_E_KIND, blaze_message_int64(back, "text", &i));
	SAYS("cannot be read as");
	IS(BLAZE_E_KIND, blaze_message_text(back, "i16", &text, NULL));
	IS(BLAZE_E_NOT_FOUND, blaze_message_int64(back, "none", &i));
	blaze_value bad[] = {
		{.kind = BLAZE_VALUE_BYTE, .integer = 128}, {.kind = BLAZE_VALUE_INT16, .integer = -32769},
			{.kind = BLAZE_VALUE_INT32, .integer = 1LL << 31},
		{.kind = BLAZE_VALUE_CHAR, .integer = 0xd800}, {.kind = BLAZE_VALUE_CHAR, .integer = 0x110000},
			{.kind = BLAZE_VALUE_NONE}, {.kind = 12}, {.kind = 1000},
		{.kind = BLAZE_VALUE_TEXT, .length = 3},
	};
	for (size_t j = 0; j < sizeof bad / sizeof *bad; j++) IS(BLAZE_E_ARGUMENT, blaze_message_set(back, "k", &bad[j]));
	v = (blaze_value){.kind = BLAZE_VALUE_TEXT, .length = SIZE_MAX, .data = "x"};
	IS(BLAZE_E_TOO_LARGE, blaze_message_set(back, "k", &v));
	v = (blaze_value){.kind = BLAZE_VALUE_MAP, .inner = 0};
	IS(BLAZE_E_HANDLE, blaze_message_set(back, "k", &v));
	v = (blaze_value){.kind = BLAZE_VALUE_MAP, .inner = back}; /* itself: a copy */
	OK(blaze_message_set(back, "self", &v));
	OK(blaze_message_delete(back, "self"));
	blaze_message_info info;
	OK(blaze_message_about(back, &info));
	TRUE(strcmp(info.topic, "") == 0 && info.sequence == 0 && !info.wanted);
	OK(blaze_close(back));
	IS(BLAZE_E_HANDLE, blaze_message_count(within, &count));
	OK(blaze_message_new(&m));
	v = (blaze_value){.kind = BLAZE_VALUE_INT64, .integer = 1};
	OK(blaze_message_set(m, "", &v));
	IS(BLAZE_E_MALFORMED, blaze_message_encode(m, &bytes, &length));
	OK(blaze_close(m));
}

static void on_member(void *arg, const blaze_member_event *e)
{
	(void)arg;
	TRUE(e->member->name[0] && e->group != NULL);
	atomic_fetch_add(&members, 1);
}

static blaze_channel answering;
static blaze_message kept;

static void on_mail(void *arg, blaze_message m)
{
	(void)arg;
	blaze_message_info info;
	OK(blaze_message_about(m, &info));
	if (info.wanted) {
		blaze_message reply;
		OK(blaze_message_new(&reply));
		blaze_value v = {.kind = BLAZE_VALUE_TEXT, .data = "yes", .length = 3};
		OK(blaze_message_set_body(reply, &v));
		OK(blaze_reply(answering, m, reply, 30000));
		IS(BLAZE_E_EXISTS, blaze_reply(answering, m, reply, 30000));
		OK(blaze_close(reply));
		OK(blaze_message_keep(m));
		kept = m;
	} else {
		kept = m; /* closed when this returns */
	}
	atomic_fetch_add(&mails, 1);
}

static int on_work(void *arg, blaze_message m)
{
	(void)arg;
	blaze_message_info info;
	OK(blaze_message_about(m, &info));
	TRUE(strcmp(info.topic, "jobs") == 0);
	return atomic_fetch_add(&works, 1) == 0; /* the first time it fails */
}

static void on_call(void *arg, const blaze_call_data *c)
{
	*(blaze_call *)arg = c->call;
	TRUE(c->wanted);
	OK(blaze_call_reply(c->call, c->payload, c->length));
	IS(BLAZE_E_EXISTS, blaze_call_reply(c->call, c->payload, c->length));
	atomic_fetch_add(&calls, 1);
}

static void groups(void)
{
	blaze_config c = settings("block");
	blaze_channel a, b;
	blaze_listener l;
	blaze_subscription s, q, k;
	OK(blaze_config_set(c, "Name", "a"));
	OK(blaze_open(c, BLAZE_GROUP, &a));
	OK(blaze_config_set(c, "name", "b"));
	OK(blaze_open(c, BLAZE_GROUP, &b));
	answering = b;
	OK(blaze_on_member(a, on_member, NULL, &l));
	OK(blaze_join(b, "workers"));
	IS(BLAZE_E_TOPIC, blaze_join(b, ""));
	IS(BLAZE_E_ARGUMENT, blaze_join(b, "blaze.x"));
	OK(blaze_handle_inbox(b, NULL, on_mail, NULL, &s));
	IS(BLAZE_E_EXISTS, blaze_handle_inbox(b, "", on_mail, NULL, &q));
	OK(blaze_consume(b, "jobs", BLAZE_EXCLUSIVE, on_work, NULL, &q));
	static blaze_call last_call;
	OK(blaze_handle_calls(b, "calls", BLAZE_INLINE, on_call, &last_call, &k));
	OK(blaze_start(a));
	OK(blaze_start(b));
	OK(blaze_wait_members(a, 2, 30000));
	IS(BLAZE_E_ARGUMENT, blaze_wait_members(a, SIZE_MAX, 1));
	blaze_member *list, *one;
	size_t n;
	OK(blaze_members(a, NULL, &list, &n));
	TRUE(n == 2 && list[0].name[0] && list[1].started > 0);
	OK(blaze_release(list));
	OK(blaze_members(a, "workers", &list, &n));
	TRUE(n == 1 && strcmp(list[0].name, "b") == 0);
	TRUE(list[0].group_count == 1 && strcmp(list[0].groups[0], "workers") == 0);
	blaze_id to = list[0].id, nobody = {{1}};
	OK(blaze_member_by_id(a, &to, &one));
	TRUE(strcmp(one->name, "b") == 0 && strchr(one->address, ':'));
	OK(blaze_release(one));
	OK(blaze_release(list));
	IS(BLAZE_E_NOT_FOUND, blaze_member_by_id(a, &nobody, &one));
	IS(BLAZE_E_NOT_FOUND, blaze_member_named(a, "x", &one));
	OK(blaze_member_named(a, "b", &one));
	OK(blaze_release(one));
	OK(blaze_local(a, &one));
	TRUE(strcmp(one->name, "a") == 0);
	OK(blaze_release(one));
	blaze_message m, reply;
	OK(blaze_message_new(&m));
	OK(blaze_send(a, &to, NULL, m, 30000));
	SOON(atomic_load(&mails) == 1);
	size_t entries;
	SOON(blaze_message_count(kept, &entries) == BLAZE_E_HANDLE);
	OK(blaze_send_group(a, "workers", m, 30000));
	SOON(atomic_load(&mails) == 2);
	IS(BLAZE_E_NO_CONSUMER, blaze_send(a, &to, "nobody", m, 30000));
	IS(BLAZE_E_NO_SUCH_MEMBER, blaze_send(a, &nobody, NULL, m, 30000));
	IS(BLAZE_E_TIMEOUT, blaze_send(a, &to, NULL, m, 0));
	OK(blaze_request(a, &to, m, &reply, 30000));
	blaze_value v;
	OK(blaze_message_body(reply, &v));
	TRUE(v.kind == BLAZE_VALUE_TEXT && strcmp(v.data, "yes") == 0);
	SOON(blaze_message_count(kept, &entries) == BLAZE_OK);
	OK(blaze_close(kept));
	IS(BLAZE_E_NO_REPLY, blaze_reply(b, m, reply, 30000));
	OK(blaze_close(reply));
	OK(blaze_enqueue(a, "jobs", m, 30000)); /* handled at the second attempt */
	TRUE(atomic_load(&works) == 2);
	IS(BLAZE_E_NO_REPLY, blaze_request_queue(a, "jobs", m, &reply, 30000));
	IS(BLAZE_E_NO_CONSUMER, blaze_enqueue(a, "idle", m, 5));
	TRUE(blaze_error_is(BLAZE_E_TIMEOUT) && blaze_error_is(BLAZE_E_NO_CONSUMER) && !blaze_error_is(BLAZE_E_LOCKED));
	char *json;
	OK(blaze_queues(a, &json));
	TRUE(strcmp(json, "[\"jobs\"]") == 0);
	OK(blaze_release(json));
	char room[8];
	OK(blaze_request_payload(a, &to, "calls", "1234", 4, room, sizeof room, &n, 30000));
	TRUE(n == 4 && memcmp(room, "1234", 4) == 0);
	IS(BLAZE_E_TOO_LARGE, blaze_request_payload(a, &to, "calls", "123456789", 9, room, sizeof room, &n, 30000));
	TRUE(n == 9 && atomic_load(&calls) == 2);
	IS(BLAZE_E_HANDLE, blaze_call_reply(last_call, "x", 1));
	OK(blaze_leave(b, "workers"));
	SOON(atomic_load(&members) >= 4); /* two started, one joined, and left */
	OK(blaze_close(m));
	OK(blaze_close(b));
	OK(blaze_close(a));
	OK(blaze_close(c));
}

static void on_master(void *arg, const blaze_member *m)
{
	(void)arg;
	TRUE(m->name[0]);
	atomic_fetch_add(&masters, 1);
}

static void on_change(void *arg, const blaze_map_event *e)
{
	(void)arg;
	if (e->what == BLAZE_MAP_PUT) TRUE(e->after->version > 0 && strcmp(e->key, e->after->key) == 0);
	if (e->what == BLAZE_MAP_DELETED) TRUE(e->before->version > 0 && e->after->version == 0);
	atomic_fetch_add(&changes, 1);
}

static void clusters(void)
{
	blaze_config c = settings("block");
	OK(blaze_config_set(c, "ExpectedMembers", "1"));
	OK(blaze_config_set(c, "Name", "seat"));
	blaze_channel a;
	blaze_map m, bad;
	blaze_listener l, w;
	OK(blaze_open(c, BLAZE_CLUSTER, &a));
	OK(blaze_on_master(a, on_master, NULL, &l));
	OK(blaze_map_open(a, "orders", &m));
	OK(blaze_map_watch(m, "", on_change, NULL, &w));
	uint64_t version, token;
	IS(BLAZE_E_STATE, blaze_map_put(m, "k", "v", 1, NULL, 1000, &version));
	OK(blaze_start(a));
	OK(blaze_wait_ready(a, 60000));
	int is;
	OK(blaze_primary(a, &is));
	TRUE(is == 1);
	OK(blaze_is_master(a, &is));
	TRUE(is == 1);
	blaze_member *master;
	SOON(blaze_master(a, &master) == BLAZE_OK);
	OK(blaze_release(master));
	OK(blaze_map_put(m, "k", "v", 1, NULL, 30000, &version));
	blaze_entry *e;
	OK(blaze_map_get(m, "k", &e));
	TRUE(e->version == version && e->value_length == 1 && memcmp(e->value, "v", 1) == 0 && strcmp(e->key, "k") == 0);
	OK(blaze_release(e));
	IS(BLAZE_E_VERSION, blaze_map_cas(m, "k", "w", 1, version + 1, NULL, 30000, NULL));
	OK(blaze_map_cas(m, "k", "w", 1, version, NULL, 30000, &version));
	OK(blaze_map_get_linear(m, "k", 30000, &e));
	TRUE(memcmp(e->value, "w", 1) == 0);
	OK(blaze_release(e));
	IS(BLAZE_E_NOT_FOUND, blaze_map_get(m, "x", &e));
	IS(BLAZE_E_NOT_FOUND, blaze_map_get_linear(m, "x", 30000, &e));
	IS(BLAZE_E_ARGUMENT, blaze_map_put(m, "", "v", 1, NULL, 1000, NULL));
	OK(blaze_map_open(a, "", &bad));
	IS(BLAZE_E_ARGUMENT, blaze_map_put(bad, "k", "v", 1, NULL, 1000, NULL));
	blaze_put options = {.ttl = 3600000, .flags = BLAZE_REMOVE_ON_EXIT};
	OK(blaze_map_put(m, "t", "v", 1, &options, 30000, NULL));
	options.ttl = -1;
	IS(BLAZE_E_ARGUMENT, blaze_map_put(m, "t", "v", 1, &options, 30000, NULL));
	size_t n;
	OK(blaze_map_count(m, &n));
	TRUE(n == 2);
	OK(blaze_map_all(m, &e, &n));
	TRUE(n == 2 && e[0].key_length == 1);
	OK(blaze_release(e));
	blaze_lock lock, other;
	OK(blaze_map_lock(m, "k", 0, 0, 30000, &lock));
	IS(BLAZE_E_LOCKED, blaze_map_trylock(m, "k", 0, 0, 30000, &other));
	IS(BLAZE_E_LOCKED, blaze_map_put(m, "k", "v", 1, NULL, 30000, NULL));
	OK(blaze_lock_token(lock, &token));
	OK(blaze_lock_held(lock));
	IS(BLAZE_E_TIMEOUT, blaze_lock_wait_lost(lock, 1));
	options = (blaze_put){.holding = lock};
	OK(blaze_map_put(m, "k", "v", 1, &options, 30000, NULL));
	OK(blaze_lock_extend(lock, 5000, 30000));
	OK(blaze_unlock(lock, 30000));
	IS(BLAZE_E_HANDLE, blaze_unlock(lock, 30000));
	OK(blaze_map_trylock(m, "k", 0, BLAZE_KEEP_ON_EXIT, 30000, &other));
	OK(blaze_close(other)); /* releases it */
	OK(blaze_map_lock(m, "k", 1000, 0, 30000, &lock));
	OK(blaze_lock_wait_lost(lock, 30000)); /* its lease ends */
	IS(BLAZE_E_NOT_OWNER, blaze_lock_held(lock));
	OK(blaze_close(lock));
	OK(blaze_map_delete(m, "k", 0, 30000));
	OK(blaze_set_master_weight(a, 3, 30000));
	char *json;
	OK(blaze_cluster_status(a, &json));
	TRUE(strstr(json, "\"Primary\":true"));
	OK(blaze_release(json));
	SOON(atomic_load(&masters) > 0 && atomic_load(&changes) >= 5);
	OK(blaze_close(a));
	IS(BLAZE_E_HANDLE, blaze_map_get(m, "t", &e));
	OK(blaze_close(c));
}

static void ring(void)
{
	blaze_config c = settings("block");
	OK(blaze_config_set(c, "Topics", "ring.>=totem,safe"));
	IS(BLAZE_E_CONFIG, blaze_config_set(c, "Topics", "ring.>"));
	OK(blaze_config_set(c, "Totem.Profile", "shared"));
	blaze_channel a;
	blaze_listener l;
	OK(blaze_open(c, BLAZE_CHANNEL, &a));
	OK(blaze_on_view(a, on_view, NULL, &l));
	OK(blaze_start(a));
	SOON(atomic_load(&views) > 0);
	OK(blaze_close(a));
	OK(blaze_close(c));
}

int main(void)
{
	struct { const char *name; void (*run)(void); } tests[] = {
		{"refusals", refusals}, {"messages", messages}, {"topics", topics}, {"losses", losses}, {"invoker", invoker},
		{"closed_by_callback", closed_by_callback}, {"groups", groups}, {"clusters", clusters}, {"ring", ring},
	};
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
		int64_t began = now_ms();
		tests[i].run();
		printf("ok %s (%d ms)\n", tests[i].name, (int)(now_ms() - began));
		fflush(stdout);
	}
	return 0;
}
