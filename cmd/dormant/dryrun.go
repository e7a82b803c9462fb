package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"dormant/registry"
	"dormant/scanner"
)

// describePlan says what a run would send, to whom, and how long it would
// take. It is the whole of a dry run.
func (s *scan) describePlan(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("plan", "%s", s.plan.Hash())
	line("seed", "%d", s.plan.Seed())
	for i, p := range s.plan.Prefixes() {
		name := ""
		if i == 0 {
			name = "targets"
		}
		line(name, "%v", p)
	}
	line("addresses", "%d, %d excluded", s.ranges.Count(), s.ranges.Excluded())
	for i, p := range s.plan.Ports() {
		name := ""
		if i == 0 {
			name = "ports"
		}
		payload := ""
		if n := len(s.rules.Payload(p)); n > 0 {
			payload = fmt.Sprintf(", datagram of %d bytes", n)
		}
		line(name, "%v%s", p, payload)
	}
	targets := s.shardTargets()
	most := targets * (1 + uint64(s.o.retries))
	line("probes", "%d, and at most %d when nobody answers", targets, most)
	line("time", "%s", s.sendingTime(targets, most))
	line("nothing", "was sent")
	_, err := io.WriteString(w, b.String())
	return err
}

// shardTargets is how many targets this run's part of the plan has.
func (s *scan) shardTargets() uint64 {
	n, shards := s.plan.Len(), s.o.shard.Count
	targets := n / shards
	if n%shards > s.o.shard.Index-1 {
		targets++
	}
	return targets
}

// sendingTime is how long the probes take at the rate that was asked for.
func (s *scan) sendingTime(least, most uint64) string {
	if rate.Limit(s.o.rate) == rate.Inf && s.o.control.stateBudget == 0 {
		return "as fast as this host sends"
	}
	perSecond := math.Min(float64(s.o.rate), s.o.hostRate*float64(s.plan.NumAddrs()))
	if budget := s.o.control.stateBudget; budget > 0 { // when nobody answers
		perSecond = math.Min(perSecond, float64(budget)/s.tcpShare()/scanner.StateTimeout.Seconds())
	}
	at := func(probes uint64) time.Duration {
		return time.Duration(float64(probes) / perSecond * float64(time.Second)).Round(time.Second / 10)
	}
	return fmt.Sprintf("%v to %v of sending at %.0f a second, then the wait for late answers and the dialogues", at(least), at(most), perSecond)
}

// tcpShare is the part of the plan's ports that holds state on the path, at
// least a little above 0.
func (s *scan) tcpShare() float64 {
	tcp := 0
	for _, p := range s.plan.Ports() {
		if p.Proto == registry.TCP {
			tcp++
		}
	}
	return max(float64(tcp)/float64(len(s.plan.Ports())), 1e-9)
}
