package listen

import (
	"strings"
	"testing"
	"time"

	"dormant/registry"
)

// TestUseOfZeek: only a state with bytes or an end of both sides is use, and what
// is not known is an attempt.
func TestUseOfZeek(t *testing.T) {
	for state, want := range map[string]Use{
		"S0": Attempted, "SH": Attempted, "RSTOS0": Attempted, "REJ": Refused, "SHR": Answered, "RSTRH": Answered,
		"S1": Used, "S2": Used, "S3": Used, "SF": Used, "RSTO": Used, "RSTR": Used, "": Attempted, "NEW": Attempted,
	} {
		if got := zeekUse(registry.TCP, state); got != want {
			t.Errorf("%q: %v, want %v", state, got, want)
		}
	}
	if tcp, udp := zeekUse(registry.TCP, "OTH"), zeekUse(registry.UDP, "OTH"); tcp != Used || udp != Attempted {
		t.Errorf("OTH: tcp %v, udp %v; want used, attempted", tcp, udp)
	}
}

// TestUseOfConntrack: the state counts, but what had no answer is an attempt in any.
func TestUseOfConntrack(t *testing.T) {
	for words, want := range map[string]Use{
		"SYN_SENT": Attempted, "SYN_SENT2": Attempted, "SYN_RECV": Answered, "CLOSE": Answered, "ESTABLISHED": Used, "FIN_WAIT": Used,
		"CLOSE_WAIT": Used, "LAST_ACK": Used, "TIME_WAIT": Used, "NONE": Attempted, "ESTABLISHED [UNREPLIED]": Attempted,
	} {
		if got := conntrackUse(registry.TCP, strings.Fields(words)); got != want {
			t.Errorf("%s: %v, want %v", words, got, want)
		}
	}
	if open, lone := conntrackUse(registry.UDP, nil), conntrackUse(registry.UDP, []string{"[UNREPLIED]"}); open != Used || lone != Attempted {
		t.Errorf("udp: %v, and %v without an answer; want used, attempted", open, lone)
	}
}

// TestUseOfTraffic: one direction of a flow proves data by PSH or by its size, a
// handshake by what only an answered side sends.
func TestUseOfTraffic(t *testing.T) {
	for _, tt := range []struct {
		name               string
		t                  traffic
		byClient, byServer Use
	}{
		{"a datagram", traffic{proto: registry.UDP, packets: 1, bytes: 90}, Attempted, Used},
		{"nothing but a SYN", traffic{flags: flagSYN, lone: true}, Attempted, Attempted},
		{"a SYN, however large", traffic{flags: flagSYN, lone: true, packets: 1, bytes: 999}, Attempted, Attempted},
		{"data by PSH", traffic{flags: flagSYN | flagPSH | flagACK}, Used, Used},
		{"data by size", traffic{packets: 2, bytes: 2*emptySegment + 2}, Used, Used},
		{"empty segments", traffic{packets: 2, bytes: 2 * emptySegment}, Attempted, Answered},
		{"a handshake", traffic{flags: flagSYN | flagACK}, Answered, Answered},
		{"an end", traffic{flags: flagFIN}, Answered, Answered},
		{"a refusal", traffic{flags: flagRST | flagACK}, Answered, Refused},
		{"a bare RST", traffic{flags: flagRST}, Attempted, Refused},
		{"a connection that was reset", traffic{flags: flagRST | flagACK | flagSYN}, Answered, Answered},
		{"one that was reset at its end", traffic{flags: flagRST | flagFIN}, Answered, Answered},
		{"nothing told", traffic{}, Attempted, Answered},
	} {
		if tt.t.proto == 0 {
			tt.t.proto = registry.TCP
		}
		if c, s := tt.t.use(true), tt.t.use(false); c != tt.byClient || s != tt.byServer {
			t.Errorf("%s: %v by the client, %v by the server; want %v, %v", tt.name, c, s, tt.byClient, tt.byServer)
		}
	}
}

// TestMerge: whatever comes first, a client keeps the most that was seen, the
// whole time, and what only one of two tells.
func TestMerge(t *testing.T) {
	early := client(c1, srv, "1947/udp", Announced, ByAsking, 2, at(1), at(2))
	early.Name, early.Created = "drawing7", at(0)
	late := client(c1, srv, "1947/udp", Used, ByPort, 3, at(5), at(9))
	late.Source = "y"
	timeless := client(c1, srv, "1947/udp", Attempted, ByFlow, 1)
	timeless.First, timeless.Last, timeless.Source = time.Time{}, time.Time{}, ""
	want := client(c1, srv, "1947/udp", Used, ByAsking, 6, at(1), at(9))
	want.Name, want.Created = "drawing7", at(0)
	for _, order := range [][]Client{{early, late, timeless}, {late, early, timeless}, {timeless, late, early}, {timeless, early, late}} {
		table := NewTable(0)
		for _, c := range order {
			table.Add(c)
		}
		want.Source = "x"
		if order[0].Source == "y" || order[0].Source == "" && order[1].Source == "y" {
			want.Source = "y"
		}
		compareClients(t, []Client{want}, table.Clients())
	}
}

// TestWords: every output's word is read back; nothing is no word.
func TestWords(t *testing.T) {
	for u := Announced; u <= Used; u++ {
		if got, err := ParseUse(u.String()); got != u || err != nil {
			t.Errorf("ParseUse(%q) = %v, %v", u, got, err)
		}
	}
	for told := ByPort; told <= ByAsking; told++ {
		if got, err := ParseTold(told.String()); got != told || err != nil {
			t.Errorf("ParseTold(%q) = %v, %v", told, got, err)
		}
	}
	for _, word := range []string{"", "maybe"} {
		if u, err := ParseUse(word); err == nil {
			t.Errorf("ParseUse(%q) = %v", word, u)
		}
		if told, err := ParseTold(word); err == nil {
			t.Errorf("ParseTold(%q) = %v", word, told)
		}
	}
	if u, told := Use(6).String(), Told(5).String(); u != "use(6)" || told != "told(5)" {
		t.Errorf("beyond the last: %q, %q", u, told)
	}
}
