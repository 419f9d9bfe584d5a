package main

import (
	"log"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/testnet"
)

// The test's own binary is a member where its environment says so.
func TestMain(m *testing.M) {
	if name := os.Getenv("EXAMPLE_MEMBER"); name != "" {
		cfg := blaze.Config{Name: name, Cluster: os.Getenv("EXAMPLE_CLUSTER"), BroadcastURI: os.Getenv("EXAMPLE_URI"), ExpectedMembers: 3,
			Totem: blaze.TotemConfig{Profile: blaze.Shared}}
		if err := member(cfg, os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	uri, cluster := testnet.Loopback(t)
	var out strings.Builder
	if err := run(func(name string) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "EXAMPLE_MEMBER="+name, "EXAMPLE_CLUSTER="+cluster, "EXAMPLE_URI="+uri)
		return cmd
	}, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	const want = `a is ready with 0 orders
b is ready with 0 orders
c is ready with 0 orders
a: put 17 buy 100 acme: done
b: get 17: buy 100 acme
a is killed
b: put 18 sell 50 acme: done
c: get 17: buy 100 acme
a is ready with 2 orders
a: get 18: sell 50 acme
`
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", &out, want)
	}
}
