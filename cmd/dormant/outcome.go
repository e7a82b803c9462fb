package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/policy"
)

// outcome is a sink that counts what a person must hear of: changes, breaches,
// and what --fail-on names.
type outcome struct {
	reports.Sink
	failOn   policy.FailOn
	failed   int
	breaches int
	exposed  int // license managers that outsiders may reach
	both     int // that are breaches, too
	changes  map[history.Kind]int
	lines    []string // the first few, breaches before changes
	worst    []string
	missed   string // that runs of a schedule were missed, in words
	// incomplete says what a run of a server did not measure, in words: nobody
	// looks at its exit code.
	incomplete string
}

// maxLines bounds the findings that a message names.
const maxLines = 5

// Write counts the finding and passes it on.
func (o *outcome) Write(ctx context.Context, f reports.Finding) error {
	if o.failOn.Fails(&f) {
		o.failed++
	}
	what := fmt.Sprintf("%s %d/%s", f.IP, f.Port, f.Transport)
	for _, s := range []string{f.Verdict.String(), f.Product} {
		if s != "" {
			what += " " + reports.Line(s)
		}
	}
	if slices.Contains(f.Flags, policy.FlagBreach) {
		o.breaches++
		if len(o.worst) < maxLines {
			o.worst = append(o.worst, "breach: "+what)
		}
	}
	if reports.Exposed(&f) {
		o.tellExposed(&f, what)
	}
	if k := history.Kind(f.Change); k.Counts() {
		if o.changes == nil {
			o.changes = map[history.Kind]int{}
		}
		o.changes[k]++
		if len(o.lines) < maxLines {
			o.lines = append(o.lines, f.Change+": "+what)
		}
	}
	return o.Sink.Write(ctx, f)
}

// tellExposed counts a license manager that outsiders may reach, and says what
// to do.
func (o *outcome) tellExposed(f *reports.Finding, what string) {
	o.exposed++
	if slices.Contains(f.Flags, policy.FlagBreach) {
		o.both++
		return // it has its line
	}
	if len(o.worst) < maxLines {
		o.worst = append(o.worst, "exposed: "+what+". "+reports.Explain(f).Advice)
	}
}

// changed is how many differences there are.
func (o *outcome) changed() int {
	n := 0
	for _, k := range o.changes {
		n += k
	}
	return n
}

// summary counts in words, "" when there is nothing to hear.
func (o *outcome) summary() string {
	var parts []string
	if o.breaches > 0 {
		parts = append(parts, fmt.Sprintf("%d against the policy", o.breaches))
	}
	if o.exposed > 0 {
		parts = append(parts, o.exposure())
	}
	parts = append(parts, o.differences()...)
	if o.incomplete != "" {
		parts = append(parts, o.incomplete)
	}
	if len(parts) > 0 && o.missed != "" {
		parts = append(parts, o.missed)
	}
	return strings.Join(parts, ", ")
}

// exposure counts what outsiders may reach, in words.
func (o *outcome) exposure() string {
	if o.exposed == 1 {
		return "1 license manager that outsiders may reach"
	}
	return fmt.Sprintf("%d license managers that outsiders may reach", o.exposed)
}

// differences counts the changes in words.
func (o *outcome) differences() (parts []string) {
	for _, k := range []history.Kind{history.New, history.Gone, history.Changed, history.Moved} {
		if n := o.changes[k]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k))
		}
	}
	return parts
}

// forbidden says why the run must exit 1, "" if it need not.
func (o *outcome) forbidden() string {
	switch {
	case o.failed > 0:
	case o.failOn.Change && o.changed() > 0:
		return "changed since the last run: " + strings.Join(o.differences(), ", ")
	default:
		return ""
	}
	findings, why := "findings", ""
	if o.failed == 1 {
		findings = "finding"
	}
	if o.breaches > 0 {
		why += fmt.Sprintf(", %d against the policy", o.breaches)
	}
	if o.exposed > 0 {
		why += ", " + o.exposure()
	}
	return fmt.Sprintf("%d %s must not be there", o.failed, findings) + cmp.Or(why, " (--fail-on)")
}
