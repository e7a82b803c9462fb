package main

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"dormant/scanner/netlab"
)

// TestMostToOneHostIsCounted holds the most probes and bytes to one host, as the
// manifest tells them, against the packets that arrived.
func TestMostToOneHostIsCounted(t *testing.T) {
	t.Parallel() // it waits, most of the time
	scan, far := netlab.Pair(t, "scan0", "net0")
	far.Sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
	scan.Addr("scan0", "10.1.0.1/24", "fd01::1/64")
	far.Addr("net0", "10.1.0.2/24", "fd01::2/64")
	far.Local("10.2.0.0/29", "fd02::/125")
	far.Listen(netip.MustParseAddrPort("10.2.0.3:1947"))
	deaf(t, far, 1947) // every host gets its datagram in each round
	scan.Route(netlab.Route{Dst: "10.2.0.0/24", Via: "10.1.0.2"}, netlab.Route{Dst: "fd02::/120", Via: "fd01::2"})
	for _, network := range []string{"10.2.0.0/29", "fd02::/125"} {
		t.Run(network, func(t *testing.T) {
			heard := far.Capture("net0")
			dir := t.TempDir()
			manifest := filepath.Join(dir, "m.json")
			run, said := inside(t, scan, dir, "scan", network, "--backend", "afpacket", "--no-identify", "--no-history", "--quiet",
				"--host-rate", "1000", "--manifest", manifest)
			if got := code(t, run); got != exitOK {
				t.Fatalf("exit %d: %s", got, said)
			}
			probes, bytes := map[string]uint64{}, map[string]uint64{}
			for _, frame := range heard.Frames() {
				p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
				switch l := p.TransportLayer().(type) {
				case *layers.TCP:
					if !l.SYN { // the kernel's reset of a half-open connection
						continue
					}
				case *layers.UDP:
				default: // ARP and neighbour discovery
					continue
				}
				ip := p.NetworkLayer()
				dst := ip.NetworkFlow().Dst().String()
				probes[dst]++
				bytes[dst] += uint64(len(ip.LayerContents()) + len(ip.LayerPayload()))
			}
			var mostProbes, mostBytes uint64
			for dst := range probes {
				mostProbes, mostBytes = max(mostProbes, probes[dst]), max(mostBytes, bytes[dst])
			}
			s := manifestOf(t, manifest).Run.Scan
			if s.MostToHost != mostProbes || s.MostBytesToHost != mostBytes || mostBytes == 0 || s.Retries == 0 {
				t.Errorf("%d probes of %d bytes to one host, as it says; %d of %d arrived (%d retries)", s.MostToHost, s.MostBytesToHost, mostProbes, mostBytes, s.Retries)
			}
		})
	}
}
