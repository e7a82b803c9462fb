package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dormant/reports"
	"dormant/scanner/netlab"
)

// manifestOf reads the manifest of a run.
func manifestOf(t *testing.T, path string) (m reports.Manifest) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRecallWithLoss scans 1024 hosts of a real kernel with three open ports
// each, over a link that loses 2 % of the frames in each direction, with
// the default settings: at least 99.9 % of the open ports are found, nothing
// else is called open, and the run says what was lost. SYN cookies keep the far
// kernel from sending a lost SYN-ACK again by itself.
func TestRecallWithLoss(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	for _, tt := range []struct{ name, network string }{
		{"behind a gateway", "10.2.0.0/22"},
		{"on the link, where ARP gets lost, too", "10.1.4.0/22"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			scan, far := netlab.Pair(t, "scan0", "net0")
			// Of a /21 the last of the hosts would be the broadcast address, which nobody has.
			scan.Addr("scan0", "10.1.0.1/20")
			far.Addr("net0", "10.1.0.2/20")
			far.Local(tt.network)
			far.Sysctl("net.ipv4.ip_forward=1", "net.ipv4.tcp_syncookies=2", "net.ipv4.tcp_invalid_ratelimit=0")
			far.ErrorsUnlimited()
			scan.Route(netlab.Route{Dst: "10.2.0.0/16", Via: "10.1.0.2"})
			open := []uint16{475, 1947, 3588}
			for _, port := range open {
				far.Listen(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
			}
			far.Lossy("net0", 20)
			dir := t.TempDir()
			out, manifest := filepath.Join(dir, "out.csv"), filepath.Join(dir, "m.json")
			run, said := inside(t, scan, dir, "scan", tt.network, "--backend", "afpacket", "--no-identify", "--no-history",
				"-o", out, "--manifest", manifest, "--progress", "never")
			if got := code(t, run); got != exitOK {
				t.Fatalf("exit %d: %s", got, said)
			}
			found := rows(t, out)
			for target, row := range found {
				if !strings.HasPrefix(row, "open syn-ack") || !strings.HasSuffix(target, ":475") && !strings.HasSuffix(target, ":1947") && !strings.HasSuffix(target, ":3588") {
					t.Errorf("%s is called %s", target, row)
				}
			}
			recall := float64(len(found)) / float64(1024*len(open))
			s := manifestOf(t, manifest).Run.Scan
			t.Logf("%d of %d open ports found: recall %.4f; loss %+v; %d probes, %d of them again, in %v", len(found), 1024*len(open),
				recall, s.Loss, s.Probes, s.Retries, s.Finished.Sub(s.Started))
			if recall < 0.999 {
				t.Errorf("recall %.4f, want at least 0.999", recall)
			}
			// Two per cent each way are 4 % of the pairs.
			if s.Loss == nil || s.Loss.Rate < 0.03 || s.Loss.Rate > 0.05 || s.Loss.Recall < 0.999 || s.Loss.Late == 0 {
				t.Errorf("loss %+v, want about 4 %%", s.Loss)
			}
			if want := fmt.Sprintf("%d", s.Loss.Late); s.Retries == 0 || want == "0" {
				t.Errorf("%d retries brought %s answers: nothing was lost", s.Retries, want)
			}
		})
	}
}
