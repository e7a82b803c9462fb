package agent

import (
	"context"
	"fmt"
	"net/netip"

	"go4.org/netipx"
	"golang.org/x/time/rate"

	"dormant/cmd/internal/fleet"
	"dormant/scanner"
)

// largest is the number of addresses beyond which Config.Yes is asked for: a
// /12, as for a scan.
const largest = 1 << 20

// slowest is the lowest rate that is kept to, in probes a second: a shard at
// less would never end.
const slowest = 0.1

// order turns a shard into what this site lets be done of it. plan is nil when
// the never-scan list leaves nothing; spared is what it takes away.
func (c *Config) order(ctx context.Context, s *fleet.Shard, never *scanner.Spared) (o Order, spared []netip.Prefix, err error) {
	switch {
	case s.Retries > scanner.MaxRetries:
		return o, nil, fmt.Errorf("retries %d: want 0 to %d", s.Retries, scanner.MaxRetries)
	case s.Rate != 0 && s.Rate < slowest, s.HostRate != 0 && s.HostRate < slowest:
		return o, nil, fmt.Errorf("rate %g, to a host %g: want at least %g", s.Rate, s.HostRate, slowest)
	}
	asked, err := c.addresses(ctx, s.Prefixes)
	if err != nil {
		return o, nil, err
	}
	var b netipx.IPSetBuilder
	b.AddSet(asked)
	for _, p := range never.Prefixes() {
		b.RemovePrefix(p)
	}
	left, err := b.IPSet()
	if err != nil {
		return o, nil, err
	}
	b.AddSet(asked)
	b.RemoveSet(left)
	without, err := b.IPSet()
	if err != nil {
		return o, nil, err
	}
	o = Order{
		Rate: lower(s.Rate, c.Rate), HostRate: lower(s.HostRate, c.HostRate), Retries: s.Retries,
		Identify: !s.NoIdentify, Deep: s.Deep,
	}
	if s.HostRate == 0 { // zero is not "as fast as it goes" here
		o.HostRate = lower(scanner.DefaultHostRate, c.HostRate)
	}
	if len(left.Prefixes()) > 0 {
		if o.Plan, err = scanner.NewPlan(left.Prefixes(), s.Ports, s.Seed); err != nil {
			return o, nil, err
		}
	}
	return o, without.Prefixes(), nil
}

// addresses is what the shard asks for, if this site's agent may be asked for it.
func (c *Config) addresses(ctx context.Context, prefixes []netip.Prefix) (*netipx.IPSet, error) {
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.String()
	}
	ranges, err := scanner.ParseRanges(ctx, scanner.RangeSpec{Targets: texts}) // no names: nothing is looked up
	if err != nil {
		return nil, err
	}
	if p, public := ranges.Public(); public && !c.Yes {
		return nil, fmt.Errorf("%v is public address space, and this agent was not started with --yes", p)
	}
	if n := ranges.Count(); n > largest && !c.Yes {
		return nil, fmt.Errorf("%d addresses are more than a /12 (%d), and this agent was not started with --yes", n, largest)
	}
	var b netipx.IPSetBuilder
	for _, p := range ranges.Prefixes() {
		b.AddPrefix(p)
	}
	return b.IPSet()
}

// lower is the lower of two rates, of which 0 is none; rate.Inf if neither is
// set.
func lower(asked float64, own rate.Limit) rate.Limit {
	limit := rate.Inf
	if asked > 0 {
		limit = rate.Limit(asked)
	}
	if own > 0 {
		limit = min(limit, own)
	}
	return limit
}

// finite is a rate in the words of messages: 0 is none.
func finite(r rate.Limit) float64 {
	if r == rate.Inf {
		return 0
	}
	return float64(r)
}
