package reports

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"dormant/registry"
	"dormant/scanner"
)

// Coverage writes what was covered, as CSV: one record for each /24 (IPv6:
// /120) and port, counted from the findings, of which it must be given those of
// silent targets too. With Options.Subnets it is one record for each subnet, as
// the engine counted it, and the port is empty: all that were asked. Its memory
// does not grow with the run.
type Coverage struct {
	w      *csv.Writer
	o      Options
	subnet netip.Prefix
	any    Finding // of the subnet, for site and vantage
	counts map[registry.Port]*coverCount

	asked bool             // the run for what it knows
	known []scanner.Subnet // what the engine and the exclusions tell, sorted
}

var _ Sink = (*Coverage)(nil)

// coverCount is what happened to one port of a subnet. Findings do not know what
// was excluded and what got lost: where nobody else does, they stay empty.
type coverCount struct {
	targets, probed, answered, unreachable, local uint64
	excluded, loss                                string
}

// coverageHeader returns the columns. excluded counts targets that were asked
// for and excluded. est_loss is the estimated share, 0 to 1, of probes to the
// subnet of which they or their answers got lost: see scanner.Loss.
func coverageHeader() []string {
	return []string{"site", "vantage", "subnet", "port", "transport", "targets", "probed", "excluded", "answered", "unreachable",
		"local_errors", "est_loss", "complete"}
}

// NewCoverage writes the header to w and returns the sink of the records.
func NewCoverage(w io.Writer, o Options) (*Coverage, error) {
	c := &Coverage{w: csv.NewWriter(w), o: o, counts: map[registry.Port]*coverCount{}}
	c.w.UseCRLF = true
	if err := c.w.Write(coverageHeader()); err != nil {
		return nil, fmt.Errorf("reports: write coverage: %w", err)
	}
	return c, nil
}

// Write counts the finding; a subnet is written when the next one begins.
func (c *Coverage) Write(_ context.Context, f Finding) error {
	if c.o.Subnets {
		return nil
	}
	subnet, err := f.IP.WithZone("").Prefix(max(0, f.IP.BitLen()-8))
	if err != nil {
		return fmt.Errorf("reports: coverage of %s: %w", endpoint(&f), err)
	}
	if subnet != c.subnet {
		if err := c.flush(); err != nil {
			return err
		}
		c.subnet, c.any = subnet, Finding{Site: f.Site, Vantage: f.Vantage}
	}
	key := target(&f).Port
	n := c.counts[key]
	if n == nil {
		n = new(coverCount)
		c.counts[key] = n
	}
	n.targets++
	if f.ProbesSent > 0 {
		n.probed++
	}
	if f.ProbesAnswered > 0 {
		n.answered++
	}
	switch f.State {
	case scanner.Unreachable:
		n.unreachable++
	case scanner.Unknown:
		n.local++
	case scanner.Open, scanner.Closed, scanner.Filtered, scanner.OpenFiltered: // measured
	}
	return nil
}

// flush writes the subnet of the last findings, behind those before it of which
// everything was excluded.
func (c *Coverage) flush() error {
	if !c.subnet.IsValid() {
		return nil
	}
	loss, excluded := "", ""
	for _, s := range c.take(func(p netip.Prefix) bool { return p.Compare(c.subnet) <= 0 }) {
		if s.Prefix != c.subnet {
			if err := c.empty(s); err != nil {
				return err
			}
			continue
		}
		loss, excluded = lossShare(s.EstLoss), count(s.ExcludedAddresses)
	}
	for _, port := range slices.SortedFunc(maps.Keys(c.counts), registry.Port.Compare) {
		n := c.counts[port]
		n.loss, n.excluded = loss, excluded
		if err := c.record(c.any.Site, c.any.Vantage, c.subnet, strconv.Itoa(int(port.Number)), port.Proto.String(), n); err != nil {
			return err
		}
	}
	clear(c.counts)
	return nil
}

// take takes what is known of the next subnets, as long as they are wanted.
func (c *Coverage) take(want func(netip.Prefix) bool) []scanner.Subnet {
	if !c.asked { // at the first subnet: the findings come when the run is over
		c.asked, c.known = true, c.o.run().Scan.Subnets
	}
	n := 0
	for n < len(c.known) && want(c.known[n].Prefix) {
		n++
	}
	taken := c.known[:n]
	c.known = c.known[n:]
	return taken
}

// empty writes a subnet that no finding is of, if that is because everything
// was excluded.
func (c *Coverage) empty(s scanner.Subnet) error {
	if s.Targets > 0 || s.Excluded == 0 {
		return nil
	}
	run := c.o.run()
	return c.record(run.Site, run.Vantage, s.Prefix, "", "", &coverCount{excluded: count(s.Excluded)})
}

// lossShare writes a share between 0 and 1, "" for nil.
func lossShare(f *float64) string {
	if f == nil {
		return ""
	}
	return strconv.FormatFloat(*f, 'f', 4, 64)
}

func (c *Coverage) record(site, vantage string, subnet netip.Prefix, port, transport string, n *coverCount) error {
	complete := "yes"
	if n.local > 0 || n.probed+n.unreachable < n.targets {
		complete = "no"
	}
	err := c.w.Write([]string{
		cell(site, maxText), cell(vantage, maxText), subnet.String(), port, transport,
		count(n.targets), count(n.probed), n.excluded, count(n.answered), count(n.unreachable), count(n.local), n.loss, complete,
	})
	if err != nil {
		return fmt.Errorf("reports: write coverage: %w", err)
	}
	return nil
}

// last writes the last subnet of the findings, and what was excluded behind it.
func (c *Coverage) last() error {
	if err := c.flush(); err != nil {
		return err
	}
	for _, s := range c.take(func(netip.Prefix) bool { return true }) {
		if err := c.empty(s); err != nil {
			return err
		}
	}
	return nil
}

// subnets writes what the engine counted.
func (c *Coverage) subnets() error {
	run := c.o.run()
	for _, s := range run.Scan.Subnets {
		n := &coverCount{targets: s.Targets, probed: s.Probed, answered: s.Answered, unreachable: s.Unreachable, local: s.LocalErrors,
			excluded: count(s.Excluded), loss: lossShare(s.EstLoss)}
		if err := c.record(run.Site, run.Vantage, s.Prefix, "", "", n); err != nil {
			return err
		}
	}
	return nil
}

func count(n uint64) string { return strconv.FormatUint(n, 10) }

// Close writes the last subnet.
func (c *Coverage) Close() error {
	write := c.last
	if c.o.Subnets {
		write = c.subnets
	}
	if err := write(); err != nil {
		return err
	}
	c.w.Flush()
	if err := c.w.Error(); err != nil {
		return fmt.Errorf("reports: write coverage: %w", err)
	}
	return nil
}
