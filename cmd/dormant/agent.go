package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"dormant/cmd/internal/agent"
	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/schedule"
)

// newAgent works for a server from one site.
func newAgent(a *app) *cobra.Command {
	var o agentOptions
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "scan for a server, from a network that it does not reach",
		Long: `Connects to a dormant server, takes parts of its runs, asks the targets from here,
and gives the results. It only dials out and listens on no port. Results are kept
on disk while the server is away.

What the server asks is bounded here: ` + neverScanFile + ` and
--never-scan are read again for each part and never sent to, --rate, --host-rate
and --window hold whatever the server asks, and public addresses or more than a
/12 want --yes.

dormant agent enroll makes the credential from a token of the server. In a NATS
cluster of your own, name the agent, its site and its vantages instead, and what
the cluster wants to see: --creds, --nkey, --ca, --cert and --key.

Told to end (SIGTERM, Ctrl-C) it finishes the part that it is at, if that takes
less than --grace, else gives it back; told twice it ends at once.`,
		Example: `  sudo dormant agent enroll "$TOKEN"
  sudo dormant agent --rate 2000 --never-scan /etc/dormant/printers.txt
  sudo dormant agent --vantage lan=eth1 --vantage dmz=10.9.0.5
  dormant agent example > agent.yaml; sudo dormant agent --config agent.yaml
  dormant agent --server tls://nats.example.net:4222 --creds hq.creds --agent hq-1 --site hq --vantage lan`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runAgent(cmd.Context(), a, &o)
		},
	}
	o.addFlags(cmd.Flags())
	cmd.AddCommand(newAgentEnroll(a), newAgentExample(a))
	return cmd
}

// runAgent works until ctx ends, and then as long as it takes to leave.
func runAgent(ctx context.Context, a *app, o *agentOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	who, err := o.identity()
	if err != nil {
		return err
	}
	state := o.state
	if state == "" {
		if state, err = statePath("agent"); err != nil {
			return &exitError{exitOutput, err}
		}
	}
	cfg := agent.Config{
		Agent: who.Agent, Site: who.Site,
		Spool: filepath.Join(state, "spool", who.Agent), SpoolSize: int64(o.spoolSize),
		NeverScan: o.neverScan, Standing: neverScanFile,
		Lookup: func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		},
		Rate: rate.Limit(o.rate), HostRate: rate.Limit(o.hostRate), Window: schedule.Window(o.window),
		Yes: o.yes, Grace: o.grace, Program: shortVersion(), Log: a.log,
	}
	cfg.Host, _ = os.Hostname() // a host without a name is one without
	if cfg.Vantages, err = o.sweepers(ctx, a, who.Vantages); err != nil {
		return err
	}
	if err := cfg.CheckLists(ctx); err != nil {
		return usageError("%w", err)
	}
	background := context.WithoutCancel(ctx)
	if cfg.Conn, err = o.dial(ctx, a, who); err != nil {
		return err
	}
	defer cfg.Conn.Close()
	if who.own != nil {
		cfg.Ends = who.own.Ends
		fresh, stale := context.WithCancel(background)
		var renewing sync.WaitGroup
		renewing.Go(func() { who.own.KeepFresh(fresh, cfg.Conn, a.log) }) // ends with fresh
		defer renewing.Wait()
		defer stale()
	}
	worker, err := agent.New(cfg)
	if err != nil {
		return usageError("%w", err)
	}
	working, kill := context.WithCancelCause(background)
	defer kill(nil)
	defer onSecondSignal(func() { kill(errTwice) })()
	a.log.Info("agent started", "agent", who.Agent, "site", who.Site, "vantages", strings.Join(who.Vantages, ","), "spool", cfg.Spool)
	defer context.AfterFunc(ctx, func() { a.log.Info("told to end: the shard at hand is finished or given back", "grace", o.grace) })()
	err = worker.Run(working, ctx.Done())
	if err == nil {
		a.log.Info("agent ended, nothing is left here", "agent", who.Agent)
	}
	return agentEnd(err)
}

// errTwice is why an agent ends at once.
var errTwice = errors.New("told twice to end")

// agentEnd says in the exit code how it went.
func agentEnd(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, agent.ErrRefused):
		return &exitError{exitPrivilege, err}
	case errors.Is(err, agent.ErrWaiting):
		return &exitError{exitIncomplete, fmt.Errorf("%w; the next start gives them", err)}
	case errors.Is(err, errTwice):
		return &exitError{exitInterrupted, err}
	default:
		return &exitError{exitOutput, err}
	}
}

// dial connects. A server that is away is waited for, one that refuses is not.
func (o *agentOptions) dial(ctx context.Context, a *app, who *agentIdentity) (*nats.Conn, error) {
	options := who.options
	options.Log = a.log
	conn, err := broker.Dial(ctx, options)
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, &exitError{exitInterrupted, err}
	case broker.Refused(err):
		if _, ours := errors.AsType[*tls.CertificateVerificationError](err); !ours { // else it is the agent that refuses
			err = fmt.Errorf("%w: %w", agent.ErrRefused, err)
		}
		return nil, &exitError{exitPrivilege, err}
	}
	options.Wait = true
	waiting, wrong := broker.Dial(ctx, options)
	if wrong != nil { // with Wait only what was given can be
		return nil, usageError("%w", wrong)
	}
	a.log.Warn("the server does not answer: waiting for it", "error", err)
	return waiting, nil
}

// sameMoment is how far apart two signals may be and still be one: timeout(1)
// tells its command, and then the whole group of it.
const sameMoment = 200 * time.Millisecond

// onSecondSignal calls f when the process is told to end for the second time,
// until stop is called.
func onSecondSignal(f func()) (stop func()) {
	signals, ended, done := make(chan os.Signal, 2), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends when ended is closed, by stop, or after f
		defer close(done)
		var told time.Time // for the first time
		for {
			select {
			case <-ended:
				return
			case <-signals:
				if told.IsZero() {
					told = time.Now()
				} else if time.Since(told) > sameMoment {
					f()
					return
				}
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(ended)
		<-done
	}
}
