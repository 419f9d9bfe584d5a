//go:build ignore

// The filter in front of a Blaze member's AF_XDP sockets. It hands to the socket of the
// packet's queue only what is certainly for this member, and passes everything else to the
// kernel, which goes on as if there was no program. docs/decisions/xdp-filter.md says why.
#include "kernel.h"

enum {
	ETH_IPV4 = 0x0800,
	ETH_IPV6 = 0x86dd,
	ETH_8021Q = 0x8100,
	ETH_8021AD = 0x88a8,
	MAX_TAGS = 2,
	VLAN_ID = 0x0fff,
	VLAN_TAGGED = 0x1000, // marks an id in keys.vlan

	IPV4_NO_OPTIONS = 0x45,      // version 4, header of five words
	IPV4_FRAGMENT_MASK = 0x3fff, // more fragments, or an offset: not a whole packet
	IPV4_UDP = 17,
};

// The canonical header of a datagram (docs/wire.md): where each tag lies, and what it is.
enum {
	AT_VERSION = 0,
	AT_CLUSTER = 5,
	AT_CRC = 14,
	AT_STREAM = 42,
	HEADER_BYTES = 47,

	TAG_VERSION = 0x0d,
	TAG_CLUSTER = 0x11,
	TAG_CRC = 0x1d,
	TAG_STREAM = 0x35,

	VERSION = 1,
};

// reason says what became of a packet, and is the index of its counter. Every packet counts
// under exactly one, except that NO_METADATA comes on top. The Go side reads them in this
// order (counters.go).
enum reason {
	TO_GROUP,   // redirected: came to the group's address
	TO_UNICAST, // redirected: came to the member's own address
	DROPPED,    // by Config.Loss

	// Everything from here on is passed to the kernel.
	NO_SOCKET, // for us, but no socket is bound to the queue that it came through
	LANE,      // of our group and cluster, in a lane that nobody here wants
	CLUSTER,   // to our address, of another cluster
	WIRE,      // to our address, of another wire version
	LAYOUT,    // to our address, not laid out as the canonical header is
	OVERSIZE,  // to our address, too long for the socket's buffers
	VLAN,      // to our address, on another VLAN
	LENGTH,    // to our address, IPv4 and UDP lengths that disagree or exceed the packet
	OTHER,     // UDP to another address or port
	NOT_UDP,   // IPv4 with another protocol in it
	FRAGMENT,  // of an IPv4 packet, the first one included
	OPTIONS,   // IPv4 with options
	MALFORMED, // cut short before the end of its headers, or not the IPv4 that it claims to be
	IPV6,
	ETHERTYPE, // neither IPv4 nor IPv6: ARP, LLDP, a third VLAN tag, …

	NO_METADATA, // redirected without the time stamp that Config.Breakdown asks for
	DRAWS = 31,  // random numbers drawn for Config.Loss; nobody else's business
};

enum { REASON_SLOTS = 32, LANE_WORDS = 65536 / 64 };

// An address as one word, so that it can be changed with one store while the program runs.
// Bit 48 is set in every address: the value 0 is none and equals no packet's.
#define ADDRESS(ip, port) (1ull << 48 | (__u64)(ip) << 16 | (port))

// keys.vlan: whatever tags a packet has, or none. Otherwise it is 0 for an untagged network, or
// VLAN_TAGGED | id, the inner tag in the low half and the outer one, if any, in the high half.
#define ANY_VLAN 0xffffffffffffffffull

// keys is what the program compares with. The Go side has it mapped and stores single words.
struct keys {
	__u64 group;
	__u64 unicast;
	__u64 cluster;
	__u64 vlan;
	__u64 lanes[LANE_WORDS]; // one bit for each lane; set: wanted
};

// READ loads a word of keys once, whole.
#define READ(word) (*(const volatile __u64 *)&(word))

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct keys);
} blaze_keys SEC(".maps");

// REASON_SLOTS counters for each CPU, which alone writes them: two pairs of cache lines, and no
// atomics. XDP does not preempt itself on a CPU.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REASON_SLOTS); // the loader multiplies by the possible CPUs
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} blaze_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1); // the loader makes it the number of queues
	__type(key, __u32);
	__type(value, __u32);
} blaze_sockets SEC(".maps");

// Constants that the loader sets: what they switch off is gone when the verifier is done.
const volatile __u32 frame_max = 0; // bytes, from the Ethernet header
const volatile __u8 ask_length = 0; // the packet's length is asked for, not subtracted
const volatile __u8 breakdown = 0;  // write the time of arrival into the metadata
const volatile __u64 loss = 0;      // drop when a random 32-bit number is below; 0: never
const volatile __u64 loss_seed = 0;

// counter is the calling CPU's. Each is looked up by its own key: to look up a CPU's block once
// and add the reason to that pointer would need CAP_PERFMON, because of the verifier's guards
// against speculation.
static __always_inline __u64 *counter(enum reason r)
{
	__u32 key = bpf_get_smp_processor_id() * REASON_SLOTS + r;

	return bpf_map_lookup_elem(&blaze_counters, &key);
}

static __always_inline void count(enum reason r)
{
	__u64 *c = counter(r);
	if (c) // always; only the loader knows it
		++*c;
}

// unlucky draws splitmix64's next number: a seed replays the losses of a queue.
static __always_inline int unlucky(void)
{
	__u64 *draws = counter(DRAWS);
	if (!draws)
		return 0;
	__u64 x = loss_seed + ++*draws * 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (x ^ x >> 31) >> 32 < loss;
}

// judge_datagram looks at a UDP payload that was sent to our address.
static __always_inline enum reason judge_datagram(const __u8 *p, const struct keys *keys, int group)
{
	if (p[AT_VERSION] != TAG_VERSION || p[AT_CLUSTER] != TAG_CLUSTER || p[AT_CRC] != TAG_CRC ||
	    p[AT_STREAM] != TAG_STREAM)
		return LAYOUT;
	if (*(const __u32 *)(p + AT_VERSION + 1) != le32(VERSION))
		return WIRE;
	if (*(const __u64 *)(p + AT_CLUSTER + 1) != le64(READ(keys->cluster)))
		return CLUSTER;
	if (!group) // tokens, repairs and requests come whatever lanes we hear
		return TO_UNICAST;

	__u16 lane = le32(*(const __u32 *)(p + AT_STREAM + 1)); // its low half; the high one is the protocol
	if (!(READ(keys->lanes[lane / 64]) >> lane % 64 & 1))
		return LANE;
	return TO_GROUP;
}

// packet_length subtracts, which takes CAP_PERFMON because the difference of two pointers is
// kernel knowledge, or calls a helper, which takes Linux 5.18 and a few nanoseconds.
static __always_inline __u32 packet_length(struct xdp_md *ctx, const __u8 *data, const __u8 *end)
{
	return ask_length ? bpf_xdp_get_buff_len(ctx) : end - data;
}

// judge looks at a packet and says what it is. It changes nothing.
static __always_inline enum reason judge(struct xdp_md *ctx, const struct keys *keys)
{
	const __u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct ethhdr *eth = (const void *)data;
	const __u8 *at = data + sizeof(*eth);
	__u32 before = sizeof(*eth); // at - data, in bytes
	if (at > end)
		return MALFORMED;
	__u16 proto = eth->proto;
	__u64 vlan = 0;

#pragma unroll
	for (int i = 0; i < MAX_TAGS; i++) {
		if (proto != be16(ETH_8021Q) && proto != be16(ETH_8021AD))
			break;
		const struct vlanhdr *tag = (const void *)at;
		at += sizeof(*tag);
		before += sizeof(*tag);
		if (at > end)
			return MALFORMED;
		proto = tag->proto;
		__u16 id = be16(tag->tci) & VLAN_ID;
		if (id != 0) // id 0 only carries a priority: IEEE 802.1Q, 9.6
			vlan = vlan << 16 | VLAN_TAGGED | id;
	}
	if (proto != be16(ETH_IPV4))
		return proto == be16(ETH_IPV6) ? IPV6 : ETHERTYPE;

	const struct iphdr *ip = (const void *)at;
	const struct udphdr *udp = (const void *)(ip + 1);
	if ((const __u8 *)udp > end)
		return MALFORMED;
	if (ip->version_ihl != IPV4_NO_OPTIONS)
		return ip->version_ihl > IPV4_NO_OPTIONS && ip->version_ihl <= 0x4f ? OPTIONS : MALFORMED;
	if (ip->frag_off & be16(IPV4_FRAGMENT_MASK))
		return FRAGMENT;
	if (ip->protocol != IPV4_UDP)
		return NOT_UDP;
	const __u8 *payload = (const __u8 *)(udp + 1);
	if (payload > end)
		return MALFORMED;

	__u64 to = ADDRESS(be32(ip->daddr), be16(udp->dest));
	int group = to == READ(keys->group);
	if (!group && to != READ(keys->unicast))
		return OTHER;
	__u64 our_vlan = READ(keys->vlan);
	if (vlan != our_vlan && our_vlan != ANY_VLAN)
		return VLAN;

	// The socket's reader relies on these: no length in the headers exceeds the packet,
	// and the datagram is all of the IP packet. Padding behind it (short Ethernet frames
	// are padded to 60 bytes) is not part of it. UDP shorter than IP is legal, unusual,
	// and left to the kernel.
	__u32 total = be16(ip->tot_len), length = be16(udp->len), frame = packet_length(ctx, data, end);
	if (length < sizeof(*udp) || total != length + sizeof(*ip) || before + total > frame)
		return LENGTH;
	if (frame > frame_max)
		return OVERSIZE;
	if (length < sizeof(*udp) + HEADER_BYTES || payload + HEADER_BYTES > end)
		return LAYOUT;
	return judge_datagram(payload, keys, group);
}

// stamp writes the time into eight bytes of metadata in front of the packet. The packet is not
// touched, but what the verifier knew about it is forgotten.
static __always_inline void stamp(struct xdp_md *ctx)
{
	__u64 *time;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*time)) != 0) {
		count(NO_METADATA);
		return;
	}
	time = (void *)(long)ctx->data_meta;
	if ((void *)(time + 1) <= (void *)(long)ctx->data)
		*time = bpf_ktime_get_ns();
}

SEC("xdp")
int blaze_filter(struct xdp_md *ctx)
{
	__u32 first = 0;
	struct keys *keys = bpf_map_lookup_elem(&blaze_keys, &first);
	if (!keys) // never
		return XDP_PASS;

	int action = XDP_PASS;
	enum reason r = judge(ctx, keys);
	if (r <= TO_UNICAST) {
		if (loss && unlucky()) {
			count(DROPPED);
			return XDP_DROP;
		}
		if (breakdown)
			stamp(ctx);
		// The low bits of the flags are the answer where no socket is registered.
		action = bpf_redirect_map(&blaze_sockets, ctx->rx_queue_index, XDP_PASS);
		if (action != XDP_REDIRECT)
			r = NO_SOCKET;
	}
	count(r);
	return action;
}

// No helper that this program calls is reserved to programs under the GPL.
const char program_license[] SEC("license") = "Apache-2.0";
