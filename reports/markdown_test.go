package reports

import (
	"net/netip"
	"strings"
	"testing"

	"dormant/registry"
	"dormant/scanner"
)

// TestPlainIsNoMarkup: what a host or a user wrote is text in a ticket, no link, no
// name that is notified, no emphasis.
func TestPlainIsNoMarkup(t *testing.T) {
	for in, want := range map[string]string{
		"see http://203.0.113.1/x": `see http\://203.0.113.1/x`,
		"www.example.net":          `www\.example.net`,
		"WWW.example.net":          `WWW\.example.net`,
		"reason: none.":            "reason: none.",
		"9.9.9":                    "9.9.9",
		"@all #1 <b> *b* _i_ |":    `\@all \#1 \<b\> \*b\* \_i\_ \|`,
		`[a](b) ![i] ~~x~~ \*`:     `\[a\](b) \!\[i\] \~\~x\~\~ \\\*`,
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestMarkdownSaysWhatItLeavesOut: of more rows than a ticket takes the rest is
// counted, one as well as many.
func TestMarkdownSaysWhatItLeavesOut(t *testing.T) {
	var out strings.Builder
	m := NewMarkdown(&out, Options{})
	for i := range maxMarkdown + 1 {
		f := Finding{
			IP: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Port: 1947, Transport: registry.TCP, State: scanner.Open, Clients: -1,
		}
		if i <= maxChanges {
			f.Change = "new"
		}
		if err := m.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nand 1 open port more; the CSV", "\nand 1 more.\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not in it: %q", want)
		}
	}
	if rows := strings.Count(out.String(), "| 1947/tcp |"); rows != 1000 {
		t.Errorf("%d rows, want 1000", rows)
	}
}
