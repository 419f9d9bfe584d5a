//go:build !linux

package blaze_test

import (
	"fmt"
	"testing"

	"github.com/activeblaze/blaze"
)

func testURI(_ testing.TB, port int) string { return fmt.Sprintf("udp://239.255.66.77:%d", port) }

func inNetwork(_ testing.TB, _ blaze.Config, start func()) { start() }

func socketsOnly(testing.TB) {}
