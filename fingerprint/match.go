package fingerprint

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// maxBody is how much of a body patterns look at, in bytes. Hashes cover the
// whole of it.
const maxBody = 32 << 10

// subject is one exchange seen as fields. It is built once per exchange, and
// computes what rules ask for when they first ask. It belongs to one goroutine.
type subject struct {
	ex    Exchange
	data  []byte            // received, without the part that only repeats what was sent
	tls   map[string]string // nil on a plain connection
	given map[string]string // hashes that stand in, in examples
	http  *response
	cache map[string][]fieldValue
}

// newSubject prepares ex. conn is the handshake of the same connection, nil on
// a plain one; fields overrides what certificates would say, for examples.
func newSubject(ex Exchange, conn *TLSInfo, fields map[string]string) *subject {
	s := &subject{ex: ex, data: ex.Received, cache: map[string][]fieldValue{}}
	if !answersItself(ex.Probe) {
		s.data = withoutEcho(ex.Sent, ex.Received)
	}
	s.http, _ = parseResponse(s.data)
	s.given = map[string]string{}
	plain := conn == nil
	for name, value := range fields {
		s.given[name] = value
		plain = plain && !tlsField(name)
	}
	if plain {
		return s
	}
	s.tls = map[string]string{}
	if conn != nil {
		if len(conn.Chain) > 0 {
			s.tls = certFields(conn.Chain[0])
		}
		s.tls["tls:version"], s.tls["tls:cipher"], s.tls["alpn"] = conn.Version, conn.Cipher, conn.ALPN
		s.tls["tls:jarm"] = conn.JARM
		s.tls["tls:wants_certificate"] = strconv.FormatBool(conn.WantCert)
	}
	for name, value := range fields {
		s.tls[name] = value
	}
	return s
}

// knownField reports whether rules can test a field of that name.
func knownField(name string) bool {
	if h, ok := strings.CutPrefix(name, "header:"); ok {
		return h != "" && strings.Trim(h, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
	}
	return tlsField(name) || slices.Contains([]string{
		"data", "head", "status", "code", "body", "title", "length", "end", "first_byte_ms", "elapsed_ms",
		"body:sha1", "body:sha256", "body:mmh3",
	}, name)
}

// tlsField reports whether the handshake gives the field.
func tlsField(name string) bool {
	return slices.Contains([]string{
		"cert:subject", "cert:issuer", "cert:serial", "cert:sha256", "cert:sha1", "cert:md5", "cert:not_before",
		"cert:not_after", "cert:san", "cert:self_signed", "cert:key", "tls:version", "tls:cipher", "tls:jarm",
		"tls:wants_certificate", "alpn",
	}, name)
}

// values returns the field's values in Latin-1: none when the answer has no
// such field, several for a header that stands more than once.
func (s *subject) values(field string) []fieldValue {
	if v, ok := s.cache[field]; ok {
		return v
	}
	var values []fieldValue
	open := (field == "data" || field == "body" || field == "head") && cutShort(s.ex)
	for _, text := range s.compute(field) {
		values = append(values, fieldValue{text: text, open: open, lower: new(string)})
	}
	s.cache[field] = values
	return values
}

// cutShort reports whether an answer may go on behind its last byte: we ended
// the reading, or it came a few bytes at a time and nobody closed.
func cutShort(ex Exchange) bool {
	return ex.End == EndCut || ex.End == EndFull || ex.End == EndQuiet && len(ex.Chunks) > 1 && pieces(ex.Chunks)
}

func (s *subject) compute(field string) []string {
	if v, ok := s.given[field]; ok && !tlsField(field) {
		return []string{latin1([]byte(v))}
	}
	if tlsField(field) {
		if v, ok := s.tls[field]; ok && (v != "" || strings.HasPrefix(field, "cert:")) {
			return []string{latin1([]byte(v))}
		}
		return nil
	}
	switch field {
	case "data":
		return some(s.data[:min(len(s.data), maxHead+maxBody)])
	case "length":
		return []string{strconv.Itoa(len(s.data))}
	case "end":
		return []string{string(s.ex.End)}
	case "first_byte_ms":
		if s.ex.FirstByte == 0 {
			return nil
		}
		return []string{strconv.FormatInt(s.ex.FirstByte.Milliseconds(), 10)}
	case "elapsed_ms":
		return []string{strconv.FormatInt(s.ex.Elapsed.Milliseconds(), 10)}
	case "title":
		if s.http == nil {
			return some([]byte(title(s.data))) // a page without a head: Python's http.server
		}
		return some([]byte(title(s.http.body)))
	}
	if s.http == nil {
		return nil
	}
	return s.httpValues(field)
}

func (s *subject) httpValues(field string) []string {
	body := s.http.body
	switch field {
	case "head":
		return some(s.http.head)
	case "status":
		return some([]byte(s.http.status))
	case "code":
		return []string{strconv.Itoa(s.http.code)}
	case "body":
		return []string{latin1(body[:min(len(body), maxBody)])}
	case "body:sha1":
		sum := sha1.Sum(body)
		return []string{hex.EncodeToString(sum[:])}
	case "body:sha256":
		sum := sha256.Sum256(body)
		return []string{hex.EncodeToString(sum[:])}
	case "body:mmh3":
		return []string{strconv.FormatInt(int64(int32(murmur3(body))), 10)}
	}
	name, _ := strings.CutPrefix(field, "header:")
	var values []string
	for _, h := range s.http.headers {
		if h.name == name {
			values = append(values, latin1([]byte(h.value)))
		}
	}
	return values
}

func some(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return []string{latin1(b)}
}

// found is what a rule saw in one exchange: the matched text of its first
// condition that has one, and the values that its patterns extracted.
type found struct {
	where  string
	groups map[string]string
}

// match holds the rule against one exchange. All conditions must hold.
func (r *Rule) match(s *subject) (found, bool) {
	var f found
	if len(r.On) > 0 && !slices.Contains(r.On, readAs(s.ex.Probe)) || s.ex.Probe == ProbeJARM {
		return f, false // the ten hellos say something only together
	}
	if r.Inside == "tls" && s.tls == nil || r.Inside == "plain" && s.tls != nil {
		return f, false
	}
	for i := range r.conditions { // what costs nothing first
		if c := &r.conditions[i]; c.cheap() && !c.match(s, &found{}) {
			return f, false
		}
	}
	f.groups = map[string]string{}
	for i := range r.conditions {
		if !r.conditions[i].match(s, &f) {
			return f, false
		}
	}
	return f, true
}

// readAs is the probe under which rules know an answer.
func readAs(probe string) string {
	if probe == ProbeOldTLS {
		return ProbeTLS
	}
	return probe
}

// match holds the condition against the field's values; one that passes is
// enough. It adds what it saw to f.
func (c *condition) match(s *subject, f *found) bool {
	if c.computed != nil {
		groups, ok := c.computed(s.ex)
		for name, value := range groups {
			f.groups[name] = value
		}
		if ok && f.where == "" {
			f.where = latin1(s.ex.Received)
		}
		return ok
	}
	values := s.values(c.field)
	if c.absent {
		return len(values) == 0
	}
	for _, v := range values {
		where, groups, ok := c.test(v)
		if !ok {
			continue
		}
		for name, value := range groups {
			f.groups[name] = value
		}
		if f.where == "" && c.telling() {
			f.where = where
			if name, ok := strings.CutPrefix(c.field, "header:"); ok {
				f.where = name + ": " + where
			}
			if strings.HasPrefix(c.field, "cert:") || strings.HasPrefix(c.field, "tls:") {
				f.where = c.field + " " + where
			}
		}
		return true
	}
	return false
}

// telling reports whether the matched value is worth showing to a reader.
func (c *condition) telling() bool {
	switch c.field {
	case "length", "end", "first_byte_ms", "elapsed_ms", "code", "tls:version", "alpn":
		return false
	default:
		return true
	}
}

// murmur3 is MurmurHash3 x86 32-bit with seed 0, the hash by which search
// engines list pages (Shodan's http.html_hash is its value as a signed number).
func murmur3(data []byte) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	h, n := uint32(0), len(data)
	for ; len(data) >= 4; data = data[4:] {
		k := bits.RotateLeft32(binary.LittleEndian.Uint32(data)*c1, 15) * c2
		h = bits.RotateLeft32(h^k, 13)*5 + 0xe6546b64
	}
	var k uint32
	for i := len(data) - 1; i >= 0; i-- {
		k = k<<8 | uint32(data[i])
	}
	if len(data) > 0 {
		h ^= bits.RotateLeft32(k*c1, 15) * c2
	}
	h ^= uint32(n)
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
