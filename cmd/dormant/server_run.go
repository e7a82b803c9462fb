package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/enroll"
	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/server"
	"dormant/reports/history"
)

// fleetServer is everything that one process of dormant server runs.
type fleetServer struct {
	a    *app
	o    *serverOptions
	dir  string // state folder
	jobs *server.Jobs
	desk *desk
	// authority and broker are nil with a cluster of the user's own.
	authority *enroll.Authority
	broker    *broker.Server
}

// runServer prepares everything that can be wrong, and only then opens a port.
func runServer(ctx context.Context, a *app, o *serverOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	f := &fleetServer{a: a, o: o}
	var err error
	if f.jobs, err = server.Load(o.config); err != nil {
		return &exitError{exitUsage, err}
	}
	if len(o.jobs) == 0 && o.once {
		for _, j := range f.jobs.Jobs {
			o.jobs = append(o.jobs, j.Name)
		}
	}
	if f.dir, err = serverState(o.state); err == nil {
		err = os.MkdirAll(f.dir, 0o700)
	}
	if err != nil {
		return &exitError{exitOutput, fmt.Errorf("--state: %w", err)}
	}
	store, err := history.Open(ctx, cmp.Or(o.db, filepath.Join(f.dir, "history.db")))
	if err != nil {
		return usageError("%w", err)
	}
	defer store.Close() //nolint:errcheck // what was stored is on the disk already
	f.desk = &desk{a: a, store: store, tables: o.once}
	for _, j := range f.jobs.Jobs {
		if err := f.desk.check(o.config, j); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	if len(o.bus.urls) > 0 {
		conn, err := broker.Dial(ctx, o.bus.dial(a, "dormant server"))
		if err != nil {
			return &exitError{exitUsage, err}
		}
		defer conn.Close()
		return f.serve(ctx, conn)
	}
	return f.withBroker(ctx)
}

// withBroker runs the broker inside around everything else.
func (f *fleetServer) withBroker(ctx context.Context) (err error) {
	if f.authority, err = enroll.Open(filepath.Join(f.dir, "enroll")); err != nil {
		return &exitError{exitOutput, fmt.Errorf("--state %s: %w", f.dir, err)}
	}
	var secure *tls.Config
	if f.o.listen != "" {
		if secure, err = f.authority.ServerTLS(f.hosts()); err != nil {
			return usageError("--name: %w", err)
		}
	}
	f.broker, err = broker.New(broker.Config{
		Dir: filepath.Join(f.dir, "broker"), MaxStore: f.o.store, Listen: f.o.listen, TLS: secure, Gate: f.authority, Local: f.dir, Log: f.a.log,
	})
	if err != nil {
		return &exitError{exitUsage, err}
	}
	outer, stop := context.WithCancel(context.WithoutCancel(ctx)) // the broker ends last
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- f.broker.Run(outer, func() { close(ready) }) }() // ends with outer
	select {
	case <-ready:
		err = f.inside(ctx)
	case err = <-ended:
		stop()
		return &exitError{exitUsage, err}
	}
	stop()
	if berr := <-ended; berr != nil {
		err = errors.Join(err, &exitError{exitOutput, berr})
	}
	return err
}

// inside serves with the broker of this process.
func (f *fleetServer) inside(ctx context.Context) error {
	conn, err := f.broker.Dial(ctx, broker.Options{Name: "dormant server", Log: f.a.log})
	if err != nil {
		return &exitError{exitOutput, err}
	}
	defer conn.Close()
	if err := f.authority.AnnouncePlaces(f.jobs.Places()); err != nil {
		return &exitError{exitOutput, err}
	}
	if at := f.broker.Addr(); at != nil {
		if err := f.authority.Announce(f.addresses(at)); err != nil {
			return &exitError{exitOutput, err}
		}
		sayReady(f.a, "agents are awaited", at.String())
	} else {
		f.a.log.WarnContext(ctx, "no agent can come: --listen opens a port for them")
	}
	return f.serve(ctx, conn)
}

// hosts are the names that the server's certificate has.
func (f *fleetServer) hosts() []string {
	var all []string
	for _, name := range f.o.names {
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		all = append(all, name)
	}
	if host, _, err := net.SplitHostPort(f.o.listen); err == nil && host != "" && !net.ParseIP(host).IsUnspecified() && !slices.Contains(all, host) {
		all = append(all, host)
	}
	return all
}

// addresses are where agents find the server, for tokens.
func (f *fleetServer) addresses(at net.Addr) []string {
	_, port, err := net.SplitHostPort(at.String())
	if err != nil {
		return nil // an address of TCP has a port
	}
	var all []string
	for _, name := range f.o.names {
		if _, _, err := net.SplitHostPort(name); err != nil {
			name = net.JoinHostPort(name, port)
		}
		all = append(all, name)
	}
	if host, _, err := net.SplitHostPort(f.o.listen); len(all) == 0 && err == nil && host != "" && !net.ParseIP(host).IsUnspecified() {
		all = append(all, net.JoinHostPort(host, port))
	}
	return all
}

// serve runs the server, and what stands beside it, until ctx ends.
func (f *fleetServer) serve(ctx context.Context, conn *nats.Conn) error {
	streams := broker.Streams{Places: f.jobs.Places()}
	if f.broker != nil {
		streams.ResultBytes = f.broker.ResultBytes()
	}
	if _, err := broker.Prepare(ctx, conn, streams); err != nil {
		return &exitError{exitOutput, err}
	}
	cfg := server.Config{Jobs: f.jobs, Conn: conn, Desk: f.desk, Program: version(), Seed: randomSeed, Once: f.o.jobs, Log: f.a.log}
	if f.broker != nil {
		cfg.Agents, cfg.Fault = f.enrolled, f.broker.Fault
	}
	s, err := server.New(cfg)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	beside, err := f.beside(s, conn)
	if err != nil {
		return err
	}
	limited, stop := context.WithCancel(ctx)
	defer stop()
	g, gctx := errgroup.WithContext(limited)
	g.Go(func() error { // ends with gctx, or when all is done once
		defer stop()
		return s.Run(gctx)
	})
	if f.authority != nil {
		g.Go(func() error { return f.authority.Serve(gctx, conn, f.a.log) }) // ends with gctx
	}
	for _, run := range beside {
		g.Go(func() error { return run(gctx) }) // ends with gctx
	}
	switch err := g.Wait(); {
	case errors.Is(err, server.ErrTwo):
		return &exitError{exitUsage, err}
	case err != nil && !errors.Is(err, context.Canceled):
		return &exitError{exitOutput, err}
	}
	return f.end(ctx, s)
}

// enrolled are the agents that the authority knows.
func (f *fleetServer) enrolled() ([]fleet.AgentStatus, error) {
	agents, err := f.authority.Agents()
	all := make([]fleet.AgentStatus, len(agents))
	for i := range agents {
		all[i] = agents[i].Status()
	}
	return all, err
}

// end says in the exit code of --once how the runs went.
func (f *fleetServer) end(ctx context.Context, s *server.Server) error {
	st := s.Status()
	if !f.o.once {
		open := 0
		for i := range st.Runs {
			if !st.Runs[i].Over() {
				open++
			}
		}
		f.a.log.InfoContext(ctx, "server ended", "runs to go on with", open)
		return nil
	}
	var why []string
	for i := range st.Runs {
		switch r := &st.Runs[i]; r.State {
		case fleet.RunComplete:
		case fleet.RunIncomplete:
			why = append(why, fmt.Sprintf("%s at %s: %s", r.Job, r.Place, strings.Join(r.Why, "; ")))
		default:
			why = append(why, fmt.Sprintf("%s at %s is not over: it goes on at the next start", r.Job, r.Place))
		}
	}
	switch {
	case ctx.Err() != nil && len(why) > 0:
		return &exitError{exitInterrupted, errors.New("interrupted: " + strings.Join(why, ". "))}
	case len(why) > 0:
		return &exitError{exitIncomplete, errors.New("incomplete: " + strings.Join(why, ". "))}
	case f.desk.breaches > 0:
		return &exitError{exitFindings, fmt.Errorf("%d against the policy", f.desk.breaches)}
	}
	return nil
}
