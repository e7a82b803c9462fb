package main

import (
	"net/netip"
	"testing"
	"time"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"
)

// What a dialogue tells of its port, also one that never began.
func TestHeard(t *testing.T) {
	addr, started := netip.MustParseAddr("127.0.0.9"), time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)
	o := scanner.Observation{Target: scanner.Target{Addr: addr, Port: registry.Port{Number: 1947, Proto: registry.TCP}}, State: scanner.Open, Reason: scanner.SynAck, From: addr}
	said := []fingerprint.Exchange{{Conn: 1, Connect: 3 * time.Millisecond}}
	for _, tt := range []struct {
		name   string
		status fingerprint.Status
		said   []fingerprint.Exchange
		state  scanner.State
		reason scanner.Reason
		from   netip.Addr
		rtt    time.Duration
	}{
		{"refused", fingerprint.StatusRefused, nil, scanner.Closed, scanner.Rst, addr, 0},
		{"no answer", fingerprint.StatusNoConnect, nil, scanner.Filtered, scanner.NoResponse, netip.Addr{}, 0},
		{"a fault of this side", fingerprint.StatusLocalError, nil, scanner.Unknown, scanner.LocalError, netip.Addr{}, 0},
		{"cancelled before the first connection", fingerprint.StatusCancelled, nil, scanner.Unknown, 0, netip.Addr{}, 0},
		{"cancelled later", fingerprint.StatusCancelled, said, scanner.Open, scanner.SynAck, addr, said[0].Connect},
		{"done", fingerprint.StatusDone, said, scanner.Open, scanner.SynAck, addr, said[0].Connect},
	} {
		got := heard(o, fingerprint.Evidence{Status: tt.status, Exchanges: tt.said, Started: started})
		if got.State != tt.state || got.Reason != tt.reason || got.From != tt.from || got.RTT != tt.rtt || tt.rtt > 0 && !got.At.Equal(started) {
			t.Errorf("%s: %v, %v from %v after %v at %v; want %v, %v from %v after %v", tt.name, got.State, got.Reason, got.From, got.RTT, got.At, tt.state, tt.reason, tt.from, tt.rtt)
		}
	}
}
