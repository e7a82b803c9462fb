package fingerprint

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestUnnamedIsWorded: what is said of a port without a name is what it did.
func TestUnnamedIsWorded(t *testing.T) {
	rules := defaults(t)
	const wait = 3 * time.Second
	quiet := nothing(1, ProbeSilence, EndTimeout, wait)
	for name, tt := range map[string]struct {
		seen []Exchange
		want string
	}{
		"answers":               {[]Exchange{quiet, answer(1, ProbeGet10, "what?\n")}, "No rule knows its answers"},
		"closes on text":        {[]Exchange{quiet, nothing(1, ProbeGet10, EndFin, 1)}, "closes on text"},
		"closes on a TLS hello": {[]Exchange{quiet, nothing(1, ProbeGet10, EndTimeout, wait), nothing(2, ProbeTLS, EndFin, 1)}, "closes on a TLS greeting"},
		"closes after silence":  {[]Exchange{nothing(1, ProbeSilence, EndFin, 2*time.Second)}, "after a silence"},
		"closes at once":        {[]Exchange{nothing(1, ProbeSilence, EndFin, 1)}, "before anything was asked"},
		"silent":                {[]Exchange{quiet, nothing(1, ProbeGet10, EndTimeout, wait)}, "said nothing to any question"},
	} {
		v := judge(rules, 3588, clean(), tt.seen...)
		if v.Class != Unidentified || !slices.ContainsFunc(v.Hints, func(h string) bool { return strings.Contains(h, tt.want) }) {
			t.Errorf("%s: %v, hints %q, want one with %q", name, v.Class, v.Hints, tt.want)
		}
	}
}

// TestDoubtIsSettled: what a weaker sign leaves open is not said where a
// stronger one has decided it; what a proof says beside another is.
func TestDoubtIsSettled(t *testing.T) {
	rules := defaults(t)
	page := "HTTP/1.1 404 Not Found\r\nServer: nginx/1.22.1\r\n\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
	v := judge(rules, 3588, clean(), answer(1, ProbeGet404, page))
	if v.RuleID != "nginx" || len(v.Hints) != 0 {
		t.Errorf("nginx by its header: %s with hints %q", v.RuleID, v.Hints)
	}
	v = judge(rules, 3588, clean(), answer(1, ProbeSilence, "RFB 003.008\n"), answer(2, "rfb_version", "RFB 003.008\n\x01\x01"))
	if v.RuleID != "vnc-open" || len(v.Settle) != 0 {
		t.Errorf("VNC without a password: %s, to be settled %q", v.RuleID, v.Settle)
	}
	v = judge(rules, 3588, clean(), answer(1, ProbeSilence, "220 Welcome to the ftp service\r\n"))
	if v.RuleID != "honeypot-ftp" || len(v.Hints) != 1 {
		t.Errorf("a honeypot by its greeting alone: %s with hints %q", v.RuleID, v.Hints)
	}
	v = judge(rules, 3588, clean(), answer(1, ProbeGet10, openACC), answer(2, "hasp_options", "HTTP/0.0 501 Not Implemented\r\nServer: HASP LM/18.00\r\n\r\n"))
	if v.RuleID != "hasp-options-501" || !slices.ContainsFunc(v.Hints, func(h string) bool { return strings.Contains(h, "Without a password") }) {
		t.Errorf("open license manager: %s with hints %q", v.RuleID, v.Hints)
	}
}
