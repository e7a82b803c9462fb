package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dormant/scanner/listen"
)

// reopenAfter is how long an interface that went down is left alone.
const reopenAfter = 5 * time.Second

// listening is one run of listen.
type listening struct {
	a *app
	o *listenOptions

	hearing *hearing   // of the goroutine that runs the listening
	mu      sync.Mutex // guards what follows, while taps run
	ear     *listen.Ear
	table   *listen.Table
	lost    uint64 // frames and lines that were not heard or not logged
}

func (l *listening) clients() []listen.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.table.Clients()
}

// hear listens until ctx or the time that was asked for ends. Both are a good
// end: it has no other.
func (l *listening) hear(ctx context.Context) error {
	taps, err := l.openTaps()
	if err != nil {
		return err
	}
	if l.o.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.o.duration)
		defer cancel()
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var running sync.WaitGroup
	for _, t := range taps {
		running.Go(func() { // ends with ctx
			if err := l.hearOne(ctx, t); err != nil {
				stop(err)
			}
		})
	}
	written := l.writeUntil(ctx)
	if written != nil {
		stop(nil)
	}
	running.Wait()
	if written != nil {
		return &exitError{exitOutput, written}
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return &exitError{exitIncomplete, cause}
	}
	return nil
}

// openTaps opens a tap on every interface that was asked for.
func (l *listening) openTaps() ([]listen.Tap, error) {
	names := l.o.interfaces
	if len(names) == 0 {
		var err error
		if names, err = listen.Interfaces(); err != nil {
			return nil, &exitError{exitUsage, err}
		}
		if len(names) == 0 {
			return nil, usageError("no interface but the loopback is up: name one by --interface, or a file by --read")
		}
	}
	var taps []listen.Tap
	for _, name := range names {
		t, err := listen.OpenTap(name, l.o.ports, l.o.promiscuous)
		if err != nil {
			for _, t := range taps {
				err = errors.Join(err, t.Close())
			}
			if listen.IsPrivilege(err) {
				return nil, &exitError{exitPrivilege, err}
			}
			return nil, &exitError{exitUsage, err}
		}
		taps = append(taps, t)
	}
	l.hearing.facts.Sources = names
	l.a.log.Info("listening, nothing is sent", "interfaces", names, "promiscuous", l.o.promiscuous)
	return taps, nil
}

// hearOne listens on one interface until ctx ends, and opens it anew when it
// was down.
func (l *listening) hearOne(ctx context.Context, t listen.Tap) error {
	for name := t.Name(); ; {
		err := t.Listen(ctx, func(source string, link listen.LinkType, frame []byte, at time.Time) {
			l.mu.Lock()
			l.ear.Hear(source, link, frame, at)
			l.mu.Unlock()
		})
		drops, dropErr := t.Drops()
		l.mu.Lock()
		l.lost += drops
		l.mu.Unlock()
		err = errors.Join(err, dropErr, t.Close())
		if ctx.Err() != nil || err != nil && !errors.Is(err, listen.ErrDown) {
			return err
		}
		l.a.log.Warn("an interface is down, it is tried again", "interface", name, "after", reopenAfter)
		l.mu.Lock()
		l.lost++ // nobody knows what it would have carried
		l.mu.Unlock()
		if t = l.reopen(ctx, name); t == nil {
			return nil
		}
	}
}

// reopen waits for an interface; nil when ctx ended first.
func (l *listening) reopen(ctx context.Context, name string) listen.Tap {
	tick := time.NewTicker(reopenAfter)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if t, err := listen.OpenTap(name, l.o.ports, l.o.promiscuous); err == nil {
			return t
		}
	}
}

// writeUntil writes the output files every so often until ctx ends. One that
// cannot be written ends the listening: nobody would read the log for days.
func (l *listening) writeUntil(ctx context.Context) error {
	tick := time.NewTicker(l.o.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := l.writeFiles(); err != nil {
				return fmt.Errorf("listen: %w", err)
			}
			l.keepHeard(context.WithoutCancel(ctx), false) // a commit that has begun is ended
		}
	}
}
