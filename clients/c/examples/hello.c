/* Two members of one program: one says hello, the other hears it.
 * cc hello.c -lblaze && ./a.out */
#include <stdio.h>
#include <stdlib.h>

#include "blaze.h"

static void check(int code, const char *what)
{
	if (code == BLAZE_OK) return;
	fprintf(stderr, "%s: %s\n", what, blaze_error());
	exit(1);
}

int main(void)
{
	blaze_channel sender, receiver;
	blaze_subscription greetings;
	blaze_publisher publisher;

	check(blaze_open(0, BLAZE_CHANNEL, &receiver), "open");
	check(blaze_subscribe_poll(receiver, "greetings.*", &greetings), "subscribe");
	check(blaze_start(receiver), "start");

	check(blaze_open(0, BLAZE_CHANNEL, &sender), "open");
	check(blaze_start(sender), "start");
	check(blaze_publisher_open(sender, "greetings.world", &publisher), "publisher");
	check(blaze_wait_receivers(publisher, 1, 30000), "waiting for the receiver");
	check(blaze_offer(publisher, "hello", 5), "offer");

	blaze_event event;
	size_t count;
	check(blaze_poll(greetings, &event, 1, &count, 30000), "poll");
	char from[36];
	check(blaze_id_text(&event.message.from, from), "id");
	printf("%s: %.*s\n", event.message.topic, (int)event.message.length, (const char *)event.message.payload);
	fprintf(stderr, "from %s\n", from);

	check(blaze_close(sender), "close");
	check(blaze_close(receiver), "close");
	return 0;
}
