package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"dormant/scanner/netlab"
)

// TestLimitedICMPErrors scans hosts of which each is a kernel of its own, with
// the limits on ICMP errors that Linux has by itself: six to one peer at once,
// then one a second. Every closed UDP port is called closed, every silent one
// open_filtered, and the hosts wait side by side.
func TestLimitedICMPErrors(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, tt := range []struct {
		name          string
		hosts         int
		ports, silent []int // silent ones are among the ports
		oneKernel     bool  // all hosts are addresses of one
	}{
		{"six closed ports, as many as come at once", 24, []int{475, 1947, 3047, 3588, 3712, 5093}, nil, false},
		{"six ports, two of them silent", 24, []int{475, 1947, 3047, 3588, 3712, 5093}, []int{1947, 5093}, false},
		// They share one limit, and nothing tells that they do: some closed ports
		// stay open_filtered, and none is called what it is not.
		{"six ports of addresses of one kernel", 24, []int{475, 1947, 3047, 3588, 3712, 5093}, []int{1947, 5093}, true},
		{"twelve ports, three of them silent", 8, []int{475, 1947, 3047, 3588, 3712, 5093, 7001, 7002, 7003, 7004, 7005, 7006}, []int{475, 3588, 7004}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			scan, router := netlab.Pair(t, "scan0", "net0")
			router.Sysctl("net.ipv4.ip_forward=1")
			scan.Addr("scan0", "10.1.0.1/24")
			router.Addr("net0", "10.1.0.2/24")
			scan.Route(netlab.Route{Dst: "10.2.0.0/16", Via: "10.1.0.2"})
			if tt.oneKernel {
				router.Local("10.2.0.0/24")
				for _, port := range tt.silent {
					deaf(t, router, uint16(port))
				}
			}
			for i := range tt.hosts {
				if tt.oneKernel {
					break
				}
				host, name := netlab.New(t), fmt.Sprintf("host%d", i)
				netlab.Join(router, name, host, "eth0")
				router.Addr(name, fmt.Sprintf("10.3.%d.1/24", i))
				host.Addr("eth0", fmt.Sprintf("10.3.%d.2/24", i), fmt.Sprintf("10.2.0.%d/32", i+1))
				router.Route(netlab.Route{Dst: fmt.Sprintf("10.2.0.%d/32", i+1), Via: fmt.Sprintf("10.3.%d.2", i)})
				host.Route(netlab.Route{Dst: "0.0.0.0/0", Via: fmt.Sprintf("10.3.%d.1", i)})
				for _, port := range tt.silent {
					deaf(t, host, uint16(port))
				}
			}
			var ports []string
			want := map[string]string{}
			for _, port := range tt.ports {
				ports = append(ports, fmt.Sprint(port, "/udp"))
				for i := range tt.hosts {
					want[fmt.Sprintf("10.2.0.%d:%d/udp", i+1, port)] = "closed icmp-3-3"
				}
			}
			for _, port := range tt.silent {
				for i := range tt.hosts {
					want[fmt.Sprintf("10.2.0.%d:%d/udp", i+1, port)] = "open_filtered no-response"
				}
			}
			dir := t.TempDir()
			out, manifest := filepath.Join(dir, "out.csv"), filepath.Join(dir, "m.json")
			run, said := inside(t, scan, dir, "scan", fmt.Sprintf("10.2.0.1-%d", tt.hosts), "--ports", strings.Join(ports, ","), "--backend", "afpacket",
				"--no-identify", "--no-history", "--states", "all", "--quiet", "-o", out, "--manifest", manifest)
			if got := code(t, run); got != exitOK {
				t.Fatalf("exit %d: %s", got, said)
			}
			wrong := 0
			found := rows(t, out)
			for target, state := range want {
				if !strings.HasPrefix(found[target], state) && (!tt.oneKernel || found[target] != "open_filtered no-response  ") {
					if wrong++; wrong < 10 {
						t.Errorf("%s is called %q, want %s", target, found[target], state)
					}
				}
			}
			s := manifestOf(t, manifest).Run.Scan
			t.Logf("%d of %d targets wrong; %d closed, %d silent in %v with %d probes, %d of them again", wrong, len(want), s.Closed, s.OpenFiltered,
				s.Finished.Sub(s.Started), s.Probes, s.Retries)
		})
	}
}
