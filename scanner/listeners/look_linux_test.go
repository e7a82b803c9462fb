package listeners

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"dormant/registry"
	"dormant/scanner/netlab"
)

// TestMain lets the tests start this very program as a listener.
func TestMain(m *testing.M) {
	if addrs := os.Getenv("DORMANT_TEST_LISTEN"); addrs != "" {
		os.Exit(listenAndWait(addrs))
	}
	os.Exit(m.Run())
}

// listenAndWait listens on "tcp=127.0.0.1:1947 udp=… udp4%lo=…" until stdin ends.
func listenAndWait(addrs string) int {
	for a := range strings.FieldsSeq(addrs) {
		network, addr, _ := strings.Cut(a, "=")
		network, device, _ := strings.Cut(network, "%")
		c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
			if e := raw.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), device) }); e != nil {
				err = e
			}
			return err
		}}
		var err error
		if strings.HasPrefix(network, "udp") {
			_, err = c.ListenPacket(context.Background(), network, addr)
		} else {
			_, err = c.Listen(context.Background(), network, addr)
		}
		if err != nil {
			fmt.Println(err)
			return 1
		}
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// start runs a program of this test's in a namespace until the test ends or
// stop is called. path is the program file, this one when empty.
func start(t *testing.T, ns *netlab.NS, path, addrs string) (pid int, stop func()) {
	t.Helper()
	if path == "" {
		var err error
		if path, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), "DORMANT_TEST_LISTEN="+addrs)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	ns.Do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			_ = in.Close()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the listener says %q, %v", line, err)
	}
	return cmd.Process.Pid, stop
}

// lookIn looks from inside a namespace at three ports.
func lookIn(t *testing.T, ns *netlab.NS) Report {
	t.Helper()
	var r Report
	var err error
	var ports []registry.Port
	for _, n := range []uint16{1947, 3712, 5093} {
		ports = append(ports, registry.Port{Number: n, Proto: registry.TCP}, registry.Port{Number: n, Proto: registry.UDP})
	}
	// The folder of the thread, not of the process: only the thread is inside.
	ns.Do(func() { r, err = Look(t.Context(), Config{Ports: ports}) })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func of(r Report, pid int) []Listener {
	return slices.DeleteFunc(slices.Clone(r.Listeners), func(l Listener) bool { return l.Process == nil || l.Process.PID != pid })
}

// TestListenersAppearAndVanish looks at a real program in a namespace of its
// own before, while and after it runs.
func TestListenersAppearAndVanish(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	other, peer := netlab.Pair(t, "in0", "out0")
	other.Addr("in0", "10.1.0.1/24", "fd00::1/64")
	peer.Addr("out0", "10.1.0.2/24")

	before := time.Now().Add(-2 * time.Second)
	pid, stop := start(t, other, "", "tcp4=0.0.0.0:1947 udp=[::]:1947 udp6=[::]:5093 tcp6=[::]:5093 tcp=127.0.0.1:3712 udp4%lo=0.0.0.0:3712")
	r := lookIn(t, peer)
	got := of(r, pid)
	self, _ := os.Executable()
	want := []string{"1947/tcp 0.0.0.0 [10.1.0.1]", "1947/udp :: [10.1.0.1 fd00::1]", "3712/tcp 127.0.0.1 [127.0.0.1]",
		"3712/udp 0.0.0.0 [127.0.0.1]", "5093/tcp :: [fd00::1]", "5093/udp :: [fd00::1]"}
	if len(got) != len(want) {
		t.Fatalf("%d listeners of process %d, want %d: %+v", len(got), pid, len(want), r.Listeners)
	}
	for i, l := range of(lookIn(t, other), pid) {
		if s := fmt.Sprint(l.Port, " ", l.Bound, " ", l.Addrs); s != want[i] || l.Namespace != "" {
			t.Errorf("listener %d from its own namespace: %s, want %s", i, s, want[i])
		}
	}
	for i, l := range got {
		if s := fmt.Sprint(l.Port, " ", l.Bound, " ", l.Addrs); s != want[i] || l.Role != Listens {
			t.Errorf("listener %d: %s %s, want %s", i, s, l.Role, want[i])
		}
		if !strings.HasPrefix(l.Namespace, "net:[") {
			t.Errorf("namespace = %q", l.Namespace)
		}
		p := l.Process
		if p.Path != self || p.Name != filepath.Base(self) || p.Started.Before(before) || p.Started.After(time.Now().Add(2*time.Second)) || p.Package != "" || p.User == "" {
			t.Errorf("process = %+v, want %s", p, self)
		}
	}
	if r.Namespaces < 2 {
		t.Errorf("%d namespaces were read", r.Namespaces)
	}
	stop()
	if got := of(lookIn(t, peer), pid); len(got) != 0 {
		t.Errorf("after its end: %+v", got)
	}
}

// TestDeletedProgram runs a file that is removed while it listens.
func TestDeletedProgram(t *testing.T) {
	ns := netlab.New(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "updater")
	if err := os.WriteFile(path, b, 0o700); err != nil {
		t.Fatal(err)
	}
	pid, _ := start(t, ns, path, "tcp=127.0.0.1:3712")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	got := of(lookIn(t, ns), pid)
	if len(got) != 1 || got[0].Process.Path != path || !got[0].Process.Deleted || got[0].Process.Name != "updater" {
		t.Errorf("listeners = %+v", got)
	}
}

// TestSourcePort holds a port as a client, and accepts one as a server.
func TestSourcePort(t *testing.T) {
	ns := netlab.New(t)
	var l, m net.Listener
	var c, d net.Conn
	var err error
	ns.Do(func() {
		if l, err = net.Listen("tcp", "127.0.0.1:8080"); err != nil {
			return
		}
		if m, err = net.Listen("tcp", "127.0.0.1:1947"); err != nil {
			return
		}
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 3712}}
		if c, err = from.Dial("tcp", "127.0.0.1:8080"); err != nil {
			return
		}
		d, err = net.Dial("tcp", "127.0.0.1:1947")
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []io.Closer{l, m, c, d} {
		t.Cleanup(func() { _ = x.Close() })
	}
	var got []string
	for _, l := range lookIn(t, ns).Listeners {
		if l.Process != nil && l.Process.PID == os.Getpid() && l.Namespace == "" {
			got = append(got, fmt.Sprint(l.Port, " ", l.Role, " ", l.Peer))
		}
	}
	if want := []string{"1947/tcp listens invalid AddrPort", "3712/tcp source_port 127.0.0.1:8080"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPackages(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"var/lib/dpkg/info/ssh-server:amd64.list": "/.\n/usr\n/usr/sbin\n/usr/sbin/sshd\n",
		"var/lib/dpkg/info/coreutils.list":        "/bin/cat\n",
		"var/lib/dpkg/status":                     "Package: coreutils\nDepends: " + strings.Repeat("a, ", 50_000) + "\nVersion: 9.1-1\n\nPackage: ssh-server\nVersion: 1:9.2\n",
		"lib/apk/db/installed":                    "P:busybox\nV:1.36.1-r5\nF:bin\nR:busybox\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What a hostile container may put there: a way out.
	if err := os.Symlink("/etc/passwd", filepath.Join(root, "var/lib/dpkg/info/x.list")); err != nil {
		t.Fatal(err)
	}
	r := openPackages(root, false)
	defer r.close()
	paths := map[string]string{"/usr/sbin/sshd": "", "/usr/bin/cat": "", "/bin/busybox": "", "/tmp/x": ""}
	r.owners(t.Context(), paths)
	for path, want := range map[string]string{"/usr/sbin/sshd": "ssh-server 1:9.2", "/usr/bin/cat": "coreutils 9.1-1", "/bin/busybox": "busybox 1.36.1-r5", "/tmp/x": ""} {
		if paths[path] != want {
			t.Errorf("owner of %s = %q, want %q", path, paths[path], want)
		}
	}
	if !r.known {
		t.Error("no database was found")
	}
}

func TestLookFaults(t *testing.T) {
	if _, err := Look(t.Context(), Config{}); err == nil {
		t.Error("no ports: want an error")
	}
	_, err := Look(context.Background(), Config{Ports: []registry.Port{{Number: 1, Proto: registry.TCP}}, Proc: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "mounted?") {
		t.Errorf("an empty proc: %v", err)
	}
}

func TestReached(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}
	p := registry.Port{Number: 1947, Proto: registry.TCP}
	six, four := Listener{Port: p, Role: Listens, Bound: netip.IPv6Unspecified()}, Listener{Port: p, Role: Listens, Bound: netip.IPv4Unspecified()}
	for _, tt := range []struct {
		name   string
		x      Listener
		by     bounds
		others []Listener
		addrs  []netip.Addr
		want   string
	}{
		{"both families", six, bounds{}, []Listener{six}, addrs, "[10.0.0.1 fd00::1]"},
		{"one of each", six, bounds{}, []Listener{six, four}, addrs, "[fd00::1]"},
		{"IPv4", four, bounds{}, []Listener{six, four}, addrs, "[10.0.0.1]"},
		{"no address", four, bounds{}, nil, nil, "[127.0.0.1]"},
		{"IPv6 only", six, bounds{v6only: true}, []Listener{six}, addrs, "[fd00::1]"},
		{"IPv6 only, and no address of it", six, bounds{v6only: true}, []Listener{six}, addrs[:1], "[::1]"},
		{"by the loopback interface", four, bounds{device: loopback}, []Listener{four}, addrs, "[127.0.0.1]"},
		{"by another interface", four, bounds{device: 2}, []Listener{four}, addrs, "[10.0.0.1]"},
	} {
		if got := fmt.Sprint(reached(tt.x, tt.by, tt.addrs, tt.others)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
