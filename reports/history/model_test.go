package history_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner"
)

// world is a history in a map: what a store must say, computed for one target
// after the other from everything that was written.
type world struct {
	*rand.Rand
	runs   []*modelRun                             // in the order in which they were begun
	first  map[string]map[scanner.Target]time.Time // by site and vantage
	last   map[string]map[scanner.Target]time.Time // by site and vantage
	serial int
}

type modelRun struct {
	facts    reports.Run
	plan     history.Plan
	ended    bool
	open     map[scanner.Target]service
	answered map[scanner.Target]bool // not open, and not open later
	kept     bool                    // changes may be those of before others were pruned
}

func (r *modelRun) place() string { return r.facts.Site + " " + r.facts.Vantage }

func (r *modelRun) swept() bool { return r.ended && r.facts.Scan.Complete }

func (r *modelRun) asked(t scanner.Target) bool {
	return r.plan.Prefixes[0].Contains(t.Addr) && slices.Contains(r.plan.Ports, t.Port)
}

func (r *modelRun) silent(t scanner.Target) bool {
	_, open := r.open[t]
	return !open && r.swept() && r.facts.Shard == "" && r.asked(t)
}

func (w *world) targets() (all []scanner.Target) {
	for a := range 8 {
		for _, p := range ports() {
			all = append(all, scanner.Target{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(a)}), Port: p})
		}
	}
	return all
}

// before is the run to compare with.
func (w *world) before(r *modelRun) *modelRun {
	at := slices.Index(w.runs, r)
	var best *modelRun
	rank := func(q *modelRun) int {
		n := 0
		if q.swept() {
			n = 2
		}
		if q.plan.Prefixes[0] == r.plan.Prefixes[0] && slices.Equal(q.plan.Ports, r.plan.Ports) && q.facts.Shard == r.facts.Shard {
			n++
		}
		return n
	}
	for i, q := range w.runs {
		earlier := q.facts.Scan.Started.Compare(r.facts.Scan.Started)
		if q == r || !q.ended || q.place() != r.place() || earlier > 0 || earlier == 0 && i > at {
			continue
		}
		if !slices.ContainsFunc(w.targets(), func(t scanner.Target) bool { return q.asked(t) && r.asked(t) }) {
			continue
		}
		if best == nil || rank(q) > rank(best) || rank(q) == rank(best) && q.facts.Scan.Started.Compare(best.facts.Scan.Started) >= 0 {
			best = q
		}
	}
	return best
}

// kind says what happened to a target between two runs, and in which run stands
// what it was.
func (w *world) kind(from, to *modelRun, t scanner.Target) (history.Kind, *modelRun) {
	base, between := w.before(from), w.before(to)
	if between == from || between != nil && !between.facts.Scan.Started.After(from.facts.Scan.Started) {
		between = nil
	}
	old := from
	was, known := from.open[t]
	if !known && base != nil {
		old = base
		was, known = base.open[t]
	}
	_, stillThere := from.open[t]
	now, open := to.open[t]
	switch {
	case open && known && (was.product != now.product || was.version != now.version || was.cert != now.cert):
		return history.Changed, old
	case open && known:
		return history.Same, old
	case open && from.silent(t):
		return history.New, nil
	case open:
		return history.FirstRun, nil
	case !known:
		return "", nil
	case !to.silent(t) && stillThere:
		return history.NotScanned, old
	case !to.silent(t):
		return "", nil
	case stillThere && between != nil && between.silent(t), !stillThere && from.silent(t):
		return history.Gone, old
	default:
		return history.Missing, old
	}
}

// difference is what Diff must say, in words, by target.
func (w *world) difference(from, to *modelRun) map[scanner.Target]string {
	said := map[scanner.Target]string{}
	var came, left []scanner.Target
	olds := map[scanner.Target]*modelRun{}
	for _, t := range w.targets() {
		k, old := w.kind(from, to, t)
		olds[t] = old
		switch k {
		case "", history.Same:
			continue
		case history.New, history.FirstRun:
			came = append(came, t)
		case history.Missing, history.Gone:
			left = append(left, t)
		}
		said[t] = string(k)
	}
	for _, name := range []func(service) string{
		func(s service) string { return s.mac }, func(s service) string { return s.cert }, func(s service) string { return s.host },
	} {
		serving := func(all []scanner.Target, p scanner.Target, n string, in func(scanner.Target) *modelRun) (found []scanner.Target) {
			for _, t := range all {
				if t.Port == p.Port && name(in(t).open[t]) == n {
					found = append(found, t)
				}
			}
			return found
		}
		for _, t := range came {
			now := to.open[t]
			n := name(now)
			was := serving(left, t, n, func(t scanner.Target) *modelRun { return olds[t] })
			if lately := slices.DeleteFunc(slices.Clone(was), func(t scanner.Target) bool { return olds[t] != from }); len(lately) > 0 {
				was = lately
			}
			if n == "" || len(serving(came, t, n, func(scanner.Target) *modelRun { return to })) != 1 || len(was) != 1 {
				continue
			}
			then := olds[was[0]].open[was[0]]
			if said[t] != "new" && said[t] != "first_run" || said[was[0]] == "" || places(from, name, n) > 1 || places(to, name, n) > 1 ||
				now.mac != "" && then.mac != "" && now.mac != then.mac {
				continue
			}
			said[t] = "moved from " + was[0].Addr.String()
			delete(said, was[0])
		}
	}
	return said
}

// places counts the addresses where a name stands.
func places(r *modelRun, name func(service) string, n string) int {
	at := map[netip.Addr]bool{}
	for t, s := range r.open {
		if name(s) == n {
			at[t.Addr] = true
		}
	}
	return len(at)
}

// testModel does at random what scans and people do, also in a strange order,
// and holds every answer against the model. DORMANT_MODEL_ROUNDS makes it longer.
func testModel(t *testing.T, s *history.Store) {
	rounds, _ := strconv.Atoi(os.Getenv("DORMANT_MODEL_ROUNDS"))
	for seed := range uint64(max(rounds, 2)) {
		w := &world{Rand: rand.New(rand.NewPCG(seed, 7)), first: map[string]map[scanner.Target]time.Time{}, last: map[string]map[scanner.Target]time.Time{}}
		for step := range 30 {
			did := w.step(t, s, seed)
			w.check(t, s)
			if t.Failed() {
				t.Fatalf("seed %d, step %d: after %s", seed, step, did)
			}
		}
		w.prune(t, s, func(*modelRun) bool { return true })
	}
}

func (w *world) step(t *testing.T, s *history.Store, seed uint64) string {
	n := w.IntN(10)
	switch {
	case n == 0 && len(w.runs) > 3:
		w.prune(t, s, func(*modelRun) bool { return w.IntN(3) == 0 })
		return "pruning"
	case n == 1 && len(w.runs) > 0:
		return w.revise(t, s, w.runs[w.IntN(len(w.runs))])
	case n <= 3 && len(w.runs) > 0: // taken up again
		r := w.runs[w.IntN(len(w.runs))]
		return "continuing " + w.write(t, s, r)
	}
	if len(w.runs) > 7 {
		w.prune(t, s, func(r *modelRun) bool { return r == w.runs[0] })
	}
	w.serial++
	r := &modelRun{plan: plan([]string{"10.0.0.0/29", "10.0.0.0/29", "10.0.0.0/30", "10.0.0.4/30"}[w.IntN(4)]), open: map[scanner.Target]service{}, answered: map[scanner.Target]bool{}}
	r.plan.Ports = r.plan.Ports[:2+w.IntN(2)]
	r.facts = reports.Run{ScanID: fmt.Sprintf("s_%d_%d", seed, w.serial), Site: []string{"hq", "hq", "plant"}[w.IntN(3)], Vantage: strconv.FormatUint(seed, 10) + []string{"a", "a", "b"}[w.IntN(3)]}
	r.facts.Scan.Started = day(1).Add(time.Duration(w.serial+[]int{0, 0, 0, -1, -3}[w.IntN(5)]) * time.Hour) // clocks go back, and two begin at once
	if w.IntN(8) == 0 {
		r.facts.Shard = "1/2"
	}
	w.runs = append(w.runs, r)
	return "beginning " + w.write(t, s, r)
}

// write begins a run or takes it up, writes some findings, and ends it, leaves
// it, or is killed.
func (w *world) write(t *testing.T, s *history.Store, r *modelRun) string {
	rec, err := s.Begin(t.Context(), r.plan, func() reports.Run { return r.facts })
	if err != nil {
		t.Fatal(err)
	}
	r.ended, r.kept, r.facts.Scan.Complete = false, false, w.IntN(4) > 0
	for range w.IntN(12) {
		at := w.targets()[w.IntN(24)]
		if !r.asked(at) {
			continue
		}
		v := service{at: at.String(), product: "p", version: strconv.Itoa(w.IntN(2))}
		if w.IntN(3) == 0 {
			v.mac, v.cert, v.host = w.some("m", 4), w.some("c", 3), w.some("h", 4)
		}
		if w.IntN(4) == 0 {
			v.state = scanner.Closed
		}
		if w.IntN(5) == 0 {
			if err := history.Flush(rec); err != nil {
				t.Fatal(err)
			}
		}
		seen := r.facts.Scan.Started.Add(time.Duration(w.IntN(3600)) * time.Second)
		if err := rec.Write(t.Context(), v.finding(r.facts.ScanID, seen)); err != nil {
			t.Fatal(err)
		}
		if _, open := r.open[at]; v.state == scanner.Closed && !open {
			r.answered[at] = true
		}
		if v.state == scanner.Closed {
			continue
		}
		delete(r.answered, at)
		r.open[at] = v
		w.sight(r.place(), at, seen)
	}
	if w.IntN(4) == 0 {
		err = rec.Leave()
	} else {
		r.ended = true
		err = rec.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s, ended %t, complete %t", r.facts.ScanID, r.ended, r.facts.Scan.Complete)
}

func (w *world) some(name string, n int) string {
	if w.IntN(3) == 0 {
		return ""
	}
	return name + strconv.Itoa(w.IntN(n))
}

func (w *world) sight(place string, t scanner.Target, at time.Time) {
	if w.first[place] == nil {
		w.first[place], w.last[place] = map[scanner.Target]time.Time{}, map[scanner.Target]time.Time{}
	}
	if old, ok := w.first[place][t]; !ok || at.Before(old) {
		w.first[place][t] = at
	}
	if at.After(w.last[place][t]) {
		w.last[place][t] = at
	}
}

func (w *world) find(t *testing.T, s *history.Store, r *modelRun) history.Run {
	t.Helper()
	run, err := s.Find(t.Context(), r.facts.ScanID)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func (w *world) prune(t *testing.T, s *history.Store, goes func(*modelRun) bool) {
	var gone []history.Run
	w.runs = slices.DeleteFunc(slices.Clone(w.runs), func(r *modelRun) bool {
		if !goes(r) {
			r.kept = true
			return false
		}
		gone = append(gone, w.find(t, s, r))
		return true
	})
	if err := s.Prune(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
}

// revise judges some open ports of a run again.
func (w *world) revise(t *testing.T, s *history.Store, r *modelRun) string {
	run := w.find(t, s, r)
	var changed []reports.Finding
	for _, at := range w.targets() {
		v, ok := r.open[at]
		if !ok || w.IntN(2) == 0 {
			continue
		}
		f, ok, err := s.Finding(t.Context(), run, at)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		v.product += "!"
		f.Product = v.product
		r.open[at] = v
		changed = append(changed, f)
	}
	if _, err := s.Revise(t.Context(), run, "test", changed); err != nil {
		t.Fatal(err)
	}
	return "judging again " + r.facts.ScanID
}
