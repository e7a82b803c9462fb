package wire

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"dormant/registry"
)

// TestSipHash holds siphash against values of the definition's appendix A: the
// key 00 01 … 0f and the messages 00 01 … of growing length.
func TestSipHash(t *testing.T) {
	key := [2]uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	for _, tt := range []struct {
		length int
		want   uint64
	}{
		{0, 0x726fdb47dd0e0e31},
		{1, 0x74f839c593dc67fd},
		{8, 0x93f5f5799a932462},
		{15, 0xa129ca6149be45e5},
	} {
		var padded [16]byte
		for i := range tt.length {
			padded[i] = byte(i)
		}
		words := make([]uint64, tt.length/8)
		for i := range words {
			words[i] = binary.LittleEndian.Uint64(padded[8*i:])
		}
		last := binary.LittleEndian.Uint64(padded[tt.length/8*8:]) | uint64(tt.length)<<56
		if got := siphash(key, words, last); got != tt.want {
			t.Errorf("siphash of %d bytes = %#x, want %#x", tt.length, got, tt.want)
		}
	}
}

func randomAddr(r *rand.Rand, v6 bool) netip.Addr {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], r.Uint64())
	binary.LittleEndian.PutUint64(b[8:], r.Uint64())
	if v6 {
		b[0] = 0x20 // never an IPv4-mapped one
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[:4]))
}

// TestCookieKnowsItsAttempts shows that every attempt of every target is
// recognised as itself, and that nothing else is.
func TestCookieKnowsItsAttempts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	c := cookies{key: [2]uint64{r.Uint64(), r.Uint64()}, ports: SourcePorts{0xf000}}
	strangers := 0
	for i := range 20000 {
		src, dst := randomAddr(r, i%2 == 0), randomAddr(r, i%2 == 0)
		port := registry.Port{Number: uint16(r.Uint32()), Proto: registry.TCP}
		s := c.of(src, dst, port)
		if s != c.of(src, dst, port) {
			t.Fatalf("the secret of %v is not stable", dst)
		}
		for attempt := range uint8(attempts) {
			got, ok := c.attemptOf(s, c.sourcePort(s, attempt))
			if !ok || got != attempt || !c.ports.Contains(c.sourcePort(s, attempt)) {
				t.Fatalf("attempt %d of %v is taken for %d, %t", attempt, dst, got, ok)
			}
			for other := range attempt {
				if s.sequence(attempt) == s.sequence(other) {
					t.Fatalf("attempts %d and %d of %v share a sequence number", attempt, other, dst)
				}
			}
		}
		if got, ok := c.attemptOf(s, c.sourcePort(s, 3)+1); ok && c.ports.Contains(c.sourcePort(s, 3)+1) {
			t.Fatalf("the port behind the last attempt of %v is taken for attempt %d", dst, got)
		}
		udp := registry.Port{Number: port.Number, Proto: registry.UDP}
		if s == c.of(src, dst, udp) || s == c.of(dst, src, port) {
			t.Fatalf("two questions to %v share a secret", dst)
		}
		if _, ok := c.attemptOf(c.of(src, dst, udp), c.sourcePort(s, 0)); ok {
			strangers++
		}
	}
	// a strange port is accepted for 4 of 4,096: 20 of 20,000, here at most twice that
	if strangers > 40 {
		t.Errorf("%d of 20000 strange source ports were accepted, want about 20", strangers)
	}
}

func TestChooseSourcePorts(t *testing.T) {
	tcp := func(numbers ...uint16) (all []registry.Port) {
		for _, n := range numbers {
			all = append(all, registry.Port{Number: n, Proto: registry.TCP})
		}
		return all
	}
	for _, tt := range []struct {
		name      string
		low, high uint16
		asked     []registry.Port
		want      uint16
	}{
		{"default of Linux", 32768, 60999, tcp(1947, 3588), 0xf000},
		{"top asked", 32768, 60999, tcp(61440), 0x7000},
		{"kernel has the top", 32768, 65535, tcp(1947), 0x7000},
		{"kernel has the first of the top", 32768, 61440, tcp(1947), 0x7000},
		{"kernel has up to the top", 32768, 61439, tcp(1947), 0xf000},
		{"kernel has from the last of a block", 0x7fff, 65535, tcp(1947), 0x6000},
		{"kernel has all", 1024, 65535, tcp(1947), 0xf000},
		{"kernel has all, top asked", 1024, 65535, tcp(65535), 0xe000},
		{"only the first two are free", 20000, 65535, tcp(8192, 12288, 16384, 20480, 24576, 28672, 32768, 36864, 40960, 45056, 49152, 53248, 57344, 61440), 0xf000},
		{"all asked", 1024, 65535, tcp(8192, 12288, 16384, 20480, 24576, 28672, 32768, 36864, 40960, 45056, 49152, 53248, 57344, 61440), 0xf000},
	} {
		if got := ChooseSourcePorts(tt.low, tt.high, tt.asked); got.First != tt.want {
			t.Errorf("%s: first source port %#x, want %#x", tt.name, got.First, tt.want)
		}
	}
}

func TestSendTimes(t *testing.T) {
	var times sendTimes
	s := secret(0x123456789abcdef0)
	if _, rtt := times.get(s, 0, 5000); rtt != 0 {
		t.Errorf("an empty table gives the round-trip time %v", rtt)
	}
	times.put(s, 5, 1<<32-100) // the clock wraps on the way
	if attempt, rtt := times.get(s, 1, 1<<32+150); attempt != 5 || rtt.Microseconds() != 250 {
		t.Errorf("attempt %d after %v, want 5 after 250µs", attempt, rtt)
	}
	if attempt, rtt := times.get(s, 2, 1<<32+150); attempt != 2 || rtt != 0 {
		t.Errorf("an older attempt has %d, %v, want 2 and unknown", attempt, rtt)
	}
	times.put(s^1<<50, 5, 1<<32) // another target of the same place
	if _, rtt := times.get(s, 1, 1<<32+150); rtt != 0 {
		t.Errorf("an overwritten entry gives %v", rtt)
	}
	for micros, want := range map[uint32]time.Duration{0: time.Microsecond, 1: time.Microsecond, 60_000_000: time.Minute, 60_000_001: 0} {
		if got := roundTrip(micros); got != want {
			t.Errorf("roundTrip(%d) = %v, want %v", micros, got, want)
		}
	}
	if _, rtt := times.get(s^1<<50, 1, 1<<32-20); rtt != 0 {
		t.Errorf("a clock that was set back gives %v", rtt)
	}
}

func BenchmarkCookie(b *testing.B) {
	for _, bb := range []struct{ name, src, dst string }{
		{"ipv4", "10.0.0.1", "10.0.0.2"},
		{"ipv6", "fd00::1", "fd00::2"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			c := cookies{key: [2]uint64{1, 2}}
			src, dst := netip.MustParseAddr(bb.src), netip.MustParseAddr(bb.dst)
			b.ReportAllocs()
			for b.Loop() {
				c.of(src, dst, registry.Port{Number: 1947, Proto: registry.TCP})
			}
		})
	}
}
