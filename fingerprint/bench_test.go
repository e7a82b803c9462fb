package fingerprint

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"dormant/registry"
	"dormant/scanner"
)

// BenchmarkDefault is what a command pays once: at its start, and when
// something has answered.
func BenchmarkDefault(b *testing.B) {
	b.Run("openers", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Default(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("rules", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rules, err := Default()
			if err != nil {
				b.Fatal(err)
			}
			rules.rules()
		}
	})
}

// BenchmarkJudge is one port with a typical dialogue and a page of 16 KiB.
func BenchmarkJudge(b *testing.B) {
	rules := defaults(b)
	page := "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\n\r\n<title>hello</title>" + strings.Repeat("<p>lorem ipsum dolor sit amet\n", 600)
	target := scanner.Target{Addr: netip.MustParseAddr("10.0.0.9"), Port: registry.Port{Number: 3588, Proto: registry.TCP}}
	obs := scanner.Observation{Target: target, State: scanner.Open, Reason: scanner.SynAck}
	ev := Evidence{Target: target, Host: clean(), Exchanges: []Exchange{
		nothing(1, ProbeSilence, EndTimeout, 3*time.Second), answer(1, ProbeGet10, page), answer(2, ProbeGet11, page), answer(3, ProbeGet404, page),
	}}
	b.ReportAllocs()
	for b.Loop() {
		rules.Judge(registry.Entry{}, obs, ev)
	}
}

// BenchmarkStrong is what the dialogue asks after every answer.
func BenchmarkStrong(b *testing.B) {
	rules := defaults(b)
	ex := answer(1, ProbeGet10, "HTTP/1.1 200 OK\r\nX-Some: thing\r\n\r\n"+strings.Repeat("x", 2000))
	b.ReportAllocs()
	for b.Loop() {
		rules.strong(ex)
	}
}
