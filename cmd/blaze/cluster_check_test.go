package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/activeblaze/blaze"
)

// What cluster check prints of a directory: sound, in use, damaged, not there.
func TestClusterCheck(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	dir := t.TempDir()
	c, err := blaze.NewClusterChannel("a", blaze.Config{BroadcastURI: s.uri, Cluster: s.cluster, DataDir: dir, ExpectedMembers: 1, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Shutdown() })
	for _, key := range []string{"k", "l"} {
		if _, err := c.Map("m").Put(t.Context(), key, []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	if _, stderr, status := s.run("blaze cluster check " + dir); status != statusFailed || !strings.Contains(stderr, "in use") {
		t.Errorf("in use: status %d, %s", status, stderr)
	}
	if err := c.Shutdown(); err != nil {
		t.Fatal(err)
	}
	out, stderr, status := s.run("blaze cluster check " + dir)
	for _, want := range []string{": sound\n", "opened 1 time\n", s.cluster + "\n", "(this one)\n", "2 entries in 1 map, 0 locks, "} {
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("status %d, it lacks %q:\n%s%s", status, want, out, stderr)
		}
	}
	if out, _, status := s.run("blaze cluster check --cluster other " + dir); status != 0 || !strings.Contains(out, "another one than other\n") {
		t.Errorf("status %d: %s", status, out)
	}
	out, _, _ = s.run("blaze cluster check --json " + dir)
	out = regexp.MustCompile(`("(?:index|committed|snapshot|\w*bytes|log_records)"):\d+`).ReplaceAllString(out, "$1:0")
	out = regexp.MustCompile(`"hash":"[0-9a-f]{16}"`).ReplaceAllString(out, `"hash":"HASH"`)
	out = regexp.MustCompile(`"chain":"\d+@`).ReplaceAllString(out, `"chain":"N@`)
	golden(t, "cluster-check", strings.ReplaceAll(out, dir, "DIR"))

	file := filepath.Join(dir, "blaze.db")
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, b[:8192], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, stderr, status := s.run("blaze cluster check " + dir); status != statusCondition || out != "" || !strings.Contains(stderr, "damaged") || !strings.Contains(stderr, "move the directory away") {
		t.Errorf("damaged: status %d, %s%s", status, out, stderr)
	}
	if _, stderr, status := s.run("blaze cluster check " + filepath.Join(dir, "none")); status != statusFailed || !strings.Contains(stderr, "none") {
		t.Errorf("not there: status %d, %s", status, stderr)
	}
}
