package ways

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
)

// Way is how probes leave this host. It is comparable.
type Way struct {
	Index   int        // of the interface
	Source  netip.Addr // without a zone
	Gateway netip.Addr // without a zone; the zero Addr where there is none, or nobody minds
	Local   bool       // to an address of this host
}

// Watch remembers the ways of the probes, and how the interfaces were before the
// first one. It may be used by several goroutines.
type Watch struct {
	kernel Kernel
	route  func(netip.Addr) (Way, error)
	log    *slog.Logger

	mu      sync.Mutex // guards what follows
	links   map[int]link
	homes   map[home]uint32    // when they were made
	ways    map[Way]netip.Addr // to a target that stands for all; the zero Addr: its route is not asked for
	astray  map[Way]change     // routes that were not as they were, when last seen so
	turn    int                // of the ways, which is looked at next
	dropped map[int]uint64     // frames, as last seen: it stays when the interface is gone
	warned  map[int]bool       // of interfaces without their carrier
}

// Begin reads the interfaces and addresses as they are now. The Watch asks route
// for the way to an address; it need not tell more of it than the ways that are
// added do. k stays the caller's to close.
func Begin(k Kernel, route func(netip.Addr) (Way, error), log *slog.Logger) (*Watch, error) {
	links, err := k.links(0)
	if err != nil {
		return nil, err
	}
	homes, err := k.homes()
	if err != nil {
		return nil, err
	}
	return &Watch{
		kernel: k, route: route, log: log, links: links, homes: homes,
		ways: map[Way]netip.Addr{}, astray: map[Way]change{}, dropped: map[int]uint64{}, warned: map[int]bool{},
	}, nil
}

// Add watches a way from now on, by which target is asked. Of a way that is known
// the first target stands for all. An interface or an address that came up after
// Begin is read now; one that is gone already is not watched.
func (w *Watch) Add(to Way, target netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.ways[to]; known {
		return
	}
	if _, known := w.links[to.Index]; !known {
		fresh, err := w.kernel.links(to.Index)
		if err != nil {
			return
		}
		maps.Copy(w.links, fresh)
	}
	w.ways[to] = target
	if _, known := w.home(to); known {
		return
	}
	if homes, err := w.kernel.homes(); err == nil {
		maps.Copy(homes, w.homes)
		w.homes = homes
	}
}

// maxLooks is how many routes are looked at each time that drops are counted.
const maxLooks = 32

// Drops returns how many frames the interfaces of the ways threw away instead of
// sending them, of this or another program. Those of an interface without its
// carrier count when it has it again: sending slower would not help.
func (w *Watch) Drops() (n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, index := range w.indexes() {
		links, err := w.kernel.links(index)
		before, now := w.links[index], links[index]
		switch {
		case err != nil: // it is gone: Faults says so
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
	w.lookAtRoutes()
	return n
}

// lookAtRoutes remembers what has become of the next few routes.
func (w *Watch) lookAtRoutes() {
	all := w.sorted()
	for range min(len(all), maxLooks) {
		to := all[w.turn%len(all)]
		w.turn++
		if c := w.changed(to); c != (change{}) {
			w.astray[to] = c
		}
	}
}

// change is what has become of a route. The zero change is nothing.
type change struct{ now, ago string }

// changed asks for the route to the target of a way.
func (w *Watch) changed(was Way) change {
	target := w.ways[was]
	if !target.IsValid() {
		return change{}
	}
	now, err := w.route(target)
	lost := "" // what the route no longer has
	switch {
	case err != nil:
		return change{fmt.Sprintf("the route to %v that stood at the start is gone", target), fmt.Sprintf("the route to %v was gone for a while", target)}
	case now.Index != was.Index:
		lost = "interface " + w.links[was.Index].name
	case now.Gateway != was.Gateway && was.Gateway.IsValid():
		lost = "gateway " + was.Gateway.String()
	case now.Gateway != was.Gateway:
		return change{fmt.Sprintf("the route to %v is by gateway %v now", target, now.Gateway), fmt.Sprintf("the route to %v was by gateway %v for a while", target, now.Gateway)}
	default:
		return change{}
	}
	return change{fmt.Sprintf("the route to %v no longer is by %s", target, lost), fmt.Sprintf("the route to %v was not by %s for a while", target, lost)}
}

// Faults says in words what has happened to the ways, nil when nothing has.
func (w *Watch) Faults() (faults []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.ways) == 0 {
		return nil
	}
	links, err := w.kernel.links(0)
	if err != nil {
		return []string{unreadable(err)}
	}
	homes, err := w.kernel.homes()
	if err != nil {
		return []string{unreadable(err)}
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
		explained[to.Index] = true
		if !told[from] {
			told[from], faults = true, append(faults, fault)
		}
	}
	for _, to := range w.sorted() {
		if explained[to.Index] {
			continue
		}
		if fault := cmp.Or(w.changed(to).now, w.astray[to].ago); fault != "" {
			faults = append(faults, fault)
		}
	}
	return faults
}

func unreadable(err error) string {
	return fmt.Sprintf("what has become of the interfaces cannot be read: %v", err)
}

// home is where the source address of a way was at the start; false when no
// interface had it, as with a whole prefix that is local.
func (w *Watch) home(to Way) (home, bool) {
	h := home{to.Source, to.Index}
	if _, ok := w.homes[h]; ok {
		return h, true
	}
	for h := range w.homes {
		if h.addr == to.Source {
			return h, true
		}
	}
	return home{}, false
}

// sorted returns the ways in a fixed order.
func (w *Watch) sorted() []Way {
	return slices.SortedFunc(maps.Keys(w.ways), func(a, b Way) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), a.Source.Compare(b.Source), a.Gateway.Compare(b.Gateway))
	})
}

// indexes returns the interfaces of the ways, each once.
func (w *Watch) indexes() (all []int) {
	for _, to := range w.sorted() {
		all = append(all, to.Index)
	}
	return slices.Compact(all)
}
