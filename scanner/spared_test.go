package scanner

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestSpared(t *testing.T) {
	names := func(_ context.Context, name string) ([]netip.Addr, error) {
		if name == "plc.example" {
			return []netip.Addr{netip.MustParseAddr("10.9.9.9")}, nil
		}
		return nil, errors.New("no such host")
	}
	text := "# old controllers\n10.0.0.0/30, 10.0.1.5-7\nplc.example\nfe80::1%eth0\n2001:db8::/126\n"
	s, err := ParseSpared(t.Context(), "fragile host", []List{{"fragile.txt", strings.NewReader(text)}, {"empty.txt", strings.NewReader("# none\n")}}, names)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{
		"10.0.0.3": true, "10.0.0.4": false, "10.0.1.6": true, "10.0.1.8": false, "10.9.9.9": true, "::ffff:10.0.0.1": true,
		"fe80::1%eth0": true, "fe80::1%eth1": false, "2001:db8::3": true, "2001:db8::4": false,
	} {
		if got := s.Contains(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Contains(%s) = %t, want %t", addr, got, want)
		}
	}
	for text, want := range map[string]string{
		"10.0.0.1\n10.0.0.0/33\n": "scanner: fragile.txt:2: fragile host \"10.0.0.0/33\"",
		"nowhere.example\n":       "scanner: fragile.txt:1: fragile host \"nowhere.example\" does not resolve",
	} {
		_, err := ParseSpared(t.Context(), "fragile host", []List{{"fragile.txt", strings.NewReader(text)}}, names)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("ParseSpared(%q) = %v, want %s…", text, err, want)
		}
	}
}
