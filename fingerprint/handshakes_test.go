package fingerprint

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNetHASP(t *testing.T) {
	good := append(append([]byte{0xf2, 0xfa}, bytes.Repeat([]byte{0xf2}, 60)...), make([]byte, 8)...)
	other := append(bytes.Repeat([]byte{0xc3}, 62), make([]byte, 8)...)
	for _, tt := range []struct {
		name           string
		sent, received []byte
		want           bool
	}{
		{"recorded", []byte("\r\n\r\n"), good, true},
		{"another first byte", []byte{0x3c, 1}, other, true},
		{"key of another request", []byte("\r\n\r\n"), other, false},
		{"two bytes differ", []byte("\r\n\r\n"), replaced(good, 5, 0), true},
		{"three bytes differ", []byte("\r\n\r\n"), replaced(replaced(good, 5, 0), 6, 0), false},
		{"echo", []byte("\r\n\r\n"), []byte("\r\n\r\n"), false},
		{"70 bytes, all the key", []byte("\r\n\r\n"), bytes.Repeat([]byte{0xf2}, 70), false},
		{"69 bytes", []byte("\r\n\r\n"), good[:69], false},
		{"71 bytes", []byte("\r\n\r\n"), append(bytes.Clone(good), 0), false},
		{"all zero", []byte{0xff, 0xff}, make([]byte, 70), false},
		{"request too long for the rule", []byte("GET / HTTP/1.0\r\n\r\n"), append(bytes.Repeat([]byte{0xff ^ 'G'}, 62), make([]byte, 8)...), false},
		{"nothing", []byte("\r\n\r\n"), nil, false},
	} {
		if _, got := nethasp(Exchange{Sent: tt.sent, Received: tt.received}); got != tt.want {
			t.Errorf("%s: nethasp = %t, want %t", tt.name, got, tt.want)
		}
	}
}

func replaced(b []byte, at int, c byte) []byte {
	b = bytes.Clone(b)
	b[at] = c
	return b
}

func TestRMS(t *testing.T) {
	request := unhex(t, "72fe1d13 00000000 00000002 000186a0 0001977c"+strings.Repeat("00", 20))
	reply := append(bytes.Clone(request[:12]), rmsConstant...)
	traffic := unhex(t, "00000f62 00000000 2d1f4837 2c302d3143397e7b2a744044513a33293d3d404452483e25")
	answer := unhex(t, "00000f62 00000000 2d1f4837 5a5b5057655c4d7b673e4145332874294c404337473b4025")
	for _, tt := range []struct {
		name           string
		sent, received []byte
		stream, filler bool
	}{
		{"published sample", request, reply, true, true},
		{"a longer answer", request, append(bytes.Clone(reply), 0xff, 0xfe), true, false},
		{"the certain part of the constant alone", request, reply[:29], true, false},
		{"one byte less", request, reply[:28], false, false},
		{"header not echoed", request, replaced(reply, 0, 1), false, false},
		{"echo", request, request, false, false},
		{"recorded traffic", traffic, answer, false, true},
		{"recorded traffic with its NUL", traffic, append(bytes.Clone(answer), 0), false, true},
		{"filler broken", traffic, replaced(answer, 12+15, 'x'), false, false},
		{"not printable", traffic, replaced(answer, 12+3, 0x80), false, false},
		{"too short to tell", traffic, answer[:30], false, false},
		{"echo of traffic", traffic, traffic, false, false},
		{"empty datagram sent", nil, reply, false, false},
	} {
		ex := Exchange{Sent: tt.sent, Received: tt.received}
		if _, got := rmsStream(ex); got != tt.stream {
			t.Errorf("%s: rmsStream = %t, want %t", tt.name, got, tt.stream)
		}
		if _, got := rmsFiller(ex); got != tt.filler {
			t.Errorf("%s: rmsFiller = %t, want %t", tt.name, got, tt.filler)
		}
	}
}

func TestWithoutEcho(t *testing.T) {
	const get = "GET / HTTP/1.0\r\n\r\n"
	for _, tt := range []struct{ name, sent, received, want string }{
		{"whole", get, get, ""},
		{"cut short", get, "GET / HT", ""},
		{"line ends changed", get, "GET / HTTP/1.0\n\n", ""},
		{"terminal, then a shell", get, get + "sh: GET: not found\n", "sh: GET: not found\n"},
		{"terminal with other line ends", get, "GET / HTTP/1.0\n\nsh: GET: not found\n", "sh: GET: not found\n"},
		{"an answer", get, "HTTP/1.0 200 OK\r\n", "HTTP/1.0 200 OK\r\n"},
		{"begins alike", get, "GET out of here", "GET out of here"},
		{"too short to be one", get, "GET", "GET"},
		{"nothing sent", "", "220 hello\r\n", "220 hello\r\n"},
		{"two bytes sent", "\r\n", "\r\n", "\r\n"},
		{"nothing received", get, "", ""},
	} {
		if got := string(withoutEcho([]byte(tt.sent), []byte(tt.received))); got != tt.want {
			t.Errorf("%s: withoutEcho = %q, want %q", tt.name, got, tt.want)
		}
	}
}

// FuzzHandshakes: nothing that is only the question again is ever recognised
// as a license manager, and what is recognised survives no change of its key.
func FuzzHandshakes(f *testing.F) {
	f.Add([]byte("\r\n\r\n"), append(bytes.Repeat([]byte{0xf2}, 62), make([]byte, 8)...))
	f.Add(unhex(f, "72fe1d130000000000000002000186a00001977c"), []byte(rmsConstant))
	f.Fuzz(func(t *testing.T, sent, received []byte) {
		echo := Exchange{Probe: ProbeUDP, Sent: sent, Received: bytes.Clone(sent)}
		both := Exchange{Probe: ProbeUDP, Sent: sent, Received: received}
		for name, rule := range handshakes() {
			rule(both) // must not fail on anything
			if name == "echo" {
				continue
			}
			if _, ok := rule(echo); ok {
				t.Errorf("%s recognises an echo of %x", name, sent)
			}
		}
		if _, ok := nethasp(both); ok {
			if _, ok := nethasp(Exchange{Sent: replaced(sent, 0, ^sent[0]), Received: received}); ok {
				t.Errorf("nethasp does not depend on the request")
			}
		}
		if rest := withoutEcho(sent, received); !bytes.HasSuffix(received, rest) {
			t.Errorf("withoutEcho(%q, %q) = %q is no end of it", sent, received, rest)
		}
	})
}
