package main

import "testing"

// Commands that enter the ring of the cluster.
func TestRingScripts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		script, stdout string
		status         int
	}{
		{`blaze map put m owned x --remove-on-exit >v & p=$!; until test -s v; do sleep 0.01; done; blaze map get m owned; kill -INT $p; wait $p; echo $?; blaze map get m owned --linear`, "x\n130\n", statusFailed},
		{`blaze map put m owned x --remove-on-exit >v & p=$!; until test -s v; do sleep 0.01; done; kill -KILL $p; until ! blaze map get m owned >/dev/null 2>&1; do sleep 0.1; done; echo gone`, "gone\n", 0},
		{`blaze lock m job -- sh -c 'test $BLAZE_TOKEN -gt 0 && echo held'`, "held\n", 0},
		{`blaze lock m job -- sh -c 'exit 17'`, "", 17},
		{`blaze lock m job -q -- sh -c 'touch in; until test -e out; do sleep 0.01; done' & until test -e in; do sleep 0.01; done
			blaze lock m job --try -- echo no; a=$?; blaze map put m job x; b=$?; touch out; wait; blaze lock m job --try -- echo $a $b`, "5 5\n", 0},
		{`blaze lock m job -- no-such-command`, "", statusFailed},
	} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			s := newShell(t)
			s.clusterOf(2, 2)
			s.want(c.script, c.stdout, c.status)
		})
	}
}
