/* What blaze.c and the exports in Go have between them. Applications do not see it. */
#ifndef BLAZE_SHELL_H
#define BLAZE_SHELL_H

#include "blaze.h"

/* Keeps the text of this thread's failure, and the codes that it matches. */
void blaze_go_failed(int code, uint64_t matches, const char *text, size_t length);

/* Calls of the application's functions, by their addresses. */
void blaze_go_log(uintptr_t fn, uintptr_t arg, int level, const char *line);
void blaze_go_message(uintptr_t fn, uintptr_t arg, const unsigned char *payload, size_t length, const char *topic,
	size_t topic_length,
	uint64_t from_high, uint64_t from_low, uint64_t sequence, int64_t received, uint32_t kind);
void blaze_go_loss(uintptr_t fn, uintptr_t arg, uint64_t from_high, uint64_t from_low, uint64_t first, uint64_t last,
	uint32_t stream, uint32_t reason);
void blaze_go_stream(uintptr_t fn, uintptr_t arg, uint32_t what, uint32_t stream, uint64_t from_high, uint64_t from_low,
	const char *address, const char *protocol);
void blaze_go_view(uintptr_t fn, uintptr_t arg, uint32_t kind, uint64_t sequence, uint64_t high, uint64_t low,
	const blaze_id *members, size_t member_count, const blaze_id *together, size_t together_count);
void blaze_go_member(uintptr_t fn, uintptr_t arg, uint32_t what, const blaze_member *member, const char *group);
void blaze_go_master(uintptr_t fn, uintptr_t arg, const blaze_member *member);
void blaze_go_mail(uintptr_t fn, uintptr_t arg, blaze_message message);
int blaze_go_work(uintptr_t fn, uintptr_t arg, blaze_message message);
void blaze_go_call(uintptr_t fn, uintptr_t arg, blaze_call call, const void *payload, size_t length, uint64_t from_high,
	uint64_t from_low, int64_t received, uint32_t kind, uint32_t wanted);
void blaze_go_map(uintptr_t fn, uintptr_t arg, uint32_t what, const blaze_entry *entries, const char *key,
	size_t key_length,
	uint64_t by_high, uint64_t by_low);

#endif
