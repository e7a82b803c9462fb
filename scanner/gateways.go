package scanner

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// gatewayPatience is how long after a probe a gateway's "host unreachable" may
// come: Linux asks for the neighbour three times in three seconds
// (net.ipv4.neigh.default.mcast_solicit, retrans_time_ms) before it gives up.
const gatewayPatience = 3200 * time.Millisecond

// Router is a Backend that knows the way to its targets. It is optional.
type Router interface {
	// Routed reports whether probes to addr are handed to somebody who may say
	// late that nobody is there: a gateway, or the kernel of this host where it
	// looks for neighbours itself. It is called from Send's goroutine.
	Routed(addr netip.Addr) bool
}

// untilGateways returns how long after the last probe the gateways of silent
// targets may still say that nobody is there, 0 or less when they have had
// their time since the first round. Retries have usually filled it.
func (r *run) untilGateways() time.Duration {
	router, ok := r.backend.(Router)
	left := gatewayPatience - time.Duration(r.lastSent-r.firstSent)
	if !ok || left <= 0 || !r.awaitsRouted(router) {
		return 0
	}
	return min(left, r.cfg.MaxCooldown)
}

// awaitsRouted reports whether a target behind a gateway was asked and has not
// answered. It ends at the first one.
func (r *run) awaitsRouted(router Router) bool {
	k, ports := uint64(0), uint64(len(r.plan.ports))
	for addr := range r.plan.Addresses() {
		if r.skip == nil || !r.skip.get(k) {
			for j := k * ports; j < (k+1)*ports; j++ {
				if answers(State(r.states.get(j))) || !r.inShard(j) {
					continue
				}
				if router.Routed(addr) {
					return true
				}
				break // the other ports go the same way
			}
		}
		k++
	}
	return false
}

// tellsRoundTrip reports whether the time that o took is one of the path: who
// says that nobody is there has waited for that somebody first.
func tellsRoundTrip(o Observation) bool {
	return o.From == o.Addr || o.Reason != ICMPHostUnreachable && o.Reason != ARPNoReply
}

// check lets the backend ask whether its ways still lead anywhere, as long as answers
// are missing. Nothing holds it, as nothing holds what the kernel asks its gateways:
// a window that has just closed would hold the end of the run till the next one.
func (r *run) check(ctx context.Context) error {
	c, ok := r.backend.(Checker)
	if !ok || r.allAnswered() {
		return nil
	}
	pace := func(ctx context.Context, n int) error { return waitFor(ctx, r.limiter, n) }
	if err := c.Check(ctx, pace); err != nil {
		return fmt.Errorf("scanner: check the ways: %w", err)
	}
	return nil
}
