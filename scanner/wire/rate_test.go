//go:build linux

package wire_test

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/link/afpacket"
	"dormant/scanner/netlab"
	"dormant/scanner/wire"

	"log/slog"
)

// BenchmarkVeth sends without limit over a veth pair into a namespace that
// drops everything, a router's MAC being known.
func BenchmarkVeth(b *testing.B) {
	scan, far := netlab.Pair(b, "scan0", "net0")
	scan.Addr("scan0", "10.1.0.1/24")
	far.Addr("net0", "10.1.0.2/24")
	far.Route(netlab.Route{Dst: "10.96.0.0/12", Type: 6}) // RTN_BLACKHOLE
	scan.Route(netlab.Route{Dst: "0.0.0.0/0", Via: "10.1.0.2"})
	var backend *wire.Backend
	var err error
	scan.Do(func() {
		backend, err = wire.Open(wire.Config{
			Prefixes: prefixes("10.96.0.0/12"), Log: slog.New(slog.DiscardHandler),
			OpenLink: func(spec wire.LinkSpec) (wire.Link, error) { return afpacket.Open(spec) },
		})
	})
	if err != nil {
		b.Fatal(err)
	}
	defer backend.Close()
	ctx, cancel := context.WithCancel(b.Context())
	var receiving sync.WaitGroup
	receiving.Go(func() { _ = backend.Receive(ctx, func(scanner.Observation) {}) }) // ends with ctx
	defer receiving.Wait()
	defer cancel()
	if err := backend.Resolve(ctx, slices.Values([]netip.Addr(nil)), unpaced); err != nil {
		b.Fatal(err)
	}
	batch := make([]scanner.Probe, 64)
	i, start := uint32(0), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		for k := range batch {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], 10<<24|96<<16|i&(1<<20-1))
			batch[k].Target = scanner.Target{Addr: netip.AddrFrom4(a), Port: registry.Port{Number: 1947, Proto: registry.TCP}}
			i++
		}
		if n, err := backend.Send(ctx, batch); n != len(batch) || err != nil {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(i)/time.Since(start).Seconds(), "probes/s")
	b.ReportMetric(float64(backend.Counters().SendRetry), "retries")
}
