package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/scanner/netlab"
)

// deaf binds a UDP port of the namespace that takes datagrams and says nothing.
func deaf(t *testing.T, ns *netlab.NS, port uint16) {
	t.Helper()
	var c *net.UDPConn
	var err error
	ns.Do(func() { c, err = net.ListenUDP("udp", &net.UDPAddr{Port: int(port)}) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
}

// reported renders a run of the history as CSV.
func reported(t *testing.T, dir, run string) map[string]string {
	t.Helper()
	path := filepath.Join(dir, "stored.csv")
	if said, err := command(dir, "report", run, "--states", "all", "-o", path).CombinedOutput(); err != nil {
		t.Fatalf("report: %v: %s", err, said)
	}
	return rows(t, path)
}

// killLab is a scanning host with one network on the link and one behind a
// gateway, in which some answer.
func killLab(t *testing.T) *netlab.NS {
	t.Helper()
	scan, far := netlab.Pair(t, "scan0", "net0")
	far.Sysctl("net.ipv4.ip_forward=1")
	far.ErrorsUnlimited()
	scan.Addr("scan0", "10.1.0.1/24")
	far.Addr("net0", "10.1.0.2/24")
	for _, last := range []int{33, 34, 40, 50, 63} {
		far.Addr("net0", fmt.Sprintf("10.1.0.%d/32", last))
	}
	far.Local("10.2.0.0/27")
	scan.Route(netlab.Route{Dst: "10.2.0.0/24", Via: "10.1.0.2"})
	for _, addr := range []string{"10.1.0.34", "10.1.0.63", "10.2.0.1", "10.2.0.7", "10.2.0.30"} {
		far.Listen(netip.AddrPortFrom(netip.MustParseAddr(addr), 1947), netip.AddrPortFrom(netip.MustParseAddr(addr), 3588))
	}
	far.Answer([]byte("an answer"), netip.MustParseAddrPort("10.2.0.9:5093"))
	deaf(t, far, 475)
	return scan
}

// TestKilledOverRawFrames kills the program with SIGKILL in every part of a run
// over raw frames, on the link and behind a gateway, and resumes it: outputs
// and history are those of a run that nobody disturbed, and have nothing twice.
func TestKilledOverRawFrames(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel() // it waits, most of the time
	// 64 addresses × 6 targets, 27 of them without a neighbour
	args := []string{"scan", "10.1.0.32/27", "10.2.0.0/27", "--ports", "475,1947,3588/tcp,5093/udp", "--backend", "afpacket",
		"--host-rate", "1000", "--retries", "1", "--states", "all", "--quiet", "--seed", "5"}

	dir := t.TempDir()
	whole := filepath.Join(dir, "whole.csv")
	began := time.Now()
	run, said := inside(t, killLab(t), dir, append(args, "--rate", "250", "-o", whole)...)
	if got := code(t, run); got != exitOK {
		t.Fatalf("exit %d: %s", got, said)
	}
	took := time.Since(began)
	want := rows(t, whole)
	if len(want) != 64*6 {
		t.Fatalf("%d rows, want %d", len(want), 64*6)
	}
	t.Logf("undisturbed it takes %v", took)
	for i, at := range []float64{0.05, 0.3, 0.55, 0.8} {
		t.Run(fmt.Sprintf("after %.0f %%", 100*at), func(t *testing.T) {
			t.Parallel()
			dir, scan := t.TempDir(), killLab(t)
			out := filepath.Join(dir, "out.csv")
			run, said := inside(t, scan, dir, append(args, "--rate", "250", "-o", out)...)
			begins(t, dir)
			time.Sleep(time.Duration(at * float64(took)))
			kills := 0
			got := killed(t, run)
			atEnd := func() bool { // an output under its final name is whole, and written last
				_, err := os.Stat(out)
				return err == nil
			}
			for ; got == -1 && kills < 5 && !atEnd(); kills++ {
				leftovers(t, dir)
				run, said = inside(t, scan, dir, "scan", "--resume", "last", "--quiet")
				if kills < i%3 { // once more, at any moment
					time.Sleep(time.Duration(rand.Int64N(int64(took / 2))))
					got = killed(t, run)
					continue
				}
				got = code(t, run)
			}
			if got != exitOK && !atEnd() {
				t.Fatalf("after %d kills: exit %d: %s", kills, got, said)
			}
			if d := cmp.Diff(want, rows(t, out)); d != "" {
				t.Errorf("after %d kills, the output (-undisturbed +resumed):\n%s", kills, d)
			}
			if d := cmp.Diff(want, reported(t, dir, "last")); d != "" {
				t.Errorf("after %d kills, the history (-undisturbed +resumed):\n%s", kills, d)
			}
			list, err := command(dir, "runs", "list", "--format", "csv").Output()
			if err != nil || bytes.Count(list, []byte("\n")) != 2 {
				t.Errorf("runs: %v\n%s; want a header and one run", err, list)
			}
			for _, pattern := range []string{filepath.Join(dir, "state", "dormant", "runs", "*"), filepath.Join(dir, ".*.tmp")} {
				if left, _ := filepath.Glob(pattern); len(left) > 0 && got == exitOK {
					t.Errorf("a complete run has left %v", left)
				}
			}
			t.Logf("%d kills", kills)
		})
	}
}

// killed ends a program as kill -9 does and returns its exit code: -1, unless it
// had ended by itself.
func killed(t *testing.T, run *exec.Cmd) int {
	t.Helper()
	_ = run.Process.Kill()
	return code(t, run)
}

// leftovers makes the temporary outputs of a killed run so old that the next
// run may remove them.
func leftovers(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, ".*.tmp"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range left {
		then := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
}
