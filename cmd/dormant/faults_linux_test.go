package main

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"dormant/reports"
	"dormant/scanner/netlab"
)

// faultLab is a scanning host with one on-link network, 10.1.0.0/24, of which
// every address is there, and one behind a gateway, 10.2.0.0/24, likewise.
func faultLab(t *testing.T) (scan, far *netlab.NS) {
	t.Helper()
	scan, far = netlab.Pair(t, "scan0", "net0")
	far.Sysctl("net.ipv4.ip_forward=1")
	scan.Addr("scan0", "10.1.0.1/24")
	far.Addr("net0", "10.1.0.2/24", "10.1.0.10/32")
	far.Local("10.2.0.0/24")
	scan.Route(netlab.Route{Dst: "10.2.0.0/24", Via: "10.1.0.2"})
	far.Listen(netip.MustParseAddrPort("10.2.0.10:1947"))
	return scan, far
}

// inside starts the command in the namespace.
func inside(t *testing.T, ns *netlab.NS, dir string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := command(dir, args...)
	return cmd, begin(t, cmd, startIn(ns, cmd))
}

// startIn starts a command in the namespace.
func startIn(ns *netlab.NS, cmd *exec.Cmd) func() error {
	return func() (err error) {
		ns.Do(func() { err = cmd.Start() })
		return err
	}
}

// TestFaultsOfThisHost takes away, in the middle of a run, what it needs: each
// ends in a partial result that says so, exit 3, and one clear line.
func TestFaultsOfThisHost(t *testing.T) {
	t.Parallel() // it waits, most of the time
	for _, tt := range []struct {
		name, backend string
		fault         func(t *testing.T, scan, far *netlab.NS)
		say           string
	}{
		{"the interface goes down, raw frames", "afpacket", func(_ *testing.T, scan, _ *netlab.NS) { scan.Down("scan0") }, "incomplete: "},
		{"the interface goes down, AF_XDP", "afxdp", func(_ *testing.T, scan, _ *netlab.NS) { scan.Down("scan0") }, "incomplete: "},
		{"the interface is gone, raw frames", "afpacket", func(t *testing.T, scan, _ *netlab.NS) { unplug(t, scan, "scan0") }, "incomplete: "},
		{"the route vanishes, connections", "connect", func(_ *testing.T, scan, _ *netlab.NS) { scan.Unroute("10.2.0.0/24") }, "could not be measured from here"},
		{"the route vanishes, raw frames", "afpacket", func(_ *testing.T, scan, _ *netlab.NS) { scan.Unroute("10.2.0.0/24") }, "the route to 10.2.0.0 that stood at the start is gone"},
		{"the cable is pulled, raw frames", "afpacket", func(_ *testing.T, _, far *netlab.NS) { far.Down("net0") }, "interface scan0 has lost its carrier"},
		{"the cable is pulled, AF_XDP", "afxdp", func(_ *testing.T, _, far *netlab.NS) { far.Down("net0") }, "interface scan0 has lost its carrier"},
		{"the cable is pulled, connections", "connect", func(_ *testing.T, _, far *netlab.NS) { far.Down("net0") }, "interface scan0 has lost its carrier"},
		{"the cable is loose, AF_XDP", "afxdp", func(_ *testing.T, _, far *netlab.NS) {
			far.Down("net0")
			time.Sleep(300 * time.Millisecond)
			far.Up("net0")
		}, "thrown away by an interface"},
		{"nothing can be sent for three seconds, raw frames", "afpacket", func(t *testing.T, scan, _ *netlab.NS) { clog(t, scan, "scan0", 3*time.Second) }, "could not be sent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.backend == "afxdp" {
				if err := readyAFXDP(); err != nil {
					t.Skip(err)
				}
			}
			scan, far := faultLab(t)
			dir := t.TempDir()
			out, manifest := filepath.Join(dir, "out.csv"), filepath.Join(dir, "m.json")
			run, said := inside(t, scan, dir, "scan", "10.2.0.0/24", "--ports", "1947/tcp", "--rate", "100", "--retries", "0", "--no-identify",
				"--backend", tt.backend, "--states", "all", "--quiet", "-o", out, "--manifest", manifest)
			begins(t, dir)
			time.Sleep(1200 * time.Millisecond)
			tt.fault(t, scan, far)
			if got := code(t, run); got != exitIncomplete || strings.Count(said.String(), "\n") != 1 || !strings.Contains(said.String(), tt.say) || strings.Count(said.String(), "down or gone") > 1 {
				t.Errorf("exit %d, said %q; want 3 and one line with %q, and no cause twice", got, said, tt.say)
			}
			var m reports.Manifest
			b, err := os.ReadFile(manifest)
			if err == nil {
				err = json.Unmarshal(b, &m)
			}
			if err != nil {
				t.Fatal(err)
			}
			s := m.Run.Scan
			if m.Complete || len(m.Why) == 0 || s.Closed+s.Open < 20 || s.Closed+s.Open > 256 {
				t.Errorf("complete %t because of %q, %d closed and %d open; want incomplete, and what was found by then", m.Complete, m.Why, s.Closed, s.Open)
			}
			for target, row := range rows(t, out) {
				if strings.HasPrefix(row, "closed") && strings.HasSuffix(target, "10.2.0.10:1947") {
					t.Errorf("%s is open and was called %s", target, row)
				}
			}
		})
	}
}

// TestNoWayIsSaid: a target that nothing can be sent to is named in the one line
// that is left with --quiet, with the cause.
func TestNoWayIsSaid(t *testing.T) {
	t.Parallel() // it waits, most of the time
	scan, _ := faultLab(t)
	scan.Route(netlab.Route{Dst: "10.3.0.0/24", Via: "10.1.0.99"})
	for _, tt := range []struct{ name, backend, target, say string }{
		{"no route, raw frames", "afpacket", "10.9.0.1", "1 target could not be measured from here; no way to 10.9.0.1/32: "},
		{"no route, connections", "connect", "10.9.0.1", "1 probe could not be sent; the first was 10.9.0.1:1947/tcp: network is unreachable"},
		{"a silent gateway, raw frames", "afpacket", "10.3.0.1", "1 target could not be measured from here; the gateway 10.1.0.99 does not answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run, said := inside(t, scan, t.TempDir(), "scan", tt.target, "--ports", "1947/tcp", "--retries", "0", "--backend", tt.backend, "--quiet", "-o", "out.csv")
			if got := code(t, run); got != exitIncomplete || strings.Count(said.String(), "\n") != 1 || !strings.Contains(said.String(), tt.say) {
				t.Errorf("exit %d, said %q; want 3 and one line with %q", got, said, tt.say)
			}
		})
	}
}

// unplug removes an interface.
func unplug(t *testing.T, ns *netlab.NS, name string) {
	t.Helper()
	link, err := ns.Netlink.LinkByName(name)
	if err == nil {
		err = ns.Netlink.LinkDel(link)
	}
	if err != nil {
		t.Error(err)
	}
}

// clog lets the queue of an interface take two frames and send none of them,
// for a while: further ones are refused with ENOBUFS.
func clog(t *testing.T, ns *netlab.NS, name string, lasting time.Duration) {
	t.Helper()
	link, err := ns.Netlink.LinkByName(name)
	if err != nil {
		t.Error(err)
		return
	}
	queue := &netlink.Tbf{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate: 10, Limit: 200, Buffer: netlink.Xmittime(10, 100)} // ten bytes a second
	if err := ns.Netlink.QdiscAdd(queue); err != nil {
		t.Skipf("this kernel cannot shape: %v", err)
	}
	time.Sleep(lasting)
	if err := ns.Netlink.QdiscDel(queue); err != nil {
		t.Error(err)
	}
}

// TestFewDescriptorsOverRawFrames gives a sweep over raw frames with dialogues
// fewer and fewer descriptors: it says that it cannot begin, or that it could
// not measure all, or it is whole; and never a word that is not true.
func TestFewDescriptorsOverRawFrames(t *testing.T) {
	t.Parallel() // it waits, most of the time
	scan, far := faultLab(t)
	far.Listen(netip.MustParseAddrPort("10.2.0.11:1947"), netip.MustParseAddrPort("10.2.0.12:1947"))
	ended := map[int]int{}
	for _, most := range []string{"8", "12", "14", "16", "18", "20", "24", "32"} {
		dir := t.TempDir()
		out := filepath.Join(dir, "out.csv")
		cmd := settled(exec.Command("sh", "-c", `ulimit -n "$1" && shift && exec dormant "$@"`, "sh", most, "scan", "10.2.0.8/29", "--ports", "1947/tcp",
			"--rate", "500", "--retries", "1", "--backend", "afpacket", "--states", "all", "--quiet", "-o", out), dir)
		said := begin(t, cmd, startIn(scan, cmd))
		got := code(t, cmd)
		ended[got]++
		if lines := strings.Count(said.String(), "\n"); got == exitOK && lines != 0 || got != exitOK && lines != 1 {
			t.Errorf("%s descriptors: exit %d, said %q; want one line for what is not whole", most, got, said)
		}
		t.Logf("%s descriptors: exit %d %s", most, got, said)
		if _, err := os.Stat(out); err != nil {
			if got == exitOK || got == exitIncomplete {
				t.Errorf("%s descriptors: exit %d and no output", most, got)
			}
			continue
		}
		for target, row := range rows(t, out) {
			open := strings.HasSuffix(target, "10:1947") || strings.HasSuffix(target, "11:1947") || strings.HasSuffix(target, "12:1947")
			if state, _, _ := strings.Cut(row, " "); state != "unknown" && (state == "open") != open || state != "open" && state != "closed" && got == exitOK {
				t.Errorf("%s descriptors: exit %d, %s is called %s", most, got, target, row)
			}
		}
	}
	if ended[exitOK] == 0 || ended[exitOK] == 8 {
		t.Errorf("exit codes %v: want some runs that are whole and some that are not", ended)
	}
}

// TestFewDescriptors gives the program very few: it is slower, and right.
func TestFewDescriptors(t *testing.T) {
	t.Parallel() // it waits, most of the time
	dir := t.TempDir()
	prefix, ports := speakers(t)
	out := filepath.Join(dir, "out.csv")
	cmd := settled(exec.Command("sh", "-c", `ulimit -n 20 && exec dormant "$@"`, "sh", "scan", prefix, "--ports", ports, "--rate", "2000",
		"--host-rate", "1000", "--retries", "1", "--no-identify", "--states", "all", "--quiet", "-o", out), dir)
	said := begin(t, cmd, cmd.Start)
	got, unknown := code(t, cmd), 0
	found := rows(t, out)
	for _, row := range found {
		if strings.HasPrefix(row, "unknown local-error") {
			unknown++
		}
	}
	if got != exitOK && got != exitIncomplete || (got == exitOK) != (unknown == 0) || len(found) != 128 || strings.Count(said.String(), "\n") > 1 {
		t.Errorf("exit %d with %d of %d rows unknown, said %q; want 0 if all were measured, else 3 and one line", got, unknown, len(found), said)
	}
	t.Logf("exit %d, %d unknown", got, unknown)
}
