#!/bin/sh
# Regenerates the code that comes from wire/blaze.proto and fails when that changes it.
# The comment with protoc's own version is not compared: any version writes the same code.
set -eu
cd "$(dirname "$0")/.."
scripts/need-protoc.sh
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
cp -R wire/wirepb/. "$before"
go generate ./wire
if ! diff -ru -I '^//.*protoc ' "$before" wire/wirepb; then
	echo "wire/wirepb was not what wire/blaze.proto generates; it is now: commit it" >&2
	exit 1
fi
echo "wire/wirepb is what wire/blaze.proto generates"
