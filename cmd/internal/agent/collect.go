package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/pipeline"
)

const (
	// partBytes is about how much a part may hold before it is packed, which is
	// hundreds of results: a message that a server folds in milliseconds, and all
	// that an agent holds in memory.
	partBytes = 256 << 10
	// messageRoom is left below the connection's largest payload for headers, in
	// bytes.
	messageRoom = 4 << 10
)

// collector makes parts of the results of one attempt and gives them to the
// spool. It may be used by several goroutines.
type collector struct {
	spool   *spool
	shard   *fleet.Shard
	attempt string
	subject string
	payload int           // the longest message, in bytes
	ahead   time.Duration // this clock's before the server's
	failed  func(error)   // called once, when the spool took no more

	mu      sync.Mutex // guards what follows; results wait while the spool does
	results []pipeline.Result
	bytes   int
	since   time.Time // of the first of the results
	parts   int
	lost    uint64 // results that fit into no message: their dialogue is missing
	err     error
}

// add takes a result; it waits while the spool is full. After a failure results
// are dropped: the attempt is a failed one.
func (c *collector) add(ctx context.Context, r pipeline.Result) {
	c.date(&r)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	if len(c.results) == 0 {
		c.since = time.Now()
	}
	c.results = append(c.results, r)
	c.bytes += weigh(&r)
	if c.bytes >= partBytes {
		c.flush(ctx)
	}
}

// flushOlder makes a part of what waits for longer than d.
func (c *collector) flushOlder(ctx context.Context, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.results) > 0 && time.Since(c.since) >= d {
		c.flush(ctx)
	}
}

// end makes a part of what is left, and returns how many parts there are and the
// failure of the spool.
func (c *collector) end(ctx context.Context) (parts int, lost uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flush(ctx)
	return c.parts, c.lost, c.err
}

func (c *collector) flush(ctx context.Context) {
	if c.err == nil && len(c.results) > 0 {
		c.err = c.put(ctx, c.results)
		if c.err != nil {
			c.failed(c.err)
		}
	}
	clear(c.results)
	c.results, c.bytes = c.results[:0], 0
}

// put makes one part of the results, or several where one message cannot carry
// them.
func (c *collector) put(ctx context.Context, results []pipeline.Result) error {
	part := &fleet.Part{Run: c.shard.Run, Shard: c.shard.Number, Attempt: c.attempt, Number: c.parts + 1, Results: results}
	data, err := fleet.Encode(fleet.Message{Version: fleet.Version, Part: part})
	switch {
	case err == nil && len(data) <= c.payload:
		c.parts++
		_, err = c.spool.append(ctx, record{subject: c.subject, id: part.ID(), results: uint64(len(results)), data: data})
		if err != nil {
			c.parts--
		}
		return err
	case len(results) > 1:
		half := len(results) / 2
		if err := c.put(ctx, results[:half]); err != nil {
			return err
		}
		return c.put(ctx, results[half:])
	case results[0].Evidence != nil: // longer than any message: the answer alone, and that the dialogue is missing
		r := results[0]
		r.Evidence, r.Cut = nil, true
		c.lost++
		return c.put(ctx, []pipeline.Result{r})
	case err != nil:
		return err
	default:
		return fmt.Errorf("agent: a result of %s is %d bytes, and a message holds %d", results[0].Target, len(data), c.payload)
	}
}

// date changes the times of a result to the server's clock.
func (c *collector) date(r *pipeline.Result) {
	r.At = shift(r.At, c.ahead)
	if r.Evidence != nil {
		ev := *r.Evidence
		ev.Started = shift(ev.Started, c.ahead)
		r.Evidence = &ev
	}
}

// shift leaves a time that is not set alone.
func shift(t time.Time, ahead time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(-ahead)
}

// weigh is about how many bytes a result has in a message before it is packed.
func weigh(r *pipeline.Result) int {
	n := 300 + len(r.Payload)*4/3
	if r.Evidence == nil {
		return n
	}
	for i := range r.Evidence.Exchanges {
		x := &r.Evidence.Exchanges[i]
		n += 300 + (len(x.Sent)+len(x.Received))*4/3 + 32*len(x.Chunks)
		if x.TLS != nil {
			n += 4 << 10 // names and a certificate
		}
	}
	return n
}
