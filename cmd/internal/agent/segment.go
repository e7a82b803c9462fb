package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"dormant/cmd/internal/disk"
)

const (
	segmentSuffix = ".seg"
	// segmentMagic begins every segment.
	segmentMagic = "dormant spool 1\n"
)

// segment is one append-only file of records.
type segment struct {
	path   string
	number uint64
	file   *os.File
	size   int64 // of the whole records and what precedes them
	read   int64 // how far they are settled
	ahead  int64 // length of the record that peek returned
	sealed bool  // nothing more is appended
	buf    []byte
}

// createSegment makes an empty segment that outlasts a power cut.
func createSegment(dir string, number uint64) (*segment, error) {
	path := filepath.Join(dir, fmt.Sprintf("%016x%s", number, segmentSuffix))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	g := &segment{path: path, number: number, file: f}
	err = g.write([]byte(segmentMagic))
	if err == nil {
		err = disk.SyncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	g.read = g.size
	return g, nil
}

// openSegment opens what an earlier run left and calls fn for its records. cut
// tells how many bytes behind them were no whole record.
func openSegment(path string, fn func(record) error) (g *segment, cut int64, err error) {
	number, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), segmentSuffix), 16, 64)
	if err != nil {
		return nil, 0, fmt.Errorf("agent: spool: %s is no segment: its name is not a number", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("agent: spool: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		g = &segment{path: path, number: number, file: f, sealed: true}
		g.size, err = scanSegment(f, fn)
	}
	if err == nil {
		err = f.Truncate(g.size)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("agent: spool: %s: %w", path, err), f.Close())
	}
	g.read = min(g.size, int64(len(segmentMagic)))
	return g, info.Size() - g.size, nil
}

// scanSegment calls fn for every whole record from the start and returns where
// the last one ends.
func scanSegment(r io.Reader, fn func(record) error) (end int64, err error) {
	in := bufio.NewReaderSize(r, 1<<16)
	head := make([]byte, len(segmentMagic))
	if _, err := io.ReadFull(in, head); err != nil || string(head) != segmentMagic {
		return 0, nil // not even begun
	}
	end = int64(len(head))
	for buf := []byte(nil); ; {
		buf, err = disk.ReadFrame(in, buf)
		if errors.Is(err, io.EOF) || errors.Is(err, disk.ErrTorn) {
			return end, nil
		}
		if err != nil {
			return end, err
		}
		rec, err := decodeRecord(buf)
		if err != nil {
			return end, nil // whole, and not ours: like a torn one
		}
		if err := fn(rec); err != nil {
			return end, err
		}
		end += disk.FrameLen + int64(len(buf))
	}
}

func (g *segment) writable() bool { return !g.sealed && g.size < segmentBytes }

func (g *segment) unread() bool { return g.read < g.size }

// write appends b and brings it to the disk, or leaves the records as they were:
// where even that fails the segment takes no more.
func (g *segment) write(b []byte) error {
	_, err := g.file.WriteAt(b, g.size)
	if err == nil {
		err = g.file.Sync()
	}
	if err != nil {
		if cut := g.file.Truncate(g.size); cut != nil {
			g.sealed = true // its torn end is cut off by the next start
			err = errors.Join(err, cut)
		}
		return err
	}
	g.size += int64(len(b))
	return nil
}

// peek returns the first record that is not settled.
func (g *segment) peek() (record, error) {
	var err error
	g.buf, err = disk.ReadFrame(io.NewSectionReader(g.file, g.read, g.size-g.read), g.buf)
	if err != nil {
		return record{}, fmt.Errorf("%s at byte %d: %w", g.path, g.read, err)
	}
	g.ahead = disk.FrameLen + int64(len(g.buf))
	return decodeRecord(g.buf)
}

// skip settles the record that peek returned.
func (g *segment) skip() { g.read, g.ahead = g.read+g.ahead, 0 }

func (g *segment) close() error { return g.file.Close() }
