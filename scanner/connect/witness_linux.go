package connect

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"

	"dormant/scanner/ways"
)

// maxAsked is of how many addresses the way is asked for. A plan is shuffled, so
// the first ones of a large plan are a sample of it: a way that one in a
// thousand takes is missed once in seventeen million runs.
const maxAsked = 1 << 14

// witness watches the ways of the probes. It may be used by several goroutines.
type witness struct {
	source netip.Addr
	device string
	log    *slog.Logger

	mu    sync.Mutex // guards what follows
	begun bool
	watch *ways.Watch // nil before the first probe, and when the interfaces could not be read
	oif   int         // of device, or 0
	asked map[netip.Addr]bool
}

func newWitness(cfg Config, log *slog.Logger) *witness {
	return &witness{source: cfg.Source, device: cfg.Interface, log: log, asked: map[netip.Addr]bool{}}
}

// aim notes the way to addr, which is about to be asked.
func (w *witness) aim(ctx context.Context, addr netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.begun {
		w.begin(ctx)
	}
	if w.watch == nil || len(w.asked) == maxAsked || w.asked[addr] || addr.IsLoopback() {
		return
	}
	w.asked[addr] = true
	to, err := way(addr, w.source, w.oif)
	if err != nil || to.Local {
		return // the try says so: local-error; or this host asks itself
	}
	w.watch.Add(to, addr)
}

func (w *witness) begin(ctx context.Context) {
	w.begun = true
	source, oif := w.source, 0
	watch, err := ways.Begin(ways.Kernel{}, func(addr netip.Addr) (ways.Way, error) { return way(addr, source, oif) }, w.log)
	if err != nil {
		w.log.WarnContext(ctx, "a lost carrier or address would not be noticed", "error", err)
		return
	}
	if device, err := net.InterfaceByName(w.device); err == nil {
		oif = device.Index
	}
	w.watch, w.oif = watch, oif
}

// way asks for the way to addr as it is now, from a source and by an interface if
// they are not zero.
func way(addr, source netip.Addr, oif int) (ways.Way, error) {
	if addr.Zone() != "" {
		oif = int(zoneID(addr.Zone()))
	}
	return ways.Route(&netlink.Handle{}, addr, source, oif)
}

// drops returns how many frames were thrown away instead of being sent.
func (w *witness) drops() uint64 {
	if watch := w.watching(); watch != nil {
		return watch.Drops()
	}
	return 0
}

// faults says in words what has happened to the ways, nil when nothing has.
func (w *witness) faults() []string {
	if watch := w.watching(); watch != nil {
		return watch.Faults()
	}
	return nil
}

func (w *witness) watching() *ways.Watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watch
}
