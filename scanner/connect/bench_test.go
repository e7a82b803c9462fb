package connect

import (
	"context"
	"testing"

	"dormant/scanner"
)

// The price of a probe that is answered at once, kernel included, both ends on
// this machine.
func benchmark(b *testing.B, asker asker, p scanner.Probe) {
	backend := fresh(b, Config{})
	backend.asker = asker
	ctx, cancel := context.WithCancel(b.Context())
	received := make(chan error, 1)
	answers := 0
	go func() { // ends with ctx
		received <- backend.Receive(ctx, func(scanner.Observation) { answers++ })
	}()
	batch := []scanner.Probe{p}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := backend.Send(ctx, batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pps")
	cancel()
	if err := <-received; err != nil || answers < b.N/2 {
		b.Errorf("Receive = %v, %d answers to %d probes", err, answers, b.N)
	}
}

func BenchmarkClosedTCP(b *testing.B) {
	for name, asker := range askers(b) {
		b.Run(name, func(b *testing.B) {
			benchmark(b, asker, scanner.Probe{Target: listen(b, "127.0.0.1").closedTCP})
		})
	}
}

func BenchmarkClosedUDP(b *testing.B) {
	for name, asker := range askers(b) {
		b.Run(name, func(b *testing.B) {
			benchmark(b, asker, scanner.Probe{Target: listen(b, "127.0.0.1").closedUDP})
		})
	}
}
