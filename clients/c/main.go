// The C library: libblaze.so, built with -buildmode=c-shared. blaze.h is its contract, docs/c.md its manual.
//
// A call comes through three layers. blaze.c has the functions of blaze.h: it keeps the text of a thread's last failure,
// refuses calls of a forked process, and builds the structs that callbacks are given. The exports of this package turn C's
// types into Go's. Package internal/abi does the work.
package main

func main() {}
