//go:build unix

package main

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// TestSecondSignal: two signals at the same moment, as timeout(1) sends them, are
// one; another one later is the second.
func TestSecondSignal(t *testing.T) {
	called := make(chan struct{})
	defer onSecondSignal(func() { close(called) })()
	tell := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	tell()
	tell()
	select {
	case <-called:
		t.Fatal("two signals at the same moment count as two")
	case <-time.After(2 * sameMoment):
	}
	tell()
	select {
	case <-called:
	case <-time.After(10 * time.Second):
		t.Error("the second signal is not heard")
	}
}
