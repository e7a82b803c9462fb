//go:build linux

package wire

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/ways"
)

// Config is what a Backend needs to know before the first probe.
type Config struct {
	// Prefixes hold every address that will be asked, masked, without zones.
	// Required unless there are Zones. Link-local ones are passed over.
	Prefixes []netip.Prefix
	// Zones are the interfaces that link-local targets name ("eth0").
	Zones []string
	// Ports are asked; they are never used as source ports.
	Ports []registry.Port
	// Interface is what everything must leave by; empty: what the kernel's
	// routes say. Addresses of this host are asked through loopback in any case.
	Interface string
	// Source is the address of this host that everything of its family is asked
	// from; the zero Addr: what the kernel selects.
	Source netip.Addr
	// Rate is how many probes a second will be sent, 0 when that is not known.
	// With the number of targets it says how much room answers need.
	Rate rate.Limit
	// Lanes is by how many ways to send at the same time out of each interface,
	// at most; 0 is 1.
	Lanes int
	// OpenLink opens the link to an interface. It is called by Open, in its
	// goroutine; with an error the link does not count, be it nil or not. Required.
	OpenLink func(LinkSpec) (Link, error)
	// Log hears of targets and gateways that cannot be reached. Required.
	Log *slog.Logger
}

// Backend asks by raw frames. It implements scanner.Backend and
// scanner.Resolver.
type Backend struct {
	log      *slog.Logger
	kernel   *kernel
	watched  ways.Kernel // what watch asks
	watch    *ways.Watch
	routes   *routes
	gateways []*gateway
	ifaces   []*iface   // that probes leave by
	ears     []*iface   // all others
	bound    int        // the interface that all must leave by, or 0
	source   netip.Addr // that all must be asked from, or the zero Addr
	senders  []*sender
	cookies  cookies
	clock    uint32 // what the timestamps of this run begin with
	times    sendTimes

	known  atomic.Pointer[neighbours]
	asking asking

	faults chan scanner.Observation // probes that were not sent, on their way to Receive

	warning sync.Mutex
	warned  map[string]bool // send errors that were logged

	sendErrors, sendRetries, asked, answered atomic.Uint64

	closing sync.Once
}

var (
	_ scanner.Backend  = (*Backend)(nil)
	_ scanner.Resolver = (*Backend)(nil)
	_ scanner.Router   = (*Backend)(nil)
	_ scanner.Parallel = (*Backend)(nil)
	_ scanner.Witness  = (*Backend)(nil)
	_ scanner.Checker  = (*Backend)(nil)
)

// Open finds the routes to all targets, opens the links that they need, and
// builds the templates. It sends nothing and starts nothing. Everything is
// opened in the network namespace of the calling thread. The error is
// ErrPrivilege when raw frames are forbidden, ErrInterface when the interface,
// a zone or the source address cannot be used. Targets without a route are no
// error here: their probes become Unknown, LocalError.
func Open(cfg Config) (b *Backend, err error) {
	if cfg.OpenLink == nil || cfg.Log == nil || len(cfg.Prefixes)+len(cfg.Zones) == 0 {
		return nil, errors.New("wire: config: want OpenLink, Log, and Prefixes or Zones")
	}
	b = &Backend{log: cfg.Log, faults: make(chan scanner.Observation, 4*maxBatch), warned: map[string]bool{}}
	b.known.Store(newNeighbours(nil))
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
			b = nil
		}
	}()
	if b.kernel, err = openKernel(); err != nil {
		return b, err
	}
	var seed [20]byte
	_, _ = rand.Read(seed[:]) // never fails
	b.cookies.key = [2]uint64{binary.LittleEndian.Uint64(seed[:]), binary.LittleEndian.Uint64(seed[8:])}
	b.clock = binary.LittleEndian.Uint32(seed[16:])
	low, high := ephemeral()
	b.cookies.ports = ChooseSourcePorts(low, high, cfg.Ports)

	if err := b.findRoutes(cfg); err != nil {
		return b, err
	}
	if err := b.watchWays(); err != nil {
		return b, err
	}
	if err := b.openLinks(cfg); err != nil {
		return b, err
	}
	b.senders = newSenders(b)
	return b, b.openEars(cfg.OpenLink)
}

// burst returns the most answers that can come in within a tenth of a second: one
// for each probe of that time, and one for each target. 0 is "not known".
func (c Config) burst() int {
	if c.Rate == 0 || len(c.Zones) > 0 {
		return 0
	}
	targets := 0.0
	for _, p := range c.Prefixes {
		targets += math.Ldexp(float64(len(c.Ports)), p.Addr().BitLen()-p.Bits())
	}
	return int(max(1, min(targets, float64(c.Rate)/10, math.MaxInt32)))
}

// findRoutes fills routes and ifaces.
func (b *Backend) findRoutes(cfg Config) error {
	b.source = cfg.Source.WithZone("")
	m := mapper{kernel: b.kernel, src: b.source, log: cfg.Log}
	if cfg.Interface != "" {
		l, err := b.kernel.byName(cfg.Interface)
		if err != nil {
			return err
		}
		b.bound = l.Attrs().Index
		m.index = b.bound
	}
	if cfg.Source.IsValid() {
		own, err := b.kernel.addresses(nil, cfg.Source.Is6())
		if err != nil {
			return err
		}
		if !slices.Contains(own, m.src) && !m.src.IsLoopback() {
			return fmt.Errorf("source %v is not an address of this host, or a tentative one: %w", cfg.Source, ErrInterface)
		}
	}
	var err error
	if b.routes, err = m.mapAll(cfg.Prefixes); err != nil {
		return err
	}
	for _, zone := range cfg.Zones {
		if err := b.addZone(zone, cfg.Source); err != nil {
			return err
		}
	}
	for _, r := range b.routes.all {
		if r.way == (ways.Way{}) {
			continue
		}
		if r.iface, err = b.ifaceOf(r.way); err != nil {
			return err
		}
	}
	b.findGateways()
	return nil
}

// addZone adds the route to the link-local targets on one interface.
func (b *Backend) addZone(zone string, source netip.Addr) error {
	l, err := b.kernel.byName(zone)
	if err != nil {
		return err
	}
	if b.bound != 0 && l.Attrs().Index != b.bound {
		return fmt.Errorf("targets of zone %q do not leave by the interface that was asked for: %w", zone, ErrInterface)
	}
	f, err := b.ifaceOf(ways.Way{Index: l.Attrs().Index})
	if err != nil {
		return err
	}
	src := f.linkLocal()
	if source.IsValid() && source.Is6() {
		src = source.WithZone("")
	}
	if !src.IsValid() {
		return fmt.Errorf("interface %q has no link-local address to ask from: %w", zone, ErrInterface)
	}
	r := &route{way: ways.Way{Index: f.index, Source: src}}
	b.routes.zones[zone] = r
	b.routes.all = append(b.routes.all, r)
	return nil
}

// ifaceOf returns the one iface by which a way leaves.
func (b *Backend) ifaceOf(to ways.Way) (*iface, error) {
	for _, f := range b.ifaces {
		if f.index == to.Index && !to.Local || to.Local && f.medium == Host {
			return f, nil
		}
	}
	link, err := b.kernel.nl.LinkByIndex(to.Index)
	if to.Local {
		link, err = b.kernel.loopback()
	}
	if err != nil {
		return nil, fmt.Errorf("wire: interface number %d: %w", to.Index, err)
	}
	f, err := newIface(b.kernel, link)
	if err != nil {
		return nil, err
	}
	f.number = len(b.ifaces)
	b.ifaces = append(b.ifaces, f)
	return f, nil
}

// openLinks opens the link of every interface and builds the templates of every
// route.
func (b *Backend) openLinks(cfg Config) error {
	for _, f := range b.ifaces {
		spec := LinkSpec{Name: f.name, Index: f.index, Medium: f.medium, Ports: b.cookies.ports, Burst: cfg.burst(), Lanes: cfg.Lanes}
		for _, r := range b.routes.all {
			if r.iface != f {
				continue
			}
			spec.Sources = append(spec.Sources, r.way.Source)
			spec.IPv4 = spec.IPv4 || r.way.Source.Is4()
			spec.IPv6 = spec.IPv6 || r.way.Source.Is6() || r.way.Gateway.Is6()
			var err error
			if r.tcp, err = newTemplate(f.medium, f.mac[:], r.way.Source, f.mtu, registry.TCP); err != nil {
				return err
			}
			if r.udp, err = newTemplate(f.medium, f.mac[:], r.way.Source, f.mtu, registry.UDP); err != nil {
				return err
			}
			if f.noARP {
				r.via.Store(&f.mac) // as the kernel addresses frames there
			}
		}
		f.v4, f.v6 = spec.IPv4, spec.IPv6
		link, err := cfg.OpenLink(spec)
		if err != nil {
			return err // link may be a nil of a type, which is no nil link
		}
		f.link = link
		f.lanes = lanes(f.link)
	}
	return nil
}

// Counters implements scanner.Backend.
func (b *Backend) Counters() scanner.Counters {
	known := b.known.Load()
	c := scanner.Counters{
		SendErrors: b.sendErrors.Load(), SendRetry: b.sendRetries.Load(),
		LinkDrops: b.watch.Drops(), ARPSent: b.asked.Load(), ARPAnswer: b.answered.Load(), SharedMAC: known.most, Neighbours: known.count,
	}
	for _, f := range b.all() {
		c.Frames += f.received.Load()
		c.Invalid += f.invalid.Load()
		drops, err := f.link.Drops()
		if err != nil {
			drops = max(drops, 1) // what cannot be counted may have been lost
		}
		c.RingDrops += drops
	}
	return c
}

// Close frees the links. Send, Receive and Resolve must have returned.
func (b *Backend) Close() error {
	var failed []error
	b.closing.Do(func() {
		for _, s := range b.senders {
			s.stop()
		}
		for _, f := range b.all() {
			if f.link != nil {
				failed = append(failed, f.link.Close())
			}
		}
		if b.kernel != nil {
			b.kernel.close()
		}
		b.watched.Close()
	})
	return errors.Join(failed...)
}
