package history

import (
	"strings"

	"dormant/reports"
)

// facets are what findings are searched and counted by. They stand beside the
// keys, as words that people read: verdict, severity and expected of the
// report's columns, and the texts in small letters.
type facets struct {
	verdict, severity, expected, words string
}

// maxWords bounds the searched texts of one finding, in bytes.
const maxWords = 400

func facetsOf(f *reports.Finding) facets {
	texts := []string{f.Service, f.Product, f.Version, f.Hostname, f.MAC, f.MACVendor, f.TLSName, f.RuleID, f.CPE, f.Owner, f.Note, f.Evidence}
	var words strings.Builder
	for _, text := range texts {
		if text != "" {
			words.WriteString(searched(text))
			words.WriteByte('\n') // no phrase goes over two fields
		}
	}
	w := words.String()
	return facets{f.Verdict.String(), searched(f.Severity), searched(f.Expected), w[:min(len(w), maxWords)]}
}

// searched is the form in which texts are stored for searching, and in which
// they are searched for: printable ASCII in small letters.
func searched(s string) string { return strings.ToLower(reports.Line(s)) }
