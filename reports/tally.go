package reports

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"
)

// tally counts findings for the reports that begin with a summary. Its memory
// grows with the networks that answered, not with the findings.
type tally struct {
	findings  uint64
	states    map[scanner.State]uint64
	verdicts  map[fingerprint.Class]uint64 // of open ports; 0: not judged
	ports     map[registry.Port]*portTally
	attention map[Explanation]uint64
	breaches  uint64            // of the policy
	since     map[string]uint64 // by the word of the column change
	networks  map[netip.Prefix]*networkTally
}

type portTally struct {
	states   map[scanner.State]uint64
	verdicts map[fingerprint.Class]uint64
}

// networkTally is one /24, or /120 of IPv6: for each last byte the most
// remarkable thing that answered there.
type networkTally struct {
	marks [256]mark
	open  uint64
}

// mark is how remarkable an address is; the greater one stays.
type mark uint8

const (
	markSilent mark = iota
	markClosed      // it answered, and nothing is open
	markOpen
	markAttention
)

func newTally() *tally {
	return &tally{
		states:    map[scanner.State]uint64{},
		verdicts:  map[fingerprint.Class]uint64{},
		ports:     map[registry.Port]*portTally{},
		attention: map[Explanation]uint64{},
		since:     map[string]uint64{},
		networks:  map[netip.Prefix]*networkTally{},
	}
}

func (t *tally) add(f *Finding) {
	t.findings++
	t.states[f.State]++
	if f.Change != "" {
		t.since[f.Change]++
	}
	key := target(f).Port
	p := t.ports[key]
	if p == nil {
		p = &portTally{states: map[scanner.State]uint64{}, verdicts: map[fingerprint.Class]uint64{}}
		t.ports[key] = p
	}
	p.states[f.State]++
	if f.State == scanner.Open {
		t.verdicts[f.Verdict]++
		p.verdicts[f.Verdict]++
		if _, need := attention(f); need {
			t.attention[heading(f)]++
		}
		if breach(f) {
			t.breaches++
		}
	}
	t.place(f)
}

// heading is the words by which findings are counted: those that differ only in
// their advice are of one kind.
func heading(f *Finding) Explanation {
	e := explain(f)
	return Explanation{Title: e.Title, Many: e.Many}
}

// place marks the address in its network.
func (t *tally) place(f *Finding) {
	m := markSilent
	switch f.State {
	case scanner.Open:
		m = markOpen
		if _, need := attention(f); need {
			m = markAttention
		}
	case scanner.Closed:
		m = markClosed
	case scanner.Filtered, scanner.OpenFiltered, scanner.Unreachable, scanner.Unknown: // nobody is shown there
	}
	if m == markSilent || !f.IP.IsValid() {
		return
	}
	net, err := f.IP.WithZone("").Prefix(f.IP.BitLen() - 8)
	if err != nil {
		return // BitLen-8 is a valid length of either family
	}
	n := t.networks[net]
	if n == nil {
		n = new(networkTally)
		t.networks[net] = n
	}
	last := f.IP.AsSlice()
	n.marks[last[len(last)-1]] = max(n.marks[last[len(last)-1]], m)
	if m >= markOpen {
		n.open++
	}
}

// needAttention counts the findings that a person should look at.
func (t *tally) needAttention() uint64 {
	var n uint64
	for _, c := range t.attention {
		n += c
	}
	return n
}

// sortedPorts returns the ports in order of transport and number.
func (t *tally) sortedPorts() []registry.Port {
	return slices.SortedFunc(maps.Keys(t.ports), registry.Port.Compare)
}

// answer is the whole report in one sentence, and a second one if not
// everything was measured.
func (t *tally) answer(r *Run) string {
	open := t.states[scanner.Open]
	var s string
	switch need := t.needAttention(); {
	case open == 0 && r.Scan.HostsAlive == 0 && t.findings == 0:
		s = "Nothing answered on the ports that were asked."
	case open == 0:
		s = "Nothing is open on the ports that were asked."
	case need == 0:
		s = fmt.Sprintf("%s answered, and none needs attention: %s.", plural(open, "open port"), t.makeUp())
	default:
		verb := "need"
		if need == 1 {
			verb = "needs"
		}
		s = fmt.Sprintf("%s of %s %s attention%s: %s.", number(need), plural(open, "open port"), verb, t.forbidden(need), countList(t.attention))
	}
	s += t.sinceLast()
	if why := r.Reasons(); len(why) > 0 {
		s += " The run is incomplete: " + strings.Join(why, "; ") + "."
	}
	return s
}

// changes counts what differs from the last comparable run.
func (t *tally) changes() (n uint64) {
	for word, c := range t.since {
		if differs(word) {
			n += c
		}
	}
	return n
}

// sinceLast says in a sentence what differs from the last comparable run, ""
// where there was none.
func (t *tally) sinceLast() string {
	if len(t.since) == 0 {
		return ""
	}
	var parts []string
	for _, word := range []string{"new", "changed", "moved", "gone", "missing"} {
		if n := t.since[word]; n > 0 {
			parts = append(parts, number(n)+" "+word)
		}
	}
	if n := t.since["first_run"]; n > 0 {
		parts = append(parts, number(n)+" asked for the first time")
	}
	switch {
	case t.changes() > 0:
		return " Since last time: " + strings.Join(parts, ", ") + "."
	case t.since["same"] > 0 && len(parts) == 0:
		return " Nothing changed since last time."
	default: // nothing was asked before
		return ""
	}
}

// forbidden says how many of those that need attention break the policy.
func (t *tally) forbidden(need uint64) string {
	switch {
	case t.breaches == 0:
		return ""
	case t.breaches < need:
		return fmt.Sprintf(", %s of them against the policy", number(t.breaches))
	case need == 1:
		return ", against the policy"
	default:
		return ", all against the policy"
	}
}

// makeUp lists the verdicts, the most frequent first.
func (t *tally) makeUp() string {
	counts := map[Explanation]uint64{}
	for class, n := range t.verdicts {
		f := Finding{Verdict: class, State: scanner.Open}
		counts[heading(&f)] += n
	}
	return countList(counts)
}

func countList(counts map[Explanation]uint64) string {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b Explanation) int {
		if c := cmp.Compare(counts[b], counts[a]); c != 0 {
			return c
		}
		return strings.Compare(a.Title, b.Title)
	})
	parts := make([]string, len(keys))
	for i, e := range keys {
		words := e.Many
		if counts[e] == 1 {
			words, _, _ = strings.Cut(e.Title, " - ") // that it needs a person is said already
			words = strings.ToLower(words[:1]) + words[1:]
		}
		parts[i] = number(counts[e]) + " " + words
	}
	return strings.Join(parts, ", ")
}
