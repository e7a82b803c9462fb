package doctor

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func lines(_ string, r io.Reader) (uint64, error) {
	text, err := io.ReadAll(r)
	return uint64(bytes.Count(text, []byte("\n"))), err
}

func TestEnds(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{"10.0.0.0/24 10.9.0.0/30", []string{"10.0.0.1", "10.9.0.2"}},
		{"10.0.0.0/24", []string{"10.0.0.1", "10.0.0.254"}},
		{"10.0.0.77/16", []string{"10.0.0.1", "10.0.255.254"}},
		{"10.0.0.4/31", []string{"10.0.0.4", "10.0.0.5"}},
		{"10.0.0.5/32", []string{"10.0.0.5"}},
		{"0.0.0.0/0", []string{"0.0.0.1", "255.255.255.254"}},
		{"fd00::/120", []string{"fd00::1", "fd00::fe"}},
		{"::1/128", []string{"::1"}},
	} {
		var got []string
		var prefixes []netip.Prefix
		for _, p := range strings.Fields(tt.in) {
			prefixes = append(prefixes, netip.MustParsePrefix(p))
		}
		for _, a := range ends(prefixes) {
			got = append(got, a.String())
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("ends(%s) (-want +got):\n%s", tt.in, d)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path string
		ok         bool
	}{
		{"is there", dir, true},
		{"can be made", filepath.Join(dir, "a", "b"), true},
		{"is a file", file, false},
	} {
		if f := folder(tt.path); (f.Err == nil) != tt.ok {
			t.Errorf("%s: folder(%s) = %v, want ok %t", tt.name, tt.path, f.Err, tt.ok)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNeverScan(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	if err := os.WriteFile(good, []byte("10.0.0.1\n10.0.0.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for _, tt := range []struct {
		name, path string
		read       func(string, io.Reader) (uint64, error)
		want       NeverScan
	}{
		{"missing", filepath.Join(dir, "none"), lines, NeverScan{Path: filepath.Join(dir, "none"), Missing: true}},
		{"good", good, lines, NeverScan{Path: good, IPv4: 2}},
		{"broken", good, func(string, io.Reader) (uint64, error) { return 0, broken }, NeverScan{Path: good, Err: broken}},
	} {
		if d := cmp.Diff(tt.want, neverScan(tt.path, tt.read), cmpopts.EquateErrors()); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

// What holds on every host that can run a test.
func TestGather(t *testing.T) {
	loopback := netip.MustParsePrefix("127.0.0.1/32")
	f := Gather(t.Context(), Question{
		Groups:     []Group{{Text: "127.0.0.1", Prefixes: []netip.Prefix{loopback}}},
		State:      t.TempDir(),
		NeverScan:  filepath.Join(t.TempDir(), "none"),
		Exclusions: lines,
	})
	if f.Proxy != (Proxy{}) {
		t.Errorf("proxy = %+v, want a refusal", f.Proxy)
	}
	if len(f.Routes) != 1 || len(f.Routes[0].Hops) != 1 || !f.Routes[0].Hops[0].Local {
		t.Errorf("routes = %+v, want one to this host itself", f.Routes)
	}
	if !f.NeverScan.Missing || f.State.Err != nil || f.Temp.Err != nil || time.Since(f.Clock.Now) > time.Minute {
		t.Errorf("facts = %+v", f)
	}
	if len(f.Interfaces) == 0 || len(Examine(f)) < 10 {
		t.Errorf("interfaces = %+v", f.Interfaces)
	}
}
