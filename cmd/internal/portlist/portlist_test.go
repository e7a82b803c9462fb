package portlist_test

import (
	"slices"
	"strings"
	"testing"

	"dormant/cmd/internal/portlist"
	"dormant/registry"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string // want is the list in words, or a part of the error
		count          int    // 0: an error
	}{
		{"one transport", "1947/tcp", "1947/tcp", 1},
		{"both", "3588", "3588/tcp,3588/udp", 2},
		{"several, in their order", "475/udp, 1947/tcp", "475/udp,1947/tcp", 2},
		{"twice", "475/udp,475,475/tcp", "475/udp,475/tcp", 2},
		{"range of one transport", "8000-8003/tcp", "8000-8003/tcp", 4},
		{"range of both", "8000-8001", "8000-8001/tcp,8000-8001/udp", 4},
		{"range of one port", "8000-8000/udp", "8000/udp", 1},
		{"ranges that overlap", "5-8/tcp,7-9/tcp,6/tcp", "5-9/tcp", 5},
		{"all", "1-65535", "1-65535/tcp,1-65535/udp", 2 * 65535},
		{"reversed", "20-10", `port "20-10": the range goes backwards: want the lower number first`, 0},
		{"zero", "0", `port "0": want a number from 1 to 65535`, 0},
		{"from zero", "0-9/tcp", `port "0-9/tcp": want a number`, 0},
		{"beyond the last", "65535-65536", `port "65535-65536": want a number`, 0},
		{"half a range", "10-", `port "10-": want a number`, 0},
		{"other half", "-10", `port "-10": want a number`, 0},
		{"three numbers", "1-2-3", `port "1-2-3": want a number`, 0},
		{"transport of both ends", "1/tcp-5/tcp", "want tcp or udp behind the slash", 0},
		{"unknown transport", "1-5/sctp", "want tcp or udp behind the slash", 0},
		{"nothing", "", `port "": want a number`, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := portlist.Parse(tt.in)
			words := strings.Join(portlist.Spans(got), ",")
			if tt.count == 0 {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Parse(%q) = %s, %v; want the error %q", tt.in, words, err, tt.want)
				}
				return
			}
			if err != nil || words != tt.want || len(got) != tt.count {
				t.Errorf("Parse(%q) = %s (%d), %v; want %s (%d)", tt.in, words, len(got), err, tt.want, tt.count)
			}
		})
	}
}

// FuzzParse checks that a list reads its own words as itself, in order and
// without duplicates.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"1947/tcp,5093/udp,3588", "8000-8100/tcp", "1-65535", "9-1", "", "1-2-3", "3,2,1", "5-8/tcp,7-9/tcp"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ports, err := portlist.Parse(s)
		if err != nil {
			return
		}
		again, err := portlist.Parse(strings.Join(portlist.Spans(ports), ","))
		if err != nil || !slices.Equal(again, ports) {
			t.Errorf("%q is %v, written and read again %v, %v", s, ports, again, err)
		}
		seen := map[registry.Port]bool{}
		for _, p := range ports {
			if seen[p] || p.Number == 0 {
				t.Fatalf("%q has %v twice, or it is none", s, p)
			}
			seen[p] = true
		}
	})
}
