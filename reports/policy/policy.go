package policy

import (
	"cmp"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// Policy says who may serve what where. It is not changed after it was read.
type Policy struct {
	Rules   []Rule
	Waivers []Waiver
	// Vantages say which vantages are outside; the first that matches decides.
	Vantages []Vantage
	// Default is what holds for an open port that no rule names: Unknown, or
	// No where everything that is not allowed is forbidden.
	Default Expected
}

// Expected is the word of the column expected. The zero value means "not set".
type Expected string

// The words.
const (
	Yes     Expected = "yes"
	No      Expected = "no"
	Unknown Expected = "unknown"
)

// Match is what a rule or a waiver is about. What is empty matches everything;
// all that is set must hold.
type Match struct {
	Addresses []netip.Prefix
	Ports     []registry.Port
	Verdicts  []fingerprint.Class
	Products  []string // patterns in lower case, against the product or, without one, the service
	Vantages  []string // patterns in lower case
}

// Rule allows or forbids what it matches.
type Rule struct {
	Name     string
	Match    Match
	Expected Expected
	Owner    string
	Ticket   string
	Severity string // of a breach, if it is worse than the verdict's own
	Reason   string
	Line     int
}

// Waiver tolerates a breach until a day.
type Waiver struct {
	Match   Match
	Owner   string
	Ticket  string
	Reason  string
	Expires time.Time // the first moment at which it is over
	Line    int
}

// The flags that Apply adds to a finding.
const (
	FlagBreach  = "policy_breach"
	FlagWaived  = "policy_waived"
	FlagExpired = "policy_waiver_expired"
)

// What Apply puts before a note, by which Undo finds it.
const (
	noteForbidden = "forbidden by "
	noteWaived    = "waived until "
	noteEnd       = "; "
)

// oneNote is s without what ends a note.
func oneNote(s string) string { return strings.ReplaceAll(s, noteEnd, ", ") }

// breachSeverity is the least severity of a breach whose rule names none.
const breachSeverity = "medium"

// Apply fills in expected, owner, ticket and severity of an open finding, and
// reports whether it breaks the policy at that moment. Other findings are left
// as they are. The first rule that matches decides.
func (p *Policy) Apply(f *reports.Finding, now time.Time) (breach bool) {
	if f.State != scanner.Open {
		return false
	}
	f.Expected = string(cmp.Or(p.Default, Unknown))
	severity := ""
	why := "the policy's default"
	if i := slices.IndexFunc(p.Rules, func(r Rule) bool { return r.Match.holds(f) }); i >= 0 {
		r := &p.Rules[i]
		f.Expected, severity, why = string(r.Expected), r.Severity, r.title()
		if r.Reason != "" {
			why += ": " + r.Reason
		}
		f.Owner = cmp.Or(r.Owner, f.Owner)
		f.Ticket = cmp.Or(r.Ticket, f.Ticket)
	}
	if f.Expected != string(No) {
		return false
	}
	note := noteForbidden + oneNote(why)
	w, last, holds := p.waiver(f, now)
	if w != nil {
		f.Owner, f.Ticket = cmp.Or(w.Owner, f.Owner), cmp.Or(w.Ticket, f.Ticket)
	}
	switch {
	case holds:
		f.Expected = string(Yes)
		f.Flags = append(slices.Clone(f.Flags), FlagWaived)
		f.Note = join(noteWaived+last+": "+oneNote(w.Reason), f.Note)
		return false
	case w != nil:
		f.Flags = append(slices.Clone(f.Flags), FlagExpired)
		note += ", its waiver ended " + last
	}
	f.Flags = append(slices.Clone(f.Flags), FlagBreach)
	f.Severity = worse(f.Severity, cmp.Or(severity, breachSeverity))
	f.Note = join(note, f.Note)
	return true
}

// Undo takes back from a stored finding what an earlier policy and exposure put on
// it, so that it can be held again. ticket is that of the scan. It does nothing to a
// finding that was not held.
func Undo(f *reports.Finding, ticket string) {
	if f.Expected != "" {
		f.Expected, f.Owner, f.Ticket = "", "", ticket
	}
	if slices.Contains(f.Flags, FlagBreach) || reports.Exposed(f) {
		f.Severity = ownSeverity(f)
	}
	f.Flags = slices.DeleteFunc(slices.Clone(f.Flags), func(flag string) bool { return isOurs(flag) || isExposure(flag) })
	f.Exposure = nil
	_, f.Note = cutExposure(f.Note) // it stands before the policy's
	if strings.HasPrefix(f.Note, noteForbidden) || strings.HasPrefix(f.Note, noteWaived) {
		_, f.Note, _ = strings.Cut(f.Note, noteEnd)
	}
}

// ownSeverity is the one that a finding has without a policy.
func ownSeverity(f *reports.Finding) string {
	if f.Full == nil { // nothing was judged
		return severities()[0]
	}
	return cmp.Or(f.Full.Severity, severities()[0])
}

// Carry gives to what Apply said of from, where the same finding is judged
// again and the policy is not at hand.
func Carry(from, to *reports.Finding) {
	defer carryExposure(from, to) // its note stands before the others
	if from.Expected == "" {
		return
	}
	to.Expected, to.Owner, to.Ticket = from.Expected, from.Owner, from.Ticket
	to.Flags = slices.Clone(to.Flags)
	for _, s := range from.Flags {
		if isOurs(s) {
			to.Flags = append(to.Flags, s)
		}
	}
	if slices.Contains(from.Flags, FlagBreach) {
		to.Severity = worse(to.Severity, from.Severity)
	}
	_, note := cutExposure(from.Note)
	if strings.HasPrefix(note, noteForbidden) || strings.HasPrefix(note, noteWaived) {
		note, _, _ = strings.Cut(note, noteEnd)
		to.Note = join(note, to.Note)
	}
}

// isOurs reports whether Apply adds the flag.
func isOurs(flag string) bool {
	return slices.Contains([]string{FlagBreach, FlagWaived, FlagExpired}, flag)
}

func (r *Rule) title() string {
	switch {
	case r.Name != "":
		return "rule " + r.Name
	default:
		return "the rule of line " + strconv.Itoa(r.Line)
	}
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + noteEnd + b
}

// severities are the words, the least first.
func severities() []string { return []string{"info", "low", "medium", "high"} }

// worse returns the higher of two severities.
func worse(a, b string) string {
	if slices.Index(severities(), b) > slices.Index(severities(), a) {
		return b
	}
	return a
}

// holds reports whether everything that is set in m holds for the finding.
func (m *Match) holds(f *reports.Finding) bool {
	in := func(p netip.Prefix) bool { return p.Contains(f.IP.WithZone("")) }
	if len(m.Addresses) > 0 && !slices.ContainsFunc(m.Addresses, in) {
		return false
	}
	if len(m.Ports) > 0 && !slices.Contains(m.Ports, registry.Port{Number: f.Port, Proto: f.Transport}) {
		return false
	}
	if len(m.Verdicts) > 0 && !slices.Contains(m.Verdicts, f.Verdict) {
		return false
	}
	named := func(patterns []string, name string) bool {
		return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool { return like(pattern, name) })
	}
	return named(m.Vantages, f.Vantage) && named(m.Products, cmp.Or(f.Product, f.Service))
}

// like reports whether a name is what a pattern of a policy says, in any case of
// letters. The pattern is one of path.Match, but that a slash is a letter as any
// other: names are no paths, and go* is Go net/http, too.
func like(pattern, name string) bool {
	const letter = "\x00" // in no name that was read from a policy or a peer
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", letter), strings.ReplaceAll(strings.ToLower(name), "/", letter))
	return ok && err == nil // err: refused when the policy was read
}
