package main

import (
	"context"
	"errors"
	"net"
	"os"

	"github.com/nats-io/nats.go"

	"dormant/cmd/internal/metrics"
	"dormant/cmd/internal/server"
)

// metrics returns what serves the metrics.
func (f *fleetServer) metrics(s *server.Server, conn *nats.Conn) (func(context.Context) error, error) {
	m, err := metrics.New(metrics.Config{
		Listen: f.o.metrics, Status: s.Status, Store: f.desk.store, Checks: f.checks(conn), Version: version(), Log: f.a.log,
		Ready: func(at net.Addr) { sayReady(f.a, "metrics", "http://"+at.String()+"/metrics") },
	})
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return m.Run, nil
}

// checks are what the server cannot be without.
func (f *fleetServer) checks(conn *nats.Conn) []metrics.Check {
	return []metrics.Check{
		{Name: "broker", Check: func(context.Context) error {
			if f.broker != nil && f.broker.Fault() != nil {
				return f.broker.Fault()
			}
			if !conn.IsConnected() {
				return errors.New("it is away")
			}
			return nil
		}},
		{Name: "database", Check: func(ctx context.Context) error {
			_, err := f.desk.store.Places(ctx)
			return err
		}},
		{Name: "disk", Check: func(context.Context) error { return writable(f.dir) }},
	}
}

// writable returns why nothing can be written in the folder: a full disk takes
// an empty file, so a page is written.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".ready-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 4096))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}
