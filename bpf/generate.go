package bpf

// The object is reproducible with clang 14, which Debian 12 has; other versions make other
// bytes. No system header is read.
//go:generate go tool bpf2go -tags linux -type keys -output-stem filter -cflags "-O2 -g -Wall -Wextra -Werror -mcpu=v3 -nostdinc" filter blaze.bpf.c
