package fingerprint

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"dormant/registry"
	"dormant/scanner/netlab"
)

// within is a Dialer that connects from a namespace.
type within struct{ ns *netlab.NS }

func (d within) DialContext(ctx context.Context, network, address string) (c net.Conn, err error) {
	d.ns.Do(func() { c, err = (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, address) })
	return c, err
}

// TestBoxesInFront talks over a real kernel to what answers only handshakes: a
// SYN proxy without anybody behind it, a tarpit that never opens its window, and
// a real socket with next to no buffer that nobody reads from.
func TestBoxesInFront(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	here, there := netlab.Pair(t, "scan0", "net0")
	here.Addr("scan0", "10.66.1.1/24")
	there.Addr("net0", "10.66.1.2/24")
	rules, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	ports := map[uint16]uint16{3588: 64240, 3712: 0} // windows of the raw responder
	raw := netip.MustParseAddr("10.66.1.66")
	here.Neighbour("scan0", raw.String(), there.MAC("net0"))
	shakeOnly(t, there, "net0", raw, ports)
	small := netip.MustParseAddrPort("10.66.1.2:3047")
	neverReads(t, there, small)
	t.Run("all", func(t *testing.T) { // the namespaces live until these are done
		for _, tt := range []struct {
			name   string
			at     netip.AddrPort
			want   Class
			reason string
		}{
			{"handshake only", netip.AddrPortFrom(raw, 3588), Middlebox, "syn_proxy"},
			{"window never opened", netip.AddrPortFrom(raw, 3712), Tarpit, "small_window"},
			{"tiny buffer, never read", small, Tarpit, "small_window"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				i := NewIdentifier(rules, Config{Dialer: within{here}, NoCanaries: true})
				o := openPort(tt.at.Addr().String(), tt.at.Port())
				ev, err := i.Identify(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				v := rules.Judge(registry.Entry{}, o, ev)
				if v.Class != tt.want || v.Reason != tt.reason {
					t.Errorf("verdict %v/%s, want %v/%s; %v, last TCP %+v", v.Class, v.Reason, tt.want, tt.reason, probesOf(ev), ev.Exchanges[len(ev.Exchanges)-1].TCP)
				}
				if ev.Connections > defaultConnections || ev.Elapsed > 20*time.Second {
					t.Errorf("%d connections in %v", ev.Connections, ev.Elapsed)
				}
			})
		}
	})
}

// neverReads listens with the smallest receive buffer that the kernel gives:
// the kernel shakes hands, and nobody ever accepts or reads.
func neverReads(t *testing.T, ns *netlab.NS, at netip.AddrPort) {
	t.Helper()
	tiny := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
		return errors.Join(err, failed)
	}}
	var l net.Listener
	var err error
	ns.Do(func() { l, err = tiny.Listen(t.Context(), "tcp4", at.String()) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
}

// shakeOnly answers every SYN to addr with a SYN-ACK that offers the window of
// its port, and nothing else, until the test ends.
func shakeOnly(t *testing.T, ns *netlab.NS, name string, addr netip.Addr, windows map[uint16]uint16) {
	t.Helper()
	var ifi *net.Interface
	fd, err := -1, error(nil)
	ns.Do(func() {
		if ifi, err = net.InterfaceByName(name); err == nil {
			fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var all [2]byte
	binary.BigEndian.PutUint16(all[:], unix.ETH_P_ALL)
	if err := errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16(all[:]), Ifindex: ifi.Index}),
	); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { // ends when stop is closed, below
		defer close(done)
		frame := make([]byte, 1<<12)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, _, err := unix.Recvfrom(fd, frame, 0)
			if err != nil {
				continue
			}
			if reply := synAck(frame[:n], addr, windows); reply != nil {
				_, _ = unix.Write(fd, reply)
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done; _ = unix.Close(fd) })
}

// synAck is the answer to a frame that is a SYN to addr, else nil.
func synAck(frame []byte, addr netip.Addr, windows map[uint16]uint16) []byte {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	ip, ok1 := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	tcp, ok2 := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok1 || !ok2 || !tcp.SYN || tcp.ACK || !ip.DstIP.Equal(addr.AsSlice()) {
		return nil
	}
	eth := p.LinkLayer().(*layers.Ethernet)
	network := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: ip.DstIP, DstIP: ip.SrcIP}
	segment := &layers.TCP{
		SrcPort: tcp.DstPort, DstPort: tcp.SrcPort, SYN: true, ACK: true, Seq: 4711, Ack: tcp.Seq + 1, Window: windows[uint16(tcp.DstPort)],
		Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{0x05, 0xb4}}},
	}
	_ = segment.SetNetworkLayerForChecksum(network) // never fails for IPv4
	out := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(out, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: eth.DstMAC, DstMAC: eth.SrcMAC, EthernetType: layers.EthernetTypeIPv4}, network, segment); err != nil {
		return nil
	}
	return out.Bytes()
}
