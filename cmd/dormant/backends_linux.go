package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/time/rate"

	"dormant/cmd/internal/doctor"
	"dormant/scanner/link/afpacket"
	"dormant/scanner/link/afxdp"
	"dormant/scanner/wire"
)

// rawBackends are those that build frames themselves.
func rawBackends() []backendKind {
	return []backendKind{
		{name: "afxdp", ready: readyAFXDP, open: openAFXDP},
		{name: "afpacket", ready: doctor.RawSockets, open: openAFPacket},
	}
}

func readyAFXDP() error {
	if err := doctor.RawSockets(); err != nil {
		return err
	}
	return afxdp.Ready()
}

func openAFPacket(o backendOptions) (backend, string, error) {
	b, err := openWire(o, func(spec wire.LinkSpec) (wire.Link, error) { return afpacket.Open(spec) })
	return b, "afpacket", err
}

// openAFXDP opens each link by AF_XDP and, where that does not go, by packet
// sockets, with the reason in the log. When the user insists on AF_XDP, that is
// only done where no Ethernet is: tunnels, and this host's own addresses.
func openAFXDP(o backendOptions) (backend, string, error) {
	var used []string
	use := func(name string) {
		if !slices.Contains(used, name) {
			used = append(used, name)
		}
	}
	b, err := openWire(o, func(spec wire.LinkSpec) (wire.Link, error) {
		if spec.ListenOnly {
			return afpacket.Open(spec)
		}
		l, err := afxdp.Open(spec, afxdp.Config{ZeroCopy: o.zeroCopy})
		if err == nil {
			use("afxdp")
			if n := len(l.Lanes()) + 1; n > 1 {
				o.log.Debug("sending by several sockets", "interface", spec.Name, "sockets", n)
			}
			return l, nil
		}
		if o.insist && spec.Medium == wire.Ethernet {
			return nil, fmt.Errorf("--backend afxdp: %v; --backend auto sends there by packet sockets: %w", err, wire.ErrInterface)
		}
		use("afpacket")
		say := o.log.Info
		if errors.Is(err, afxdp.ErrUnsupported) { // nobody expects it there
			say = o.log.Debug
		}
		say("sending by packet sockets", "interface", spec.Name, "why", err)
		return afpacket.Open(spec)
	})
	slices.Sort(used) // the better one first
	slices.Reverse(used)
	return b, strings.Join(used, "+"), err
}

// lanes returns by how many ways to send out of an interface at the same time:
// by one, which carries some half a million probes a second, unless more is asked
// for and there are processors for it. Of three and more, one is left to receive;
// of two, both send, which was measured to lose no answer: receiving takes a tenth
// of what sending takes.
func lanes(limit rate.Limit, processors int) int {
	const oneCarries, most = 300_000, 4
	if limit <= oneCarries {
		return 1
	}
	return max(min(processors, 2), min(processors-1, most))
}

func openWire(o backendOptions, openLink func(wire.LinkSpec) (wire.Link, error)) (backend, error) {
	b, err := wire.Open(wire.Config{
		Prefixes: o.prefixes, Zones: o.zones, Ports: o.ports,
		Interface: o.iface, Source: o.source, Rate: o.rate, Log: o.log,
		Lanes:    lanes(o.rate, runtime.GOMAXPROCS(0)),
		OpenLink: openLink,
	})
	if errors.Is(err, wire.ErrPrivilege) || errors.Is(err, wire.ErrInterface) {
		return nil, &exitError{exitPrivilege, err}
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}
