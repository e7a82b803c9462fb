package firewall

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// TestTranslation asks about chains before and behind a change of addresses. A
// random test holds them against the kernel; these are the shapes that it found.
func TestTranslation(t *testing.T) {
	nat := func(hook string, prio int) string {
		return fmt.Sprintf(`{"chain": {"family": "ip", "table": "t", "name": "%s%d", "type": "nat", "hook": "%[1]s", "prio": %[2]d, "policy": "accept"}},`, hook, prio)
	}
	filter := func(hook string, prio int) string {
		return fmt.Sprintf(`{"chain": {"family": "ip", "table": "t", "name": "f", "type": "filter", "hook": "%s", "prio": %d, "policy": "accept"}},`, hook, prio)
	}
	rule := func(chain, expr string) string {
		return fmt.Sprintf(`{"rule": {"family": "ip", "table": "t", "chain": "%s", "handle": 7, "expr": [%s]}},`, chain, expr)
	}
	const (
		fromClient = `{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "10.1.0.5"}}, {"drop": null}`
		toServer   = `{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "10.2.0.1"}}, {"drop": null}`
		toClient   = `{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "10.1.0.5"}}, {"drop": null}`
		dnat       = `{"dnat": {"addr": "10.2.0.9"}}`
		snat       = `{"snat": {"addr": "10.1.0.30"}}`
	)
	list := func(objects ...string) string {
		text := `{"nftables": [`
		for _, o := range objects {
			text += o
		}
		return text + `{"metainfo": {}}]}`
	}
	inet := func(objects ...string) string { // the same in a table of both families
		return strings.ReplaceAll(list(objects...), `"family": "ip", "table"`, `"family": "inet", "table"`)
	}
	for _, tt := range []struct {
		name  string
		place Place
		text  string
		want  string
	}{
		{"iptables: an answer of the host before its address is put back", Server,
			"*nat\n:INPUT ACCEPT [0:0]\n-A INPUT -j SNAT --to-source 10.1.0.30\nCOMMIT\n*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -d 10.1.0.5/32 -j DROP\nCOMMIT\n",
			"unknown nat/INPUT:1"},
		{"iptables: the same beside a router's translation", Router,
			"*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -d 10.1.0.5/32 -j DROP\nCOMMIT\n" + iptablesText("-A FORWARD -j ACCEPT"),
			"allow FORWARD:1"},
		{"iptables: by a policy, and translated", Router, "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n",
			"allow FORWARD policy"},
		{"an answer of the host before its address is put back", Server,
			list(nat("input", 100), rule("input100", snat), filter("output", -150), rule("f", toClient)), "unknown ip t input100 handle 7"},
		{"an answer of the host behind that", Server,
			list(nat("input", 100), rule("input100", snat), filter("output", 0), rule("f", toClient)), "deny ip t f handle 7"},
		{"a filter of the host behind source translation", Server,
			list(nat("input", 100), rule("input100", snat), filter("input", 150), rule("f", fromClient)), "unknown ip t input100 handle 7"},
		{"destinations are translated at -100, whatever the chain says", Router,
			list(nat("prerouting", 50), rule("prerouting50", dnat), filter("prerouting", 0), rule("f", toServer)), "unknown ip t prerouting50 handle 7"},
		{"a filter before that", Router,
			list(nat("prerouting", -150), rule("prerouting-150", dnat), filter("prerouting", -120), rule("f", toServer)), "deny ip t f handle 7"},
		{"a filter at the same moment", Router,
			list(filter("prerouting", -100), rule("f", toServer), nat("prerouting", -100), rule("prerouting-100", dnat)), "unknown ip t prerouting-100 handle 7"},
		{"sources are translated at 100, whatever the chain says", Router,
			list(nat("postrouting", 300), rule("postrouting300", snat), filter("postrouting", 200), rule("f", fromClient)), "unknown ip t postrouting300 handle 7"},
		{"a filter before that at postrouting", Router,
			list(nat("postrouting", -300), rule("postrouting-300", snat), filter("postrouting", 0), rule("f", fromClient)), "deny ip t f handle 7"},
		{"behind a translation no other is asked", Router,
			list(nat("postrouting", 90), rule("postrouting90", snat), nat("postrouting", 100), rule("postrouting100", fromClient)), "unknown ip t postrouting100 handle 7"},
		{"which of two is asked first is not in the file", Router,
			list(nat("prerouting", -100), rule("prerouting-100", toServer), strings.ReplaceAll(nat("prerouting", -100), "prerouting-100", "other"), rule("other", dnat)), "unknown ip t prerouting-100 handle 7"},
		{"answers do not come to chains that translate", Router,
			list(nat("prerouting", -100), rule("prerouting-100", toClient), nat("postrouting", 100), rule("postrouting100", snat), filter("forward", 0)), "allow ip t f policy"},
		{"a source of the other family is not translated", Router, inet(
			nat("postrouting", 100), rule("postrouting100", `{"snat": {"family": "ip6", "addr": "fd01::30"}}`), rule("postrouting100", fromClient)), "deny inet t postrouting100 handle 7"},
		{"a destination of the other family is not translated", Router, inet(
			nat("prerouting", -100), rule("prerouting-100", `{"dnat": {"family": "ip6", "addr": "fd02::9"}}`), filter("forward", 0)), "allow inet t f policy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rs, err := Parse("rules", []byte(tt.text), Options{})
			if err != nil {
				t.Fatal(err)
			}
			client := netip.MustParseAddr("10.1.0.5")
			a := of(rs.Reach(tt.place, oneAddr(client), target(t, "10.2.0.1:1947/tcp")), client)
			rule, _ := a.rule()
			if got := fmt.Sprintf("%v %s", a.Effect, rule); got != tt.want {
				t.Errorf("%s, want %s %v\n%s", got, tt.want, a.Why, tt.text)
			}
		})
	}
}
