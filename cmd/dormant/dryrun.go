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
	list := func(name string, rows []string) {
		for _, row := range rows {
			line(name, "%s", row)
			name = ""
		}
	}
	list("targets", s.targetRows())
	line("addresses", "%d, %d excluded", s.ranges.Count(), s.ranges.Excluded())
	list("ports", s.portRows())
	targets := shardSize(s.plan.Len(), s.o.shard)
	if s.o.control.estimate {
		line("passes", "2, in two orders, for the estimate")
		targets *= 2
	}
	most := targets * (1 + uint64(s.o.retries))
	if most == targets {
		line("probes", "%d", targets)
	} else {
		line("probes", "%d, and at most %d when nobody answers", targets, most)
	}
	line("time", "%s", s.sendingTime(targets, most))
	line("nothing", "was sent")
	_, err := io.WriteString(w, b.String())
	return err
}

// targetRows are the prefixes of the plan, and the addresses that need a zone.
func (s *scan) targetRows() []string {
	var rows []string
	for _, p := range s.ranges.Prefixes() {
		rows = append(rows, p.String())
	}
	for _, a := range s.ranges.Zoned() {
		rows = append(rows, a.String())
	}
	return rows
}

// portRows are the ports of the plan, each with a datagram of its own alone.
func (s *scan) portRows() []string {
	var rows []string
	var plain []registry.Port
	flush := func() {
		rows = append(rows, portSpans(plain)...)
		plain = nil
	}
	for _, p := range s.plan.Ports() {
		n := len(s.rules.Payload(p))
		if n == 0 {
			plain = append(plain, p)
			continue
		}
		flush()
		rows = append(rows, fmt.Sprintf("%v, datagram of %d bytes", p, n))
	}
	flush()
	return rows
}

// guessed is what a host sends by raw packets where no limit was asked for, in
// probes per second: half of what two processors were measured to carry.
const guessed = 500_000

// sendingTime is how long the probes take at the rate that was asked for.
func (s *scan) sendingTime(least, most uint64) string {
	perSecond := math.Min(float64(s.o.rate), s.o.hostRate*float64(s.plan.NumAddrs()))
	if budget := s.o.control.stateBudget; budget > 0 { // when nobody answers
		perSecond = math.Min(perSecond, float64(budget)/s.tcpShare()/scanner.StateTimeout.Seconds())
	}
	at := func(probes uint64) time.Duration {
		return time.Duration(float64(probes) / perSecond * float64(time.Second)).Round(time.Second / 10)
	}
	guess := ""
	if rate.Limit(s.o.rate) == rate.Inf && perSecond > guessed {
		perSecond, guess = guessed, "as fast as this host sends, which can be "
	}
	speed := fmt.Sprintf("%.0f", perSecond)
	if perSecond < 10 {
		speed = fmt.Sprintf("%.2g", perSecond)
	}
	took := at(least).String()
	if most > least {
		took += " to " + at(most).String()
	}
	return guess + fmt.Sprintf("%s of sending at %s a second, then the wait for late answers and the dialogues", took, speed)
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
