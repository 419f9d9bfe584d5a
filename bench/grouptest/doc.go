// Package grouptest has the tests of groups that need real processes: members that are killed, stopped and
// continued, that come and go, and that are flooded, over loopback. With -short they count only, and
// are short. Their long forms hold times as well, with twice the slack, and want a quiet host; those
// run with scripts/rig-test.sh.
package grouptest
