package history

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
)

// Kind is what happened to a port between two runs, in the words of the column
// change.
type Kind string

// The kinds of change.
const (
	Same       Kind = "same"
	New        Kind = "new"         // asked before and not open then
	FirstRun   Kind = "first_run"   // open, and not asked before
	Changed    Kind = "changed"     // verdict, product, version or certificate
	Moved      Kind = "moved"       // the same machine, at another address before
	Missing    Kind = "missing"     // not open this time: gone, if it stays so
	Gone       Kind = "gone"        // asked again, and not open twice in a row
	NotScanned Kind = "not_scanned" // open before, and not measured this time
)

// Counts reports whether the kind is a difference: something that changed in
// the network, not in what was asked, and not a suspicion.
func (k Kind) Counts() bool {
	return k == New || k == Changed || k == Moved || k == Gone
}

// entry is what happened to one key; maybe is set where digests differ and only
// the findings can tell whether that is a change.
type entry struct {
	key    []byte // valid until the next entry
	kind   Kind
	before int64 // the run that holds the finding to compare with, 0: none
	maybe  bool
}

// pair is a comparison of two runs, with the ones before each that two strikes
// need.
type pair struct {
	from, to Run
	// fromBase is the run before from: what was open there and silent in from
	// is missing. between is the run before to, if it is later than from.
	fromBase, between *Run
}

// pairOf looks up the runs around two runs.
func (s *Store) pairOf(ctx context.Context, from, to Run) (p pair, err error) {
	p = pair{from: from, to: to}
	if p.fromBase, err = s.before(ctx, from); err != nil {
		return p, err
	}
	t, err := s.before(ctx, to)
	if t != nil && t.row != from.row && t.Started.After(from.Started) {
		p.between = t
	}
	return p, err
}

// compare calls fn for every port that was open in any of the runs of p and of
// which there is something to say, in the order of keys.
func (s *Store) compare(ctx context.Context, p pair, fn func(entry) error) error {
	var cs [4]*cursor
	for i, run := range []*Run{&p.to, &p.from, p.fromBase, p.between} {
		cs[i] = s.cursor(run)
		if err := cs[i].next(ctx); err != nil {
			return err
		}
	}
	var key []byte
	for {
		var least []byte
		for _, c := range cs {
			if c.more && (least == nil || bytes.Compare(c.key, least) < 0) {
				least = c.key
			}
		}
		if least == nil {
			return nil
		}
		key = append(key[:0], least...)
		if e, ok, err := p.judge(key, cs); err != nil {
			return err
		} else if ok {
			if err := fn(e); err != nil {
				return err
			}
		}
		for _, c := range cs {
			if c.at(key) {
				if err := c.next(ctx); err != nil {
					return err
				}
			}
		}
	}
}

// judge says what happened to one key. The cursors are of to, from, fromBase
// and between.
func (p *pair) judge(key []byte, cs [4]*cursor) (entry, bool, error) {
	to, from, base, between := cs[0].at(key), cs[1].at(key), cs[2].at(key), cs[3].at(key)
	if to && from && cs[0].digest == cs[1].digest { // by far the most frequent
		return entry{key: key, kind: Same, before: p.from.row}, true, nil
	}
	t, err := parseKey(key)
	if err != nil {
		return entry{}, false, err
	}
	asked := p.from.covers(t)
	switch {
	case to && from:
		return versus(key, p.from.row, cs[0].digest, cs[1].digest), true, nil
	case to && base: // silent once, or not asked, in between
		return versus(key, p.fromBase.row, cs[0].digest, cs[2].digest), true, nil
	case to && asked:
		return entry{key: key, kind: New}, true, nil
	case to:
		return entry{key: key, kind: FirstRun}, true, nil
	case from && !p.to.covers(t):
		return entry{key: key, kind: NotScanned, before: p.from.row}, true, nil
	case from:
		kind := Missing
		if p.between != nil && !between && p.between.covers(t) {
			kind = Gone
		}
		return entry{key: key, kind: kind, before: p.from.row}, true, nil
	case base && p.to.covers(t):
		kind := Missing
		if asked {
			kind = Gone
		}
		return entry{key: key, kind: kind, before: p.fromBase.row}, true, nil
	default: // open only in a run that is not compared
		return entry{}, false, nil
	}
}

// versus compares digests; one that was not judged says nothing.
func versus(key []byte, before, a, b int64) entry {
	if a == b || a == 0 || b == 0 {
		return entry{key: key, kind: Same, before: before}
	}
	return entry{key: key, kind: Changed, before: before, maybe: true}
}

// maxCandidates bounds how many new and lost ports are tried for the same
// machine at another address.
const maxCandidates = 100_000

// machine is a name that a machine keeps, with the port it serves.
type machine struct {
	what int // 0 MAC, 1 certificate, 2 host name
	hash int64
	port [3]byte // transport and port, the end of the key
}

// seenAt tells where a machine is; several is set when it is at more than one
// address, so that it says nothing.
type seenAt struct {
	key     string
	before  int64
	names   [3]int64
	several bool
}

// moves finds the machines that left one address and came to another: the new
// key leads to the old one. A name counts only where it stands at one address
// before and at one after; where both MACs are known they must agree.
func (s *Store) moves(ctx context.Context, p pair, entries []entry) (map[string]seenAt, error) {
	var came, left, older []seenAt
	for _, e := range entries {
		switch e.kind {
		case New, FirstRun:
			came = append(came, seenAt{key: string(e.key), before: p.to.row})
		case Missing, Gone:
			if at := (seenAt{key: string(e.key), before: e.before}); e.before == p.from.row {
				left = append(left, at)
			} else {
				older = append(older, at)
			}
		case Same, Changed, Moved, NotScanned:
		}
	}
	if n := len(left) + len(older); len(came) == 0 || n == 0 || len(came) > maxCandidates || n > maxCandidates {
		return nil, nil
	}
	before, err := s.machines(ctx, older)
	if err != nil {
		return nil, err
	}
	lately, err := s.machines(ctx, left)
	if err != nil {
		return nil, err
	}
	maps.Copy(before, lately) // where one that moves from run to run was last
	after, err := s.machines(ctx, came)
	if err != nil {
		return nil, err
	}
	shared, err := s.shared(ctx, p, before, after)
	if err != nil {
		return nil, err
	}
	moved, taken := map[string]seenAt{}, map[string]bool{}
	for what := range 3 {
		for m, now := range after {
			then, ok := before[m]
			if m.what != what || !ok || now.several || then.several || taken[then.key] || taken[now.key] || shared[m.anyPort()] ||
				now.names[0] != 0 && then.names[0] != 0 && now.names[0] != then.names[0] {
				continue
			}
			moved[now.key] = then
			taken[now.key], taken[then.key] = true, true
		}
	}
	return moved, nil
}

var errTooMany = errors.New("history: too many candidates")

// machines reads the names of the ports.
func (s *Store) machines(ctx context.Context, ports []seenAt) (map[machine]seenAt, error) {
	all := map[machine]seenAt{}
	byRun := map[int64][]string{}
	for _, at := range ports {
		byRun[at.before] = append(byRun[at.before], at.key)
	}
	for run, keys := range byRun {
		for some := range slices.Chunk(keys, changesAtOnce) {
			if err := s.identify(ctx, run, some, all); err != nil {
				return nil, s.explain(err)
			}
		}
	}
	return all, nil
}

// identify adds the machines that serve some ports of a run.
func (s *Store) identify(ctx context.Context, run int64, keys []string, all map[machine]seenAt) error {
	var c conditions
	c.compare("run", "=", run)
	c.keyed(slices.Values(keys))
	found, err := collect(ctx, s.db, func(rows *sql.Rows) (p openPort, err error) {
		return p, rows.Scan(&p.key, &p.names[0], &p.names[1], &p.names[2])
	}, `SELECT key, mac, cert, host FROM finding`+c.where(), c.args...)
	for _, p := range found {
		at := seenAt{key: string(p.key), before: run, names: p.names}
		for what, h := range at.names {
			if h == 0 {
				continue
			}
			m := machine{what: what, hash: h, port: [3]byte(p.key[len(p.key)-3:])}
			if old, ok := all[m]; ok && old.key != at.key {
				old.several = true
				all[m] = old
			} else {
				all[m] = at
			}
		}
	}
	return err
}

func (m machine) anyPort() machine { return machine{what: m.what, hash: m.hash} }

// shared returns the names, of those before and after, that stand at more than
// one address in one of the two runs: a certificate that many servers have
// identifies none of them.
func (s *Store) shared(ctx context.Context, p pair, before, after map[machine]seenAt) (map[machine]bool, error) {
	wanted, shared := map[machine]bool{}, map[machine]bool{}
	for m := range after {
		if _, ok := before[m]; ok {
			wanted[m.anyPort()] = true
		}
	}
	if len(wanted) == 0 {
		return shared, nil
	}
	for _, run := range []int64{p.from.row, p.to.row} {
		if err := s.sharedIn(ctx, run, wanted, shared); err != nil {
			return nil, err
		}
	}
	return shared, nil
}

func (s *Store) sharedIn(ctx context.Context, run int64, wanted, shared map[machine]bool) error {
	at := map[machine]string{}
	c := s.cursor(&Run{row: run})
	c.named = true
	for {
		if err := c.next(ctx); err != nil || !c.more {
			return err
		}
		for what, h := range c.names {
			m := machine{what: what, hash: h}
			if h == 0 || !wanted[m] {
				continue
			}
			addr := string(c.key[:len(c.key)-3])
			if old, ok := at[m]; ok && old != addr {
				shared[m] = true
			}
			at[m] = addr
		}
	}
}
