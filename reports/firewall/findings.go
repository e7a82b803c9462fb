package firewall

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// ReadFindings reads what scan -o wrote as CSV with all columns, or as JSONL.
// Errors name file and line.
func ReadFindings(name string, text []byte) ([]reports.Finding, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	rows := csvRows
	if startsJSON(text) {
		rows = jsonRows
	}
	var out []reports.Finding
	err := rows(text, func(line int, cell func(column string) string) error {
		f, err := findingOf(cell)
		if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		out = append(out, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("firewall: findings %s: %w", name, err)
	}
	return out, nil
}

// needed are the columns without which a finding says nothing.
func needed() []string { return []string{"ip", "transport", "port", "state"} }

func csvRows(text []byte, fn func(line int, cell func(string) string) error) error {
	r := csv.NewReader(bytes.NewReader(text))
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("line 1: the file is empty: want what scan -o FILE.csv or FILE.jsonl wrote")
	} else if err != nil {
		return err
	}
	at := map[string]int{}
	for i, name := range header {
		at[name] = i
	}
	for _, name := range needed() {
		if _, ok := at[name]; !ok {
			return fmt.Errorf("line 1: no column %q: want what scan -o FILE.csv wrote", name)
		}
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		line, _ := r.FieldPos(0)
		if err := fn(line, func(column string) string {
			i, ok := at[column]
			if !ok {
				return ""
			}
			return unneutral(record[i])
		}); err != nil {
			return err
		}
	}
}

// unneutral takes away the quote that keeps a spreadsheet from computing a cell.
func unneutral(s string) string {
	if rest, quoted := strings.CutPrefix(s, "'"); quoted {
		if first := strings.TrimLeft(rest, " "); first != "" && strings.IndexByte("=+-@", first[0]) >= 0 {
			return rest
		}
	}
	return s
}

func jsonRows(text []byte, fn func(line int, cell func(string) string) error) error {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		v, err := decodeAny(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		object, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("line %d: want one JSON object a line", n)
		}
		if err := fn(n, func(column string) string { return jsonCell(object[column]) }); err != nil {
			return err
		}
	}
	return nil
}

func jsonCell(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case []any:
		words := make([]string, len(v))
		for i, w := range v {
			words[i] = jsonCell(w)
		}
		return strings.Join(words, "|")
	default:
		return ""
	}
}

// cells is one finding on its way out of a file: its cells by column, and what is
// wrong with them.
type cells struct {
	cell func(column string) string
	errs []error
}

func (r *cells) fault(column, want string) {
	r.errs = append(r.errs, fmt.Errorf("%s %q: want %s", column, shown(r.cell(column)), want))
}

// integer reads a number; an empty cell is 0.
func (r *cells) integer(column string, limit int) int {
	if r.cell(column) == "" {
		return 0
	}
	n, err := strconv.Atoi(r.cell(column))
	if err != nil || n < 0 || n > limit {
		r.fault(column, "a number from 0 to "+strconv.Itoa(limit))
	}
	return n
}

func (r *cells) moment(column string) time.Time {
	if r.cell(column) == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, r.cell(column))
	if err != nil {
		r.fault(column, "a time like 2026-01-31T12:00:00.000Z")
	}
	return t
}

// address reads one that may be missing, but for that of the finding.
func (r *cells) address(column string) netip.Addr {
	a, err := netip.ParseAddr(r.cell(column))
	if err != nil && (r.cell(column) != "" || column == "ip") {
		r.fault(column, "an address")
	}
	return a
}

func (r *cells) rtt() time.Duration {
	s := r.cell("rtt_ms")
	if s == "" {
		return 0
	}
	ms, err := strconv.ParseFloat(s, 64)
	if err != nil || !(ms >= 0 && ms < 1e9) {
		r.fault("rtt_ms", "milliseconds")
	}
	return time.Duration(ms * float64(time.Millisecond))
}

// findingOf reads one row.
func findingOf(cell func(string) string) (f reports.Finding, err error) {
	r := &cells{cell: cell}
	f = reports.Finding{
		Schema: r.integer("schema", 1000), ScanID: cell("scan_id"), Site: cell("site"), Vantage: cell("vantage"), ObservedAt: r.moment("observed_at"),
		IP: r.address("ip"), Hostname: cell("hostname"), MAC: cell("mac"), MACVendor: cell("mac_vendor"), Port: uint16(r.integer("port", 65535)),
		IANAName: cell("iana_name"), ReasonIP: r.address("reason_ip"), TTL: uint8(r.integer("ttl", 255)), RTT: r.rtt(),
		ProbesSent: r.integer("probes_sent", 1<<30), ProbesAnswered: r.integer("probes_answered", 1<<30), Confirmed: cell("confirmed"),
		Service: cell("service"), Product: cell("product"), Version: cell("version"), CPE: cell("cpe"), Confidence: r.integer("confidence", 100),
		RuleID: cell("rule_id"), Evidence: cell("evidence"), EvidenceID: cell("evidence_id"), TLSName: cell("tls_cn"), TLSCert: cell("tls_cert"),
		JARM: cell("jarm"), Severity: cell("severity"), Change: cell("change"), FirstSeen: r.moment("first_seen"), LastSeen: r.moment("last_seen"),
		Owner: cell("owner"), Expected: cell("expected"), Ticket: cell("ticket"), Note: cell("note"), Clients: -1,
	}
	if f.Transport, err = registry.ParseProto(cell("transport")); err != nil {
		r.fault("transport", "tcp or udp")
	}
	if f.Port == 0 {
		r.fault("port", "a number from 1 to 65535")
	}
	if f.State, err = scanner.ParseState(cell("state")); err != nil {
		r.fault("state", "a state as scan writes it")
	}
	if s := cell("reason"); s != "" {
		if f.Reason, err = scanner.ParseReason(s); err != nil {
			r.fault("reason", "a reason as scan writes it")
		}
	}
	if err := f.Verdict.UnmarshalText([]byte(cell("verdict"))); err != nil {
		r.fault("verdict", "a verdict as scan writes it")
	}
	if s := cell("flags"); s != "" {
		f.Flags = strings.Split(s, "|")
	}
	return f, errors.Join(r.errs...)
}
