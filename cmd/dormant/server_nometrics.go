//go:build !metrics

package main

import (
	"context"

	"github.com/nats-io/nats.go"

	"dormant/cmd/internal/server"
)

// metrics says that this program was built without them.
func (f *fleetServer) metrics(*server.Server, *nats.Conn) (func(context.Context) error, error) {
	return nil, usageError("--metrics %s: this program was built without metrics; go build -tags metrics builds them in", f.o.metrics)
}
