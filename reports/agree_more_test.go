package reports_test

import (
	"bytes"
	std "cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dormant/registry"
	"dormant/scanner"

	"github.com/google/go-cmp/cmp"
)

// TestECSAgrees: the documents tell of random findings what the lines of JSON
// tell, each by a name of Elastic's schema.
func TestECSAgrees(t *testing.T) {
	findings := anyFindings(700)
	want := jsonRows(t, render(t, "jsonl", options(), findings))
	got := ecsRows(t, render(t, "ecs", options(), findings))
	if len(got) != len(want) {
		t.Fatalf("%d documents, want %d", len(got), len(want))
	}
	for i, row := range want {
		ip, _, _ := strings.Cut(row["ip"], "%") // a document's type ip knows no zone
		row["ip"] = ip
		if row["verdict"] == "" { // no rule judged it
			row["rule_id"] = ""
		}
		row["mac"] = strings.ToUpper(strings.ReplaceAll(row["mac"], ":", "-"))
		if row["observed_at"] == "0001-01-01T00:00:00.000Z" {
			row["observed_at"] = ""
		}
		short := map[string]string{}
		for name := range got[i] {
			short[name] = row[name]
		}
		if d := cmp.Diff(short, got[i]); d != "" {
			t.Errorf("document %d beside JSON (-json +ecs):\n%s", i, d)
		}
	}
}

// ecsRows reads documents into the columns that they tell.
func ecsRows(t *testing.T, out []byte) (all rows) {
	for line := range bytes.Lines(out) {
		var d struct {
			At     time.Time         `json:"@timestamp"`
			Tags   []string          `json:"tags"`
			Labels map[string]string `json:"labels"`
			Event  struct {
				Hash, Reason string
				Severity     int
			} `json:"event"`
			Server struct {
				IP, MAC, Domain string
				Port            int
			} `json:"server"`
			Network  struct{ Transport, Protocol string } `json:"network"`
			Service  struct{ Name, Version, Type, State string }
			Observer struct{ Name string }
			Rule     struct{ ID string }
			TLS      struct{ Server struct{ Subject string } } `json:"tls"`
		}
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatal(err)
		}
		row := map[string]string{
			"ip": d.Server.IP, "mac": d.Server.MAC, "hostname": d.Server.Domain, "port": strconv.Itoa(d.Server.Port),
			"transport": d.Network.Transport, "service": d.Network.Protocol, "product": d.Service.Name, "version": d.Service.Version,
			"vantage": d.Observer.Name, "rule_id": d.Rule.ID, "evidence_id": d.Event.Hash, "note": d.Event.Reason, "tls_cn": d.TLS.Server.Subject,
			"severity": map[int]string{21: "low", 0: "info"}[d.Event.Severity], "flags": strings.ReplaceAll(strings.Join(d.Tags, "\x00"), "|", `\x7c`),
		}
		row["flags"] = strings.ReplaceAll(row["flags"], "\x00", "|")
		if !d.At.IsZero() {
			row["observed_at"] = d.At.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		for _, name := range []string{"scan_id", "site", "state", "reason", "confirmed", "verdict", "confidence", "evidence", "iana_name", "owner", "ticket", "expected"} {
			row[name] = d.Labels[name]
		}
		for name := range row {
			row[name] = bare(name, row[name])
		}
		all = append(all, row)
	}
	return all
}

// TestECSIdentifies: a document's id is its own and says of which run it is, so
// that documents imported by their ids do not replace one another, and those of
// one file imported twice do.
func TestECSIdentifies(t *testing.T) {
	findings := anyFindings(700)
	for i := range findings {
		findings[i].ScanID, findings[i].Vantage = "s_1", "dmz"
	}
	udp, outside := findings[0], findings[0]
	udp.Transport, outside.Vantage = registry.UDP, "internet"
	findings = append(findings, udp, outside)
	seen := map[string]int{}
	for line := range bytes.Lines(render(t, "ecs", options(), findings)) {
		var d struct {
			Event struct{ ID string }
		}
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatal(err)
		}
		if seen[d.Event.ID]++; seen[d.Event.ID] > 1 || !strings.Contains(d.Event.ID, "s_1") {
			t.Fatalf("%d documents with the id %q", seen[d.Event.ID], d.Event.ID)
		}
	}
}

// TestMarkdownAgrees: the table of Markdown has the open ports that JSON has, and
// what is known of each, those that break the policy first.
func TestMarkdownAgrees(t *testing.T) {
	findings := anyFindings(700)
	const other = "(words of its own)" // what is known only by how it behaves
	var first, rest rows
	for i, row := range jsonRows(t, render(t, "jsonl", options(), findings)) {
		f := &findings[i]
		if f.State != scanner.Open {
			continue
		}
		name := std.Or(row["product"], row["service"])
		if f.Product == "" && f.Full != nil && f.Full.Reason != "" {
			name = other
		}
		short := map[string]string{
			"ip": row["ip"], "port": row["port"] + "/" + row["transport"], "verdict": row["verdict"], "confidence": row["confidence"], "name": name,
			"version": row["version"], "evidence": strings.NewReplacer("`", `\x60`, "|", `\x7c`).Replace(row["evidence"]),
		}
		if f.Expected == "no" {
			first = append(first, short)
		} else {
			rest = append(rest, short)
		}
	}
	want, got := slices.Concat(first, rest), markdownRows(render(t, "markdown", options(), findings))
	for i, row := range got {
		if i < len(want) && want[i]["name"] == other {
			row["name"] = other
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Markdown beside JSON (-json +markdown):\n%s", d)
	}
}

// markdownRows reads the table of the open ports as GitHub's specification says.
func markdownRows(out []byte) (all rows) {
	_, text, _ := strings.Cut(string(out), "\n## Open ports\n")
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| ` ") {
			continue
		}
		cells := strings.Split(strings.ReplaceAll(strings.Trim(line, "\n"), `\|`, "\x00"), "|")
		row := map[string]string{}
		for i, name := range []string{"ip", "port", "verdict", "confidence", "name", "version", "evidence"} {
			row[name] = bare(name, inline(strings.TrimSuffix(strings.TrimPrefix(cells[i+1], " "), " ")))
		}
		row["verdict"] = strings.TrimSuffix(row["verdict"], " (!)")
		all = append(all, row)
	}
	return all
}

// inline is the text of a cell: a code span without its ends, or text in which a
// backslash stands before what would be markup.
func inline(cell string) string {
	if span, is := strings.CutPrefix(cell, "` "); is {
		return strings.ReplaceAll(strings.TrimSuffix(span, " `"), "\x00", "|")
	}
	var b strings.Builder
	for i := 0; i < len(cell); i++ {
		if cell[i] == '\\' && i+1 < len(cell) && (cell[i+1] == 0 || strings.IndexByte("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", cell[i+1]) >= 0) {
			i++
		}
		b.WriteByte(cell[i])
	}
	return strings.ReplaceAll(b.String(), "\x00", "|")
}
