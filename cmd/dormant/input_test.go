package main

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestReadRanges: every source of targets and of exclusions counts, above all the
// standing list, and one that cannot be read ends the command.
func TestReadRanges(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	targets, never := file("targets.txt", "10.0.1.0/31 # a site\n"), file("never.txt", "10.0.0.1\n")
	more, empty := file("more.txt", "10.0.1.1\n"), file("empty.txt", "")
	for _, tt := range []struct {
		name     string
		args     []string
		o        scanOptions
		standing string
		want     string // prefixes, or the error
	}{
		{"arguments", []string{"10.0.0.0/31"}, scanOptions{}, "missing", "10.0.0.0/31"},
		{"a file", nil, scanOptions{targetFiles: []string{targets}}, empty, "10.0.1.0/31"},
		{"stdin and a file", nil, scanOptions{targetFiles: []string{"-", targets}}, empty, "10.0.1.0/31 10.0.2.0/32"},
		{"excluded", []string{"10.0.0.0/31"}, scanOptions{exclude: []string{"10.0.0.0"}}, empty, "10.0.0.1/32"},
		{"excluded by a file", nil, scanOptions{targetFiles: []string{targets}, excludeFiles: []string{more}}, empty, "10.0.1.0/32"},
		{"excluded by the standing list", []string{"10.0.0.0/31"}, scanOptions{yes: true}, never, "10.0.0.0/32"},
		{"a standing list that is a folder", []string{"10.0.0.0/31"}, scanOptions{}, dir, "standing exclusions: " + dir + " is a folder"},
		{"a /12", []string{"10.0.0.0/12"}, scanOptions{}, empty, "10.0.0.0/12"},
		{"one more", []string{"10.0.0.0/12", "10.16.0.0"}, scanOptions{}, empty, "1048577 addresses are more than a /12"},
		{"one more, meant", []string{"10.0.0.0/12", "10.16.0.0"}, scanOptions{yes: true}, empty, "10.0.0.0/12 10.16.0.0/32"},
		{"public", []string{"8.8.8.8"}, scanOptions{}, empty, "8.8.8.8/32 is public address space"},
	} {
		a := &app{stdin: strings.NewReader("10.0.2.0\n"), log: slog.New(slog.DiscardHandler)}
		ranges, err := readRanges(t.Context(), a, &tt.o, tt.args, tt.standing)
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) || strings.HasPrefix(tt.want, "10.") {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
			continue
		}
		var want []netip.Prefix
		for _, p := range strings.Fields(tt.want) {
			prefix, err := netip.ParsePrefix(p)
			if err != nil {
				t.Fatalf("%s: no error; want %s", tt.name, tt.want)
			}
			want = append(want, prefix)
		}
		if d := cmp.Diff(want, ranges.Prefixes(), cmpopts.EquateComparable(netip.Prefix{})); d != "" {
			t.Errorf("%s: prefixes (-want +got):\n%s", tt.name, d)
		}
	}
}

// What is never scanned is not talked to either, also beside targets that may be.
func TestIdentifyHeedsTheStandingList(t *testing.T) {
	never := filepath.Join(t.TempDir(), "never.txt")
	if err := os.WriteFile(never, []byte("10.0.0.8/31\nfe80::9%lo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"10.0.0.7:1947 [fe80::8%lo]:1947":     "",
		"10.0.0.7:1947 10.0.0.9:1947/udp":     "target 10.0.0.9:1947/udp: " + never + " excludes it",
		"10.0.0.7:1947 [::ffff:10.0.0.8]:475": "target 10.0.0.8:475/tcp: " + never + " excludes it",
		"10.0.0.7:1947 [fe80::9%lo]:1947":     "target [fe80::9%lo]:1947/tcp: " + never + " excludes it",
		"10.0.0.9:1947":                       "the only address is excluded",
	} {
		targets, err := parseEndpoints(strings.Fields(args))
		if err != nil {
			t.Fatal(err)
		}
		a := &app{log: slog.New(slog.DiscardHandler)}
		err = allowed(t.Context(), a, &scanOptions{}, targets, never)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
