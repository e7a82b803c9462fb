package pipeline

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xuri/excelize/v2"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/sinktest"
	"dormant/scanner"
	"dormant/scanner/fakenet"
)

// attackers is a network whose every host says one of the attacks: host n as a
// greeting, host 100+n as a page.
type attackers []string

func (a attackers) DialContext(_ context.Context, _, address string) (net.Conn, error) {
	at := netip.MustParseAddrPort(address)
	n := int(at.Addr().As4()[3])
	if at.Port() != 3588 || n%100 >= len(a) {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	client, server := net.Pipe()
	go func() { // ends when the client closes
		defer server.Close()
		text := a[n%100]
		if n >= 100 {
			if _, err := server.Read(make([]byte, 4096)); err != nil {
				return
			}
			line := strings.NewReplacer("\r", "", "\n", "").Replace(text)
			text = "HTTP/1.1 200 OK\r\nServer: nginx/" + line + "\r\nX-Powered-By: " + line + "\r\nLocation: " + line + "\r\n\r\n<title>" + text + "</title>" + text
		}
		_, _ = io.WriteString(server, text)
	}()
	return client, nil
}

// TestAttacksReachNoOutput takes hostile answers through the sweep, the real
// dialogue and judge, and every format of reports: what comes out reads as data
// and steers no terminal, browser or spreadsheet.
func TestAttacksReachNoOutput(t *testing.T) {
	attacks := slices.DeleteFunc(sinktest.Attacks(), func(s string) bool { return len(s) > 4096 })
	if len(attacks) > 99 {
		attacks = attacks[:99]
	}
	outputs := map[string]*bytes.Buffer{}
	synctest.Test(t, func(t *testing.T) {
		open := map[scanner.Target]scanner.State{}
		for n := range attacks {
			for _, host := range []byte{byte(n), byte(100 + n)} {
				open[scanner.Target{Addr: netip.AddrFrom4([4]byte{10, 0, 0, host}), Port: registry.Port{Number: 3588, Proto: registry.TCP}}] = scanner.Open
			}
		}
		var all []reports.Sink
		for name, format := range reports.Formats() {
			outputs[name] = &bytes.Buffer{}
			sink, err := format.New(outputs[name], reports.Options{Run: func() reports.Run { return reports.Run{} }, Dossier: func(registry.Port) (registry.Entry, bool) { return registry.Entry{}, false }})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, sink)
		}
		rules, err := fingerprint.Default()
		if err != nil {
			t.Fatal(err)
		}
		crew := fingerprint.NewIdentifier(rules, fingerprint.Config{Dialer: attackers(attacks)})
		sink := sinks(all)
		p := newPipeline(t, fakenet.New(open, time.Millisecond), crew, sink)
		if _, err := p.Run(t.Context(), plan(t, "10.0.0.0/24", registry.Port{Number: 3588, Proto: registry.TCP})); err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // the peers hear of the end
	})
	for name, out := range outputs {
		if name == "xlsx" {
			checkSheets(t, out)
			continue
		}
		sinktest.CheckText(t, out.Bytes())
		if out.Len() < 1000 && slices.Contains([]string{"csv", "jsonl", "html", "markdown", "nmap", "ecs", "evidence"}, name) {
			t.Errorf("%s: only %d bytes", name, out.Len())
		}
		if name == "html" {
			for _, tag := range []string{"<script>alert", "<img", "<iframe"} {
				if bytes.Contains(bytes.ToLower(out.Bytes()), []byte(tag)) {
					t.Errorf("%s: holds %q as it came", name, tag)
				}
			}
		}
	}
	checkCells(t, outputs["csv"])
}

// checkCells fails for a cell that a spreadsheet would compute.
func checkCells(t *testing.T, out *bytes.Buffer) {
	t.Helper()
	records, err := csv.NewReader(out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records {
		for _, cell := range record {
			if strings.ContainsAny(cell[:min(len(cell), 1)], "=+-@\t\r") {
				t.Errorf("cell %q", cell)
			}
		}
	}
}

// checkSheets fails for a cell that is a formula, or holds a control character.
func checkSheets(t *testing.T, out *bytes.Buffer) {
	t.Helper()
	book, err := excelize.OpenReader(out)
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	cells := 0
	for _, sheet := range book.GetSheetList() {
		rows, err := book.GetRows(sheet)
		if err != nil {
			t.Fatal(err)
		}
		for y, row := range rows {
			for x, text := range row {
				cells++
				at, _ := excelize.CoordinatesToCellName(x+1, y+1)
				if formula, err := book.GetCellFormula(sheet, at); formula != "" || err != nil {
					t.Errorf("%s!%s is the formula %q (%v)", sheet, at, formula, err)
				}
				if strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 && r != '\n' || r == 0x7f }) {
					t.Errorf("%s!%s holds %q", sheet, at, text)
				}
			}
		}
	}
	if cells < 100 {
		t.Errorf("only %d cells", cells)
	}
}

// sinks gives every finding to all.
type sinks []reports.Sink

func (s sinks) Write(ctx context.Context, f reports.Finding) error {
	var errs []error
	for _, sink := range s {
		errs = append(errs, sink.Write(ctx, f))
	}
	return errors.Join(errs...)
}

func (s sinks) Close() error {
	var errs []error
	for _, sink := range s {
		errs = append(errs, sink.Close())
	}
	return errors.Join(errs...)
}
