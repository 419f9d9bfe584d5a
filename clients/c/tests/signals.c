/* A host's own handlers work beside the library, whether they were there before it was loaded or came after: SIGINT,
 * SIGCHLD, and SIGSEGV in the host's code, on its threads and in callbacks. A fork that calls the library is refused.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "test.h"

static volatile sig_atomic_t interrupts, children, faults;
static char *page;

static void on_interrupt(int s) { (void)s; interrupts++; }
static void on_child(int s) { (void)s; children++; }
static void on_fault(int s, siginfo_t *info, void *context)
{
	(void)s;
	(void)context;
	char *at = info->si_addr;
	if (at < page || at >= page + 4096) _exit(3);
	faults++;
	mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void handlers(void)
{
	struct sigaction a = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART | SA_ONSTACK}, b = {.sa_handler = on_child,
		.sa_flags = SA_RESTART | SA_ONSTACK}, f;
	memset(&f, 0, sizeof f);
	f.sa_sigaction = on_fault;
	f.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	TRUE(sigaction(SIGINT, &a, NULL) == 0 && sigaction(SIGCHLD, &b, NULL) == 0 && sigaction(SIGSEGV, &f, NULL) == 0);
}

static void fault(void)
{
	int before = faults;
	TRUE(mprotect(page, 4096, PROT_NONE) == 0);
	*(volatile char *)page = 1;
	TRUE(faults == before + 1);
}

static volatile int in_callback, still;
static void on_message(void *arg, const blaze_delivery *d)
{
	(void)arg;
	(void)d;
	fault();
	in_callback++;
}

static void *thread(void *arg) { fault(); return arg; }

/* The functions of a library that was loaded by hand. */
static void *lib;
#define GET(name) typeof(&name) name##_ = (typeof(&name))dlsym(lib, #name); TRUE(name##_ != NULL)

static void round_of_calls(void)
{
	GET(blaze_config_new);
	GET(blaze_config_set);
	GET(blaze_open);
	GET(blaze_start);
	GET(blaze_subscribe);
	GET(blaze_publisher_open);
	GET(blaze_offer);
	GET(blaze_close);
	GET(blaze_state);
	GET(blaze_error);
	blaze_config c;
	blaze_channel ch;
	blaze_subscription s;
	blaze_publisher p;
	char uri[96], cluster[32];
	snprintf(uri, sizeof uri, "udp://239.255.66.76:%d?interface=lo", 20000 + (int)getpid() % 20000);
	snprintf(cluster, sizeof cluster, "sig-%d", (int)getpid());
	TRUE(blaze_config_new_(&c) == 0 && blaze_config_set_(c, "BroadcastURI", uri) == 0 && blaze_config_set_(c, "Idle", "block") == 0 &&
		blaze_config_set_(c, "Window", "262144") == 0 && blaze_config_set_(c, "MaxMessageSize", "65536") == 0 && blaze_config_set_(c, "Cluster", cluster) == 0);
	TRUE(blaze_open_(c, BLAZE_CHANNEL, &ch) == 0 && blaze_start_(ch) == 0);
	TRUE(blaze_subscribe_(ch, "x", BLAZE_INLINE, on_message, NULL, NULL, &s) == 0 && blaze_publisher_open_(ch, "x", &p) == 0);

	int seen = in_callback;
	TRUE(blaze_offer_(p, "x", 1) == 0);
	SOON(in_callback == seen + 1);
	fault();
	pthread_t t;
	TRUE(pthread_create(&t, NULL, thread, NULL) == 0 && pthread_join(t, NULL) == 0);

	int before = interrupts;
	TRUE(raise(SIGINT) == 0);
	for (int i = 0; i < 20; i++) {
		TRUE(kill(getpid(), SIGINT) == 0);
		pause_ms(1);
	}
	SOON(interrupts > before + 1);

	before = children;
	pid_t child = fork();
	if (child == 0) {
		int state;
		_exit(blaze_state_(ch, &state) == BLAZE_E_FORKED && strstr(blaze_error_(), "forked") ? 17 : 1);
	}
	int status;
	TRUE(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 17);
	SOON(children > before);
	child = fork(); /* the way that works */
	if (child == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(1);
	}
	TRUE(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	TRUE(blaze_close_(ch) == 0 && blaze_close_(c) == 0);
}

static void load(const char *path)
{
	lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib) wrong(__FILE__, __LINE__, "%s", dlerror());
}

int main(int argc, char **argv)
{
	TRUE(argc >= 3);
	page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (strcmp(argv[2], "before") == 0) { /* handlers, then the library */
		handlers();
		load(argv[1]);
	} else if (strcmp(argv[2], "after") == 0) {
		load(argv[1]);
		handlers();
	} else if (strcmp(argv[2], "pipe") == 0) {
		/* a broken pipe ends a host that has no handler, as it would without the library */
		int ends[2];
		load(argv[1]);
		TRUE(pipe(ends) == 0 && close(ends[0]) == 0);
		TRUE(write(ends[1], "x", 1) == 1);
		return 0;
	} else { /* twice: argv[2] is a second file */
		handlers();
		load(argv[1]);
		round_of_calls();
		load(argv[2]);
		round_of_calls();
		load(argv[1]);
	}
	round_of_calls();
	GET(blaze_abi_version);
	TRUE(dlclose(lib) == 0); /* the library stays: Go does not end */
	TRUE(blaze_abi_version_() == BLAZE_ABI_VERSION);
	load(argv[1]);
	round_of_calls();
	printf("ok signals %s\n", argv[2]);
	return 0;
}
