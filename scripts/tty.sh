#!/usr/bin/env bash
# Runs a command in a terminal of so many columns and rows (tmux), prints what the terminal shows at the end, and fails
# when a line was broken by the terminal, when something of a line of progress is left, or when the command fails.
#
#   scripts/tty.sh 80 24 go run ./cmd/blazebench --duration 400ms
#
# TTY_TERM is the TERM that the command sees, instead of tmux' own: dumb, for instance.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: $0 COLUMNS ROWS COMMAND..." >&2; exit 2; }
command -v tmux >/dev/null || { echo "$0: it needs tmux" >&2; exit 5; }
columns=$1 rows=$2
shift 2
dir=$(mktemp -d)
socket=$dir/tmux
cleanup() {
	tmux -S "$socket" kill-server 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT
{
	[ -z "${TTY_TERM:-}" ] || printf 'export TERM=%q\n' "$TTY_TERM"
	printf 'cd %q\n' "$PWD"
	printf '%q ' "$@"
	printf '\necho $? >%q\n' "$dir/status"
	printf 'while [ ! -e %q ]; do sleep 0.1; done\n' "$dir/seen"
} >"$dir/run"
tmux -S "$socket" -f /dev/null new-session -d -x "$columns" -y "$rows" "bash $dir/run"
tmux -S "$socket" set-option -g history-limit 100000 >/dev/null
while [ ! -e "$dir/status" ]; do sleep 0.2; done
tmux -S "$socket" capture-pane -p -S - >"$dir/lines"
tmux -S "$socket" capture-pane -p -J -S - | sed 's/ *$//' >"$dir/joined"
touch "$dir/seen"
cat "$dir/lines"
bad=0
if [ "$(wc -l <"$dir/lines")" -ne "$(wc -l <"$dir/joined")" ]; then
	echo "tty: lines were broken by the terminal:" >&2
	awk -v n="$columns" 'length($0) > n' "$dir/joined" >&2
	bad=1
fi
if grep -nE '^\[[0-9]+/[0-9]+|…$' "$dir/lines" >&2; then
	echo "tty: that is left of the progress" >&2
	bad=1
fi
status=$(cat "$dir/status")
[ "$status" -eq 0 ] || { echo "tty: the command ended with $status" >&2; bad=1; }
exit $bad
