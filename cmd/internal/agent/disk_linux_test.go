package agent

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestFullDisk fills a small disk of its own: what is in the spool stays whole,
// and the spool goes on when there is room again.
func TestFullDisk(t *testing.T) {
	skip, done := "", make(chan struct{})
	go func() { // ends with the test; its thread, which has mounts of its own, ends with it
		defer close(done)
		runtime.LockOSThread()
		dir := t.TempDir()
		err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k")
		}
		if err != nil {
			skip = fmt.Sprintf("no small disk can be mounted here: %v", err)
			return
		}
		fillUp(t, filepath.Join(dir, "spool"))
	}()
	<-done
	if skip != "" {
		t.Skip(skip)
	}
}

func fillUp(t *testing.T, dir string) {
	s, err := openSpool(dir, 1<<30, shy())
	if err != nil {
		t.Error(err)
		return
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	var want []record
	for n := 1; ; n++ {
		r := message(n)
		r.data = make([]byte, 30<<10)
		_, err := s.append(t.Context(), r)
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil || n > 20 {
			t.Errorf("append %d to a disk of 256 KB = %v, want that it is full", n, err)
			return
		}
		want = append(want, r)
	}
	last := message(99)
	if _, err := s.append(t.Context(), last); err == nil { // a small one may still fit
		want = append(want, last)
	} else if !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if d := cmp.Diff(want, drain(t, s), compare()); d != "" {
		t.Errorf("records of a full disk (-want +got):\n%s", d)
	}
	if _, err := s.append(t.Context(), want[0]); err != nil {
		t.Errorf("append when there is room again: %v", err)
	}
	if got := drain(t, s); len(got) != 1 {
		t.Errorf("%d records, want 1", len(got))
	}
}
