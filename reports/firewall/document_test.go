package firewall

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"dormant/registry"
	"dormant/scanner/listen"
)

// TestTextDecides: what a person reads is short and leaves nothing to guess: who
// passes, and which clients were seen at all.
func TestTextDecides(t *testing.T) {
	rules, err := Parse("new.yaml", []byte("default: deny\nrules:\n- {id: r1, action: allow, src: 10.2.0.0/16, dst: 10.0.1.20}\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := Parse("old.yaml", []byte("default: allow\nrules: []\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewImpact(t.Context(), Question{Proposed: rules, Current: before, Place: Router, Now: now(), Asked: true,
		Findings: found(t, "10.0.1.20:1947/tcp license_manager", "10.0.1.21:1947/tcp middlebox"),
		Clients: []listen.Client{{Addr: netip.MustParseAddr("10.2.0.5"), Server: netip.MustParseAddr("10.0.1.20"),
			Port: registry.Port{Number: 1947, Proto: registry.TCP}, Use: listen.Used}}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteText(&out, m); err != nil {
		t.Fatal(err)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		lines[strings.Join(strings.Fields(line), " ")] = true
	}
	for _, want := range []string{
		"10.0.1.20:1947/tcp unidentified, license manager none of 1 seen all but 10.2.0.0/16",
		"10.0.1.21:1947/tcp unidentified, middlebox none seen 0.0.0.0/0",
		"10.0.1.21:1947/tcp unidentified, middlebox cut rules policy 0 sources lose access, and no client was seen nobody",
	} {
		if !lines[want] {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "1947/tcp to 10.0.1.21") {
		t.Errorf("a middlebox is said to carry license requests:\n%s", out.String())
	}
}
