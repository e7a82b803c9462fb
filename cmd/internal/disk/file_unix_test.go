//go:build unix

package disk

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := Lock(path); f != nil || !errors.Is(err, ErrLocked) {
		t.Errorf("Lock of a locked file = %v, %v; want %v", f, err, ErrLocked)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if again, err := Lock(path); err != nil || again.Close() != nil {
		t.Errorf("Lock after the end of another = %v", err)
	}
	if _, err := Lock(filepath.Join(path, "below a file")); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("Lock below a file = %v; want another error than that somebody holds it", err)
	}
}
