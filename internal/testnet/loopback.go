package testnet

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Loopback is an address and a cluster for a test alone, on loopback: tests that run at the same time do not receive
// each other.
func Loopback(t testing.TB) (uri, cluster string) {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return fmt.Sprintf("udp://239.255.66.76:%d", c.LocalAddr().(*net.UDPAddr).Port), fmt.Sprintf("test-%x", rand.Uint64())
}
