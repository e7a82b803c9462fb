package firewall

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"dormant/scanner/netlab"
)

// newKernelHost returns a kernel whose namespace is the server itself: packets
// of 10.1.0.0/16 come in by c0 to any address of 10.2.0.0/16, and the answers
// are its own. What passes the input hook is read by raw sockets, which hear
// behind it.
func newKernelHost(t *testing.T) *kernel {
	k := &kernel{t: t, place: Server, client: netlab.New(t), router: netlab.New(t)}
	k.router.Sysctl("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
	k.client.Sysctl("net.ipv6.conf.default.disable_ipv6=1")
	netlab.Join(k.client, "e0", k.router, "c0")
	k.macs[clientSide] = [2]net.HardwareAddr{k.client.MAC("e0"), k.router.MAC("c0")}
	k.router.Addr("c0", "10.9.1.1/24")
	k.router.Neighbour("c0", "10.9.1.2", k.client.MAC("e0"))
	k.router.Route(netlab.Route{Dst: "10.1.0.0/16", Via: "10.9.1.2"})
	k.router.Local("10.2.0.0/16")
	k.sockets[clientSide] = k.socket(k.client)
	k.sockets[serverSide] = k.rawSocket(unix.IPPROTO_RAW)
	k.ears = []int{k.rawSocket(unix.IPPROTO_TCP), k.rawSocket(unix.IPPROTO_UDP)}
	k.toClient = k.client.Capture("e0")
	k.quiet()
	return k
}

// quiet keeps the host's own resets and errors away before they are tracked:
// nobody listens on it.
func (k *kernel) quiet() {
	k.run("add table ip guard\nadd chain ip guard own { type filter hook output priority -350; }\nflush chain ip guard own\n"+
		"add rule ip guard own tcp flags & rst == rst drop\nadd rule ip guard own icmp type destination-unreachable drop\n", "nft", "-f", "-")
}

// rawSocket returns one of the host itself. IPPROTO_RAW sends packets with
// their header and hears nothing.
func (k *kernel) rawSocket(proto int) (fd int) {
	k.t.Helper()
	var err error
	k.router.Do(func() {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto); err == nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20) // root of a user namespace has the usual bound
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 32<<20)
		}
	})
	if err != nil {
		k.t.Fatalf("open a raw socket: %v", err)
	}
	k.t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// send sends the packet of a flow at a moment.
func (k *kernel) send(f flow, phase Phases) {
	k.t.Helper()
	frame := k.frame(f, phase)
	var err error
	switch {
	case phase != Reply:
		_, err = unix.Write(k.sockets[clientSide], frame)
	case k.place != Server:
		_, err = unix.Write(k.sockets[serverSide], frame)
	default:
		err = unix.Sendto(k.sockets[serverSide], frame[14:], 0, &unix.SockaddrInet4{Addr: f.src.Addr().As4()})
		if errors.Is(err, unix.EPERM) { // the output hook denied it
			err = nil
		}
	}
	if err != nil {
		k.t.Fatalf("send: %v", err)
	}
}

// heard calls fn with the frames that came out behind the rules since the last
// call.
func (k *kernel) heard(phase Phases, fn func(frame []byte)) {
	k.t.Helper()
	if phase != Reply && k.place == Server {
		buf := make([]byte, 14+2048)
		buf[12] = 0x08 // IPv4
		for _, ear := range k.ears {
			for {
				n, _, err := unix.Recvfrom(ear, buf[14:], 0)
				if err != nil {
					break // EAGAIN: that is all
				}
				fn(buf[:14+n])
			}
		}
		return
	}
	capture, read := k.toServer, &k.readServer
	if phase == Reply {
		capture, read = k.toClient, &k.read
	}
	frames := capture.Frames()
	for _, frame := range frames[*read:] {
		fn(frame)
	}
	*read = len(frames)
}

// TestNftHostAgainstKernel is TestNftAgainstKernel for packets to the firewall
// itself and its answers: the input and output hooks.
func TestNftHostAgainstKernel(t *testing.T) {
	program(t, "nft")
	nftAgainstKernel(t, newKernelHost(t), 4, false)
}

// TestIptablesHostAgainstKernel holds INPUT and OUTPUT against the kernel, with
// sets.
func TestIptablesHostAgainstKernel(t *testing.T) {
	for _, name := range []string{"iptables-restore", "ipset", "nft"} {
		program(t, name)
	}
	iptablesAgainstKernel(t, newKernelHost(t), "iptables", 4, false)
}

// TestIptablesLegacyAgainstKernel does so for the xtables of old kernels, which
// have an interpreter of their own, on a host and on a router.
func TestIptablesLegacyAgainstKernel(t *testing.T) {
	for _, name := range []string{"iptables-legacy-restore", "ipset", "nft"} {
		program(t, name)
	}
	for name, make := range map[string]func(*testing.T) *kernel{"host": newKernelHost, "router": newKernel} {
		t.Run(name, func(t *testing.T) {
			k := make(t)
			if out, err := k.try("*filter\nCOMMIT\n", "iptables-legacy-restore"); err != nil {
				t.Skipf("this kernel has no xtables of old: %v: %s", err, out)
			}
			iptablesAgainstKernel(t, k, "iptables-legacy", 2, false)
		})
	}
}

// hooks are the built-in chains that requests and answers pass.
func (k *kernel) hooks() []string {
	if k.place == Server {
		return []string{"INPUT", "OUTPUT"}
	}
	return []string{"FORWARD"}
}
