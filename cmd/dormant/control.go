package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"

	"dormant/scanner"
)

// controlOptions are the flags that say when a scan sends, when it ends, and
// how it is proved to be whole.
type controlOptions struct {
	stateBudget uint64
	window      windowValue
	maxRuntime  time.Duration
	stopFile    string
	resume      string
	manifest    string
	estimate    bool
	canaries    canaryList
}

func (c *controlOptions) addFlags(flags *pflag.FlagSet) {
	flags.Uint64Var(&c.stateBudget, "state-budget", 0, "let no path hold more than `N` half-open connections (default: no bound, the summary tells how many)")
	flags.Var(&c.window, "window", "send only at this time of day, like 22:00-05:00; wait outside it")
	flags.DurationVar(&c.maxRuntime, "max-runtime", 0, "end after this `TIME`, keep what was found and a checkpoint; each --resume has this TIME anew, 0 is no end (default 0)")
	flags.StringVar(&c.stopFile, "stop-file", "", "end, and keep a checkpoint, as soon as `FILE` exists")
	flags.StringVar(&c.resume, "resume", "", "go on with an interrupted `RUN`: its id, the beginning of it, or last; targets and flags are taken from it unless the command line gives others")
	flags.StringVar(&c.manifest, "manifest", "", "write a manifest of the run and its outputs to `FILE`, as JSON")
	flags.BoolVar(&c.estimate, "estimate", false, "sweep a second time in another order, and estimate how many open ports were missed")
	flags.Var(&c.canaries, "canary", "a target that is known to be open, like 10.0.0.9:1947/tcp: not seen open, the run is incomplete (repeatable)")
}

// check finds what no single flag can know. It returns usage errors.
func (c *controlOptions) check() error {
	if c.maxRuntime < 0 {
		return usageError("--max-runtime %v: want 0s or more", c.maxRuntime)
	}
	return nil
}

// stopLook is how often the stop file is looked for.
const stopLook = 500 * time.Millisecond

// limit returns a context that also ends with the longest run time and with the
// stop file; its cause then says so in one line. release must be called.
func (c *controlOptions) limit(ctx context.Context) (limited context.Context, release func()) {
	limited, cancel := context.WithCancelCause(ctx)
	timed := func() {}
	if c.maxRuntime > 0 {
		limited, timed = context.WithTimeoutCause(limited, c.maxRuntime, c.outOfTime())
	}
	done := make(chan struct{})
	go func() { // ends with limited, by release at the latest
		defer close(done)
		for c.stopFile != "" && limited.Err() == nil {
			if _, err := os.Stat(c.stopFile); err == nil {
				cancel(&endError{fmt.Sprintf("the stop file %s exists", c.stopFile), scanner.ErrStopped})
				return
			}
			select {
			case <-limited.Done():
			case <-time.After(stopLook):
			}
		}
	}()
	return limited, func() {
		timed()
		cancel(nil)
		<-done
	}
}

func (c *controlOptions) outOfTime() error {
	return &endError{fmt.Sprintf("the longest run time of %v is over", c.maxRuntime), context.DeadlineExceeded}
}

// endError is the end of a run in the user's words, and in the engine's.
type endError struct {
	said  string
	cause error
}

func (e *endError) Error() string { return e.said }

func (e *endError) Unwrap() error { return e.cause }

// ended returns why the limited context ended a run that returned err, nil if it
// did not. The engine ends a little early when the next probe would be too late.
func (c *controlOptions) ended(limited context.Context, err error) error {
	if cause := context.Cause(limited); cause != nil {
		return cause
	}
	if c.maxRuntime > 0 && errors.Is(err, context.DeadlineExceeded) {
		return c.outOfTime()
	}
	return nil
}
