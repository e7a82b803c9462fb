package reports

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// kind is the type of a column's values, for the formats that have types.
type kind uint8

const (
	aText      kind = iota + 1
	aVersion        // text; CSV puts a v before it
	anInteger       // decimal digits, or "" when not known
	aDecimal        // a decimal fraction, or "" when not known
	aTimestamp      // RFC 3339, UTC, or "" when not known
	aList           // several texts
)

// column is one column: its name and how to print it.
type column struct {
	name  string
	kind  kind
	limit int // longest text in bytes
	// plain is the value as text, neither escaped nor bounded.
	plain func(f *Finding) string
	list  func(f *Finding) []string // only where kind is list
}

// cell is the value as CSV holds it.
func (c *column) cell(f *Finding) string {
	s := c.plain(f)
	switch c.kind {
	case anInteger, aDecimal, aTimestamp: // our own digits: nothing to escape
		return s
	case aVersion:
		return cell(versionCell(s), c.limit)
	case aText, aList:
		return cell(s, c.limit)
	default:
		return cell(s, c.limit)
	}
}

func textColumn(name string, plain func(f *Finding) string) column {
	return column{name: name, kind: aText, limit: maxText, plain: plain}
}

func excerptColumn(name string, limit int, plain func(f *Finding) string) column {
	return column{name: name, kind: aText, limit: limit, plain: plain}
}

func typedColumn(name string, k kind, plain func(f *Finding) string) column {
	return column{name: name, kind: k, limit: maxText, plain: plain}
}

// columns returns the contract of CSV schema v1: 44 columns, in the order of
// Finding's fields. New ones are appended, none is moved or renamed.
func columns() []column {
	return []column{
		typedColumn("schema", anInteger, func(f *Finding) string { return strconv.Itoa(f.Schema) }),
		textColumn("scan_id", func(f *Finding) string { return f.ScanID }),
		textColumn("site", func(f *Finding) string { return f.Site }),
		textColumn("vantage", func(f *Finding) string { return f.Vantage }),
		typedColumn("observed_at", aTimestamp, func(f *Finding) string { return moment(f.ObservedAt) }),
		textColumn("ip", func(f *Finding) string { return address(f.IP) }),
		textColumn("hostname", func(f *Finding) string { return f.Hostname }),
		textColumn("mac", func(f *Finding) string { return f.MAC }),
		textColumn("mac_vendor", func(f *Finding) string { return f.MACVendor }),
		textColumn("transport", transport),
		typedColumn("port", anInteger, func(f *Finding) string { return strconv.Itoa(int(f.Port)) }),
		textColumn("iana_name", func(f *Finding) string { return f.IANAName }),
		textColumn("state", func(f *Finding) string { return f.State.String() }),
		textColumn("reason", func(f *Finding) string { return f.Reason.String() }),
		textColumn("reason_ip", func(f *Finding) string { return address(f.ReasonIP) }),
		typedColumn("ttl", anInteger, func(f *Finding) string { return unlessZero(int(f.TTL)) }),
		typedColumn("rtt_ms", aDecimal, func(f *Finding) string { return milliseconds(f.RTT) }),
		typedColumn("probes_sent", anInteger, func(f *Finding) string { return strconv.Itoa(f.ProbesSent) }),
		typedColumn("probes_answered", anInteger, func(f *Finding) string { return strconv.Itoa(f.ProbesAnswered) }),
		textColumn("confirmed", func(f *Finding) string { return f.Confirmed }),
		textColumn("service", func(f *Finding) string { return f.Service }),
		textColumn("product", func(f *Finding) string { return f.Product }),
		typedColumn("version", aVersion, func(f *Finding) string { return f.Version }),
		textColumn("cpe", func(f *Finding) string { return f.CPE }),
		textColumn("verdict", func(f *Finding) string { return f.Verdict.String() }),
		typedColumn("confidence", anInteger, confidence),
		textColumn("rule_id", func(f *Finding) string { return f.RuleID }),
		excerptColumn("evidence", maxEvidence, func(f *Finding) string { return f.Evidence }),
		textColumn("evidence_id", func(f *Finding) string { return prefixed("sha256:", f.EvidenceID) }),
		textColumn("tls_cn", func(f *Finding) string { return f.TLSName }),
		textColumn("tls_cert", func(f *Finding) string { return prefixed("sha256:", f.TLSCert) }),
		textColumn("jarm", func(f *Finding) string { return prefixed("jarm:", f.JARM) }),
		textColumn("severity", func(f *Finding) string { return f.Severity }),
		{name: "flags", kind: aList, limit: maxNote,
			plain: func(f *Finding) string { return joinList(f.Flags) },
			list:  func(f *Finding) []string { return f.Flags }},
		textColumn("change", func(f *Finding) string { return f.Change }),
		typedColumn("first_seen", aTimestamp, func(f *Finding) string { return moment(f.FirstSeen) }),
		typedColumn("last_seen", aTimestamp, func(f *Finding) string { return moment(f.LastSeen) }),
		textColumn("owner", func(f *Finding) string { return f.Owner }),
		textColumn("expected", func(f *Finding) string { return f.Expected }),
		textColumn("ticket", func(f *Finding) string { return f.Ticket }),
		textColumn("fw_effect", func(f *Finding) string { return f.FWEffect }),
		textColumn("fw_rule", func(f *Finding) string { return f.FWRule }),
		typedColumn("clients", anInteger, clients),
		excerptColumn("note", maxNote, func(f *Finding) string { return f.Note }),
	}
}

// helpers returns columns that are only printed when asked for by name.
func helpers() []column {
	return []column{
		textColumn("ip_sort", func(f *Finding) string { return sortable(f.IP) }),
	}
}

// Header returns the names of the columns of schema v1, in order.
func Header() []string {
	all := columns()
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].name
	}
	return names
}

// chosen returns the named columns in the given order, all 44 for no name.
func chosen(names []string) ([]column, error) {
	all := columns()
	if len(names) == 0 {
		return all, nil
	}
	all = append(all, helpers()...)
	cols := make([]column, 0, len(names))
	for i, name := range names {
		at := slices.IndexFunc(all, func(c column) bool { return c.name == name })
		if at < 0 {
			return nil, fmt.Errorf("reports: column %q: want one of %s", name, strings.Join(ColumnNames(), ", "))
		}
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("reports: column %q is named twice", name)
		}
		cols = append(cols, all[at])
	}
	return cols, nil
}

// ColumnNames are the columns that CSV can have, those of the schema first.
func ColumnNames() []string {
	var names []string
	for _, c := range append(columns(), helpers()...) {
		names = append(names, c.name)
	}
	return names
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func transport(f *Finding) string {
	if f.Transport == 0 {
		return ""
	}
	return f.Transport.String()
}

func confidence(f *Finding) string {
	if f.Verdict == 0 && f.Confidence == 0 { // nothing was judged
		return ""
	}
	return strconv.Itoa(f.Confidence)
}

func clients(f *Finding) string {
	if f.Clients < 0 {
		return ""
	}
	return strconv.Itoa(f.Clients)
}

func unlessZero(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// sortable writes an address so that sorting the texts sorts the addresses
// within their family: 010.000.001.020, or all eight groups of IPv6.
func sortable(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	if !a.Is4() {
		return a.StringExpanded()
	}
	b := a.As4()
	return fmt.Sprintf("%03d.%03d.%03d.%03d", b[0], b[1], b[2], b[3])
}
