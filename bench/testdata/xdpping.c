/* AF_XDP through Debian's libxdp: an independent check of what package raw measures over bare
 * AF_XDP. Two processes, each on an interface of its own, the two joined by a wire; both spin.
 * Generic mode, copies, ring sizes, buffers to receive into (fewer for a ping-pong) and batches are
 * those of package raw; the rings, the socket and the program in the kernel are libxdp's.
 *
 *   cc -O2 -o xdpping xdpping.c -lxdp -lbpf
 *   xdpping pong IFACE SIZE SECONDS    answers until it is killed
 *   xdpping ping IFACE SIZE SECONDS    {"p50":NS,"p99":NS,"count":N,"lost":N}
 *   xdpping sink IFACE SIZE SECONDS    {"rate":PER_SECOND,"count":N,"lost":N}, after send is done
 *   xdpping send IFACE SIZE SECONDS    {"sent":N}
 *
 * SIZE is the payload of a UDP datagram. The first line is {"ready":true}. A tenth of SECONDS is
 * added in front to warm up. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <xdp/libxdp.h>
#include <xdp/xsk.h>

enum {
	FILL = 4096, FEW = 512, TX = 2048, BUFFER = 2048, BATCH = 64, SEND_BATCH = 32,
	HEADERS = 14 + 20 + 8, PATIENCE = 10, ANSWER_NS = 100 * 1000 * 1000,
	PING = 3, PONG = 4, DATA = 5, FINISH = 6,
};

static struct xsk_ring_prod fill, tx;
static struct xsk_ring_cons rx, completed;
static struct xsk_socket *socket_;
static struct xsk_umem *umem;
static char *memory;
static unsigned char header[HEADERS];
static int fd, length, size;
static __u64 spare[TX]; /* buffers to send from */
static int spares;
static int sending;

static void fail(const char *what, int error)
{
	fprintf(stderr, "xdpping: %s: %s\n", what, strerror(error));
	exit(1);
}

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int silent(enum libbpf_print_level l, const char *format, va_list args) { return 0; }
static int silent_too(enum libxdp_print_level l, const char *format, va_list args) { return 0; }

static void close_socket(void)
{
	if (socket_)
		xsk_socket__delete(socket_); /* takes the program off */
	if (umem)
		xsk_umem__delete(umem);
}

static void stop(int number) { exit(0); }

static void write_header(int end)
{
	unsigned char h[HEADERS] = {
		0x01, 0x00, 0x5e, 0x7f, 0x42, 0x4c, 0x02, 0, 0, 0, 0, end, 0x08, 0x00, /* RFC 1112, 6.4 */
		0x45, 0, (28 + size) >> 8, 28 + size, 0, 0, 0x40, 0, 1, 17, 0, 0,
		10, 66, 76, end, 239, 255, 66, 76,
		0x1a, 0x14, 0x1a, 0x14, (8 + size) >> 8, 8 + size, 0, 0,
	};
	unsigned sum = 0;
	for (int i = 14; i < 34; i += 2)
		sum += h[i] << 8 | h[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	sum = ~(sum + (sum >> 16));
	h[24] = sum >> 8, h[25] = sum;
	memcpy(header, h, sizeof h);
}

static void open_socket(const char *interface, int posted)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	struct xsk_umem_config uc = { .fill_size = FILL, .comp_size = TX, .frame_size = BUFFER };
	struct xsk_socket_config sc = {
		.rx_size = FILL, .tx_size = TX, .xdp_flags = XDP_FLAGS_SKB_MODE, .bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP,
	};
	size_t bytes = (size_t)(FILL + TX) * BUFFER;
	__u32 at;
	int e;

	setrlimit(RLIMIT_MEMLOCK, &all); /* with CAP_IPC_LOCK it does not matter */
	libbpf_set_print(silent);
	libxdp_set_print(silent_too);
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED)
		fail("mmap", errno);
	atexit(close_socket);
	if ((e = xsk_umem__create(&umem, memory, bytes, &fill, &completed, &uc)))
		fail("xsk_umem__create", -e);
	/* The queue may still be taken by a socket that was closed some milliseconds ago. */
	for (int i = 0; (e = xsk_socket__create(&socket_, interface, 0, umem, &rx, &tx, &sc)) == -EBUSY && i < 100; i++)
		usleep(10000);
	if (e)
		fail("xsk_socket__create", -e);
	fd = xsk_socket__fd(socket_);
	if ((int)xsk_ring_prod__reserve(&fill, posted, &at) != posted)
		fail("fill ring", ENOBUFS);
	for (int i = 0; i < posted; i++)
		*xsk_ring_prod__fill_addr(&fill, at + i) = (__u64)i * BUFFER;
	xsk_ring_prod__submit(&fill, posted);
	for (int i = 0; i < TX; i++) {
		spare[spares] = (__u64)(FILL + i) * BUFFER + 256;
		memcpy(memory + spare[spares++], header, HEADERS);
	}
}

/* complete takes back what was sent. */
static void complete(void)
{
	__u32 at;
	int n = sending ? xsk_ring_cons__peek(&completed, BATCH, &at) : 0;
	for (int i = 0; i < n; i++)
		spare[spares++] = *xsk_ring_cons__comp_addr(&completed, at + i);
	if (n) {
		xsk_ring_cons__release(&completed, n);
		sending -= n;
	}
}

/* kick makes the kernel send all that is in the TX ring: 32 packets for a call. */
static void kick(void)
{
	while (xsk_ring_prod__needs_wakeup(&tx)) {
		if (sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0 || errno == EBUSY)
			return;
		if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
			fail("sendto", errno);
		complete();
		if (__atomic_load_n(tx.consumer, __ATOMIC_ACQUIRE) == __atomic_load_n(tx.producer, __ATOMIC_RELAXED))
			return;
	}
}

/* say sends n datagrams, numbered from first. */
static void say(__u64 kind, __u64 first, int n)
{
	__u32 at;
	for (complete(); spares < n; complete())
		kick();
	if ((int)xsk_ring_prod__reserve(&tx, n, &at) != n)
		fail("TX ring", ENOBUFS); /* it has room for all buffers */
	for (int i = 0; i < n; i++) {
		__u64 to = spare[--spares], v[2] = { kind, first + i };
		memcpy(memory + to + HEADERS, v, sizeof v);
		*xsk_ring_prod__tx_desc(&tx, at + i) = (struct xdp_desc){ .addr = to, .len = length };
	}
	xsk_ring_prod__submit(&tx, n);
	sending += n;
	kick();
}

/* hear takes what came. libxdp's program sends everything here: the rest is passed over. */
static int hear(__u64 *kinds, __u64 *numbers)
{
	__u32 at, back;
	int got = 0, n;
	if (xsk_ring_prod__needs_wakeup(&fill))
		recvfrom(fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	n = xsk_ring_cons__peek(&rx, BATCH, &at);
	if (!n)
		return 0;
	/* It has room for all buffers, but the kernel shows us a packet before it says that it has
	 * taken the buffer (xsk_flush). */
	while ((int)xsk_ring_prod__reserve(&fill, n, &back) != n)
		;
	for (int i = 0; i < n; i++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&rx, at + i);
		const char *p = memory + d->addr;
		if ((int)d->len >= length && !memcmp(p + 30, header + 30, 4) && !memcmp(p + 34, header + 34, 4)) {
			memcpy(&kinds[got], p + HEADERS, 8);
			memcpy(&numbers[got++], p + HEADERS + 8, 8);
		}
		*xsk_ring_prod__fill_addr(&fill, back + i) = d->addr & ~(__u64)(BUFFER - 1);
	}
	xsk_ring_cons__release(&rx, n);
	xsk_ring_prod__submit(&fill, n);
	return got;
}

static int compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;
	return (x > y) - (x < y);
}

static void ping(long long duration)
{
	enum { MOST = 4 << 20 };
	long *ns = calloc(MOST, sizeof *ns), count = 0, lost = 0;
	__u64 kinds[BATCH], numbers[BATCH], number = 0;
	long long sent = now(), measure = sent + duration / 10, end = measure + duration, t;
	if (!ns)
		fail("calloc", errno);
	for (; sent < end && count < MOST; sent = t) {
		int answered = 0;
		say(PING, ++number, 1);
		for (int spins = 1; !answered; spins++) {
			for (int i = 0, n = hear(kinds, numbers); i < n; i++)
				answered |= kinds[i] == PONG && numbers[i] == number;
			if (spins % 1024 == 0 && !answered && now() - sent > ANSWER_NS)
				break;
		}
		t = now();
		if (!answered)
			lost++;
		else if (sent > measure)
			ns[count++] = t - sent;
	}
	if (!count)
		fail("no answers", ETIMEDOUT);
	qsort(ns, count, sizeof *ns, compare);
	printf("{\"p50\":%ld,\"p99\":%ld,\"count\":%ld,\"lost\":%ld}\n", ns[count / 2], ns[count * 99 / 100], count, lost);
}

static void pong(void)
{
	__u64 kinds[BATCH], numbers[BATCH];
	for (;;)
		for (int i = 0, n = hear(kinds, numbers); i < n; i++)
			if (kinds[i] == PING)
				say(PONG, numbers[i], 1);
}

static void send_(long long duration)
{
	__u64 kinds[BATCH], numbers[BATCH], sent = 0;
	for (long long end = now() + duration / 10 + duration; now() < end; sent += SEND_BATCH) {
		say(DATA, sent, SEND_BATCH);
		hear(kinds, numbers);
	}
	for (int i = 0; i < 100; i++, usleep(1000))
		say(FINISH, sent, 1);
	printf("{\"sent\":%llu}\n", sent);
}

static void sink(long long duration)
{
	__u64 kinds[BATCH], numbers[BATCH], came = 0, last = 0, from_came = 0, from_last = 0, to_came = 0, to_last = 0;
	long long began = 0, from = 0, to = 0, heard = now();
	for (int spins = 1, done = 0; !done; spins++) {
		int n = hear(kinds, numbers), data = 0;
		for (int i = 0; i < n; i++) {
			if (kinds[i] == DATA)
				data++, last = numbers[i];
			done |= kinds[i] == FINISH;
		}
		if (data) {
			long long t = heard = now();
			came += data;
			if (!began)
				began = t;
			else if (!from && t - began >= duration / 10)
				from = t, from_came = came, from_last = last;
			else if (from)
				to = t, to_came = came, to_last = last;
		} else if (spins % 1024 == 0 && now() - heard > PATIENCE * 1000000000LL) {
			fail("nothing comes", ETIMEDOUT);
		}
	}
	if (to <= from)
		fail("too little came", ETIMEDOUT);
	printf("{\"rate\":%.0f,\"count\":%llu,\"lost\":%llu}\n", (to_came - from_came) / ((to - from) / 1e9),
	       to_came - from_came, (to_last - from_last) - (to_came - from_came));
}

int main(int argc, char **argv)
{
	const char *role = argc == 5 ? argv[1] : "";
	int first = !strcmp(role, "ping") || !strcmp(role, "send");
	long long duration;

	if (!first && strcmp(role, "pong") && strcmp(role, "sink")) {
		fprintf(stderr, "usage: xdpping ping|pong|send|sink IFACE SIZE SECONDS\n");
		return 2;
	}
	size = atoi(argv[3]);
	length = HEADERS + size;
	duration = atof(argv[4]) * 1e9;
	if (size < 16 || size > 1472 || duration <= 0)
		return 2;
	signal(SIGTERM, stop);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	write_header(first ? 1 : 2);
	open_socket(argv[2], role[0] == 'p' ? FEW : FILL);
	puts("{\"ready\":true}");
	fflush(stdout);
	if (!strcmp(role, "ping"))
		ping(duration);
	else if (!strcmp(role, "pong"))
		pong();
	else if (!strcmp(role, "send"))
		send_(duration);
	else
		sink(duration);
	return 0;
}
