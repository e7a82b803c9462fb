package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWindowUntil(t *testing.T) {
	for _, tt := range []struct {
		window, now string
		want        time.Duration
	}{
		{"22:00-05:00", "21:59", time.Minute},
		{"22:00-05:00", "22:00", 0},
		{"22:00-05:00", "04:59", 0},
		{"22:00-05:00", "05:00", 17 * time.Hour},
		{"08:30-17:00", "08:29", time.Minute},
		{"08:30-17:00", "12:00", 0},
		{"08:30-17:00", "17:00", 15*time.Hour + 30*time.Minute},
		{"08:30-17:00", "23:59", 8*time.Hour + 31*time.Minute},
		{"00:00-12:00", "12:00", 12 * time.Hour},
	} {
		var w windowValue
		if err := w.Set(tt.window); err != nil || w.String() != tt.window {
			t.Fatalf("Set(%q) = %v, then %q", tt.window, err, w.String())
		}
		clock, err := time.Parse("15:04", tt.now)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Date(2026, 1, 31, clock.Hour(), clock.Minute(), 0, 0, time.UTC) // the next day is in another month
		if got := w.until(now); got != tt.want {
			t.Errorf("%s at %s: %v, want %v", tt.window, tt.now, got, tt.want)
		}
	}
	if got := (windowValue{}).until(time.Now()); got != 0 {
		t.Errorf("no window: %v, want 0", got)
	}
}

func TestHoldWaitsForTheWindowAndForTheUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is midnight UTC
		var said bytes.Buffer
		h := &hold{log: slog.New(slog.NewTextHandler(&said, nil))}
		if err := h.window.Set(time.Now().Add(2*time.Hour).Format("15:04") + "-" + time.Now().Add(4*time.Hour).Format("15:04")); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if err := h.wait(t.Context()); err != nil || time.Since(begun) != 2*time.Hour {
			t.Errorf("wait = %v after %v, want nil after 2h", err, time.Since(begun))
		}
		if err := h.wait(t.Context()); err != nil || strings.Count(said.String(), "outside the window") != 1 || strings.Count(said.String(), "inside the window") != 1 {
			t.Errorf("wait = %v, said %s; want each once, however often it looks", err, &said)
		}
		h.pause()
		h.pause() // once is enough
		time.AfterFunc(time.Minute, h.proceed)
		begun = time.Now()
		if err := h.wait(t.Context()); err != nil || time.Since(begun) != time.Minute {
			t.Errorf("wait = %v after %v, want nil after 1m", err, time.Since(begun))
		}
		h.proceed() // not paused: nothing happens
		if n := h.notes(); len(n) != 1 || n[0] != "paused once, for 1m0s" {
			t.Errorf("notes = %q", n)
		}
		h.pause()
		stop := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(stop) })
		if err := h.wait(ctx); !errors.Is(err, stop) {
			t.Errorf("wait = %v, want the cause of the end", err)
		}
		if n := h.notes(); len(n) != 1 || n[0] != "paused 2 times, for 2m0s together" {
			t.Errorf("notes of a run that ended in a pause = %q", n)
		}
	})
}

func TestParseEndpoint(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"10.0.0.9:1947", "10.0.0.9:1947/tcp"},
		{"10.0.0.9:5093/udp", "10.0.0.9:5093/udp"},
		{"[fd00::1]:475/tcp", "[fd00::1]:475/tcp"},
		{"10.0.0.9", ""}, {"10.0.0.9:0", ""}, {"10.0.0.9:70000", ""}, {"10.0.0.9:1/sctp", ""}, {"fd00::1:475", ""}, {"", ""}, {"host:1", ""},
	} {
		got, err := parseEndpoint(tt.in)
		if (err == nil) != (tt.want != "") || err == nil && got.String() != tt.want {
			t.Errorf("parseEndpoint(%q) = %v, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}
