#!/bin/sh
# Says how to get clang where it is missing. Only whoever changes the XDP filter needs it.
command -v clang >/dev/null 2>&1 && command -v llvm-strip >/dev/null 2>&1 && exit 0
cat >&2 <<'END'
clang and llvm-strip, which compile the XDP filter in bpf/, are not installed:
  Debian, Ubuntu:  apt-get install clang llvm
  Fedora:          dnf install clang llvm
The committed object is made by clang 14, which Debian 12 has. No headers are needed; the wrapper
is written by a tool that comes with this module (go tool bpf2go).
END
exit 1
