package firewall

import (
	"net/netip"
	"strings"
	"testing"
)

// TestCiscoEntries holds single entries against packets of a client, 10.2.0.5,
// to ports of 10.0.1.20: a letter for each packet, allowed, denied or unknown.
func TestCiscoEntries(t *testing.T) {
	groups := `object-group network LM
 10.0.1.0 /28
 network-object host 10.0.1.20
object-group network NAMED
 fqdn v4 lm.example
object-group service SVC tcp-udp
 port-object eq 1947
object-group service ONLYTCP tcp
 port-object range 1940 1950
object-group service BOTH
 service-object udp source gt 1023 destination eq 1947
object-group service PLAIN
 tcp source 2000 1947
 udp source gt 1023 5093
object-group protocol P
 protocol-object tcp
object-group user U
 user X
`
	const packets = "1947/tcp 1947/udp 475/tcp 5093/udp" // the letters of the rows
	for _, tt := range []struct{ entry, want string }{
		{"permit tcp any any eq 1947", "addd"},
		{"permit udp any any eq 1947", "dadd"},
		{"permit ip any host 10.0.1.20", "aaaa"},
		{"permit ip any host 10.0.1.21", "dddd"},
		{"permit tcp any any eq 1947 475", "adad"},
		{"permit udp any any neq 1947", "ddda"},
		{"permit tcp any any gt 1947", "dddd"},
		{"permit tcp any any gt 1946", "addd"},
		{"permit tcp any any lt 1947", "ddad"},
		{"permit udp any any range 1947 5093", "dada"},
		{"permit udp any range 1024 65535 any", "dada"},
		{"permit udp any lt 1024 any", "dddd"},
		{"permit tcp any eq 20000 any", "udud"},
		{"permit tcp 10.2.0.0 0.0.0.7 any", "adad"},
		{"permit tcp 10.2.0.8 0.0.0.7 any", "dddd"},
		{"permit tcp 10.2.0.5/32 any", "adad"},
		{"permit tcp any any established", "dddd"},
		{"permit tcp any any syn", "dddd"}, // the first segment only
		{"permit tcp any any match-all +syn -ack", "dddd"},
		{"permit tcp any any match-all -rst", "adad"},
		{"permit tcp any any match-any +syn +ack", "udud"},
		{"permit tcp any any match-any -fin", "adad"},
		{"permit tcp any any ack syn", "adad"},
		{"permit tcp any any fragments", "dddd"},
		{"permit tcp any any inactive", "dddd"},
		{"permit tcp any any eq 1947 log", "addd"},
		{"permit tcp any any eq 1947 log warnings interval 300", "addd"},
		{"permit tcp any any eq 1947 reflect R timeout 120", "addd"},
		{"permit tcp any any eq 1947 time-range WORK", "uddd"},
		{"permit tcp any any eq 1947 dscp af11", "uddd"},
		{"permit icmp any any echo", "dddd"},
		{"evaluate R", "uuuu"},
		{"dynamic KEY timeout 10 permit tcp any any", "udud"},
		{"permit tcp any object-group LM object-group SVC", "addd"},
		{"permit udp any object-group LM object-group SVC", "dadd"},
		{"permit udp any object-group SVC any", "dudu"}, // from one port and not from another
		{"permit ip any object-group NAMED", "uuuu"},
		{"permit object-group BOTH any any", "dadd"},
		{"permit object-group PLAIN any any", "udda"},
		{"permit object-group P any any", "adad"},
		{"permit ip object-group-user U any any", "uuuu"},
		{"permit tcp any any object-group ONLYTCP", "addd"},
	} {
		rs, err := Parse("f", []byte(groups+"ip access-list extended A\n "+tt.entry+"\n"), Options{})
		if err != nil {
			t.Errorf("%s: %v", tt.entry, err)
			continue
		}
		got := ""
		for packet := range strings.SplitSeq(packets, " ") {
			letter := byte('?')
			for _, a := range rs.Reach(Router, oneAddr(netip.MustParseAddr("10.2.0.5")), target(t, "10.0.1.20:"+packet)) {
				letter = a.Effect.String()[0]
			}
			got += string(letter)
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s (%s)", tt.entry, got, tt.want, packets)
		}
	}
}
