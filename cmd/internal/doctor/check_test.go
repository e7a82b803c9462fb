package doctor

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// healthy is a host on which everything is as it should be.
func healthy() Facts {
	return Facts{
		Backend:     Backend{Name: "afpacket", InFlight: 8192},
		Interfaces:  []Interface{{Name: "eth0", Up: true, MTU: 1500, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/24")}}},
		Descriptors: 20000,
		Ephemeral:   Span{32768, 60999},
		Ports:       []uint16{475, 1947, 3588},
		NeverScan:   NeverScan{Path: "/etc/dormant/never-scan.txt", IPv4: 3},
		State:       Folder{Path: "/home/me/.local/state/dormant"},
		Temp:        Folder{Path: "/tmp"},
		Clock:       Clock{Now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), SyncReadable: true},
	}
}

func TestHealthy(t *testing.T) {
	var got []string
	for _, c := range Examine(healthy()) {
		got = append(got, string(c.Status)+" "+c.Name+": "+c.Detail)
	}
	want := []string{
		"ok raw sockets: permitted",
		"ok backend: auto takes afpacket",
		"ok interface: eth0 up, mtu 1500, 10.0.0.5/24",
		"skip route: no targets named",
		"ok proxy: a connect to a closed local port is refused, as it must be",
		"ok local firewall: no nftables chain on the way in or out",
		"ok connection tracking: none on this host",
		"ok descriptors: 20000, hence 8192 probes at once by connect",
		"ok ephemeral ports: 32768-60999, no dormant port among them",
		"ok never-scan: /etc/dormant/never-scan.txt is good and excludes 3 IPv4 addresses",
		"ok state folder: /home/me/.local/state/dormant can be written",
		"ok temporary folder: /tmp can be written",
		"ok clock: 2026-05-01T00:00:00Z, synchronised",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("checks (-want +got):\n%s", d)
	}
}

// Each row breaks one thing of a healthy host; the check that changes must say
// so, and no other may change its status.
func TestExamine(t *testing.T) {
	addr, gateway := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.0.0.1")
	source := netip.MustParseAddr("10.0.0.5")
	via := Hop{To: addr, Interface: "eth0", Gateway: gateway, Source: source}
	onLink := Hop{To: addr, Interface: "eth1", Source: source}
	for _, tt := range []struct {
		name   string
		change func(*Facts)
		check  string
		status Status
		detail string
	}{
		{"no privilege", func(f *Facts) { f.Raw.Err = errors.New("no permission") }, "raw sockets", Warn, "no permission"},
		{"user namespace", func(f *Facts) { f.Raw.Namespace = true }, "raw sockets", OK, "permitted, in a user namespace: they reach only its own networks"},
		{"fallen back", func(f *Facts) { f.Backend = Backend{Name: "connect", Note: "no raw sockets"} }, "backend", OK, "auto takes connect: no raw sockets"},
		{"no sockets at all", func(f *Facts) { f.Backend.Err = errors.New("no sockets") }, "backend", Fail, "no sockets"},
		{"link down", func(f *Facts) { f.Interfaces[0].Up = false }, "interface", Warn, "no interface but loopback has an address: nothing beyond this host can be scanned"},
		{"tiny MTU", func(f *Facts) { f.Interfaces[0].MTU = 500 }, "interface", Warn, "eth0 up, mtu 500, 10.0.0.5/24"},
		{"link-local only", func(f *Facts) { f.Interfaces[0].Addrs[0] = netip.MustParsePrefix("fe80::5/64") }, "interface", Warn, "no interface but loopback has an address: nothing beyond this host can be scanned"},
		{"loopback only", func(f *Facts) { f.Interfaces[0].Loopback = true }, "interface", Warn, "no interface but loopback has an address: nothing beyond this host can be scanned"},
		{"one of two without an address", func(f *Facts) { f.Interfaces = append(f.Interfaces, Interface{Name: "eth1", Up: true, MTU: 576}) }, "interface", OK, "eth1 up, mtu 576, no address"},
		{"one of two down", func(f *Facts) { f.Interfaces = append(f.Interfaces, Interface{Name: "eth1"}) }, "interface", OK, "down: eth1"},
		{"routed", func(f *Facts) { f.Asked, f.Routes = true, []Route{{"10.1.0.0/16", []Hop{via, via}}} }, "route", OK, "10.1.0.0/16 via 10.0.0.1 on eth0 from 10.0.0.5"},
		{"two ways", func(f *Facts) { f.Asked, f.Routes = true, []Route{{"10.1.0.0/16", []Hop{via, onLink}}} }, "route", Warn, "10.1.0.0/16 via 10.0.0.1 on eth0 from 10.0.0.5; its end on-link on eth1 from 10.0.0.5"},
		{"no route", func(f *Facts) {
			f.Asked, f.Routes = true, []Route{{"10.1.0.1", []Hop{{To: addr, Err: errors.New("has no route")}}}}
		}, "route", Warn, "10.1.0.1 has no route"},
		{"no address to send from", func(f *Facts) {
			f.Asked, f.Routes = true, []Route{{"fe80::1%eth1", []Hop{{To: addr, Interface: "eth1"}}}}
		}, "route", Warn, "fe80::1%eth1 on-link on eth1, which has no address of that kind"},
		{"itself", func(f *Facts) { f.Asked, f.Routes = true, []Route{{"10.0.0.5", []Hop{{To: source, Local: true}}}} }, "route", OK, "10.0.0.5 is this host itself"},
		{"proxy", func(f *Facts) { f.Proxy.Connected = true }, "proxy", Fail, "a connect to a closed local port succeeded: something on this host answers in the place of others"},
		{"no refusal", func(f *Facts) { f.Proxy.Err = errors.New("timeout") }, "proxy", Warn, "a connect to a closed local port was not refused: timeout"},
		{"firewall unreadable", func(f *Facts) { f.Firewall.Err = errors.New("needs root") }, "local firewall", Skip, "not looked at: needs root"},
		{"rules", func(f *Facts) { f.Firewall.Chains = []Chain{{"ip", "filter", "INPUT", "input", false, 7}} }, "local firewall", OK, "nftables: 1 chains on the way in or out, 7 rules, not interpreted"},
		{"drop", func(f *Facts) { f.Firewall.Chains = []Chain{{"inet", "fw", "in", "input", true, 2}} }, "local firewall", Warn, "nftables: 1 chains on the way in or out, 2 rules, not interpreted; drop by default: inet fw in (input)"},
		{"legacy tables", func(f *Facts) { f.Firewall.Legacy = []string{"filter"} }, "local firewall", Warn, "no nftables chain on the way in or out; tables of the older iptables, not looked into: filter"},
		{"tracking", func(f *Facts) { f.Conntrack = Conntrack{100, 262144} }, "connection tracking", OK, "100 of 262144 entries used"},
		{"tracking nearly full", func(f *Facts) { f.Conntrack = Conntrack{60000, 65536} }, "connection tracking", Warn, "60000 of 65536 entries used"},
		{"tracking, more than half", func(f *Facts) { f.Conntrack, f.Backend.InFlight = Conntrack{32769, 65536}, 192 }, "connection tracking", Warn, "32769 of 65536 entries used"},
		{"tracking, half", func(f *Facts) { f.Conntrack, f.Backend.InFlight = Conntrack{32768, 65536}, 192 }, "connection tracking", OK, "32768 of 65536 entries used"},
		{"tracking, too small for a scan", func(f *Facts) { f.Conntrack = Conntrack{1, 32768} }, "connection tracking", Warn, "1 of 32768 entries used"},
		{"few descriptors", func(f *Facts) { f.Descriptors, f.Backend.InFlight = 256, 192 }, "descriptors", Warn, "256, hence 192 probes at once by connect"},
		{"no descriptors", func(f *Facts) { f.Descriptors, f.Backend.InFlight = 16, 12 }, "descriptors", Fail, "16, hence 12 probes at once by connect"},
		{"ephemeral", func(f *Facts) { f.Ephemeral = Span{1024, 65535} }, "ephemeral ports", Warn, "1024-65535, which contain 1947, 3588"},
		{"ephemeral, its first and last", func(f *Facts) { f.Ephemeral = Span{475, 1947} }, "ephemeral ports", Warn, "475-1947, which contain 475, 1947"},
		{"one excluded", func(f *Facts) { f.NeverScan.IPv4 = 1 }, "never-scan", OK, "/etc/dormant/never-scan.txt is good and excludes 1 IPv4 address"},
		{"nothing excluded", func(f *Facts) { f.NeverScan = NeverScan{Path: "x", Missing: true} }, "never-scan", OK, "x does not exist: it excludes nothing"},
		{"broken exclusions", func(f *Facts) { f.NeverScan.Err = errors.New("x:3: bad") }, "never-scan", Fail, "x:3: bad"},
		{"state read-only", func(f *Facts) { f.State.Err = errors.New("read-only") }, "state folder", Warn, "read-only"},
		{"no temporary folder", func(f *Facts) { f.Temp.Err = errors.New("gone") }, "temporary folder", Fail, "gone"},
		{"clock behind", func(f *Facts) { f.Clock.NotBefore = f.Clock.Now.AddDate(1, 0, 0) }, "clock", Warn, "2026-05-01T00:00:00Z, before this program was made"},
		{"clock not kept", func(f *Facts) { f.Clock.Unsynced = true }, "clock", Warn, "2026-05-01T00:00:00Z, and the kernel says that nobody keeps it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := healthy()
			tt.change(&f)
			checks := Examine(f)
			found := false
			for _, c := range checks {
				if c.Name == tt.check && c.Detail == tt.detail && c.Status == tt.status {
					found = true
				} else if c.Name != tt.check && c.Status != OK && c.Status != Skip {
					t.Errorf("%s is %s too: %s", c.Name, c.Status, c.Detail)
				}
				if (c.Status == Warn || c.Status == Fail) && c.Advice == "" {
					t.Errorf("%s is %s without advice", c.Name, c.Status)
				}
			}
			if !found {
				t.Errorf("no check %q, %s, %q in %+v", tt.check, tt.status, tt.detail, checks)
			}
			if CanScan(checks) != (tt.status != Fail) {
				t.Errorf("CanScan = %t with a %s", CanScan(checks), tt.status)
			}
		})
	}
}
