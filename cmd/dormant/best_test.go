package main

import (
	"context"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// words keeps what it is given, in words.
type words struct {
	all    []string
	closed int
}

func (w *words) Write(_ context.Context, f reports.Finding) error {
	word := f.IP.String() + " " + f.State.String()
	if f.Dialogue != nil {
		word += " spoken with"
	}
	w.all = append(w.all, word)
	return nil
}

func (w *words) Close() error {
	w.closed++
	return nil
}

func TestBestOfEachTarget(t *testing.T) {
	row := func(last byte, s scanner.State, ev *fingerprint.Evidence) reports.Finding {
		return reports.Finding{IP: netip.AddrFrom4([4]byte{10, 0, 0, last}), Transport: registry.TCP, Port: 1, State: s, Dialogue: ev}
	}
	spoken := &fingerprint.Evidence{}
	var w words
	b := best{next: &w}
	for _, f := range []reports.Finding{
		row(1, scanner.Filtered, nil), row(1, scanner.Open, spoken),
		row(2, scanner.Open, spoken), row(2, scanner.Open, nil), row(2, scanner.OpenFiltered, nil),
		row(3, scanner.Unreachable, nil),
		row(4, scanner.Unreachable, nil), row(4, scanner.Filtered, nil), row(4, scanner.Closed, nil),
	} {
		if err := b.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{"10.0.0.1 open spoken with", "10.0.0.2 open spoken with", "10.0.0.3 unreachable", "10.0.0.4 closed"}
	if d := cmp.Diff(want, w.all); d != "" || w.closed != 1 {
		t.Errorf("closed %d times (-want +got):\n%s", w.closed, d)
	}
}
