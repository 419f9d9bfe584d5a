package grouptest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/groupmember"
)

// awaitExactly waits until each has all of them in its list, as they are, and nobody else.
func awaitExactly(t *testing.T, all []*groupmember.Remote) {
	t.Helper()
	var last []groupmember.Answer
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if last = doAll(t, all, groupmember.Command{Do: groupmember.DoMembers}); right(all, last) {
			return
		}
	}
	for i, a := range last {
		t.Errorf("%s %s has\n%s", all[i].Order.Name, all[i].ID, table(a.Members))
	}
	t.FailNow()
}

// right reports whether all lists are the same, and the ids those of the members that there are.
func right(all []*groupmember.Remote, lists []groupmember.Answer) bool {
	var ids []string
	for _, m := range all {
		ids = append(ids, m.ID)
	}
	slices.Sort(ids)
	for _, a := range lists {
		var in []string
		for _, m := range a.Members {
			in = append(in, m.ID)
		}
		if !slices.Equal(ids, in) || table(a.Members) != table(lists[0].Members) {
			return false
		}
	}
	return true
}

// Processes join, leave and are killed in random order: every process ends with the same list, and the list
// is right. What each was told of the others leads to the same list.
func TestChurn(t *testing.T) {
	if testing.Short() {
		t.Skip("twenty processes for half a minute: make rig-test does it")
	}
	slots, duration := 20, 30*time.Second
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	p := newPlan(t)
	names := []string{"a", "b", "c"}
	var here []*groupmember.Remote
	groups := map[*groupmember.Remote][]string{}
	joined, left, killed, changed := 0, 0, 0, 0
	for end := time.Now().Add(duration); time.Now().Before(end); {
		switch n := rng.IntN(10); {
		case len(here) == 0 || n < 4 && len(here) < slots:
			// Several at once, as they come.
			k := 1 + rng.IntN(min(3, slots-len(here)))
			some := p.start(t, k, func(i int, o *groupmember.Order) {
				if rng.IntN(2) == 0 {
					o.Groups = []string{names[rng.IntN(len(names))]}
				}
			})
			for _, m := range some {
				groups[m] = slices.Clone(m.Order.Groups)
			}
			here = append(here, some...)
			joined += k
		case n < 6 && len(here) > 1:
			i := rng.IntN(len(here))
			m := here[i]
			here = slices.Delete(here, i, i+1)
			if rng.IntN(2) == 0 {
				if err := m.Kill(); err != nil {
					t.Fatal(err)
				}
				killed++
			} else {
				do(t, m, groupmember.Command{Do: groupmember.DoStop})
				left++
			}
			m.Close(2 * time.Second)
		default:
			m, name := here[rng.IntN(len(here))], names[rng.IntN(len(names))]
			c := groupmember.Command{Do: groupmember.DoJoin, Name: name}
			if i := slices.Index(groups[m], name); i >= 0 {
				c.Do = groupmember.DoLeave
				groups[m] = slices.Delete(groups[m], i, i+1)
			} else {
				groups[m] = append(groups[m], name)
			}
			do(t, m, c)
			changed++
		}
	}
	began := time.Now()
	awaitExactly(t, here)
	t.Logf("%d joined, %d left, %d were killed, %d changes of groups; the same list at all %d after %v",
		joined, left, killed, changed, len(here), time.Since(began).Round(time.Millisecond))
	want := doAll(t, here[:1], groupmember.Command{Do: groupmember.DoMembers})[0].Members
	for _, m := range want {
		i := slices.IndexFunc(here, func(r *groupmember.Remote) bool { return r.ID == m.ID })
		in := slices.Sorted(slices.Values(groups[here[i]]))
		if m.Name != here[i].Order.Name || !slices.Equal(m.Groups, in) {
			t.Errorf("%s is in %v: the list has %s in %v", here[i].Order.Name, in, m.Name, m.Groups)
		}
	}
	// Handlers may be told a moment later than lists change.
	var logs []groupmember.Answer
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		logs = doAll(t, here, groupmember.Command{Do: groupmember.DoLog})
		same := true
		for i, a := range logs {
			same = same && table(replay(t, here[i].Order.Name, a.Log)) == table(want)
		}
		if same || t.Failed() {
			break
		}
		if time.Now().After(end) {
			for i, a := range logs {
				t.Errorf("%s was told\n%s\nthe list is\n%s", here[i].Order.Name, table(replay(t, here[i].Order.Name, a.Log)), table(want))
			}
			break
		}
	}
}
