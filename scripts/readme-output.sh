#!/usr/bin/env bash
# Runs the commands that README.md shows and puts what they print between its markers
# (<!-- output:NAME --> … <!-- /output:NAME -->). For a quiet machine, before a release.
set -euo pipefail
cd "$(dirname "$0")/.."
output=$(mktemp)
trap 'rm -f "$output" "$output.md"' EXIT

# paste NAME COMMAND... replaces the part of README.md that NAME marks. Output of a failing
# command is not pasted.
paste() {
	local name=$1
	shift
	echo "== $*"
	"$@" >"$output"
	cat "$output"
	grep -q "^<!-- output:$name -->\$" README.md || { echo "README.md has no marker output:$name" >&2; exit 1; }
	awk -v name="$name" -v file="$output" '
		$0 == "<!-- /output:" name " -->" { inside = 0 }
		!inside { print }
		$0 == "<!-- output:" name " -->" {
			inside = 1
			print "```"
			while ((getline line < file) > 0) print line
			print "```"
		}' README.md >"$output.md"
	cat "$output.md" >README.md
}

paste tour go run ./cmd/blazebench
paste test make --no-print-directory test
