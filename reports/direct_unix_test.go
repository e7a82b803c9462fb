//go:build unix

package reports_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dormant/reports"
	"dormant/reports/sinktest"
)

func TestPipeWithoutReaderIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.csv")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := reports.OpenFile(path, reports.Options{})
	if err == nil {
		t.Fatal(s.Abort())
	}
	if !strings.Contains(err.Error(), "nobody reads from this pipe") {
		t.Errorf("OpenFile = %v", err)
	}
}

func TestPipeWithReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.csv")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() { // ends when the sink closes the pipe
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		got <- string(text)
	}()
	s, err := reports.OpenFile(path, reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 { // more than a pipe holds
		if err := s.Write(t.Context(), sinktest.Findings()[0]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(<-got, "\r\n"); n != 1001 {
		t.Errorf("the reader got %d records, want 1001", n)
	}
}
