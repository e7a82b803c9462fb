package server

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/cmd/internal/fleet"
)

// TestAgentsNow: an agent of several vantages is one, in whatever order its beats
// are kept; what it said of a run that is over is not what it is at.
func TestAgentsNow(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	beat := func(run string, shard int, waits uint64, fault string) fleet.Beat {
		return fleet.Beat{Version: 1, Run: run, Shard: shard, Sent: uint64(shard), Total: uint64(shard), Open: uint64(shard), Waits: waits, Fault: fault}
	}
	waits := func(n uint64, fault string) fleet.Beat { return fleet.Beat{Version: 1, Waits: n, Fault: fault} }
	type said struct {
		vantage string
		ago     time.Duration
		beat    fleet.Beat
	}
	both := []string{"dmz", "lan"}
	for _, tt := range []struct {
		name string
		said []said
		want fleet.AgentStatus
	}{
		{"one works", []said{{"lan", 2 * time.Second, beat("s_1", 3, 0, "")}, {"dmz", time.Second, waits(0, "")}},
			fleet.AgentStatus{Vantages: both, LastSeen: now.Add(-time.Second), Online: true, Last: beat("s_1", 3, 0, "")}},
		{"both work", []said{{"lan", 0, beat("s_1", 3, 0, "")}, {"dmz", 0, beat("s_1", 2, 0, "")}},
			fleet.AgentStatus{Vantages: both, LastSeen: now, Online: true, Last: beat("s_1", 2, 0, "")}},
		{"results wait at both, and one fails", []said{{"lan", 0, waits(5, "disk full")}, {"dmz", 0, beat("s_1", 2, 7, "")}},
			fleet.AgentStatus{Vantages: both, LastSeen: now, Online: true, Last: beat("s_1", 2, 12, "disk full")}},
		{"both fail alike", []said{{"lan", 0, waits(0, "no list")}, {"dmz", 0, waits(0, "no list")}},
			fleet.AgentStatus{Vantages: both, LastSeen: now, Online: true, Last: waits(0, "no list")}},
		{"both fail", []said{{"lan", 0, waits(0, "b")}, {"dmz", 0, waits(0, "a")}},
			fleet.AgentStatus{Vantages: both, LastSeen: now, Online: true, Last: waits(0, "a; b")}},
		{"a run that is over", []said{{"lan", 0, beat("s_0", 3, 1, "")}},
			fleet.AgentStatus{Vantages: []string{"lan"}, LastSeen: now, Online: true, Last: waits(1, "")}},
		{"one is away", []said{{"lan", 0, waits(1, "")}, {"dmz", time.Hour, beat("s_1", 2, 9, "old")}},
			fleet.AgentStatus{Vantages: both, LastSeen: now, Online: true, Last: waits(1, "")}},
		{"away", []said{{"lan", 2 * time.Hour, waits(1, "")}, {"dmz", time.Hour, waits(9, "last words")}},
			fleet.AgentStatus{Vantages: both, LastSeen: now.Add(-time.Hour), Last: waits(9, "last words")}},
		{"away, the later one first", []said{{"lan", time.Hour, waits(1, "")}, {"dmz", 2 * time.Hour, waits(9, "")}},
			fleet.AgentStatus{Vantages: both, LastSeen: now.Add(-time.Hour), Last: waits(1, "")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 8 { // a map has another order each time
				p := newPresence(fleet.Away)
				for _, s := range tt.said {
					p.take(fleet.Origin{Place: fleet.Place{Site: "hq", Vantage: s.vantage}, Agent: "a"}, s.beat, now.Add(-s.ago))
				}
				tt.want.ID, tt.want.Site = "a", "hq"
				got := p.agentsNow(nil, map[string]bool{"s_1": true}, now)
				if d := cmp.Diff([]fleet.AgentStatus{tt.want}, got); d != "" {
					t.Fatalf("agents (-want +got):\n%s", d)
				}
			}
		})
	}
}

// TestAtWork: who is at a shard of another run, or at the same at another place, is
// not at this one.
func TestAtWork(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	p := newPresence(fleet.Away)
	for i, at := range []struct{ vantage, run string }{{"lan", "s_1"}, {"lan", "s_2"}, {"dmz", "s_1"}} {
		o := fleet.Origin{Place: fleet.Place{Site: "hq", Vantage: at.vantage}, Agent: string(rune('a' + i))}
		p.take(o, fleet.Beat{Run: at.run, Shard: i + 1}, now)
	}
	want := map[int]fleet.Beat{1: {Run: "s_1", Shard: 1}}
	if d := cmp.Diff(want, p.atWork(hq(), "s_1", now)); d != "" {
		t.Errorf("at work (-want +got):\n%s", d)
	}
}

// TestCopiedAgent: two agents by one name are told from one that was started
// anew, and that once; when one of them is gone nothing is said any more.
func TestCopiedAgent(t *testing.T) {
	for _, tt := range []struct {
		name, heard string // processes, one beat after the other
		news        int
		want        bool // at the end
	}{
		{"one", "aaaa", 0, false},
		{"started anew, twice", "aabbcc", 0, false},
		{"two", "abababab", 1, true},
		{"two, and one is started anew", "ababacaca", 1, true},
		{"one of the two is gone", "abab" + "aaaa", 1, false},
		{"of a release that tells none", "----", 0, false},
		{"upgraded", "--aa", 0, false},
	} {
		p, now, news := newPresence(fleet.Away), time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), 0
		for _, process := range tt.heard {
			now = now.Add(fleet.BeatEvery)
			b := fleet.Beat{Version: 1, Host: "host-" + string(process), Process: string(process)}
			if process == '-' {
				b.Process = ""
			}
			if p.take(fleet.Origin{Place: hq(), Agent: "a"}, b, now) {
				news++
			}
		}
		fault := p.agentsNow(nil, nil, now)[0].Last.Fault
		if news != tt.news || strings.Contains(fault, "on host-a and on host-") != tt.want {
			t.Errorf("%s: told %d times, at the end %q; want %d, %t", tt.name, news, fault, tt.news, tt.want)
		}
	}
}
