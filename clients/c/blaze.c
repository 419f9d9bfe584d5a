//go:build cgo

/* The functions of blaze.h. Each refuses what a forked process cannot do, calls its export in Go, and keeps the text of
 * a failure for blaze_error. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "_cgo_export.h"
#include "shell.h"

/* A thread's last failure. Of thread-local storage only a pointer is taken: a library that is loaded late finds little.
 */
struct failure {
	int code;
	uint64_t matches;
	char text[1024];
};

static __thread struct failure *last;
static pthread_key_t ending; /* frees last at the end of its thread */
static volatile int forked;

static void forget(void *memory) { free(memory); }
static void in_child(void) { forked = 1; }

__attribute__((constructor)) static void loaded(void)
{
	pthread_key_create(&ending, forget);
	pthread_atfork(NULL, NULL, in_child);
}

void blaze_go_failed(int code, uint64_t matches, const char *text, size_t length)
{
	if (last == NULL) {
		last = malloc(sizeof *last);
		if (last == NULL) return;
		pthread_setspecific(ending, last);
	}
	last->code = code;
	last->matches = matches;
	if (length >= sizeof last->text) { /* a character that was cut is left out */
		length = sizeof last->text - 1;
		while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) length--;
	}
	memcpy(last->text, text, length);
	last->text[length] = 0;
}

static int fail(int code, const char *text)
{
	blaze_go_failed(code, (uint64_t)1 << -code, text, strlen(text));
	return code;
}

/* Go returns a code whose text it has kept, 0, or a positive number: the code without a text of its own. */
static int done(int code)
{
	if (__builtin_expect(code > 0, 0)) return fail(-code, blaze_strerror(-code));
	return code;
}

static int null(const char *what)
{
	char text[128];
	snprintf(text, sizeof text, "blaze: bad argument: %s is NULL", what);
	return fail(BLAZE_E_ARGUMENT, text);
}

static int child(void)
{
	return fail(BLAZE_E_FORKED,
		"blaze: this process was forked after libblaze was loaded: Go's threads are not in the child. "
		"Load the library after fork, or call exec in the child");
}

#define CALL(x) do { if (__builtin_expect(forked, 0)) return child(); return done(x); } while (0)
#define NEED(p) do { if (__builtin_expect((p) == NULL, 0)) return null(#p); } while (0)

uint32_t blaze_abi_version(void) { return BLAZE_ABI_VERSION; }

const char *blaze_error(void) { return last ? last->text : ""; }

int blaze_error_is(int code) { return last && code <= 0 && code > -64 && (last->matches >> -code & 1); }

const char *blaze_strerror(int code)
{
	switch (code) {
	case BLAZE_OK: return "success";
	case BLAZE_E_STATE: return "not in this state";
	case BLAZE_E_CLOSED: return "closed";
	case BLAZE_E_BACK_PRESSURE: return "back-pressure: nothing was taken, try again later";
	case BLAZE_E_TOO_LARGE: return "too large";
	case BLAZE_E_NO_SUCH_MEMBER: return "no such member";
	case BLAZE_E_NO_CONSUMER: return "no consumer";
	case BLAZE_E_NO_REPLY: return "no reply";
	case BLAZE_E_EXISTS: return "exists already";
	case BLAZE_E_TOPIC: return "bad topic";
	case BLAZE_E_KIND: return "wrong kind";
	case BLAZE_E_NO_QUORUM: return "no quorum";
	case BLAZE_E_UNKNOWN_OUTCOME: return "outcome unknown: it may have happened";
	case BLAZE_E_LOCKED: return "locked";
	case BLAZE_E_NOT_OWNER: return "not the lock's owner";
	case BLAZE_E_VERSION: return "version has changed";
	case BLAZE_E_ARGUMENT: return "bad argument";
	case BLAZE_E_CONFIG: return "bad configuration";
	case BLAZE_E_UNSUPPORTED: return "not supported";
	case BLAZE_E_MALFORMED: return "malformed message";
	case BLAZE_E_HANDLE: return "bad handle: closed, 0, or of another kind";
	case BLAZE_E_TIMEOUT: return "timeout";
	case BLAZE_E_FORKED: return "this process was forked after the library was loaded";
	case BLAZE_E_NOT_FOUND: return "not found";
	case BLAZE_E_FAILED: return "failed";
	}
	return "unknown code";
}

int blaze_close(blaze_handle handle) { CALL(blazeClose(handle)); }
int blaze_release(const void *memory) { CALL(blazeRelease((void *)memory)); }

int blaze_id_text(const blaze_id *id, char text[36])
{
	NEED(id);
	NEED(text);
	const uint8_t *b = id->bytes;
	snprintf(text, 36, "%02x%02x%02x%02x-%02x%02x%02x%02x-%02x%02x%02x%02x-%02x%02x%02x%02x",
		b[0], b[1], b[2], b[3], b[4], b[5],
		b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	return BLAZE_OK;
}

int blaze_id_parse(const char *text, blaze_id *id) { NEED(text); NEED(id); CALL(blazeIDParse((char *)text, id)); }

int blaze_config_new(blaze_config *config) { NEED(config); CALL(blazeConfigNew(config)); }
int blaze_config_set(blaze_config config, const char *name, const char *value)
{
	NEED(name);
	NEED(value);
	CALL(blazeConfigSet(config, (char *)name, (char *)value));
}
int blaze_config_log(blaze_config config, int level, blaze_log_fn fn, void *arg)
{
	NEED(fn);
	CALL(blazeConfigLog(config, level, (uintptr_t)fn, (uintptr_t)arg));
}

int blaze_open(blaze_config config, int kind, blaze_channel *channel) { NEED(channel); CALL(blazeOpen(config, kind,
	channel)); }
int blaze_init(blaze_channel channel) { CALL(blazeInit(channel)); }
int blaze_start(blaze_channel channel) { CALL(blazeStart(channel)); }
int blaze_stop(blaze_channel channel) { CALL(blazeStop(channel)); }
int blaze_state(blaze_channel channel, int *state) { NEED(state); CALL(blazeState(channel, state)); }
int blaze_channel_id(blaze_channel channel, blaze_id *id) { NEED(id); CALL(blazeChannelID(channel, id)); }
int blaze_turn(blaze_channel channel, int *work)
{
	if (__builtin_expect(forked, 0)) return child();
	int n = blazeTurn(channel);
	if (__builtin_expect(n < 0, 0)) return n;
	if (work) *work = n;
	return BLAZE_OK;
}
int blaze_stats(blaze_channel channel, char **json) { NEED(json); CALL(blazeStats(channel, json)); }

int blaze_publisher_open(blaze_channel channel, const char *topic, blaze_publisher *publisher)
{
	NEED(topic);
	NEED(publisher);
	CALL(blazePublisher(channel, (char *)topic, publisher));
}
int blaze_offer(blaze_publisher publisher, const void *payload, size_t length) { CALL(blazeOffer(publisher,
	(void *)payload, length)); }
int blaze_claim_open(blaze_publisher publisher, size_t length, blaze_claim *claim, void **bytes)
{
	NEED(claim);
	NEED(bytes);
	CALL(blazeClaim(publisher, length, claim, (uintptr_t *)bytes));
}
int blaze_commit(blaze_claim claim) { CALL(blazeCommit(claim)); }
int blaze_abort(blaze_claim claim) { CALL(blazeAbort(claim)); }
int blaze_receivers(blaze_publisher publisher, size_t *receivers) { NEED(receivers); CALL(blazeReceivers(publisher,
	receivers)); }
int blaze_wait_receivers(blaze_publisher publisher, size_t receivers, int64_t timeout) {
	CALL(blazeWaitReceivers(publisher, receivers, timeout)); }
int blaze_broadcast(blaze_channel channel, const char *topic, blaze_message message, int64_t timeout)
{
	NEED(topic);
	CALL(blazeBroadcast(channel, (char *)topic, message, timeout));
}

int blaze_subscribe(blaze_channel channel, const char *pattern, uint32_t flags, blaze_message_fn on_message,
	blaze_loss_fn on_loss, void *arg, blaze_subscription *subscription)
{
	NEED(pattern);
	NEED(on_message);
	NEED(subscription);
	CALL(blazeSubscribe(channel, (char *)pattern, flags, (uintptr_t)on_message, (uintptr_t)on_loss, (uintptr_t)arg,
		subscription));
}
int blaze_subscribe_poll(blaze_channel channel, const char *pattern, blaze_subscription *subscription)
{
	NEED(pattern);
	NEED(subscription);
	CALL(blazeSubscribePoll(channel, (char *)pattern, subscription));
}
int blaze_poll(blaze_subscription subscription, blaze_event *events, size_t max, size_t *count, int64_t timeout)
{
	NEED(events);
	NEED(count);
	*count = 0;
	CALL(blazePoll(subscription, events, max, count, timeout));
}
int blaze_subscription_error(blaze_subscription subscription) { CALL(blazeSubscriptionError(subscription)); }

int blaze_on_stream(blaze_channel channel, blaze_stream_fn fn, void *arg, blaze_listener *listener)
{
	NEED(fn);
	NEED(listener);
	CALL(blazeOnStream(channel, (uintptr_t)fn, (uintptr_t)arg, listener));
}
int blaze_on_view(blaze_channel channel, blaze_view_fn fn, void *arg, blaze_listener *listener)
{
	NEED(fn);
	NEED(listener);
	CALL(blazeOnView(channel, (uintptr_t)fn, (uintptr_t)arg, listener));
}

int blaze_message_new(blaze_message *message) { NEED(message); CALL(blazeMessageNew(message)); }
int blaze_message_keep(blaze_message message) { CALL(blazeMessageKeep(message)); }
int blaze_message_set(blaze_message message, const char *key, const blaze_value *value)
{
	NEED(key);
	NEED(value);
	CALL(blazeMessageSet(message, (char *)key, (blaze_value *)value));
}
int blaze_message_get(blaze_message message, const char *key, blaze_value *value)
{
	NEED(key);
	NEED(value);
	CALL(blazeMessageGet(message, (char *)key, value));
}

/* Reads a value as one kind. */
static int as(blaze_message message, const char *key, uint32_t kind, blaze_value *value)
{
	NEED(key);
	CALL(blazeMessageRead(message, (char *)key, kind, value));
}
int blaze_message_int64(blaze_message message, const char *key, int64_t *value)
{
	NEED(value);
	blaze_value v;
	int rc = as(message, key, BLAZE_VALUE_INT64, &v);
	if (rc == BLAZE_OK) *value = v.integer;
	return rc;
}
int blaze_message_float64(blaze_message message, const char *key, double *value)
{
	NEED(value);
	blaze_value v;
	int rc = as(message, key, BLAZE_VALUE_FLOAT64, &v);
	if (rc == BLAZE_OK) *value = v.real;
	return rc;
}
int blaze_message_bool(blaze_message message, const char *key, int *value)
{
	NEED(value);
	blaze_value v;
	int rc = as(message, key, BLAZE_VALUE_BOOL, &v);
	if (rc == BLAZE_OK) *value = v.integer != 0;
	return rc;
}
int blaze_message_text(blaze_message message, const char *key, const char **text, size_t *length)
{
	NEED(text);
	blaze_value v;
	int rc = as(message, key, BLAZE_VALUE_TEXT, &v);
	if (rc == BLAZE_OK) *text = v.data;
	if (rc == BLAZE_OK && length) *length = v.length;
	return rc;
}
int blaze_message_bytes(blaze_message message, const char *key, const void **bytes, size_t *length)
{
	NEED(bytes);
	NEED(length);
	blaze_value v;
	int rc = as(message, key, BLAZE_VALUE_BYTES, &v);
	if (rc == BLAZE_OK) {
		*bytes = v.data;
		*length = v.length;
	}
	return rc;
}
int blaze_message_delete(blaze_message message, const char *key) { NEED(key); CALL(blazeMessageDelete(message,
	(char *)key)); }
int blaze_message_count(blaze_message message, size_t *entries) { NEED(entries); CALL(blazeMessageCount(message,
	entries)); }
int blaze_message_at(blaze_message message, size_t i, const char **key, blaze_value *value)
{
	NEED(key);
	NEED(value);
	CALL(blazeMessageAt(message, i, (char **)key, value));
}
int blaze_message_set_body(blaze_message message, const blaze_value *value) { NEED(value);
	CALL(blazeMessageSetBody(message, (blaze_value *)value)); }
int blaze_message_body(blaze_message message, blaze_value *value) { NEED(value); CALL(blazeMessageBody(message, value));
	}
int blaze_message_encode(blaze_message message, void **bytes, size_t *length)
{
	NEED(bytes);
	NEED(length);
	CALL(blazeMessageEncode(message, bytes, length));
}
int blaze_message_decode(const void *bytes, size_t length, blaze_message *message)
{
	NEED(message);
	CALL(blazeMessageDecode((void *)bytes, length, BLAZE_KIND_MESSAGE, message));
}
int blaze_delivery_message(const blaze_delivery *delivery, blaze_message *message)
{
	NEED(delivery);
	NEED(message);
	CALL(blazeMessageDecode((void *)delivery->payload, delivery->length, delivery->kind, message));
}
int blaze_message_about(blaze_message message, blaze_message_info *info) { NEED(info); CALL(blazeMessageAbout(message,
	info)); }

int blaze_join(blaze_channel channel, const char *group) { NEED(group); CALL(blazeJoin(channel, (char *)group)); }
int blaze_leave(blaze_channel channel, const char *group) { NEED(group); CALL(blazeLeave(channel, (char *)group)); }
int blaze_local(blaze_channel channel, blaze_member **member) { NEED(member); CALL(blazeLocal(channel, member)); }
int blaze_members(blaze_channel channel, const char *group, blaze_member **members, size_t *count)
{
	NEED(members);
	NEED(count);
	CALL(blazeMembers(channel, (char *)group, members, count));
}
int blaze_member_by_id(blaze_channel channel, const blaze_id *id, blaze_member **member)
{
	NEED(id);
	NEED(member);
	CALL(blazeMemberByID(channel, (blaze_id *)id, member));
}
int blaze_member_named(blaze_channel channel, const char *name, blaze_member **member)
{
	NEED(name);
	NEED(member);
	CALL(blazeMemberNamed(channel, (char *)name, member));
}
int blaze_wait_members(blaze_channel channel, size_t members, int64_t timeout) { CALL(blazeWaitMembers(channel, members,
	timeout)); }
int blaze_on_member(blaze_channel channel, blaze_member_fn fn, void *arg, blaze_listener *listener)
{
	NEED(fn);
	NEED(listener);
	CALL(blazeOnMember(channel, (uintptr_t)fn, (uintptr_t)arg, listener));
}
int blaze_send(blaze_channel channel, const blaze_id *to, const char *inbox, blaze_message message, int64_t timeout)
{
	NEED(to);
	CALL(blazeSend(channel, (blaze_id *)to, (char *)inbox, message, timeout));
}
int blaze_send_group(blaze_channel channel, const char *group, blaze_message message, int64_t timeout)
{
	NEED(group);
	CALL(blazeSendGroup(channel, (char *)group, message, timeout));
}
int blaze_request(blaze_channel channel, const blaze_id *to, blaze_message request, blaze_message *reply,
	int64_t timeout)
{
	NEED(to);
	NEED(reply);
	CALL(blazeRequest(channel, (blaze_id *)to, request, reply, timeout));
}
int blaze_reply(blaze_channel channel, blaze_message request, blaze_message reply, int64_t timeout)
{
	CALL(blazeReply(channel, request, reply, timeout));
}
int blaze_enqueue(blaze_channel channel, const char *queue, blaze_message message, int64_t timeout)
{
	NEED(queue);
	CALL(blazeEnqueue(channel, (char *)queue, message, timeout));
}
int blaze_request_queue(blaze_channel channel, const char *queue, blaze_message request, blaze_message *reply,
	int64_t timeout)
{
	NEED(queue);
	NEED(reply);
	CALL(blazeRequestQueue(channel, (char *)queue, request, reply, timeout));
}
int blaze_queues(blaze_channel channel, char **json) { NEED(json); CALL(blazeQueues(channel, json)); }
int blaze_handle_inbox(blaze_channel channel, const char *inbox, blaze_mail_fn fn, void *arg,
	blaze_subscription *subscription)
{
	NEED(fn);
	NEED(subscription);
	CALL(blazeHandleInbox(channel, (char *)inbox, (uintptr_t)fn, (uintptr_t)arg, subscription));
}
int blaze_consume(blaze_channel channel, const char *queue, uint32_t flags, blaze_work_fn fn, void *arg,
	blaze_subscription *subscription)
{
	NEED(queue);
	NEED(fn);
	NEED(subscription);
	CALL(blazeConsume(channel, (char *)queue, flags, (uintptr_t)fn, (uintptr_t)arg, subscription));
}
int blaze_handle_calls(blaze_channel channel, const char *inbox, uint32_t flags, blaze_call_fn fn, void *arg,
	blaze_subscription *subscription)
{
	NEED(fn);
	NEED(subscription);
	CALL(blazeHandleCalls(channel, (char *)inbox, flags, (uintptr_t)fn, (uintptr_t)arg, subscription));
}
int blaze_call_reply(blaze_call call, const void *payload, size_t length) { CALL(blazeCallReply(call, (void *)payload,
	length)); }
int blaze_request_payload(blaze_channel channel, const blaze_id *to, const char *inbox, const void *payload,
	size_t payload_length,
	void *reply, size_t capacity, size_t *length, int64_t timeout)
{
	NEED(to);
	NEED(length);
	CALL(blazeRequestPayload(channel, (blaze_id *)to, (char *)inbox, (void *)payload, payload_length, reply, capacity,
		length, timeout));
}

int blaze_map_open(blaze_channel channel, const char *name, blaze_map *map) { NEED(name); NEED(map);
	CALL(blazeMap(channel, (char *)name, map)); }
int blaze_map_put(blaze_map map, const char *key, const void *value, size_t length, const blaze_put *options,
	int64_t timeout, uint64_t *version)
{
	NEED(key);
	CALL(blazeMapPut(map, (char *)key, (void *)value, length, 0, 0, (blaze_put *)options, timeout, version));
}
int blaze_map_cas(blaze_map map, const char *key, const void *value, size_t length, uint64_t expected,
	const blaze_put *options, int64_t timeout, uint64_t *version)
{
	NEED(key);
	CALL(blazeMapPut(map, (char *)key, (void *)value, length, 1, expected, (blaze_put *)options, timeout, version));
}
int blaze_map_delete(blaze_map map, const char *key, blaze_lock holding, int64_t timeout) { NEED(key);
	CALL(blazeMapDelete(map, (char *)key, holding, timeout)); }
int blaze_map_get(blaze_map map, const char *key, blaze_entry **entry) { NEED(key); NEED(entry); CALL(blazeMapGet(map,
	(char *)key, 0, 0, entry)); }
int blaze_map_get_linear(blaze_map map, const char *key, int64_t timeout, blaze_entry **entry)
{
	NEED(key);
	NEED(entry);
	CALL(blazeMapGet(map, (char *)key, 1, timeout, entry));
}
int blaze_map_count(blaze_map map, size_t *entries) { NEED(entries); CALL(blazeMapCount(map, entries)); }
int blaze_map_all(blaze_map map, blaze_entry **entries, size_t *count) { NEED(entries); NEED(count);
	CALL(blazeMapAll(map, entries, count)); }
int blaze_map_watch(blaze_map map, const char *prefix, blaze_map_fn fn, void *arg, blaze_listener *listener)
{
	NEED(fn);
	NEED(listener);
	CALL(blazeMapWatch(map, (char *)prefix, (uintptr_t)fn, (uintptr_t)arg, listener));
}
int blaze_map_lock(blaze_map map, const char *key, int64_t lease, uint32_t flags, int64_t timeout, blaze_lock *lock)
{
	NEED(key);
	NEED(lock);
	CALL(blazeMapLock(map, (char *)key, 0, lease, flags, timeout, lock));
}
int blaze_map_trylock(blaze_map map, const char *key, int64_t lease, uint32_t flags, int64_t timeout, blaze_lock *lock)
{
	NEED(key);
	NEED(lock);
	CALL(blazeMapLock(map, (char *)key, 1, lease, flags, timeout, lock));
}
int blaze_lock_token(blaze_lock lock, uint64_t *token) { NEED(token); CALL(blazeLockToken(lock, token)); }
int blaze_lock_held(blaze_lock lock) { CALL(blazeLockHeld(lock)); }
int blaze_lock_wait_lost(blaze_lock lock, int64_t timeout) { CALL(blazeLockWaitLost(lock, timeout)); }
int blaze_lock_extend(blaze_lock lock, int64_t lease, int64_t timeout) { CALL(blazeLockExtend(lock, lease, timeout)); }
int blaze_unlock(blaze_lock lock, int64_t timeout) { CALL(blazeUnlock(lock, timeout)); }

int blaze_wait_ready(blaze_channel channel, int64_t timeout) { CALL(blazeWaitReady(channel, timeout)); }
int blaze_primary(blaze_channel channel, int *primary) { NEED(primary); CALL(blazePrimary(channel, primary)); }
int blaze_is_master(blaze_channel channel, int *master) { NEED(master); CALL(blazeIsMaster(channel, master)); }
int blaze_master(blaze_channel channel, blaze_member **member) { NEED(member); CALL(blazeMaster(channel, member)); }
int blaze_on_master(blaze_channel channel, blaze_master_fn fn, void *arg, blaze_listener *listener)
{
	NEED(fn);
	NEED(listener);
	CALL(blazeOnMaster(channel, (uintptr_t)fn, (uintptr_t)arg, listener));
}
int blaze_set_master_weight(blaze_channel channel, int64_t weight, int64_t timeout) { CALL(blazeSetMasterWeight(channel,
	weight, timeout)); }
int blaze_force(blaze_channel channel, int64_t timeout) { CALL(blazeForce(channel, timeout)); }
int blaze_cluster_status(blaze_channel channel, char **json) { NEED(json); CALL(blazeClusterStatus(channel, json)); }

/* Calls of the application's functions. An id comes as the two halves of its bytes. */

static blaze_id id_of(uint64_t high, uint64_t low)
{
	blaze_id id;
	memcpy(id.bytes, &high, 8);
	memcpy(id.bytes + 8, &low, 8);
	return id;
}

void blaze_go_log(uintptr_t fn, uintptr_t arg, int level, const char *line) { ((blaze_log_fn)fn)((void *)arg, level,
	line); }

void blaze_go_message(uintptr_t fn, uintptr_t arg, const unsigned char *payload, size_t length, const char *topic,
	size_t topic_length,
	uint64_t high, uint64_t low, uint64_t sequence, int64_t received, uint32_t kind)
{
	blaze_delivery d = {
		payload ? (const void *)payload : "", length, topic, topic_length, id_of(high, low), sequence, received, kind, 0};
	((blaze_message_fn)fn)((void *)arg, &d);
}

void blaze_go_loss(uintptr_t fn, uintptr_t arg, uint64_t high, uint64_t low, uint64_t first, uint64_t last_number,
	uint32_t stream,
	uint32_t reason)
{
	blaze_loss l = {id_of(high, low), first, last_number, stream, reason};
	((blaze_loss_fn)fn)((void *)arg, &l);
}

void blaze_go_stream(uintptr_t fn, uintptr_t arg, uint32_t what, uint32_t stream, uint64_t high, uint64_t low,
	const char *address,
	const char *protocol)
{
	blaze_stream_event e = {what, stream, id_of(high, low), address, protocol};
	((blaze_stream_fn)fn)((void *)arg, &e);
}

void blaze_go_view(uintptr_t fn, uintptr_t arg, uint32_t kind, uint64_t sequence, uint64_t high, uint64_t low,
	const blaze_id *members, size_t member_count, const blaze_id *together, size_t together_count)
{
	blaze_view v = {kind, 0, sequence, id_of(high, low), members, member_count, together, together_count};
	((blaze_view_fn)fn)((void *)arg, &v);
}

void blaze_go_member(uintptr_t fn, uintptr_t arg, uint32_t what, const blaze_member *member, const char *group)
{
	blaze_member_event e = {what, 0, member, group};
	((blaze_member_fn)fn)((void *)arg, &e);
}

void blaze_go_master(uintptr_t fn, uintptr_t arg, const blaze_member *member) { ((blaze_master_fn)fn)((void *)arg,
	member); }

void blaze_go_mail(uintptr_t fn, uintptr_t arg, blaze_message message) { ((blaze_mail_fn)fn)((void *)arg, message); }

int blaze_go_work(uintptr_t fn, uintptr_t arg, blaze_message message) { return ((blaze_work_fn)fn)((void *)arg,
	message); }

void blaze_go_call(uintptr_t fn, uintptr_t arg, blaze_call call, const void *payload, size_t length, uint64_t high,
	uint64_t low,
	int64_t received, uint32_t kind, uint32_t wanted)
{
	blaze_call_data d = {call, payload ? (const void *)payload : "", length, id_of(high, low), received, kind, wanted};
	((blaze_call_fn)fn)((void *)arg, &d);
}

void blaze_go_map(uintptr_t fn, uintptr_t arg, uint32_t what, const blaze_entry *entries, const char *key,
	size_t key_length,
	uint64_t high, uint64_t low)
{
	blaze_map_event e = {what, 0, key, key_length, &entries[0], &entries[1], id_of(high, low)};
	((blaze_map_fn)fn)((void *)arg, &e);
}
