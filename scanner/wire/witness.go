//go:build linux

package wire

import (
	"fmt"
	"net/netip"

	"dormant/scanner/ways"
)

// watchWays begins to watch the way of every route.
func (b *Backend) watchWays() (err error) {
	if b.watched, err = ways.OpenKernel(); err != nil {
		return fmt.Errorf("wire: %w", err)
	}
	route := func(addr netip.Addr) (ways.Way, error) { return b.kernel.way(addr, b.source, b.bound) }
	if b.watch, err = ways.Begin(b.watched, route, b.log); err != nil {
		return fmt.Errorf("wire: %w", err)
	}
	for _, r := range b.routes.all {
		if r.iface != nil {
			b.watch.Add(r.way, r.example)
		}
	}
	return nil
}

// Faults implements scanner.Witness. Of each way one target stands for all.
func (b *Backend) Faults() (faults []string) {
	if b.routes.pathless != "" {
		faults = append(faults, b.routes.pathless)
	}
	changes := b.watch.Faults()
	for _, g := range b.gateways {
		// A lost carrier is why a gateway has fallen silent.
		if fault := g.fault(); fault != "" && (g.absent || len(changes) == 0) {
			faults = append(faults, fault)
		}
	}
	return append(faults, changes...)
}
