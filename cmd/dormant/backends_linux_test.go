package main

import (
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/time/rate"

	"dormant/registry"
	"dormant/scanner/netlab"
)

func TestLanes(t *testing.T) {
	for _, tt := range []struct {
		name       string
		limit      rate.Limit
		processors int
		want       int
	}{
		{"the default rate", 1000, 16, 1},
		{"what one carries", 300_000, 16, 1},
		{"rate not known", 0, 16, 1},
		{"max on one processor", rate.Inf, 1, 1},
		{"max on two", rate.Inf, 2, 2},
		{"max on three: one receives", rate.Inf, 3, 2},
		{"max on four", rate.Inf, 4, 3},
		{"max on many", rate.Inf, 64, 4},
	} {
		if got := lanes(tt.limit, tt.processors); got != tt.want {
			t.Errorf("%s: lanes(%v, %d) = %d, want %d", tt.name, tt.limit, tt.processors, got, tt.want)
		}
	}
}

// TestInsistOnAFXDP: who names the backend gets it on every interface that carries
// Ethernet, or is told; who does not gets packet sockets.
func TestInsistOnAFXDP(t *testing.T) {
	if err := readyAFXDP(); err != nil {
		t.Skip(err)
	}
	scan, _ := netlab.Pair(t, "scan0", "net0")
	scan.Addr("scan0", "10.1.0.1/24")
	if err := scan.Netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}); err != nil {
		t.Skipf("a bridge cannot be made here: %v", err)
	}
	scan.Up("br0")
	scan.Addr("br0", "10.2.0.1/24")
	taken, _ := netlab.Pair(t, "scan0", "net0")
	taken.Addr("scan0", "10.1.0.1/24")
	backendIn := func(ns *netlab.NS, target string, insist bool) (b backend, used string, err error) {
		ns.Do(func() {
			b, used, err = openAFXDP(backendOptions{
				prefixes: []netip.Prefix{netip.MustParsePrefix(target)}, ports: []registry.Port{{Number: 1947, Proto: registry.TCP}},
				insist: insist, log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			})
		})
		return b, used, err
	}
	first, _, err := backendIn(taken, "10.1.0.2/32", true)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	for _, tt := range []struct {
		name   string
		ns     *netlab.NS
		target string
		insist bool
		used   string
		err    string // part of it
	}{
		{name: "a cable", ns: scan, target: "10.1.0.2/32", insist: true, used: "afxdp"},
		{name: "a bridge", ns: scan, target: "10.2.0.2/32", used: "afpacket"},
		{name: "a bridge, insisting", ns: scan, target: "10.2.0.2/32", insist: true, err: "br0 is of kind bridge"},
		{name: "a queue in use", ns: taken, target: "10.1.0.2/32", used: "afpacket"},
		{name: "a queue in use, insisting", ns: taken, target: "10.1.0.2/32", insist: true, err: "queue 0: device or resource busy"},
		{name: "this host, insisting", ns: scan, target: "10.1.0.1/32", insist: true, used: "afpacket"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, used, err := backendIn(tt.ns, tt.target, tt.insist)
			if err == nil {
				defer b.Close()
			}
			if tt.err == "" {
				if err != nil || used != tt.used {
					t.Errorf("by %q, %v; want %s", used, err, tt.used)
				}
				return
			}
			if e, ok := errors.AsType[*exitError](err); !ok || e.code != exitPrivilege || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want exit %d and %q", err, exitPrivilege, tt.err)
			}
		})
	}
}
