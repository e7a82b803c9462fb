//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// TestLastCheckpoint ends runs at several places: a checkpoint says that more was
// sent than it counts where the next part repeats what this one did, and only
// there.
func TestLastCheckpoint(t *testing.T) {
	t.Parallel() // it waits, most of the time
	for n, tt := range []struct {
		name  string
		flags []string
		end   func(*earful) bool
		want  bool
	}{
		{"in the sweep", []string{"--no-identify"}, func(met *earful) bool { return met.connections.Load() > 0 }, false},
		{"in the second pass", []string{"--no-identify", "--estimate"}, func(met *earful) bool { return met.connections.Load() > 12 }, true},
		{"in a dialogue", nil, func(met *earful) bool { return met.held.Load() > 0 }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, prefix := t.TempDir(), fmt.Sprintf("127.61.%d", n)
			met := silent(t, prefix)
			run, said := start(t, dir, append([]string{"scan", prefix + ".0/27", "--ports", "41947/tcp,41948/tcp", "--rate", "40", "--quiet"}, tt.flags...)...)
			for late := time.Now().Add(30 * time.Second); !tt.end(met) && time.Now().Before(late); {
				time.Sleep(5 * time.Millisecond)
			}
			if err := run.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if got := code(t, run); got != exitInterrupted {
				t.Fatalf("exit %d: %s", got, said)
			}
			var last struct{ Running bool }
			found, _ := filepath.Glob(filepath.Join(dir, "state", "dormant", "runs", "*", "position.json"))
			if len(found) != 1 {
				t.Fatalf("checkpoints %v, want one", found)
			}
			if b, err := os.ReadFile(found[0]); err != nil || json.Unmarshal(b, &last) != nil || last.Running != tt.want {
				t.Errorf("%s (%v): want running %t", b, err, tt.want)
			}
		})
	}
}

// earful is what silent listeners have heard so far.
type earful struct {
	connections atomic.Int32 // of the sweep and of dialogues
	held        atomic.Int32 // those of them that were not closed at once: dialogues
}

// silent listens on twelve addresses and says nothing.
func silent(t *testing.T, prefix string) *earful {
	t.Helper()
	h := &earful{}
	for last := range 12 {
		l, err := net.Listen("tcp", fmt.Sprintf("%s.%d:41947", prefix, last+1))
		if err != nil {
			t.Skipf("loopback addresses beyond 127.0.0.1 cannot be used here: %v", err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() { // ends when the listener is closed, above
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				h.connections.Add(1)
				go func() { // ends with the connection
					defer c.Close() //nolint:errcheck // nothing was written
					_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
					if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
						h.held.Add(1)
						_ = c.SetReadDeadline(time.Time{})
						_, _ = c.Read(make([]byte, 1))
					}
				}()
			}
		}()
	}
	return h
}
