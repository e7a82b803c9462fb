package fingerprint

import (
	"bytes"
)

// handshake is a rule that must be computed: it holds an answer against the
// question that it belongs to, and returns what it extracted, in Latin-1. It
// is pure and accepts any bytes.
type handshake func(ex Exchange) (groups map[string]string, ok bool)

// handshakes lists them under the names that rule files use in "computed".
func handshakes() map[string]handshake {
	return map[string]handshake{
		"nethasp":    nethasp,
		"rms_stream": rmsStream,
		"rms_filler": rmsFiller,
		"lm_search":  lmSearchReply,
		"echo":       echoes,
	}
}

// nethasp is the answer of a NetHASP license manager on 475/tcp to any 2 to 7
// bytes: 70 bytes, the first 62 a nearly constant plaintext XORed with
// 0xff ^ request[0], then eight zeros. An echo has no such constant.
func nethasp(ex Exchange) (map[string]string, bool) {
	const size, body, enough = 70, 62, 60
	if len(ex.Received) != size || len(ex.Sent) < 2 || len(ex.Sent) > 7 {
		return nil, false
	}
	if !bytes.Equal(ex.Received[body:], make([]byte, size-body)) {
		return nil, false
	}
	key, same := 0xff^ex.Sent[0], 0
	for _, b := range ex.Received[:body] {
		if b == key {
			same++
		}
	}
	return nil, same >= enough && key != 0 // an answer of zeros proves nothing
}

// rmsConstant is what a Sentinel RMS server writes behind the echoed header:
// the 28 bytes of the one published sample. Bytes 0 to 16 are in every source.
const rmsConstant = `,PSH,'A{^QOHpe])]\^cRH>%gNQX`

// rmsHeader is the part of a request that a Sentinel RMS server echoes, in
// bytes.
const rmsHeader = 12

// rmsStream is the answer of Sentinel RMS on 5093/udp to an unknown datagram:
// as long as the request, its first 12 bytes echoed, then the constant stream.
// The first 17 bytes of the stream prove the family; neither its end nor the
// length of the answer is held against it, for published reflections differ.
func rmsStream(ex Exchange) (map[string]string, bool) {
	const proof = 17
	return nil, rmsEchoesHeader(ex) && bytes.HasPrefix(ex.Received[rmsHeader:], []byte(rmsConstant[:proof]))
}

func rmsEchoesHeader(ex Exchange) bool {
	return len(ex.Sent) >= rmsHeader && len(ex.Received) >= rmsHeader &&
		bytes.Equal(ex.Sent[:rmsHeader], ex.Received[:rmsHeader])
}

// rmsFiller is the structure of Sentinel RMS payloads in recorded traffic:
// printable bytes behind the echoed header, a NUL perhaps at the end, and at
// offsets 7, 15, 23, … a filler that cycles through "{)%1$".
func rmsFiller(ex Exchange) (map[string]string, bool) {
	const cycle, least = "{)%1$", 24 // three places in 24 bytes: chance 95^-3
	if !rmsEchoesHeader(ex) || bytes.Equal(ex.Sent, ex.Received) {
		return nil, false
	}
	payload := bytes.TrimSuffix(ex.Received[rmsHeader:], []byte{0})
	if len(payload) < least {
		return nil, false
	}
	for i, b := range payload {
		if b < 0x20 || b > 0x7e || i%8 == 7 && b != cycle[i/8%len(cycle)] {
			return nil, false
		}
	}
	return nil, true
}

// lmSearchReply is a datagram of the layout that searching license managers
// use. The exact datagram that was sent is an echo, not an answer.
func lmSearchReply(ex Exchange) (map[string]string, bool) {
	s, ok := DecodeLMSearch(ex.Received)
	if !ok || bytes.Equal(ex.Sent, ex.Received) {
		return nil, false
	}
	return map[string]string{"hostname": latin1([]byte(s.Host))}, true
}

// echoes reports an answer that is the question again and nothing more. Behind
// half of it there may be more: a terminal echoes before a shell answers.
func echoes(ex Exchange) (map[string]string, bool) {
	if len(ex.Received) < len(ex.Sent) && cutShort(ex) {
		return nil, false
	}
	return nil, len(ex.Received) > 0 && !answersItself(ex.Probe) && len(withoutEcho(ex.Sent, ex.Received)) == 0
}

// tlsRecord is a TLS handshake or alert record, of any version, that is not
// the ClientHello come back.
func tlsRecord(ex Exchange) (map[string]string, bool) {
	b := withoutEcho(ex.Sent, ex.Received)
	if len(b) < 6 || b[0] != 0x15 && b[0] != 0x16 || b[1] != 3 || b[2] > 4 {
		return nil, false
	}
	if b[0] == 0x15 {
		return nil, b[3] == 0 && b[4] == 2 && len(b) >= 7 && (b[5] == 1 || b[5] == 2)
	}
	return nil, b[5] == 2 // ServerHello
}

// leastEcho is how much of a question must come back to be called an echo, in
// bytes: fewer may be an answer that happens to begin alike.
const leastEcho = 4

// withoutEcho takes off the part of an answer that only repeats the question,
// as a terminal does before a shell answers. A question that was cut short or
// had its line ends changed on the way back is still that question.
func withoutEcho(sent, received []byte) []byte {
	if len(sent) < leastEcho || len(received) < leastEcho {
		return received
	}
	if bytes.HasPrefix(received, sent) {
		return received[len(sent):]
	}
	if bytes.HasPrefix(sent, received) {
		return nil
	}
	i, j := 0, 0 // line ends apart
	for i < len(sent) && j < len(received) {
		switch {
		case sent[i] == received[j]:
			i, j = i+1, j+1
		case sent[i] == '\r':
			i++
		case received[j] == '\r':
			j++
		default:
			return received
		}
	}
	return received[j:]
}

// answersItself reports whether the answer of the opener's protocol is the
// opener again: JDWP says its handshake back.
func answersItself(probe string) bool { return probe == "jdwp_handshake" }
