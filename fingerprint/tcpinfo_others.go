//go:build !linux

package fingerprint

import "net"

// tcpInfo is nil where the kernel does not tell.
func tcpInfo(net.Conn) *TCPInfo { return nil }
