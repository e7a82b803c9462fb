package checkpoint

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dormant/scanner"
)

// edit changes one of a run's files.
func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace changes the first old.
func replace(old, by string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(by), 1) }
}

// TestEditedFilesAreRefused: no change to what is kept of a run is believed.
func TestEditedFilesAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		change     func([]byte) []byte
		want       string
	}{
		{"position moved on", "position.json", replace(`"next": 99`, `"next": 9999999`), "damaged or was edited"},
		{"journal shortened", "position.json", replace(`"journal_bytes": `, `"journal_bytes": -`), "damaged or was edited"},
		{"another sum", "position.json", replace(`"crc32c": "`, `"crc32c": "0`), "damaged or was edited"},
		{"sum away", "position.json", func(b []byte) []byte { return append(b[:len(b)-sumLen:len(b)-sumLen], "\n}\n"...) }, "damaged or was edited"},
		{"schema without sums, and a sum", "position.json", replace(`"schema": 2`, `"schema": 1`), "damaged or was edited"},
		{"half", "position.json", func(b []byte) []byte { return b[:len(b)/2] }, "damaged or was edited"},
		{"empty", "position.json", func([]byte) []byte { return nil }, "damaged or was edited"},
		{"something behind it", "position.json", func(b []byte) []byte { return append(b, '\n') }, "damaged or was edited"},
		{"other targets", "run.json", replace("10.0.0.0/24", "10.0.0.0/25"), "damaged or was edited"},
		{"another seed", "run.json", replace(`"seed": 7`, `"seed": 8`), "damaged or was edited"},
		{"of a later version", "run.json", func(b []byte) []byte { return seal([]byte("{\n  \"schema\": 3\n}")) }, "schema 3, want 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			fill(t, root)
			path := filepath.Join(root, "s_1", tt.file)
			edit(t, path, tt.change)
			r, err := Open(root, "s_1")
			if err == nil {
				t.Fatalf("Open succeeds, at %+v", r.Position)
			}
			if text := err.Error(); !strings.Contains(text, path) || !strings.Contains(text, tt.want) || strings.Contains(text, "\n") {
				t.Errorf("Open = %q, want one line with %s and %q", text, path, tt.want)
			}
		})
	}
}

// TestFilesWithoutASumAreRead: those of schema 1, which an earlier version left.
func TestFilesWithoutASumAreRead(t *testing.T) {
	root := t.TempDir()
	fill(t, root)
	for _, file := range []string{"run.json", "position.json"} {
		edit(t, filepath.Join(root, "s_1", file), func(b []byte) []byte {
			b = append(b[:len(b)-sumLen:len(b)-sumLen], "\n}\n"...)
			return replace(`"schema": 2`, `"schema": 1`)(b)
		})
	}
	r, err := Open(root, "s_1")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(scanner.Position{Round: 1, Dark: true, Next: 99}, r.Position); d != "" {
		t.Errorf("position (-want +got):\n%s", d)
	}
	if err := r.Save(r.Position); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err = Open(root, "s_1"); err != nil {
		t.Fatalf("its position was saved with a sum: Open = %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// FuzzSealed: no bit of a file can change.
func FuzzSealed(f *testing.F) {
	whole := seal([]byte("{\n  \"schema\": 2,\n  \"journal_bytes\": 18\n}"))
	f.Add(0, byte(1))
	f.Add(len(whole)-1, byte(0x80))
	f.Fuzz(func(t *testing.T, at int, change byte) {
		if !sealed(whole) {
			t.Fatal("what seal made is not sealed")
		}
		b := bytes.Clone(whole)
		b[uint(at)%uint(len(b))] ^= change
		if sealed(b) != (change == 0) {
			t.Errorf("sealed(%q) = %t", b, change != 0)
		}
		if change != 0 && sealed(b[:uint(at)%uint(len(b))]) {
			t.Errorf("cut at %d it is sealed", at)
		}
	})
}
