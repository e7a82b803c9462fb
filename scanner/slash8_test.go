package scanner_test

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/fakenet"
)

// world is a network of any size that needs no memory: one /24 in 64 is in use,
// with one address in eight alive, of which one port in six is open, one of the
// /24s in use is a SYN proxy that opens everything, and the rest is dark.
func world(t scanner.Target) scanner.State {
	b := t.Addr.AsSlice()
	last := b[len(b)-1]
	net := uint32(b[len(b)-2]) | uint32(b[len(b)-3])<<8 | uint32(b[len(b)-4])<<16
	switch h := net * 2654435761 >> 16; {
	case h%64 != 0:
		return 0
	case h%4096 == 0: // the proxy
		if t.Port.Proto == registry.TCP {
			return scanner.Open
		}
		return 0
	case last%8 != 1:
		return 0
	case (uint32(last)+uint32(t.Port.Number))%6 == 0:
		return scanner.Open
	default:
		return scanner.Closed
	}
}

// BenchmarkScale runs the real engine over an in-memory network: with loss,
// delays, duplicates, SYN proxies and limits of ICMP errors, in IPv4 and IPv6,
// twelve ports each. Time must grow with the targets, memory by half a byte for
// each. The /8, 201 million targets, takes a minute and runs only when
// DORMANT_SLASH8 is 1:
//
//	DORMANT_SLASH8=1 go test -run '^$' -bench Scale -benchtime 1x ./scanner
func BenchmarkScale(b *testing.B) {
	for _, prefix := range []string{"10.0.0.0/16", "10.0.0.0/12", "fd00::/112", "fd00::/108", "10.0.0.0/8"} {
		b.Run(strings.ReplaceAll(prefix, "/", "_"), func(b *testing.B) {
			if prefix == "10.0.0.0/8" && os.Getenv("DORMANT_SLASH8") != "1" {
				b.Skip("takes a minute: set DORMANT_SLASH8=1")
			}
			for b.Loop() {
				scale(b, netip.MustParsePrefix(prefix))
			}
		})
	}
}

func scale(b *testing.B, prefix netip.Prefix) {
	n := fakenet.New(nil, 20*time.Millisecond)
	n.Truth, n.Forget = world, true
	n.Loss, n.Duplicate, n.ICMPBurst, n.ICMPEvery = 0.01, 0.01, 6, time.Second
	n.RTTOf = func(a netip.Addr) time.Duration { return time.Duration(1+a.AsSlice()[1]%64) * time.Millisecond }
	p, err := scanner.NewPlan([]netip.Prefix{prefix}, dozen(), 1)
	if err != nil {
		b.Fatal(err)
	}
	engine, err := scanner.New(n, scanner.Config{Rate: rate.Inf, HostRate: rate.Inf})
	if err != nil {
		b.Fatal(err)
	}
	debug.FreeOSMemory()
	before, stop, peak := resident(), make(chan struct{}), make(chan [2]uint64)
	go func() { peak <- watchMemory(stop) }() // ends with stop
	found := 0
	s, err := engine.Run(b.Context(), p, func(o scanner.Observation) {
		if o.State == scanner.Open {
			found++
		}
	})
	close(stop)
	most := <-peak
	if err != nil || !s.Complete || s.Probes != p.Len() || uint64(found) != s.Open {
		b.Fatalf("Run = %+v, %v; want complete, one probe for each of %d targets", s, err, p.Len())
	}
	took := s.Finished.Sub(s.Started) - s.Cooldown
	b.ReportMetric(float64(took.Nanoseconds())/float64(p.Len()), "ns/target")
	b.ReportMetric(float64(most[0])/(1<<20), "MB-heap")
	b.ReportMetric(float64(most[1]-min(before, most[1]))/(1<<20), "MB-resident-more")
	b.ReportMetric(float64(most[1])/(1<<20), "MB-resident")
	b.ReportMetric(float64(found), "open")
}

// watchMemory returns the peaks of HeapInuse and of the resident memory, in
// bytes, until stop is closed.
func watchMemory(stop chan struct{}) (most [2]uint64) {
	for {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = [2]uint64{max(most[0], m.HeapInuse), max(most[1], resident())}
		select {
		case <-stop:
			return most
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// resident is this process's memory in bytes, 0 where /proc does not tell.
func resident() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		panic(fmt.Sprint("statm: ", err)) // the kernel's own format
	}
	return pages * uint64(os.Getpagesize())
}
