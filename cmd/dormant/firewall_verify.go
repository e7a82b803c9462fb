package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dormant/registry"
	"dormant/reports"
	"dormant/reports/firewall"
	"dormant/scanner"
)

// verifyOptions are the flags of firewall verify. Those of the probes are
// those of scan.
type verifyOptions struct {
	scan    scanOptions
	impact  string
	outputs []string
	bundle  bundleOptions
}

// newVerify asks the services of an impact again.
func newVerify(a *app) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify --impact FILE.json",
		Short: "after the change: was it as predicted? says what to roll back",
		Long: `Asks the services that an impact lists, and nothing else, and holds the answers
against what the impact said for this source address. It must run from where the
scan ran: from a place whose packets do not pass the firewall, everything that
was to be cut still answers.

What was to stay and is gone is a reason to roll back. License managers lose
their clients late: verify five minutes after the change and again a day later.

A bundle for the ticket holds the state before, the rules, the impact, the state
after, a block to sign off, the hash of every file, and a signature; dormant
firewall check FILE.zip holds it against them.

Exit 0: as predicted. Exit 1: something deviates. Exit 3: something could not be
measured, or the impact makes no prediction for it.`,
		Example: `  dormant firewall verify --impact impact.json
  dormant firewall verify --impact impact.json --bundle CHG-4711.zip --rules old.v4 --rules new.v4 --key me.pem --new-key --ticket CHG-4711 --signed-by "A. Person"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runVerify(cmd.Context(), a, &o) },
	}
	flags := cmd.Flags()
	o.scan.rate, o.scan.shard, o.scan.states = 200, shardValue{1, 1}, "all"
	flags.StringVar(&o.impact, "impact", "", "what firewall impact -o `FILE`.json wrote")
	flags.Var(&o.scan.rate, "rate", "probes a second in total, or max")
	flags.Float64Var(&o.scan.hostRate, "host-rate", 20, "`N` probes a second to one host")
	flags.Uint8Var(&o.scan.retries, "retries", 3, "up to `N` probes again to services that did not answer")
	flags.DurationVar(&o.scan.cooldown, "cooldown", 0, "wait so long a `TIME` for late answers (default 0: measured, at most 8s)")
	flags.Var(oneOf(&o.scan.backend, backendNames()...), "backend", "how to send")
	flags.StringVar(&o.scan.iface, "interface", "", "send by this `INTERFACE` only")
	addSourceFlag(flags, &o.scan.source)
	flags.BoolVar(&o.scan.yes, "yes", false, "go ahead with public addresses")
	addDiscoveryFlag(flags, &o.scan.discovery)
	flags.StringVar(&o.scan.vantage, "vantage", "", "`NAME` of the place asked from (default: the host's name)")
	flags.StringArrayVarP(&o.outputs, "output", "o", nil, "write to `FILE` as "+orList(firewall.Endings())+" (repeatable)")
	o.bundle.addFlags(cmd)
	return cmd
}

// runVerify prepares everything that can be wrong, and only then sends.
func runVerify(ctx context.Context, a *app, o *verifyOptions) error {
	if o.impact == "" {
		return usageError("--impact is missing: want what firewall impact -o FILE.json wrote")
	}
	if err := o.scan.check(); err != nil {
		return err
	}
	for _, path := range o.outputs {
		if _, ok := firewall.WriterOf(path); !ok {
			return usageError("--output %s: want %s", path, orList(firewall.Endings()))
		}
		if err := reports.Check(path); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	text, err := readWhole(o.impact, maxBundle)
	if err != nil {
		return usageError("--impact: %w: want what firewall impact -o FILE.json wrote", err)
	}
	m, err := firewall.ReadImpact(o.impact, text)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if len(m.Targets()) == 0 {
		return usageError("--impact %s lists no service: there is nothing to ask", o.impact)
	}
	bundle, err := o.bundle.prepare(m, text)
	if err != nil {
		return err
	}
	seen, err := o.ask(ctx, a, m.Targets())
	if err != nil {
		return err
	}
	vantage := o.scan.vantage
	if vantage == "" {
		vantage, _ = os.Hostname() // a host without a name is a vantage without one
	}
	v := firewall.Verify(m, vantage, time.Now(), o.scan.sourceFor, seen)
	return o.report(a, v, bundle)
}

// report writes everything and says in the exit code how it was.
func (o *verifyOptions) report(a *app, v *firewall.Verification, bundle *bundle) error {
	for _, path := range o.outputs {
		write, _ := firewall.WriterOf(path)
		if err := reports.WriteFile(path, func(w io.Writer) error { return write(w, v) }); err != nil {
			return &exitError{exitOutput, err}
		}
	}
	if err := bundle.write(a, v); err != nil {
		return &exitError{exitOutput, err}
	}
	if !a.quiet {
		if err := firewall.WriteText(a.stdout, v); err != nil {
			return &exitError{exitOutput, err}
		}
	}
	switch {
	case v.Count(firewall.Deviation) > 0:
		return &exitError{exitFindings, nil}
	case v.Count(firewall.NotMeasured) > 0:
		return &exitError{exitIncomplete, nil}
	default:
		return nil
	}
}

// sourceFor is the address from which a target is asked. Connecting a UDP socket
// asks the routing table and sends nothing.
func (o *scanOptions) sourceFor(t scanner.Target) netip.Addr {
	if o.source.IsValid() {
		return o.source
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(t.Addr, t.Port.Number)))
	if err != nil {
		return netip.Addr{} // no route: no prediction, and the probe says so
	}
	defer c.Close()
	local, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}
	}
	return local.AddrPort().Addr().Unmap().WithZone("")
}

// ask probes the targets. Hosts with the same ports are one plan, so that no
// port is asked that is not listed.
func (o *verifyOptions) ask(ctx context.Context, a *app, targets []scanner.Target) (map[scanner.Target]scanner.Observation, error) {
	ports := map[netip.Addr][]registry.Port{}
	for _, t := range targets {
		if !slices.Contains(ports[t.Addr], t.Port) {
			ports[t.Addr] = append(ports[t.Addr], t.Port)
		}
	}
	groups := map[string][]netip.Addr{}
	var order []string
	for _, t := range targets {
		list := slices.SortedFunc(slices.Values(ports[t.Addr]), registry.Port.Compare)
		key := (*portList)(&list).String()
		if groups[key] == nil {
			order = append(order, key)
		}
		if !slices.Contains(groups[key], t.Addr) {
			groups[key] = append(groups[key], t.Addr)
		}
	}
	seen := map[scanner.Target]scanner.Observation{}
	for _, key := range order {
		if err := o.askGroup(ctx, a, key, groups[key], seen); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// askGroup asks the same ports of some hosts.
func (o *verifyOptions) askGroup(ctx context.Context, a *app, ports string, hosts []netip.Addr, seen map[scanner.Target]scanner.Observation) (err error) {
	s := &scan{a: a, o: &o.scan, hold: &hold{log: a.log}}
	var list portList
	if err := list.Set(ports); err != nil {
		return err
	}
	if s.rules, err = loadRules(s.o); err != nil {
		return err
	}
	words := make([]string, len(hosts))
	for i, h := range hosts {
		words[i] = h.String()
	}
	if s.ranges, err = readRanges(ctx, a, s.o, words, neverScanFile); err != nil {
		return err
	}
	if s.plan, err = s.ranges.Plan(list, randomSeed()); err != nil {
		return &exitError{exitUsage, err}
	}
	if s.guard, err = s.ranges.Guard(); err != nil {
		return err
	}
	b, err := s.openBackend()
	if err != nil {
		return err
	}
	defer func() {
		if cerr := b.Close(); cerr != nil {
			a.log.Warn("cleaning up", "error", cerr)
		}
	}()
	engine, err := scanner.New(b, s.engineConfig())
	if err != nil {
		return &exitError{exitUsage, err}
	}
	sum, err := engine.Run(ctx, s.plan, func(o scanner.Observation) {
		if was, ok := seen[o.Target]; !ok || was.State != scanner.Open { // what answered once is open
			seen[o.Target] = o
		}
	})
	switch {
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, errors.New("interrupted: nothing was verified")}
	case err != nil:
		return &exitError{exitIncomplete, fmt.Errorf("verify: %w", err)}
	case !sum.Complete:
		a.log.Warn("incomplete", "ports", ports, "why", strings.Join(sum.Why, "; "))
	}
	return nil
}
