package reports

import "context"

// Sink takes findings, in the order of address, transport and port, from one
// goroutine. Every implementation passes the suite in sinktest.
type Sink interface {
	// Write takes one finding. It must not retain it.
	Write(ctx context.Context, f Finding) error
	// Close completes the output: header, trailer, flush, sync, rename. Without
	// a successful Close nothing stands under the final name. It is called once.
	Close() error
}
