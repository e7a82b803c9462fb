package main

import (
	"path/filepath"
	"strings"
	"testing"

	"dormant/scanner/netlab"
)

// TestOneMACForEverything scans a network in which a router answers ARP for
// everybody, and one in which each of a few machines has some addresses: that
// one MAC answers for most is said in the notes of the run, where it is so.
func TestOneMACForEverything(t *testing.T) {
	t.Parallel() // it waits, most of the time
	proxy, router := netlab.Pair(t, "scan0", "net0")
	proxy.Addr("scan0", "10.1.0.1/24")
	router.Addr("net0", "10.1.0.2/24")
	router.Sysctl("net.ipv4.ip_forward=1", "net.ipv4.conf.net0.proxy_arp=1", "net.ipv4.neigh.net0.proxy_delay=0", "net.ipv4.icmp_ratelimit=0")
	router.Route(netlab.Route{Dst: "10.1.0.128/25", Dev: "lo"})

	plain, host := netlab.Pair(t, "scan0", "net0")
	plain.Addr("scan0", "10.1.0.1/24")
	host.Addr("net0", "10.1.0.2/24", "10.1.0.130/32", "10.1.0.131/32")
	for _, tt := range []struct {
		name string
		from *netlab.NS
		want bool
	}{{"proxy ARP", proxy, true}, {"a machine with three addresses", plain, false}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			manifest := filepath.Join(dir, "m.json")
			run, said := inside(t, tt.from, dir, "scan", "10.1.0.0/24", "--ports", "1947/tcp", "--backend", "afpacket", "--no-identify", "--retries", "0",
				"--progress", "never", "--manifest", manifest)
			if got := code(t, run); got != exitOK {
				t.Fatalf("exit %d: %s", got, said)
			}
			notes := strings.Join(manifestOf(t, manifest).Run.Scan.Notes, "\n")
			if strings.Contains(notes, "one MAC answers for ") != tt.want || strings.Count(said.String(), "one MAC") > 1 {
				t.Errorf("notes %q, said %q; want that one MAC answers for most: %t, and once", notes, said, tt.want)
			}
			shown, err := command(dir, "runs", "show", "last").Output()
			if err != nil || strings.Contains(string(shown), "one MAC answers for ") != tt.want {
				t.Errorf("runs show: %v, %s; want the note: %t", err, shown, tt.want)
			}
		})
	}
}
