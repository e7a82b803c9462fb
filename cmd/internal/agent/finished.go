package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"dormant/cmd/internal/disk"
)

// keptFinished is how many shards a vantage remembers to have done: a server
// gives one out again within minutes, and a shard takes about one.
const keptFinished = 512

// finished are the last shards that were done, on disk.
type finished struct {
	path string
	file *os.File
	all  []finish // the oldest first
	size int64    // of the file
}

// openFinished reads the list; a torn end is passed over, and cut off.
func openFinished(path string) (*finished, error) {
	f := &finished{path: path}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("agent: spool: %w", err)
	}
	r := bytes.NewReader(b)
	for buf := []byte(nil); ; {
		if buf, err = disk.ReadFrame(r, buf); err != nil {
			break // io.EOF or a torn end
		}
		shard, item, _ := strings.Cut(string(buf), "\n") // neither holds one
		f.all = append(f.all, finish{shard, item})
	}
	if err := f.rewrite(); err != nil {
		return nil, err
	}
	return f, nil
}

// rewrite keeps the last ones.
func (f *finished) rewrite() error {
	f.all = slices.Clone(f.all[max(0, len(f.all)-keptFinished):])
	var all []byte
	for _, one := range f.all {
		all = disk.AppendFrame(all, one.append)
	}
	if err := f.close(); err != nil {
		return err
	}
	err := disk.Replace(f.path, all)
	if err == nil {
		f.file, err = os.OpenFile(f.path, os.O_RDWR, 0)
	}
	if err != nil {
		return fmt.Errorf("agent: spool: %w", err)
	}
	f.size = int64(len(all))
	return nil
}

// append appends the line that openFinished reads.
func (f finish) append(b []byte) []byte {
	return append(append(append(b, f.shard...), '\n'), f.item...)
}

func (f *finished) has(one finish) bool { return slices.Contains(f.all, one) }

// add remembers one; the zero value is nothing to remember. It is remembered in
// memory also when the disk fails.
func (f *finished) add(one finish) error {
	if one == (finish{}) || f.has(one) {
		return nil
	}
	f.all = append(f.all, one)
	if len(f.all) >= 2*keptFinished || f.file == nil {
		return f.rewrite()
	}
	b := disk.AppendFrame(nil, one.append)
	_, err := f.file.WriteAt(b, f.size)
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("agent: spool: %w", err)
	}
	f.size += int64(len(b))
	return nil
}

func (f *finished) close() error {
	if f.file == nil {
		return nil
	}
	file := f.file
	f.file = nil
	if err := file.Close(); err != nil {
		return fmt.Errorf("agent: spool: %w", err)
	}
	return nil
}
