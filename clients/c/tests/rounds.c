/* Opens and closes channels again and again: memory, threads and descriptors do not grow. */
#include <dirent.h>
#include <malloc.h>

#include "test.h"

static int entries(const char *folder)
{
	DIR *d = opendir(folder);
	int n = 0;
	TRUE(d != NULL);
	while (readdir(d)) n++;
	closedir(d);
	return n;
}

static long resident_kib(void)
{
	char line[256];
	long kib = 0;
	FILE *f = fopen("/proc/self/status", "r");
	TRUE(f != NULL);
	while (fgets(line, sizeof line, f)) sscanf(line, "VmRSS: %ld", &kib);
	fclose(f);
	return kib;
}

static void on_message(void *arg, const blaze_delivery *d) { (void)d; ++*(volatile int *)arg; }

static void round_of(blaze_config c, int kind)
{
	blaze_channel ch;
	blaze_subscription s, t;
	blaze_publisher p;
	blaze_message m;
	blaze_listener l;
	volatile int heard = 0;
	OK(blaze_open(c, kind, &ch));
	OK(blaze_subscribe(ch, "a.*", BLAZE_INLINE, on_message, NULL, (void *)&heard, &s));
	OK(blaze_subscribe_poll(ch, ">", &t));
	OK(blaze_on_stream(ch, (blaze_stream_fn)on_message, (void *)&heard, &l));
	OK(blaze_start(ch));
	OK(blaze_publisher_open(ch, "a.b", &p));
	OK(blaze_offer(p, "x", 1));
	OK(blaze_message_new(&m));
	OK(blaze_broadcast(ch, "a.c", m, 1000));
	blaze_event e[2];
	size_t n;
	OK(blaze_poll(t, e, 2, &n, 30000));
	char *json;
	OK(blaze_stats(ch, &json));
	OK(blaze_release(json));
	OK(blaze_close(m));
	OK(blaze_close(ch));
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 200, quarter = rounds / 4;
	blaze_config c = settings("block");
	int threads = 0, descriptors = 0;
	long kib = 0, host = 0;
	int64_t began = now_ms();
	for (int i = 0; i < rounds; i++) {
		if (i == quarter) {
			threads = entries("/proc/self/task");
			descriptors = entries("/proc/self/fd");
			kib = resident_kib();
			host = (long)mallinfo2().uordblks;
		}
		round_of(c, i % 4 ? BLAZE_CHANNEL : BLAZE_GROUP);
	}
	/* Threads of Go end a moment after what ran on them. */
	int64_t till = now_ms() + 10000;
	while (entries("/proc/self/task") > threads + 4 && now_ms() < till) pause_ms(10);
	int threads_now = entries("/proc/self/task"), descriptors_now = entries("/proc/self/fd");
	long kib_now = resident_kib(), host_now = (long)mallinfo2().uordblks;
	printf("rounds %d in %.1f s; after a quarter and at the end: threads %d, %d; descriptors %d, %d; resident %ld, %ld KiB; "
		"of malloc %ld, %ld bytes\n", rounds, (double)(now_ms() - began) / 1e3, threads, threads_now, descriptors, descriptors_now, kib,
		kib_now, host, host_now);
	TRUE(threads_now <= threads + 4);
	TRUE(descriptors_now <= descriptors);
	TRUE(kib_now < kib + kib / 2 + 8192); /* Go's collector lets its heap swing by this much */
	TRUE(host_now < host + 65536);
	OK(blaze_close(c));
	puts("ok rounds");
	return 0;
}
