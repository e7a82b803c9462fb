package fingerprint

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dormant/registry"
	"dormant/scanner"
)

// capture is one recording of a program's answers, in the form of the corpus
// that DORMANT_CAPTURES points to.
type capture struct {
	Name     string          `json:"name"`
	Expected string          `json:"expected_verdict"`
	Port     uint16          `json:"port"`
	Probes   []recordedProbe `json:"probes"`
	Stage2   []recordedProbe `json:"stage2"`
	TLS      struct {
		Attempted bool   `json:"attempted"`
		OK        bool   `json:"ok"`
		Version   string `json:"version"`
		Cipher    string `json:"cipher"`
		ALPN      string `json:"alpn"`
		Cert      []byte `json:"cert_der_b64"`
		HTTP      []byte `json:"http_response_b64"`
		JARM      string `json:"jarm"`
	} `json:"tls"`
}

type recordedProbe struct {
	ID        string       `json:"id"`
	Transport string       `json:"transport"`
	Request   []byte       `json:"request_b64"`
	End       string       `json:"end"`
	Elapsed   float64      `json:"elapsed_ms"`
	FirstByte *float64     `json:"first_byte_ms"`
	Response  []byte       `json:"response_b64"`
	Chunks    [][2]float64 `json:"chunks"`
	TCP       *struct {
		Unacked    uint32 `json:"unacked"`
		Retrans    uint32 `json:"total_retrans"`
		BytesAcked uint64 `json:"bytes_acked"`
		SendWindow uint32 `json:"snd_wnd"`
	} `json:"tcp_info"`
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// exchange is the recording as our dialogue would have stored it.
func (p recordedProbe) exchange(conn int, probe string) Exchange {
	ends := map[string]End{
		"timeout": EndTimeout, "fin": EndFin, "fin_in_silence": EndFin, "rst": EndRst, "max_bytes": EndFull,
		"connect_error": EndRefused, "icmp_port_unreachable": EndRefused, "reply": EndReply,
	}
	ex := Exchange{Conn: conn, Probe: probe, Sent: p.Request, Received: p.Response, End: ends[p.End], Elapsed: milliseconds(p.Elapsed)}
	if len(ex.Received) > 0 && ex.End == EndTimeout {
		ex.End = EndQuiet
	}
	if p.FirstByte != nil {
		ex.FirstByte = milliseconds(*p.FirstByte)
	}
	for _, c := range p.Chunks {
		ex.Chunks = append(ex.Chunks, Chunk{At: milliseconds(c[0]), Bytes: int(c[1])})
	}
	if p.TCP != nil {
		ex.TCP = &TCPInfo{Unacked: p.TCP.Unacked, Retrans: p.TCP.Retrans, BytesAcked: p.TCP.BytesAcked, SendWindow: p.TCP.SendWindow, HasSendWnd: true}
	}
	return ex
}

func (c capture) probe(id string) (recordedProbe, bool) {
	i := slices.IndexFunc(c.Probes, func(p recordedProbe) bool { return p.ID == id })
	if i < 0 {
		return recordedProbe{}, false
	}
	return c.Probes[i], true
}

// dialogue puts the recorded answers in the order of our dialogue: the port's
// own opener, silence and GET on one connection, then what nextProbe asks for,
// then one opener by shape.
func (c capture) dialogue(rules *Rules, withOpener bool) Evidence {
	ev := Evidence{
		Target: scanner.Target{Addr: netip.MustParseAddr("10.0.0.1"), Port: registry.Port{Number: c.Port, Proto: registry.TCP}},
		Status: StatusDone, Host: HostContext{CanariesAsked: 2},
	}
	conn := 0
	take := func(id, probe string, fresh bool) (Exchange, bool) {
		p, ok := c.probe(id)
		if !ok {
			return Exchange{}, false
		}
		if fresh {
			conn++
		}
		ex := p.exchange(conn, probe)
		ev.Exchanges = append(ev.Exchanges, ex)
		return ex, true
	}
	done := func(ex Exchange) bool { _, ok := rules.strong(ex); return ok }

	if o, ok := rules.firstOpener(ev.Target.Port); ok {
		id := map[string]string{"hasp_get": "http_get_10", "nethasp": "crlf_crlf"}[o.ID]
		if ex, ok := take(id, o.ID, true); ok && done(ex) {
			return ev
		}
	}
	silence, ok := take("tcp_silence_3s", ProbeSilence, true)
	if !ok || done(silence) {
		return ev
	}
	if len(silence.Received) == 0 && silence.End == EndTimeout {
		if ex, _ := take("http_get_10", ProbeGet10, false); done(ex) {
			return ev
		}
	}
	for range 3 { // connections beyond the first
		switch rules.nextProbe(ev) {
		case ProbeGet11:
			if ex, _ := take("http_get_11", ProbeGet11, true); done(ex) {
				return ev
			}
		case ProbeGet404:
			take("http_get_404", ProbeGet404, true)
		case ProbeTLS:
			if c.TLS.OK {
				ev.Exchanges = append(ev.Exchanges, c.handshake(conn+1)...)
				conn++
				continue
			}
			take("tls_client_hello", ProbeTLS, true)
		default:
		}
	}
	if withOpener && rules.nextProbe(ev) == "" {
		c.lastStep(rules, &ev, conn+1)
	}
	return ev
}

func (c capture) handshake(conn int) []Exchange {
	version := strings.Replace(c.TLS.Version, "TLSv", "TLS ", 1)
	shook := Exchange{Conn: conn, Probe: ProbeTLS, End: EndQuiet, TLS: &TLSInfo{
		Version: version, Cipher: c.TLS.Cipher, ALPN: c.TLS.ALPN, Chain: [][]byte{c.TLS.Cert}, JARM: c.TLS.JARM,
	}}
	inside := Exchange{Conn: conn, Probe: ProbeGet11, Inside: true, Received: c.TLS.HTTP, End: EndFin}
	if len(inside.Received) == 0 {
		inside.End = EndTimeout
	}
	return []Exchange{shook, inside}
}

// lastStep adds the answer to the first opener of the shape that was recorded.
func (c capture) lastStep(rules *Rules, ev *Evidence, conn int) {
	names := map[string]string{"ping": "redis_ping", "h2_preface_settings": "h2_preface"}
	for _, o := range rules.stageTwo(shapeOf(*ev)) {
		for _, p := range c.Stage2 {
			id := strings.TrimPrefix(p.ID, "stage2:")
			if other, ok := names[id]; ok {
				id = other
			}
			if id == o.ID && p.Transport != "udp" {
				ev.Exchanges = append(ev.Exchanges, p.exchange(conn, o.ID))
				return
			}
		}
	}
}

// required is what the corpus demands where it is not the label: verdicts and
// reasons that are accepted, the first being the best.
func required() map[string][]string {
	generic := []string{"known_service/generic_http", "known_service/generic_tls", "unidentified"}
	either := []string{"known_service", "dev_server"}
	return map[string][]string{
		"syn-shell-error-text":       {"open_shell"},
		"syn-ps-prompt-text":         {"open_shell"},
		"haproxy-tcp-deadbackend":    {"middlebox/dead_forward"},
		"syn-accept-close":           {"middlebox/dead_forward"},
		"syn-waf-block-page":         {"middlebox/block_page"},
		"syn-chargen":                {"tarpit/endless"},
		"syn-slow-drip":              {"tarpit/drip"},
		"ncat-listen":                {"unidentified"},
		"syn-accept-hang":            {"unidentified"},
		"syn-len-prefixed-hello":     {"unidentified"},
		"syn-close-after-n":          {"unidentified"},
		"syn-stratum-like":           {"unidentified"},
		"go-rawtls":                  generic,
		"syn-http-404-empty-nostore": generic,
		"dante":                      {"tunnel_or_proxy"},
		"ssh-dynamic-socks":          {"tunnel_or_proxy"},
		"socat-echo":                 {"known_service/echo"},
		"ser2net":                    {"known_service/echo"},
		"go-gossh":                   {"known_service"},
		"aiohttp":                    either, "aiohttp-tls": either, "tornado": either, "gunicorn": either, "go-reverseproxy": either,
		"java-jdwp":         {"dev_server/debugger"},
		"sslh":              {"known_service", "middlebox/dead_forward", "unidentified"},
		"distccd":           {"known_service", "unidentified"},
		"openvpn-tcp":       {"known_service", "unidentified"},
		"iperf3":            {"known_service", "unidentified"},
		"transmission-peer": {"known_service", "unidentified"},
		"stunnel":           {"known_service", "unidentified"},
	}
}

// unnamedWithout lists the captures that stay unidentified without their opener.
func unnamedWithout() []string {
	return []string{"postgres", "mosquitto", "aedes-mqtt", "samba", "x11", "named", "dnsmasq", "dante", "ssh-dynamic-socks"}
}

func accepted(v Verdict, want []string) bool {
	return slices.Contains(want, v.Class.String()) || slices.Contains(want, v.Class.String()+"/"+v.Reason)
}

// TestCaptures replays a corpus of recorded answers of real programs, and holds
// every verdict against what the corpus requires.
func TestCaptures(t *testing.T) {
	dir := os.Getenv("DORMANT_CAPTURES")
	if dir == "" {
		t.Skip("DORMANT_CAPTURES names no folder of recorded answers")
	}
	rules := defaults(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in %s: %v", dir, err)
	}
	named, programs := 0, 0
	for _, file := range files {
		c := readCapture(t, file)
		t.Run(c.Name, func(t *testing.T) {
			if strings.HasSuffix(c.Name, "-udp") {
				replayDatagrams(t, rules, c)
				return
			}
			v := replay(rules, c, true)
			t.Logf("%s/%s %d %s %q %q by %s %v", v.Class, v.Reason, v.Confidence, v.Service, v.Product, v.Version, v.RuleID, v.Flags)
			want, ok := required()[c.Name]
			if !ok {
				want = []string{strings.Replace(c.Expected, "unknown", "unidentified", 1)}
			}
			if !accepted(v, want) {
				t.Errorf("verdict = %s/%s, want %v", v.Class, v.Reason, want)
			}
			generic := v.Reason == "generic_http" || v.Reason == "generic_tls"
			if generic && v.Confidence > 50 {
				t.Errorf("confidence of a generic service = %d, want at most 50", v.Confidence)
			}
			if !strings.HasPrefix(c.Name, "syn-") {
				programs++
				if !generic && v.Class != Unidentified && v.Class != Middlebox && v.Class != Tarpit {
					named++
				}
			}
			for _, w := range []Verdict{v, replay(rules, c, false)} {
				if w.Class == PossibleC2 || w.Class == LicenseManager {
					t.Errorf("verdict = %s by %s: never for an innocent program", w.Class, w.RuleID)
				}
			}
			if w := replay(rules, c, false); slices.Contains(unnamedWithout(), c.Name) && w.Class != Unidentified {
				t.Errorf("without its opener: verdict = %s/%s, want unidentified", w.Class, w.Reason)
			}
		})
	}
	t.Logf("named %d of %d real TCP programs, with the opener that was recorded of each", named, programs)
}

func readCapture(t *testing.T, file string) capture {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c capture
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return c
}

func replay(rules *Rules, c capture, withOpener bool) Verdict {
	ev := c.dialogue(rules, withOpener)
	return rules.Judge(registry.Entry{}, scanner.Observation{Target: ev.Target, State: scanner.Open, Reason: scanner.SynAck}, ev)
}

// replayDatagrams: silence gives no verdict; an answer to the right question
// gives a name.
func replayDatagrams(t *testing.T, rules *Rules, c capture) {
	target := scanner.Target{Addr: netip.MustParseAddr("10.0.0.1"), Port: registry.Port{Number: c.Port, Proto: registry.UDP}}
	silent := scanner.Observation{Target: target, State: scanner.OpenFiltered, Reason: scanner.NoResponse}
	if v := rules.Judge(registry.Entry{}, silent, Evidence{}); v.Class != 0 {
		t.Errorf("silence: verdict = %s, want none", v.Class)
	}
	for _, p := range c.Stage2 {
		id := strings.TrimPrefix(p.ID, "stage2:")
		if _, ok := rules.Opener(id); !ok || len(p.Response) == 0 {
			continue
		}
		open := scanner.Observation{Target: target, State: scanner.Open, Reason: scanner.UDPReply, Payload: p.Response}
		v := rules.Judge(registry.Entry{}, open, Evidence{Target: target, Status: StatusDone, Exchanges: []Exchange{p.exchange(0, id)}})
		if v.Class != KnownService {
			t.Errorf("%s: verdict = %s/%s, want known_service", id, v.Class, v.Reason)
		}
	}
}
