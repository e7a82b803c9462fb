package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dormant/scanner/netlab"
)

// TestGatewayThatFindsNobody scans a network behind a Linux gateway, on which
// one host lives. The gateway says of the others that they are unreachable, three
// seconds after it was asked, and the scan is still there to hear it.
func TestGatewayThatFindsNobody(t *testing.T) {
	t.Parallel() // it waits, most of the time
	scan, gateway := netlab.Pair(t, "scan0", "net0")
	far := netlab.New(t)
	netlab.Join(gateway, "net1", far, "far0")
	gateway.Sysctl("net.ipv4.ip_forward=1", "net.ipv4.icmp_ratelimit=0")
	scan.Addr("scan0", "10.1.0.1/24")
	gateway.Addr("net0", "10.1.0.2/24")
	gateway.Addr("net1", "10.2.0.1/24")
	far.Addr("far0", "10.2.0.10/24")
	scan.Route(netlab.Route{Dst: "10.2.0.0/24", Via: "10.1.0.2"})
	far.Route(netlab.Route{Dst: "10.1.0.0/24", Via: "10.2.0.1"})
	dir := t.TempDir()
	out := filepath.Join(dir, "out.csv")
	began := time.Now()
	run, said := inside(t, scan, dir, "scan", "10.2.0.8/29", "--ports", "1947/tcp", "--backend", "afpacket", "--states", "all",
		"--no-identify", "--no-history", "--quiet", "-o", out)
	if got := code(t, run); got != exitOK {
		t.Fatalf("exit %d, said %q", got, said)
	}
	took := time.Since(began)
	found := rows(t, out)
	for target, row := range found {
		want := "unreachable icmp-3-1 "
		if target == "10.2.0.10:1947" {
			want = "closed rst "
		}
		if !strings.HasPrefix(row, want) {
			t.Errorf("%s = %s, want %s", target, row, want)
		}
	}
	if len(found) != 8 {
		t.Errorf("%d rows, want 8", len(found))
	}
	if took > 15*time.Second { // the wait is bounded, whatever this machine is doing
		t.Errorf("took %v", took)
	}
	t.Logf("took %v", took)
}
