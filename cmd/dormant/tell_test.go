package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dormant/registry"
	"dormant/reports"
	"dormant/reports/policy"
	"dormant/scanner"
)

type nowhere struct{}

func (nowhere) Write(context.Context, reports.Finding) error { return nil }
func (nowhere) Close() error                                 { return nil }

func outcomeOf(t *testing.T, findings ...reports.Finding) *outcome {
	t.Helper()
	o := &outcome{Sink: nowhere{}}
	for _, f := range findings {
		if err := o.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func TestNotify(t *testing.T) {
	var got []message
	status := http.StatusOK
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		got = append(got, m)
		w.Header().Set("Location", "/login")
		w.WriteHeader(status)
	}))
	defer hook.Close()
	tell, err := newTeller(&tellOptions{url: hook.URL + "/hook?token=sesame"})
	if err != nil {
		t.Fatal(err)
	}
	r := reports.Run{ScanID: "s_1", Site: "hq", Vantage: "probe", Targets: []string{"10.0.0.0/24"}}
	if err := tell.begin(r); err != nil {
		t.Fatal(err)
	}
	f := reports.Finding{IP: netip.MustParseAddr("10.0.0.1"), Port: 3588, Transport: registry.TCP, State: scanner.Open, Change: "same", Product: "Vite\x1b[2J"}
	if err := tell.end(t.Context(), r, outcomeOf(t, f), true); err != nil || len(got) != 0 {
		t.Errorf("nothing changed: end = %v, %d messages; want none", err, len(got))
	}
	breach := f
	breach.Flags, f.Change = []string{policy.FlagBreach}, "new"
	cancelled, cancel := context.WithCancel(t.Context())
	cancel() // an interrupted scan is told of, too
	if err := tell.end(cancelled, r, outcomeOf(t, f, breach), false); err != nil || len(got) != 1 {
		t.Fatalf("end = %v, %d messages; want one", err, len(got))
	}
	want := "dormant: 1 against the policy, 1 new in 10.0.0.0/24 from probe at site hq\nbreach: 10.0.0.1 3588/tcp Vite\\x1b[2J\nnew: 10.0.0.1 3588/tcp Vite\\x1b[2J\ndormant runs diff s_1"
	if got[0].Text != want {
		t.Errorf("message %q, want %q", got[0].Text, want)
	}
	status = http.StatusForbidden
	if err := tell.end(t.Context(), r, outcomeOf(t, f), true); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("end = %v; want the webhook's 403", err)
	}
	got, status = nil, http.StatusFound // to the page of a login
	if err := tell.end(t.Context(), r, outcomeOf(t, f), true); err == nil || !strings.Contains(err.Error(), "302") || len(got) != 1 {
		t.Errorf("end = %v after %d requests; want the webhook's 302 after one", err, len(got))
	}
	hook.Close()
	if err := tell.end(t.Context(), r, outcomeOf(t, f), true); err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("end = %v; want an error without the token", err)
	}
	for _, bad := range []string{"x", "https://", "nosuch://x", "slack://"} {
		if _, err := newTeller(&tellOptions{url: bad}); err == nil {
			t.Errorf("--notify %s: no error", bad)
		}
	}
}

func TestEventLog(t *testing.T) {
	dir := t.TempDir()
	socket, err := net.ListenPacket("unixgram", filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close() //nolint:errcheck // the test is over
	file := filepath.Join(dir, "events.jsonl")
	tell, err := newTeller(&tellOptions{events: []string{"syslog:" + filepath.Join(dir, "log"), file}})
	if err != nil {
		t.Fatal(err)
	}
	r := reports.Run{ScanID: "s_1", Targets: []string{"10.0.0.0/24"}, Ticket: "CHG1\n<0>forged"}
	if err := errors.Join(tell.begin(r), tell.end(t.Context(), r, outcomeOf(t), true)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"action=dormant-scan-start", "action=dormant-scan-end"} {
		b := make([]byte, 4096)
		if err := socket.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, _, err := socket.ReadFrom(b)
		text := string(b[:n])
		if err != nil || !strings.HasPrefix(text, "<29>") || !strings.Contains(text, want) || strings.Count(text, "\n") != 1 {
			t.Errorf("syslog got %q, %v; want one line with %q", text, err, want)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for line := range strings.Lines(string(data)) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, e.Event.Type[0]+" "+e.Event.ID+" "+e.Event.Outcome)
	}
	if got := strings.Join(kinds, ", "); got != "start s_1 , end s_1 success" {
		t.Errorf("events %q", got)
	}
	if err := syslog(filepath.Join(dir, "none")).log(event{}); err == nil {
		t.Error("a log daemon that is not there: no error")
	}
}
