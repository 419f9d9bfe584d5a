#!/bin/sh
# Says how to get protoc where it is missing. Only whoever changes wire/blaze.proto needs it.
command -v protoc >/dev/null 2>&1 && exit 0
cat >&2 <<'END'
protoc, the protobuf compiler, is not installed. It also brings google/protobuf/any.proto:
  Debian, Ubuntu:  apt-get install protobuf-compiler libprotobuf-dev
  Fedora:          dnf install protobuf-compiler protobuf-devel
  macOS:           brew install protobuf
The plugin for Go comes with this module (go tool protoc-gen-go).
END
exit 1
