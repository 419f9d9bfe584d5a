#!/usr/bin/env bash
# The member for Node: built, tested, packed; the package is installed in an empty folder and runs the first example of its
# README there. With Go, members of both languages talk to each other with a twentieth of the datagrams lost each way.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
if ! command -v npm >/dev/null; then
	echo "clients-node: npm is not there, which comes with Node 20 and later: the Node member is not built"
	exit 0
fi
cd clients/node
if grep -n '"resolved"' package-lock.json; then
	echo "clients-node: package-lock.json names where packages come from; make it with: npm install --omit-lockfile-registry-resolved" >&2
	exit 1
fi
npm ci --no-audit --no-fund --loglevel=error
npm run -s build
npm test -s

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tarball=$(npm pack --silent --ignore-scripts --pack-destination "$work")
mkdir "$work/empty"
cd "$work/empty"
npm init -y >/dev/null
npm install --no-audit --no-fund --loglevel=error --prefer-offline "$work/$tarball" >/dev/null
awk '/^```js$/ { on = 1; next } /^```$/ { if (on) exit } on' node_modules/@activeblaze/blaze/README.md >first.mjs
output=$(timeout 60 node first.mjs)
if [ "$output" != "prices.eu.bund 129.31" ]; then
	echo "clients-node: the first example of the README printed: $output" >&2
	exit 1
fi
npx --no-install blaze --help >/dev/null
echo "clients-node: $tarball, installed in an empty folder, runs the first example of its README"

cd "$root"
if command -v go >/dev/null; then
	go build -o "$work/interop" ./bench/interop
	"$work/interop" run -root "$root" -languages go,node -strict -parallel 2 \
		-only 'go→node 64B loss,node→go 64B loss,go→node 100KB loss,node→go 100KB loss'
else
	echo "clients-node: Go is not there, so no Go member was talked to"
fi
