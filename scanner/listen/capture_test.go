package listen

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// recorded is one frame as ReadCapture hands it out.
type recorded struct {
	Link  LinkType
	Frame string
	At    time.Time
}

func readAll(t testing.TB, b []byte) ([]recorded, error) {
	t.Helper()
	var all []recorded
	err := ReadCapture(t.Context(), "x", bytes.NewReader(b), func(source string, link LinkType, frame []byte, at time.Time) {
		if source != "x" {
			t.Errorf("source = %q", source)
		}
		all = append(all, recorded{link, string(frame), at.UTC()})
	})
	return all, err
}

// frames are what the written files hold.
func frames(t testing.TB) [][]byte {
	return [][]byte{
		said{from: c1, to: srv, sport: 51234, dport: 1947, flags: "S"}.frame(t),
		said{from: srv, to: c1, sport: 1947, dport: 51234, flags: "SA"}.frame(t),
		{1, 2, 3}, // not a multiple of four
	}
}

func writeCapture(t testing.TB, kind string) []byte {
	t.Helper()
	var b bytes.Buffer
	write := func(w interface {
		WritePacket(gopacket.CaptureInfo, []byte) error
	}) {
		for i, f := range frames(t) {
			check(t, w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1700000000+int64(i), 123456000), CaptureLength: len(f), Length: len(f)}, f))
		}
	}
	switch kind {
	case "pcap":
		w := pcapgo.NewWriter(&b)
		check(t, w.WriteFileHeader(65536, layers.LinkTypeEthernet))
		write(w)
	case "pcap nano":
		w := pcapgo.NewWriterNanos(&b)
		check(t, w.WriteFileHeader(65536, layers.LinkTypeEthernet))
		write(w)
	case "pcapng":
		w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
		check(t, err)
		write(w)
		check(t, w.Flush())
	}
	return b.Bytes()
}

func TestReadCapture(t *testing.T) {
	var want []recorded
	for i, f := range frames(t) {
		want = append(want, recorded{LinkEthernet, string(f), unix(1700000000+int64(i), 123456000)})
	}
	for _, kind := range []string{"pcap", "pcap nano", "pcapng"} {
		b := writeCapture(t, kind)
		got, err := readAll(t, b)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", kind, err, d)
		}
		got, err = readAll(t, b[:len(b)-2])
		if len(got) != 2 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s, cut: %d frames, %v; want 2 and an unexpected end", kind, len(got), err)
		}
	}
}

// TestReadCaptureBigEndian swaps nothing by hand: the bytes are those of the
// format's description.
func TestReadCaptureBigEndian(t *testing.T) {
	ng := []byte{
		0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28, 0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 28,
		0, 0, 0, 1, 0, 0, 0, 44, 0, 101, 0, 0, 0, 0, 0, 2, // raw, at most 2 bytes
		0, 9, 0, 1, 0x8a, 0, 0, 0, // time in 1/1024 s
		0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 100, // 100 s later
		0, 0, 0, 0, 0, 0, 0, 44,
		0, 0, 0, 6, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 1, 0, 0, 0, 1, 'a', 0, 0, 0, 0, 0, 0, 36,
		0, 0, 0, 3, 0, 0, 0, 20, 0, 0, 0, 9, 'b', 'c', 'd', 'e', 0, 0, 0, 20,
		0, 0, 0, 2, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 1, 0, 0, 0, 1, 'f', 0, 0, 0, 0, 0, 0, 36,
	}
	got, err := readAll(t, ng)
	want := []recorded{
		{LinkRaw, "a", unix(101, 5e8)}, // 0x600 / 1024 = 1.5
		{LinkRaw, "bc", time.Time{}},
		{LinkRaw, "f", unix(101, 0)},
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

func TestReadCaptureFaults(t *testing.T) {
	pcap, ng := writeCapture(t, "pcap"), writeCapture(t, "pcapng")
	patched := func(b []byte, at int, with ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], with)
		return b
	}
	for _, tt := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "listen: x: not a capture file"},
		{"text", []byte("hello, this is no capture"), "listen: x: byte 0: it begins with 68656c6c: want a pcap or pcapng file"},
		{"a frame of 2 GB", patched(pcap, 24+8, 0, 0, 0, 0x80), "listen: x: byte 24: a frame of 2147483648 bytes: want at most 262144"},
		{"a block of 4 GB", patched(ng, 4, 0xfc, 0xff, 0xff, 0xff), "listen: x: byte 0: a block of 4294967292 bytes"},
		{"a block of nothing", patched(ng, 4, 0, 0, 0, 0), "listen: x: byte 0: a block of 0 bytes"},
		{"no byte order", patched(ng, 8, 0, 0, 0, 0), "listen: x: byte 0: byte order 00000000"},
	} {
		_, err := readAll(t, tt.b)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s…", tt.name, err, tt.want)
		}
	}
}

// TestReadCaptureBlocks: a block of pcapng that claims more than it has is an
// error that says so, and what a section before it described is forgotten.
func TestReadCaptureBlocks(t *testing.T) {
	section := []byte{0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28, 0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 28}
	block := func(kind byte, body ...byte) []byte {
		n := byte(12 + len(body))
		return slices.Concat([]byte{0, 0, 0, kind, 0, 0, 0, n}, body, []byte{0, 0, 0, n})
	}
	iface := func(options ...byte) []byte { return block(1, append([]byte{0, 101, 0, 0, 0, 0, 0, 0}, options...)...) }
	packet := append(make([]byte, 15), 4, 0, 0, 0, 4) // 4 bytes of interface 0
	for _, tt := range []struct {
		name   string
		blocks [][]byte
		want   string // "": one frame
	}{
		{"an enhanced packet", [][]byte{iface(), block(6, append(packet, "abcd"...)...)}, ""},
		{"a simple packet", [][]byte{iface(), block(3, 0, 0, 0, 4, 'a', 'b', 'c', 'd')}, ""},
		{"an empty simple packet", [][]byte{iface(), block(3, 0, 0, 0, 0)}, ""},
		{"an empty packet", [][]byte{iface(), block(2, make([]byte, 20)...)}, ""},
		{"options to the end", [][]byte{iface(0, 9, 0, 1, 0x13, 0, 0, 0), block(6, make([]byte, 20)...)}, ""},
		{"options behind their end", [][]byte{iface(0, 0, 0, 0, 0, 2, 0, 99), block(6, make([]byte, 20)...)}, ""},
		{"an option that is longer", [][]byte{iface(0, 2, 0, 5, 1, 2, 3, 4)}, "option 2 of an interface has 5 bytes, there are 4"},
		{"no such resolution", [][]byte{iface(0, 9, 0, 1, 0x14, 0, 0, 0)}, "an interface with a resolution of time beyond 64 bits"},
		{"no such resolution in bits", [][]byte{iface(0, 9, 0, 1, 0xc0, 0, 0, 0)}, "an interface with a resolution of time beyond 64 bits"},
		{"a short interface", [][]byte{block(1, 0, 101, 0, 0)}, "an interface description of 4 bytes"},
		{"a short enhanced packet", [][]byte{iface(), block(6, make([]byte, 16)...)}, "an enhanced packet block of 16 bytes"},
		{"a short packet", [][]byte{iface(), block(2, make([]byte, 16)...)}, "a packet block of 16 bytes"},
		{"a short simple packet", [][]byte{iface(), block(3)}, "a simple packet block without"},
		{"a simple packet of nobody", [][]byte{block(3, 0, 0, 0, 0)}, "a simple packet block without"},
		{"a packet of nobody", [][]byte{block(6, make([]byte, 20)...)}, "a packet of interface 0: the section describes 0"},
		{"a packet of the section before", [][]byte{iface(), section, block(6, make([]byte, 20)...)}, "a packet of interface 0: the section describes 0"},
		{"a longer frame", [][]byte{iface(), block(6, append(make([]byte, 15), 5, 0, 0, 0, 5, 'a', 'b', 'c', 'd')...)}, "a frame of 5 bytes in a block that has room for 4"},
	} {
		blocks := slices.Concat(tt.blocks...)
		got, err := readAll(t, slices.Concat(section, blocks))
		if whole := "abcd"; tt.want == "" && len(got) == 1 && bytes.Contains(blocks, []byte(whole)) && got[0].Frame != whole {
			t.Errorf("%s: frame %q, want all of %q", tt.name, got[0].Frame, whole)
		}
		if tt.want == "" && (err != nil || len(got) != 1) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %d frames, %v; want %q", tt.name, len(got), err, tt.want)
		}
	}
}

// FuzzReadCapture holds that no file makes the reader panic or hand out more
// bytes than it has.
func FuzzReadCapture(f *testing.F) {
	for _, kind := range []string{"pcap", "pcap nano", "pcapng"} {
		f.Add(writeCapture(f, kind))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		all, _ := readAll(t, b)
		for _, r := range all {
			n += len(r.Frame)
		}
		if n > len(b) {
			t.Fatalf("%d bytes of frames out of %d", n, len(b))
		}
	})
}
