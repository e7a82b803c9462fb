package checkpoint

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"dormant/cmd/internal/disk"
	"dormant/fingerprint"
	"dormant/scanner"
)

// magic begins every journal.
const magic = "dormant journal 1\n"

// fullBytes is how much may wait in memory before it is written early.
const fullBytes = 8 << 20

// journal is the file of answers and dialogues. What is added waits in memory
// until flush.
type journal struct {
	file *os.File
	size int64 // of the file; of the goroutine that flushes

	mu      sync.Mutex // guards what follows
	waiting []byte
	spare   []byte
	failed  error         // of the first flush that failed: what it had is not on disk, and the file may be torn
	full    chan struct{} // holds a token when much is waiting
}

// createJournal makes a new, empty journal.
func createJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: journal: %w", err)
	}
	j := &journal{file: f, full: make(chan struct{}, 1), waiting: []byte(magic)}
	if err := j.flush(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

// openJournal opens the journal at path, of which the first least bytes must be
// whole, and cuts off a torn end.
func openJournal(path string, least int64) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: journal: %w", err)
	}
	j := &journal{file: f, full: make(chan struct{}, 1)}
	end, err := j.scan(func([]byte) error { return nil })
	if errors.Is(err, disk.ErrTorn) && end >= least {
		err = f.Truncate(end)
	} else if err == nil && end < least {
		err = disk.ErrTorn
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("checkpoint: journal %s is damaged at byte %d of %d: %w", path, end, least, err), f.Close())
	}
	j.size = end
	return j, nil
}

// scan calls fn with every record from the start, and returns where the last
// whole one ends. fn must not retain the record.
func (j *journal) scan(fn func(body []byte) error) (end int64, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(j.file, 0, 1<<62), 1<<16)
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != magic {
		return 0, disk.ErrTorn
	}
	end = int64(len(magic))
	for buf := []byte(nil); ; {
		buf, err = disk.ReadFrame(r, buf)
		switch {
		case errors.Is(err, io.EOF):
			return end, nil
		case err != nil:
			return end, err
		}
		if err := fn(buf); err != nil {
			return end, err
		}
		end += disk.FrameLen + int64(len(buf))
	}
}

// answer adds o. It never waits for the disk.
func (j *journal) answer(o scanner.Observation) {
	j.add(func(b []byte) []byte { return appendAnswer(b, o) })
}

// dialogue adds ev. It never waits for the disk.
func (j *journal) dialogue(ev *fingerprint.Evidence) error {
	body, err := appendDialogue(nil, ev)
	if err == nil {
		j.add(func(b []byte) []byte { return append(b, body...) })
	}
	return err
}

// add adds a record, unless the disk has failed.
func (j *journal) add(record func(b []byte) []byte) {
	j.mu.Lock()
	if j.failed == nil {
		j.waiting = disk.AppendFrame(j.waiting, record)
	}
	full := len(j.waiting) > fullBytes
	j.mu.Unlock()
	if full {
		select {
		case j.full <- struct{}{}:
		default: // a token is there already
		}
	}
}

// flush writes what waits and brings it to the disk. One goroutine at a time
// may call it. After it has failed once it fails for ever.
func (j *journal) flush() error {
	j.mu.Lock()
	out, err := j.waiting, j.failed
	j.waiting, j.spare = j.spare[:0], nil
	j.mu.Unlock()
	if err == nil && len(out) > 0 {
		var n int
		n, err = j.file.Write(out)
		j.size += int64(n)
		if err == nil {
			err = j.file.Sync()
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed = err; err != nil {
		return fmt.Errorf("checkpoint: journal: %w", err)
	}
	j.spare = out[:0]
	return nil
}
