package reports_test

import (
	"archive/zip"
	"bytes"
	std "cmp"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

// anyFindings returns random findings of every verdict and state, with texts that
// each format has to escape in its own way, sorted as sinks get them.
func anyFindings(n int) []reports.Finding {
	r := rand.New(rand.NewPCG(5, 8))
	pieces := []string{"", "a", "Go net/http", "=1+1", "-2", "@x", ",", ";=", "|", "\"", "'", "<b>", "&amp;", "]]>", "</script>", "_x000D_", "_x0041_",
		"\r\n", "\t", "\x1b[2J", "\x00", "\xff\xfe", "ü", "\u202e", "\U0001f600", "`", "\\", "\\x41", "1e5", "007", "2026-01-02", "  ", "{{.}}", "TRUE"}
	text := func() (s string) {
		for range r.IntN(4) {
			s += pieces[r.IntN(len(pieces))]
		}
		return s
	}
	addrs := []string{"10.0.0.1", "10.0.0.2", "255.255.255.254", "2001:db8::1", "fe80::1%eth0", "fe80::1%eth1", "::1"}
	times := []time.Time{{}, time.Unix(0, 0), time.Date(1999, 12, 31, 23, 59, 59, 999_400_000, time.UTC), time.Date(2024, 2, 29, 12, 0, 0, 1e6, time.FixedZone("", 5*3600)),
		time.Date(2106, 2, 7, 6, 28, 16, 0, time.UTC)}
	all := make([]reports.Finding, n)
	for i := range all {
		f := reports.Finding{
			Schema: 1, ScanID: text(), Site: text(), Vantage: text(), ObservedAt: times[r.IntN(len(times))], IP: netip.MustParseAddr(addrs[i*len(addrs)/n]),
			Hostname: text(), MAC: "00:1a:2b:3c:4d:5e", Transport: registry.TCP, Port: uint16(1 + i), IANAName: text(), State: scanner.State(1 + r.IntN(6)),
			Reason: scanner.Reason(1 + r.IntN(8)), TTL: uint8(r.IntN(256)), RTT: time.Duration(r.Int64N(1e9)), ProbesSent: r.IntN(3), Confirmed: "yes",
			Service: text(), Product: text(), Version: text(), CPE: text(), Confidence: r.IntN(101), RuleID: text(), Evidence: text(), EvidenceID: "sha256:" + text(),
			TLSName: text(), Severity: "low", Change: []string{"", "same", "new", "gone"}[r.IntN(4)], FirstSeen: times[r.IntN(len(times))], Owner: text(), Ticket: text(),
			Expected: []string{"", "yes", "no"}[r.IntN(3)], FWRule: text(), Clients: r.IntN(3) - 1, Note: text(),
		}
		for range r.IntN(3) {
			f.Flags = append(f.Flags, text())
		}
		if f.State == scanner.Open {
			f.Verdict = fingerprint.Class(r.IntN(int(fingerprint.Unidentified) + 1))
			f.Full = &fingerprint.Verdict{Class: f.Verdict, Reason: text(), Signs: make([]fingerprint.Sign, 100*r.IntN(2)), Hints: []string{text()}}
		}
		all[i] = f
	}
	return all
}

// rows are records by the names of their columns.
type rows []map[string]string

// bare is a cell without what CSV alone puts into it against formulas.
func bare(column, s string) string {
	if column == "version" {
		s = strings.TrimPrefix(s, "v")
	}
	return strings.ReplaceAll(s, "'", "")
}

func jsonRows(t *testing.T, out []byte) (all rows) {
	for line := range bytes.Lines(out) {
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		var object map[string]any
		if err := d.Decode(&object); err != nil {
			t.Fatal(err)
		}
		row := map[string]string{}
		for _, name := range reports.Header() {
			switch v := object[name].(type) {
			case nil:
				row[name] = ""
			case []any:
				var list []string
				for _, s := range v {
					list = append(list, strings.ReplaceAll(s.(string), "|", `\x7c`))
				}
				row[name] = bare(name, strings.Join(list, "|"))
			default:
				row[name] = bare(name, fmt.Sprint(v))
			}
		}
		all = append(all, row)
	}
	return all
}

func csvRows(t *testing.T, out []byte) (all rows) {
	records, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = bare(name, record[i])
		}
		all = append(all, row)
	}
	return all
}

// sheetRows reads the sheet Findings as the standard says, without our library.
func sheetRows(t *testing.T, out []byte) (all rows) {
	z, err := zip.NewReader(bytes.NewReader(out), int64(len(out)))
	if err != nil {
		t.Fatal(err)
	}
	file, err := z.Open("xl/worksheets/sheet3.xml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	var sheet struct {
		Rows []struct {
			Cells []struct {
				At     string `xml:"r,attr"`
				Value  string `xml:"v"`
				Inline string `xml:"is>t"`
			} `xml:"c"`
		} `xml:"sheetData>row"`
	}
	if err := xml.Unmarshal(text, &sheet); err != nil {
		t.Fatal(err)
	}
	for _, r := range sheet.Rows[1:] {
		row := map[string]string{}
		for _, name := range reports.Header() {
			row[name] = ""
		}
		for _, c := range r.Cells {
			column := 0
			for _, letter := range strings.TrimRight(c.At, "0123456789") {
				column = 26*column + int(letter-'A') + 1
			}
			name, value := reports.Header()[column-1], c.Value+strings.ReplaceAll(c.Inline, "_x005F_", "_") // ECMA-376 part 1, 22.9.2.19
			if slices.Contains([]string{"observed_at", "first_seen", "last_seen"}, name) && c.Value != "" {
				days, err := strconv.ParseFloat(value, 64)
				if err != nil {
					t.Fatal(err)
				}
				at := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC).Add(time.Duration(int64(days*86_400_000+0.5)) * time.Millisecond)
				value = at.Format("2006-01-02T15:04:05.000Z")
			}
			row[name] = bare(name, value)
		}
		all = append(all, row)
	}
	return all
}

// xmlRows reads of nmap's XML what a row of it has in common with the others.
func xmlRows(t *testing.T, out []byte) (all rows, hosts map[string][]string) {
	var run struct {
		Hosts []struct {
			Start int64 `xml:"starttime,attr"`
			End   int64 `xml:"endtime,attr"`
			Addr  []struct {
				Addr string `xml:"addr,attr"`
			} `xml:"address"`
			Names []struct {
				Name string `xml:"name,attr"`
			} `xml:"hostnames>hostname"`
			Ports []struct {
				Number string `xml:"portid,attr"`
				State  struct {
					TTL string `xml:"reason_ttl,attr"`
				} `xml:"state"`
				Service struct {
					Name    string `xml:"name,attr"`
					Product string `xml:"product,attr"`
					Version string `xml:"version,attr"`
				} `xml:"service"`
				Script []struct {
					Key   string `xml:"key,attr"`
					Value string `xml:",chardata"`
				} `xml:"script>elem"`
			} `xml:"ports>port"`
		} `xml:"host"`
	}
	if err := xml.Unmarshal(out, &run); err != nil {
		t.Fatal(err)
	}
	hosts = map[string][]string{}
	for _, h := range run.Hosts {
		if h.End < h.Start {
			t.Errorf("%s: begins at %d and ends at %d", h.Addr[0].Addr, h.Start, h.End)
		}
		for _, name := range h.Names {
			hosts[h.Addr[0].Addr] = append(hosts[h.Addr[0].Addr], bare("", name.Name))
		}
		for _, p := range h.Ports {
			row := map[string]string{"ip": h.Addr[0].Addr, "port": p.Number, "service": p.Service.Name, "product": p.Service.Product, "version": p.Service.Version,
				"verdict": "", "confidence": "", "severity": "", "rule_id": "", "evidence": "", "evidence_id": "", "confirmed": ""}
			for _, e := range p.Script {
				row[e.Key] = e.Value
			}
			all = append(all, row)
		}
	}
	return all, hosts
}

// TestFormatsAgree: each format tells the same of random findings, when somebody
// else's code reads it.
func TestFormatsAgree(t *testing.T) {
	findings := anyFindings(700)
	want := jsonRows(t, render(t, "jsonl", options(), findings))
	if len(want) != len(findings) {
		t.Fatalf("%d lines of JSON, want %d", len(want), len(findings))
	}
	if d := cmp.Diff(want, csvRows(t, render(t, "csv", options(), findings))); d != "" {
		t.Errorf("CSV beside JSON (-json +csv):\n%s", d)
	}
	if d := cmp.Diff(want, sheetRows(t, render(t, "xlsx", options(), findings))); d != "" {
		t.Errorf("XLSX beside JSON (-json +xlsx):\n%s", d)
	}

	got, hosts := xmlRows(t, render(t, "nmap", options(), findings))
	names := map[string][]string{}
	var trimmed rows
	for i, row := range want {
		ip, _, _ := strings.Cut(row["ip"], "%") // nmap knows no zone
		short := map[string]string{"ip": ip}
		for name := range got[i] {
			switch judged := findings[i].Verdict != 0; {
			case name == "ip":
			case !judged && slices.Contains([]string{"verdict", "confidence", "severity", "rule_id", "evidence", "evidence_id", "confirmed"}, name),
				findings[i].Service == "" && (name == "product" || name == "version"): // there is no place for it
				short[name] = ""
			default:
				short[name] = row[name]
			}
			got[i][name] = bare(name, got[i][name])
		}
		trimmed = append(trimmed, short)
		if host := row["hostname"]; findings[i].Hostname != "" && !slices.Contains(names[ip], host) {
			names[ip] = append(names[ip], host)
		}
	}
	if d := cmp.Diff(trimmed, got); d != "" {
		t.Errorf("nmap's XML beside JSON (-json +xml):\n%s", d)
	}
	for ip := range names {
		slices.Sort(names[ip])
		slices.Sort(hosts[ip])
		hosts[ip] = slices.Compact(hosts[ip]) // of one address in two zones
	}
	if d := cmp.Diff(names, hosts); d != "" {
		t.Errorf("names of hosts in nmap's XML (-json +xml):\n%s", d)
	}

	open := slices.DeleteFunc(slices.Clone(want), func(row map[string]string) bool { return row["state"] != "open" })
	if d := cmp.Diff(pageRows(open), htmlRows(t, render(t, "html", options(), findings))); d != "" {
		t.Errorf("HTML beside JSON (-json +html):\n%s", d)
	}
}

// pageRows are the cells that the page has, by their targets: it has an order of
// its own.
func pageRows(all rows) map[string]map[string]string {
	page := map[string]map[string]string{}
	for _, row := range all {
		page[row["ip"]+" "+row["port"]] = map[string]string{
			"confidence": row["confidence"], "version": row["version"], "evidence": row["evidence"], "hostname": row["hostname"],
			"verdict": std.Or(strings.ReplaceAll(row["verdict"], "_", " "), "not identified"),
		}
	}
	return page
}

func htmlRows(t *testing.T, out []byte) map[string]map[string]string {
	doc, err := html.Parse(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	var text func(n *html.Node, skip string) string
	text = func(n *html.Node, skip string) (s string) {
		for c := range n.ChildNodes() {
			switch {
			case c.Type == html.TextNode:
				s += c.Data
			case c.Data != skip:
				s += text(c, skip)
			}
		}
		return s
	}
	page := map[string]map[string]string{}
	for n := range doc.Descendants() {
		if n.Data != "tr" || len(n.Attr) == 0 || n.Attr[0].Key != "id" {
			continue
		}
		cells := slices.Collect(n.ChildNodes())
		port, _, _ := strings.Cut(text(cells[1], ""), "/")
		host := strings.TrimPrefix(text(cells[0], ""), text(cells[0], "small"))
		page[text(cells[0], "small")+" "+port] = map[string]string{
			"confidence": text(cells[3], ""), "version": bare("version", text(cells[5], "")), "evidence": bare("", text(cells[6], "")),
			"hostname": bare("", host), "verdict": strings.TrimPrefix(text(cells[2], "small"), "! "),
		}
	}
	return page
}
