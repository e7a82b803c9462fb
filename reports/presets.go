package reports

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// layout is a foreign tool's CSV: its columns and its usual delimiter.
type layout struct {
	comma   rune
	columns []column
}

// presets returns the foreign layouts by name. Their columns are facts of the
// importers; the values are schema v1's.
func presets() map[string]layout {
	return map[string]layout{
		"audit":      {',', columns()},
		"defectdojo": {',', defectDojo()},
		"splunk":     {',', splunk()},
		"nmaptocsv":  {';', nmapToCSV()},
	}
}

// Presets returns the names for CSVOptions.Preset, sorted.
func Presets() []string { return slices.Sorted(maps.Keys(presets())) }

func preset(name string) (layout, error) {
	p, ok := presets()[name]
	if !ok {
		return layout{}, fmt.Errorf("reports: CSV preset %q: want one of %s", name, strings.Join(Presets(), ", "))
	}
	return p, nil
}

// defectDojo returns the columns of DefectDojo's generic findings import.
func defectDojo() []column {
	constant := func(s string) func(*Finding) string { return func(*Finding) string { return s } }
	return []column{
		textColumn("Date", func(f *Finding) string {
			if f.ObservedAt.IsZero() {
				return ""
			}
			return f.ObservedAt.UTC().Format("2006-01-02")
		}),
		textColumn("Title", title),
		typedColumn("CweId", anInteger, constant("")),
		textColumn("Url", constant("")),
		textColumn("Severity", func(f *Finding) string { return capital(f.Severity) }),
		excerptColumn("Description", maxNote, func(f *Finding) string {
			return sentence(f) + bracket("Evidence: ", f.Evidence) + bracket("Note: ", f.Note)
		}),
		excerptColumn("Mitigation", maxNote, func(f *Finding) string { return explain(f).Advice }),
		textColumn("Impact", constant("")),
		textColumn("References", func(f *Finding) string { return prefixed("sha256:", f.EvidenceID) }),
		textColumn("Active", func(f *Finding) string { return pythonBool(f.State.String() == "open") }),
		textColumn("Verified", func(f *Finding) string { return pythonBool(f.Confirmed == ConfirmedYes) }),
		textColumn("FalsePositive", constant("False")),
		textColumn("Duplicate", constant("False")),
	}
}

// splunk returns field names of Splunk's common information model.
func splunk() []column {
	return []column{
		typedColumn("_time", aTimestamp, func(f *Finding) string { return moment(f.ObservedAt) }),
		textColumn("vendor_product", func(*Finding) string { return "dormant" }),
		textColumn("dvc", func(f *Finding) string { return f.Vantage }),
		textColumn("dest", func(f *Finding) string { return address(f.IP) }),
		textColumn("dest_ip", func(f *Finding) string { return address(f.IP) }),
		typedColumn("dest_port", anInteger, func(f *Finding) string { return strconv.Itoa(int(f.Port)) }),
		textColumn("dest_mac", func(f *Finding) string { return f.MAC }),
		textColumn("dest_host", func(f *Finding) string { return f.Hostname }),
		textColumn("transport", transport),
		textColumn("state", func(f *Finding) string { return f.State.String() }),
		textColumn("app", func(f *Finding) string { return f.Service }),
		textColumn("product", func(f *Finding) string { return f.Product }),
		typedColumn("version", aVersion, func(f *Finding) string { return f.Version }),
		textColumn("category", func(f *Finding) string { return f.Verdict.String() }),
		textColumn("severity", func(f *Finding) string { return f.Severity }),
		typedColumn("confidence", anInteger, confidence),
		excerptColumn("evidence", maxEvidence, func(f *Finding) string { return f.Evidence }),
		textColumn("owner", func(f *Finding) string { return f.Owner }),
		textColumn("is_expected", func(f *Finding) string { return f.Expected }),
		textColumn("scan_id", func(f *Finding) string { return f.ScanID }),
	}
}

// nmapToCSV returns the columns that scripts around nmap are used to. A blank
// line between hosts, as that tool writes it, is left out: it is not RFC 4180.
func nmapToCSV() []column {
	return []column{
		textColumn("IP", func(f *Finding) string { return address(f.IP) }),
		textColumn("FQDN", func(f *Finding) string { return f.Hostname }),
		typedColumn("PORT", anInteger, func(f *Finding) string { return strconv.Itoa(int(f.Port)) }),
		textColumn("PROTOCOL", transport),
		textColumn("SERVICE", func(f *Finding) string { return f.Service }),
		textColumn("VERSION", func(f *Finding) string { return strings.TrimSpace(f.Product + " " + f.Version) }),
	}
}

func pythonBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func capital(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func bracket(name, s string) string {
	if s == "" {
		return ""
	}
	return " " + name + s
}
