package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"dormant/cmd/internal/disk"
)

// segmentBytes is from what size on a new segment is begun: the disk's space
// comes back in such pieces.
const segmentBytes = 8 << 20

// spool holds on disk what the server does not have yet, as records in segments.
// One goroutine reads, any number appends. Everything that is returned was
// synced.
type spool struct {
	dir   string
	limit int64 // bytes
	log   *slog.Logger

	mu       sync.Mutex // guards what follows; it is held while the disk works
	segments []*segment // the oldest first; the last one is written
	next     uint64     // number of the next segment
	size     int64      // bytes of all segments
	waiting  uint64     // results in them that were not published
	appended uint64     // records since the start, those that it found included
	settled  uint64     // those of them that were published
	blocked  int        // records that wait for room
	changed  chan struct{}
	finished *finished
	// onTheWay are the shards whose end is not published yet, by the number of the
	// record.
	onTheWay map[string]uint64
}

// openSpool reads what is in dir, which is made. A torn end, as a kill leaves it,
// is cut off.
func openSpool(dir string, limit int64, log *slog.Logger) (*spool, error) {
	s := &spool{dir: dir, limit: limit, log: log, changed: make(chan struct{}), onTheWay: map[string]uint64{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("agent: spool: %w", err)
	}
	var err error
	if s.finished, err = openFinished(filepath.Join(dir, "finished")); err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix)) // sorted: the numbers have one width
	if err != nil {
		return nil, fmt.Errorf("agent: spool: %w", err)
	}
	for _, path := range paths {
		if err := s.adopt(path); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// adopt takes over a segment of an earlier run.
func (s *spool) adopt(path string) error {
	g, cut, err := openSegment(path, func(r record) error {
		return s.count(r)
	})
	if err != nil {
		return err
	}
	if cut > 0 {
		s.log.Warn("the spool's end was torn: what was not whole is cut off", "file", path, "bytes", cut)
	}
	s.next = max(s.next, g.number+1)
	s.segments = append(s.segments, g)
	s.size += g.size
	return s.dropRead()
}

// close closes the files and leaves them.
func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := []error{s.finished.close()}
	for _, g := range s.segments {
		errs = append(errs, g.close())
	}
	return errors.Join(errs...)
}

// results counts the results that the server does not have yet.
func (s *spool) results() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting
}

// last is the number of the last record that was appended.
func (s *spool) last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appended
}

// done reports whether the work item was carried out here, and with which record
// that is told. Another item of a shard counts as carried out only while the
// server cannot know of the first: a server that knows wants it done again.
func (s *spool) done(f finish) (number uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	number, ok = s.onTheWay[f.shard]
	return number, ok || s.finished.has(f)
}

// append brings r to the disk and returns its number. It waits while the spool
// is full, unless r ends an attempt: that must find room. After an error nothing
// of r is in the spool.
func (s *spool) append(ctx context.Context, r record) (uint64, error) {
	b := disk.AppendFrame(nil, r.append)
	s.mu.Lock()
	defer s.mu.Unlock()
	for r.results > 0 && s.size > 0 && s.size+int64(len(b)) > s.limit {
		s.blocked++
		err := s.wait(ctx)
		s.blocked--
		if err != nil {
			return 0, fmt.Errorf("agent: the spool is full, %d of %d bytes: %w", s.size, s.limit, err)
		}
	}
	g, err := s.active()
	if err == nil {
		err = g.write(b)
	}
	if err != nil {
		return 0, fmt.Errorf("agent: spool: %w", err)
	}
	s.size += int64(len(b))
	s.tell()
	if err := s.count(r); err != nil {
		s.log.Warn("a shard that was done may be done again", "error", err)
	}
	return s.appended, nil
}

// count takes a record that is on the disk into the books.
func (s *spool) count(r record) error {
	s.appended++
	s.waiting += r.results
	if r.finishes != (finish{}) {
		s.onTheWay[r.finishes.shard] = s.appended
	}
	return s.finished.add(r.finishes)
}

// active returns the segment that is written.
func (s *spool) active() (*segment, error) {
	if n := len(s.segments); n > 0 && s.segments[n-1].writable() {
		return s.segments[n-1], nil
	}
	g, err := createSegment(s.dir, s.next)
	if err != nil {
		return nil, err
	}
	s.next++
	s.size += g.size
	s.segments = append(s.segments, g)
	return g, nil
}

// oldest returns the first record that was not settled, and waits for one. The
// bytes are the caller's until settle.
func (s *spool) oldest(ctx context.Context) (record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.settled == s.appended {
		if err := s.wait(ctx); err != nil {
			return record{}, err
		}
	}
	if err := s.dropRead(); err != nil {
		return record{}, err
	}
	r, err := s.segments[0].peek()
	if err != nil {
		return record{}, fmt.Errorf("agent: spool: %w", err)
	}
	return r, nil
}

// settle takes the record that oldest returned out of the spool.
func (s *spool) settle(r record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments[0].skip()
	s.waiting -= r.results
	s.settled++
	if s.onTheWay[r.finishes.shard] == s.settled {
		delete(s.onTheWay, r.finishes.shard)
	}
	err := s.dropRead()
	s.tell()
	return err
}

// dropRead removes the oldest segments in which everything is settled.
func (s *spool) dropRead() error {
	for len(s.segments) > 0 && !s.segments[0].unread() {
		g := s.segments[0]
		s.segments = s.segments[1:]
		s.size -= g.size
		if err := errors.Join(g.close(), os.Remove(g.path)); err != nil {
			return fmt.Errorf("agent: spool: %w", err)
		}
	}
	return nil
}

// await returns when the record of that number is settled, or with the cause of
// ctx's end.
func (s *spool) await(ctx context.Context, number uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.settled < number {
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// room returns when less than three quarters of the spool are used and no record
// waits, or with the cause of ctx's end: the last quarter is for answers that are
// on their way.
func (s *spool) room(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.hasRoom() {
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// roomy reports whether room would return at once.
func (s *spool) roomy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasRoom()
}

func (s *spool) hasRoom() bool { return s.blocked == 0 && s.size <= s.limit/4*3 }

// wait gives the lock away until something has changed.
func (s *spool) wait(ctx context.Context) error {
	changed := s.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-changed:
		return nil
	}
}

// tell wakes all who wait.
func (s *spool) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}
