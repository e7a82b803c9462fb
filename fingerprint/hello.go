package fingerprint

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
)

// Extensions of a ClientHello, IANA registry "TLS ExtensionType Values".
const (
	extensionServerName    = 0
	extensionMaxFragment   = 1
	extensionGroups        = 10
	extensionPointFormats  = 11
	extensionSignatures    = 13
	extensionALPN          = 16
	extensionMasterSecret  = 23
	extensionTicket        = 35
	extensionPSKModes      = 45
	extensionKeyShare      = 51
	extensionRenegotiation = 0xff01
)

// clientHello is a first message of TLS that crypto/tls does not write: it
// offers what Go cannot do, so it never leads to a session. What the server
// says in the clear is all that is wanted.
type clientHello struct {
	record     uint16 // version of the record
	version    uint16
	session    []byte // at most 32 bytes
	suites     []uint16
	extensions []extension
}

type extension struct {
	id   uint16
	body []byte
}

// encode writes the hello as one record, with a random of its own. RFC 5246
// section 7.4.1.2.
func (h clientHello) encode() []byte {
	b := binary.BigEndian.AppendUint16(nil, h.version)
	b = append(b, random(32)...)
	b = append(append(b, byte(len(h.session))), h.session...)
	b = append16(b, pairs(h.suites))
	b = append(b, 1, 0) // one compression method: none
	var extensions []byte
	for _, e := range h.extensions {
		extensions = binary.BigEndian.AppendUint16(extensions, e.id)
		extensions = append16(extensions, e.body)
	}
	b = append16(b, extensions)
	const messageClientHello = 1
	message := append([]byte{messageClientHello, 0}, append16(nil, b)...)
	return append16([]byte{recordHandshake, byte(h.record >> 8), byte(h.record)}, message)
}

// append16 adds a vector with its length in two bytes.
func append16(b, vector []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(vector))), vector...)
}

// pairs writes 16-bit numbers one after another.
func pairs(numbers []uint16) []byte {
	var b []byte
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return b
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// oldHello is the hello for a server that had no cipher suite in common with
// Go: TLS 1.2, as a client of 2010 would say it, with the suites that exchange
// keys by finite-field Diffie-Hellman. No export suite, none without
// encryption.
func oldHello() []byte {
	var suites []uint16
	for _, s := range oldSuites() {
		suites = append(suites, s.id)
	}
	suites = append(suites, allSuites()...)
	groups := []uint16{uint16(tls.CurveP256), uint16(tls.CurveP384), uint16(tls.CurveP521)}
	// RSA, DSA and ECDSA with SHA-512, SHA-384, SHA-256 and SHA-1: RFC 5246 section 7.4.1.4.1
	signatures := []uint16{0x0601, 0x0602, 0x0603, 0x0501, 0x0502, 0x0503, 0x0401, 0x0402, 0x0403, 0x0201, 0x0202, 0x0203}
	return clientHello{
		record: tls.VersionTLS10, version: tls.VersionTLS12, suites: suites,
		extensions: []extension{
			{extensionRenegotiation, []byte{0}},
			{extensionGroups, append16(nil, pairs(groups))},
			{extensionPointFormats, []byte{1, 0}},
			{extensionSignatures, append16(nil, pairs(signatures))},
		},
	}.encode()
}

type namedSuite struct {
	id   uint16
	name string
}

// oldSuites are cipher suites of real servers that Go does not implement, with
// the names of IANA's registry.
func oldSuites() []namedSuite {
	return []namedSuite{
		{0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"},
		{0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"},
		{0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
		{0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256"},
		{0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256"},
		{0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"},
		{0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"},
		{0x0088, "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA"},
		{0x0045, "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA"},
		{0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA"},
		{0x0038, "TLS_DHE_DSS_WITH_AES_256_CBC_SHA"},
		{0x0032, "TLS_DHE_DSS_WITH_AES_128_CBC_SHA"},
		{0x0013, "TLS_DHE_DSS_WITH_3DES_EDE_CBC_SHA"},
		{0x0084, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA"},
		{0x0041, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA"},
		{0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256"},
		{0x0096, "TLS_RSA_WITH_SEED_CBC_SHA"},
		{0x0004, "TLS_RSA_WITH_RC4_128_MD5"},
	}
}

// suiteName is IANA's name of a cipher suite, or its number.
func suiteName(id uint16) string {
	for _, s := range oldSuites() {
		if s.id == id {
			return s.name
		}
	}
	if name := tls.CipherSuiteName(id); name != fmt.Sprintf("0x%04X", id) {
		return name
	}
	return fmt.Sprintf("0x%04x", id)
}

// nothingInCommon reports a refusal that another list of cipher suites may
// turn into a certificate: the alerts handshake_failure and
// insufficient_security, RFC 5246 section 7.2.2.
func nothingInCommon(answer []byte) bool {
	const fatal, handshakeFailure, insufficientSecurity = 2, 40, 71
	return len(answer) >= 7 && answer[0] == recordAlert && answer[1] == 3 && answer[5] == fatal &&
		(answer[6] == handshakeFailure || answer[6] == insufficientSecurity)
}

// flightOver reports that the server has said all that it says before the
// client's turn: ServerHelloDone, or a refusal.
func flightOver(answer []byte) bool {
	const serverHelloDone = 14
	if len(answer) >= 7 && answer[0] == recordAlert {
		return true
	}
	messages := handshakeBytes(answer)
	for len(messages) >= 4 {
		kind := messages[0]
		_, rest, ok := prefixed(messages[1:], 3)
		if !ok {
			return false
		}
		if kind == serverHelloDone {
			return true
		}
		messages = rest
	}
	return false
}

// closeNotify is the alert that ends TLS in order, before encryption began.
func closeNotify() []byte {
	const warning, notify = 1, 0
	return []byte{recordAlert, 3, 3, 0, 2, warning, notify}
}
