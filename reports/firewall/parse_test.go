package firewall

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dormant/registry"
	"dormant/scanner"
)

// ask is one client and service, and what the rules must say.
type ask struct {
	client, target string
	want           string // effect and rule
}

// target reads "10.0.1.20:1947/tcp".
func target(t *testing.T, s string) scanner.Target {
	t.Helper()
	addr, proto, _ := strings.Cut(s, "/")
	ap, err := netip.ParseAddrPort(addr)
	p, err2 := registry.ParseProto(proto)
	if err != nil || err2 != nil {
		t.Fatalf("target %q: %v %v", s, err, err2)
	}
	return scanner.Target{Addr: ap.Addr(), Port: registry.Port{Number: ap.Port(), Proto: p}}
}

// assume reads assumptions.
func assume(t *testing.T, list ...string) (a Assume) {
	t.Helper()
	for _, s := range list {
		if err := a.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestParse reads one file of each syntax, finds the format by itself, and asks
// who passes.
func TestParse(t *testing.T) {
	for _, tt := range []struct {
		file, format string
		options      Options
		place        Place
		asks         []ask
	}{
		{file: "rules.yaml", format: "yaml", place: Router, asks: []ask{
			{"10.2.0.5", "10.0.1.20:1947/tcp", "allow r10"},
			{"10.2.0.5", "10.0.1.20:1947/udp", "deny r30"},
			{"10.3.0.5", "10.0.1.20:1947/tcp", "deny r30"},
			{"10.3.0.5", "10.0.1.20:3588/tcp", "allow rule 4"},
			{"10.3.0.5", "10.0.1.20:5093/udp", "deny rules policy"},
			{"fd00::5", "[fd00::20]:5093/udp", "deny rules policy"},
		}},
		{file: "rules.csv", format: "csv", place: Router, asks: []ask{
			{"10.2.0.5", "10.0.1.20:1947/tcp", "allow r10"},
			{"10.4.0.7", "10.0.1.20:475/udp", "deny r20"},
			{"10.5.0.7", "10.0.1.20:475/udp", "allow rules policy"},
		}},
		{file: "rules.v4", format: "iptables", place: Router, options: Options{Assume: assume(t, "zone=eth1:10.2.0.0/16")}, asks: []ask{
			{"10.2.0.5", "10.0.1.20:1947/tcp", "allow LICENSES:1"},
			{"10.2.0.5", "10.0.1.20:5093/udp", "allow LICENSES:2"},
			{"10.2.9.5", "10.0.1.20:1947/tcp", "deny FORWARD:3"},
			{"10.3.0.5", "10.0.1.20:1947/tcp", "deny FORWARD policy"},
			{"10.3.0.5", "10.0.1.20:475/tcp", "unknown FORWARD policy"},
			{"10.3.0.5", "10.0.1.21:3588/tcp", "unknown nat/PREROUTING:1"},
			{"fd00::5", "[fd00::20]:1947/tcp", "unknown "},
		}},
		{file: "rules.v4", format: "iptables", place: Router, asks: []ask{ // nothing said about eth1
			{"10.2.0.5", "10.0.1.20:1947/tcp", "unknown FORWARD:3"},
			{"10.2.9.5", "10.0.1.20:1947/tcp", "deny FORWARD:3"},
		}},
		{file: "sets.v4", format: "iptables", place: Server, options: Options{IPSets: readTestdata(t, "sets.ipset"), IPSetsFile: "sets.ipset"}, asks: []ask{
			{"10.2.0.5", "10.0.1.20:1947/tcp", "allow INPUT:2"},
			{"10.2.1.5", "10.0.1.20:1947/tcp", "deny INPUT policy"}, // nomatch
			{"10.2.1.129", "10.0.1.20:1947/tcp", "allow INPUT:2"},   // and again inside of it
			{"10.7.0.9", "10.0.1.20:5093/udp", "allow INPUT:3"},
			{"10.7.0.9", "10.0.1.20:5093/tcp", "deny INPUT policy"},
			{"10.8.0.77", "10.0.1.20:475/tcp", "allow INPUT:4"},
			{"10.8.0.77", "10.0.1.20:3047/udp", "unknown INPUT policy"},
		}},
		{file: "ruleset.json", format: "nft", place: Router, options: Options{Assume: assume(t, "zone=eth1:10.2.0.0/16")}, asks: []ask{
			{"10.2.0.5", "10.0.1.20:1947/tcp", "allow inet filter licenses handle 11"},
			{"10.2.0.5", "10.0.1.20:5093/udp", "allow inet filter licenses handle 12"},
			{"10.3.0.5", "10.0.1.20:475/tcp", "deny inet filter forward handle 8"},
			{"10.3.0.5", "10.0.1.20:3588/tcp", "deny inet filter forward policy"},
			{"10.3.0.5", "10.0.1.20:3712/tcp", "unknown inet filter forward policy"},
			{"fd00::5", "[fd00::20]:1947/tcp", "deny inet filter forward policy"},
		}},
		{file: "ios.cfg", format: "cisco", place: Router, options: Options{ACL: []string{"LICENSES"}}, asks: []ask{
			{"10.2.0.5", "10.0.1.20:1947/tcp", "allow LICENSES:10"},
			{"10.2.0.5", "10.0.1.21:5093/udp", "allow LICENSES:20"},
			{"10.2.0.5", "10.0.1.21:5093/tcp", "deny LICENSES:30"},
			{"10.6.0.2", "10.0.1.22:3047/udp", "allow LICENSES:40"}, // an even last byte
			{"10.6.0.3", "10.0.1.22:3047/udp", "deny LICENSES policy"},
			{"10.9.0.3", "10.0.1.22:3588/tcp", "unknown LICENSES policy"}, // a time range
			{"10.9.0.3", "10.0.1.22:22/tcp", "deny LICENSES policy"},      // established only
		}},
		{file: "asa.cfg", format: "cisco", place: Router, asks: []ask{
			{"10.2.0.5", "10.0.1.20:1947/tcp", "allow outside_in:2"},
			{"10.2.0.5", "10.0.1.21:1947/udp", "allow outside_in:2"},
			{"10.2.0.5", "10.0.1.21:5093/udp", "allow outside_in:3"},
			{"10.2.0.5", "10.0.1.22:475/tcp", "deny outside_in policy"}, // inactive
			{"10.3.0.5", "10.0.1.20:3588/tcp", "unknown outside_in policy"},
		}},
		{file: "asa_show.txt", format: "cisco", place: Router, asks: []ask{
			{"10.2.0.5", "10.0.1.20:1947/tcp", "allow outside_in:1"},
			{"10.3.0.5", "10.0.1.20:1947/tcp", "deny outside_in:2"},
		}},
		{file: "groups.json", format: "aws", place: Router, options: Options{Assume: assume(t, "group=sg-lic:10.0.1.20", "group=sg-dev:10.0.1.21", "group=sg-app:10.4.0.0/24")}, asks: []ask{
			{"10.2.0.5", "10.0.1.20:1947/tcp", "allow sg-lic:1"},
			{"10.4.0.5", "10.0.1.20:1947/udp", "allow sg-lic:2"},
			{"10.2.0.5", "10.0.1.20:1947/udp", "deny security groups policy"},
			{"10.2.0.5", "10.0.1.20:5093/udp", "unknown security groups policy"}, // a prefix list
			{"10.2.0.5", "10.0.1.21:3588/tcp", "allow sg-dev:1"},
			{"fd00::5", "[fd00::21]:3588/tcp", "deny security groups policy"},
		}},
		{file: "groups.json", format: "aws", place: Router, asks: []ask{ // who carries which group is not known
			{"10.2.0.5", "10.0.1.20:1947/tcp", "unknown security groups policy"},
			{"10.2.0.5", "10.0.1.20:475/tcp", "unknown security groups policy"},
			{"10.3.0.5", "10.0.1.20:1947/udp", "unknown security groups policy"},
		}},
	} {
		t.Run(tt.file, func(t *testing.T) {
			rs, err := Parse(tt.file, readTestdata(t, tt.file), tt.options)
			if err != nil {
				t.Fatal(err)
			}
			if rs.Format != tt.format {
				t.Errorf("format %q, want %q", rs.Format, tt.format)
			}
			for _, q := range tt.asks {
				a := of(rs.Reach(tt.place, oneAddr(netip.MustParseAddr(q.client)), target(t, q.target)), netip.MustParseAddr(q.client))
				id, _ := a.rule()
				if got := a.Effect.String() + " " + id; got != q.want {
					t.Errorf("%s to %s: %s, want %s\n%v", q.client, q.target, got, q.want, a.Why)
				}
				if (a.Effect == Unknown) != (len(a.Why) > 0) {
					t.Errorf("%s to %s: %v with reasons %v", q.client, q.target, a.Effect, a.Why)
				}
			}
		})
	}
}

// TestParseFaults: every fault has its line and says what was expected.
func TestParseFaults(t *testing.T) {
	nft := func(objects ...string) string { return "{\"nftables\": [\n" + strings.Join(objects, ",\n") + "\n]}" }
	chain := `{"chain": {"family": "ip", "table": "t", "name": "f", "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}}`
	rule := func(expr string) string {
		return `{"rule": {"family": "ip", "table": "t", "chain": "f", "handle": 3, "expr": [` + expr + `]}}`
	}
	ipt := func(lines ...string) string {
		return "*filter\n:FORWARD DROP [0:0]\n" + strings.Join(lines, "\n") + "\nCOMMIT\n"
	}
	for _, tt := range []struct{ name, format, text, want string }{
		{"yaml action", "yaml", "default: deny\nrules:\n  - {id: a, action: permit}\n", `f:3: action "permit": want allow or deny`},
		{"yaml address", "yaml", "default: deny\nrules:\n  - {action: allow, src: host}\n", `f:3: src "host": want an address, a network, a range FIRST-LAST or any`},
		{"yaml port", "yaml", "default: deny\nrules:\n  - {action: allow, dport: 65536}\n", `f:3: dport "65536": want a port, a range FIRST-LAST or any`},
		{"yaml proto", "yaml", "default: deny\nrules:\n  - {action: allow, proto: tpc}\n", `f:3: proto "tpc": want tcp, udp, icmp, a number or any`},
		{"yaml key", "yaml", "default: deny\nrules:\n  - {action: allow, port: 1}\n", `f:3: key "port": want one of id, action`},
		{"yaml twice", "yaml", "default: deny\ndefault: allow\nrules: []\n", "f:2: key \"default\": want a name, each only once"},
		{"yaml no default", "yaml", "rules:\n  - {action: allow}\n", "f:1: nothing says what becomes of other packets: want a default, allow or deny"},
		{"yaml no rules", "yaml", "default: deny\n", "f:1: want a list of rules"},
		{"yaml empty", "yaml", "# none\n", "f:1: the file is empty: want a list of rules"},
		{"yaml nested", "yaml", "- {action: allow, src: {a: b}}\n", "f:1: src: want a value or a list of values"},
		{"csv column", "csv", "action,dst,dprot\n", `f:1: column "dprot": want each of id, action`},
		{"csv action", "csv", "action,dst\nallow,any\nlet,any\n", `f:3: action "let": want allow or deny`},
		{"csv width", "csv", "action,dst\nallow\n", "record on line 2: wrong number of fields"},
		{"csv default", "csv", "id,action,dst\ndefault,deny,10.0.0.1\n", `f:2: the default has dst "10.0.0.1": want only an action`},
		{"iptables chain", "iptables", ipt("-A INPUT -j DROP"), `f:3: chain "INPUT" of table filter is not declared: want :INPUT before`},
		{"iptables address", "iptables", ipt("-A FORWARD -s 10.0.0 -j DROP"), `f:3: -s "10.0.0": want an address, ADDRESS/LENGTH`},
		{"iptables port", "iptables", ipt("-A FORWARD -p tcp --dport http -j DROP"), `f:3: --dport "http": want port numbers, or FIRST:LAST`},
		{"iptables state", "iptables", ipt("-A FORWARD -m state --state OLD -j DROP"), `f:3: state "OLD": want NEW, ESTABLISHED`},
		{"iptables quote", "iptables", ipt(`-A FORWARD -m comment --comment "a -j DROP`), "f:3: a quote is not closed"},
		{"iptables loop", "iptables", ipt(":a - [0:0]", ":b - [0:0]", "-A a -j b", "-A b -j a"), `f:6: chain "a" comes back to itself through "b": want chains without a loop`},
		{"iptables table", "iptables", "*filters\n", `f:1: table "filters": want raw, mangle, nat, filter or security`},
		{"iptables goto", "iptables", ipt("-A FORWARD -g nowhere"), `f:3: -g "nowhere": want a chain of table filter`},
		{"iptables policy", "iptables", "*filter\n:FORWARD REJECT [0:0]\n", `f:2: policy "REJECT": want ACCEPT, DROP or -`},
		{"iptables before", "iptables", ":FORWARD DROP [0:0]\n", `stands before the first table`},
		{"nft json", "nft", nft(chain, `{"rule": `), "f:3: JSON: "},
		{"nft short", "nft", `{"nftables": [`, "f:1: JSON: unexpected EOF"},
		{"nft other", "nft", `{"tables": []}`, `f:1: JSON: want {"nftables": [ … ]}`},
		{"nft chain", "nft", nft(rule(`{"drop": null}`)), `f:2: chain "f" of table "t" is not in the file`},
		{"nft jump", "nft", nft(chain, rule(`{"jump": {"target": "x"}}`)), `f:3: jump to chain "x": want a chain of table "t" without a hook`},
		{"nft set", "nft", nft(chain, rule(`{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@x"}}`)), `f:3: set "@x" of table "t" is not in the file`},
		{"nft address", "nft", nft(chain, rule(`{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "host"}}`)), `f:3: value host: want an address, a prefix or a range`},
		{"nft vmap", "nft", nft(chain, rule(`{"vmap": 1}`)), "f:3: vmap: want key and data"},
		{"nft vmap elements", "nft", nft(chain, rule(`{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": ["new"]}}}`)), "f:3: vmap: want elements [key, verdict]"},
		{"nft vmap data", "nft", nft(chain, rule(`{"vmap": {"key": {"ct": {"key": "state"}}, "data": "@x"}}`)), `f:3: set "@x" of table "t" is not in the file`},
		{"nft vmap verdict", "nft", nft(chain, rule(`{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["new", "drop"]]}}}`)), "f:3: verdict drop: want one of accept, drop, continue, return, jump, goto"},
		{"nft vmap key", "nft", nft(chain, rule(`{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["old", {"drop": null}]]}}}`)), "f:3: value old: want new, established, related, invalid or untracked"},
		{"nft op", "nft", nft(chain, rule(`{"match": {"op": "~", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}`)), `f:3: operator "~": want ==`},
		{"nft policy", "nft", nft(strings.Replace(chain, "drop", "maybe", 1)), `f:2: policy "maybe": want accept or drop`},
		{"cisco action", "cisco", "access-list 101 allow ip any any\n", `f:1: "access-list 101 allow ip any any": want extended, permit, deny or remark`},
		{"cisco address", "cisco", "ip access-list extended A\n permit ip host any\n", `f:2: host "any": want an address`},
		{"cisco sides", "cisco", "access-list 101 permit tcp any\n", `f:1: "permit tcp any": want any, host A`},
		{"cisco port", "cisco", "access-list 101 permit tcp any any eq sentinel\n", `f:1: eq "sentinel": want a port number or a name that Cisco knows`},
		{"cisco group", "cisco", "access-list a extended permit tcp object-group X any\n", `f:1: object-group "X": want a network group of this file`},
		{"cisco self", "cisco", "object-group network A\n group-object B\nobject-group network B\n group-object A\naccess-list a extended permit ip any any\n", `f:1: group "A" contains itself`},
		{"cisco several", "cisco", "access-list 101 permit ip any any\naccess-list 102 permit ip any any\n", "f:1: 2 access lists, 101, 102: say which ones packets pass with --acl"},
		{"cisco entry", "cisco", "ip access-list extended A\n permt ip any any\n", `f:2: "permt ip any any": want [NUMBER] permit, deny, remark, evaluate or dynamic`},
		{"aws network", "aws", "{\"SecurityGroups\": [{\"GroupId\": \"sg-1\", \"IpPermissions\": [\n{\"IpProtocol\": \"tcp\", \"IpRanges\": [{\"CidrIp\": \"10.0.0.0/99\"}]}]}]}", `f:2: network "10.0.0.0/99": want ADDRESS/LENGTH`},
		{"aws ports", "aws", "{\"SecurityGroups\": [{\"GroupId\": \"sg-1\", \"IpPermissions\": [\n{\"IpProtocol\": \"tcp\", \"FromPort\": 9, \"ToPort\": 1}]}]}", "f:2: ports 9 to 1: want 0 to 65535, the lower one first"},
		{"aws empty", "aws", `{"SecurityGroups": []}`, "f:1: no group: want"},
		{"aws short", "aws", `{"SecurityGroups": [{`, "JSON: unexpected EOF"},
		{"nothing", "", "\n", "f: the file is empty: want rules"},
		{"unknown", "", "hello\n", "f: the format cannot be recognised: want one of aws, cisco, csv, iptables, nft, yaml by --format"},
		{"no format", "pf", "hello\n", `format "pf": want one of aws`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("f", []byte(tt.text), Options{Format: tt.format})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

// TestUnknownIptables: what the file does not settle is unknown, with the reason.
func TestUnknownIptables(t *testing.T) {
	for _, tt := range []struct{ rule, want string }{
		{"-m string --string \"a b\" --algo bm -j DROP", "match string --string a b --algo bm"},
		{"-m geoip ! --source-country DE -j DROP", "match geoip --source-country DE"},
		{"-m set --match-set nobody src -j DROP", "set nobody is not at hand: give the output of ipset save with --ipset"},
		{"-i ppp0 -j DROP", "interface ppp0: say what lies behind it with --assume zone=ppp0:NETWORKS"},
		{"-j NFQUEUE --queue-num 1", "the effect of target NFQUEUE is not in the file"},
		{"-m addrtype --dst-type UNICAST -j DROP", "addresses of type UNICAST"},
		{"-m conntrack --ctstate DNAT -j DROP", "state DNAT depends on address translation"},
		{"-s 10.0.0.1/0.0.0.255 -j DROP", tooMany},
	} {
		rs, err := Parse("f", []byte("*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD "+tt.rule+"\nCOMMIT\n"), Options{})
		if err != nil {
			t.Errorf("%s: %v", tt.rule, err)
			continue
		}
		got := rs.Reach(Router, oneAddr(netip.MustParseAddr("10.2.0.5")), target(t, "10.0.1.20:1947/tcp"))
		want := []Reason{{Rule: "FORWARD:1", Line: 3, Text: tt.want}}
		if len(got) != 1 || got[0].Effect != Unknown {
			t.Errorf("%s: %+v, want unknown", tt.rule, got)
		} else if d := cmp.Diff(want, got[0].Why); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.rule, d)
		}
	}
}

// FuzzParse: whatever a file holds, it is refused with its name, or it is a rule
// set that judges a set of packets as it judges each of them.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"rules.yaml", "rules.csv", "rules.v4", "sets.v4", "ruleset.json", "ios.cfg", "asa.cfg", "asa_show.txt", "groups.json"} {
		text := readTestdata(f, name)
		f.Add(string(text), "")
	}
	for _, format := range FormatNames() {
		f.Add("access-list 101 permit tcp any any eq 80 established log\n", format)
		f.Add("{}", format)
	}
	ipsets := readTestdata(f, "sets.ipset")
	where := regexp.MustCompile(`^firewall: (?:format |f[: ])`)
	f.Fuzz(func(t *testing.T, text, format string) {
		if len(text) > 1<<14 {
			return
		}
		rs, err := Parse("f", []byte(text), Options{Format: format, IPSets: ipsets, IPSetsFile: "f"})
		if err != nil {
			if !where.MatchString(err.Error()) {
				t.Fatalf("the error does not say where: %v", err)
			}
			return
		}
		lines := strings.Count(text, "\n") + 1
		for _, c := range rs.Chains {
			for _, r := range c.Rules {
				if r.Line < 1 || r.Line > lines {
					t.Fatalf("rule %s stands in line %d of %d", r.ID, r.Line, lines)
				}
			}
		}
		src, dst := netip.MustParsePrefix("10.2.0.0/29"), netip.MustParsePrefix("10.0.1.20/31")
		whole := Box{BothProto, prefixSet(src), prefixSet(dst), NewSet(Span[Port]{1024, 1025}), NewSet(Span[Port]{1947, 1948})}
		for place, path := range rs.Paths {
			all := Judge(path.Request, whole, First)
			for _, p := range []Protos{ProtoTCP, ProtoUDP} {
				for a := src.Addr(); src.Contains(a); a = a.Next() {
					one := Box{p, oneAddr(a), oneAddr(dst.Addr()), onePort(1024), onePort(1947)}
					single := Judge(path.Request, one, First)
					n := 0
					for _, o := range all {
						if o.Box.Intersect(one).Empty() {
							continue
						}
						if n++; len(single) != 1 || o.Effect != single[0].Effect {
							t.Fatalf("%v: %v from %v is %v among others, alone %+v", place, p, a, o.Effect, single)
						}
					}
					if n != 1 {
						t.Fatalf("%v: a packet has %d outcomes", place, n)
					}
				}
			}
		}
	})
}

// FuzzIPSets: a set is refused with its line, or its boxes hold only addresses
// that one of its members holds.
func FuzzIPSets(f *testing.F) {
	f.Add(string(readTestdata(f, "sets.ipset")))
	f.Add("create a hash:ip,port\nadd a 10.0.0.1,tcp:80\ncreate b list:set\nadd b a\n")
	f.Fuzz(func(t *testing.T, text string) {
		sets := ipsets{}
		if err := sets.read("f", []byte(text)); err != nil {
			if !strings.HasPrefix(err.Error(), "firewall: f:") {
				t.Fatalf("the error does not say where: %v", err)
			}
			return
		}
		for name, s := range sets {
			sides := make([]string, len(s.parts))
			for i := range sides {
				sides[i] = "src"
			}
			boxes, why := s.boxes(sides, sets)
			if why != "" || s.kind == "list" || len(s.parts) != 1 || s.parts[0] == "port" {
				continue
			}
			for _, b := range boxes {
				for _, span := range b.Src.Spans() {
					held := false
					for _, m := range s.members {
						addrs, _ := s.addrs(m.words[0])
						held = held || addrs.Contains(span.First)
					}
					if !held {
						t.Fatalf("set %q holds %v, which no member holds", name, span.First)
					}
				}
			}
		}
	})
}

// FuzzFindings: what is not refused has an address and a port.
func FuzzFindings(f *testing.F) {
	f.Add([]byte("ip,transport,port,state\r\n10.0.0.1,tcp,1947,open\r\n"))
	f.Add([]byte(`{"ip":"10.0.0.1","transport":"tcp","port":1947,"state":"open","flags":["a"],"rtt_ms":0.5}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		findings, err := ReadFindings("f", text)
		if err != nil {
			return
		}
		for _, x := range findings {
			if !x.IP.IsValid() || x.Port == 0 || x.State == 0 || x.Transport == 0 {
				t.Fatalf("half a finding: %s", fmt.Sprintf("%+v", x))
			}
		}
	})
}
