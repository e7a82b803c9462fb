package agent

import (
	"context"

	"golang.org/x/time/rate"

	"dormant/cmd/internal/pipeline"
	"dormant/scanner"
)

// Order is what a sweeper does for a shard.
type Order struct {
	// Plan holds the addresses that may be asked, and the ports.
	Plan *scanner.Plan
	// Rate and HostRate are in probes a second, both more than 0; rate.Inf is as
	// fast as it goes.
	Rate, HostRate rate.Limit
	Retries        int
	// Identify is whether dialogues are held; Deep makes them longer.
	Identify, Deep bool
	// Hold is called before anything is sent, and blocks while nothing may be;
	// its error is the end. It may be called from several goroutines.
	Hold func(context.Context) error
}

// Sweeper carries out shards, one at a time.
type Sweeper interface {
	// Sweep asks what the order names and calls emit for what answers; emit may be
	// called from several goroutines and may block. The outcome holds what was
	// reached, also beside an error: the error is a fault of this side, or the
	// cause of ctx's end.
	Sweep(ctx context.Context, o Order, emit func(pipeline.Result)) (pipeline.Outcome, error)
	// Progress returns how far the present or the last sweep is.
	Progress() scanner.Progress
	// Backend is how it sends, in the words of --backend; "" before it is known.
	Backend() string
}
