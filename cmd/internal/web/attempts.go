package web

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// From one address five wrong tokens may come at once, and then one every ten
// seconds. The addresses are bounded: beyond them all share one bound, so that
// who owns a whole network gains nothing.
const (
	attemptBurst = 5
	attemptEvery = 10 * time.Second
	maxAddresses = 1024
)

// attempts bounds how often a wrong token can be given.
type attempts struct {
	mu   sync.Mutex
	from map[netip.Prefix]*rate.Limiter
	rest *rate.Limiter
}

func newAttempts() *attempts {
	return &attempts{from: map[netip.Prefix]*rate.Limiter{}, rest: newAttemptLimit()}
}

func newAttemptLimit() *rate.Limiter { return rate.NewLimiter(rate.Every(attemptEvery), attemptBurst) }

// judge reports whether the address may try at all now, and counts the try if it
// was a wrong one. Both in one step: many tries at once gain nothing.
func (a *attempts) judge(addr netip.Addr, right bool, now time.Time) (heard bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.limit(addr, now)
	if l.TokensAt(now) < 1 {
		return false
	}
	if !right {
		l.AllowN(now, 1)
	}
	return true
}

// limit returns the bound of the address: its own, or that of its /64 for IPv6,
// which is what one person has.
func (a *attempts) limit(addr netip.Addr, now time.Time) *rate.Limiter {
	bits := 32
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		bits = 64
	}
	who, err := addr.Prefix(bits)
	if err != nil {
		return a.rest // no address: a handler that was called without one
	}
	if l, ok := a.from[who]; ok {
		return l
	}
	if len(a.from) >= maxAddresses {
		for p, l := range a.from {
			if l.TokensAt(now) >= attemptBurst { // it has been quiet for long enough
				delete(a.from, p)
			}
		}
	}
	if len(a.from) >= maxAddresses {
		return a.rest
	}
	l := newAttemptLimit()
	a.from[who] = l
	return l
}
