package fingerprint

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"
)

// Points of the signs that no single answer shows; classification of the
// trial on recorded servers.
const (
	pointsSynProxy    = 70
	pointsBlockPage   = 70
	pointsMulti       = 70
	pointsSmallWindow = 60
	pointsEndless     = 60
	pointsDrip        = 55
	pointsDeadForward = 50
	pointsHTTP        = 30
	pointsTLS         = 15
	pointsMismatch    = 25
	pointsEntropy     = 15
	pointsOddCert     = 10
	pointsFarBehind   = 5
)

// behaviour returns the signs that rest on the dialogue as a whole: how
// connections end, when bytes come, whether two answers are alike. hits are
// what the rules saw.
func behaviour(ev Evidence, list []*subject, hits []hit) []Sign {
	var signs []Sign
	for _, f := range []func(Evidence, []*subject, []hit) (Sign, bool){
		synProxy, smallWindow, multiProtocol, blockPage, endless, drip, deadForward,
		genericHTTP, genericTLS, mismatch, entropic, oddCertificate, farBehind,
	} {
		if s, ok := f(ev, list, hits); ok {
			signs = append(signs, s)
		}
	}
	return signs
}

// genericHTTP: it speaks HTTP, whoever it is.
func genericHTTP(_ Evidence, list []*subject, _ []hit) (Sign, bool) {
	for _, s := range list {
		if s.http == nil {
			continue
		}
		service := "http"
		if s.tls != nil {
			service = "https"
		}
		return Sign{
			Rule: "generic-http", Kind: KindHTTPHeader, Class: KnownService, Reason: "generic_http", Points: pointsHTTP,
			Probe: s.ex.Probe, Service: service, Excerpt: excerpt(latin1(s.http.head)), Source: "RFC 9112 section 4",
		}, true
	}
	return Sign{}, false
}

// genericTLS: it speaks TLS, whatever is inside. A handshake that failed after
// the server's first record is still a server that speaks TLS.
func genericTLS(_ Evidence, list []*subject, _ []hit) (Sign, bool) {
	for _, s := range list {
		_, record := tlsRecord(s.ex)
		if s.ex.TLS == nil && (s.ex.Probe != ProbeTLS || !record) {
			continue
		}
		text := "TLS record " + excerpt(latin1(s.ex.Received[:min(len(s.ex.Received), 8)]))
		if s.ex.TLS != nil {
			text = strings.TrimSpace(excerpt(latin1([]byte(s.ex.TLS.Version + " " + s.tls["cert:subject"]))))
		}
		return Sign{
			Rule: "generic-tls", Kind: KindTLSStack, Class: KnownService, Reason: "generic_tls", Points: pointsTLS,
			Probe: s.ex.Probe, Service: "tls", Excerpt: text, Source: "RFC 8446 section 4",
		}, true
	}
	return Sign{}, false
}

// mismatch: the header claims a web server whose own error text would be
// another: some listener wears a mask, or a proxy sets the header.
func mismatch(_ Evidence, list []*subject, _ []hit) (Sign, bool) {
	claim, stack := "", ""
	for _, s := range list {
		if s.tls != nil {
			continue
		}
		if s.ex.Probe == ProbeTLS {
			stack = errorStack(s.data)
			continue
		}
		if s.http == nil {
			continue
		}
		server := strings.ToLower(s.http.get("server"))
		for _, name := range [...]string{"nginx", "apache", "microsoft-iis"} {
			if server == name || strings.HasPrefix(server, name+"/") {
				claim = name
			}
		}
	}
	if claim == "" || stack == "" {
		return Sign{}, false
	}
	return Sign{
		Rule: "behaviour-claim-mismatch", Kind: KindHTTPHeader, Class: PossibleC2, Points: pointsMismatch, Probe: ProbeTLS,
		Service: "http", Excerpt: "header says " + claim + ", error text is " + stack, Source: "measured: no mismatch in 74 recorded programs",
	}, true
}

// errorStack names the stack whose exact error text data is, "" for none.
func errorStack(data []byte) string {
	text := string(data)
	switch {
	case text == "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n":
		return "Node.js http"
	case text == "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request":
		return "Go net/http"
	case strings.HasPrefix(text, "<!DOCTYPE HTML>\n<html lang=\"en\">") && strings.Contains(text, "Bad request "):
		return "Python http.server"
	default:
		return ""
	}
}

// entropic: the first bytes look random, are different on every connection,
// and belong to no protocol that is known. Obfuscated VPNs, BitTorrent and home
// made license daemons do this too: a hint, never a verdict.
func entropic(_ Evidence, list []*subject, _ []hit) (Sign, bool) {
	var first *subject
	for _, s := range list {
		if s.http != nil || s.tls != nil || !looksRandom(s.data) {
			continue
		}
		if first == nil {
			first = s
			continue
		}
		if first.ex.Conn == s.ex.Conn || bytes.Equal(first.data, s.data) {
			continue
		}
		return Sign{
			Rule: "behaviour-entropy", Kind: KindBehaviour, Class: Unidentified, Points: pointsEntropy, Probe: first.ex.Probe,
			Service: "unknown", Excerpt: excerpt(latin1(first.data)), Source: "measured quantiles of random data",
		}, true
	}
	return Sign{}, false
}

// looksRandom reports whether data has at least the entropy that 99 of 100
// random texts of its length have, in bits a byte, and is not mostly printable.
func looksRandom(data []byte) bool {
	if _, record := tlsRecord(Exchange{Received: data}); record {
		return false
	}
	data = data[:min(len(data), 1024)]
	least := 0.0
	for _, q := range [...]struct {
		length int
		bits   float64 // the 1 % quantile, measured
	}{{48, 5.19}, {64, 5.57}, {96, 6.06}, {128, 6.39}, {192, 6.81}, {256, 7.05}, {512, 7.51}, {1024, 7.77}} {
		if len(data) >= q.length {
			least = q.bits
		}
	}
	if least == 0 {
		return false
	}
	printable := 0
	for _, b := range data {
		if b >= 0x20 && b < 0x7f {
			printable++
		}
	}
	return float64(printable) < 0.6*float64(len(data)) && entropy(data) >= least
}

// entropy is Shannon's, in bits a byte, 0 for no data.
func entropy(data []byte) float64 {
	var counts [256]int
	for _, b := range data {
		counts[b]++
	}
	bits := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(data))
			bits -= p * math.Log2(p)
		}
	}
	return bits
}

// oddCertificate gathers what is unusual in a certificate: each alone is
// common, and together they are still only a hint.
func oddCertificate(ev Evidence, list []*subject, _ []hit) (Sign, bool) {
	for _, s := range list {
		if s.ex.TLS == nil || s.tls["cert:subject"] == "" && s.tls["cert:serial"] == "" {
			continue
		}
		odd := oddities(s.tls, ev.Started)
		if len(odd) < 2 {
			return Sign{}, false
		}
		return Sign{
			Rule: "behaviour-odd-certificate", Kind: KindCert, Class: Unidentified, Points: pointsOddCert, Probe: s.ex.Probe,
			Service: "tls", Excerpt: strings.Join(odd, ", "), Source: "certificates of throw-away listeners; appliances have them too",
		}, true
	}
	return Sign{}, false
}

func oddities(fields map[string]string, seen time.Time) []string {
	var odd []string
	if n := fields["cert:serial"]; n == "0" || n == "1" {
		odd = append(odd, "serial number "+n)
	}
	if fields["cert:san"] == "" {
		odd = append(odd, "no alternative name")
	}
	from, err1 := time.Parse(time.RFC3339, fields["cert:not_before"])
	until, err2 := time.Parse(time.RFC3339, fields["cert:not_after"])
	if err1 != nil || err2 != nil {
		return odd
	}
	if until.Sub(from) > 10*366*24*time.Hour {
		odd = append(odd, "valid for more than ten years")
	}
	if age := seen.Sub(from); !seen.IsZero() && age >= 0 && age < 24*time.Hour {
		odd = append(odd, "made on the day of the scan")
	}
	return odd
}

// farBehind: the first byte came long after the round trip that the kernel
// measured. Slow programs do this, and so does a forward to a far host.
func farBehind(ev Evidence, _ []*subject, _ []hit) (Sign, bool) {
	const factor, least = 5, 50 * time.Millisecond
	for _, ex := range ev.Exchanges {
		if ex.TCP == nil || ex.TCP.RTT <= 0 || len(ex.Sent) == 0 || ex.FirstByte < least || ex.FirstByte < factor*ex.TCP.RTT {
			continue
		}
		return Sign{
			Rule: "behaviour-far-behind", Kind: KindBehaviour, Class: Unidentified, Points: pointsFarBehind, Probe: ex.Probe, Service: "unknown",
			Excerpt: fmt.Sprintf("first byte after %s, round trip %s", ex.FirstByte.Round(time.Millisecond), ex.TCP.RTT.Round(time.Microsecond)),
			Source:  "time of the first byte against the kernel's round trip",
		}, true
	}
	return Sign{}, false
}
