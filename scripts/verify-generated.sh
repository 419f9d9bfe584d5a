#!/bin/sh
# Regenerates the code that comes from wire/blaze.proto and fails when that changes it.
# The comment with protoc's own version is not compared: any version writes the same code.
set -eu
cd "$(dirname "$0")/.."
scripts/need-protoc.sh
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT

# The Python member's. What protoc writes for Python changes with its version, so only the one of Debian 12 is compared.
if protoc --version | grep -q ' 3\.21\.'; then
	protoc -Iwire -I/usr/include --python_out="$before" blaze.proto
	if ! diff -u clients/python/blaze/_generated/blaze_pb2.py "$before/blaze_pb2.py"; then
		cp "$before/blaze_pb2.py" clients/python/blaze/_generated/
		echo "clients/python/blaze/_generated was not what wire/blaze.proto generates; it is now: commit it" >&2
		exit 1
	fi
	rm "$before/blaze_pb2.py"
	echo "clients/python/blaze/_generated is what wire/blaze.proto generates"
else
	echo "clients/python/blaze/_generated is not checked: it needs protoc 3.21, not $(protoc --version)"
fi

cp -R wire/wirepb/. "$before"
go generate ./wire
if ! diff -ru -I '^//.*protoc ' "$before" wire/wirepb; then
	echo "wire/wirepb was not what wire/blaze.proto generates; it is now: commit it" >&2
	exit 1
fi
echo "wire/wirepb is what wire/blaze.proto generates"

# The Node member's, where npm is.
if command -v npm >/dev/null; then
	cp clients/node/src/gen/blaze_pb.ts "$before/blaze_pb.ts.node"
	(cd clients/node && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && npm run -s generate) >/dev/null
	if ! diff -u "$before/blaze_pb.ts.node" clients/node/src/gen/blaze_pb.ts; then
		echo "clients/node/src/gen was not what wire/blaze.proto generates; it is now: commit it" >&2
		exit 1
	fi
	echo "clients/node/src/gen is what wire/blaze.proto generates"
else
	echo "clients/node/src/gen is not checked: npm is not there"
fi
