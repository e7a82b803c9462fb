package firewall

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// moments says what rules do with the first packets of a client, 10.2.0.5, to
// some ports of 10.0.1.20, and behind a space with the answer from the first of
// them and with what the client sends then. A letter for each: allowed, denied
// or unknown.
func moments(t *testing.T, rs *RuleSet) string {
	t.Helper()
	client, server := oneAddr(netip.MustParseAddr("10.2.0.5")), oneAddr(netip.MustParseAddr("10.0.1.20"))
	letter := func(proto Protos, port uint16, phase Phases) string {
		box, chains := Box{proto, client, server, onePort(40000), onePort(port)}, rs.Paths[Router].Request
		if phase == Reply {
			box, chains = Box{proto, server, client, onePort(port), onePort(40000)}, rs.Paths[Router].Reply
		}
		out := Judge(chains, box, phase)
		if len(out) != 1 {
			t.Fatalf("%d outcomes for one packet: %+v", len(out), out)
		}
		return out[0].Effect.String()[:1]
	}
	return letter(ProtoTCP, 1947, First) + letter(ProtoUDP, 1947, First) + letter(ProtoTCP, 475, First) + letter(ProtoUDP, 5093, First) +
		" " + letter(ProtoTCP, 1947, Reply) + letter(ProtoTCP, 1947, Later)
}

// TestIptablesEntries: each condition matches the packets that it should, at the
// moments that it should.
func TestIptablesEntries(t *testing.T) {
	for _, tt := range []struct{ condition, want string }{ // of 1947/tcp, 1947/udp, 475/tcp, 5093/udp; the answer and later
		{"", "aaaa aa"},
		{"-p tcp", "adad aa"},
		{"! -p tcp", "dada dd"},
		{"-p ! tcp", "dada dd"},
		{"-p 17", "dada dd"},
		{"-p icmp -m icmp --icmp-type 8", "dddd dd"},
		{"-s 10.2.0.0/16", "aaaa da"},
		{"! -s 10.2.0.0/16", "dddd ad"},
		{"-s 10.2.0.6/31", "dddd dd"},
		{"-s 10.0.0.5/255.0.255.255", "aaaa da"},
		{"-d 10.0.1.20/32", "aaaa da"},
		{"-i lan", "aaaa da"},
		{"-o lan", "dddd ad"},
		{"! -i lan", "dddd ad"},
		{"-i dark", "uuuu uu"},
		{"-i lo", "dddd dd"},
		{"! -i lo", "aaaa aa"},
		{"-o +", "aaaa aa"},
		{"! -o +", "dddd dd"},
		{"-f", "dddd dd"},
		{"! -f", "aaaa aa"},
		{"-p tcp -m tcp --dport 1947", "addd da"},
		{"-p tcp -m tcp ! --dport 1947:1950", "ddad ad"},
		{"-p tcp -m tcp --dport :475", "ddad dd"},
		{"-p tcp -m tcp --dport 3000:", "dddd ad"},
		{"-p tcp -m tcp --sport 1947", "dddd ad"},
		{"-p udp -m multiport --dports 1940:1950,5093", "dada dd"},
		{"-p tcp -m multiport --sports 22,40000", "adad da"},
		{"-p tcp -m multiport --ports 1947,22", "addd aa"},
		{"-p tcp -m multiport ! --ports 1947,22", "ddad dd"},
		{"-p tcp -m tcp --syn", "adad dd"},
		{"-p tcp -m tcp ! --syn", "dddd aa"},
		{"-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", "adad dd"},
		{"-p tcp -m tcp ! --tcp-flags SYN,ACK SYN,ACK", "adad da"},
		{"-p tcp -m tcp --tcp-flags ACK ACK", "dddd aa"},
		{"-p tcp -m tcp --tcp-flags ALL ACK", "dddd du"},
		{"-p tcp -m tcp --tcp-flags PSH PSH", "dddd du"},
		{"-p tcp -m tcp --tcp-flags ALL NONE", "dddd dd"},
		{"-p tcp -m tcp --tcp-flags SYN,ECE SYN", "udud ud"},
		{"-m conntrack --ctstate NEW", "aaaa dd"},
		{"-m conntrack ! --ctstate NEW", "dddd aa"},
		{"-m state --state RELATED,ESTABLISHED", "dddd aa"},
		{"-m conntrack --ctstate INVALID,UNTRACKED", "dddd dd"},
		{"-m conntrack --ctstate DNAT", "uuuu uu"},
		{"-m conntrack --ctstate NEW,SNAT", "uuuu uu"},
		{"-m conntrack --ctdir ORIGINAL", "aaaa da"},
		{"-m conntrack ! --ctdir ORIGINAL", "dddd ad"},
		{"-m conntrack --ctdir REPLY", "dddd ad"},
		{"-m conntrack --ctstatus ASSURED", "uuuu uu"},
		{"-m iprange --src-range 10.2.0.0-10.2.0.5", "aaaa da"},
		{"-m iprange ! --dst-range 10.0.1.20-10.0.1.21", "dddd ad"},
		{"-m addrtype --dst-type LOCAL", "dddd dd"},
		{"-m addrtype ! --dst-type LOCAL", "aaaa aa"},
		{"-m addrtype --dst-type BROADCAST,MULTICAST", "dddd dd"},
		{"-m addrtype --dst-type UNICAST", "uuuu uu"},
		{"-m addrtype --dst-type LOCAL --limit-iface-in", "dddd dd"},
		{"-m rpfilter", "aaaa aa"},
		{"-m rpfilter --loose --validmark --invert", "dddd dd"},
		{"-m comment --comment \"-j DROP\"", "aaaa aa"},
		{"-m limit --limit 5/min", "uuuu uu"},
		{"-m mark ! --mark 0x1", "uuuu uu"},
		{"--future 1 -p tcp", "udud uu"},
		{"-m set --match-set many src,dst,dst -m set ! --match-set many src,dst,dst", "uuuu uu"},
	} {
		text := iptablesText("-A FORWARD " + tt.condition + " -j ACCEPT")
		rs, err := Parse("rules", []byte(text), Options{Format: "iptables", Assume: assume(t, "zone=lan:10.2.0.0/16")})
		if err != nil {
			t.Errorf("%s: %v", tt.condition, err)
		} else if got := moments(t, rs); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.condition, got, tt.want)
		}
	}
}

// TestIPSets: a set matches what its type, its members and the sides of the rule
// say, or it is said that this is not known.
func TestIPSets(t *testing.T) {
	for _, tt := range []struct{ sets, match, want string }{
		{"create s hash:ip\nadd s 10.2.0.5", "s src", "aaaa da"},
		{"create s hash:ip\nadd s 10.2.0.5", "s dst", "dddd ad"},
		{"create s hash:ip\nadd s 10.2.0.0-10.2.0.4\n\n# more\nadd s 10.2.0.6/31", "s src", "dddd dd"},
		{"create s hash:ip netmask 24\nadd s 10.2.0.0", "s src", "aaaa da"},
		{"create s hash:ip bitmask 255.255.0.255\nadd s 10.2.0.5", "s src", "uuuu uu"},
		{"create s hash:ip timeout 60\nadd s 10.2.0.5 timeout 9", "s src", "uuuu uu"},
		{"create s hash:ip\nadd s 10.2.0.5 timeout 9", "s src", "uuuu uu"},
		{"create s hash:mac\nadd s 02:00:00:00:00:01", "s src", "uuuu uu"},
		{"create s hash:net\nadd s 10.2.0.0/16\nadd s 10.2.0.0/24 nomatch", "s src", "dddd dd"},
		{"create s hash:net\nadd s 10.2.0.0/24 nomatch\nadd s 10.2.0.4/31\nadd s 10.2.0.0/16", "s src", "aaaa da"},
		{"create s bitmap:port range 0-65535\nadd s 1947", "s dst", "aadd da"},
		{"create s bitmap:port range 0-65535\nadd s 1900-2000", "s src", "dddd ad"},
		{"create s bitmap:ip range 10.2.0.0/16\nadd s 10.2.0.5", "s src", "aaaa da"},
		{"create s hash:ip,port\nadd s 10.2.0.5,udp:1947\nadd s 10.2.0.5,475\nadd s 10.2.0.5,icmp:8/0", "s src,dst", "daad dd"},
		{"create s hash:ip,port\nadd s 10.0.1.20,tcp:1947", "s dst,dst", "addd da"},
		{"create s hash:ip,port\nadd s 10.0.1.20,tcp:1947", "s src,src", "dddd ad"},
		{"create s hash:net,port,net\nadd s 10.2.0.0/16,tcp:1-475,10.0.0.0/8", "s src,dst,dst", "ddad dd"},
		{"create s hash:net,port\nadd s 10.2.0.0/16,tcp:475\nadd s 10.2.0.5,tcp:475 nomatch", "s src,dst", "uuuu uu"},
		{"create s hash:ip,port\nadd s 10.2.0.5,tcp:475", "s src", "uuuu uu"},
		{"create a hash:ip\nadd a 10.2.0.5\ncreate b hash:ip,port\nadd b 10.9.0.9,tcp:475\ncreate s list:set size 8\nadd s a\nadd s b", "s src", "aaaa da"},
		{"create a hash:ip\nadd a 10.9.0.5\ncreate b hash:ip,port\nadd b 10.2.0.5,tcp:475\ncreate s list:set size 8\nadd s a\nadd s b", "s src,dst", "ddad dd"},
		{"create a hash:ip timeout 9\ncreate s list:set size 8\nadd s a", "s src", "uuuu uu"},
		{"create t list:set size 8\ncreate s list:set size 8\nadd s t", "s src", "uuuu uu"},
		{"create s list:set size 8\nadd s nowhere", "s src", "uuuu uu"},
	} {
		for _, not := range []string{"", "! "} {
			text := iptablesText("-A FORWARD -m set " + not + "--match-set " + tt.match + " -j ACCEPT")
			rs, err := Parse("rules", []byte(text), Options{IPSets: []byte(tt.sets), IPSetsFile: "sets"})
			want := tt.want
			if not != "" {
				want = strings.NewReplacer("a", "d", "d", "a").Replace(want)
			}
			if err != nil {
				t.Errorf("%s, %s: %v", tt.sets, tt.match, err)
			} else if got := moments(t, rs); got != want {
				t.Errorf("%s, %s%s: %s, want %s", tt.sets, not, tt.match, got, want)
			}
		}
	}
}

// TestIPSetFaults: what is no set is refused, with its line and what was expected.
func TestIPSetFaults(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"create s", `sets:1: "create s": want create NAME TYPE … or add NAME MEMBER …`},
		{"\nswap a b c", `sets:2: "swap a b c": want create NAME TYPE … or add NAME MEMBER …`},
		{"add s", `sets:1: "add s": want create NAME TYPE … or add NAME MEMBER …`},
		{"add s 10.0.0.1", `sets:1: set "s" is not there: want create before add`},
		{"create s tree:ip", `sets:1: set "s": type "tree:ip": want hash:…, bitmap:… or list:set`},
		{"create s hash", `sets:1: set "s": type "hash": want hash:…, bitmap:… or list:set`},
		{"create s hash:ip\ncreate s hash:ip", `sets:2: set "s" is there twice`},
		{"create s hash:ip netmask 129", `sets:1: set "s": netmask "129": want 1 to 128`},
		{"create s hash:ip netmask 0", `sets:1: set "s": netmask "0": want 1 to 128`},
		{"create s hash:ip netmask x", `sets:1: set "s": netmask "x": want 1 to 128`},
		{"create s hash:ip\nadd s 10.0.0.1,80", `sets:2: set "s": member "10.0.0.1,80": want 1 parts with commas between`},
		{"create s hash:ip\nadd s any", `sets:2: set "s": member "any": "any" is no ip`},
		{"create s hash:ip,port\nadd s 10.0.0.1,tcp:x", `sets:2: set "s": member "10.0.0.1,tcp:x": "tcp:x" is no port`},
		{"create s hash:ip,port\nadd s 10.0.0.1,any", `sets:2: set "s": member "10.0.0.1,any": "any" is no port`},
		{"create s hash:ip\nadd s \"10.0.0.1", `sets:2: a quote is not closed`},
	} {
		_, err := Parse("rules", []byte(iptablesText()), Options{IPSets: []byte(tt.text), IPSetsFile: "sets"})
		if err == nil || err.Error() != "firewall: "+tt.want {
			t.Errorf("%q: %v\nwant firewall: %s", tt.text, err, tt.want)
		}
	}
}

// TestNftEntries: each expression matches the packets that it should, at the
// moments that it should.
func TestNftEntries(t *testing.T) {
	match := func(left, op, right string) string {
		first, field, _ := strings.Cut(left, " ")
		key := fmt.Sprintf(`{"payload": {"protocol": %q, "field": %q}}`, first, field)
		switch first {
		case "ct", "meta":
			key = fmt.Sprintf(`{%q: {"key": %q}}`, first, field)
		case "flags":
			key = fmt.Sprintf(`{"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, %s]}`, field)
		case "bits":
			key = fmt.Sprintf(`{"&": [{"payload": {"protocol": "ip", "field": "saddr"}}, %q]}`, field)
		case "fib":
			key = fmt.Sprintf(`{"fib": {"result": "type", "flags": %q}}`, field)
		case "way":
			key = fmt.Sprintf(`{"fib": {"result": %q, "flags": ["saddr", "iif"]}}`, field)
		case "raw":
			key = field
		}
		return fmt.Sprintf(`{"match": {"op": %q, "left": %s, "right": %s}}`, op, key, right)
	}
	pair := func(a, b string) string {
		return fmt.Sprintf(`raw {"concat": [{"payload": {"protocol": "ip", "field": %q}}, {"payload": {"protocol": "tcp", "field": %q}}]}`, a, b)
	}
	for _, tt := range []struct{ left, op, right, want string }{
		{"ip saddr", "==", `"10.2.0.5"`, "aaaa da"},
		{"ip saddr", "!=", `"10.2.0.5"`, "dddd ad"},
		{"ip daddr", "==", `{"prefix": {"addr": "10.0.1.16", "len": 28}}`, "aaaa da"},
		{"ip daddr", "==", `{"range": ["10.0.1.1", "10.0.1.19"]}`, "dddd dd"},
		{"ip saddr", "==", `{"set": ["10.2.0.1", {"elem": {"val": "10.2.0.5", "comment": "x"}}]}`, "aaaa da"},
		{"ip saddr", "==", `{"set": "10.2.0.5"}`, "aaaa da"},
		{"ip saddr", "!=", `"@named"`, "dddd ad"},
		{"ip saddr", "==", `"@coming"`, "uuuu uu"},
		{"ip6 saddr", "!=", `"fd00::1"`, "dddd dd"},
		{"bits 255.255.255.1", "==", `"10.2.0.1"`, "aaaa da"},
		{"bits 255.255.255.1", "==", `"10.2.0.5"`, "dddd dd"}, // with a bit that the mask does not have
		{"bits 255.255.255.1", "==", `{"prefix": {"addr": "10.2.0.0", "len": 31}}`, "uuuu uu"},
		{"bits 0.0.0.1", "==", `"0.0.0.1"`, "uuuu uu"}, // too many networks
		{"tcp dport", "==", "1947", "addd da"},
		{"tcp dport", "==", `"domain"`, "dddd dd"},
		{"th dport", "==", "1947", "aadd da"},
		{"udp dport", "!=", "1947", "ddda dd"},
		{"tcp dport", "<", "1947", "ddad dd"},
		{"tcp dport", "<=", "1947", "adad da"},
		{"tcp dport", ">", "1947", "dddd ad"},
		{"tcp dport", ">=", "1947", "addd aa"},
		{"tcp sport", "==", "1947", "dddd ad"},
		{"udp dport", "==", `{"set": [1947, {"range": [5000, 5100]}]}`, "dada dd"},
		{"meta l4proto", "==", `"tcp"`, "adad aa"},
		{"meta l4proto", "!=", `"tcp"`, "dada dd"},
		{"meta l4proto", "==", `{"set": ["icmp", 17]}`, "dada dd"},
		{"meta l4proto", "==", `{"range": [7, 20]}`, "dada dd"},
		{"ip protocol", "==", "0", "dddd dd"},
		{"meta nfproto", "==", `"ipv6"`, "dddd dd"},
		{"meta protocol", "!=", `"ip6"`, "aaaa aa"},
		{"meta protocol", "==", `"arp"`, "dddd dd"},
		{"meta iifname", "==", `"lan"`, "aaaa da"},
		{"meta oifname", "!=", `"lan"`, "aaaa da"},
		{"meta iifname", "==", `"dark"`, "uuuu uu"},
		{"meta mark", "==", "1", "uuuu uu"},
		{"meta iif", "==", "2", "uuuu uu"},
		{"ct state", "in", `["established", "related"]`, "dddd aa"},
		{"ct state", "==", `"new"`, "aaaa dd"},
		{"ct state", "!=", `"new"`, "dddd aa"},
		{"ct state", "in", `{"set": ["new", "invalid"]}`, "aaaa dd"},
		{"ct direction", "==", `"reply"`, "dddd ad"},
		{"ct direction", "==", `"original"`, "aaaa da"},
		{"ct status", "in", `"dnat"`, "uuuu uu"},
		{"ct mark", "==", "1", "uuuu uu"},
		{"tcp flags", "in", `"ack"`, "dddd aa"},
		{"tcp flags", "!", `"ack"`, "adad dd"},
		{`flags ["syn", "ack"]`, "==", `"syn"`, "adad dd"},
		{`flags {"|": ["syn", "ack"]}`, "!=", `"syn"`, "dddd aa"},
		{`flags 18`, "==", `["syn", "ack"]`, "dddd ad"},
		{`flags "syn"`, "<", `"ack"`, "uuuu uu"},
		{"tcp flags", "==", `"strange"`, "uuuu uu"},
		{"icmp type", "==", `"echo-request"`, "dddd dd"},
		{"ip ttl", ">", "3", "uuuu uu"},
		{"fib daddr", "==", `"local"`, "dddd dd"},
		{"fib daddr", "!=", `{"set": ["local", "multicast"]}`, "aaaa aa"},
		{"fib daddr", "==", `"unicast"`, "uuuu uu"},
		{"way oif", "==", "false", "dddd dd"},
		{"way oif", "==", "true", "aaaa aa"},
		{"way oif", "!=", "false", "aaaa aa"},
		{"way oif", "==", "0", "dddd dd"},
		{"way oif", "==", "7", "uuuu uu"},
		{pair("daddr", "dport"), "==", `{"set": [{"concat": ["10.0.1.20", 475]}, {"concat": [{"prefix": {"addr": "10.0.1.0", "len": 24}}, {"range": [1940, 1947]}]}]}`, "adad da"},
		{pair("saddr", "dport"), "!=", `{"set": [{"concat": ["10.2.0.5", 475]}]}`, "addd aa"},
	} {
		object := `{"set": {"family": "ip", "table": "t", "name": "named", "type": "ipv4_addr", "elem": ["10.2.0.5"]}},
{"set": {"family": "ip", "table": "t", "name": "coming", "type": "ipv4_addr", "flags": ["timeout"], "elem": ["10.2.0.5"]}}`
		text := strings.Replace(nftListing(object, "["+match(tt.left, tt.op, tt.right)+`, {"accept": null}]`), `"policy": "accept"`, `"policy": "drop"`, 1)
		rs, err := Parse("rules", []byte(text), Options{Assume: assume(t, "zone=lan:10.2.0.0/16")})
		if err != nil {
			t.Errorf("%s %s %s: %v", tt.left, tt.op, tt.right, err)
		} else if got := moments(t, rs); got != tt.want {
			t.Errorf("%s %s %s: %s, want %s", tt.left, tt.op, tt.right, got, tt.want)
		}
	}
}
