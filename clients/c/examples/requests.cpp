// A member answers requests of another, and both see who is there. C++17: the handle closes itself.
#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>

#include "blaze.h"

namespace {

void check(int code, const char *what)
{
	if (code != BLAZE_OK) throw std::runtime_error(std::string(what) + ": " + blaze_error());
}

class Handle {
public:
	Handle() = default;
	Handle(Handle &&other) noexcept : value(std::exchange(other.value, 0)) {}
	Handle(const Handle &) = delete;
	Handle &operator=(const Handle &) = delete;
	~Handle() { if (value) blaze_close(value); }
	operator uint64_t() const { return value; }
	uint64_t *out() { return &value; }

private:
	uint64_t value = 0;
};

Handle member(const char *name)
{
	Handle config, channel;
	check(blaze_config_new(config.out()), "config");
	check(blaze_config_set(config, "Name", name), "Name");
	check(blaze_config_set(config, "Cluster", "requests-example"), "Cluster");
	check(blaze_open(config, BLAZE_GROUP, channel.out()), "open");
	return channel;
}

Handle text_message(const std::string &text)
{
	Handle m;
	blaze_value body{};
	body.kind = BLAZE_VALUE_TEXT;
	body.data = text.data();
	body.length = text.size();
	check(blaze_message_new(m.out()), "message");
	check(blaze_message_set_body(m, &body), "body");
	return m;
}

std::string text_of(blaze_message m)
{
	blaze_value body;
	check(blaze_message_body(m, &body), "body");
	return {static_cast<const char *>(body.data), body.length};
}

// No exception may leave a callback.
extern "C" void answer(void *arg, blaze_message request)
{
	try {
		Handle reply = text_message("you said " + text_of(request));
		check(blaze_reply(*static_cast<Handle *>(arg), request, reply, 1000), "reply");
	} catch (const std::exception &e) {
		std::cerr << e.what() << '\n';
	}
}

} // namespace

int main()
try {
	Handle server = member("server"), client = member("client"), inbox, reply;
	check(blaze_handle_inbox(server, nullptr, answer, &server, inbox.out()), "in-box");
	check(blaze_start(server), "start");
	check(blaze_start(client), "start");
	check(blaze_wait_members(client, 2, 30000), "waiting for the server");
	blaze_member *found;
	check(blaze_member_named(client, "server", &found), "looking for the server");
	Handle request = text_message("hello");
	check(blaze_request(client, &found->id, request, reply.out(), 30000), "request");
	check(blaze_release(found), "release");
	std::cout << text_of(reply) << std::endl;
} catch (const std::exception &e) {
	std::cerr << e.what() << '\n';
	return 1;
}
