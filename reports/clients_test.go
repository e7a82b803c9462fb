package reports

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dormant/registry"
	"dormant/scanner/listen"
)

func someClients() []listen.Client {
	lm := registry.Port{Number: 1947, Proto: registry.TCP}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	return []listen.Client{
		{Addr: netip.MustParseAddr("10.0.0.5"), Server: netip.MustParseAddr("10.0.0.9"), Port: lm, Use: listen.Used,
			Told: listen.ByAsking, Count: 7, First: at, Last: at.Add(time.Hour), Source: "x"},
		{Addr: netip.MustParseAddr("fd00::5"), Server: netip.MustParseAddr("ff02::1"), Port: registry.Port{Number: 475, Proto: registry.UDP},
			Use: listen.Announced, Told: listen.ByPort, Count: 1, First: at, Last: at, Name: "=cmd|'/c calc'!A1", Created: at, Source: "x"},
	}
}

// TestClientsAreReadAsWritten holds the writer against the reader of listen.
func TestClientsAreReadAsWritten(t *testing.T) {
	var b bytes.Buffer
	if err := WriteClientsCSV(&b, someClients()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "'=cmd") {
		t.Errorf("a formula is not neutralised:\n%s", b.String())
	}
	var got []listen.Client
	_, err := listen.ReadFlows(t.Context(), "x", &b, listen.FlowOptions{
		Names: true, Ports: []registry.Port{someClients()[0].Port, someClients()[1].Port},
	}, func(c listen.Client) { got = append(got, c) })
	if err != nil {
		t.Fatal(err)
	}
	want := someClients()
	want[1].Created = time.Time{} // for people only
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("clients (-want +got):\n%s", d)
	}
}

func TestClientsJSONL(t *testing.T) {
	var b bytes.Buffer
	if err := WriteClientsJSONL(&b, someClients()[:1]); err != nil {
		t.Fatal(err)
	}
	const want = `{"client":"10.0.0.5","client_name":"","server":"10.0.0.9","transport":"tcp","port":1947,"use":"used","told_by":"asking",` +
		`"count":7,"first_seen":"2026-01-02T03:04:05.678Z","last_seen":"2026-01-02T04:04:05.678Z","created":null,"source":"x"}` + "\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("JSONL (-want +got):\n%s", d)
	}
}

func TestClientsTable(t *testing.T) {
	var b bytes.Buffer
	if err := WriteClientsTable(&b, someClients(), 0); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"10.0.0.9", "1947/tcp", "announced", "fd00::5"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table has no %s:\n%s", want, b.String())
		}
	}
}
