package checkpoint

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"
)

// The kinds of records, the first byte of each.
const (
	kindAnswer   = 'a' // a scanner.Observation, see appendAnswer
	kindDialogue = 'd' // a fingerprint.Evidence as JSON
)

// appendAnswer appends o: numbers as varints, byte strings behind their length.
func appendAnswer(b []byte, o scanner.Observation) []byte {
	b = append(b, kindAnswer, byte(o.Port.Proto), byte(o.State), byte(o.Reason), o.TTL, o.Attempt, o.Sent)
	b = binary.AppendUvarint(b, uint64(o.Port.Number))
	b = binary.AppendUvarint(b, uint64(o.Window))
	b = binary.AppendVarint(b, int64(o.RTT))
	b = binary.AppendVarint(b, o.At.UnixNano())
	b = appendAddr(b, o.Addr)
	b = appendAddr(b, o.From)
	b = appendBytes(b, o.MAC)
	return appendBytes(b, o.Payload)
}

func appendBytes(b, s []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }

func appendAddr(b []byte, a netip.Addr) []byte {
	n := a.BitLen()/8 + len(a.Zone())
	b = binary.AppendUvarint(b, uint64(n))
	b, _ = a.AppendBinary(b) // its error is always nil
	return b
}

// decoder takes a record apart. After a fault everything is zero and ok false.
type decoder struct {
	rest []byte
	ok   bool
}

func (d *decoder) fail() { d.rest, d.ok = nil, false }

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.fail()
		return nil
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) octet() byte {
	if s := d.take(1); len(s) == 1 {
		return s[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) bytes() []byte {
	s := d.take(d.uvarint())
	if len(s) == 0 {
		return nil
	}
	return append([]byte(nil), s...)
}

func (d *decoder) addr() (a netip.Addr) {
	if err := a.UnmarshalBinary(d.bytes()); err != nil {
		d.fail()
	}
	return a
}

// decodeAnswer reads what appendAnswer wrote behind the kind.
func decodeAnswer(b []byte) (scanner.Observation, error) {
	d := decoder{rest: b, ok: true}
	var o scanner.Observation
	o.Port.Proto, o.State, o.Reason = registry.Proto(d.octet()), scanner.State(d.octet()), scanner.Reason(d.octet())
	o.TTL, o.Attempt, o.Sent = d.octet(), d.octet(), d.octet()
	o.Port.Number, o.Window = uint16(d.uvarint()), uint16(d.uvarint())
	o.RTT = time.Duration(d.varint())
	o.At = time.Unix(0, d.varint())
	o.Addr, o.From = d.addr(), d.addr()
	o.MAC, o.Payload = d.bytes(), d.bytes()
	if !d.ok || len(d.rest) > 0 {
		return scanner.Observation{}, errors.New("checkpoint: an answer that cannot be read")
	}
	return o, nil
}

// appendDialogue appends ev as JSON behind its kind.
func appendDialogue(b []byte, ev *fingerprint.Evidence) ([]byte, error) {
	text, err := json.Marshal(ev)
	if err != nil {
		return b, fmt.Errorf("checkpoint: dialogue with %v: %w", ev.Target, err)
	}
	return append(append(b, kindDialogue), text...), nil
}

// decodeDialogue reads what appendDialogue wrote behind the kind.
func decodeDialogue(b []byte) (ev fingerprint.Evidence, err error) {
	if err := json.Unmarshal(b, &ev); err != nil {
		return ev, fmt.Errorf("checkpoint: a dialogue that cannot be read: %w", err)
	}
	return ev, nil
}
