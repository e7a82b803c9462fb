package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"dormant/scanner/netlab"
)

// firewallLab is a scanning host, a router with a firewall, and servers behind
// it that listen on some of the ports.
type firewallLab struct {
	t                     *testing.T
	scan, router, servers *netlab.NS
	dir                   string
}

func newFirewallLab(t *testing.T) *firewallLab {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		if os.Getenv("DORMANT_REQUIRE_PROGRAMS") != "" {
			t.Fatal("nft is not installed, and DORMANT_REQUIRE_PROGRAMS is set")
		}
		t.Skip("nft is not installed")
	}
	l := &firewallLab{t: t, scan: netlab.New(t), router: netlab.New(t), servers: netlab.New(t), dir: t.TempDir()}
	netlab.Join(l.scan, "scan0", l.router, "in0")
	netlab.Join(l.router, "out0", l.servers, "net0")
	l.scan.Addr("scan0", "10.1.0.5/24")
	l.router.Addr("in0", "10.1.0.1/24")
	l.router.Addr("out0", "10.2.0.1/24")
	l.servers.Addr("net0", "10.2.0.10/24", "10.2.0.11/24", "10.2.0.12/24")
	l.router.Sysctl("net.ipv4.ip_forward=1")
	l.scan.Route(netlab.Route{Dst: "10.2.0.0/24", Via: "10.1.0.1"})
	l.servers.Route(netlab.Route{Dst: "10.1.0.0/24", Via: "10.2.0.1"})
	l.servers.Listen(netip.MustParseAddrPort("10.2.0.10:1947"), netip.MustParseAddrPort("10.2.0.11:1947"), netip.MustParseAddrPort("10.2.0.11:3588"))
	l.servers.Answer([]byte("an answer"), netip.MustParseAddrPort("10.2.0.12:5093"))
	return l
}

// file is a file of the test.
func (l *firewallLab) file(name string) string { return filepath.Join(l.dir, name) }

// run runs the program inside the scanning host and returns its exit code and
// what it printed.
func (l *firewallLab) run(args ...string) (int, string) {
	l.t.Helper()
	cmd := command(l.dir, args...)
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	var err error
	l.scan.Do(func() { err = cmd.Start() })
	if err != nil {
		l.t.Fatal(err)
	}
	return code(l.t, cmd), out.String() + said.String()
}

// rules loads rules into a namespace and returns how nft lists them.
func (l *firewallLab) rules(ns *netlab.NS, rules string) string {
	l.t.Helper()
	var listing []byte
	var err error
	ns.Do(func() {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader("flush ruleset\n" + rules)
		if listing, err = cmd.CombinedOutput(); err == nil {
			listing, err = exec.Command("nft", "-j", "list", "ruleset").Output()
		}
	})
	if err != nil {
		l.t.Fatalf("nft: %v\n%s", err, listing)
	}
	return string(listing)
}

// TestFirewallChange goes the whole way on a real firewall: scan, impact of the
// proposed rules, the change, verify; then the change again with a mistake.
func TestFirewallChange(t *testing.T) {
	t.Parallel() // it waits, most of the time
	l := newFirewallLab(t)
	const table = "table inet filter {\nchain forward { type filter hook forward priority 0; policy accept;\nct state established accept\n"
	const proposed = table + "ip daddr 10.2.0.11 tcp dport 1947 drop\nip daddr 10.2.0.11 tcp dport 3588 reject with tcp reset\n}\n}\n"
	const mistake = table + "ip daddr 10.2.0.0/24 udp dport 5093 drop\nip daddr 10.2.0.11 tcp dport 1947 drop\n}\n}\n"
	audit, impact, listing := l.file("audit.csv"), l.file("impact.json"), l.file("ruleset.json")

	if got, said := l.run("scan", "10.2.0.10-12", "--no-identify", "--no-history", "--quiet", "-o", audit); got != exitOK {
		t.Fatalf("scan: exit %d\n%s", got, said)
	}
	elsewhere := netlab.New(t) // where the proposal is written, not where it holds
	if err := os.WriteFile(listing, []byte(l.rules(elsewhere, proposed)), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, said := l.run("firewall", "impact", "--proposed", listing, "--findings", audit, "-o", impact); got != exitFindings {
		t.Fatalf("impact: exit %d\n%s", got, said)
	}

	heard := l.servers.Capture("net0")
	for _, tt := range []struct {
		name, rules string
		exit        int
		say         string
	}{
		{"not yet changed", "", exitFindings, "2 services as predicted, 2 deviate."},
		{"changed", proposed, exitOK, "4 services as predicted."},
		{"changed with a mistake", mistake, exitFindings, "2 services as predicted, 2 deviate; ROLL BACK: something that was to stay is gone."},
	} {
		l.rules(l.router, tt.rules)
		got, said := l.run("firewall", "verify", "--impact", impact)
		if first, _, _ := strings.Cut(said, "\n"); got != tt.exit || first != tt.say {
			t.Errorf("%s: exit %d, want %d and %q\n%s", tt.name, got, tt.exit, tt.say, said)
		}
	}
	listed := map[string]bool{"10.2.0.10:1947/tcp": true, "10.2.0.11:1947/tcp": true, "10.2.0.11:3588/tcp": true, "10.2.0.12:5093/udp": true}
	for _, frame := range heard.Frames() {
		if where := destination(frame); where != "" && !listed[where] {
			t.Errorf("verify sent a packet to %s, which the impact does not list", where)
		}
	}
}

// destination is where a TCP or UDP frame goes, "" for others.
func destination(frame []byte) string {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if !ok {
		return ""
	}
	if tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP); ok {
		return fmt.Sprintf("%s:%d/tcp", ip.DstIP, tcp.DstPort)
	}
	if udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP); ok {
		return fmt.Sprintf("%s:%d/udp", ip.DstIP, udp.DstPort)
	}
	return ""
}
