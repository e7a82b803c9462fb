package main

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"dormant/registry"
	"dormant/scanner"
)

// parseEndpoints reads ADDR:PORT[/tcp|udp].
func parseEndpoints(args []string) ([]scanner.Target, error) {
	const want = "want ADDR:PORT with an optional /tcp or /udp, like 10.0.0.5:1947 or [2001:db8::5]:5093/udp"
	var targets []scanner.Target
	for _, arg := range args {
		endpoint, proto := arg, registry.TCP
		if at := strings.LastIndexByte(arg, '/'); at >= 0 {
			var err error
			if proto, err = registry.ParseProto(arg[at+1:]); err != nil {
				return nil, usageError("target %q: %s", arg, want)
			}
			endpoint = arg[:at]
		}
		ap, err := netip.ParseAddrPort(endpoint)
		switch {
		case err != nil:
			return nil, usageError("target %q: %s; a port is 1 to 65535", arg, want)
		case ap.Port() == 0:
			return nil, usageError("target %q: port 0: want a port from 1 to 65535", arg)
		}
		if a := ap.Addr().Unmap(); a.IsMulticast() || a.IsUnspecified() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			return nil, usageError("target %q: want the address of one host", arg)
		}
		t := scanner.Target{Addr: ap.Addr().Unmap(), Port: registry.Port{Number: ap.Port(), Proto: proto}}
		if !slices.Contains(targets, t) {
			targets = append(targets, t)
		}
	}
	return targets, nil
}

// allowed refuses what the standing list excludes, and public addresses
// without consent.
func allowed(ctx context.Context, a *app, o *identifyOptions, targets []scanner.Target) error {
	var addrs []string
	for _, t := range targets {
		addrs = append(addrs, t.Addr.String())
	}
	ranges, err := readRanges(ctx, a, &o.common, addrs, neverScanFile)
	if err != nil {
		return err
	}
	for _, t := range targets {
		in := func(p netip.Prefix) bool { return p.Contains(t.Addr) }
		if !slices.ContainsFunc(ranges.Prefixes(), in) && !slices.Contains(ranges.Zoned(), t.Addr) {
			return usageError("target %v: %s excludes it", t, neverScanFile)
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
	if err := allowed(ctx, a, o, targets); err != nil {
		return err
	}
	return spare(ctx, o, targets)
}
