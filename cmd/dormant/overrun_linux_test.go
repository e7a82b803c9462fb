package main

import (
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"dormant/scanner/netlab"
)

// answerTo returns the RST that answers the first SYN among the frames, nil when
// there is none.
func answerTo(frames [][]byte) []byte {
	for _, frame := range frames {
		p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
		syn, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if !ok || !syn.SYN {
			continue
		}
		eth, ip := p.LinkLayer().(*layers.Ethernet), p.NetworkLayer().(*layers.IPv4)
		back := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: ip.DstIP, DstIP: ip.SrcIP}
		rst := &layers.TCP{SrcPort: syn.DstPort, DstPort: syn.SrcPort, Ack: syn.Seq + 1, ACK: true, RST: true}
		if rst.SetNetworkLayerForChecksum(back) != nil {
			return nil
		}
		buf := gopacket.NewSerializeBuffer()
		if gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
			&layers.Ethernet{SrcMAC: eth.DstMAC, DstMAC: eth.SrcMAC, EthernetType: layers.EthernetTypeIPv4}, back, rst) != nil {
			return nil
		}
		return buf.Bytes()
	}
	return nil
}

// flood sends the frame so many times by an interface of the namespace.
func flood(t *testing.T, ns *netlab.NS, name string, frame []byte, times int) {
	t.Helper()
	var err error
	ns.Do(func() {
		var link *net.Interface
		if link, err = net.InterfaceByName(name); err != nil {
			return
		}
		var fd int
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return
		}
		defer unix.Close(fd)
		for range times {
			if err = unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReceiveRingOverrun stops the program for a moment, as a machine that is
// too busy does, while more answers come in than its ring holds: what was lost
// is counted, the run is not whole, and nothing false is said.
func TestReceiveRingOverrun(t *testing.T) {
	scan, far := faultLab(t)
	heard := far.Capture("net0")
	dir := t.TempDir()
	out, manifest := filepath.Join(dir, "out.csv"), filepath.Join(dir, "m.json")
	run, said := inside(t, scan, dir, "scan", "10.2.0.0/24", "--ports", "1947/tcp", "--rate", "100", "--retries", "1", "--no-identify",
		"--backend", "afpacket", "--states", "all", "--quiet", "-o", out, "--manifest", manifest)
	begins(t, dir)
	var frame []byte
	for range 100 {
		if frame = answerTo(heard.Frames()); frame != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if frame == nil {
		t.Fatal("no probe was seen")
	}
	if err := run.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	flood(t, far, "net0", frame, 400_000)
	if err := run.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got := code(t, run); got != exitIncomplete || strings.Count(said.String(), "\n") != 1 || !strings.Contains(said.String(), "dropped by the kernel unread") {
		t.Errorf("exit %d, said %q; want 3 and one line about the ring", got, said)
	}
	m := manifestOf(t, manifest)
	s := m.Run.Scan
	if m.Complete || s.Counters.RingDrops == 0 || s.Open != 1 || s.Closed != 255 {
		t.Errorf("complete %t, %d dropped, %d open, %d closed; want incomplete, some, 1 and 255", m.Complete, s.Counters.RingDrops, s.Open, s.Closed)
	}
	for target, row := range rows(t, out) {
		if strings.HasPrefix(row, "open") != (target == "10.2.0.10:1947") {
			t.Errorf("%s is called %s", target, row)
		}
	}
	t.Logf("%d dropped, %d duplicate", s.Counters.RingDrops, s.Counters.Duplicate)
}

// TestRouteVanishesBeforeTheDialogue takes the route away while the ports that
// were found open are talked to: that is a fault of this side, and is said.
func TestRouteVanishesBeforeTheDialogue(t *testing.T) {
	t.Parallel() // it waits, most of the time
	scan, far := faultLab(t)
	for i := range 40 {
		far.Listen(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, byte(100 + i)}), 1947))
	}
	dir := t.TempDir()
	out, manifest := filepath.Join(dir, "out.csv"), filepath.Join(dir, "m.json")
	run, said := inside(t, scan, dir, "scan", "10.2.0.0/24", "--ports", "1947/tcp", "--rate", "100", "--retries", "0",
		"--backend", "afpacket", "--quiet", "-o", out, "--manifest", manifest)
	begins(t, dir)
	time.Sleep(1200 * time.Millisecond)
	scan.Unroute("10.2.0.0/24")
	if got := code(t, run); got != exitIncomplete || strings.Count(said.String(), "\n") != 1 || !strings.Contains(said.String(), "failed on this side") {
		t.Errorf("exit %d, said %q; want 3, and that dialogues failed on this side", got, said)
	}
	m := manifestOf(t, manifest)
	if m.Complete || m.Run.Identify.LocalErrors == 0 || m.Run.Scan.Open != 41 || m.Run.Scan.Closed != 215 {
		t.Errorf("complete %t because of %q, %d dialogues failed, %d open, %d closed; want incomplete, some, 41 and 215",
			m.Complete, m.Why, m.Run.Identify.LocalErrors, m.Run.Scan.Open, m.Run.Scan.Closed)
	}
	named := 0 // by what was heard before: connections that are closed at once
	for _, row := range rows(t, out) {
		if strings.Contains(row, "middlebox") {
			named++
		}
	}
	if named > 30 { // about half of them were met before
		t.Errorf("%d of 41 are called something, though most were met without a route", named)
	}
}

// TestCanaryOverRawFrames: a port that is known to be open and is not seen open
// makes the run incomplete, also over raw frames.
func TestCanaryOverRawFrames(t *testing.T) {
	t.Parallel() // it waits, most of the time
	scan, _ := faultLab(t)
	for _, tt := range []struct {
		canary string
		want   int
		say    string
	}{
		{"10.2.0.10:1947/tcp", exitOK, ""},
		{"10.2.0.11:1947/tcp", exitIncomplete, "incomplete: canary 10.2.0.11:1947/tcp was not seen open\n"},
	} {
		dir := t.TempDir()
		run, said := inside(t, scan, dir, "scan", "10.2.0.8/29", "--ports", "1947/tcp", "--backend", "afpacket", "--no-identify", "--quiet",
			"-o", filepath.Join(dir, "out.csv"), "--canary", tt.canary)
		if got := code(t, run); got != tt.want || !strings.HasSuffix(said.String(), tt.say) || strings.Count(said.String(), "\n") != strings.Count(tt.say, "\n") {
			t.Errorf("%s: exit %d, said %q; want %d and %q", tt.canary, got, said, tt.want, tt.say)
		}
	}
}
