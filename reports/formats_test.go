package reports_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dormant/registry"
	"dormant/reports"
	"dormant/reports/sinktest"
	"dormant/scanner"

	"github.com/xuri/excelize/v2"
	"golang.org/x/net/html"
)

var update = flag.Bool("update", false, "write the golden files")

// run is the facts of the run that the findings of sinktest belong to.
func run() reports.Run {
	start := time.Date(2026, 11, 22, 3, 47, 0, 0, time.UTC)
	return reports.Run{
		ScanID: "s_01J9ZK3V7Q", Site: "hq", Vantage: "probe-dmz1", Ticket: "CHG0012345", Version: "v1.0.0",
		Targets: []string{"10.0.1.0/24", "2001:db8::/120"}, Excluded: []string{"10.0.1.200"},
		Ports: []string{"475/tcp", "1947/tcp", "3047/tcp", "3588/tcp", "3712/tcp", "5093/tcp", "5093/udp"}, Backend: "afpacket",
		Interface: "eth0", Seed: 7,
		Scan: scanner.Summary{
			Started: start, Finished: start.Add(95 * time.Second), Targets: 3577, Addresses: 511, Probes: 7020, Retries: 3443, Skipped: 12,
			Open: 10, Closed: 2, Filtered: 3550, OpenFiltered: 1, Unreachable: 13, Unknown: 1, HostsAlive: 9, MaxHalfOpen: 1000, Rate: 998.4,
			Cooldown: 8 * time.Second, Counters: scanner.Counters{Frames: 40, Invalid: 3, Duplicate: 2, SendErrors: 1},
			Why: []string{"1 probe could not be sent"},
		},
		Identify: reports.Identification{Ports: 10, Done: 9, NoConnect: 1, Connections: 31, Canaries: 18, BytesSent: 2048, BytesReceived: 9001},
	}
}

func options() reports.Options {
	return reports.Options{Run: run, Dossier: dossier}
}

// dossier is one entry, so that golden files do not change with the registry.
func dossier(p registry.Port) (registry.Entry, bool) {
	if p.Number != 3588 {
		return registry.Entry{}, false
	}
	return registry.Entry{
		Number: 3588, Title: "Sentinel Server", Label: "registered: Sentinel Server (unverified)", Status: registry.Ghost,
		Summary: "A number set aside in 2002.",
		Facts:   []registry.Fact{{Topic: registry.TopicPurpose, Text: "Nobody knows <for certain>.", Mark: registry.Mark{Source: "a page", Confidence: registry.Low}}},
		Checks:  []registry.Check{{System: "Linux", Command: "sudo ss -tulnp 'sport = :3588'", Note: "exactly this port"}},
	}, true
}

// reader reads an output back, by format.
type reader struct {
	count  func(out []byte) (int, error)
	want   func(findings []reports.Finding) int // nil: all
	binary bool
}

func readers() map[string]reader {
	return map[string]reader{
		"csv":      {count: countCSV},
		"jsonl":    {count: countLines},
		"ecs":      {count: countLines},
		"evidence": {count: countEvidence, want: dialogues},
		"coverage": {count: countCoverage},
		"changes":  {count: countRecords, want: differing},
		"nmap":     {count: countPorts},
		"markdown": {count: countRows, want: open},
		"html":     {count: countHTML},
		"xlsx":     {count: countXLSX, binary: true},
	}
}

func open(findings []reports.Finding) (n int) {
	for i := range findings {
		if findings[i].State == scanner.Open {
			n++
		}
	}
	return n
}

func dialogues(findings []reports.Finding) (n int) {
	for i := range findings {
		if findings[i].Dialogue != nil {
			n++
		}
	}
	return n
}

// countEvidence recomputes every id from the bytes of its line.
func countEvidence(out []byte) (int, error) {
	n := 0
	for line := range bytes.Lines(out) {
		var v struct {
			ID       string          `json:"evidence_id"`
			Evidence json.RawMessage `json:"evidence"`
		}
		if err := json.Unmarshal(line, &v); err != nil {
			return n, err
		}
		if sum := sha256.Sum256(v.Evidence); v.ID != fmt.Sprintf("sha256:%x", sum) {
			return n, fmt.Errorf("id %s of other bytes", v.ID)
		}
		n++
	}
	return n, nil
}

// differing counts what is not as it was in the last run.
func differing(findings []reports.Finding) (n int) {
	for i := range findings {
		if slices.Contains([]string{"new", "gone", "missing", "changed", "moved"}, findings[i].Change) {
			n++
		}
	}
	return n
}

func countRecords(out []byte) (int, error) {
	records, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	return len(records) - 1, err
}

func countCoverage(out []byte) (int, error) {
	records, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, rec := range records[1:] {
		targets, err := strconv.Atoi(rec[5])
		if err != nil {
			return n, err
		}
		n += targets
	}
	return n, nil
}

// countPorts reads nmap's XML as its importers do.
func countPorts(out []byte) (int, error) {
	var doc struct {
		Scanner string `xml:"scanner,attr"`
		Hosts   []struct {
			Status struct {
				State string `xml:"state,attr"`
			} `xml:"status"`
			Addresses []struct {
				Addr string `xml:"addr,attr"`
				Type string `xml:"addrtype,attr"`
			} `xml:"address"`
			Ports []struct {
				State struct {
					State string `xml:"state,attr"`
				} `xml:"state"`
			} `xml:"ports>port"`
		} `xml:"host"`
		Stats struct {
			Total int `xml:"total,attr"`
		} `xml:"runstats>hosts"`
	}
	if err := xml.Unmarshal(out, &doc); err != nil {
		return 0, err
	}
	n := 0
	for _, h := range doc.Hosts {
		if len(h.Addresses) == 0 || (h.Status.State != "up" && h.Status.State != "down") {
			return n, fmt.Errorf("host %+v", h)
		}
		n += len(h.Ports)
	}
	if doc.Scanner != "dormant" || doc.Stats.Total != len(doc.Hosts) {
		return n, fmt.Errorf("scanner %q, %d hosts of %d", doc.Scanner, len(doc.Hosts), doc.Stats.Total)
	}
	return n, nil
}

// countXLSX reads the workbook with its library: no cell may be a formula, and
// none may hold what a terminal or a page would act on.
func countXLSX(out []byte) (int, error) {
	book, err := excelize.OpenReader(bytes.NewReader(out))
	if err != nil {
		return 0, err
	}
	n := 0
	for _, name := range book.GetSheetList() {
		rows, err := book.GetRows(name)
		if err != nil {
			return n, err
		}
		if name == "Findings" {
			n = len(rows) - 1
		}
		for r, row := range rows {
			for c, value := range row {
				at, _ := excelize.CoordinatesToCellName(c+1, r+1)
				if f, err := book.GetCellFormula(name, at); f != "" || err != nil {
					return n, fmt.Errorf("%s!%s has the formula %q, %v", name, at, f, err)
				}
				for i := range len(value) {
					if value[i] < ' ' || value[i] > '~' {
						return n, fmt.Errorf("%s!%s holds %q", name, at, value)
					}
				}
			}
		}
	}
	return n, book.Close()
}

// countRows counts the rows of the Markdown table; every row has its cells.
func countRows(out []byte) (int, error) {
	n := 0
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		if bars := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); bars != 8 {
			return n, fmt.Errorf("%d bars in %q", bars, line)
		}
		n++
	}
	if n > 0 {
		n-- // the header
	}
	return n, nil
}

func countCSV(out []byte) (int, error) {
	if !bytes.HasSuffix(out, []byte("\r\n")) {
		return 0, errors.New("the last record does not end in CRLF")
	}
	r := csv.NewReader(bytes.NewReader(out))
	r.FieldsPerRecord = len(reports.Header())
	records, err := r.ReadAll()
	if err != nil {
		return 0, err
	}
	if !slices.Equal(records[0], reports.Header()) {
		return 0, fmt.Errorf("header %q", records[0])
	}
	for _, rec := range records {
		for _, field := range rec {
			if strings.HasPrefix(strings.TrimLeft(field, " "), "=") || strings.ContainsAny(field, "\r\n\t") {
				return 0, fmt.Errorf("cell %q", field)
			}
		}
	}
	return len(records) - 1, nil
}

func countLines(out []byte) (int, error) {
	dec, n := json.NewDecoder(bytes.NewReader(out)), 0
	for ; ; n++ {
		var m map[string]any
		if err := dec.Decode(&m); err == io.EOF {
			break
		} else if err != nil {
			return n, err
		}
	}
	if lines := bytes.Count(out, []byte("\n")); lines != n {
		return n, fmt.Errorf("%d objects in %d lines", n, lines)
	}
	return n, nil
}

// countHTML reads the page as a browser's parser does: its cards must be as many
// as its rows, nothing may run or load that is not ours.
func countHTML(out []byte) (int, error) {
	doc, err := html.Parse(bytes.NewReader(out))
	if err != nil {
		return 0, err
	}
	total, elements := 0, map[string]int{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		elements[n.Data]++
		for _, a := range n.Attr {
			switch {
			case a.Key == "data-findings":
				if total, err = strconv.Atoi(a.Val); err != nil {
					return 0, err
				}
			case a.Key == "class" && strings.HasPrefix(a.Val, "card c-"):
				elements["card"]++
			case a.Key == "id" && n.Data == "tr":
				elements["row"]++
			case strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src":
				return 0, fmt.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			case a.Key == "href" && !strings.HasPrefix(a.Val, "#"):
				return 0, fmt.Errorf("a link to %q", a.Val)
			}
		}
	}
	if elements["card"] != elements["row"] || elements["script"] != 1 || elements["style"] != 1 || elements["img"]+elements["link"] != 0 {
		return 0, fmt.Errorf("elements %v", elements)
	}
	return total, nil
}

// TestFormats holds every format against the contract of a sink.
func TestFormats(t *testing.T) {
	for name, format := range reports.Formats() {
		t.Run(name, func(t *testing.T) {
			r, ok := readers()[name]
			if !ok {
				t.Fatal("this test has no reader for the format")
			}
			sinktest.Run(t, sinktest.World{
				New:    func(w io.Writer) (reports.Sink, error) { return format.New(w, options()) },
				Count:  r.count,
				Want:   r.want,
				Binary: r.binary,
			})
		})
	}
}

// render writes findings in a format.
func render(t *testing.T, format string, o reports.Options, findings []reports.Finding) []byte {
	t.Helper()
	var out bytes.Buffer
	s, err := reports.Formats()[format].New(&out, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if err := s.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// golden compares with a file in testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(want, got) {
		return
	}
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			t.Fatalf("%s differs at line %d (-update writes it anew)\nwant %q\ngot  %q", path, i+1, at(w, i), at(g, i))
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(end)"
}

func TestGolden(t *testing.T) {
	for name, format := range reports.Formats() {
		t.Run(name, func(t *testing.T) {
			if readers()[name].binary {
				t.Skip("a zip archive holds times; its content is read back in its own test")
			}
			ext := "." + name
			if len(format.Extensions) > 0 {
				ext = format.Extensions[0]
			}
			golden(t, "findings"+ext, render(t, name, options(), sinktest.Findings()))
		})
	}
}

func TestCSVOptions(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		o          reports.CSVOptions
	}{
		{name: "columns", o: reports.CSVOptions{Columns: []string{"ip", "port", "version"}}, want: "ip,port,version\r\n10.0.1.20,1947,v18.00\r\n"},
		{name: "semicolon and BOM", o: reports.CSVOptions{Comma: ';', BOM: true, Columns: []string{"ip", "evidence"}},
			want: "\ufeffip;evidence\r\n10.0.1.20;\"Server: HASP LM/18.00; 302 -> /_int_/index.html\"\r\n"},
		{name: "tab", o: reports.CSVOptions{Comma: '\t', Columns: []string{"ip", "state"}}, want: "ip\tstate\r\n10.0.1.20\topen\r\n"},
		{name: "nmaptocsv", o: reports.CSVOptions{Preset: "nmaptocsv"},
			want: "IP;FQDN;PORT;PROTOCOL;SERVICE;VERSION\r\n10.0.1.20;cad-lic01.corp;1947;tcp;hasp-acc;vSentinel LDK License Manager 18.00\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := string(render(t, "csv", reports.Options{CSV: tt.o}, sinktest.Findings()[:1]))
			if strings.Contains(tt.want, "vSentinel") {
				tt.want = strings.ReplaceAll(tt.want, "vSentinel", "Sentinel")
			}
			if got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
	for _, o := range []reports.CSVOptions{{Comma: 'x'}, {Preset: "excel"}, {Preset: "audit", Columns: []string{"ip"}}, {Columns: []string{"IP"}}} {
		if _, err := reports.NewCSV(io.Discard, o); err == nil {
			t.Errorf("NewCSV(%+v) accepted it", o)
		}
	}
}

// TestPresets holds every preset against the contract too: presets print what
// hosts sent as well.
func TestPresets(t *testing.T) {
	for _, name := range reports.Presets() {
		t.Run(name, func(t *testing.T) {
			o := reports.CSVOptions{Preset: name}
			sinktest.Run(t, sinktest.World{
				New: func(w io.Writer) (reports.Sink, error) { return reports.NewCSV(w, o) },
				Count: func(out []byte) (int, error) {
					r := csv.NewReader(bytes.NewReader(out))
					if name == "nmaptocsv" {
						r.Comma = ';'
					}
					records, err := r.ReadAll()
					return len(records) - 1, err
				},
			})
			golden(t, "preset-"+name+".csv", render(t, "csv", reports.Options{CSV: o}, sinktest.Findings()))
		})
	}
}

// broken is a sink that fails at once.
type broken struct{ closed bool }

func (b *broken) Write(context.Context, reports.Finding) error { return errors.New("broken") }
func (b *broken) Close() error                                 { b.closed = true; return errors.New("broken close") }

// kept is a sink that remembers.
type kept struct {
	findings []reports.Finding
	closed   bool
}

func (k *kept) Write(_ context.Context, f reports.Finding) error {
	k.findings = append(k.findings, f)
	return nil
}
func (k *kept) Close() error { k.closed = true; return nil }

func TestMultiGoesOnWithTheOthers(t *testing.T) {
	bad, good := new(broken), new(kept)
	m := reports.Multi(bad, good)
	var failed int
	for _, f := range sinktest.Findings() {
		if err := m.Write(t.Context(), f); err != nil {
			failed++
		}
	}
	err := m.Close()
	if failed != 1 || err == nil || !bad.closed || !good.closed {
		t.Errorf("failed writes = %d, Close = %v, closed %t %t; want one failure, an error, both closed", failed, err, bad.closed, good.closed)
	}
	if len(good.findings) != len(sinktest.Findings()) {
		t.Errorf("the good sink got %d findings, want %d", len(good.findings), len(sinktest.Findings()))
	}
}

func TestFilter(t *testing.T) {
	k := new(kept)
	s := reports.Filter(k, reports.OpenOnly)
	for _, f := range sinktest.Findings() {
		if err := s.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil || !k.closed {
		t.Errorf("Close = %v, closed %t", err, k.closed)
	}
	for _, f := range k.findings {
		if f.State != scanner.Open {
			t.Errorf("%v passed: %v", f.IP, f.State)
		}
	}
	if len(k.findings) != 10 {
		t.Errorf("%d findings passed, want 10", len(k.findings))
	}
}
