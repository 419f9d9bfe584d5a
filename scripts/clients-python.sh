#!/bin/sh
# The Python member: its tests, beside a Go member too, and its wheel, built without an index of packages, installed in an
# environment that has nothing but Debian's python3-protobuf, and tried with the first example of its README.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-/usr/bin/python3}
command -v "$python" >/dev/null || python=python3
if ! "$python" -c 'import sys, google.protobuf, venv, ensurepip, setuptools, wheel; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	echo "the Python member needs Python 3.11 with its packages; on Debian:" >&2
	echo "  apt-get install python3 python3-protobuf python3-venv python3-setuptools python3-wheel python3-crc32c" >&2
	exit 1
fi
"$python" -c 'import crc32c' 2>/dev/null || echo "python3-crc32c is not there: the tests do without"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1

if [ -z "${BLAZE_GO:-}" ] && command -v go >/dev/null; then
	go build -o "$work/blaze" ./cmd/blaze
	BLAZE_GO=$work/blaze
	export BLAZE_GO
fi
(cd clients/python && "$python" -m unittest)

cp -R clients/python "$work/source" # what setuptools leaves behind stays out of the repository
"$python" -m venv --system-site-packages "$work/build"
(cd "$work/source" && "$work/build/bin/python" -m pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir "$work/wheels" .)
"$python" -m venv --system-site-packages "$work/empty"
"$work/empty/bin/python" -m pip install --quiet --no-index "$work"/wheels/blaze-*.whl
sed -n '/^```python$/,/^```$/p' clients/python/README.md | sed '1d; /^```$/,$d' >"$work/example.py"
cd "$work"
got=$(timeout 30 "$work/empty/bin/python" example.py)
if [ "$got" != "prices.eu.bund 131.4 7" ]; then
	echo "the first example of clients/python/README.md printed: $got" >&2
	exit 1
fi
timeout 30 "$work/empty/bin/python" -m blaze sub --help >/dev/null
echo "the wheel $(basename wheels/blaze-*.whl) works in an empty environment"
