package web

import (
	"testing"
	"time"
)

// TestSessionsAreBounded: one more than there is room for costs the one that was
// idle longest, and none that is over is kept in its place.
func TestSessionsAreBounded(t *testing.T) {
	s, at := newSessions(), time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	first, second := s.begin(at), s.begin(at.Add(time.Second))
	for range maxSessions - 2 {
		s.begin(at.Add(time.Second))
	}
	at = at.Add(time.Minute)
	if !s.use(first, at) {
		t.Fatal("a session is gone while there is room")
	}
	last := s.begin(at)
	if len(s.open) != maxSessions || !s.use(first, at) || !s.use(last, at) {
		t.Errorf("%d sessions, want %d with the one that was used and the newest", len(s.open), maxSessions)
	}
	if at = at.Add(sessionIdle); s.use(second, at) {
		t.Error("a session that was idle for too long is open")
	}
	for range 3 {
		s.begin(at.Add(time.Minute))
	}
	if len(s.open) > 3 {
		t.Errorf("%d sessions, want the new ones alone: the others are over", len(s.open))
	}
}

// TestTimesInWords: also those that are not known, and those to come.
func TestTimesInWords(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		at   time.Time
		ago  string
		date string
	}{
		{time.Time{}, "never", ""},
		{now, "now", "2026-11-22 10:00:00"},
		{now.Add(-90 * time.Second), "90 s ago", "2026-11-22 09:58:30"},
		{now.Add(-2 * time.Minute), "2 min ago", "2026-11-22 09:58:00"},
		{now.Add(-3 * time.Hour), "3 h ago", "2026-11-22 07:00:00"},
		{now.Add(-48 * time.Hour), "2 days ago", "2026-11-20 10:00:00"},
		{now.Add(17 * time.Hour), "in 17 h", "2026-11-23 03:00:00"},
	} {
		if got := ago(now, tt.at); got != tt.ago {
			t.Errorf("ago(%v) = %q, want %q", tt.at, got, tt.ago)
		}
		if got := moment(tt.at); got != tt.date {
			t.Errorf("moment(%v) = %q, want %q", tt.at, got, tt.date)
		}
	}
	for d, want := range map[time.Duration]string{400 * time.Millisecond: "right", -400 * time.Millisecond: "right", time.Second: "1 s ahead", -3 * time.Hour: "3 h behind"} {
		if got := skew(d); got != want {
			t.Errorf("skew(%v) = %q, want %q", d, got, want)
		}
	}
}
