package fingerprint

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// jarmHellos is how many handshakes a JARM takes.
const jarmHellos = 10

// jarmBytes is how much of an answer the fingerprint looks at: one segment.
const jarmBytes = 1484

// order is how a list is turned before it is offered.
type order uint8

const (
	forward order = iota + 1
	reverse
	topHalf
	bottomHalf
	middleOut
)

// jarmHello is one of the ten hellos: what a server chooses from each tells its
// stack and settings. From the published description of JARM (salesforce/jarm,
// BSD-3-Clause).
type jarmHello struct {
	version  uint16
	without3 bool // no cipher suite of TLS 1.3
	suites   order
	grease   bool // values that must be ignored, RFC 8701
	rareALPN bool
	versions uint16 // highest in supported_versions; 0 leaves the extension out
	others   order  // of the protocols and versions
}

// jarmTen are the ten, in the order in which their answers are joined.
func jarmTen() [jarmHellos]jarmHello {
	return [...]jarmHello{
		{version: tls.VersionTLS12, suites: forward, versions: tls.VersionTLS12, others: reverse},
		{version: tls.VersionTLS12, suites: reverse, versions: tls.VersionTLS12, others: forward},
		{version: tls.VersionTLS12, suites: topHalf, others: forward},
		{version: tls.VersionTLS12, suites: bottomHalf, rareALPN: true, others: forward},
		{version: tls.VersionTLS12, suites: middleOut, grease: true, rareALPN: true, others: reverse},
		{version: tls.VersionTLS11, suites: forward, others: forward},
		{version: tls.VersionTLS13, suites: forward, versions: tls.VersionTLS13, others: reverse},
		{version: tls.VersionTLS13, suites: reverse, versions: tls.VersionTLS13, others: forward},
		{version: tls.VersionTLS13, without3: true, suites: forward, versions: tls.VersionTLS13, others: forward},
		{version: tls.VersionTLS13, suites: middleOut, grease: true, versions: tls.VersionTLS13, others: reverse},
	}
}

// jarmSuites are the cipher suites that all hellos choose from, in their order.
func jarmSuites() []uint16 {
	return []uint16{
		0x0016, 0x0033, 0x0067, 0xc09e, 0xc0a2, 0x009e, 0x0039, 0x006b, 0xc09f, 0xc0a3, 0x009f, 0x0045, 0x00be, 0x0088,
		0x00c4, 0x009a, 0xc008, 0xc009, 0xc023, 0xc0ac, 0xc0ae, 0xc02b, 0xc00a, 0xc024, 0xc0ad, 0xc0af, 0xc02c, 0xc072,
		0xc073, 0xcca9, 0x1302, 0x1301, 0xcc14, 0xc007, 0xc012, 0xc013, 0xc027, 0xc02f, 0xc014, 0xc028, 0xc030, 0xc060,
		0xc061, 0xc076, 0xc077, 0xcca8, 0x1305, 0x1304, 0x1303, 0xcc13, 0xc011, 0x000a, 0x002f, 0x003c, 0xc09c, 0xc0a0,
		0x009c, 0x0035, 0x003d, 0xc09d, 0xc0a1, 0x009d, 0x0041, 0x00ba, 0x0084, 0x00c0, 0x0007, 0x0004, 0x0005,
	}
}

// arrange turns a list as the hello wants it.
func arrange[T any](list []T, o order) []T {
	middle := len(list) / 2
	odd := len(list) % 2
	switch o {
	case forward:
		return list
	case reverse:
		list = slices.Clone(list)
		slices.Reverse(list)
		return list
	case bottomHalf:
		return list[middle+odd:]
	case topHalf: // from the middle up
		return arrange(list[:middle+odd], reverse)
	case middleOut: // the second half and the first by turns, from the middle
		out := slices.Clone(list[middle : middle+odd])
		for i := range middle {
			out = append(out, list[middle+odd+i], list[middle-1-i])
		}
		return out
	}
	return nil
}

// encode writes the hello for a server that is called name, its address.
func (j jarmHello) encode(name string) []byte {
	suites := jarmSuites()
	if j.without3 {
		suites = slices.DeleteFunc(suites, func(id uint16) bool { return id>>8 == 0x13 })
	}
	suites = arrange(suites, j.suites)
	h := clientHello{record: j.version, version: j.version, session: random(32)}
	if j.version == tls.VersionTLS13 { // which is agreed by an extension only
		h.record, h.version = tls.VersionTLS10, tls.VersionTLS12
	}
	var versions []uint16
	var shares []byte
	if j.grease {
		suites = append([]uint16{grease()}, suites...)
		h.extensions = append(h.extensions, extension{grease(), nil})
		shares = append16(binary.BigEndian.AppendUint16(nil, grease()), []byte{0})
		versions = []uint16{grease()}
	}
	h.suites = suites
	groups := []uint16{uint16(tls.X25519), uint16(tls.CurveP256), uint16(tls.CurveP384), uint16(tls.CurveP521)}
	shares = append16(binary.BigEndian.AppendUint16(shares, uint16(tls.X25519)), random(32))
	signatures := []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0201}
	h.extensions = append(h.extensions,
		extension{extensionServerName, append16(nil, append([]byte{0}, append16(nil, []byte(name))...))},
		extension{extensionMasterSecret, nil},
		extension{extensionMaxFragment, []byte{1}},
		extension{extensionRenegotiation, []byte{0}},
		extension{extensionGroups, append16(nil, pairs(groups))},
		extension{extensionPointFormats, []byte{1, 0}},
		extension{extensionTicket, nil},
		extension{extensionALPN, append16(nil, j.protocols())},
		extension{extensionSignatures, append16(nil, pairs(signatures))},
		extension{extensionKeyShare, append16(nil, shares)},
		extension{extensionPSKModes, []byte{1, 1}},
	)
	if j.versions != 0 {
		var list []uint16
		for v := uint16(tls.VersionTLS10); v <= j.versions; v++ {
			list = append(list, v)
		}
		body := pairs(append(versions, arrange(list, j.others)...))
		h.extensions = append(h.extensions, extension{extensionSupportedVersions, append([]byte{byte(len(body))}, body...)})
	}
	return h.encode()
}

// protocols is the list for ALPN, without its length.
func (j jarmHello) protocols() []byte {
	names := []string{"http/0.9", "http/1.0", "http/1.1", "spdy/1", "spdy/2", "spdy/3", "h2", "h2c", "hq"}
	if j.rareALPN { // what nobody uses
		names = slices.DeleteFunc(names, func(n string) bool { return n == "http/1.1" || n == "h2" })
	}
	var list []byte
	for _, n := range arrange(names, j.others) {
		list = append(append(list, byte(len(n))), n...)
	}
	return list
}

// grease is one of the sixteen values of RFC 8701.
func grease() uint16 {
	v := uint16(random(1)[0]&0xf0 | 0x0a)
	return v<<8 | v
}

// jarmChoice is what a server chose from one hello; the zero value is that it
// did not.
type jarmChoice struct {
	suite, version uint16
	alpn           string
	extensions     []string // in hex
}

// readChoice reads a ServerHello at the beginning of answer.
func readChoice(answer []byte) jarmChoice {
	messages := handshakeBytes(answer)
	if len(messages) < 4 || messages[0] != messageServerHello {
		return jarmChoice{}
	}
	b, _, ok := prefixed(messages[1:], 3)
	if !ok {
		return jarmChoice{}
	}
	var c jarmChoice
	c.version, c.suite, ok = readServerHello(b, func(id uint16, body []byte) {
		c.extensions = append(c.extensions, fmt.Sprintf("%04x", id))
		if id == extensionALPN && c.alpn == "" && len(body) > 3 {
			c.alpn = string(body[3:]) // behind two lengths
		}
	})
	if !ok || c.version>>8 != 3 || c.version&0xff > 5 {
		return jarmChoice{} // cut short, or no version that the fingerprint has a letter for
	}
	return c
}

// jarmOf joins the ten answers: of each the number of the suite and a letter for
// the version, then half a SHA-256 of the other choices. "" is the JARM of a
// server that chose nothing ten times: it says nothing.
func jarmOf(answers [jarmHellos][]byte) string {
	known := jarmSuites()
	slices.SortFunc(known, func(a, b uint16) int { return jarmRank(a) - jarmRank(b) })
	var head, rest strings.Builder
	for _, answer := range answers {
		c := readChoice(answer)
		if c.version == 0 {
			head.WriteString("000")
			continue
		}
		number := slices.Index(known, c.suite) + 1
		if number == 0 {
			number = len(known) + 1
		}
		fmt.Fprintf(&head, "%02x%c", number, 'a'+rune(c.version&0xff))
		rest.WriteString(c.alpn + strings.Join(c.extensions, "-"))
	}
	if strings.Trim(head.String(), "0") == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(rest.String()))
	return head.String() + hex.EncodeToString(sum[:16])
}

// jarmRank orders the suites as their numbers go: those of TLS 1.3 last.
func jarmRank(id uint16) int {
	if id>>8 == 0x13 {
		return int(id) + 1<<16
	}
	return int(id)
}
