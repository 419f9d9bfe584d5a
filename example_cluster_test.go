package blaze_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/activeblaze/blaze"
)

// clusterMembers makes members of one cluster that are ready.
func clusterMembers(ctx context.Context, names ...string) (all []*blaze.ClusterChannel) {
	for _, name := range names {
		c, err := blaze.NewClusterChannel(name, blaze.Config{Cluster: cluster, ExpectedMembers: len(names),
			Totem: blaze.TotemConfig{Profile: blaze.Shared}}) // for a machine that others use too
		must(err)
		must(c.Start())
		all = append(all, c)
	}
	for _, c := range all {
		must(c.WaitReady(ctx))
	}
	return all
}

// What one member puts all members have; versions keep two that write at a time apart.
func ExampleMap() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	all := clusterMembers(ctx, "alice", "bob")
	alice, bob := all[0].Map("orders"), all[1].Map("orders")

	version, err := alice.Put(ctx, "17", []byte("buy 100 acme"))
	must(err)
	order, found, err := bob.GetLinear(ctx, "17") // sees what has returned anywhere; Get is at once, and may be behind
	must(err)
	fmt.Printf("%s %t %t\n", order.Value, found, order.Version == version)

	_, err = bob.CompareAndPut(ctx, "17", []byte("buy 50 acme"), version)
	must(err)
	_, err = alice.CompareAndPut(ctx, "17", []byte("buy 200 acme"), version)
	fmt.Println("alice was late:", errors.Is(err, blaze.ErrVersion))

	for _, c := range all {
		must(c.Shutdown())
	}
	// Output:
	// buy 100 acme true true
	// alice was late: true
}

// A watch gets what is there, and then every change, in the order that all members see.
func ExampleMap_Watch() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	all := clusterMembers(ctx, "alice")
	prices := all[0].Map("prices")
	_, err := prices.Put(ctx, "acme", []byte("101.5"))
	must(err)

	done := make(chan bool)
	stop := prices.Watch("", func(e blaze.MapEvent) {
		fmt.Printf("%v %s %s\n", e.Kind, e.Key, e.New.Value)
		if e.Kind == blaze.MapDeleted {
			close(done)
		}
	})
	defer stop()
	_, err = prices.Put(ctx, "acme", []byte("101.75"))
	must(err)
	must(prices.Delete(ctx, "acme"))
	<-done
	must(all[0].Shutdown())
	// Output:
	// present acme 101.5
	// put acme 101.75
	// deleted acme
}

// A lock is held by one at a time. Its token tells an outside resource which of two writers is the later one.
func ExampleMap_Lock() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	all := clusterMembers(ctx, "alice", "bob")
	alice, bob := all[0].Map("files"), all[1].Map("files")

	lock, err := alice.Lock(ctx, "ledger", blaze.Lease(5*time.Second))
	must(err)
	_, err = bob.TryLock(ctx, "ledger")
	fmt.Println("bob waits:", errors.Is(err, blaze.ErrLocked))
	_, err = alice.Put(ctx, "ledger", []byte("alice writes"), blaze.Holding(lock))
	must(err)
	must(lock.Unlock(ctx))

	next, err := bob.Lock(ctx, "ledger")
	must(err)
	fmt.Println("higher token:", next.Token() > lock.Token(), "held:", lock.Held(), next.Held())
	for _, c := range all {
		must(c.Shutdown())
	}
	// Output:
	// bob waits: true
	// higher token: true held: false true
}

// One member is master: the one of the highest weight, and of several the longest-serving.
func ExampleClusterChannel_OnMaster() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	all := clusterMembers(ctx, "alice", "bob")
	masters := make(chan string, 4)
	defer all[0].OnMaster(func(m blaze.Member) { masters <- m.Name })()
	must(all[1].SetMasterWeight(ctx, 10))
	for name := ""; name != "bob"; name = <-masters {
	}
	m, _ := all[0].Master()
	fmt.Println(m.Name, "is master")
	for _, c := range all {
		must(c.Shutdown())
	}
	// Output:
	// bob is master
}
