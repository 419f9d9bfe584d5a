// What the program uses of the kernel's interface, declared here and not taken from the
// system's headers: the object is then the same on every machine that has the same clang, and
// nothing else needs to be installed. Numbers and layouts are those of include/uapi/linux/bpf.h
// and if_ether.h, ip.h and udp.h; they are part of the kernel's ABI and never change.
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;

#define SEC(name) __attribute__((section(name), used))
#define __always_inline inline __attribute__((always_inline))

// Maps are declared as libbpf and cilium/ebpf expect them: the values are in the types (BTF).
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name

enum { BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_XSKMAP = 17 };
enum { BPF_F_MMAPABLE = 1 << 10 };

enum xdp_action { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };

struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
	__u32 egress_ifindex;
};

// Helper functions are called by number.
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static __u32 (*bpf_get_smp_processor_id)(void) = (void *)8;
static long (*bpf_redirect_map)(void *map, __u64 key, __u64 flags) = (void *)51;
static long (*bpf_xdp_adjust_meta)(struct xdp_md *xdp_md, int delta) = (void *)54;
static __u64 (*bpf_xdp_get_buff_len)(struct xdp_md *xdp_md) = (void *)188;

// be16 and be32 read what the network sends, le32 and le64 what Blaze writes.
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define be16(x) __builtin_bswap16(x)
#define be32(x) __builtin_bswap32(x)
#define le32(x) (x)
#define le64(x) (x)
#else
#define be16(x) (x)
#define be32(x) (x)
#define le32(x) __builtin_bswap32(x)
#define le64(x) __builtin_bswap64(x)
#endif

struct ethhdr {
	__u8 dest[6];
	__u8 source[6];
	__u16 proto;
};

struct vlanhdr {
	__u16 tci;
	__u16 proto; // of what follows
};

struct iphdr {
	__u8 version_ihl; // version << 4 | header length in words
	__u8 tos;
	__u16 tot_len; // bytes, header included
	__u16 id;
	__u16 frag_off; // flags << 13 | offset in units of 8 bytes
	__u8 ttl;
	__u8 protocol;
	__u16 check;
	__u32 saddr;
	__u32 daddr;
};

struct udphdr {
	__u16 source;
	__u16 dest;
	__u16 len; // bytes, header included
	__u16 check;
};
