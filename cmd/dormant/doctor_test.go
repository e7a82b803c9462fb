package main

import (
	"strings"
	"testing"
)

func TestReadExclusions(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     uint64
		fault    string // a part of the error
	}{
		{"nothing", "# only a comment\n\n", 0, ""},
		{"one", "10.0.0.5\n", 1, ""},
		{"overlapping", "10.0.0.0/24\n10.0.0.128/25 10.0.1.0-10.0.1.9 # printers\n", 266, ""},
		{"IPv6 and names count as nothing", "fd00::/64\nprinter.example.com\n", 0, ""},
		{"everything", "0.0.0.0/0\n", 223 << 24, ""},
		{"no such form", "10.0.0.5\n10.0.0.0/33\n", 0, "never:2:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readExclusions(t.Context())("never", strings.NewReader(tt.in))
			if got != tt.want || (err != nil) != (tt.fault != "") {
				t.Fatalf("readExclusions = %d, %v; want %d", got, err, tt.want)
			}
			if err != nil && !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("error %q, want %q in it", err, tt.fault)
			}
		})
	}
}
