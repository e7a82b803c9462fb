package fingerprint

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/registry"
	"dormant/scanner"
)

// clean is the context of a host whose canaries were closed.
func clean() HostContext { return HostContext{CanariesAsked: 2} }

// answer is an exchange with a complete answer.
func answer(conn int, probe, text string) Exchange {
	sent := map[string]string{ProbeSilence: "", ProbeGet10: "GET / HTTP/1.0\r\n\r\n", "hasp_get": "GET / HTTP/1.0\r\n\r\n", "nethasp": "\r\n\r\n"}[probe]
	return Exchange{
		Conn: conn, Probe: probe, Sent: []byte(sent), Received: []byte(text), End: EndFin,
		FirstByte: 2 * time.Millisecond, Elapsed: 3 * time.Millisecond,
	}
}

// nothing is an exchange without a byte.
func nothing(conn int, probe string, end End, elapsed time.Duration) Exchange {
	return Exchange{Conn: conn, Probe: probe, End: end, Elapsed: elapsed}
}

// shook is a TLS handshake with a certificate of that subject and serial.
func shook(t *testing.T, conn int, subject pkix.Name, serial int64) Exchange {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: subject,
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return Exchange{Conn: conn, Probe: ProbeTLS, End: EndQuiet, TLS: &TLSInfo{Version: "TLS 1.3", Chain: [][]byte{der}}}
}

func inside(ex Exchange) Exchange {
	ex.Inside = true
	return ex
}

// later is the exchange as the repetition after a minute makes it.
func later(ex Exchange) Exchange {
	ex.At = 70 * time.Second
	return ex
}

// judge gives the verdict of a dialogue with a TCP port.
func judge(rules *Rules, port uint16, host HostContext, exchanges ...Exchange) Verdict {
	target := scanner.Target{Addr: netip.MustParseAddr("10.0.0.9"), Port: registry.Port{Number: port, Proto: registry.TCP}}
	return rules.Judge(registry.Entry{}, scanner.Observation{Target: target, State: scanner.Open, Reason: scanner.SynAck},
		Evidence{Target: target, Status: StatusDone, Host: host, Exchanges: exchanges})
}

const (
	openACC    = "HTTP/1.0 302 Moved\r\nServer: HASP LM/18.00\r\nLocation: /_int_/index.html\r\n\r\n"
	closedACC  = "HTTP/1.0 403 Forbidden\r\nServer: HASP LM/25.02\r\nContent-Length: 137\r\n\r\n<title>403 Forbidden</title>\n"
	refusal    = "HTTP/1.1 503 Service Unavailable\r\n\r\nno"
	notThere   = "HTTP/1.1 404 Not Found\r\n\r\nno"
	lmTitle    = "HTTP/1.1 200 OK\r\n\r\n<title>FlexNet Publisher License Server Manager</title>"
	plainPage  = "HTTP/1.1 200 OK\r\nX-Some: thing\r\nContent-Length: 2\r\n\r\nhi"
	badRequest = "HTTP/1.1 400 Bad Request\r\nContent-Length: 12\r\n\r\nBad Request\n"
	havoc      = "HTTP/1.1 404 Not Found\r\nServer: nginx\r\nX-Havoc: true\r\n\r\n"
	quiet      = 3 * time.Second
)

func TestJudge(t *testing.T) {
	strike := pkix.Name{CommonName: "x"}
	rules := defaults(t)
	everywhere := HostContext{CanariesAsked: 3, CanariesOpen: 3}
	silence := nothing(1, ProbeSilence, EndTimeout, quiet)
	for _, tt := range []struct {
		name      string
		port      uint16
		host      HostContext
		exchanges []Exchange
		want      string   // class/reason confidence rule
		flags     []string // that must be there
		severity  string
	}{
		// 1: a host that answers everywhere
		{name: "everywhere", host: everywhere, exchanges: []Exchange{silence, answer(1, ProbeGet10, "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\r\n")},
			want: "middlebox/answers_everywhere 90 host-answers-everywhere", severity: "info"},
		{name: "everywhere, and a license manager", host: everywhere, port: 1947, exchanges: []Exchange{answer(1, "hasp_get", closedACC)},
			want: "license_manager/ 93 hasp-acc-denied", flags: []string{"acc_denied"}, severity: "low"},
		{name: "everywhere, and a license manager by its header", host: everywhere, port: 1947, exchanges: []Exchange{answer(1, "hasp_get", "HTTP/1.1 400 Bad Request\r\nServer: HASP Server/3.2 (MSWin32)\r\n\r\n")},
			want: "license_manager/ 90 hasp-server", severity: "low"},
		{name: "everywhere, and a title of a license manager", host: everywhere, exchanges: []Exchange{answer(1, ProbeGet11, lmTitle)},
			want: "middlebox/answers_everywhere 90 host-answers-everywhere", severity: "info"},
		{name: "everywhere, and a greeting", host: everywhere, exchanges: []Exchange{answer(1, ProbeSilence, "SSH-2.0-OpenSSH_9.2p1\r\n")},
			want: "middlebox/answers_everywhere 90 host-answers-everywhere", severity: "info"},
		{name: "everywhere, and a protocol's own answer", host: everywhere, exchanges: []Exchange{answer(1, "socks5_greeting", "\x05\xff")},
			want: "tunnel_or_proxy/socks_login 85 socks5-login", severity: "medium"},
		{name: "everywhere, and a weaker answer of a protocol", host: everywhere, exchanges: []Exchange{answer(1, ProbeGet10, "500 Invalid request\n")},
			want: "middlebox/answers_everywhere 90 host-answers-everywhere", severity: "info"},
		{name: "everywhere, and an indicator seen twice", host: everywhere,
			exchanges: []Exchange{shook(t, 1, strike, 146473198), later(shook(t, 2, strike, 146473198))},
			want:      "middlebox/answers_everywhere 90 host-answers-everywhere", flags: []string{"c2_indicator"}, severity: "medium"},
		{name: "one canary open is not everywhere", host: HostContext{CanariesAsked: 3, CanariesOpen: 1}, exchanges: []Exchange{silence, answer(1, ProbeGet10, plainPage)},
			want: "known_service/generic_http 50 generic-http", severity: "info"},

		// 2: something in front, or a waste of time
		{name: "handshake only", host: clean(), exchanges: []Exchange{silence, {Conn: 1, Probe: ProbeGet10, Sent: make([]byte, 18), End: EndTimeout, Elapsed: 5 * time.Second,
			TCP: &TCPInfo{Unacked: 1, Retrans: 4, BytesAcked: 1}}},
			want: "middlebox/syn_proxy 70 behaviour-syn-proxy", severity: "info"},
		{name: "a listener that never reads", host: clean(), exchanges: []Exchange{silence, {Conn: 1, Probe: ProbeGet10, Sent: make([]byte, 18), End: EndTimeout, Elapsed: 5 * time.Second,
			TCP: &TCPInfo{BytesAcked: 19, SendWindow: 65536, HasSendWnd: true}}},
			want: "unidentified/silent 0 ", severity: "low"},
		{name: "tiny window", host: clean(), exchanges: []Exchange{{Conn: 1, Probe: ProbeSilence, End: EndTimeout, Elapsed: quiet, TCP: &TCPInfo{BytesAcked: 1, SendWindow: 10, HasSendWnd: true}}},
			want: "tarpit/small_window 60 behaviour-small-window", severity: "info"},
		{name: "small device that answers", host: clean(), exchanges: []Exchange{
			{Conn: 1, Probe: ProbeSilence, End: EndTimeout, Elapsed: quiet, TCP: &TCPInfo{BytesAcked: 1, SendWindow: 1024, HasSendWnd: true}}, answer(1, ProbeGet10, plainPage)},
			want: "known_service/generic_http 50 generic-http", severity: "info"},
		{name: "kernel that tells no window", host: clean(), exchanges: []Exchange{{Conn: 1, Probe: ProbeSilence, End: EndTimeout, Elapsed: quiet, TCP: &TCPInfo{BytesAcked: 1}}},
			want: "unidentified/silent 0 ", severity: "low"},
		{name: "the same refusal for garbage", host: clean(), exchanges: []Exchange{silence, answer(1, ProbeGet10, refusal), answer(2, ProbeTLS, refusal)},
			want: "middlebox/block_page 70 behaviour-block-page", severity: "info"},
		{name: "the same refusal for garbage, in words", host: clean(), exchanges: []Exchange{silence, answer(1, ProbeGet10, plainPage+": BLOCKED"), answer(2, ProbeTLS, plainPage+": BLOCKED")},
			want: "middlebox/block_page 70 behaviour-block-page", severity: "info"},
		{name: "the same refusal, and a title of a license manager", host: clean(), exchanges: []Exchange{silence, answer(1, ProbeGet10, lmTitle+"denied"), answer(2, ProbeTLS, lmTitle+"denied")},
			want: "middlebox/block_page 70 behaviour-block-page", severity: "info"},
		{name: "a greeting, and no end", host: clean(), exchanges: []Exchange{{Conn: 1, Probe: ProbeSilence, Received: []byte("SSH-2.0-OpenSSH_9.2p1\r\n"), End: EndFull}},
			want: "known_service/remote_access 95 openssh", severity: "info"},
		{name: "a script that has one page", host: clean(), exchanges: []Exchange{silence, answer(1, ProbeGet10, plainPage), answer(2, ProbeTLS, plainPage)},
			want: "known_service/generic_http 50 generic-http", severity: "info"},
		{name: "a script that finds nothing", host: clean(), exchanges: []Exchange{silence, answer(1, ProbeGet10, notThere), answer(2, ProbeTLS, notThere)},
			want: "known_service/generic_http 50 generic-http", severity: "info"},
		{name: "a bad request, whatever is said", host: clean(), exchanges: []Exchange{silence, answer(1, ProbeGet10, badRequest), answer(2, ProbeTLS, badRequest)},
			want: "known_service/generic_http 50 generic-http", severity: "info"},
		{name: "two greetings in one answer", host: clean(), exchanges: []Exchange{answer(1, ProbeSilence, "SSH-2.0-OpenSSH_9.2\r\n+OK POP3 ready\r\n")},
			want: "middlebox/multi_protocol 70 behaviour-multi-protocol", severity: "info"},
		{name: "a title of a license manager", host: clean(), exchanges: []Exchange{silence, answer(1, ProbeGet10, lmTitle)},
			want: "known_service/license 70 flexnet-lmadmin", severity: "info"},
		{name: "the greeting of a honeypot", host: clean(), exchanges: []Exchange{answer(1, ProbeSilence, "220 Welcome to the ftp service\r\n")},
			want: "middlebox/multi_protocol 86 honeypot-ftp", flags: []string{"honeypot"}, severity: "info"},
		{name: "a page that quotes a greeting", host: clean(), exchanges: []Exchange{silence, answer(1, ProbeGet10, plainPage+"\r\nSSH-2.0-x\r\n+OK x\r\n")},
			want: "known_service/generic_http 50 generic-http", severity: "info"},
		{name: "dead forward", host: clean(), exchanges: []Exchange{nothing(1, ProbeSilence, EndFin, 2*time.Millisecond), nothing(2, ProbeTLS, EndRst, 2*time.Millisecond)},
			want: "middlebox/dead_forward 50 behaviour-dead-forward", severity: "info"},
		{name: "closes after its own silence", host: clean(), exchanges: []Exchange{nothing(1, ProbeSilence, EndFin, 2004*time.Millisecond), nothing(2, ProbeTLS, EndRst, 2*time.Millisecond)},
			want: "unidentified/needs_opener 0 ", severity: "low"},
		{name: "dead forward that answers its opener", host: clean(), exchanges: []Exchange{
			nothing(1, ProbeSilence, EndFin, 2*time.Millisecond), nothing(2, ProbeTLS, EndRst, 2*time.Millisecond), answer(3, "socks5_greeting", "\x05\x00")},
			want: "tunnel_or_proxy/open_socks 90 socks5", flags: []string{"open_socks"}, severity: "medium"},

		// 3: license managers, only by their own protocol
		{name: "open ACC", host: clean(), port: 1947, exchanges: []Exchange{answer(1, "hasp_get", openACC)},
			want: "license_manager/ 93 hasp-acc-open", flags: []string{"acc_reachable"}, severity: "medium"},
		{name: "license manager on an unusual port", host: clean(), port: 3588, exchanges: []Exchange{silence, answer(1, ProbeGet10, closedACC)},
			want: "license_manager/ 93 hasp-acc-denied", flags: []string{"acc_denied", "off_registry"}, severity: "low"},
		{name: "license manager that blocks garbage with the same page", host: clean(), port: 1947, exchanges: []Exchange{answer(1, "hasp_get", closedACC), answer(2, ProbeTLS, closedACC)},
			want: "license_manager/ 93 hasp-acc-denied", severity: "low"},
		{name: "title alone", host: clean(), port: 1947, exchanges: []Exchange{silence, answer(1, ProbeGet10, "HTTP/1.1 200 OK\r\n\r\n<title>Sentinel Admin Control Center</title>")},
			want: "known_service/generic_http 50 generic-http", severity: "info"},
		{name: "port alone", host: clean(), port: 1947, exchanges: []Exchange{silence}, want: "unidentified/silent 0 ", severity: "low"},
		{name: "NetHASP", host: clean(), port: 475, exchanges: []Exchange{answer(1, "nethasp", "\xf2\xfa"+strings.Repeat("\xf2", 60)+strings.Repeat("\x00", 8))},
			want: "license_manager/ 93 nethasp", severity: "low"},
		{name: "echo on 475", host: clean(), port: 475, exchanges: []Exchange{answer(1, "nethasp", "\r\n\r\n")}, want: "known_service/echo 70 echo", severity: "info"},

		// 4: possible command and control
		{name: "indicator seen once", host: clean(), exchanges: []Exchange{silence, shook(t, 2, strike, 146473198)},
			want: "known_service/generic_tls 45 generic-tls", flags: []string{"c2_indicator", "self_signed", "tls"}, severity: "medium"},
		{name: "indicator seen twice", host: clean(), exchanges: []Exchange{silence, shook(t, 2, strike, 146473198), later(shook(t, 3, strike, 146473198))},
			want: "possible_c2/ 60 c2-cobaltstrike-serial", severity: "high"},
		{name: "twice in one dialogue is once", host: clean(), exchanges: []Exchange{silence, shook(t, 2, strike, 146473198), shook(t, 3, strike, 146473198)},
			want: "known_service/generic_tls 45 generic-tls", flags: []string{"c2_indicator"}, severity: "medium"},
		{name: "twice on one connection is once", host: clean(), exchanges: []Exchange{silence, shook(t, 2, strike, 146473198), inside(answer(2, ProbeGet11, plainPage))},
			want: "known_service/generic_http 50 generic-http", flags: []string{"c2_indicator"}, severity: "medium"},
		{name: "canaries not asked", exchanges: []Exchange{silence, shook(t, 2, strike, 146473198), later(shook(t, 3, strike, 146473198))},
			want: "known_service/generic_tls 45 generic-tls", flags: []string{"c2_indicator"}, severity: "medium"},
		{name: "a claimed nginx is no excuse", host: clean(), exchanges: []Exchange{silence, answer(1, ProbeGet10, havoc), later(answer(2, ProbeGet10, havoc))},
			want: "possible_c2/ 60 c2-havoc-header", severity: "high"},
		{name: "a better name is one", host: clean(), exchanges: []Exchange{answer(1, ProbeSilence, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), shook(t, 2, strike, 146473198), later(shook(t, 3, strike, 146473198))},
			want: "known_service/remote_access 95 openssh", flags: []string{"c2_indicator"}},
		{name: "two kinds of one family", host: clean(), exchanges: []Exchange{
			shook(t, 1, pkix.Name{PostalCode: []string{"3540"}, Organization: []string{"x"}}, 7), inside(answer(1, ProbeGet11, "HTTP/1.1 404 Not Found\r\nX-Havoc: true\r\n\r\n"))},
			want: "possible_c2/ 45 c2-havoc-header", severity: "high"},
		{name: "a runtime is no name", host: clean(), exchanges: []Exchange{
			shook(t, 1, pkix.Name{PostalCode: []string{"3540"}, Organization: []string{"x"}}, 7), inside(answer(1, ProbeGet11, "HTTP/1.1 404 Not Found\r\nX-Havoc: true\r\nX-Content-Type-Options: nosniff\r\n\r\n404 page not found\n"))},
			want: "possible_c2/ 45 c2-havoc-header", severity: "high"},
		{name: "two kinds of two families", host: clean(), exchanges: []Exchange{
			shook(t, 1, pkix.Name{CommonName: "Covenant"}, 7), inside(answer(1, ProbeGet11, "HTTP/1.1 404 Not Found\r\nX-Havoc: true\r\n\r\n"))},
			want: "known_service/generic_http 50 generic-http", flags: []string{"c2_indicator"}, severity: "medium"},
		{name: "JARM alone, twice", host: clean(), exchanges: []Exchange{jarm(shook(t, 1, strike, 7)), later(jarm(shook(t, 2, strike, 7)))},
			want: "known_service/generic_tls 45 generic-tls", severity: "info"},
		{name: "weak shapes, twice", host: clean(), exchanges: []Exchange{
			answer(1, ProbeGet10, "HTTP/1.1 404 Not Found\r\nCache-Control: no-store, no-cache, must-revalidate\r\nDate: x GMT\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n"),
			later(answer(2, ProbeGet10, "HTTP/1.1 404 Not Found\r\nCache-Control: no-store, no-cache, must-revalidate\r\nDate: x GMT\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n"))},
			want: "known_service/generic_http 50 generic-http", severity: "info"},
		{name: "a certificate by the words of a tutorial, twice", host: clean(), exchanges: []Exchange{silence, shook(t, 2, tutorial(), 7), later(shook(t, 3, tutorial(), 7))},
			want: "known_service/generic_tls 45 generic-tls", severity: "medium"},
		{name: "a frame that begins with a popular number, twice", host: clean(), exchanges: []Exchange{
			answer(1, ProbeSilence, "\x00\x00\x00\x0c\xca\xfe\xba\xbe\x00\x00\x00\x01\x00\x00\x00\x04"), later(answer(2, ProbeSilence, "\x00\x00\x00\x0c\xca\xfe\xba\xbe\x00\x00\x00\x01\x00\x00\x00\x04"))},
			want: "unidentified/needs_opener 0 ", severity: "low"},
		{name: "shell before C2", host: clean(), exchanges: []Exchange{silence, answer(1, ProbeGet10, "/bin/sh: 1: GET: not found\n"), shook(t, 2, strike, 146473198), later(shook(t, 3, strike, 146473198))},
			want: "open_shell/posix 60 shell-posix-error", severity: "high"},
		{name: "shell text twice", host: clean(), exchanges: []Exchange{silence, answer(1, ProbeGet10, "/bin/sh: 1: GET: not found\n"), answer(2, ProbeGet11, "/bin/sh: 1: GET: not found\n")},
			want: "open_shell/posix 75 shell-posix-error", severity: "high"},

		// 5 to 7
		{name: "header alone is medium", host: clean(), exchanges: []Exchange{silence, answer(1, ProbeGet10, "HTTP/1.1 200 OK\r\nServer: HAProxy\r\n\r\nhi")},
			want: "known_service/generic_http 50 generic-http", severity: "info"},
		{name: "a finished site is no dev server", host: clean(), exchanges: []Exchange{silence, answer(1, ProbeGet10, "HTTP/1.1 200 OK\r\nServer: nginx/1.24.0\r\n\r\n<div id=\"___gatsby\"></div>")},
			want: "known_service/web 80 nginx", severity: "info"},
		{name: "two kinds agree", host: clean(), exchanges: []Exchange{silence, answer(1, ProbeGet10, "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 04:42:21 GMT\r\nConnection: close\r\n\r\nhi"),
			answer(2, ProbeTLS, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")},
			want: "dev_server/runtime 85 stack-node", severity: "low"},
		{name: "TLS alert is TLS", host: clean(), exchanges: []Exchange{silence, answer(2, ProbeTLS, "\x15\x03\x03\x00\x02\x02\x28")},
			want: "known_service/generic_tls 45 generic-tls", severity: "info"},
		{name: "closes on text", host: clean(), exchanges: []Exchange{silence, nothing(1, ProbeGet10, EndRst, time.Millisecond), nothing(2, ProbeTLS, EndFin, time.Millisecond)},
			want: "unidentified/closes_on_text 0 ", severity: "low"},
		// 8
		{name: "contradiction", host: clean(), exchanges: []Exchange{answer(1, ProbeSilence, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), answer(2, "socks5_greeting", "\x05\x00")},
			want: "unidentified/contradicting 0 ", severity: "low"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			port := tt.port
			if port == 0 {
				port = 3588
			}
			v := judge(rules, port, tt.host, tt.exchanges...)
			if got := summary(v); got != tt.want {
				t.Errorf("verdict = %s, want %s", got, tt.want)
			}
			for _, f := range tt.flags {
				if !slices.Contains(v.Flags, f) {
					t.Errorf("flags = %v, want also %s", v.Flags, f)
				}
			}
			if tt.severity != "" && v.Severity != tt.severity {
				t.Errorf("severity = %s, want %s", v.Severity, tt.severity)
			}
			checkInvariants(t, v)
		})
	}
}

// tutorial is the subject that guides to openssl req print, in their order.
func tutorial() (name pkix.Name) {
	for _, a := range []struct {
		last  int
		value string
	}{{6, "CN"}, {8, "myprovince"}, {7, "mycity"}, {10, "myorganization"}, {11, "mygroup"}, {3, "myServer"}} {
		name.ExtraNames = append(name.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, a.last}, Value: a.value})
	}
	return name
}

func jarm(ex Exchange) Exchange {
	ex.TLS.JARM = "2ad2ad0002ad2ad00042d42d000000ad9bf51cc3f5a1e29eecb81d0c7b06eb"
	return ex
}

func summary(v Verdict) string {
	return v.Class.String() + "/" + v.Reason + " " + big.NewInt(int64(v.Confidence)).String() + " " + v.RuleID
}

// checkInvariants holds for every verdict whatever the evidence.
func checkInvariants(t *testing.T, v Verdict) {
	t.Helper()
	if v.Confidence < 0 || v.Confidence > 100 {
		t.Errorf("confidence = %d", v.Confidence)
	}
	if v.Class == Unidentified && v.Confidence >= 40 {
		t.Errorf("unidentified with confidence %d: from 40 it has a name", v.Confidence)
	}
	if v.Class != 0 && (v.Service == "" || v.Severity == "") {
		t.Errorf("service = %q, severity = %q: both are always said", v.Service, v.Severity)
	}
	if v.Class == LicenseManager && v.Confidence < provenLicense {
		t.Errorf("license_manager with confidence %d", v.Confidence)
	}
	texts := append(append([]string{v.Product, v.Version, v.CPE, v.Hostname, v.TLSName, v.JARM, v.Service}, v.Hints...), v.Settle...)
	for _, s := range v.Signs {
		texts = append(texts, s.Excerpt, s.Product, s.Version, s.CPE)
		if len(s.Excerpt) > maxExcerpt {
			t.Errorf("excerpt of %d bytes", len(s.Excerpt))
		}
	}
	for _, text := range texts {
		for _, r := range text {
			if r < 0x20 || r == 0x7f {
				t.Errorf("%q holds a control character", text)
			}
		}
	}
	for _, text := range append(slices.Clone(v.Hints), v.Settle...) {
		for _, word := range []string{"infected", "malware", "compromised", "confirmed"} {
			if strings.Contains(text, word) {
				t.Errorf("hint %q says %q", text, word)
			}
		}
	}
}

func TestJudgeNothing(t *testing.T) {
	rules := defaults(t)
	target := scanner.Target{Addr: netip.MustParseAddr("10.0.0.9"), Port: registry.Port{Number: 1947, Proto: registry.TCP}}
	some := Evidence{Exchanges: []Exchange{answer(1, "hasp_get", openACC)}}
	for _, tt := range []struct {
		name string
		obs  scanner.Observation
		ev   Evidence
	}{
		{"closed", scanner.Observation{Target: target, State: scanner.Closed, Reason: scanner.Rst}, some},
		{"filtered", scanner.Observation{Target: target, State: scanner.Filtered, Reason: scanner.NoResponse}, some},
		{"open, no dialogue", scanner.Observation{Target: target, State: scanner.Open, Reason: scanner.SynAck}, Evidence{}},
		{"not set", scanner.Observation{}, some},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(Verdict{}, rules.Judge(registry.Entry{}, tt.obs, tt.ev)); d != "" {
				t.Errorf("verdict (-want +got):\n%s", d)
			}
		})
	}
}

// TestJudgeDatagram judges the answer that the sweep itself received.
func TestJudgeDatagram(t *testing.T) {
	rules := defaults(t)
	rms := registry.Port{Number: 5093, Proto: registry.UDP}
	lm := registry.Port{Number: 1947, Proto: registry.UDP}
	header := string(rules.Payload(rms)[:12])
	for _, tt := range []struct {
		name    string
		port    registry.Port
		payload string
		want    string
		flags   []string
		host    string
	}{
		{name: "Sentinel RMS", port: rms, payload: header + rmsConstant, want: "license_manager/ 95 rms-stream"},
		{name: "Sentinel RMS that amplifies", port: rms, payload: header + rmsConstant + strings.Repeat("x", 520), want: "license_manager/ 95 rms-stream", flags: []string{"udp_amplifier_x14"}},
		{name: "echo", port: rms, payload: string(rules.Payload(rms)), want: "known_service/echo 70 echo"},
		{name: "another answer", port: rms, payload: "what?", want: "unidentified/needs_opener 0 "},
		{name: "LM search", port: lm, payload: string(LMSearch{Host: "licsrv01", Number: 9}.Encode()), want: "license_manager/ 90 hasp-lm-search", host: "licsrv01"},
		{name: "own LM search come back", port: lm, payload: string(rules.Payload(lm)), want: "known_service/echo 70 echo"},
		{name: "answer to an empty datagram", port: registry.Port{Number: 3588, Proto: registry.UDP}, payload: strings.Repeat("x", 252), want: "unidentified/needs_opener 0 ", flags: []string{"udp_amplifier_x10"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target := scanner.Target{Addr: netip.MustParseAddr("10.0.0.9"), Port: tt.port}
			v := rules.Judge(registry.Entry{}, scanner.Observation{Target: target, State: scanner.Open, Reason: scanner.UDPReply, Payload: []byte(tt.payload)}, Evidence{})
			if got := summary(v); got != tt.want {
				t.Errorf("verdict = %s, want %s", got, tt.want)
			}
			if d := cmp.Diff(tt.flags, v.Flags); d != "" {
				t.Errorf("flags (-want +got):\n%s", d)
			}
			if v.Hostname != tt.host {
				t.Errorf("hostname = %q, want %q", v.Hostname, tt.host)
			}
			checkInvariants(t, v)
		})
	}
}

// TestJudgeIsPure: the same evidence gives the same verdict, and is not changed.
func TestJudgeIsPure(t *testing.T) {
	ex := []Exchange{nothing(1, ProbeSilence, EndTimeout, quiet), answer(1, ProbeGet10, havoc), later(answer(2, ProbeGet10, havoc))}
	rules := defaults(t)
	first := judge(rules, 3588, clean(), ex...)
	for range 20 {
		if d := cmp.Diff(first, judge(rules, 3588, clean(), ex...)); d != "" {
			t.Fatalf("the verdict changes (-first +again):\n%s", d)
		}
	}
	if string(ex[1].Received) != havoc {
		t.Error("the evidence was changed")
	}
}

func TestIndicator(t *testing.T) {
	rules := defaults(t)
	inside := answer(2, ProbeGet11, havoc)
	inside.Inside = true
	for _, tt := range []struct {
		name string
		list []Exchange
		want int // of the list, -1 for none
	}{
		{"nothing suspicious", []Exchange{answer(1, ProbeGet10, plainPage)}, -1},
		{"certificate", []Exchange{shook(t, 1, pkix.Name{CommonName: "x"}, 146473198)}, 0},
		{"header", []Exchange{answer(1, ProbeGet10, havoc)}, 0},
		{"the same probe, in the clear and inside TLS", []Exchange{
			answer(1, ProbeGet11, plainPage), shook(t, 2, pkix.Name{CommonName: "x"}, 7), inside,
		}, 2},
		{"JARM is not worth it", []Exchange{jarm(shook(t, 1, pkix.Name{CommonName: "x"}, 7))}, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var want *Exchange
			if tt.want >= 0 {
				want = &tt.list[tt.want]
			}
			if got := rules.indicator(Evidence{Exchanges: tt.list}); got != want {
				t.Errorf("Indicator = %+v, want %+v", got, want)
			}
		})
	}
}

// TestTwoFamilies: a sign that came once must not hide another family's that
// came twice.
func TestTwoFamilies(t *testing.T) {
	rule := func(id, points string) string {
		return "id: " + id + "\nservice: x\nverdict: possible_c2\nfamily: " + id + "\nevidence: {kind: banner, points: " + points +
			"}\nsources: [s]\nmatch: [{field: data, contains: " + id + "}]\nexamples: [{text: " + id + "}]\n"
	}
	rules, err := Load(files(map[string]string{"once": rule("once", "90"), "twice": rule("twice", "70")}))
	if err != nil {
		t.Fatal(err)
	}
	v := judge(rules, 3588, clean(), answer(1, ProbeSilence, "once twice"), later(answer(2, ProbeSilence, "twice")))
	if v.Class != PossibleC2 || v.Family != "twice" || v.Confidence != 60 {
		t.Errorf("verdict = %s %q %d, want possible_c2 by what came twice, 60", v.Class, v.Family, v.Confidence)
	}
}
