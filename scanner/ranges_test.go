package scanner

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// lookup is a small name service.
func lookup(_ context.Context, name string) ([]netip.Addr, error) {
	known := map[string][]string{
		"one.example":       {"10.0.0.9"},
		"both.example":      {"10.0.0.10", "fd00::10"},
		"mapped.example":    {"::ffff:10.0.0.11"},
		"one.example.net":   {"10.0.0.9"},
		"nothing.example":   {},
		"linklocal.example": {"fe80::1"},
	}
	texts, ok := known[name]
	if !ok {
		return nil, errors.New("no such host")
	}
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all, nil
}

func list(name, text string) List { return List{name, strings.NewReader(text)} }

func TestParseRanges(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spec  RangeSpec
		want  []string
		zoned []string
		count uint64
		gone  uint64
	}{
		{"address", RangeSpec{Targets: []string{"10.0.0.5"}}, []string{"10.0.0.5/32"}, nil, 1, 0},
		{"mapped address", RangeSpec{Targets: []string{"::ffff:10.0.0.5"}}, []string{"10.0.0.5/32"}, nil, 1, 0},
		{"CIDR", RangeSpec{Targets: []string{"10.0.0.0/24"}}, []string{"10.0.0.0/24"}, nil, 256, 0},
		{"CIDR with host bits is its network", RangeSpec{Targets: []string{"10.0.0.77/24"}}, []string{"10.0.0.0/24"}, nil, 256, 0},
		{"mapped CIDR", RangeSpec{Targets: []string{"::ffff:10.0.0.0/120"}}, []string{"10.0.0.0/24"}, nil, 256, 0},
		{"whole range", RangeSpec{Targets: []string{"10.0.0.254-10.0.1.1"}}, []string{"10.0.0.254/31", "10.0.1.0/31"}, nil, 4, 0},
		{"short range", RangeSpec{Targets: []string{"10.0.0.5-9"}}, []string{"10.0.0.5/32", "10.0.0.6/31", "10.0.0.8/31"}, nil, 5, 0},
		{"wildcard", RangeSpec{Targets: []string{"10.0.*.*"}}, []string{"10.0.0.0/16"}, nil, 65536, 0},
		{"octet ranges", RangeSpec{Targets: []string{"10.0.0-1.4-5"}}, []string{"10.0.0.4/31", "10.0.1.4/31"}, nil, 4, 0},
		{"wildcard in the middle", RangeSpec{Targets: []string{"10.1-2.*.7"}, Exclude: []string{"10.*.1-255.*"}}, []string{"10.1.0.7/32", "10.2.0.7/32"}, nil, 2, 510},
		{"IPv6 address", RangeSpec{Targets: []string{"FD00::0:5"}}, []string{"fd00::5/128"}, nil, 1, 0},
		{"IPv6 CIDR", RangeSpec{Targets: []string{"fd00::/120"}}, []string{"fd00::/120"}, nil, 256, 0},
		{"IPv6 range", RangeSpec{Targets: []string{"fd00::fe-fd00::101"}}, []string{"fd00::fe/127", "fd00::100/127"}, nil, 4, 0},
		{"IPv6 short range", RangeSpec{Targets: []string{"fd00::fe-101"}}, []string{"fd00::fe/127", "fd00::100/127"}, nil, 4, 0},
		{"IPv6 wildcard", RangeSpec{Targets: []string{"fd00::1:*"}}, []string{"fd00::1:0/112"}, nil, 65536, 0},
		{"more than can be counted", RangeSpec{Targets: []string{"fd00::/16"}}, []string{"fd00::/16"}, nil, math.MaxUint64, 0},
		{"zones", RangeSpec{Targets: []string{"fe80::2%eth1", "fe80::1%eth0", "fe80::1%eth1", "fe80::1%eth0"}, Exclude: []string{"fe80::1%eth1"}}, nil, []string{"fe80::1%eth0", "fe80::2%eth1"}, 2, 1},
		{"exclusion without zone is for all", RangeSpec{Targets: []string{"fe80::1%eth0", "10.0.0.1"}, Exclude: []string{"fe80::/10"}}, []string{"10.0.0.1/32"}, nil, 1, 1},
		{"overlaps are one", RangeSpec{Targets: []string{"10.0.0.0/25", "10.0.0.0/24", "10.0.0.7"}}, []string{"10.0.0.0/24"}, nil, 256, 0},
		{"exclusion", RangeSpec{Targets: []string{"10.0.0.0/30"}, Exclude: []string{"10.0.0.1", "10.9.0.0/16"}}, []string{"10.0.0.0/32", "10.0.0.2/31"}, nil, 3, 1},
		{"commas", RangeSpec{Targets: []string{"10.0.0.1, 10.0.0.3"}}, []string{"10.0.0.1/32", "10.0.0.3/32"}, nil, 2, 0},
		{"names", RangeSpec{Targets: []string{"both.example", "mapped.example"}}, []string{"10.0.0.10/31", "fd00::10/128"}, nil, 3, 0},
		{"exclusion by address of what a name resolves to", RangeSpec{Targets: []string{"both.example"}, Exclude: []string{"10.0.0.8/29"}}, []string{"fd00::10/128"}, nil, 1, 1},
		{"exclusion by name", RangeSpec{Targets: []string{"10.0.0.8/30"}, Exclude: []string{"both.example"}}, []string{"10.0.0.8/31", "10.0.0.11/32"}, nil, 3, 1},
		{"lists", RangeSpec{
			TargetLists:  []List{list("t", "\ufeff# site A\r\n\r\n10.0.0.0/30 10.0.0.8, # two\n10.0.0.9")},
			ExcludeLists: []List{list("x", "\n# nothing\n"), list("y", "10.0.0.0/31#spare")},
		}, []string{"10.0.0.2/31", "10.0.0.8/31"}, nil, 4, 2},
		{"lists whose lines end with a carriage return alone", RangeSpec{
			Targets:      []string{"10.0.0.0/30"},
			ExcludeLists: []List{list("x", "10.0.0.0 # a printer\r10.0.0.1\r# two\r10.0.0.2\r")},
		}, []string{"10.0.0.3/32"}, nil, 1, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Lookup = lookup
			r, err := ParseRanges(t.Context(), tt.spec)
			if err != nil {
				t.Fatal(err)
			}
			var got, zoned []string
			for _, p := range r.Prefixes() {
				got = append(got, p.String())
			}
			for _, a := range r.Zoned() {
				zoned = append(zoned, a.String())
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("prefixes (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.zoned, zoned); d != "" {
				t.Errorf("zoned (-want +got):\n%s", d)
			}
			if r.Count() != tt.count || r.Excluded() != tt.gone {
				t.Errorf("Count = %d, Excluded = %d; want %d, %d", r.Count(), r.Excluded(), tt.count, tt.gone)
			}
		})
	}
}

func TestParseRangesErrors(t *testing.T) {
	one := []string{"10.0.0.1"}
	for _, tt := range []struct {
		name string
		spec RangeSpec
		want string // the whole message, or its beginning with …
	}{
		{"nothing", RangeSpec{}, "scanner: no target: …"},
		{"empty word", RangeSpec{Targets: []string{""}}, `scanner: target "" is empty: …`},
		{"/33", RangeSpec{Targets: []string{"10.0.0.0/33"}}, `scanner: target "10.0.0.0/33" prefix length "33": want 0 to 32`},
		{"/129", RangeSpec{Targets: []string{"fd00::/129"}}, `scanner: target "fd00::/129" prefix length "129": want 0 to 128`},
		{"no length", RangeSpec{Targets: []string{"10.0.0.0/"}}, `scanner: target "10.0.0.0/" prefix length "": want 0 to 32`},
		{"name with length", RangeSpec{Targets: []string{"one.example/24"}}, `scanner: target "one.example/24" has no plain address before the slash: …`},
		{"URL", RangeSpec{Targets: []string{"http://10.0.0.1/"}}, `scanner: target "http://10.0.0.1/" has no plain address before the slash: …`},
		{"cut through mapped", RangeSpec{Targets: []string{"::ffff:0:0/95"}}, `scanner: target "::ffff:0:0/95" prefix length cuts …`},
		{"reversed range", RangeSpec{Targets: []string{"10.0.1.9-10.0.0.5"}}, `scanner: target "10.0.1.9-10.0.0.5" goes from 10.0.1.9 to 10.0.0.5: want the lower address first, both of one family`},
		{"reversed short range", RangeSpec{Targets: []string{"10.0.0.9-5"}}, `scanner: target "10.0.0.9-5" octet range 9-5 goes backwards: want the lower number first`},
		{"reversed IPv6 range", RangeSpec{Targets: []string{"fd00::9-5"}}, `scanner: target "fd00::9-5" goes from fd00::9 to fd00::5: …`},
		{"two families", RangeSpec{Targets: []string{"::1-::ffff:10.0.0.1"}}, `scanner: target "::1-::ffff:10.0.0.1" goes from …`},
		{"octet 256", RangeSpec{Targets: []string{"10.0.0.256"}}, `scanner: target "10.0.0.256" octet "256": want 0 to 255, a range or *`},
		{"octet 256 in a range", RangeSpec{Targets: []string{"10.0.0.1-10.0.0.256"}}, `scanner: target "10.0.0.1-10.0.0.256" octet "256": want 0 to 255`},
		{"octal", RangeSpec{Targets: []string{"10.0.0.010"}}, `scanner: target "10.0.0.010" octet "010" has a leading zero, which some programs read as octal: want 0 to 255, a range or *`},
		{"leading zero of a length", RangeSpec{Targets: []string{"10.0.0.0/024"}}, `scanner: target "10.0.0.0/024" prefix length "024" has a leading zero, …`},
		{"more than link-local", RangeSpec{Targets: []string{"::/0"}}, `scanner: target "::/0" contains fe80::/10, …`},
		{"link-local network", RangeSpec{Targets: []string{"fe80::/64"}}, `scanner: target "fe80::/64" is link-local: …`},
		{"the only one excluded", RangeSpec{Targets: one, Exclude: one}, `scanner: the only address is excluded: nothing is left to ask`},
		{"three octets", RangeSpec{Targets: []string{"10.0.0"}}, `scanner: target "10.0.0" is no IPv4 address and no host name: …`},
		{"a number", RangeSpec{Targets: []string{"167772161"}}, `scanner: target "167772161" is no IPv4 address and no host name: …`},
		{"five octets", RangeSpec{Targets: []string{"10.0.0.1.2"}}, `scanner: target "10.0.0.1.2" is no IPv4 address and no host name: …`},
		{"half a range", RangeSpec{Targets: []string{"10.0.0.1-"}}, `scanner: target "10.0.0.1-" octet "": …`},
		{"too many pieces", RangeSpec{Targets: []string{"*.*.*.1"}}, `scanner: target "*.*.*.1" stands for 16777216 separate ranges: want at most 65536`},
		{"with a port", RangeSpec{Targets: []string{"10.0.0.1:1947"}}, `scanner: target "10.0.0.1:1947" is no IPv6 form: …`},
		{"IPv6 group", RangeSpec{Targets: []string{"fd00::1-10000"}}, `scanner: target "fd00::1-10000" ends with group "10000": want 0 to ffff`},
		{"zone in a range", RangeSpec{Targets: []string{"fe80::1%eth0-fe80::9%eth0"}}, `scanner: target "fe80::1%eth0-fe80::9%eth0" has a zone: want link-local addresses one by one, as in fe80::1%eth0`},
		{"zone in a CIDR", RangeSpec{Targets: []string{"fe80::1%eth0/64"}}, `scanner: target "fe80::1%eth0/64" has a zone: …`},
		{"zone in the middle", RangeSpec{Targets: []string{"fe80::1-fe80::2%eth0"}}, `scanner: target "fe80::1-fe80::2%eth0" has a zone: …`},
		{"zone of a global address", RangeSpec{Targets: []string{"fd00::1%eth0"}}, `scanner: target "fd00::1%eth0" has a zone and is not link-local: want the address alone`},
		{"link-local without zone", RangeSpec{Targets: []string{"fe80::1"}}, `scanner: target "fe80::1" is link-local: want a zone, one address at a time, as in fe80::1%eth0`},
		{"name to link-local", RangeSpec{Targets: []string{"linklocal.example"}}, `scanner: target "linklocal.example" resolves to fe80::1, which is link-local: …`},
		{"not a name", RangeSpec{Targets: []string{"a_b!.example"}}, `scanner: target "a_b!.example" is no target form: …`},
		{"name like an address", RangeSpec{Targets: []string{"host.10"}}, `scanner: target "host.10" is no target form: …`},
		{"name that does not resolve", RangeSpec{Targets: []string{"gone.example"}}, `scanner: target "gone.example" does not resolve: no such host`},
		{"name without address", RangeSpec{Targets: []string{"nothing.example"}}, `scanner: target "nothing.example" does not resolve: the name has no address`},
		{"exclusion that does not resolve", RangeSpec{Targets: one, Exclude: []string{"gone.example"}}, `scanner: exclusion "gone.example" does not resolve: no such host`},
		{"exclusion of unknown form", RangeSpec{Targets: one, Exclude: []string{"10.0.0"}}, `scanner: exclusion "10.0.0" is no IPv4 …`},
		{"everything excluded", RangeSpec{Targets: []string{"10.0.0.0/24"}, Exclude: []string{"10.0.0.0/8"}}, `scanner: all 256 addresses are excluded: nothing is left to ask`},
		{"multicast", RangeSpec{Targets: []string{"224.0.0.1"}}, `scanner: targets reach into 224.0.0.0/4, …`},
		{"everything", RangeSpec{Targets: []string{"0.0.0.0/0"}}, `scanner: targets reach into 0.0.0.0/8, …`},
		{"empty list", RangeSpec{Targets: one, TargetLists: []List{list("hosts.txt", "# none\n\n")}}, `scanner: hosts.txt: no target in it: want at least one`},
		{"third line of a list", RangeSpec{TargetLists: []List{list("hosts.txt", "10.0.0.1\n#\n10.0.0.2 10.0.0.0/33\n")}}, `scanner: hosts.txt:3: target "10.0.0.0/33" prefix length "33": want 0 to 32`},
		{"line of an exclusion list", RangeSpec{Targets: one, ExcludeLists: []List{list("never.txt", "\nx y\n")}}, `scanner: never.txt:2: exclusion "x" does not resolve: no such host`},
		{"list that cannot be read", RangeSpec{TargetLists: []List{{"hosts.txt", io.MultiReader(strings.NewReader("10.0.0.1\n"), iotest.ErrReader(errors.New("disk gone")))}}},
			`scanner: hosts.txt:2: read targets: disk gone`},
		{"endless line", RangeSpec{TargetLists: []List{{"hosts.txt", bytes.NewReader(bytes.Repeat([]byte{'1'}, 1<<20))}}}, `scanner: hosts.txt:1: a line with targets is too long: want at most 65536 bytes`},
		{"line one byte too long", RangeSpec{TargetLists: []List{list("hosts.txt", "10.0.0.1\n#"+strings.Repeat("x", maxLine)+"\n")}}, `scanner: hosts.txt:2: a line with targets is too long: …`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Lookup = lookup
			_, err := ParseRanges(t.Context(), tt.spec)
			if err == nil {
				t.Fatal("ParseRanges succeeds")
			}
			begin, open := strings.CutSuffix(tt.want, "…")
			if msg := err.Error(); !strings.HasPrefix(msg, begin) || !open && tt.want != "" && msg != tt.want || strings.Contains(msg, "\n") {
				t.Errorf("ParseRanges = %q, want %q", msg, tt.want)
			}
		})
	}
	if _, err := ParseRanges(t.Context(), RangeSpec{Targets: []string{"one.example"}}); err == nil || !strings.Contains(err.Error(), "want an address") {
		t.Errorf("a name without Lookup: %v, want a refusal", err)
	}
}

func TestRangesFacts(t *testing.T) {
	r, err := ParseRanges(t.Context(), RangeSpec{
		Targets: []string{"10.0.0.9/31", "one.example", "one.example.net", "one.example", "both.example", "fd00::/64", "192.0.2.0/30", "fe80::1%eth0"},
		Exclude: []string{"10.0.0.10"}, Lookup: lookup,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.IPv4Count() != 2+4 {
		t.Errorf("IPv4Count = %d, want 6", r.IPv4Count())
	}
	if p, ok := r.Public(); !ok || p.String() != "192.0.2.0/30" {
		t.Errorf("Public = %v, %v; want 192.0.2.0/30", p, ok)
	}
	if d := cmp.Diff([]string{"10.0.0.9/31 is read as 10.0.0.8/31"}, r.Notes()); d != "" {
		t.Errorf("notes (-want +got):\n%s", d)
	}
	want := map[netip.Addr][]string{
		netip.MustParseAddr("10.0.0.9"): {"one.example", "one.example.net"},
		netip.MustParseAddr("fd00::10"): {"both.example"},
	}
	if d := cmp.Diff(want, r.Names(), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	private, err := ParseRanges(t.Context(), RangeSpec{Targets: []string{"10.0.0.0/8", "127.0.0.1", "fd00::1", "fe80::1%lo", "::1", "192.168.1.*"}})
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := private.Public(); ok {
		t.Errorf("Public = %v, want none", p)
	}
}

func TestRangesPlanKeepsZones(t *testing.T) {
	r, err := ParseRanges(t.Context(), RangeSpec{Targets: []string{"fe80::1%eth1", "fe80::1%eth0", "10.0.0.0/31", "fd00::1"}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Plan(ports("1947/tcp", "5093/udp"), 3)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for i := range p.Len() {
		target := p.At(i)
		seen[target.Addr.String()]++
		if j, ok := p.Index(target); !ok || p.natural(j) != target {
			t.Errorf("Index(%v) = %d, %v", target, j, ok)
		}
	}
	want := []string{"10.0.0.0", "10.0.0.1", "fd00::1", "fe80::1%eth0", "fe80::1%eth1"}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want) {
		t.Errorf("addresses = %v, want %v", got, want)
	}
	g, err := r.Guard()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Check(p); err != nil {
		t.Error(err)
	}
}

// FuzzParseForm checks that whatever is understood is a range of addresses in
// order, a zoned address or a name, and that a range prints and parses again.
func FuzzParseForm(f *testing.F) {
	for _, seed := range []string{"10.0.0.5", "10.0.0.0/24", "10.0.0.5-10.0.1.9", "10.0.0.5-9", "10.0.*.*", "10.0.0-3.1-254", "fd00::1-ff",
		"fd00::*", "fe80::1%eth0", "::ffff:10.0.0.0/120", "dev-1.example", "10.0.0.256", "*.*.*.*", "-", "1-2-3.4.5.6"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseForm(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") && !strings.Contains(text, "\n") {
				t.Errorf("parseForm(%q): message of several lines: %q", text, err)
			}
			return
		}
		kinds := 0
		if len(got.ranges) > 0 {
			kinds++
		}
		if got.zoned.IsValid() {
			kinds++
		}
		if got.name != "" {
			kinds++
		}
		if kinds != 1 || len(got.ranges) > maxPieces {
			t.Fatalf("parseForm(%q) = %+v, want exactly one kind", text, got)
		}
		for i, r := range got.ranges {
			if !r.IsValid() || r.From().Is4In6() || i > 0 && !got.ranges[i-1].To().Less(r.From()) {
				t.Fatalf("parseForm(%q): range %v after %v", text, r, got.ranges[max(i-1, 0)])
			}
			again, err := parseForm(r.From().String() + "-" + r.To().String())
			if i == 0 && (err != nil || len(again.ranges) != 1 || again.ranges[0] != r) {
				t.Fatalf("parseForm(%q): %v parses again as %+v, %v", text, r, again, err)
			}
		}
	})
}
