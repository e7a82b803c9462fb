package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// canaryList is a flag value: targets that are known to be open.
type canaryList []scanner.Target

func (l *canaryList) Type() string { return "ADDR:PORT[/tcp|udp]" }

func (l *canaryList) String() string { return strings.Join(l.GetSlice(), ",") }

// Set adds one or more canaries, separated by commas.
func (l *canaryList) Set(s string) error {
	for item := range strings.SplitSeq(s, ",") {
		if err := l.Append(strings.TrimSpace(item)); err != nil {
			return err
		}
	}
	return nil
}

// Append adds one canary.
func (l *canaryList) Append(s string) error {
	t, err := parseEndpoint(s)
	if err != nil {
		return fmt.Errorf("canary %q: %w", s, err)
	}
	if !slices.Contains(*l, t) {
		*l = append(*l, t)
	}
	return nil
}

// Replace forgets all canaries and adds those of the list.
func (l *canaryList) Replace(all []string) error {
	*l = nil
	for _, s := range all {
		if err := l.Append(s); err != nil {
			return err
		}
	}
	return nil
}

// GetSlice returns the canaries as Append takes them.
func (l *canaryList) GetSlice() []string {
	words := []string{}
	for _, t := range *l {
		words = append(words, t.String())
	}
	return words
}

// canaries are the known-open targets that this run has to find. It is a
// reports.Sink in front of another and sees every finding.
type canaries struct {
	reports.Sink
	silent map[scanner.Target]bool // not seen open so far
}

// watchCanaries returns the sink in front of next. A canary must be one of the
// targets; one that another shard asks is that shard's business.
func (s *scan) watchCanaries(next reports.Sink) (*canaries, error) {
	c := &canaries{Sink: next, silent: map[scanner.Target]bool{}}
	for _, t := range s.o.control.canaries {
		place, ok := s.plan.Place(t)
		if !ok {
			return nil, usageError("--canary %v is not among the targets and ports of this scan: add it to them, or take it off the exclusions", t)
		}
		if place%s.o.shard.Count == s.o.shard.Index-1 {
			c.silent[t] = true
		}
	}
	return c, nil
}

// Write strikes out a canary that is open.
func (c *canaries) Write(ctx context.Context, f reports.Finding) error {
	if f.State == scanner.Open {
		delete(c.silent, scanner.Target{Addr: f.IP, Port: registry.Port{Number: f.Port, Proto: f.Transport}})
	}
	return c.Sink.Write(ctx, f)
}

// missing says in words which canaries were not seen open, sorted.
func (c *canaries) missing() (why []string) {
	for _, t := range slices.SortedFunc(maps.Keys(c.silent), scanner.Target.Compare) {
		why = append(why, fmt.Sprintf("canary %v was not seen open", t))
	}
	return why
}
