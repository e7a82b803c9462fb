package history

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"dormant/registry"
	"dormant/scanner"
)

// appendKey appends the key of a target: 4 or 6, the address, the zone and a
// zero byte, the transport, the port. Keys sort as scanner.Target.Compare does.
func appendKey(b []byte, t scanner.Target) []byte {
	if t.Addr.Is4() {
		a := t.Addr.As4()
		b = append(append(b, 4), a[:]...)
	} else {
		a := t.Addr.As16()
		b = append(append(b, 6), a[:]...)
	}
	b = append(append(b, t.Addr.Zone()...), 0, byte(t.Port.Proto))
	return binary.BigEndian.AppendUint16(b, t.Port.Number)
}

var errKey = errors.New("history: a stored key is damaged")

// parseKey reads what appendKey writes.
func parseKey(b []byte) (scanner.Target, error) {
	var t scanner.Target
	size := 4
	if len(b) > 0 && b[0] == 6 {
		size = 16
	}
	if len(b) < 1+size+4 || b[0] != 4 && b[0] != 6 {
		return t, errKey
	}
	t.Addr, _ = netip.AddrFromSlice(b[1 : 1+size]) // the length is right
	rest := b[1+size:]
	zone, tail := rest[:len(rest)-4], rest[len(rest)-4:]
	if len(zone) > 0 {
		if size == 4 {
			return t, errKey
		}
		t.Addr = t.Addr.WithZone(string(zone))
	}
	t.Port = registry.Port{Proto: registry.Proto(tail[1]), Number: binary.BigEndian.Uint16(tail[2:])}
	if tail[0] != 0 || t.Port.Proto != registry.TCP && t.Port.Proto != registry.UDP {
		return scanner.Target{}, errKey
	}
	return t, nil
}

// firstKey sorts before every key.
func firstKey() []byte { return []byte{0} }
