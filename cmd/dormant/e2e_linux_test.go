package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"dormant/cmd/internal/lab"
	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner/netlab"
)

// network is a scanner's machine and everything that it can reach: a /24 on
// its own link, a routed /24, and an IPv6 /120 on the link. Real programs and
// the lab's replayed license managers live in it; most addresses are dark.
type network struct {
	here, there *netlab.NS
	truth       map[netip.AddrPort]truth // what is open, by address and port
	udp         map[netip.AddrPort]truth
}

type truth struct {
	verdict fingerprint.Class
	product string // "" when any will do
	version string
}

const (
	onLink, routed, six = "10.66.1.0/24", "10.77.0.0/24", "fd66::/120"
	excludedOnLink      = "10.66.1.13"  // something listens there all the same
	excludedRouted      = "10.77.0.11"  // the lab's old license server
	excludedDark        = "10.66.1.200" // and nobody is there
)

func newNetwork(t *testing.T) *network {
	t.Helper()
	here, there := netlab.Pair(t, "scan0", "net0")
	here.Addr("scan0", "10.66.1.1/24", "fd66::1/120")
	there.Addr("net0", "10.66.1.2/24", "10.66.1.10/24", "10.66.1.11/24", "10.66.1.12/24", excludedOnLink+"/24", "fd66::2/120", "fd66::10/120")
	here.Route(netlab.Route{Dst: "10.77.0.0/16", Via: "10.66.1.2"})
	there.Local("10.77.0.0/26", "10.77.0.100/32", "10.77.0.101/32", "10.77.0.102/32")
	there.ErrorsUnlimited()
	n := &network{here: here, there: there, truth: map[netip.AddrPort]truth{}, udp: map[netip.AddrPort]truth{}}
	there.Listen(netip.MustParseAddrPort(excludedOnLink + ":3588"))
	n.startLab(t)
	for _, p := range programs() {
		if command, ok := p.find(t); ok {
			p.start(t, there, p.at, command)
			n.truth[p.at] = truth{verdict: p.verdict, product: p.product}
		}
	}
	return n
}

// startLab serves the lab's hosts on the first addresses of the routed network.
func (n *network) startLab(t *testing.T) {
	t.Helper()
	ready := make(chan []lab.Host, 1)
	l, err := lab.New(lab.Config{Prefix: netip.MustParsePrefix("10.77.0.0/26"), Elsewhere: true, Ready: func(h []lab.Host) { ready <- h }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go n.there.Do(func() { done <- l.Run(ctx) }) // ends with ctx
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("lab: %v", err)
		}
	})
	select {
	case hosts := <-ready:
		for _, h := range hosts {
			for _, s := range h.Services {
				if h.Addr.String() == excludedRouted || s.Missing != "" {
					continue
				}
				open := n.truth
				if s.Port.Proto == registry.UDP {
					open = n.udp
				}
				open[netip.AddrPortFrom(h.Addr, s.Port.Number)] = truth{verdict: s.Verdict, version: s.Version}
			}
		}
	case err := <-done:
		done <- err
		t.Fatalf("lab: %v", err)
	}
}

// scan runs the command inside the scanner's namespace and returns its rows by
// column name, and what it said on stderr.
func (n *network) scan(t *testing.T, args ...string) (rows []map[string]string, stdout string) {
	t.Helper()
	dormant, err := exec.LookPath("dormant")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "audit.csv")
	args = append([]string{"scan", onLink, routed, six, "--exclude", excludedOnLink, "--exclude", excludedRouted + "," + excludedDark,
		"-o", file, "--progress", "never"}, args...)
	cmd := exec.Command(dormant, args...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_STATE_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	var stderr strings.Builder
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stderr
	n.here.Do(func() { err = cmd.Run() })
	if err != nil {
		t.Fatalf("dormant %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), stderr.String())
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range all[1:] {
		row := map[string]string{}
		for i, name := range all[0] {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
	return rows, out.String()
}

// open lists the truth and the findings in one form.
func (n *network) open() (all []string) {
	for at := range n.truth {
		all = append(all, at.String()+"/tcp")
	}
	for at := range n.udp {
		all = append(all, at.String()+"/udp")
	}
	slices.Sort(all)
	return all
}

func endpoints(rows []map[string]string) (all []string) {
	for _, r := range rows {
		all = append(all, endpointOf(r).String()+"/"+r["transport"])
	}
	slices.Sort(all)
	return all
}

func endpointOf(row map[string]string) netip.AddrPort {
	addr, _ := netip.ParseAddr(row["ip"])
	port, _ := strconv.ParseUint(row["port"], 10, 16)
	return netip.AddrPortFrom(addr, uint16(port))
}

// TestScanFindsExactlyWhatIsThere sweeps ten times, on two networks: no port
// more, no port fewer, and not one packet to an address or a port that was not
// asked for.
func TestScanFindsExactlyWhatIsThere(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, seeds := range [][]int{{1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}} {
		t.Run(fmt.Sprintf("seeds from %d", seeds[0]), func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			heard := n.there.Capture("net0")
			for _, seed := range seeds {
				rows, _ := n.scan(t, "--no-identify", "--rate", "20000", "--host-rate", "1000", "--retries", "1", "--seed", strconv.Itoa(seed))
				if d := cmp.Diff(n.open(), endpoints(rows)); d != "" {
					t.Errorf("seed %d: open ports (-want +got):\n%s", seed, d)
				}
			}
			if canaries := checkPackets(t, heard.Frames()); canaries != 0 {
				t.Errorf("%d connects off the list from a sweep without dialogues", canaries)
			}
		})
	}
}

// TestScanNamesWhatIsThere holds the dialogues, too.
func TestScanNamesWhatIsThere(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel() // it waits, most of the time
	n := newNetwork(t)
	heard := n.there.Capture("net0")
	started := time.Now()
	rows, out := n.scan(t, "--rate", "20000")
	t.Logf("the whole command took %v", time.Since(started).Round(time.Millisecond))
	if d := cmp.Diff(n.open(), endpoints(rows)); d != "" {
		t.Errorf("open ports (-want +got):\n%s", d)
	}
	for _, r := range rows {
		want, ok := n.truth[endpointOf(r)]
		if r["transport"] == "udp" {
			want, ok = n.udp[endpointOf(r)]
		}
		if !ok {
			continue // reported above
		}
		wantProduct, wantVersion := want.product, want.version
		if wantProduct == "" {
			wantProduct = r["product"]
		}
		if wantVersion == "" {
			wantVersion = strings.TrimPrefix(r["version"], "v")
		}
		got := fmt.Sprintf("%s %s %s", r["verdict"], r["product"], strings.TrimPrefix(r["version"], "v"))
		if w := fmt.Sprintf("%s %s %s", want.verdict, wantProduct, wantVersion); got != w {
			t.Errorf("%s:%s/%s is called %q, want %q; evidence %s", r["ip"], r["port"], r["transport"], got, w, r["evidence"])
		}
		if r["confirmed"] != "yes" {
			t.Errorf("%s:%s/%s confirmed = %q, want yes", r["ip"], r["port"], r["transport"], r["confirmed"])
		}
		if r["service"] == r["iana_name"] {
			t.Errorf("%s:%s: the registry's name %q stands as the service", r["ip"], r["port"], r["service"])
		}
	}
	if canaries := checkPackets(t, heard.Frames()); canaries == 0 {
		t.Error("no canary connect was seen")
	}
	if !strings.Contains(out, "Complete.") {
		t.Errorf("the table does not say that the run is complete:\n%s", out)
	}
}

// checkPackets fails for every packet to an address or port that was not asked
// for, and returns how many connects went to canary ports.
func checkPackets(t *testing.T, frames [][]byte) (canaries int) {
	t.Helper()
	listed := []uint16{3588, 3712, 3047, 1947, 5093, 475}
	excluded := []string{excludedOnLink, excludedRouted, excludedDark}
	var wrong []string
	for _, frame := range frames {
		p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true})
		if a, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok {
			if dst, ok := netip.AddrFromSlice(a.DstProtAddress); ok && a.Operation == layers.ARPRequest && slices.Contains(excluded, dst.String()) {
				wrong = append(wrong, "ARP for "+dst.String())
			}
			continue
		}
		net := p.NetworkLayer()
		if net == nil {
			continue
		}
		dst := net.NetworkFlow().Dst().String()
		if slices.Contains(excluded, dst) {
			wrong = append(wrong, net.NetworkFlow().String())
		}
		switch l := p.TransportLayer().(type) {
		case *layers.TCP:
			port := uint16(l.DstPort)
			switch {
			case slices.Contains(listed, port):
			case port >= 20000 && port <= 60000 && len(l.Payload) == 0:
				if l.SYN {
					canaries++
				}
			default:
				wrong = append(wrong, fmt.Sprintf("tcp %s:%d", dst, port))
			}
		case *layers.UDP:
			if !slices.Contains(listed, uint16(l.DstPort)) || len(l.Payload) > 256 {
				wrong = append(wrong, fmt.Sprintf("udp %s:%d, %d bytes", dst, l.DstPort, len(l.Payload)))
			}
		}
	}
	if len(wrong) > 0 {
		t.Errorf("%d packets that nobody asked for, the first of them:\n%s", len(wrong), lines(wrong[:min(len(wrong), 20)]))
	}
	if len(frames) == 0 {
		t.Error("the far end captured nothing")
	}
	return canaries
}
