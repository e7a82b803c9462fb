package main

import (
	"net/netip"
	"testing"

	"dormant/scanner/listeners"
)

func TestBoundTo(t *testing.T) {
	addrs := func(all ...string) (out []netip.Addr) {
		for _, a := range all {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	four, six := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	for _, tt := range []struct {
		name string
		l    listeners.Listener
		want string
	}{
		{"one address", listeners.Listener{Bound: addrs("10.0.0.1")[0], Addrs: addrs("10.0.0.1")}, "10.0.0.1"},
		{"all", listeners.Listener{Bound: four, Addrs: addrs("10.0.0.1")}, "0.0.0.0 (every address)"},
		{"both families", listeners.Listener{Bound: six, Addrs: addrs("10.0.0.1", "fd00::1")}, ":: (every address)"},
		{"IPv6 only", listeners.Listener{Bound: six, Addrs: addrs("fd00::1")}, ":: (every IPv6 address)"},
		{"by the loopback interface", listeners.Listener{Bound: four, Addrs: addrs("127.0.0.1")}, "0.0.0.0 (only loopback)"},
		{"a client", listeners.Listener{Role: listeners.Source, Peer: netip.MustParseAddrPort("10.0.0.2:80")}, "to 10.0.0.2:80"},
	} {
		if got := boundTo(tt.l); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
