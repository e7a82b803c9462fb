package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"golang.org/x/time/rate"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner/connect"
)

// way is how probes and dialogues leave this host: what a scan and an agent
// share.
type way struct {
	backend  string // a word of --backend
	iface    string // "" leaves it to the routes
	source   netip.Addr
	zeroCopy bool
	rate     rate.Limit // of the probes, 0: not known
	log      *slog.Logger
}

// oneFamily refuses an address that cannot be asked from the source: it would be
// asked from another one, or not at all. It returns usage errors.
func (w way) oneFamily(addr netip.Addr) error {
	if w.source.IsValid() && w.source.Unmap().Is4() != addr.Is4() {
		return usageError("--source %v cannot send to %v: want one address family, or a scan for each", w.source, addr)
	}
	return nil
}

// leaves refuses interfaces and source addresses that this host has not.
func (w way) leaves(zones ...string) error {
	if _, err := connect.New(connect.Config{Source: w.source, Interface: w.iface}); err != nil {
		return &exitError{exitPrivilege, err}
	}
	for _, zone := range zones {
		if _, err := net.InterfaceByName(zone); zone != "" && err != nil {
			return &exitError{exitPrivilege, fmt.Errorf("zone %q of a target: this host has no such interface", zone)}
		}
	}
	return nil
}

// open opens the asked-for backend for the targets and says in one line if it is
// not the best of all. zones are the interfaces that link-local targets name;
// used is what is really sent by, in the words of --backend.
func (w way) open(prefixes []netip.Prefix, zones []string, ports []registry.Port) (b backend, used string, err error) {
	kind, note, err := chooseBackend(backends(), w.backend, prefixes)
	if err != nil {
		return nil, "", err
	}
	sayBackend(w.log, kind.name, note, allLoopback(prefixes))
	return kind.open(backendOptions{
		prefixes: prefixes, zones: zones, ports: ports,
		iface: w.iface, source: w.source, log: w.log,
		insist: w.backend != "auto", zeroCopy: w.zeroCopy, rate: w.rate,
	})
}

// talker returns who holds the dialogues with what is open on the ports.
func (w way) talker(o *talkOptions, rules *fingerprint.Rules, ports []registry.Port, seed uint64) *fingerprint.Identifier {
	return fingerprint.NewIdentifier(rules, fingerprint.Config{
		Dialer:      dialer(w.source, w.iface),
		Connections: o.connections(),
		Deep:        o.deep,
		Planned:     ports,
		Payload:     rules.Payload,
		UserAgent:   userAgent(),
		Seed:        seed,
	})
}
