package lab

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"
)

// TestVerdicts holds a real dialogue with every service of the lab: the verdict
// is the one that the lab promises. The dialogue's own silences make it slow.
func TestVerdicts(t *testing.T) {
	if testing.Short() {
		t.Skip("a dialogue with every host takes some 20 seconds")
	}
	rules, err := fingerprint.Default()
	if err != nil {
		t.Fatal(err)
	}
	dossiers, err := registry.Default()
	if err != nil {
		t.Fatal(err)
	}
	var planned []registry.Port
	for _, e := range dossiers.Entries() {
		planned = append(planned, e.Ports()...)
	}
	identifier := fingerprint.NewIdentifier(rules, fingerprint.Config{
		RepeatAfter: -1, Planned: planned, Payload: rules.Payload, Seed: 1,
	})
	var talking sync.WaitGroup
	for _, h := range runningWith(t, Config{Everywhere: manyDescriptors(t)}) {
		for _, s := range h.Services {
			if s.Missing != "" {
				continue
			}
			talking.Go(func() { // ends with its dialogue
				o := answered(t, h, s.Port, rules.Payload(s.Port))
				ev, err := identifier.Identify(t.Context(), o)
				if err != nil {
					t.Errorf("%s: Identify(%v) = %v", h.Name, o.Target, err)
					return
				}
				e, _ := dossiers.Lookup(s.Port)
				v := rules.Judge(e, o, ev)
				if v.Class != s.Verdict || s.Version != "" && v.Version != s.Version || s.Reason != "" && v.Reason != s.Reason {
					t.Errorf("%s, %s: verdict %v (%s) version %q, want %v (%s) version %q\nsigns: %+v",
						h.Name, s.Plays, v.Class, v.Reason, v.Version, s.Verdict, s.Reason, s.Version, v.Signs)
				}
			})
		}
	}
	talking.Wait()
}

// answered is what a sweep observes of an open port.
func answered(t *testing.T, h Host, port registry.Port, payload []byte) scanner.Observation {
	o := scanner.Observation{
		Target: scanner.Target{Addr: h.Addr, Port: port}, State: scanner.Open, Reason: scanner.SynAck,
		From: h.Addr, RTT: time.Millisecond, At: time.Now(),
	}
	if port.Proto == registry.UDP {
		o.Reason = scanner.UDPReply
		o.Payload = []byte(ask(t, h, "udp", port.Number, string(payload), time.Second))
		if len(o.Payload) == 0 {
			t.Errorf("%s: no answer from %v to the datagram of the sweep", h.Name, netip.AddrPortFrom(h.Addr, port.Number))
		}
	}
	return o
}
