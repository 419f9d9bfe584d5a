/*
 * Blaze for C: members of a channel in programs that are written in C, C++, Rust, Java, .NET, Python …
 *
 * This file is the contract. What is declared here keeps its name, its arguments and its meaning; more is added with
 * new names. docs/c.md has the rest: how to build and link, what a Go runtime in the process means, how calls map to
 * docs/api.md.
 *
 * Handles. A handle is a number that the library gave out, and never a pointer. 0 is none. Handles may be used by any
 * thread. One that was closed, or that names something of another kind, is BLAZE_E_HANDLE and never a crash.
 * blaze_close closes every kind. Closing a channel closes all that was made from it.
 *
 * Codes. Every call returns BLAZE_OK (0) or a negative code, but for those that return a text or a number by
 * themselves. blaze_error returns the text of the calling thread's last failure, with what was refused and the remedy.
 *
 * Memory. Payloads and texts that a callback is given are lent until it returns. What blaze_poll returns is lent until
 * the next blaze_poll of that subscription. What a function returns through a pointer to a pointer belongs to the
 * caller, who gives it back by blaze_release. What is passed in is copied before the call returns.
 *
 * Times are in milliseconds where an argument is called timeout: how long the call may wait. 0 does not wait,
 * BLAZE_FOREVER waits without an end. blaze_stop and blaze_close of the channel end every wait (BLAZE_E_CLOSED).
 *
 * Texts are UTF-8 and end with a NUL byte. Where a length stands beside a text, it does not count the NUL.
 *
 * Threads. All functions may be called by any thread at the same time. With the setting Invoker call blaze_turn,
 * blaze_offer, blaze_claim_open, blaze_commit and blaze_subscribe from one at a time. A callback may call anything;
 * one with BLAZE_INLINE runs on the engine's thread and must not block. Callbacks must return: no longjmp and no C++
 * exception may leave them.
 */
#ifndef BLAZE_H
#define BLAZE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define BLAZE_API __attribute__((visibility("default")))
#else
#define BLAZE_API
#endif

/* The version of this contract. It grows with every addition; blaze_abi_version returns the library's. A program works
 * with a library whose version is this one or higher. */
#define BLAZE_ABI_VERSION 1
BLAZE_API uint32_t blaze_abi_version(void);

/* Codes. They are the sentinels of docs/api.md, and six more. */
enum {
	BLAZE_OK = 0,
	BLAZE_E_STATE = -1,           /* the channel's state forbids the call */
	BLAZE_E_CLOSED = -2,          /* it was closed, or the channel stopped while the call waited */
	BLAZE_E_BACK_PRESSURE = -3,   /* the window is full: nothing was taken, the same call succeeds later */
	BLAZE_E_TOO_LARGE = -4,       /* above MaxMessageSize, or another limit */
	BLAZE_E_NO_SUCH_MEMBER = -5,  /* no member with this id is there (any more) */
	BLAZE_E_NO_CONSUMER = -6,     /* nobody handles this in-box, or consumes from this queue */
	BLAZE_E_NO_REPLY = -7,        /* the handler returned without a reply; nobody waits for this one */
	BLAZE_E_EXISTS = -8,          /* there can be one only */
	BLAZE_E_TOPIC = -9,           /* a topic, pattern or name that is none */
	BLAZE_E_KIND = -10,           /* a value of another kind */
	BLAZE_E_NO_QUORUM = -11,      /* not in the primary component: it did not happen */
	BLAZE_E_UNKNOWN_OUTCOME = -12,/* it may have happened */
	BLAZE_E_LOCKED = -13,         /* somebody else holds the key's lock */
	BLAZE_E_NOT_OWNER = -14,      /* the lock is not held (any more), or is not this key's */
	BLAZE_E_VERSION = -15,        /* the entry's version is not the expected one */
	BLAZE_E_ARGUMENT = -16,       /* an argument is missing (NULL) or out of its range */
	BLAZE_E_CONFIG = -17,         /* a setting or URI that is not valid: the text names it, and what is allowed */
	BLAZE_E_UNSUPPORTED = -18,    /* this host or build cannot: the text names what is missing */
	BLAZE_E_MALFORMED = -19,      /* bytes that are no Message, or a Message without an encoding */
	BLAZE_E_HANDLE = -20,         /* no handle, a closed one, or one of another kind */
	BLAZE_E_TIMEOUT = -21,        /* the timeout ended the wait */
	BLAZE_E_FORKED = -22,         /* this process was forked after the library was loaded: see docs/c.md */
	BLAZE_E_NOT_FOUND = -23,      /* there is no such key, member or master */
	BLAZE_E_FAILED = -24          /* anything else, such as an error of the operating system: the text has it */
};

/* The meaning of a code in a few words; never NULL. */
BLAZE_API const char *blaze_strerror(int code);
/* The text of the last failure of a call on this thread, with the remedy; "" if there was none. It stays until this
 * thread's next failure. */
BLAZE_API const char *blaze_error(void);
/* 1 if that failure matches the code too: of a failure that is several at a time, such as a member that is gone and may
 * have the message, a call returns BLAZE_E_UNKNOWN_OUTCOME where that is one of them, else the first. */
BLAZE_API int blaze_error_is(int code);

#define BLAZE_FOREVER ((int64_t)-1)

/* Handles. */
typedef uint64_t blaze_handle;       /* of any kind */
typedef uint64_t blaze_config;       /* settings */
typedef uint64_t blaze_channel;      /* a member */
typedef uint64_t blaze_publisher;    /* sends on one topic */
typedef uint64_t blaze_claim;        /* room for one message */
typedef uint64_t blaze_subscription; /* of a topic, an in-box or a queue */
typedef uint64_t blaze_listener;     /* of streams, views, members, masters, a map */
typedef uint64_t blaze_message;      /* keys with typed values, and a body */
typedef uint64_t blaze_call;         /* a request that a handler of calls is given */
typedef uint64_t blaze_map;          /* a replicated map */
typedef uint64_t blaze_lock;         /* a lock that was granted */

/* Closes what the handle names. A channel leaves (at most the setting Linger), and all that was made from it is closed;
 * a publisher's accepted messages are still sent; a claim is given up; a lock is released. When it returns, callbacks
 * of the handle do not run and will not run again, unless one of them calls it. */
BLAZE_API int blaze_close(blaze_handle handle);
/* Gives back memory that a function returned through a pointer to a pointer. NULL does nothing. */
BLAZE_API int blaze_release(const void *memory);

/* The name of one start of a channel: 16 random bytes. */
typedef struct blaze_id {
	uint8_t bytes[16];
} blaze_id;
/* Writes "3f2a91c4-00d1b7e8-5a6c0f12-9be4d370", and a NUL. */
BLAZE_API int blaze_id_text(const blaze_id *id, char text[36]);
BLAZE_API int blaze_id_parse(const char *text, blaze_id *id);

/* --- settings --------------------------------------------------------------------------------------------------------
 * blaze_config_set sets one field of Config (docs/api.md) by its name: "BroadcastURI", "Idle", "FEC.SourceSymbols" …
 * Values are texts as Go writes them: "20ms", "true", "65536", "busyspin". Topics adds one entry for each call:
 * "orders.>=totem,safe". EngineCPUs takes "2,3". Case does not matter in names. What is wrong with a value by itself is
 * reported at once, the rest by blaze_open. "test.loss" (0 to 1) and "test.seed" are for tests: datagrams that arrive
 * are lost on purpose. */
BLAZE_API int blaze_config_new(blaze_config *config);
BLAZE_API int blaze_config_set(blaze_config config, const char *name, const char *value);
/* The few lines that a channel writes to its log, of this level and above, go to fn instead of stderr. fn may be called
 * by any thread, and must not block. */
enum { BLAZE_LOG_DEBUG = -4, BLAZE_LOG_INFO = 0, BLAZE_LOG_WARN = 4, BLAZE_LOG_ERROR = 8 };
typedef void (*blaze_log_fn)(void *arg, int level, const char *line);
BLAZE_API int blaze_config_log(blaze_config config, int level, blaze_log_fn fn, void *arg);

/* --- channels ----------------------------------------------------------------------------------------------------- */

/* Kinds of channels, each with all that the one before has. */
enum { BLAZE_CHANNEL = 1, BLAZE_GROUP = 2, BLAZE_CLUSTER = 3 };
enum { BLAZE_CONSTRUCTED = 0, BLAZE_INITIALIZED = 1, BLAZE_STARTED = 2, BLAZE_STOPPED = 3 };

/* Makes a channel, in state constructed. The settings are validated and copied; config 0 means the defaults. */
BLAZE_API int blaze_open(blaze_config config, int kind, blaze_channel *channel);
/* Opens the sockets and takes the memory; nothing is sent. blaze_start does it too. */
BLAZE_API int blaze_init(blaze_channel channel);
/* Makes the channel a member, with a new id. */
BLAZE_API int blaze_start(blaze_channel channel);
/* Waits, at most Linger, until what was accepted is sent and received, and leaves. The channel can start again.
 * Subscriptions stay. What was not received is in the error's text. */
BLAZE_API int blaze_stop(blaze_channel channel);
BLAZE_API int blaze_state(blaze_channel channel, int *state);
BLAZE_API int blaze_channel_id(blaze_channel channel, blaze_id *id);
/* With Invoker: one turn of the engine on the calling thread. work (may be NULL) is how much there was to do. */
BLAZE_API int blaze_turn(blaze_channel channel, int *work);
/* Every counter as a JSON object, with the names of docs/reference/counters.md. */
BLAZE_API int blaze_stats(blaze_channel channel, char **json);

/* --- publish ------------------------------------------------------------------------------------------------------ */

BLAZE_API int blaze_publisher_open(blaze_channel channel, const char *topic, blaze_publisher *publisher);
/* Hands a payload over for sending and never blocks: BLAZE_E_BACK_PRESSURE when the window is full. */
BLAZE_API int blaze_offer(blaze_publisher publisher, const void *payload, size_t length);
/* Takes room for a payload. The caller fills bytes, and then calls blaze_commit or blaze_abort, soon. With Invoker the
 * bytes lie in the datagram itself, and one claim at a time may be open on a stream. The bytes are the caller's until
 * blaze_commit, blaze_abort, blaze_stop or the channel's end. */
BLAZE_API int blaze_claim_open(blaze_publisher publisher, size_t length, blaze_claim *claim, void **bytes);
BLAZE_API int blaze_commit(blaze_claim claim);
BLAZE_API int blaze_abort(blaze_claim claim);
/* The members that have reported that they receive the publisher's stream. */
BLAZE_API int blaze_receivers(blaze_publisher publisher, size_t *receivers);
BLAZE_API int blaze_wait_receivers(blaze_publisher publisher, size_t receivers, int64_t timeout);
/* Sends a Message to all that subscribe to the topic. It waits under back pressure. */
BLAZE_API int blaze_broadcast(blaze_channel channel, const char *topic, blaze_message message, int64_t timeout);

/* --- subscribe ---------------------------------------------------------------------------------------------------- */

/* What a payload is: as given to blaze_offer, or an encoded Message. */
enum { BLAZE_KIND_RAW = 0, BLAZE_KIND_MESSAGE = 1 };

typedef struct blaze_delivery {
	const void *payload; /* lent; never NULL */
	size_t length;
	const char *topic;
	size_t topic_length;
	blaze_id from;     /* the member that sent it */
	uint64_t sequence; /* its number in its stream, from 1 */
	int64_t received;  /* CLOCK_MONOTONIC, ns: when its last datagram was taken from the network */
	uint32_t kind;     /* BLAZE_KIND_… */
	uint32_t reserved;
} blaze_delivery;

/* Messages first to last (inclusive) of one stream will never come. */
enum {
	BLAZE_LOSS_UNREPAIRED = 1, BLAZE_LOSS_SENDER_GONE, BLAZE_LOSS_RETENTION, BLAZE_LOSS_RESET, BLAZE_LOSS_SLOW_CONSUMER,
	BLAZE_LOSS_MALFORMED, BLAZE_LOSS_REFUSED, BLAZE_LOSS_TIMEOUT
};
typedef struct blaze_loss {
	blaze_id from;
	uint64_t first, last; /* message numbers, inclusive; both 0 with BLAZE_LOSS_REFUSED */
	uint32_t stream;      /* protocol and lane: tells apart the streams of one sender */
	uint32_t reason;      /* BLAZE_LOSS_… */
} blaze_loss;

/* In blaze_subscribe and blaze_handle_calls: the callback runs on the engine's thread, which is the thread of
 * blaze_turn with Invoker. No copy, no queue, and it must not block. */
#define BLAZE_INLINE 1u

typedef void (*blaze_message_fn)(void *arg, const blaze_delivery *delivery);
typedef void (*blaze_loss_fn)(void *arg, const blaze_loss *loss);

/* Has on_message called with every message of the topics that match, in order, one call at a time. The pattern may hold
 * the wildcards * (one element) and > (the rest). on_loss may be NULL: losses are not reported then. It works in every
 * state of the channel. */
BLAZE_API int blaze_subscribe(blaze_channel channel, const char *pattern, uint32_t flags, blaze_message_fn on_message,
	blaze_loss_fn on_loss, void *arg, blaze_subscription *subscription);

/* The same without callbacks, for blaze_poll. */
BLAZE_API int blaze_subscribe_poll(blaze_channel channel, const char *pattern, blaze_subscription *subscription);

enum { BLAZE_EVENT_MESSAGE = 1, BLAZE_EVENT_LOSS = 2 };
typedef struct blaze_event {
	uint32_t what; /* BLAZE_EVENT_…: which of the two below is filled */
	uint32_t reserved;
	blaze_delivery message;
	blaze_loss loss;
} blaze_event;

/* Fills events with what has come, messages and losses in their order, at most max of them, and waits for the first
 * one. Payloads are lent until the next blaze_poll of this subscription: one thread polls a subscription at a time.
 * BLAZE_E_TIMEOUT: nothing came. BLAZE_E_CLOSED: the subscription has ended (SlowConsumer disconnect). Whoever polls
 * too rarely is a slow consumer. */
BLAZE_API int blaze_poll(blaze_subscription subscription, blaze_event *events, size_t max, size_t *count,
	int64_t timeout);
/* BLAZE_OK while the subscription lives; else the error with which it ended. */
BLAZE_API int blaze_subscription_error(blaze_subscription subscription);

/* --- streams and views -------------------------------------------------------------------------------------------- */

enum {
	BLAZE_STREAM_STARTED = 1, BLAZE_STREAM_SILENT, BLAZE_STREAM_RESUMED, BLAZE_STREAM_LEFT, BLAZE_STREAM_REFUSED,
	BLAZE_RECEIVER_JOINED, BLAZE_RECEIVER_LEFT, BLAZE_RECEIVER_EVICTED
};
typedef struct blaze_stream_event {
	uint32_t what; /* BLAZE_STREAM_…, BLAZE_RECEIVER_… */
	uint32_t stream;
	blaze_id from;
	const char *address;  /* "10.0.0.1:45122" */
	const char *protocol; /* "nack" */
} blaze_stream_event;
typedef void (*blaze_stream_fn)(void *arg, const blaze_stream_event *event);
/* Calls fn on the engine's thread: first with what is there, then with what changes. It must not block. */
BLAZE_API int blaze_on_stream(blaze_channel channel, blaze_stream_fn fn, void *arg, blaze_listener *listener);

enum { BLAZE_VIEW_TRANSITIONAL = 1, BLAZE_VIEW_REGULAR = 2 };
typedef struct blaze_view {
	uint32_t kind; /* BLAZE_VIEW_… */
	uint32_t reserved;
	uint64_t sequence; /* with representative: the view's id */
	blaze_id representative;
	const blaze_id *members;
	size_t member_count;
	const blaze_id *together; /* those of members that came here with this member */
	size_t together_count;
} blaze_view;
typedef void (*blaze_view_fn)(void *arg, const blaze_view *view);
/* Totem: calls fn on the engine's thread with each configuration of the ring, in its place among the messages. */
BLAZE_API int blaze_on_view(blaze_channel channel, blaze_view_fn fn, void *arg, blaze_listener *listener);

/* --- Message ---------------------------------------------------------------------------------------------------------
 * Keys with typed values, and a body. A message is closed with blaze_close. One that a callback is given is closed when
 * the callback returns, unless it calls blaze_message_keep. */

enum {
	BLAZE_VALUE_NONE = 0, BLAZE_VALUE_BYTE, BLAZE_VALUE_BYTES, BLAZE_VALUE_CHAR, BLAZE_VALUE_BOOL, BLAZE_VALUE_INT16,
	BLAZE_VALUE_INT32, BLAZE_VALUE_INT64, BLAZE_VALUE_FLOAT32, BLAZE_VALUE_FLOAT64, BLAZE_VALUE_TEXT, BLAZE_VALUE_MAP
};
typedef struct blaze_value {
	uint32_t kind; /* BLAZE_VALUE_… */
	uint32_t reserved;
	int64_t integer;   /* byte, char (a code point), bool (0 or 1), int16, int32, int64 */
	double real;       /* float32, float64 */
	const void *data;  /* bytes, text */
	size_t length;     /* of data */
	blaze_message inner; /* of a map: a message inside the message */
} blaze_value;

BLAZE_API int blaze_message_new(blaze_message *message);
BLAZE_API int blaze_message_keep(blaze_message message);
/* Gives key a value. A map's message is copied. An integer beyond its kind is BLAZE_E_ARGUMENT. */
BLAZE_API int blaze_message_set(blaze_message message, const char *key, const blaze_value *value);
/* BLAZE_E_NOT_FOUND: there is no such key. data is lent until the message is changed or closed; so is a map's handle,
 * through which the message is read and changed. */
BLAZE_API int blaze_message_get(blaze_message message, const char *key, blaze_value *value);
/* As blaze_message_get, for one kind. They widen without loss, as int16 to int64; else BLAZE_E_KIND. */
BLAZE_API int blaze_message_int64(blaze_message message, const char *key, int64_t *value);
BLAZE_API int blaze_message_float64(blaze_message message, const char *key, double *value);
BLAZE_API int blaze_message_bool(blaze_message message, const char *key, int *value);
BLAZE_API int blaze_message_text(blaze_message message, const char *key, const char **text, size_t *length);
BLAZE_API int blaze_message_bytes(blaze_message message, const char *key, const void **bytes, size_t *length);
BLAZE_API int blaze_message_delete(blaze_message message, const char *key);
BLAZE_API int blaze_message_count(blaze_message message, size_t *entries);
/* Entry i in the order of keys, from 0. The key is lent as data is. */
BLAZE_API int blaze_message_at(blaze_message message, size_t i, const char **key, blaze_value *value);
/* The body: none, bytes or text. A body of another program's that is a protobuf message is BLAZE_E_UNSUPPORTED. */
BLAZE_API int blaze_message_set_body(blaze_message message, const blaze_value *value);
BLAZE_API int blaze_message_body(blaze_message message, blaze_value *value);
/* The encoding, for blaze_map_put and the like: blaze_release gives it back. */
BLAZE_API int blaze_message_encode(blaze_message message, void **bytes, size_t *length);
BLAZE_API int blaze_message_decode(const void *bytes, size_t length, blaze_message *message);
/* The Message that a delivery carries; a raw payload becomes one with a body of bytes. */
BLAZE_API int blaze_delivery_message(const blaze_delivery *delivery, blaze_message *message);

typedef struct blaze_message_info {
	const char *topic; /* topic, in-box or queue; lent as data is */
	blaze_id from;
	uint64_t sequence;
	uint32_t redelivered; /* a queue handed it to another consumer before */
	uint32_t wanted;      /* it is a request: its sender waits for blaze_reply */
} blaze_message_info;
/* Where a received message came from; all zero, and topic "", of one that was made here. */
BLAZE_API int blaze_message_about(blaze_message message, blaze_message_info *info);

/* --- groups (BLAZE_GROUP, BLAZE_CLUSTER) -------------------------------------------------------------------------- */

typedef struct blaze_member {
	blaze_id id;
	uint32_t incarnation;
	uint32_t reserved;
	int64_t started; /* ns since 1970 */
	const char *name;
	const char *address;
	const char *const *groups;
	size_t group_count;
} blaze_member;

BLAZE_API int blaze_join(blaze_channel channel, const char *group);
BLAZE_API int blaze_leave(blaze_channel channel, const char *group);
BLAZE_API int blaze_local(blaze_channel channel, blaze_member **member);
/* All members of a group, or of the cluster if group is NULL, ordered by id: an array, given back by one blaze_release.
 */
BLAZE_API int blaze_members(blaze_channel channel, const char *group, blaze_member **members, size_t *count);
BLAZE_API int blaze_member_by_id(blaze_channel channel, const blaze_id *id, blaze_member **member);
/* The longest-serving member with this name. */
BLAZE_API int blaze_member_named(blaze_channel channel, const char *name, blaze_member **member);
BLAZE_API int blaze_wait_members(blaze_channel channel, size_t members, int64_t timeout);

enum {
	BLAZE_MEMBER_STARTED = 1, BLAZE_MEMBER_STOPPED, BLAZE_MEMBER_FAILED, BLAZE_MEMBER_JOINED_GROUP,
		BLAZE_MEMBER_LEFT_GROUP
};
typedef struct blaze_member_event {
	uint32_t what; /* BLAZE_MEMBER_… */
	uint32_t reserved;
	const blaze_member *member;
	const char *group; /* of JOINED_GROUP and LEFT_GROUP; else "" */
} blaze_member_event;
typedef void (*blaze_member_fn)(void *arg, const blaze_member_event *event);
BLAZE_API int blaze_on_member(blaze_channel channel, blaze_member_fn fn, void *arg, blaze_listener *listener);

/* Messages to one member: BLAZE_OK once that member has it. inbox NULL or "" is the default in-box. */
BLAZE_API int blaze_send(blaze_channel channel, const blaze_id *to, const char *inbox, blaze_message message,
	int64_t timeout);
BLAZE_API int blaze_send_group(blaze_channel channel, const char *group, blaze_message message, int64_t timeout);
BLAZE_API int blaze_request(blaze_channel channel, const blaze_id *to, blaze_message request, blaze_message *reply,
	int64_t timeout);
BLAZE_API int blaze_reply(blaze_channel channel, blaze_message request, blaze_message reply, int64_t timeout);
/* Queues: one consumer gets it; BLAZE_OK once its callback has returned 0. */
BLAZE_API int blaze_enqueue(blaze_channel channel, const char *queue, blaze_message message, int64_t timeout);
BLAZE_API int blaze_request_queue(blaze_channel channel, const char *queue, blaze_message request, blaze_message *reply,
	int64_t timeout);
/* The names of the queues that members consume from, as a JSON array. */
BLAZE_API int blaze_queues(blaze_channel channel, char **json);

typedef void (*blaze_mail_fn)(void *arg, blaze_message message);
BLAZE_API int blaze_handle_inbox(blaze_channel channel, const char *inbox, blaze_mail_fn fn, void *arg,
	blaze_subscription *subscription);
/* fn returns 0 when the message is done with; else another consumer gets it, marked redelivered. */
typedef int (*blaze_work_fn)(void *arg, blaze_message message);
#define BLAZE_EXCLUSIVE 2u /* one consumer at a time has the queue */
BLAZE_API int blaze_consume(blaze_channel channel, const char *queue, uint32_t flags, blaze_work_fn fn, void *arg,
	blaze_subscription *subscription);

/* Requests without Messages, for who counts microseconds. */
typedef struct blaze_call_data {
	blaze_call call; /* for blaze_call_reply, while the callback runs */
	const void *payload;
	size_t length;
	blaze_id from;
	int64_t received;
	uint32_t kind;
	uint32_t wanted; /* it is a request */
} blaze_call_data;
typedef void (*blaze_call_fn)(void *arg, const blaze_call_data *call);
BLAZE_API int blaze_handle_calls(blaze_channel channel, const char *inbox, uint32_t flags, blaze_call_fn fn, void *arg,
	blaze_subscription *subscription);
BLAZE_API int blaze_call_reply(blaze_call call, const void *payload, size_t length);
/* Writes the reply to reply, which has room for capacity bytes; length is the reply's. A longer one is
 * BLAZE_E_TOO_LARGE. */
BLAZE_API int blaze_request_payload(blaze_channel channel, const blaze_id *to, const char *inbox, const void *payload,
	size_t payload_length,
	void *reply, size_t capacity, size_t *length, int64_t timeout);

/* --- clusters (BLAZE_CLUSTER) ------------------------------------------------------------------------------------- */

typedef struct blaze_entry {
	const char *key;
	size_t key_length;
	const void *value;
	size_t value_length;
	uint64_t version; /* 0: there is no entry */
	blaze_id owner;   /* with BLAZE_REMOVE_ON_EXIT */
	int64_t expires;  /* ns since 1970; 0: never */
} blaze_entry;

BLAZE_API int blaze_map_open(blaze_channel channel, const char *name, blaze_map *map);

#define BLAZE_REMOVE_ON_EXIT 4u /* the entry goes when the member that puts it leaves or fails */
typedef struct blaze_put {
	int64_t ttl; /* ms; 0: none */
	blaze_lock holding; /* the key's lock; 0: none */
	uint32_t flags;     /* BLAZE_REMOVE_ON_EXIT */
	uint32_t reserved;
} blaze_put;
/* options and version may be NULL. */
BLAZE_API int blaze_map_put(blaze_map map, const char *key, const void *value, size_t length, const blaze_put *options,
	int64_t timeout, uint64_t *version);
/* Puts if the entry still has the version expected; 0: if it is absent. Else BLAZE_E_VERSION. */
BLAZE_API int blaze_map_cas(blaze_map map, const char *key, const void *value, size_t length, uint64_t expected,
	const blaze_put *options, int64_t timeout, uint64_t *version);
BLAZE_API int blaze_map_delete(blaze_map map, const char *key, blaze_lock holding, int64_t timeout);
/* Reads this member's replica, at once. BLAZE_E_NOT_FOUND: there is no such key. */
BLAZE_API int blaze_map_get(blaze_map map, const char *key, blaze_entry **entry);
/* Reads in the order of all writes. */
BLAZE_API int blaze_map_get_linear(blaze_map map, const char *key, int64_t timeout, blaze_entry **entry);
BLAZE_API int blaze_map_count(blaze_map map, size_t *entries);
/* A consistent snapshot, in no order that means anything: an array, given back by one blaze_release. */
BLAZE_API int blaze_map_all(blaze_map map, blaze_entry **entries, size_t *count);

enum {
	BLAZE_MAP_PRESENT = 1, BLAZE_MAP_PUT, BLAZE_MAP_DELETED, BLAZE_MAP_EXPIRED, BLAZE_MAP_OWNER_GONE, BLAZE_MAP_RESET
};
typedef struct blaze_map_event {
	uint32_t what; /* BLAZE_MAP_… */
	uint32_t reserved;
	const char *key;
	size_t key_length;
	const blaze_entry *before, *after; /* version 0 where there was, or is, none */
	blaze_id by;                       /* whose operation it was */
} blaze_map_event;
typedef void (*blaze_map_fn)(void *arg, const blaze_map_event *event);
BLAZE_API int blaze_map_watch(blaze_map map, const char *prefix, blaze_map_fn fn, void *arg, blaze_listener *listener);

#define BLAZE_KEEP_ON_EXIT 8u /* the lock survives its owner until its lease ends */
/* lease in ms; 0: the setting LockLease. blaze_lock waits in line; blaze_trylock is BLAZE_E_LOCKED instead. */
BLAZE_API int blaze_map_lock(blaze_map map, const char *key, int64_t lease, uint32_t flags, int64_t timeout,
	blaze_lock *lock);
BLAZE_API int blaze_map_trylock(blaze_map map, const char *key, int64_t lease, uint32_t flags, int64_t timeout,
	blaze_lock *lock);
BLAZE_API int blaze_lock_token(blaze_lock lock, uint64_t *token);
/* BLAZE_OK while the lock is held, else BLAZE_E_NOT_OWNER. */
BLAZE_API int blaze_lock_held(blaze_lock lock);
/* BLAZE_OK when the lock is held no longer. */
BLAZE_API int blaze_lock_wait_lost(blaze_lock lock, int64_t timeout);
BLAZE_API int blaze_lock_extend(blaze_lock lock, int64_t lease, int64_t timeout);
/* Releases the lock, and closes the handle whatever it returns. */
BLAZE_API int blaze_unlock(blaze_lock lock, int64_t timeout);

BLAZE_API int blaze_wait_ready(blaze_channel channel, int64_t timeout);
BLAZE_API int blaze_primary(blaze_channel channel, int *primary);
BLAZE_API int blaze_is_master(blaze_channel channel, int *master);
BLAZE_API int blaze_master(blaze_channel channel, blaze_member **member);
typedef void (*blaze_master_fn)(void *arg, const blaze_member *master);
BLAZE_API int blaze_on_master(blaze_channel channel, blaze_master_fn fn, void *arg, blaze_listener *listener);
BLAZE_API int blaze_set_master_weight(blaze_channel channel, int64_t weight, int64_t timeout);
BLAZE_API int blaze_force(blaze_channel channel, int64_t timeout);
/* What this member knows of its cluster, as a JSON object. */
BLAZE_API int blaze_cluster_status(blaze_channel channel, char **json);

#ifdef __cplusplus
}
#endif
#endif
