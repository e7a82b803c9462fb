package fingerprint

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/registry"
)

func TestShapeOf(t *testing.T) {
	silence := nothing(1, ProbeSilence, EndTimeout, quiet)
	for _, tt := range []struct {
		name      string
		exchanges []Exchange
		want      Shape
	}{
		{"nothing held", nil, ""},
		{"speaks", []Exchange{answer(1, ProbeSilence, "220 x\r\n")}, shapeSpeaks},
		{"HTTP", []Exchange{silence, answer(1, ProbeGet10, plainPage)}, shapeHTTP},
		{"TLS without HTTP", []Exchange{silence, nothing(1, ProbeGet10, EndFin, 0), {Conn: 2, Probe: ProbeTLS, TLS: &TLSInfo{}, End: EndReply}}, shapeTLS},
		{"HTTP inside TLS", []Exchange{silence, {Conn: 2, Probe: ProbeTLS, TLS: &TLSInfo{}}, inside(answer(2, ProbeGet11, plainPage))}, shapeHTTP},
		{"answers", []Exchange{silence, answer(1, ProbeGet10, "-ERR x\r\n")}, shapeAnswers},
		{"closes on TLS", []Exchange{silence, nothing(1, ProbeGet10, EndTimeout, 0), nothing(2, ProbeTLS, EndFin, 0)}, shapeClosesOnTLS},
		{"closes on text", []Exchange{silence, nothing(1, ProbeGet10, EndFin, 0), nothing(2, ProbeTLS, EndFin, 0)}, shapeClosesOnText},
		{"resets on text", []Exchange{silence, nothing(1, ProbeGet10, EndRst, 0), nothing(2, ProbeTLS, EndRst, 0)}, shapeResetsOnText},
		{"resets on the longer hello", []Exchange{silence, nothing(1, ProbeGet10, EndFin, 0), nothing(2, ProbeTLS, EndRst, 0)}, shapeResetsOnTLS},
		{"closes after its own silence", []Exchange{nothing(1, ProbeSilence, EndFin, 2*time.Second), nothing(2, ProbeTLS, EndRst, 0)}, shapeClosesAfterSilence},
		{"closes at once", []Exchange{nothing(1, ProbeSilence, EndFin, time.Millisecond), nothing(2, ProbeTLS, EndFin, 0)}, shapeClosesAtOnce},
		{"silent", []Exchange{silence, nothing(1, ProbeGet10, EndTimeout, 5*time.Second), nothing(2, ProbeTLS, EndTimeout, 5*time.Second)}, shapeSilent},
		{"UDP answer", []Exchange{{Probe: ProbeUDP, Received: []byte("x"), End: EndReply}}, shapeAnswers},
	} {
		if got := shapeOf(Evidence{Exchanges: tt.exchanges}); got != tt.want {
			t.Errorf("%s: shapeOf = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestNextProbe(t *testing.T) {
	rules := defaults(t)
	silence := nothing(1, ProbeSilence, EndTimeout, quiet)
	page := []Exchange{silence, answer(1, ProbeGet10, plainPage)}
	with := func(more ...Exchange) []Exchange { return append(slices.Clone(page), more...) }
	for _, tt := range []struct {
		name      string
		exchanges []Exchange
		want      string
	}{
		{"silent so far", []Exchange{silence, nothing(1, ProbeGet10, EndTimeout, 5*time.Second)}, ProbeTLS},
		{"plain page", page, ProbeGet11},
		{"plain page twice, no name: the error text", with(answer(2, ProbeGet11, plainPage)), ProbeTLS},
		{"then the not-found page", with(answer(2, ProbeGet11, plainPage), answer(3, ProbeTLS, "HTTP/1.1 400 x\r\n\r\n")), ProbeGet404},
		{"all asked", with(answer(2, ProbeGet11, plainPage), answer(3, ProbeTLS, "HTTP/1.1 400 x\r\n\r\n"), answer(4, ProbeGet404, plainPage)), ""},
		{"named", []Exchange{silence, answer(1, ProbeGet10, "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\r\n"), answer(2, ProbeGet11, "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\r\n")}, ""},
		{"it wants TLS", []Exchange{silence, answer(1, ProbeGet10, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")}, ProbeTLS},
		{"HTTP inside TLS, no name", []Exchange{silence, nothing(1, ProbeGet10, EndFin, 0), {Conn: 2, Probe: ProbeTLS, TLS: &TLSInfo{}}, inside(answer(2, ProbeGet11, plainPage))}, ProbeGet404},
		{"HTTP/1.0 inside TLS, no name: no plain page", []Exchange{silence, nothing(1, ProbeGet10, EndFin, 0), {Conn: 2, Probe: ProbeTLS, TLS: &TLSInfo{}}, inside(answer(2, ProbeGet10, plainPage))}, ProbeGet404},
		{"TLS, nothing inside", []Exchange{silence, nothing(1, ProbeGet10, EndFin, 0), {Conn: 2, Probe: ProbeTLS, TLS: &TLSInfo{}}, inside(nothing(2, ProbeGet11, EndTimeout, 0))}, ""},
	} {
		if got := rules.nextProbe(Evidence{Exchanges: tt.exchanges}); got != tt.want {
			t.Errorf("%s: nextProbe = %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestOpeners: what is sent, to whom, and never more than is safe.
func TestOpeners(t *testing.T) {
	rules := defaults(t)
	for _, o := range rules.Openers() {
		if n := len(o.Send); n == 0 || n > 256 {
			t.Errorf("%s sends %d bytes", o.ID, n)
		}
	}
	tcp := func(n uint16) registry.Port { return registry.Port{Number: n, Proto: registry.TCP} }
	udp := func(n uint16) registry.Port { return registry.Port{Number: n, Proto: registry.UDP} }
	for _, tt := range []struct {
		port registry.Port
		id   string
		send string
	}{
		{tcp(1947), "hasp_get", "GET / HTTP/1.0\r\n\r\n"}, {tcp(475), "nethasp", "\r\n\r\n"},
		{tcp(5093), "", ""}, {tcp(3588), "", ""}, {tcp(3712), "", ""}, {tcp(3047), "", ""},
	} {
		o, ok := rules.firstOpener(tt.port)
		if ok != (tt.id != "") || o.ID != tt.id || string(o.Send) != tt.send {
			t.Errorf("firstOpener(%v) = %q %q, want %q %q", tt.port, o.ID, o.Send, tt.id, tt.send)
		}
	}
	rms := unhex(t, "72fe1d13000000000000000002000186a00001977c")
	if got := rules.Payload(udp(5093)); len(got) != 40 || string(got[:4]) != string(rms[:4]) {
		t.Errorf("Payload(5093/udp) = %x", got)
	}
	for _, port := range []registry.Port{udp(475), udp(3047), udp(3588), udp(3712), tcp(1947), tcp(5093)} {
		if got := rules.Payload(port); got != nil {
			t.Errorf("Payload(%v) = %x, want none: nothing is known to send", port, got)
		}
	}
	s, ok := DecodeLMSearch(rules.Payload(udp(1947)))
	if !ok || s.Host != "dormant" {
		t.Errorf("Payload(1947/udp) is %+v, %t; want a search of host dormant", s, ok)
	}
	want := LMSearch{Created: time.Unix(1700000000, 0).UTC(), Number: 1}
	got, _ := DecodeLMSearch(rules.WithSearch(&want).Payload(udp(1947)))
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("WithSearch (-want +got):\n%s", d)
	}
	if got := rules.WithSearch(nil).Payload(udp(1947)); len(got) != 0 {
		t.Errorf("without discovery, Payload(1947/udp) = %x", got)
	}
}

func TestStageTwo(t *testing.T) {
	rules := defaults(t)
	for _, shape := range []Shape{shapeHTTP, shapeTLS, ""} {
		if list := rules.stageTwo(shape); len(list) > 0 {
			t.Errorf("stageTwo(%q) = %v, want none", shape, list)
		}
	}
	for shape, want := range map[Shape][]string{
		shapeClosesOnText:       {"pg_sslrequest", "mqtt_connect", "socks5_greeting", "x11_setup", "amqp091", "rdp_x224_cr"},
		shapeResetsOnText:       {"mqtt_connect", "rdp_x224_cr"},
		shapeResetsOnTLS:        {"socks5_greeting"},
		shapeSilent:             {"dns_tcp_root_ns", "smb2_negotiate", "rdp_x224_cr"},
		shapeClosesOnTLS:        {"ldap_rootdse", "pg_sslrequest", "mqtt_connect"},
		shapeClosesAfterSilence: {"jdwp_handshake"},
	} {
		var got []string
		for _, o := range rules.stageTwo(shape) {
			got = append(got, o.ID)
		}
		got = got[:min(len(got), len(want))] // what follows is for a larger budget
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("stageTwo(%q) (-want +got):\n%s", shape, d)
		}
	}
}
