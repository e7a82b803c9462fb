package policy

import (
	"fmt"
	"slices"
	"strings"

	"dormant/fingerprint"
	"dormant/reports"
	"dormant/scanner"
)

// FailOn is what makes a complete run exit 1. The zero value is nothing.
type FailOn struct {
	Breach   bool
	Exposed  bool // license managers that outsiders may reach
	Change   bool // new, changed, moved or gone
	Verdicts []fingerprint.Class
	Severity string // this one or worse
}

// ParseFailOn reads words that are separated by commas: breach, change,
// exposed, a verdict, or the least severity.
func ParseFailOn(s string) (FailOn, error) {
	var f FailOn
	for word := range strings.SplitSeq(s, ",") {
		word = strings.TrimSpace(word)
		class, err := fingerprint.ParseClass(word)
		switch {
		case word == "breach":
			f.Breach = true
		case word == "change":
			f.Change = true
		case word == "exposed":
			f.Exposed = true
		case err == nil:
			f.Verdicts = append(f.Verdicts, class)
		case slices.Contains(severities(), word):
			if f.Severity != "" {
				return FailOn{}, fmt.Errorf("severity %q: %q is named already", word, f.Severity)
			}
			f.Severity = word
		default:
			return FailOn{}, fmt.Errorf("%q: want breach, change, exposed, a verdict such as possible_c2, or a severity (%s)", word, strings.Join(severities(), ", "))
		}
	}
	return f, nil
}

// FailWords are the words that ParseFailOn takes.
func FailWords() []string {
	words := []string{"breach", "exposed", "change"}
	for c := fingerprint.LicenseManager; c <= fingerprint.Unidentified; c++ {
		words = append(words, c.String())
	}
	return append(words, severities()...)
}

// Fails reports whether a finding, after Apply, is one of them. Changes are
// counted by the history.
func (o FailOn) Fails(f *reports.Finding) bool {
	if f.State != scanner.Open {
		return false
	}
	return o.Breach && slices.Contains(f.Flags, FlagBreach) || o.Exposed && reports.Exposed(f) || slices.Contains(o.Verdicts, f.Verdict) ||
		o.Severity != "" && slices.Index(severities(), f.Severity) >= slices.Index(severities(), o.Severity)
}
