package policy

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"dormant/fingerprint"
	"dormant/reports"
	"dormant/scanner"
)

// entry is one rule to be written.
type entry struct {
	address, port, verdict, product, owner, ticket, expected, severity, comment string
}

// Init writes a first policy from what a run found: what it found of license
// managers and named services is expected where it is, one rule each, and what
// needs a person is not. The rules are meant to be read, corrected and signed.
func Init(w io.Writer, run string, findings []reports.Finding) error {
	var rules []entry
	for i := range findings {
		f := &findings[i]
		if f.State != scanner.Open {
			continue
		}
		r := entry{address: f.IP.WithZone("").String(), port: fmt.Sprintf("%d/%s", f.Port, f.Transport), verdict: f.Verdict.String(), owner: f.Owner}
		switch f.Verdict {
		case fingerprint.LicenseManager, fingerprint.KnownService:
			r.expected, r.product = "yes", pattern(cmp.Or(f.Product, f.Service))
			r.comment = reports.Line(strings.TrimSpace(f.Hostname + " " + f.Product + " " + f.Version))
		case fingerprint.OpenShell, fingerprint.PossibleC2, fingerprint.TunnelOrProxy, fingerprint.DevServer:
			r.expected = "no"
			r.comment = "found; allow it only if somebody answers for it"
		default:
			continue // nothing is known that a rule could say
		}
		rules = append(rules, r)
	}
	head := []string{
		"# Who may serve what where. Written from run " + reports.Line(run) + ": a list of what was found,",
		"# not of what is right. Read it, correct it, put in owners, then:",
		"#   dormant policy check FILE",
		"#   dormant scan ... --policy FILE --fail-on breach",
		"# The first rule that matches decides. A rule matches by address, port, verdict,",
		"# product (* is any part of the name) and vantage; what it does not name is any.",
	}
	return write(w, head, rules, []string{
		"  # What no rule above names: shells, tunnels and possible C2 are never expected.",
		"  - name: never",
		"    verdict: [open_shell, possible_c2, tunnel_or_proxy]",
		"    expected: \"no\"",
		"    severity: high",
		"",
		"waivers: []",
		"#  - address: 10.1.2.3",
		"#    port: 3588/tcp",
		"#    owner: CAD team",
		"#    reason: migration, ends with the quarter",
		"#    ticket: CHG0012345",
		"#    expires: 2027-03-31 # the last day",
	})
}

// pattern is a product's name as a rule matches it.
func pattern(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(strings.ToLower(reports.Line(s)))
	if strings.Contains(s, `\x`) {
		return "" // escaped bytes are no name
	}
	return s
}

func write(w io.Writer, head []string, rules []entry, tail []string) error {
	var b strings.Builder
	b.WriteString(strings.Join(head, "\n") + "\n\nversion: 1\ndefault: unknown # no: everything that no rule allows is a breach\n" +
		"\n# From where outsiders look: a license manager that answers there is exposed.\nvantages: {} # dmz-*: outside\n\nrules:\n")
	for _, r := range rules {
		if r.comment != "" {
			b.WriteString("  # " + r.comment + "\n")
		}
		lead := "  - "
		for _, kv := range [][2]string{
			{"address", r.address}, {"port", r.port}, {"verdict", r.verdict}, {"product", r.product},
			{"expected", r.expected}, {"severity", r.severity}, {"owner", r.owner}, {"ticket", r.ticket},
		} {
			if kv[1] == "" {
				continue
			}
			b.WriteString(lead + kv[0] + ": " + scalar(kv[0], kv[1]) + "\n")
			lead = "    "
		}
	}
	b.WriteString(strings.Join(tail, "\n") + "\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("policy: write: %w", err)
	}
	return nil
}

// scalar is a value as YAML reads it back as the same text. A comma in a value
// of a list is kept by a sequence of one.
func scalar(key, s string) string {
	text, err := yaml.Marshal(s)
	if err != nil { // a string can be written
		return `""`
	}
	out := strings.TrimSpace(string(text))
	if key == "product" && strings.Contains(s, ",") {
		return "[" + quote(s) + "]"
	}
	if strings.Contains(out, "\n") {
		return quote(s)
	}
	return out
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Import writes a policy from an approved inventory in CSV: a header with
// address (or ip, host) and port, and any of transport, verdict, product, owner,
// ticket, expected, severity. Delimiters are comma, semicolon or tab. Faults
// are reported with their line.
func Import(w io.Writer, name string, r io.Reader) error {
	rows, err := readInventory(name, r)
	if err != nil {
		return err
	}
	return write(w, []string{"# Who may serve what where. Written from the inventory " + reports.Line(name) + "."}, rows, []string{"", "waivers: []"})
}

// columnNames are the names of inventory columns, in lower case.
func columnNames() map[string]string {
	return map[string]string{
		"address": "address", "ip": "address", "network": "address", "cidr": "address", "port": "port", "transport": "transport", "proto": "transport",
		"protocol": "transport", "verdict": "verdict", "product": "product", "owner": "owner", "ticket": "ticket", "expected": "expected", "severity": "severity",
	}
}

func readInventory(name string, r io.Reader) ([]entry, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("policy: %s: %w", name, err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("policy: %s: want at most %d bytes", name, maxFile)
	}
	in := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(text), "\ufeff")))
	in.Comma, in.TrimLeadingSpace = delimiter(string(text)), true
	header, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("policy: %s:1: want a header with address and port: %w", name, err)
	}
	columns := map[string]int{}
	for i, h := range header {
		if key, ok := columnNames()[strings.ToLower(strings.TrimSpace(h))]; ok {
			if _, twice := columns[key]; twice {
				return nil, fmt.Errorf("policy: %s:1: column %q: another one means the same", name, h)
			}
			columns[key] = i
		}
	}
	for _, need := range []string{"address", "port"} {
		if _, ok := columns[need]; !ok {
			return nil, fmt.Errorf("policy: %s:1: no column %s: want a header with address and port", name, need)
		}
	}
	var rules []entry
	var faults []error
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("policy: %s: %w", name, err)
		}
		line, _ := in.FieldPos(0)
		e, err := inventoryRow(row, columns)
		if err != nil {
			faults = append(faults, fmt.Errorf("policy: %s:%d: %w", name, line, err))
		}
		rules = append(rules, e)
	}
	if len(rules) == 0 {
		return nil, fmt.Errorf("policy: %s: no row below the header", name)
	}
	return rules, errors.Join(faults...)
}

func delimiter(text string) rune {
	head, _, _ := strings.Cut(text, "\n")
	best := ','
	for _, d := range []rune{';', '\t'} {
		if strings.Count(head, string(d)) > strings.Count(head, string(best)) {
			best = d
		}
	}
	return best
}

func inventoryRow(row []string, columns map[string]int) (entry, error) {
	get := func(key string) string {
		i, ok := columns[key]
		if !ok || i >= len(row) {
			return ""
		}
		return strings.TrimSpace(row[i])
	}
	e := entry{
		address: get("address"), port: get("port"), verdict: get("verdict"), product: pattern(get("product")),
		owner: get("owner"), ticket: get("ticket"), expected: cmp.Or(strings.ToLower(get("expected")), "yes"), severity: get("severity"),
	}
	if t := strings.ToLower(get("transport")); t != "" {
		e.port += "/" + t
	}
	if _, err := parsePrefix(e.address); err != nil {
		return e, fmt.Errorf("address %q: want an address or a network such as 10.1.0.0/16", e.address)
	}
	if _, err := ParsePorts(e.port); err != nil {
		return e, err
	}
	if e.verdict != "" {
		if _, err := fingerprint.ParseClass(e.verdict); err != nil {
			return e, fmt.Errorf("verdict %q: want a word such as license_manager", e.verdict)
		}
	}
	if !slices.Contains([]string{"yes", "no", "unknown"}, e.expected) {
		return e, fmt.Errorf("expected %q: want yes, no or unknown", e.expected)
	}
	if e.severity != "" && !slices.Contains(severities(), e.severity) {
		return e, fmt.Errorf("severity %q: want %s", e.severity, strings.Join(severities(), ", "))
	}
	return e, nil
}
