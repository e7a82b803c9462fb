//go:build linux

package wire

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dormant/scanner"
)

// maxBatch is how many frames are handed to a link at once.
const maxBatch = 64

// lane is one way out of an interface, with the batch that Send builds for it.
// Send's goroutine fills the batch; who sends it is either that one, too, or the
// lane's own goroutine while Send waits for it.
type lane struct {
	out Writer
	tx  sync.Mutex // one WriteFrames at a time: Send and Resolve may meet

	frames  [maxBatch][]byte
	buffers [maxBatch][maxFrame]byte
	which   [maxBatch]int // which probe of Send's batch a frame is
	n       int

	work chan task  // what the lane's own goroutine is to do; nil before there is one
	done chan error // how that went; closed when it has ended
}

// task is a batch of Send, of which a lane has frames to send.
type task struct {
	ctx   context.Context // of this one call of Send, which waits for the answer
	batch []scanner.Probe
}

// lanes returns all ways out over a link, the link itself first.
func lanes(l Link) []*lane {
	all := []*lane{{out: l}}
	if more, ok := l.(Lanes); ok {
		for _, w := range more.Lanes() {
			all = append(all, &lane{out: w})
		}
	}
	return all
}

// write hands frames to the link.
func (l *lane) write(frames [][]byte) (int, error) {
	l.tx.Lock()
	defer l.tx.Unlock()
	return l.out.WriteFrames(frames)
}

// room returns the lane of f that takes the next frame. When all are full their
// batches are sent first.
func (b *Backend) room(ctx context.Context, f *iface, batch []scanner.Probe) (*lane, error) {
	for _, l := range f.lanes {
		if l.n < maxBatch {
			return l, nil
		}
	}
	return f.lanes[0], b.flush(ctx, f, batch)
}

// flush sends the batches of all lanes of f at the same time. Lanes are filled
// one after the other, so a small batch goes by the first alone. Where several
// fail, the error is that of the first.
func (b *Backend) flush(ctx context.Context, f *iface, batch []scanner.Probe) error {
	used := 1
	for used < len(f.lanes) && f.lanes[used].n > 0 {
		l := f.lanes[used]
		if l.work == nil {
			l.work, l.done = make(chan task), make(chan error)
			go b.serve(f, l) // ends when stop closes work
		}
		l.work <- task{ctx, batch}
		used++
	}
	err := b.drain(ctx, f, f.lanes[0], batch)
	for _, l := range f.lanes[1:used] {
		if failed := <-l.done; err == nil {
			err = failed
		}
	}
	return err
}

// serve is the lane's own goroutine.
func (b *Backend) serve(f *iface, l *lane) {
	defer close(l.done)
	for t := range l.work {
		l.done <- b.drain(t.ctx, f, l, t.batch)
	}
}

// stop ends the lane's own goroutine, if there is one, and waits for that.
func (l *lane) stop() {
	if l.work != nil {
		close(l.work)
		<-l.done
		l.work = nil
	}
}

// drain sends the batch of one lane. What only one frame is refused for becomes
// a fault of its probe.
func (b *Backend) drain(ctx context.Context, f *iface, l *lane, batch []scanner.Probe) error {
	wait, waited := firstWait, time.Duration(0)
	for done := 0; done < l.n; {
		n, err := l.write(l.frames[done:l.n])
		if done += n; n > 0 {
			wait, waited = firstWait, 0
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, ErrLinkDown):
			l.keep(done)
			return fmt.Errorf("wire: send on %s: %w", f.name, err)
		case errors.Is(err, ErrBusy) && waited < patience:
			b.sendRetries.Add(1)
			if err := scanner.Sleep(ctx, wait); err != nil {
				l.keep(done)
				return err
			}
			waited, wait = waited+wait, min(2*wait, longWait)
			continue
		}
		target := batch[l.which[done]].Target
		b.warn(f, target, err)
		if err := b.fault(ctx, target); err != nil {
			l.keep(done)
			return err
		}
		done, wait, waited = done+1, firstWait, 0
	}
	l.n = 0
	return nil
}

// keep drops the first done frames of the batch, which are sent.
func (l *lane) keep(done int) { l.n = copy(l.which[:], l.which[done:l.n]) }
