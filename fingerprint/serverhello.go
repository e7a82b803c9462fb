package fingerprint

import (
	"crypto/tls"
	"encoding/binary"
)

// Record and handshake types, RFC 5246 section 6.2.1 and 7.4.
const (
	recordAlert     = 21
	recordHandshake = 22

	messageServerHello        = 2
	messageCertificate        = 11
	messageCertificateRequest = 13

	extensionSupportedVersions = 43 // RFC 8446 section 4.2.1
)

// isTLSRecord reports whether an answer begins like TLS.
func isTLSRecord(b []byte) bool {
	return len(b) >= 3 && (b[0] == recordHandshake || b[0] == recordAlert) && b[1] == 3 && b[2] <= 4
}

// plaintext reads what a server of TLS 1.2 or older says before encryption
// begins, and adds it to seen: version, cipher suite, certificates, and whether
// it wants one. It is for servers with which Go cannot finish a handshake –
// keys below 1024 bits, SHA-1 signatures, a certificate that does not parse –
// but which have shown what they are. Whatever is cut short or malformed is
// left out.
func plaintext(answer []byte, seen *TLSInfo) {
	messages := handshakeBytes(answer)
	for len(messages) >= 4 {
		kind := messages[0]
		body, rest, ok := prefixed(messages[1:], 3)
		if !ok {
			return
		}
		messages = rest
		switch kind {
		case messageServerHello:
			version, suite, ok := serverHello(body)
			if !ok || version > tls.VersionTLS12 {
				return
			}
			seen.Version, seen.Cipher = tls.VersionName(version), suiteName(suite)
		case messageCertificate:
			if chain := certificates(body); len(seen.Chain) == 0 {
				seen.Chain = chain
			}
		case messageCertificateRequest:
			seen.WantCert = true
		}
	}
}

// handshakeBytes joins the handshake records before the first other record:
// messages may be split over records in any way.
func handshakeBytes(answer []byte) []byte {
	var out []byte
	for len(answer) >= 5 && answer[0] == recordHandshake && answer[1] == 3 {
		body, rest, ok := prefixed(answer[3:], 2)
		if !ok {
			return append(out, answer[5:]...) // the last record came in part
		}
		out, answer = append(out, body...), rest
	}
	return out
}

// serverHello returns the version and the cipher suite that a server chose.
func serverHello(b []byte) (version, suite uint16, ok bool) {
	supported, told := uint16(0), false // TLS 1.3 names itself in an extension
	version, suite, ok = readServerHello(b, func(id uint16, body []byte) {
		if id == extensionSupportedVersions && len(body) == 2 {
			supported, told = binary.BigEndian.Uint16(body), true
		}
	})
	if ok && told {
		version = supported
	}
	return version, suite, ok
}

// readServerHello reads the body of a ServerHello: the version in its head and
// the suite. extension is called for each extension, in order, up to the first
// that is cut short.
func readServerHello(b []byte, extension func(id uint16, body []byte)) (version, suite uint16, ok bool) {
	const random = 32
	if len(b) < 2+random {
		return 0, 0, false
	}
	version = binary.BigEndian.Uint16(b)
	_, b, ok = prefixed(b[2+random:], 1) // session id
	if !ok || len(b) < 3 {
		return 0, 0, false
	}
	suite = binary.BigEndian.Uint16(b)
	extensions, _, _ := prefixed(b[3:], 2) // behind one byte of compression; may be missing
	for len(extensions) >= 4 {
		id := binary.BigEndian.Uint16(extensions)
		var body []byte
		var whole bool
		if body, extensions, whole = prefixed(extensions[2:], 2); !whole {
			break
		}
		extension(id, body)
	}
	return version, suite, true
}

// certificates returns the chain of a Certificate message, at most maxChain.
func certificates(b []byte) [][]byte {
	list, _, ok := prefixed(b, 3)
	var chain [][]byte
	for ok && len(list) > 0 && len(chain) < maxChain {
		var der []byte
		if der, list, ok = prefixed(list, 3); ok && len(der) > 0 {
			chain = append(chain, der)
		}
	}
	return chain
}

// prefixed cuts a vector off b: a big-endian length of that many bytes, and as
// many bytes as it says.
func prefixed(b []byte, width int) (body, rest []byte, ok bool) {
	if len(b) < width {
		return nil, nil, false
	}
	size := 0
	for _, c := range b[:width] {
		size = size<<8 | int(c)
	}
	b = b[width:]
	if size > len(b) {
		return nil, nil, false
	}
	return b[:size], b[size:], true
}
