//go:build linux

package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"dormant/scanner"
)

const (
	// kernelWait is how long the kernel is given to find a gateway that did not
	// answer us: it asks three times in as many seconds.
	kernelWait = 3 * time.Second
	// secondChance is how long a gateway that has answered before is left alone
	// before it is asked once more.
	secondChance = time.Second
)

// gateway is a neighbour to whom the probes of some routes are handed.
type gateway struct {
	key    questionKey
	routes []*route
	spoke  bool // it has answered us: else its silence means nothing
	absent bool // it did not, and the kernel has not found it either
	silent bool // it has not answered when last asked again
	lapsed bool // it has not answered once when asked again
}

// findGateways fills gateways.
func (b *Backend) findGateways() {
	all := map[questionKey]*gateway{}
	for _, r := range b.routes.all {
		if r.iface == nil || r.iface.medium != Ethernet || r.iface.noARP || !r.way.Gateway.IsValid() {
			continue
		}
		key := questionKey{r.iface.withZone(r.way.Gateway), r.iface.index}
		if all[key] == nil {
			all[key] = &gateway{key: key}
			b.gateways = append(b.gateways, all[key])
		}
		all[key].routes = append(all[key].routes, r)
	}
}

// askGateways asks some of the gateways, lets their routes go by the MACs that they
// answer with, and returns those that do not answer.
func (b *Backend) askGateways(ctx context.Context, some []*gateway, pace pacer) (silent []*gateway, err error) {
	questions := make([]question, len(some))
	for i, g := range some {
		questions[i] = g.routes[0].question(g.key.addr)
	}
	if err := b.ask(ctx, questions, pace); err != nil {
		return nil, err
	}
	for i, g := range some {
		if !questions[i].closed {
			silent = append(silent, g)
			continue
		}
		if !g.spoke {
			g.spoke = true
			b.answered.Add(1)
		} else if was := g.routes[0].via.Load(); was != nil && *was != questions[i].mac {
			b.log.WarnContext(ctx, "a gateway answers from another MAC than before: what went to the old one may be lost, and is asked again where there are retries",
				"gateway", g.key.addr, "was", net.HardwareAddr(was[:]).String(), "is", net.HardwareAddr(questions[i].mac[:]).String())
		}
		g.goBy(questions[i].mac)
	}
	return silent, nil
}

// goBy lets the routes hand their probes to mac.
func (g *gateway) goBy(mac [6]byte) {
	for _, r := range g.routes {
		r.via.Store(&mac)
	}
}

// resolveGateways finds the link-layer addresses of all gateways that are not
// known: by asking, and else from the kernel, which may have to ask.
func (b *Backend) resolveGateways(ctx context.Context, pace pacer) error {
	unknown := slices.DeleteFunc(slices.Clone(b.gateways), func(g *gateway) bool { return g.routes[0].via.Load() != nil })
	silent, err := b.askGateways(ctx, unknown, pace)
	if err != nil {
		return err
	}
	for _, g := range silent {
		mac, ok, err := b.byKernel(ctx, g)
		if err != nil {
			return err
		}
		if g.absent = !ok; g.absent {
			b.log.WarnContext(ctx, "a gateway does not answer: what lies behind it cannot be asked", "gateway", g.key.addr)
			continue
		}
		g.goBy(mac)
	}
	return nil
}

// byKernel takes what the kernel knows of a gateway, and lets it ask when it knows
// nothing: asking would undo an entry that somebody has made for good.
func (b *Backend) byKernel(ctx context.Context, g *gateway) (mac [6]byte, ok bool, err error) {
	r, asked := g.routes[0], time.Time{}
	for {
		cached, err := b.cached(r.iface, false)
		if err != nil {
			return mac, false, err
		}
		if mac, ok = cached[g.key.addr]; ok || !asked.IsZero() && time.Since(asked) > kernelWait {
			return mac, ok, nil
		}
		if asked.IsZero() {
			asked = time.Now()
			if err := b.kernel.solicit(r.iface.index, r.way.Gateway); err != nil {
				b.log.DebugContext(ctx, "the kernel does not look for the gateway", "error", err)
			}
		}
		if err := scanner.Sleep(ctx, longWait*10); err != nil {
			return mac, false, err
		}
	}
}

// Check implements scanner.Checker: gateways that have answered are asked again.
// Those that then keep silent are given a second chance, six requests in all.
func (b *Backend) Check(ctx context.Context, pace func(ctx context.Context, n int) error) error {
	spoke := slices.DeleteFunc(slices.Clone(b.gateways), func(g *gateway) bool { return !g.spoke })
	silent, err := b.askGateways(ctx, spoke, pace)
	if err == nil && len(silent) > 0 {
		if err := scanner.Sleep(ctx, secondChance); err != nil {
			return err
		}
		silent, err = b.askGateways(ctx, silent, pace)
	}
	if errors.Is(err, ErrLinkDown) {
		return nil // Send or Faults say so
	}
	if err != nil {
		return err
	}
	for _, g := range spoke {
		if g.silent = slices.Contains(silent, g); g.silent && !g.lapsed {
			g.lapsed = true
			b.log.WarnContext(ctx, "a gateway no longer answers: probes to what lies behind it may be lost", "gateway", g.key.addr)
		}
	}
	return nil
}

// fault says in words what has become of the gateway, "" when nothing has.
func (g *gateway) fault() string {
	switch {
	case g.absent:
		return fmt.Sprintf("the gateway %v does not answer", g.key.addr)
	case g.silent:
		return fmt.Sprintf("the gateway %v no longer answers", g.key.addr)
	case g.lapsed:
		return fmt.Sprintf("the gateway %v did not answer for a while", g.key.addr)
	default:
		return ""
	}
}
