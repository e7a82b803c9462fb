package history

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go4.org/netipx"

	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// Plan is what a run asked: all addresses with all ports.
type Plan struct {
	Prefixes []netip.Prefix  `json:"prefixes"`
	Ports    []registry.Port `json:"ports"`
	set      *netipx.IPSet
}

// compile makes Contains fast.
func (p *Plan) compile() error {
	var b netipx.IPSetBuilder
	for _, prefix := range p.Prefixes {
		b.AddPrefix(prefix)
	}
	set, err := b.IPSet()
	if err != nil {
		return fmt.Errorf("history: a stored plan is damaged: %w", err)
	}
	p.set = set
	return nil
}

// Contains reports whether the plan asks the target.
func (p *Plan) Contains(t scanner.Target) bool {
	return p.set != nil && slices.Contains(p.Ports, t.Port) && p.set.Contains(t.Addr.WithZone(""))
}

func (p *Plan) overlaps(q *Plan) bool {
	return p.set.Overlaps(q.set) && slices.ContainsFunc(p.Ports, func(port registry.Port) bool { return slices.Contains(q.Ports, port) })
}

// key is equal for runs that ask the same targets.
func (p *Plan) key(facts *reports.Run) string {
	ports := slices.SortedFunc(slices.Values(p.Ports), registry.Port.Compare)
	h := sha256.New()
	fmt.Fprintln(h, p.set.Prefixes(), ports)
	if facts.Shard != "" { // a part is comparable only with the same part of the same order
		fmt.Fprintln(h, facts.Shard, facts.Seed)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Run is one stored run.
type Run struct {
	ID       string    `json:"id"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"` // zero: it runs, or was killed
	Status   string    `json:"status"`            // complete, incomplete, interrupted, unfinished
	Site     string    `json:"site"`
	Vantage  string    `json:"vantage"`
	Ticket   string    `json:"ticket"`
	Targets  []string  `json:"targets"`
	Ports    []string  `json:"ports"`
	Open     uint64    `json:"open"`
	Hosts    uint64    `json:"hosts_alive"`
	Revision int       `json:"revision"` // 1, and one more each time it was judged again
	Why      []string  `json:"why,omitempty"`
	// Facts is everything that is known of the run.
	Facts reports.Run `json:"-"`

	row     int64
	planKey string
	plan    Plan
	swept   bool // every target was measured: silence means something
}

// Plan returns what the run asked.
func (r *Run) Plan() *Plan { return &r.plan }

// Swept reports whether every target of the plan was measured.
func (r *Run) Swept() bool { return r.swept }

// covers reports whether a target without an open port in this run is known not
// to be open. A part of a plan covers only what the permutation gave it, which
// is not known here.
func (r *Run) covers(t scanner.Target) bool {
	return r.swept && r.Facts.Shard == "" && r.plan.Contains(t)
}

const runColumns = `id, scan_id, site, vantage, plan_key, plan, started, finished, swept, revision, facts,
	(SELECT count(*) FROM finding WHERE finding.run = run.id)`

func scanRun(row interface{ Scan(...any) error }) (Run, error) {
	var r Run
	var started, finished int64
	var plan []byte
	var facts string
	err := row.Scan(&r.row, &r.ID, &r.Site, &r.Vantage, &r.planKey, &plan, &started, &finished, &r.swept, &r.Revision, &facts, &r.Open)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(facts), &r.Facts); err != nil {
		return r, fmt.Errorf("history: run %s: its stored facts are damaged: %w", r.ID, err)
	}
	text, err := unpack(plan)
	if err != nil {
		return r, fmt.Errorf("history: run %s: %w", r.ID, err)
	}
	if err := json.Unmarshal(text, &r.plan); err != nil {
		return r, fmt.Errorf("history: run %s: its stored plan is damaged: %w", r.ID, err)
	}
	if err := r.plan.compile(); err != nil {
		return r, err
	}
	r.Started = time.Unix(0, started).UTC()
	if finished != 0 {
		r.Finished = time.Unix(0, finished).UTC()
	}
	r.Ticket, r.Hosts = r.Facts.Ticket, r.Facts.Scan.HostsAlive
	r.Targets, r.Ports = append([]string{}, r.Facts.Targets...), append([]string{}, r.Facts.Ports...)
	switch {
	case finished == 0:
		r.Status = "unfinished"
	case r.Facts.Interrupted:
		r.Status, r.Why = "interrupted", r.Facts.Reasons()
	case r.Facts.Complete():
		r.Status = "complete"
	default:
		r.Status, r.Why = "incomplete", r.Facts.Reasons()
	}
	return r, nil
}

// Runs returns all runs, the newest first.
func (s *Store) Runs(ctx context.Context) ([]Run, error) {
	return s.runs(ctx, `SELECT `+runColumns+` FROM run ORDER BY started DESC, id DESC`)
}

func (s *Store) runs(ctx context.Context, query string, args ...any) ([]Run, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.explain(err)
	}
	defer rows.Close() //nolint:errcheck // Err below says it
	all := []Run{}
	for rows.Next() {
		r, err := scanRun(rows)
		if err != nil {
			return nil, s.explain(err)
		}
		all = append(all, r)
	}
	return all, s.explain(rows.Err())
}

// ErrNoRun is wrapped by Find when nothing matches.
var ErrNoRun = errors.New("no such run")

// Find returns the run that name means: an id or the unique beginning of one,
// with or without "s_", or last, last~1, ….
func (s *Store) Find(ctx context.Context, name string) (Run, error) {
	back, isLast, err := parseLast(name)
	if err != nil {
		return Run{}, err
	}
	var found []Run
	if isLast {
		found, err = s.runs(ctx, `SELECT `+runColumns+` FROM run ORDER BY started DESC, id DESC LIMIT 1 OFFSET ?`, back)
	} else {
		found, err = s.runs(ctx, `SELECT `+runColumns+` FROM run WHERE substr(scan_id, 1, length(?1)) = ?1
			OR substr(scan_id, 1, length(?1) + 2) = 's_' || ?1 ORDER BY scan_id = ?1 DESC LIMIT 3`, name)
	}
	switch {
	case err != nil:
		return Run{}, err
	case len(found) == 0:
		return Run{}, fmt.Errorf("history: run %q: %w in %s: dormant runs list shows them all", name, ErrNoRun, s.path)
	case len(found) > 1 && found[0].ID != name:
		return Run{}, fmt.Errorf("history: run %q: more than one begins like that, such as %s and %s", name, found[0].ID, found[1].ID)
	}
	return found[0], nil
}

// parseLast reads last and last~N.
func parseLast(name string) (back int, ok bool, err error) {
	rest, ok := strings.CutPrefix(name, "last")
	if !ok || rest == "" {
		if name == "" {
			return 0, false, errors.New(`history: run "": want an id, the beginning of one, last, or last~1`)
		}
		return 0, ok, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(rest, "~"), 10, 31)
	if err != nil || rest[0] != '~' {
		return 0, false, fmt.Errorf("history: run %q: want an id, the beginning of one, last, or last~1", name)
	}
	return int(n), true, nil
}

// Base returns the run to compare r with, and false when there is none: the
// last one before it from the same site and vantage that has ended. One that
// measured the same targets goes before one that shares some of them, and a
// whole sweep before a part of one.
func (s *Store) Base(ctx context.Context, r Run) (Run, bool, error) {
	before := `SELECT ` + runColumns + ` FROM run WHERE site = ? AND vantage = ? AND finished > 0 AND id <> ? AND
		(started < ? OR started = ? AND id < ?)`
	args := []any{r.Site, r.Vantage, r.row, r.Started.UnixNano(), r.Started.UnixNano(), r.row}
	for _, swept := range []int{1, 0} {
		same, err := s.runs(ctx, before+` AND plan_key = ? AND swept = ? ORDER BY started DESC, id DESC LIMIT 1`, append(slices.Clone(args), r.planKey, swept)...)
		if err != nil || len(same) > 0 {
			return first(same), len(same) > 0, err
		}
		some, err := s.runs(ctx, before+` AND swept = ? ORDER BY started DESC, id DESC LIMIT 100`, append(slices.Clone(args), swept)...)
		if err != nil {
			return Run{}, false, err
		}
		for _, b := range some {
			if r.plan.overlaps(&b.plan) {
				return b, true, nil
			}
		}
	}
	return Run{}, false, nil
}

func first(runs []Run) Run {
	if len(runs) == 0 {
		return Run{}
	}
	return runs[0]
}

// scope returns the number under which the sightings of a site and vantage are
// kept.
func scope(ctx context.Context, tx *sql.Tx, site, vantage string) (id int64, err error) {
	_, err = tx.ExecContext(ctx, `INSERT INTO scope (site, vantage) VALUES (?, ?) ON CONFLICT DO NOTHING`, site, vantage)
	if err == nil {
		err = tx.QueryRowContext(ctx, `SELECT id FROM scope WHERE site = ? AND vantage = ?`, site, vantage).Scan(&id)
	}
	return id, err
}
