package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"dormant/registry"
	"dormant/scanner"
)

// parseEndpoint reads ADDR:PORT, an IPv6 address in brackets, and /tcp or /udp
// behind it; tcp is meant where neither stands there. The error does not repeat s.
func parseEndpoint(s string) (t scanner.Target, err error) {
	text, word, given := strings.Cut(s, "/")
	if !given {
		word = "tcp"
	}
	proto, err1 := registry.ParseProto(word)
	at, err2 := netip.ParseAddrPort(text)
	switch {
	case err1 != nil || err2 != nil:
		return t, errors.New("want ADDR:PORT with an optional /tcp or /udp, like 10.0.0.5:1947 or [2001:db8::5]:5093/udp; a port is 1 to 65535")
	case at.Port() == 0:
		return t, errors.New("port 0: want a port from 1 to 65535")
	}
	return scanner.Target{Addr: at.Addr().Unmap(), Port: registry.Port{Number: at.Port(), Proto: proto}}, nil
}

// parseEndpoints reads the endpoints of one host each, without duplicates. It
// returns usage errors.
func parseEndpoints(args []string) ([]scanner.Target, error) {
	var targets []scanner.Target
	for _, arg := range args {
		t, err := parseEndpoint(arg)
		switch {
		case err != nil:
			return nil, usageError("target %q: %w", arg, err)
		case t.Addr.IsMulticast() || t.Addr.IsUnspecified() || t.Addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return nil, usageError("target %q: want the address of one host", arg)
		case !slices.Contains(targets, t):
			targets = append(targets, t)
		}
	}
	return targets, nil
}

// allowed refuses what the standing list excludes, and public addresses
// without consent.
func allowed(ctx context.Context, a *app, o *scanOptions, targets []scanner.Target, standing string) error {
	var addrs []string
	for _, t := range targets {
		addrs = append(addrs, t.Addr.String())
	}
	ranges, err := readRanges(ctx, a, o, addrs, standing)
	if err != nil {
		return err
	}
	for _, t := range targets {
		in := func(p netip.Prefix) bool { return p.Contains(t.Addr) }
		if !slices.ContainsFunc(ranges.Prefixes(), in) && !slices.Contains(ranges.Zoned(), t.Addr) {
			return usageError("target %v: %s excludes it", t, standing)
		}
	}
	return nil
}

// spare refuses TCP ports of fragile hosts: a dialogue is all that identify
// does.
func spare(ctx context.Context, o *identifyOptions, targets []scanner.Target) error {
	if err := o.common.talk.read(ctx, fragileFile); err != nil {
		return err
	}
	for _, t := range targets {
		if t.Port.Proto == registry.TCP && o.common.talk.fragile.Contains(t.Addr) {
			return usageError("target %v: is on a list of fragile hosts (--fragile, %s): no dialogue is held with it", t, fragileFile)
		}
	}
	return nil
}

// checkEndpoints finds out before the first connection what keeps the targets
// from being talked to.
func checkEndpoints(ctx context.Context, a *app, o *identifyOptions, targets []scanner.Target) error {
	udp := func(t scanner.Target) bool { return t.Port.Proto == registry.UDP }
	if o.opener != "" && !slices.ContainsFunc(targets, udp) {
		return usageError("--opener %s: no target is a UDP port: want ADDR:PORT/udp", o.opener)
	}
	w := way{iface: o.common.iface, source: o.common.source}
	for _, t := range targets {
		if err := w.oneFamily(t.Addr); err != nil {
			return err
		}
		if err := w.leaves(t.Addr.Zone()); err != nil {
			return err
		}
	}
	if err := allowed(ctx, a, &o.common, targets, neverScanFile); err != nil {
		return err
	}
	return spare(ctx, o, targets)
}
