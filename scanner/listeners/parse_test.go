package listeners

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseSocket(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       socket
		ok         bool
	}{
		{
			"a listener", "   0: 0100007F:079B 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0000000000000000 100 0 0 10 0",
			socket{netip.MustParseAddrPort("127.0.0.1:1947"), netip.MustParseAddrPort("0.0.0.0:0"), stateListen, 1000, 12345}, true,
		},
		{
			"IPv6", "  11: 000000FD000000000000000005000000:0E80 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 7 2 0 0",
			socket{netip.MustParseAddrPort("[fd00:0:0:0:0:0:0:5]:3712"), netip.MustParseAddrPort("[::]:0"), stateClose, 0, 7}, true,
		},
		{"cut", "   0: 0100007F:079B 00000000:0000 0A", socket{}, false},
		{"an address too short", "   0: 01007F:079B 00000000:0000 0A 0:0 0:0 0 1000 0 12345", socket{}, false},
		{"a port too large", "   0: 0100007F:1079B 00000000:0000 0A 0:0 0:0 0 1000 0 12345", socket{}, false},
		{"no inode", "   0: 0100007F:079B 00000000:0000 0A 0:0 0:0 0 1000 0 x", socket{}, false},
	} {
		got, err := parseSocket(tt.line)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s: parseSocket = %+v, %v; want %+v, ok %t", tt.name, got, err, tt.want, tt.ok)
		}
	}
}

func TestPlaced(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, tt := range []struct{ name, text, unit, container string }{
		{"a unit", "0::/system.slice/aksusbd.service\n", "aksusbd.service", ""},
		{"version 1", "12:pids:/x.service\n1:name=systemd:/system.slice/nginx.service\n", "nginx.service", ""},
		{"a user's unit", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vite.service\n", "vite.service", ""},
		{"docker", "0::/system.slice/docker-" + id + ".scope\n", "docker-" + id + ".scope", "0123456789ab"},
		{"docker, version 1", "4:memory:/docker/" + id + "\n", "", "0123456789ab"},
		{"kubernetes", "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope\n", "cri-containerd-" + id + ".scope", "0123456789ab"},
		{"nothing", "0::/\n", "", ""},
		{"nonsense", "::::\n\n:", "", ""},
	} {
		if unit, container := placed(tt.text); unit != tt.unit || container != tt.container {
			t.Errorf("%s: placed = %q, %q; want %q, %q", tt.name, unit, container, tt.unit, tt.container)
		}
	}
}

func TestScript(t *testing.T) {
	for _, tt := range []struct{ name, cmdline, want string }{
		{"node", "node\x00--inspect\x00/srv/vite.js\x00--token=secret\x00", "/srv/vite.js"},
		{"node", "node\x00-e\x00secret()\x00", ""},
		{"node", "node\x00-r\x00x.js\x00y.js\x00", "x.js"},
		{"python3.11", "python3.11\x00-m\x00http.server\x003712\x00", "-m http.server"},
		{"java", "java\x00-Xmx1g\x00-jar\x00/opt/lm.jar\x00", "-jar /opt/lm.jar"},
		{"nginx", "nginx\x00/etc/nginx.conf\x00", ""},
		{"node", "", ""},
	} {
		if got := script(tt.name, tt.cmdline); got != tt.want {
			t.Errorf("script(%q, %q) = %q, want %q", tt.name, tt.cmdline, got, tt.want)
		}
	}
}

func TestStartTicks(t *testing.T) {
	stat := "12 (a) b) c) S 1 12 12 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 987654 1000 10 18446744073709551615"
	if n, ok := startTicks(stat); n != 987654 || !ok {
		t.Errorf("startTicks = %d, %t", n, ok)
	}
	if _, ok := startTicks("12 (a) S 1"); ok {
		t.Error("a cut line has a start")
	}
}

func TestEphemeral(t *testing.T) {
	e, err := parseRange("1024\t60999\n")
	if err != nil {
		t.Fatal(err)
	}
	if e.Reserved, err = parseReserved("1947,3047-3050\n"); err != nil {
		t.Fatal(err)
	}
	for port, want := range map[uint16]bool{1023: false, 1024: true, 1947: false, 3049: false, 3051: true, 60999: true, 61000: false} {
		if got := e.Holds(port); got != want {
			t.Errorf("Holds(%d) = %t, want %t", port, got, want)
		}
	}
	if (Ephemeral{}).Holds(0) {
		t.Error("no range holds a port")
	}
	for _, bad := range []string{"", "1", "9 8", "a b", "1 65536"} {
		if _, err := parseRange(bad); err == nil {
			t.Errorf("parseRange(%q): want an error", bad)
		}
	}
	for _, bad := range []string{"x", "9-8", "1-65536"} {
		if _, err := parseReserved(bad); err == nil {
			t.Errorf("parseReserved(%q): want an error", bad)
		}
	}
}

func TestLocalAddresses(t *testing.T) {
	const trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.0.0\n        /24 link UNICAST\n     |-- 10.1.0.1\n        /32 host LOCAL\n" +
		"     |-- 10.1.0.255\n        /32 link BROADCAST\nLocal:\n     |-- 10.1.0.1\n        /32 host LOCAL\n"
	want := []netip.Addr{netip.MustParseAddr("10.1.0.1")}
	if d := cmp.Diff(want, localIPv4(trie), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("localIPv4 (-want +got):\n%s", d)
	}
	want = []netip.Addr{netip.MustParseAddr("fd00::5")}
	if d := cmp.Diff(want, localIPv6("fd000000000000000000000000000005 02 40 00 80 eth0\n\nzz\n"), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("localIPv6 (-want +got):\n%s", d)
	}
}

// FuzzParse holds that no text of /proc, parts of which are chosen by
// processes, makes a parser panic or return more than it was given.
func FuzzParse(f *testing.F) {
	f.Add("   0: 0100007F:079B 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1")
	f.Add("12 (a) b) S 1 12 12 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 987654 1000")
	f.Add("0::/system.slice/x.service\n")
	f.Add("python3\x00-m\x00http.server")
	f.Add("     |-- 10.1.0.1\n        /32 host LOCAL\n")
	f.Add("1947,3047-3050")
	f.Fuzz(func(t *testing.T, s string) {
		if x, err := parseSocket(s); err == nil && !x.local.IsValid() {
			t.Fatalf("half a socket: %+v", x)
		}
		startTicks(s)
		unit, container := placed(s)
		if len(unit) > len(s) || len(container) > 12 {
			t.Fatalf("placed = %q, %q", unit, container)
		}
		for _, name := range []string{"node", "python3", "java"} {
			if len(script(name, s)) > 255 {
				t.Fatal("a script without a bound")
			}
		}
		localIPv4(s)
		localIPv6(s)
		if e, err := parseRange(s); err == nil && e.First > e.Last {
			t.Fatalf("range %+v", e)
		}
		if _, err := parseReserved(s); err == nil && len(s) == 0 {
			return
		}
	})
}
