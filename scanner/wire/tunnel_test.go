//go:build linux

package wire_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/netlab"
	"dormant/scanner/wire"
)

// tunnel makes a tun interface, which has no link-layer addresses, whose other
// end answers every SYN with a SYN-ACK or an RST and every datagram with an
// echo.
func tunnel(t *testing.T, ns *netlab.NS, name string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	tun := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN, Queues: 1, NonPersist: true,
		Flags: netlink.TUNTAP_ONE_QUEUE | netlink.TUNTAP_NO_PI}
	var err error
	ns.Do(func() { err = netlink.LinkAdd(tun) })
	if err != nil {
		t.Skipf("no tun interface can be made here: %v", err)
	}
	ns.Up(name)
	end := tun.Fds[0]
	done := make(chan struct{})
	go func() { // ends when end is closed, below
		defer close(done)
		buf := make([]byte, 2000)
		for {
			n, err := end.Read(buf)
			if err != nil {
				return
			}
			if reply := echo(buf[:n]); reply != nil {
				_, _ = end.Write(reply)
			}
		}
	}()
	t.Cleanup(func() {
		_ = end.SetReadDeadline(time.Now())
		_ = end.Close()
		<-done
	})
}

// echo returns the answer of the far end of the tunnel to an IP packet.
func echo(packet []byte) []byte {
	first := layers.LayerTypeIPv4
	if packet[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(packet, first, gopacket.Default)
	var stack []gopacket.SerializableLayer
	switch ip := p.NetworkLayer().(type) {
	case *layers.IPv4:
		stack = append(stack, &layers.IPv4{Version: 4, TTL: 60, Protocol: ip.Protocol, SrcIP: ip.DstIP, DstIP: ip.SrcIP})
	case *layers.IPv6:
		stack = append(stack, &layers.IPv6{Version: 6, HopLimit: 60, NextHeader: ip.NextHeader, SrcIP: ip.DstIP, DstIP: ip.SrcIP})
	}
	switch l4 := p.TransportLayer().(type) {
	case *layers.TCP:
		if !l4.SYN {
			return nil
		}
		open := l4.DstPort == openPort
		stack = append(stack, &layers.TCP{SrcPort: l4.DstPort, DstPort: l4.SrcPort, Ack: l4.Seq + 1, ACK: true, SYN: open, RST: !open, Window: 1024})
	case *layers.UDP:
		stack = append(stack, &layers.UDP{SrcPort: l4.DstPort, DstPort: l4.SrcPort}, gopacket.Payload(slices.Clone(l4.Payload)))
	default:
		return nil
	}
	buf := gopacket.NewSerializeBuffer()
	if gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, stack...) != nil {
		return nil
	}
	return buf.Bytes()
}

func TestTunnel(t *testing.T) {
	ns := netlab.New(t)
	tunnel(t, ns, "tun0")
	ns.Addr("tun0", "10.8.0.1/24", "fd08::1/64")
	ns.Route(netlab.Route{Dst: "10.9.0.0/24", Via: "10.8.0.2"})
	b := open(t, ns, wire.Config{Prefixes: prefixes("10.8.0.0/24", "10.9.0.0/24", "fd08::/120")})
	var targets []scanner.Target
	for _, a := range []string{"10.8.0.9", "10.9.0.9", "fd08::9"} {
		targets = append(targets, target(a, openPort, registry.TCP), target(a, closedPort, registry.TCP), target(a, openPort, registry.UDP))
	}
	got := ask(t, b, 200*time.Millisecond, targets...)
	for _, target := range targets {
		want := scanner.Open
		if target.Port.Number == closedPort {
			want = scanner.Closed
		}
		o := got[target]
		if o.State != want || o.TTL != 60 || o.MAC != nil || o.RTT == 0 || o.Port.Proto == registry.UDP && string(o.Payload) != "question" {
			t.Errorf("%v: %+v, want %v from a TTL of 60 without a MAC", target, o, want)
		}
	}
	if c := b.Counters(); c.ARPSent != 0 || c.SendErrors != 0 {
		t.Errorf("counters %+v, want no neighbour requests and no errors", c)
	}
}
