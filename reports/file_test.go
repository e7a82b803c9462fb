package reports_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dormant/fingerprint"
	"dormant/reports"
	"dormant/reports/sinktest"
)

func list(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestFileStandsOnlyWhenComplete(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.csv")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	s, err := reports.OpenFile(path, reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), sinktest.Findings()[0]); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Fatalf("before Close the file holds %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(got), "schema,") || strings.Count(string(got), "\r\n") != 2 {
		t.Errorf("after Close: %q, %v", got, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("mode = %v, %v; want that of the old file", st.Mode(), err)
	}
	if got := list(t, dir); got != "audit.csv" {
		t.Errorf("the folder holds %s", got)
	}
}

func TestFullDiskIsSaidOnce(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	file, err := reports.OpenFile("/dev/full", reports.Options{Format: "csv"})
	if err != nil {
		t.Fatal(err)
	}
	s := reports.NewSorted(reports.Multi(file), t.TempDir())
	for i := range 2000 { // more than the buffer holds
		f := sinktest.Findings()[0]
		f.Port = uint16(i + 1)
		if err := s.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err == nil || strings.Count(err.Error(), "no space left") != 1 {
		t.Errorf("Close = %v; want one line about the full disk", err)
	}
}

func TestFileAbort(t *testing.T) {
	dir := t.TempDir()
	s, err := reports.OpenFile(filepath.Join(dir, "audit.jsonl"), reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), sinktest.Findings()[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.Abort(); err != nil {
		t.Error(err)
	}
	if got := list(t, dir); got != "" {
		t.Errorf("Abort leaves %s", got)
	}
}

func TestFileThroughSymlink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real.csv"), filepath.Join(dir, "link.csv")
	if err := os.WriteFile(real, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	s, err := reports.OpenFile(link, reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", st.Mode(), err)
	}
	if st, err := os.Stat(real); err != nil || st.Size() == 0 {
		t.Errorf("the file behind the link was not written: %v", err)
	}
}

func TestFileDiskFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	s, err := reports.OpenFile("/dev/full", reports.Options{Format: "csv"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("Close on a full disk = %v", err)
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := list(t, dir)
	for _, tt := range []struct{ name, path, want string }{
		{name: "new", path: "audit.csv"},
		{name: "exists", path: "file"},
		{name: "no such folder", path: "none/audit.csv", want: "none does not exist"},
		{name: "a folder", path: "folder", want: "is a folder"},
		{name: "below a file", path: "file/audit.csv", want: "file/audit.csv"},
	} {
		err := reports.Check(filepath.Join(dir, tt.path))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: Check = %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := reports.Check("/proc/audit.csv"); err == nil { // also for root
		t.Error("Check(/proc/audit.csv) accepted it")
	}
	if err := reports.Check(""); err == nil {
		t.Error("Check of no name accepted it")
	}
	if got := list(t, dir); got != before {
		t.Errorf("Check leaves %s, before %s", got, before)
	}
}

func TestFormatOf(t *testing.T) {
	for _, tt := range []struct {
		name, path, format, want string
		ok                       bool
	}{
		{name: "extension", path: "a/b.csv", want: "csv", ok: true},
		{name: "upper case", path: "B.CSV", want: "csv", ok: true},
		{name: "second extension", path: "b.ndjson", want: "jsonl", ok: true},
		{name: "by name", path: "-", format: "jsonl", want: "jsonl", ok: true},
		{name: "unknown", path: "b.doc"},
		{name: "none", path: "audit"},
		{name: "unknown name", path: "b.csv", format: "cvs"},
	} {
		got, err := reports.Options{Format: tt.format}.FormatOf(tt.path)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s: FormatOf(%q) = %q, %v; want %q, ok %t", tt.name, tt.path, got, err, tt.want, tt.ok)
		}
	}
}

// failing is a sink whose third Write fails, as on a disk that is full for a
// moment: Close must not complete the file all the same.
func TestFileAfterFailedWrite(t *testing.T) {
	dir := t.TempDir()
	s, err := reports.OpenFile(filepath.Join(dir, "audit.csv"), reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := reports.Multi(s, new(broken))
	if err := m.Write(t.Context(), sinktest.Findings()[0]); err == nil {
		t.Fatal("the broken sink said nothing")
	}
	if err := m.Close(); err == nil {
		t.Fatal("the broken sink said nothing")
	}
	if got := list(t, dir); got != "audit.csv" {
		t.Errorf("beside a broken sink the folder holds %q, want audit.csv", got)
	}
}

func TestSortedOrder(t *testing.T) {
	for _, rows := range []int{3, 7, 1000} {
		t.Run(fmt.Sprint(rows, " rows held"), func(t *testing.T) {
			k := new(kept)
			dir := t.TempDir()
			s := reports.NewSortedRows(k, dir, rows)
			want := sinktest.Findings()
			for i := range want { // a fixed disorder: 5 and 16 have no common factor
				f := sinktest.Findings()[i*5%len(want)]
				if err := s.Write(t.Context(), f); err != nil {
					t.Fatal(err)
				}
				for k := range f.Flags {
					f.Flags[k] = "spoiled"
				}
			}
			if got := list(t, dir); got != "" {
				t.Errorf("during the sort the folder holds %s", got)
			}
			if err := s.Close(); err != nil || !k.closed {
				t.Fatalf("Close = %v, closed %t", err, k.closed)
			}
			if d := diff(want, k.findings); d != "" {
				t.Errorf("findings (-want +got):\n%s", d)
			}
		})
	}
}

func TestSortedGivesTheLastOfEqualKeys(t *testing.T) {
	k := new(kept)
	s := reports.NewSortedRows(k, t.TempDir(), 2)
	f := sinktest.Findings()[0]
	for i := range 9 {
		f.Note = fmt.Sprint(i)
		if err := s.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var got string
	for _, f := range k.findings {
		got += f.Note
	}
	if got != "8" {
		t.Errorf("order %s, want only the last, 8", got)
	}
}

func TestSortedCannotSpill(t *testing.T) {
	k := new(kept)
	s := reports.NewSortedRows(k, filepath.Join(t.TempDir(), "none"), 1)
	if err := s.Write(t.Context(), sinktest.Findings()[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Write = %v, want that there is no folder", err)
	}
	if err := s.Close(); err == nil || !k.closed {
		t.Errorf("Close = %v, closed %t; want the error and the next sink closed", err, k.closed)
	}
}

// counting is a sink that only counts.
type counting struct{ n int }

func (c *counting) Write(context.Context, reports.Finding) error { c.n++; return nil }
func (c *counting) Close() error                                 { return nil }

// TestSortedIsBoundedInBytes: much evidence goes to the disk before there are many
// findings. There is none here, so that it is seen when.
func TestSortedIsBoundedInBytes(t *testing.T) {
	megabyte := make([]byte, 1<<20)
	signs := make([]fingerprint.Sign, 2<<10)
	for _, tt := range []struct {
		name string
		f    reports.Finding
	}{
		{"dialogues", reports.Finding{Dialogue: &fingerprint.Evidence{Exchanges: []fingerprint.Exchange{{Received: megabyte}}}}},
		{"certificates", reports.Finding{Dialogue: &fingerprint.Evidence{Exchanges: []fingerprint.Exchange{{TLS: &fingerprint.TLSInfo{Chain: [][]byte{megabyte}}}}}}},
		{"signs", reports.Finding{Full: &fingerprint.Verdict{Signs: signs}}},
	} {
		s := reports.NewSorted(&kept{}, filepath.Join(t.TempDir(), "none"))
		n := 0
		for n < 100 && s.Write(t.Context(), tt.f) == nil {
			n++
		}
		if n < 50 || n > 64 {
			t.Errorf("%s: %d MiB were held, want at most 64", tt.name, n)
		}
	}
}
