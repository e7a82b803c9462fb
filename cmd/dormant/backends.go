package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"

	"golang.org/x/time/rate"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/connect"
)

// backend is a scanner.Backend that is closed after the run.
type backend interface {
	scanner.Backend
	Close() error
}

// backendOptions are what a backend is opened with; the zero value of
// iface and source leaves the choice to the routes.
type backendOptions struct {
	prefixes []netip.Prefix // of all targets, disjoint
	zones    []string       // the interfaces that link-local targets name
	ports    []registry.Port
	iface    string
	source   netip.Addr
	insist   bool // the user named the backend
	rate     rate.Limit
	zeroCopy bool // AF_XDP: only if the driver lends the card this process's memory
	log      *slog.Logger
}

// backendKind is one way to put probes on the network.
type backendKind struct {
	name  string
	ready func() error // why it cannot be used on this host, nil if it can
	// open also returns what is really used, in the words of --backend.
	open func(backendOptions) (b backend, used string, err error)
}

// backends lists all ways, the best first. The last one always works.
func backends() []backendKind {
	return append(rawBackends(), backendKind{name: "connect", ready: func() error { return nil }, open: openConnect})
}

// backendNames are the words that --backend takes.
func backendNames() []string {
	names := []string{"auto"}
	for _, k := range backends() {
		names = append(names, k.name)
	}
	return names
}

// chooseBackend takes the named backend, and for "auto" the best that this
// host allows and the targets need. The note says in one line why it is not
// the best of all; it is empty otherwise. A named one that cannot be used is
// exit 4, an unknown name exit 2.
func chooseBackend(kinds []backendKind, name string, prefixes []netip.Prefix) (k backendKind, note string, err error) {
	last := kinds[len(kinds)-1]
	for _, k := range kinds {
		switch {
		case name != "auto" && name != k.name:
			continue
		case name == "auto" && k.name != last.name && allLoopback(prefixes):
			return last, "all targets are on loopback", nil
		}
		err := k.ready()
		if err == nil {
			return k, note, nil
		}
		if name == k.name {
			return backendKind{}, "", &exitError{exitPrivilege, fmt.Errorf("--backend %s: %w", name, err)}
		}
		note = cmp.Or(note, err.Error())
	}
	return backendKind{}, "", usageError("--backend %q: want %s", name, orList(backendNames()))
}

// sayBackend says why the best backend was not taken, where the user may want
// to change that: a missing privilege costs most of the speed.
func sayBackend(log *slog.Logger, name, note string, loopback bool) {
	switch {
	case note == "":
	case name == "connect" && !loopback:
		log.Info(note + ": sweeping by ordinary connections")
	default:
		log.Debug("not the fastest way of sending", "backend", name, "why", note)
	}
}

// allLoopback reports whether no packet would leave this host.
func allLoopback(prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if !p.Addr().IsLoopback() || p.Addr().Is4() && p.Bits() < 8 {
			return false
		}
	}
	return len(prefixes) > 0
}

func openConnect(o backendOptions) (backend, string, error) {
	b, err := connect.New(connect.Config{Source: o.source, Interface: o.iface, Log: o.log})
	if err != nil {
		return nil, "", &exitError{exitPrivilege, err}
	}
	return b, "connect", nil
}
