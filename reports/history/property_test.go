package history_test

import (
	"net/netip"
	"strings"
	"testing"

	"dormant/reports/history"
	"dormant/scanner"
)

// A password that stands where passwords stand is not shown, and is in no error
// that says what is wrong with its URL.
func FuzzPassword(f *testing.F) {
	f.Add("user", "a", "b", "host:5432", "db?sslmode=x")
	f.Add("", "@", "/", "", "?password=")
	f.Add("u", "#", "?", "[::1", "db?sslmode=verify-full&password=")
	f.Add("u", "%", "`: ", "h", "")
	f.Fuzz(func(t *testing.T, user, before, behind, host, rest string) {
		const secret = "s3cr3t"
		for _, s := range []string{user, before, behind, host, rest} {
			if strings.Contains(s, secret) || strings.Contains(s, "3") { // found by chance
				return
			}
		}
		if strings.ContainsAny(user, ":@/?#") || strings.ContainsAny(host, "@/?#") || strings.Contains(rest, "@") {
			return // the password would stand elsewhere
		}
		url := "postgres://" + user + ":" + before + secret + behind + "@" + host + "/" + rest
		if got := history.PublicName(url); strings.Contains(got, secret) {
			t.Errorf("PublicName(%q) = %q", url, got)
		}
		if err := history.ReadURL(url); err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the error of %q is %q", url, err)
		}
	})
}

// The set says of every target what a map of them says.
func FuzzTargetSet(f *testing.F) {
	f.Add([]byte{0, 1, 2, 255, 254, 1, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		set, want := history.NewTargets(), map[scanner.Target]bool{}
		for i := 0; i+1 < len(in); i += 2 {
			target := scanner.Target{Addr: netip.AddrFrom4([4]byte{10, 0, in[i] & 1, in[i+1]}), Port: ports()[int(in[i]>>1)%3]}
			switch in[i] >> 6 {
			case 1:
				target.Addr = netip.AddrFrom16([16]byte{0: 0xfe, 15: in[i+1]})
			case 2:
				target.Addr = netip.AddrFrom16([16]byte{0: 0xfe, 15: in[i+1]}).WithZone("eth0")
			case 3:
				target.Addr = netip.AddrFrom16(target.Addr.As16()) // mapped is another address
			}
			if set.Has(target) != want[target] {
				t.Fatalf("has %v = %t, want %t", target, set.Has(target), want[target])
			}
			if added := set.Add(target); added == want[target] {
				t.Fatalf("add %v = %t", target, added)
			}
			want[target] = true
		}
	})
}

// The range of a prefix holds the keys of its addresses, and no other.
func FuzzKeyRange(f *testing.F) {
	f.Add([]byte{10, 0, 0, 1}, 24, []byte{10, 0, 0, 255})
	f.Add([]byte{255, 255, 255, 255}, 32, []byte{255, 255, 255, 254})
	f.Add([]byte{0: 0xff, 15: 0xff}, 0, []byte{0: 0xff, 15: 0xff})
	f.Add([]byte{0: 0xfe, 15: 1}, 128, []byte{0: 0xfe, 15: 2})
	f.Fuzz(func(t *testing.T, in []byte, bits int, other []byte) {
		a, ok := netip.AddrFromSlice(in)
		b, ok2 := netip.AddrFromSlice(other)
		p, err := a.Prefix(bits)
		if !ok || !ok2 || err != nil || a.Is4In6() || b.Is4In6() {
			return
		}
		for _, zone := range []string{"", "eth0"} {
			x := b
			if x.Is6() {
				x = x.WithZone(zone)
			}
			got := history.InRange(p, scanner.Target{Addr: x, Port: ports()[0]})
			if want := p.Contains(b); got != want {
				t.Errorf("%v in the range of %v: %t, want %t", x, p, got, want)
			}
		}
	})
}
