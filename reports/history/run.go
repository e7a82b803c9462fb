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
	"unicode/utf8"

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
	Job      string    `json:"job,omitempty"` // of a server's schedule
	Open     uint64    `json:"open"`
	Hosts    uint64    `json:"hosts_alive"`
	Revision int       `json:"revision"` // 1, and one more each time it was judged again
	Why      []string  `json:"why,omitempty"`
	// Facts is everything that is known of the run.
	Facts reports.Run `json:"-"`

	row     int64
	planKey string
	plan    Plan
	swept   bool   // every target was measured: silence means something
	tally   *Tally // nil while the run is unfinished
	against string
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

// noEnd is why the report of an unfinished run is incomplete.
const noEnd = "the run has no end: it is still running, or was killed"

const runColumns = `id, scan_id, site, vantage, job, plan_key, plan, started, finished, swept, revision, facts, tally, against,
	CASE WHEN tally = '' THEN (SELECT count(*) FROM finding WHERE finding.run = run.id) ELSE 0 END`

func scanRun(row interface{ Scan(...any) error }) (Run, error) {
	var r Run
	var started, finished, swept int64
	var plan []byte
	var facts, tally string
	err := row.Scan(&r.row, &r.ID, &r.Site, &r.Vantage, &r.Job, &r.planKey, &plan, &started, &finished, &swept, &r.Revision, &facts,
		&tally, &r.against, &r.Open)
	if err != nil {
		return r, err
	}
	r.swept = swept != 0
	if tally != "" {
		r.tally = new(Tally)
		if err := json.Unmarshal([]byte(tally), r.tally); err != nil {
			return r, fmt.Errorf("history: run %s: its stored counts are damaged: %w", r.ID, err)
		}
		r.Open = r.tally.Open
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
		// Its facts are those of its beginning: without this, a report of it
		// would say that nothing is open and leave it at that. One that was
		// exported has that already.
		if !slices.Contains(r.Facts.Why, noEnd) {
			r.Facts.Why = append(r.Facts.Why, noEnd)
		}
		r.Status, r.Why = "unfinished", r.Facts.Reasons()
	case r.Facts.Interrupted:
		r.Status, r.Why = "interrupted", r.Facts.Reasons()
	case r.Facts.Complete():
		r.Status = "complete"
	default:
		r.Status, r.Why = "incomplete", r.Facts.Reasons()
	}
	return r, nil
}

func (s *Store) runs(ctx context.Context, query string, args ...any) ([]Run, error) {
	all, err := collect(ctx, s.db, func(rows *sql.Rows) (Run, error) { return scanRun(rows) }, query, args...)
	if all == nil {
		all = []Run{}
	}
	return all, s.explain(err)
}

// ErrNoRun is wrapped by Find when nothing matches.
var ErrNoRun = errors.New("no such run")

// ErrAmbiguous is wrapped by Find when a name is the beginning of several ids.
var ErrAmbiguous = errors.New("more than one begins like that")

// Find returns the run that name means: an id or the unique beginning of one,
// with or without "s_", or last, last~1, ….
func (s *Store) Find(ctx context.Context, name string) (Run, error) {
	back, isLast, err := parseLast(name)
	if err != nil {
		return Run{}, err
	}
	var found []Run
	if isLast {
		found, err = s.runs(ctx, `SELECT `+runColumns+` FROM run ORDER BY started DESC, id DESC LIMIT 1 OFFSET $1`, back)
	} else {
		found, err = s.runs(ctx, `SELECT `+runColumns+` FROM run WHERE substr(scan_id, 1, $2) = $1
			OR substr(scan_id, 1, $2 + 2) = 's_' || $1 ORDER BY scan_id = $1 DESC LIMIT 3`, name, utf8.RuneCountInString(name))
	}
	switch {
	case err != nil:
		return Run{}, err
	case len(found) == 0:
		return Run{}, fmt.Errorf("history: run %q: %w in %s: dormant runs list shows them all", name, ErrNoRun, s.name)
	case len(found) > 1 && found[0].ID != name:
		return Run{}, fmt.Errorf("history: run %q: %w, such as %s and %s", name, ErrAmbiguous, found[0].ID, found[1].ID)
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
	b, err := s.before(ctx, r)
	if b == nil {
		return Run{}, false, err
	}
	return *b, true, nil
}

// before is Base, nil when there is none.
func (s *Store) before(ctx context.Context, r Run) (*Run, error) {
	for offset, page := 0, 1; ; offset, page = offset+page, 100 { // the first one nearly always is it
		some, err := s.runs(ctx, `SELECT `+runColumns+` FROM run WHERE site = $1 AND vantage = $2 AND finished > 0 AND
			(started < $3 OR started = $3 AND id < $4)
			ORDER BY swept DESC, CASE WHEN plan_key = $5 THEN 0 ELSE 1 END, started DESC, id DESC LIMIT $6 OFFSET $7`,
			r.Site, r.Vantage, r.Started.UnixNano(), r.row, r.planKey, page, offset)
		if err != nil {
			return nil, err
		}
		for i := range some {
			if r.plan.overlaps(&some[i].plan) {
				return &some[i], nil
			}
		}
		if len(some) < page {
			return nil, nil
		}
	}
}

// scope returns the number under which the sightings of a site and vantage are
// kept.
func scope(ctx context.Context, tx *sql.Tx, site, vantage string) (id int64, err error) {
	_, err = tx.ExecContext(ctx, `INSERT INTO scope (site, vantage) VALUES ($1, $2) ON CONFLICT DO NOTHING`, site, vantage)
	if err == nil {
		err = tx.QueryRowContext(ctx, `SELECT id FROM scope WHERE site = $1 AND vantage = $2`, site, vantage).Scan(&id)
	}
	return id, err
}
