//go:build linux

package wire_test

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/backendtest"
	"dormant/scanner/link/afpacket"
	"dormant/scanner/netlab"
	"dormant/scanner/wire"
)

// The ports of the labs below.
const (
	openPort, closedPort, deafPort = 1947, 3588, 3047
)

func target(addr string, number uint16, proto registry.Proto) scanner.Target {
	return scanner.Target{Addr: netip.MustParseAddr(addr), Port: registry.Port{Number: number, Proto: proto}}
}

func at(addr string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port)
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, p := range texts {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

// open opens a backend inside ns.
func open(t *testing.T, ns *netlab.NS, cfg wire.Config) *wire.Backend {
	t.Helper()
	b, err := tryOpen(ns, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func tryOpen(ns *netlab.NS, cfg wire.Config) (b *wire.Backend, err error) {
	cfg.OpenLink = func(spec wire.LinkSpec) (wire.Link, error) { return afpacket.Open(spec) }
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ns.Do(func() { b, err = wire.Open(cfg) })
	return b, err
}

// lab is the network of most tests:
//
//	scan (scan0 10.1.0.1/24, fd01::1/64) – net (net0 10.1.0.2/24, fd01::2/64)
//	10.1.0.10–12, fd01::10  on the link, answering
//	10.2.0.0/24, fd02::/120  behind 10.1.0.2 and fd01::2
func lab(t *testing.T) (scan, far *netlab.NS) {
	t.Helper()
	scan, far = netlab.Pair(t, "scan0", "net0")
	far.Sysctl("net.ipv6.icmp.ratelimit=0", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv6.ip_nonlocal_bind=1")
	scan.Addr("scan0", "10.1.0.1/24", "fd01::1/64")
	far.Addr("net0", "10.1.0.2/24", "fd01::2/64", "10.1.0.10/32", "10.1.0.11/32", "10.1.0.12/32", "fd01::10/128")
	far.Addr("lo", "10.2.0.10/32", "fd02::10/128")
	far.Local("10.2.0.0/25", "fd02::/121")
	scan.Route(netlab.Route{Dst: "0.0.0.0/0", Via: "10.1.0.2"}, netlab.Route{Dst: "::/0", Via: "fd01::2"})
	return scan, far
}

func TestContract(t *testing.T) {
	for _, tt := range []struct {
		name, addr, prefix string
	}{
		{"on-link ipv4", "10.1.0.10", "10.1.0.0/24"},
		{"on-link ipv6", "fd01::10", "fd01::/120"},
		{"routed ipv4", "10.2.0.10", "10.2.0.0/24"},
		{"routed ipv6", "fd02::10", "fd02::/120"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scan, far := lab(t)
			far.Listen(at(tt.addr, openPort))
			far.Answer([]byte("pong"), at(tt.addr, openPort))
			far.Answer(nil, at(tt.addr, deafPort)) // an empty answer is one, too
			b := open(t, scan, wire.Config{Prefixes: prefixes(tt.prefix)})
			backendtest.Run(t, b, backendtest.World{
				Open: target(tt.addr, openPort, registry.TCP), Closed: target(tt.addr, closedPort, registry.TCP),
				OpenUDP: target(tt.addr, openPort, registry.UDP), ClosedUDP: target(tt.addr, closedPort, registry.UDP),
				Payload: []byte("ping"), Reply: []byte("pong"), Wait: 300 * time.Millisecond,
			})
		})
	}
}

func TestContractOnThisHost(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "127.77.0.5", "::1", "10.1.0.1"} {
		t.Run(addr, func(t *testing.T) {
			scan, _ := lab(t)
			scan.Listen(at(addr, openPort))
			scan.Answer([]byte("pong"), at(addr, openPort))
			a := netip.MustParseAddr(addr)
			b := open(t, scan, wire.Config{Prefixes: []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}})
			backendtest.Run(t, b, backendtest.World{
				Open: target(addr, openPort, registry.TCP), Closed: target(addr, closedPort, registry.TCP),
				OpenUDP: target(addr, openPort, registry.UDP), ClosedUDP: target(addr, closedPort, registry.UDP),
				Payload: []byte("ping"), Reply: []byte("pong"), Wait: 300 * time.Millisecond,
			})
		})
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestInterfaceGoesAway: neither side hangs, both say what happened.
func TestInterfaceGoesAway(t *testing.T) {
	scan, _ := lab(t)
	b := open(t, scan, wire.Config{Prefixes: prefixes("10.1.0.10/32")})
	resolve(t, b, slices.Values([]netip.Addr{netip.MustParseAddr("10.1.0.10")}), unpaced)
	received := make(chan error, 1)
	go func() { received <- b.Receive(t.Context(), func(scanner.Observation) {}) }() // ends with the interface
	time.Sleep(20 * time.Millisecond)
	scan.Down("scan0")
	select {
	case err := <-received:
		if !errors.Is(err, wire.ErrLinkDown) {
			t.Errorf("Receive = %v, want %v", err, wire.ErrLinkDown)
		}
	case <-time.After(2 * time.Second):
		t.Error("Receive goes on")
	}
	batch := []scanner.Probe{{Target: target("10.1.0.10", openPort, registry.TCP)}}
	if n, err := b.Send(t.Context(), batch); n != 0 || !errors.Is(err, wire.ErrLinkDown) {
		t.Errorf("Send = %d, %v; want 0, %v", n, err, wire.ErrLinkDown)
	}
}
