package fingerprint

import (
	"net/netip"
	"testing"
	"testing/fstest"
	"time"

	"dormant/registry"
	"dormant/scanner"
)

// FuzzLoad: any file gives rules or errors that name it, never a panic.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(goodRule))
	f.Add([]byte("id: a\nmatch: [{field: data, pattern: '[ä'}]\nexamples: [{hex: '0'}]\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, err := Load(fstest.MapFS{"rules/a.yaml": {Data: data}})
		if (rules == nil) == (err == nil) {
			t.Errorf("Load = %v, %v: want one of them", rules, err)
		}
		if err == nil {
			rules.Check() // must not fail on what Load accepts
		}
	})
}

// FuzzJudge: whatever a peer sends, the verdict keeps its promises.
func FuzzJudge(f *testing.F) {
	rules := defaults(f)
	f.Add([]byte(openACC), []byte("\x16\x03\x03"), uint8(0), false)
	f.Add([]byte("sh-5.2# \x1b[31m"), []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), uint8(3), true)
	f.Add([]byte("SSH-2.0-\xff\xfe\r\n"), []byte(""), uint8(1), true)
	f.Fuzz(func(t *testing.T, first, second []byte, canaries uint8, udp bool) {
		port := registry.Port{Number: 1947, Proto: registry.TCP}
		ev := Evidence{
			Host: HostContext{CanariesAsked: 3, CanariesOpen: int(canaries % 4)},
			Exchanges: []Exchange{
				{Conn: 1, Probe: ProbeSilence, Received: first, End: EndQuiet, Elapsed: quiet},
				{Conn: 1, Probe: ProbeGet10, Sent: []byte(get10), Received: second, End: EndFin, Elapsed: time.Millisecond},
				{Conn: 2, Probe: ProbeTLS, Received: first, End: EndFin, TLS: &TLSInfo{Version: "TLS 1.2", Chain: [][]byte{second}}},
			},
		}
		if udp {
			port.Proto = registry.UDP
			ev.Exchanges = []Exchange{{Probe: ProbeUDP, Sent: first, Received: second, End: EndReply}}
		}
		ev.Target = scanner.Target{Addr: netip.MustParseAddr("10.0.0.9"), Port: port}
		v := rules.Judge(registry.Entry{}, scanner.Observation{Target: ev.Target, State: scanner.Open, Reason: scanner.SynAck}, ev)
		checkInvariants(t, v)
		if v.Class == 0 {
			t.Error("a dialogue was held, and there is no verdict")
		}
		if v.Class == PossibleC2 && ev.Host.AnswersEverywhere() {
			t.Error("possible_c2 on a host that answers everywhere")
		}
		rules.nextProbe(ev)
		shapeOf(ev)
	})
}
