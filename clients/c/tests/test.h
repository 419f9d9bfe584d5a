/* What the tests have in common. A test is a program that ends with 0, or prints what was wrong and ends with 1. */
#ifndef TEST_H
#define TEST_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "blaze.h"

static inline void wrong(const char *file, int line, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "%s:%d: ", file, line);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	_exit(1);
}

/* The call returns this code. */
#define IS(want, call) do { int got_ = (call); if (got_ != (want)) \
	wrong(__FILE__, __LINE__, "%s is %d (%s), want %d: %s", #call, got_, blaze_strerror(got_), want, blaze_error()); } while (0)
#define OK(call) IS(BLAZE_OK, call)
#define TRUE(x) do { if (!(x)) wrong(__FILE__, __LINE__, "not so: %s", #x); } while (0)
/* The last failure's text has this in it. */
#define SAYS(part) do { if (!strstr(blaze_error(), part)) wrong(__FILE__, __LINE__, "no \"%s\" in \"%s\"", part, blaze_error()); } while (0)

static inline int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline void pause_ms(int ms) { struct timespec t = {ms / 1000, ms % 1000 * 1000000L}; nanosleep(&t, NULL); }

/* Waits until x holds; a minute at most, which is only for what never comes. */
#define SOON(x) do { int64_t till_ = now_ms() + 60000; while (!(x)) { \
	if (now_ms() > till_) { wrong(__FILE__, __LINE__, "it did not come to be: %s", #x); } pause_ms(1); } } while (0)

/* Settings of a member on loopback that meets only those of its own test. */
static inline blaze_config settings(const char *idle)
{
	blaze_config c;
	char cluster[64], uri[96];
	snprintf(cluster, sizeof cluster, "ctest-%d", (int)getpid());
	snprintf(uri, sizeof uri, "udp://239.255.66.76:%d?interface=lo", 20000 + (int)getpid() % 20000);
	OK(blaze_config_new(&c));
	OK(blaze_config_set(c, "Cluster", cluster));
	OK(blaze_config_set(c, "BroadcastURI", uri));
	OK(blaze_config_set(c, "Window", "262144"));
	OK(blaze_config_set(c, "MaxMessageSize", "65536"));
	OK(blaze_config_set(c, "SubscriptionQueue", "256"));
	OK(blaze_config_set(c, "Idle", idle));
	return c;
}

#endif
