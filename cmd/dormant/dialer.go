package main

import (
	"net"
	"net/netip"
	"time"

	"dormant/fingerprint"
)

// dialer opens the connections of the dialogues, from the same address and by
// the same interface as the sweep.
func dialer(source netip.Addr, iface string) fingerprint.Dialer {
	d := &net.Dialer{KeepAlive: -1 * time.Second}
	if source.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: source.AsSlice(), Zone: source.Zone()}
	}
	if iface != "" {
		d.Control = bindTo(iface)
	}
	return d
}

// userAgent is what the dialogues say of themselves in HTTP/1.1.
func userAgent() string { return "dormant/" + shortVersion() }
