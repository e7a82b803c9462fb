package fingerprint

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeLMSearch(t *testing.T) {
	const real = "Su2oVSt4AABHZW50cmljZV9BUENfZ3Vlc3QAbWUA" // a broadcast recorded in 2016
	for _, tt := range []struct {
		name     string
		datagram string
		want     LMSearch
		ok       bool
	}{
		{name: "recorded", datagram: real, want: LMSearch{Created: time.Unix(0x55a8ed4a, 0).UTC(), Number: 30763, Host: "Gentrice_APC_guest"}, ok: true},
		{name: "no host name", datagram: string(LMSearch{Created: time.Unix(7, 0), Number: 1}.Encode()), want: LMSearch{Created: time.Unix(7, 0).UTC(), Number: 1}, ok: true},
		{name: "a name that no computer has", datagram: base64.StdEncoding.EncodeToString([]byte("\x01\x02\x03\x04\x05\x06\x07\x08any bytes\x01that end so\x00"))},
		{name: "control character before the filler", datagram: string(LMSearch{Host: "a\x1bb"}.Encode())},
		{name: "a name beyond ASCII", datagram: string(LMSearch{Created: time.Unix(7, 0), Host: "B\xdcRO-PC"}.Encode()), want: LMSearch{Created: time.Unix(7, 0).UTC(), Host: "B\xdcRO-PC"}, ok: true},
		{name: "filler broken", datagram: "Su2oVSt4AABHZW50cmljZV9BUENfZ3Vlc3QAeHgA"},
		{name: "last byte not zero", datagram: "Su2oVSt4AABHZW50cmljZV9BUENfZ3Vlc3QAbWUB"},
		{name: "short", datagram: real[:36]},
		{name: "long", datagram: real + "AAAA"},
		{name: "line end inside", datagram: real[:39] + "\n"},
		{name: "not Base64", datagram: strings.Repeat("?", 40)},
		{name: "empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := DecodeLMSearch([]byte(tt.datagram))
			if ok != tt.ok {
				t.Fatalf("ok = %t, want %t", ok, tt.ok)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("DecodeLMSearch (-want +got):\n%s", d)
			}
			if ok && string(got.Encode()) != tt.datagram {
				t.Errorf("Encode = %s, want %s", got.Encode(), tt.datagram)
			}
		})
	}
}

func TestEncodeLMSearchCutsNames(t *testing.T) {
	for _, tt := range []struct{ host, want string }{
		{"dormant", "dormant"},
		{"abcdefghijklmnopqrstu", "abcdefghijklmnopqrstu"},      // 21 bytes, the longest
		{"abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstu"}, // cut
		{"a\x00b", "a"},
	} {
		s, ok := DecodeLMSearch(LMSearch{Host: tt.host}.Encode())
		if !ok || s.Host != tt.want {
			t.Errorf("host %q comes back as %q, %t; want %q", tt.host, s.Host, ok, tt.want)
		}
	}
}

// FuzzDecodeLMSearch: what is accepted is exactly what Encode writes.
func FuzzDecodeLMSearch(f *testing.F) {
	f.Add([]byte("Su2oVSt4AABHZW50cmljZV9BUENfZ3Vlc3QAbWUA"))
	f.Add([]byte("Su2oVSt4AABHZW50cmljZV9BUENfZ3Vlc3QAeHgA"))
	f.Add(LMSearch{Host: "dormant", Number: 1}.Encode())
	f.Fuzz(func(t *testing.T, datagram []byte) {
		s, ok := DecodeLMSearch(datagram)
		if ok && string(s.Encode()) != string(datagram) {
			t.Errorf("%q decodes to %+v, which encodes to %q", datagram, s, s.Encode())
		}
	})
}
