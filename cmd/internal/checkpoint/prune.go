package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dormant/cmd/internal/disk"
)

// Limits say for how long and how many runs are kept that wait to be resumed.
type Limits struct {
	Age    time.Duration // since somebody worked on it last
	Number int
}

// Pruned is a run that was removed.
type Pruned struct {
	ID   string
	Last time.Time // when somebody worked on it
	Why  string    // in words
}

// idle is for how long nobody must have worked on a run before it can be
// removed. A run that is worked on is saved every second or so; the lock tells
// so, too, but not on every system.
const idle = time.Hour

// Prune removes the runs below root that are beyond the limits, and what is
// left of those whose making or removal was cut short. A run that is locked, or
// that somebody worked on within the last hour, stays. It returns what was
// removed, also beside an error.
func Prune(root string, limits Limits, now time.Time) (gone []Pruned, err error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	runs, err := List(root)
	if err != nil {
		return nil, err
	}
	surplus := runs[:max(0, len(runs)-limits.Number)] // the oldest
	var faults []error
	for _, e := range entries {
		id := e.Name()
		if !e.IsDir() || !strings.HasPrefix(id, "s_") {
			continue
		}
		st, err := e.Info()
		if err != nil {
			continue // another process was quicker
		}
		why, last := "", st.ModTime() // every position that is saved takes its name in the folder
		switch age := now.Sub(last); {
		case age < idle:
		case !slices.Contains(runs, id):
			why = "it cannot be resumed"
		case age > limits.Age:
			why = fmt.Sprintf("nobody has resumed it for %d days", int(age/(24*time.Hour)))
		case slices.Contains(surplus, id):
			why = fmt.Sprintf("there are more than %d to resume", limits.Number)
		}
		if why == "" {
			continue
		}
		switch removed, err := remove(filepath.Join(root, id)); {
		case err != nil:
			faults = append(faults, err)
		case removed:
			gone = append(gone, Pruned{id, last, why})
		}
	}
	return gone, errors.Join(faults...)
}

// remove removes the run in dir unless somebody holds its lock.
func remove(dir string) (removed bool, err error) {
	r := &Run{dir: dir}
	r.lock, err = disk.Lock(filepath.Join(dir, "lock"))
	if errors.Is(err, disk.ErrLocked) {
		return false, nil
	}
	if err == nil {
		err = r.Remove()
	}
	if err != nil {
		return false, fmt.Errorf("checkpoint: remove %s: %w", filepath.Base(dir), err)
	}
	return true, nil
}
