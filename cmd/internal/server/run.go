package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"
	"go4.org/netipx"

	"dormant/cmd/internal/fleet"
	"dormant/registry"
	"dormant/scanner"
)

// Run is one run of a job at one place: what it asks, which does not change
// when the jobs file does. It is kept in the state bucket until it is over, so
// that another process can go on with it.
type Run struct {
	ID  string `json:"id"`
	Job string `json:"job"`
	fleet.Place
	Started  time.Time `json:"started"` // in the job's time zone
	Deadline time.Time `json:"deadline"`
	Seed     uint64    `json:"seed"`
	Sweep
	Targets  []string       `json:"targets"` // as written
	Excluded []string       `json:"excluded,omitempty"`
	Prefixes []netip.Prefix `json:"prefixes"`
	Ticket   string         `json:"ticket,omitempty"`
	// Again says that it asks only what was dead in a run that is over.
	Again bool `json:"again,omitempty"`
	// Spared are the prefixes that the site's own never-scan lists took out. They
	// are known when the run is over.
	Spared []netip.Prefix `json:"-"`
}

// newRun returns a run of the job at a place that begins now.
func newRun(j *Job, a *Ask, now time.Time, seed uint64) *Run {
	now = now.In(j.Location).Round(0)
	return &Run{
		ID: newID(), Job: j.Name, Place: a.Place, Started: now, Deadline: now.Add(j.Deadline), Seed: seed, Sweep: j.Sweep,
		Targets: a.Targets, Excluded: a.Excluded, Prefixes: a.Prefixes, Ticket: j.Ticket,
	}
}

// newID is a scan id, "s_" and a UUID of version 7, which sorts by time.
func newID() string { return "s_" + uuid.Must(uuid.NewV7()).String() }

// Asked returns the prefixes of the run without those that were spared.
func (r *Run) Asked() ([]netip.Prefix, error) {
	var b netipx.IPSetBuilder
	for _, p := range r.Prefixes {
		b.AddPrefix(p)
	}
	for _, p := range r.Spared {
		b.RemovePrefix(p)
	}
	set, err := b.IPSet()
	if err != nil {
		return nil, fmt.Errorf("server: run %s: %w", r.ID, err)
	}
	return set.Prefixes(), nil
}

// excluded returns what the jobs file took out of the targets.
func (r *Run) excluded() []netip.Prefix {
	ranges, err := scanner.ParseRanges(context.Background(), scanner.RangeSpec{Targets: r.Targets, Exclude: r.Excluded}) // no name is looked up
	if err != nil {
		return nil // cannot be: it was read when the run began
	}
	return ranges.ExcludedPrefixes()
}

// Addresses counts what the run asks.
func (r *Run) Addresses() uint64 { return addresses(r.Prefixes) }

// shard is the work item of a number from 1, to be done until then.
func (r *Run) shard(number, of int, prefixes []netip.Prefix, until time.Time) *fleet.Shard {
	return &fleet.Shard{
		Version: fleet.Version, Run: r.ID, Job: r.Job, Number: number, Of: of, Place: r.Place,
		Prefixes: prefixes, Ports: r.Ports, Seed: r.Seed + uint64(number),
		Rate: r.Rate, HostRate: r.HostRate, Retries: r.Retries, NoIdentify: r.NoIdentify, Deep: r.Deep, Until: until,
	}
}

// portIndex returns where the port stands in the run's list, which is sorted,
// and false when it was not asked.
func (r *Run) portIndex(p registry.Port) (int, bool) {
	return slices.BinarySearchFunc(r.Ports, p, registry.Port.Compare)
}

// maxRecord bounds a stored run when it is unpacked, in bytes.
const maxRecord = 64 << 20

// pack returns what is kept of the run: a long list of prefixes deflates well,
// and a bucket takes values of one megabyte.
func (r *Run) pack() ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	err := json.NewEncoder(w).Encode(r)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("server: run %s: %w", r.ID, err)
	}
	return b.Bytes(), nil
}

// unpackRun reads what pack wrote.
func unpackRun(b []byte) (*Run, error) {
	zip, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("server: a stored run: %w", err)
	}
	r := &Run{}
	if err := json.NewDecoder(io.LimitReader(zip, maxRecord)).Decode(r); err != nil {
		return nil, fmt.Errorf("server: a stored run: %w", err)
	}
	if err := r.Check(); err != nil || len(r.Prefixes) == 0 || len(r.Ports) == 0 || r.ShardSize == 0 || !slices.IsSortedFunc(r.Ports, registry.Port.Compare) {
		return nil, fmt.Errorf("server: stored run %q is not whole", r.ID)
	}
	return r, nil
}
