package fingerprint

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"dormant/registry"
)

// Canaries are connects to ports where nothing can be expected: a host that
// accepts two of them accepts everything, and its open ports mean nothing.
const (
	canaryLow, canaryHigh = 20000, 60000
	// canaryWait is for a SYN that a filter drops, beside four round trips. It
	// is short: the host has just answered on another port.
	canaryWait = 500 * time.Millisecond
	// canaryWaitBlind is for a host whose round trip is not known.
	canaryWaitBlind = 1200 * time.Millisecond
)

// busyPorts are ports of the canaries' range on which something is often
// found: one of them open would prove nothing. From IANA's registry and the
// defaults of the products.
func busyPorts() []uint16 {
	return []uint16{
		20000, 20547, 22222, 23023, 25000, 25565, 25672, 26257, 27000, 27001, 27015, 27017, 27018, 27019,
		28015, 28017, 30000, 30303, 31337, 32400, 33060, 33848, 34567, 34962, 34963, 34964, 37777,
		41795, 44818, 47001, 47808, 48899, 49152, 50000, 50001, 50002, 50051, 50070, 50075, 50090,
		51413, 51820, 52869, 54321, 54545, 55553, 55555, 60000,
	}
}

// busyLow to busyHigh are the ports that Windows gives to RPC services: 49152 upward,
// from 49664 in present versions.
const busyLow, busyHigh = 49152, 49999

// canaryPort draws a port that is not busy, not planned and not drawn before;
// false when the plan leaves next to none.
func canaryPort(rng *rand.Rand, planned []registry.Port, drawn []uint16) (uint16, bool) {
	busy := busyPorts()
	for range 1000 {
		n := uint16(canaryLow + rng.IntN(canaryHigh-canaryLow+1))
		taken := n >= busyLow && n <= busyHigh || slices.Contains(busy, n) || slices.Contains(drawn, n) ||
			slices.Contains(planned, registry.Port{Number: n, Proto: registry.TCP})
		if !taken {
			return n, true
		}
	}
	return 0, false
}

// canaries is the step before all others: two connects to random ports of the
// host, a third when one of the two was accepted. The first port of a host
// asks, the others are told.
func (d *dialogue) canaries(ctx context.Context) (done bool, err error) {
	if d.cfg.NoCanaries {
		return false, nil
	}
	if err := d.turns.take(ctx, d.host); err != nil {
		return true, nil // run sees that ctx ended
	}
	defer func() {
		d.ev.Host.CanariesAsked, d.ev.Host.CanariesOpen = d.host.known.CanariesAsked, d.host.known.CanariesOpen
		d.host.turn <- struct{}{} // the gap still counts from the last connect
	}()
	if d.host.asked {
		return false, nil
	}
	var drawn []uint16
	var known HostContext
	for len(drawn) < 2 || len(drawn) == 2 && known.CanariesOpen == 1 {
		if err := d.turns.pause(ctx, d.host); err != nil {
			return true, nil
		}
		port, ok := canaryPort(d.host.rng, d.cfg.Planned, drawn)
		if !ok {
			break
		}
		drawn = append(drawn, port)
		open, err := d.knock(ctx, port)
		if err != nil || ctx.Err() != nil {
			return true, err
		}
		known.CanariesAsked++
		if open {
			known.CanariesOpen++
		}
	}
	d.host.known, d.host.asked = known, true
	return false, nil
}

// knock connects and closes without a byte.
func (d *dialogue) knock(ctx context.Context, port uint16) (open bool, err error) {
	wait := canaryWaitBlind
	if d.o.RTT > 0 {
		wait = min(canaryWait+4*d.o.RTT, d.cfg.Connect)
	}
	d.spent.canaries.Add(1)
	c, err := d.dial(ctx, netip.AddrPortFrom(d.o.Addr, port), wait)
	defer func() { d.host.ended = time.Now() }()
	if err != nil {
		return false, d.local(ctx, err)
	}
	w := newWire(ctx, c, 0, 0)
	w.end(ctx)
	d.spent.received.Add(uint64(w.received))
	return true, nil
}
