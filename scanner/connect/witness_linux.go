package connect

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
)

// maxAsked is of how many addresses the way is asked for. A plan is shuffled, so
// the first ones of a large plan are a sample of it: a way that one in a
// thousand takes is missed once in seventeen million runs.
const maxAsked = 1 << 14

// witness remembers the ways of the probes, and how the interfaces were before
// the first one. It may be used by several goroutines.
type witness struct {
	source netip.Addr
	device string
	log    *slog.Logger

	mu      sync.Mutex // guards what follows
	begun   bool
	blind   bool // the interfaces could not be read
	oif     int  // of device, or 0
	links   map[int]link
	homes   map[home]uint32 // when they were made
	asked   map[netip.Addr]bool
	ways    map[way]netip.Addr // to a target that stands for all
	dropped map[int]uint64     // frames, as last seen: it stays when the interface is gone
	warned  map[int]bool       // of interfaces without their carrier
}

// way is how probes leave: by which interface, and from which address.
type way struct {
	index int
	src   netip.Addr
}

func newWitness(cfg Config, log *slog.Logger) *witness {
	return &witness{
		source: cfg.Source, device: cfg.Interface, log: log,
		asked: map[netip.Addr]bool{}, ways: map[way]netip.Addr{}, dropped: map[int]uint64{}, warned: map[int]bool{},
	}
}

// aim notes the way to addr, which is about to be asked.
func (w *witness) aim(ctx context.Context, addr netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.begun {
		w.begin(ctx)
	}
	if w.blind || len(w.asked) == maxAsked || w.asked[addr] || addr.IsLoopback() {
		return
	}
	w.asked[addr] = true
	to, err := w.route(addr)
	if err != nil {
		return // the try says so: local-error
	}
	if _, known := w.ways[to]; known {
		return
	}
	w.learn(to)
	if l, known := w.links[to.index]; known && !l.loopback {
		w.ways[to] = addr
	}
}

// learn reads the interface and the address of a way that came up after the
// start. What is known already stays as it was.
func (w *witness) learn(to way) {
	l, known := w.links[to.index]
	if !known {
		if fresh, err := readLinks(to.index); err == nil {
			maps.Copy(w.links, fresh)
		}
	}
	if _, known := w.home(to); known || l.loopback {
		return
	}
	if homes, err := readHomes(); err == nil {
		maps.Copy(homes, w.homes)
		w.homes = homes
	}
}

func (w *witness) begin(ctx context.Context) {
	w.begun = true
	var err error
	if w.links, err = readLinks(0); err == nil {
		w.homes, err = readHomes()
	}
	if err != nil {
		w.blind = true
		w.log.WarnContext(ctx, "a lost carrier or address would not be noticed", "error", err)
	}
	for i, l := range w.links {
		if l.name == w.device {
			w.oif = i
		}
	}
}

// route asks for the way to addr as it is now.
func (w *witness) route(addr netip.Addr) (way, error) {
	options := &netlink.RouteGetOptions{OifIndex: w.oif}
	if addr.Zone() != "" {
		options.OifIndex = int(zoneID(addr.Zone()))
	}
	if w.source.IsValid() && w.source.Is4() == addr.Is4() {
		options.SrcAddr = w.source.AsSlice()
	}
	routes, err := netlink.RouteGetWithOptions(addr.AsSlice(), options)
	if err != nil || len(routes) == 0 {
		return way{}, fmt.Errorf("connect: ask for the route to %v: %w", addr, cmp.Or(err, error(errNoAnswer)))
	}
	to := way{index: routes[0].LinkIndex, src: w.source.WithZone("")}
	if src, ok := netip.AddrFromSlice(routes[0].Src); ok && !to.src.IsValid() {
		to.src = src.Unmap()
	}
	return to, nil
}

// drops returns how many frames the interfaces of the ways threw away instead
// of sending them, of this or another program. Those of an interface without
// its carrier count when it has it again: sending slower would not help.
func (w *witness) drops() (n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, index := range w.indexes() {
		links, err := readLinks(index)
		before, now := w.links[index], links[index]
		switch {
		case err != nil: // it is gone: faults says so
		case before.carrier && !now.carrier:
			if !w.warned[index] {
				w.warned[index] = true
				w.log.Warn("an interface has lost its carrier: nothing is sent by it", "interface", before.name)
			}
		case now.dropped > before.dropped:
			w.dropped[index] = max(w.dropped[index], now.dropped-before.dropped)
		}
	}
	for _, d := range w.dropped {
		n += d
	}
	return n
}

// faults says in words what has happened to the ways, nil when nothing has.
func (w *witness) faults() (faults []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.ways) == 0 {
		return nil
	}
	links, err := readLinks(0)
	homes, err2 := readHomes()
	if err := cmp.Or(err, err2); err != nil {
		return []string{fmt.Sprintf("what has become of the interfaces cannot be read: %v", err)}
	}
	explained := map[int]bool{} // interfaces of which a fault is told
	for _, index := range w.indexes() {
		if fault := w.links[index].fault(links[index]); fault != "" {
			faults, explained[index] = append(faults, fault), true
		}
	}
	told := map[home]bool{}
	for _, to := range w.sorted() {
		from, ok := w.home(to)
		if _, there := links[from.index]; !ok || !there {
			continue
		}
		fault, name := "", w.links[from.index].name
		switch made, here := homes[from]; {
		case !here:
			fault = fmt.Sprintf("address %v is gone from %s", from.addr, name)
		case made != w.homes[from]:
			fault = fmt.Sprintf("address %v was gone from %s for a while", from.addr, name)
		default:
			continue
		}
		explained[to.index] = true
		if !told[from] {
			told[from], faults = true, append(faults, fault)
		}
	}
	for _, to := range w.sorted() {
		if explained[to.index] {
			continue
		}
		switch now, err := w.route(w.ways[to]); {
		case err != nil:
			faults = append(faults, fmt.Sprintf("the route to %v that stood at the start is gone", w.ways[to]))
		case now.index != to.index:
			faults = append(faults, fmt.Sprintf("the route to %v no longer is by interface %s", w.ways[to], w.links[to.index].name))
		}
	}
	return faults
}

// home is where the source address of a way was at the start; false when no
// interface had it, as with a whole prefix that is local.
func (w *witness) home(to way) (home, bool) {
	h := home{to.src, to.index}
	if _, ok := w.homes[h]; ok {
		return h, true
	}
	for h := range w.homes {
		if h.addr == to.src {
			return h, true
		}
	}
	return home{}, false
}

// sorted returns the ways in a fixed order.
func (w *witness) sorted() []way {
	return slices.SortedFunc(maps.Keys(w.ways), func(a, b way) int {
		return cmp.Or(cmp.Compare(a.index, b.index), a.src.Compare(b.src))
	})
}

// indexes returns the interfaces of the ways, each once.
func (w *witness) indexes() (all []int) {
	for _, to := range w.sorted() {
		all = append(all, to.index)
	}
	return slices.Compact(all)
}
