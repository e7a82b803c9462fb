package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"dormant/fingerprint"
)

// writeIdentified prints the transcript, the verdict and its evidence.
func writeIdentified(w io.Writer, one identified, blank bool) error {
	var out bytes.Buffer
	if blank {
		out.WriteByte('\n')
	}
	if one.Evidence != nil && len(one.Evidence.Exchanges) > 0 {
		if err := fingerprint.WriteTranscript(&out, *one.Evidence); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(&out, one.Target)
	}
	fact(&out, "state", "%v, %v", one.State, one.Reason)
	if one.Error != "" {
		fact(&out, "error", "%s", visible(one.Error))
	}
	if one.Verdict != nil {
		writeVerdict(&out, one.Verdict)
	}
	_, err := w.Write(out.Bytes())
	return err
}

func writeVerdict(out *bytes.Buffer, v *fingerprint.Verdict) {
	class := v.Class.String()
	if v.Reason != "" {
		class += "/" + v.Reason
	}
	fact(out, "verdict", "%s, confidence %d, severity %s", class, v.Confidence, v.Severity)
	for _, f := range []struct{ name, text string }{
		{"service", v.Service},
		{"product", strings.TrimSpace(v.Product + " " + v.Version)},
		{"cpe", v.CPE},
		{"family", v.Family},
		{"hostname", v.Hostname},
		{"cert", strings.TrimSpace(v.TLSName + " " + v.TLSCert)},
		{"jarm", v.JARM},
		{"flags", strings.Join(v.Flags, ", ")},
	} {
		if f.text != "" {
			fact(out, f.name, "%s", visible(f.text))
		}
	}
	for _, s := range v.Signs {
		writeSign(out, s)
	}
	for _, text := range v.Hints {
		fact(out, "hint", "%s", text)
	}
	for _, text := range v.Settle {
		fact(out, "to settle", "%s", text)
	}
}

// writeSign prints one piece of evidence: + where it decided.
func writeSign(out *bytes.Buffer, s fingerprint.Sign) {
	mark := "  "
	if s.Decided {
		mark = "+ "
	}
	fact(out, "evidence", "%s%s: %s, %d points, on %s: %s", mark, s.Rule, s.Kind, s.Points, s.Probe, visible(s.Excerpt))
	if s.Lost != "" {
		fact(out, "", "  not decisive: %s", visible(s.Lost))
	}
	if s.Source != "" {
		fact(out, "", "  source: %s", s.Source)
	}
}

func fact(out *bytes.Buffer, name, format string, args ...any) {
	fmt.Fprintf(out, "%-10s %s\n", name, fmt.Sprintf(format, args...))
}

// visible escapes text that comes from a peer, once more if need be: nothing
// of it may steer a terminal.
func visible(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return fingerprint.Escape([]byte(s))
	}
	return s
}
