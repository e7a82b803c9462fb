package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/time/rate"

	"dormant/cmd/internal/pipeline"
	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner"
)

// newScan is the main job: sweep, identify, report.
func newScan(a *app) *cobra.Command {
	var o scanOptions
	cmd := &cobra.Command{
		Use:   "scan TARGET…",
		Short: "sweep networks for dormant ports and find out what answers",
		Long: `Sweeps the targets with SYN and UDP probes, then holds a short dialogue with
every port that is open, and says what it is, with the evidence.

A target is an address, a network (10.1.0.0/16), a range (10.0.0.5-10.0.1.9 or
10.0.0.5-9), a wildcard (10.0.*.1), or a host name; IPv6 likewise. The list in
` + neverScanFile + ` is never sent to.

Without root or CAP_NET_RAW the sweep uses ordinary connections. They wait 0.9s
for an answer and 0.9s longer in each retry, 3.6s at most, whatever --cooldown
says: what answers later looks silent.

A scan that is interrupted, or killed, goes on with --resume. SIGUSR1 pauses it,
SIGUSR2 or SIGCONT lets it continue.`,
		Example: `  sudo dormant scan 10.1.0.0/16 -o audit.csv
  dormant scan 192.168.7.20 --ports 1947,5093/udp
  dormant scan --targets sites.txt --exclude 10.1.9.0/24 --states all -o all.csv`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.seedGiven = cmd.Flags().Changed("seed")
			return tooFew(runScan(cmd.Context(), a, &o, cmd.Flags(), args))
		},
	}
	o.addFlags(cmd)
	return cmd
}

// scan is one run.
type scan struct {
	a        *app
	o        *scanOptions
	ranges   *scanner.Ranges
	plan     *scanner.Plan
	registry *registry.Registry
	rules    *fingerprint.Rules
	run      reports.Run
	meta     reports.Meta
	hold     *hold
	kept     kept

	watch *canaries // the sink of the findings

	// What open opens.
	backend backend
	guard   *scanner.Guard
}

// runScan prepares everything that can be wrong, and only then sends.
func runScan(ctx context.Context, a *app, o *scanOptions, flags *pflag.FlagSet, args []string) error {
	s := &scan{a: a, o: o, hold: &hold{log: a.log}}
	defer s.release()
	defer watchSignals(s.hold)()
	args, err := s.reopen(flags, args)
	if err != nil {
		return err
	}
	if err := s.checkIdle(flags); err != nil {
		return err
	}
	if err := s.prepare(ctx, args); err != nil {
		return err
	}
	if err := s.sameRun(); err != nil {
		return err
	}
	audit, err := newAudit(a, &o.audit, s.facts)
	if err != nil {
		return err
	}
	if err := s.checkFailOn(audit.failOn); err != nil {
		return err
	}
	if s.watch, err = s.watchCanaries(audit); err != nil {
		return err
	}
	if o.dryRun {
		return outputFault(s.describePlan(a.stdout))
	}
	if err := audit.open(ctx, &o.audit); err != nil {
		return err
	}
	defer audit.release()
	if err := s.open(ctx, audit); err != nil {
		return err
	}
	s.keep(flags, args)
	return audit.end(ctx, s.carryOut(ctx, audit))
}

// open opens everything that the run writes to and sends by, and says that it
// begins. Nothing is left behind on an error.
func (s *scan) open(ctx context.Context, audit *audit) (err error) {
	if audit.store == nil {
		if err := s.o.withoutHistory(); err != nil {
			return err
		}
	}
	audit.auditor.Dossier = s.registry.Lookup
	out, err := openOutputs(s.a, &s.o.outputOptions, reports.Options{Run: s.facts, Dossier: s.registry.Lookup, Subnets: s.o.states == "open"}, audit.columns)
	if err != nil {
		return err
	}
	audit.next = out
	defer func() {
		if err != nil {
			err = errors.Join(err, out.abort())
		}
	}()
	if err := s.checkManifest(); err != nil {
		return err
	}
	if s.backend, err = s.openBackend(); err != nil {
		return err
	}
	s.guard, err = s.ranges.Guard()
	if err == nil {
		err = audit.begin(ctx, history.Plan{Prefixes: s.plan.Prefixes(), Ports: s.plan.Ports()})
	}
	if err != nil {
		return errors.Join(err, s.backend.Close())
	}
	return nil
}

// carryOut sweeps, within the limits that were asked for, and completes the
// outputs. Its error is how the run went.
func (s *scan) carryOut(ctx context.Context, audit *audit) error {
	s.hold.window = s.o.control.window // nobody asks before the sweep
	limited, release := s.o.control.limit(ctx)
	err := s.sweep(limited)
	cause := s.o.control.ended(limited, err)
	release()
	s.run.Interrupted = ctx.Err() != nil
	s.run.Why = append(s.run.Why, s.watch.missing()...)
	closed := audit.Close()
	if closed == nil {
		closed = s.writeManifest()
	}
	if err := s.backend.Close(); err != nil {
		s.a.log.Warn("cleaning up", "error", err)
	}
	return s.end(ctx, cause, err, closed)
}

// prepare reads all input and makes the plan. It returns usage errors, and that this
// host has no such interface or address.
func (s *scan) prepare(ctx context.Context, args []string) (err error) {
	if err := s.o.check(); err != nil {
		return err
	}
	if err := cmp.Or(s.checkFiles(), s.checkFolders()); err != nil {
		return err
	}
	if s.o.created.IsZero() {
		s.o.created = time.Now()
	}
	if s.registry, err = loadRegistry(s.o.registryDir); err != nil {
		return err
	}
	if s.rules, err = loadRules(s.o); err != nil {
		return err
	}
	if s.ranges, err = readRanges(ctx, s.a, s.o, args, neverScanFile); err != nil {
		return err
	}
	for _, p := range s.ranges.Prefixes() {
		if err := s.way().oneFamily(p.Addr()); err != nil {
			return err
		}
	}
	if err := s.way().leaves(s.zones()...); err != nil {
		return err
	}
	if err := s.o.talk.read(ctx, fragileFile); err != nil {
		return err
	}
	if !s.o.seedGiven {
		if s.o.seed, err = s.freshSeed(); err != nil {
			return err
		}
	}
	if s.plan, err = s.ranges.Plan(s.o.ports, s.o.seed); err != nil {
		return &exitError{exitUsage, err}
	}
	s.describeRun(args)
	return nil
}

// freshSeed is random. That of a shard follows from the targets and ports, so that
// parts which were told of no seed are parts of one order.
func (s *scan) freshSeed() (uint64, error) {
	if s.o.shard.Count <= 1 {
		return randomSeed(), nil
	}
	plan, err := s.ranges.Plan(s.o.ports, 0)
	if err != nil {
		return 0, &exitError{exitUsage, err}
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, plan.Hash())
	return h.Sum64(), nil
}

// describeRun writes down what the reports say of the run.
func (s *scan) describeRun(args []string) {
	vantage := s.o.vantage
	if vantage == "" {
		vantage, _ = os.Hostname() // a host without a name is a vantage without one
	}
	s.meta = reports.Meta{ScanID: newScanID(), Site: s.o.site, Vantage: vantage, Ticket: s.o.ticket}
	s.run = reports.Run{
		ScanID: s.meta.ScanID, Site: s.meta.Site, Vantage: vantage, Ticket: s.o.ticket, Version: version(),
		Targets:   slices.Concat(args, s.o.targetFiles),
		Excluded:  slices.Concat(s.o.exclude, s.o.excludeFiles),
		Interface: s.o.iface, Seed: s.o.seed, Shard: s.o.shard.String(), PlanHash: s.plan.Hash(),
	}
	s.run.Ports = portSpans(s.o.ports)
}

// newScanID is "s_" and a UUID of version 7, which sorts by time.
func newScanID() string { return "s_" + uuid.Must(uuid.NewV7()).String() }

// way is how the scan's packets leave this host.
func (s *scan) way() way {
	return way{backend: s.o.backend, iface: s.o.iface, source: s.o.source, zeroCopy: s.o.xdpZeroCopy, rate: rate.Limit(s.o.rate), log: s.a.log}
}

// zones are the interfaces that link-local targets name.
func (s *scan) zones() (names []string) {
	for _, addr := range s.ranges.Zoned() {
		if !slices.Contains(names, addr.Zone()) {
			names = append(names, addr.Zone())
		}
	}
	return names
}

// openBackend opens the backend of the plan, and writes down which it is.
func (s *scan) openBackend() (backend, error) {
	b, used, err := s.way().open(s.plan.Prefixes(), s.zones(), s.plan.Ports())
	s.run.Backend, s.meta.Handshakes = used, used == "connect"
	return b, err
}

// facts is what the reports tell of the run when they are closed.
func (s *scan) facts() reports.Run { return s.run }

// end says in the exit code how the run went, and settles the checkpoint. cause
// is why the sweep's context ended, nil if it did not.
func (s *scan) end(ctx context.Context, cause, err, closed error) error {
	sink, failed := errors.AsType[*pipeline.SinkError](err)
	how := s.settle(cause != nil || err != nil || closed != nil)
	if how == "" {
		how = "no checkpoint"
	}
	switch {
	case failed:
		return &exitError{exitOutput, fmt.Errorf("%v; %s", sink, how)} // not %w: how it goes on is said to who went away, too
	case closed != nil:
		return &exitError{exitOutput, fmt.Errorf("%v; %s", closed, how)}
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, errors.New("interrupted, what was found by then is reported; " + how)}
	case cause != nil:
		return &exitError{exitIncomplete, fmt.Errorf("incomplete: %w; %s", cause, how)}
	case err != nil:
		return &exitError{exitIncomplete, fmt.Errorf("incomplete: %w; %s", err, how)}
	case !s.run.Complete():
		return &exitError{exitIncomplete, errors.New("incomplete: " + strings.Join(s.run.Reasons(), "; "))}
	default:
		return nil
	}
}
