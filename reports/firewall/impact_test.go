package firewall

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
	"dormant/scanner/listen"
)

var update = flag.Bool("update", false, "write the golden files again")

func now() time.Time { return time.Date(2026, 3, 20, 12, 0, 0, 0, time.UTC) }

// found makes findings of open ports: "10.0.1.20:1947/tcp license_manager".
func found(t *testing.T, list ...string) []reports.Finding {
	t.Helper()
	var out []reports.Finding
	for _, s := range list {
		where, class, _ := strings.Cut(s, " ")
		x := target(t, where)
		v, err := fingerprint.ParseClass(class)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, reports.Finding{IP: x.Addr, Port: x.Port.Number, Transport: x.Port.Proto, State: scanner.Open, Verdict: v, Clients: -1})
	}
	return out
}

// seen makes clients: "10.2.0.5 10.0.1.20:1947/tcp", two days ago.
func seen(t *testing.T, list ...string) []listen.Client {
	t.Helper()
	var out []listen.Client
	for _, s := range list {
		who, where, _ := strings.Cut(s, " ")
		x := target(t, where)
		out = append(out, listen.Client{Addr: netip.MustParseAddr(who), Server: x.Addr, Port: x.Port, Use: listen.Used, Count: 3,
			Last: now().Add(-50 * time.Hour), Source: "conn.log"})
	}
	return out
}

func parsed(t *testing.T, name, text string, o Options) *RuleSet {
	t.Helper()
	rs, err := Parse(name, []byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// TestImpact asks in simple rules for every effect that a change can have.
func TestImpact(t *testing.T) {
	const allowAll = "default: allow\nrules: []\n"
	const denyAll = "default: deny\nrules: []\n"
	const lm = "10.0.1.20:1947/tcp license_manager"
	for _, tt := range []struct {
		name              string
		current, proposed string
		findings          []string
		clients           []string
		headline          string
		effects           string // of the services: effect, rule, clients
		inUse, unclear    bool
	}{
		{
			name: "a client is cut", current: allowAll, findings: []string{lm, "10.0.1.20:1947/udp license_manager"}, clients: []string{"10.2.0.5 10.0.1.20:1947/tcp", "10.2.0.6 10.0.1.20:1947/tcp"},
			proposed: "default: allow\nrules:\n- {id: r1, action: deny, proto: tcp, dport: 1947, src: 10.2.0.5}\n",
			headline: "1 license server and 1 known client lose access by rule r1.", effects: "cut r1 2, kept rules policy 0", inUse: true,
		},
		{
			name: "nobody that was seen is cut", current: allowAll, findings: []string{lm}, clients: []string{"10.2.0.6 10.0.1.20:1947/tcp"},
			proposed: "default: allow\nrules:\n- {id: r1, action: deny, src: 10.2.0.5}\n",
			headline: "Nothing in use is cut off: 1 service and 1 known client keep their access.", effects: "kept rules policy 1",
		},
		{
			name: "sources are cut and no client was seen", current: allowAll, findings: []string{lm},
			proposed: "default: allow\nrules:\n- {id: r1, action: deny, src: 10.2.0.5}\n",
			headline: "1 license server loses clients by rule r1.", effects: "cut r1 0", inUse: true,
		},
		{
			name: "opened", current: denyAll, proposed: "default: deny\nrules:\n- {id: r1, action: allow, dst: 10.0.1.20}\n", findings: []string{lm, "10.0.1.21:3588/tcp unidentified"},
			headline: "Nothing in use is cut off: 2 services; 1 license server becomes reachable.", effects: "opened r1 0, kept rules policy 0",
		},
		{
			name: "denied before and after", current: denyAll, proposed: denyAll, findings: []string{lm}, clients: []string{"10.2.0.5 10.0.1.20:1947/tcp"},
			headline: "Nothing in use is cut off: 1 service.", effects: "kept rules policy 1",
		},
		{
			name: "only the proposed rules, everybody cut", proposed: denyAll, findings: []string{lm},
			headline: "1 license server loses clients by the default of rules.", effects: "cut rules policy 0", inUse: true,
		},
		{
			name: "only the proposed rules, some pass", proposed: "default: deny\nrules:\n- {id: r1, action: allow, src: 10.2.0.0/16}\n", findings: []string{lm},
			headline: "Nothing in use is cut off: 1 service.", effects: "unknown rules policy 0", unclear: true,
		},
		{
			name: "only the proposed rules, the clients pass", proposed: "default: deny\nrules:\n- {id: r1, action: allow, src: 10.2.0.0/16}\n", findings: []string{lm}, clients: []string{"10.2.0.5 10.0.1.20:1947/tcp"},
			headline: "Nothing in use is cut off: 1 service and 1 known client keep their access.", effects: "kept r1 1",
		},
		{
			name: "found in two files", proposed: "default: deny\nrules:\n- {id: r1, action: allow, src: 10.2.0.0/16}\n", findings: []string{lm, lm}, clients: []string{"10.2.0.5 10.0.1.20:1947/tcp"},
			headline: "Nothing in use is cut off: 1 service and 1 known client keep their access.", effects: "kept r1 1, kept r1 1",
		},
		{
			name: "the answer is cut", current: "stateful: false\ndefault: allow\nrules: []\n", findings: []string{lm}, clients: []string{"10.2.0.5 10.0.1.20:1947/tcp"},
			proposed: "stateful: false\ndefault: allow\nrules:\n- {id: r1, action: deny, src: 10.0.1.20, sport: 1947}\n",
			headline: "1 license server and 1 known client lose access by rule r1.", effects: "cut r1 1", inUse: true,
		},
		{
			name: "a rule in the shadow of another", current: allowAll, findings: []string{lm},
			proposed: "default: allow\nrules:\n- {id: r1, action: allow, src: 10.0.0.0/8}\n- {id: r2, action: deny, src: 10.2.0.0/16}\n",
			headline: "Nothing in use is cut off: 1 service; 1 rule is never reached.", effects: "kept r1 0",
		},
		{
			name: "a client of IPv6", current: allowAll, findings: []string{"[fd00::20]:1947/tcp license_manager"}, clients: []string{"fd00::5 [fd00::20]:1947/tcp"},
			proposed: "default: allow\nrules:\n- {id: r1, action: deny, src: fd00::/64}\n",
			headline: "1 license server and 1 known client lose access by rule r1.", effects: "cut r1 1", inUse: true,
		},
		{
			name: "the server itself", current: allowAll, proposed: denyAll, findings: []string{lm}, clients: []string{"10.0.1.20 10.0.1.20:1947/tcp"},
			headline: "Nothing in use is cut off: 1 service and 1 known client keep their access.", effects: "kept  1",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := Question{Proposed: parsed(t, "new.yaml", tt.proposed, Options{}), Findings: found(t, tt.findings...), Clients: seen(t, tt.clients...), Asked: true, Now: now()}
			if tt.current != "" {
				q.Current = parsed(t, "old.yaml", tt.current, Options{})
			}
			m, err := NewImpact(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			var effects []string
			for _, f := range m.Findings() {
				effects = append(effects, f.FWEffect+" "+f.FWRule+" "+string(rune('0'+f.Clients)))
			}
			got := []any{m.Headline, strings.Join(effects, ", "), m.InUse(), m.Unclear()}
			want := []any{tt.headline, tt.effects, tt.inUse, tt.unclear}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestOpenedByNoRule: what no chain of the proposed file sees is opened by none, and
// not by a chain of the other family.
func TestOpenedByNoRule(t *testing.T) {
	six := `{"nftables": [{"chain": {"family": "ip6", "table": "t", "name": "c", "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}}]}`
	m, err := NewImpact(t.Context(), Question{Proposed: parsed(t, "new.json", six, Options{}), Current: parsed(t, "old.yaml", "default: deny\nrules: []\n", Options{}),
		Findings: found(t, "10.0.1.20:1947/tcp license_manager"), Now: now()})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := WriteText(&b, m); err != nil {
		t.Fatal(err)
	}
	if want := "Newly reachable by no rule\n"; !strings.Contains(b.String(), want) {
		t.Errorf("want %q in\n%s", want, b.String())
	}
}

// TestPlaceOfTwoFiles: where the firewall stands is said by those rules that stand somewhere.
func TestPlaceOfTwoFiles(t *testing.T) {
	const anywhere, forwards, host = "default: deny\nrules: []\n", "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n", "*filter\n:INPUT DROP [0:0]\nCOMMIT\n"
	for _, tt := range []struct {
		proposed, current string
		want              Place // 0: it must be said
	}{
		{anywhere, anywhere, Router},
		{anywhere, host, Server},
		{host, anywhere, Server},
		{forwards, anywhere, Router},
		{forwards, host, 0},
		{host, "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", Server},
		{"*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", anywhere, Router},
	} {
		q := Question{Proposed: parsed(t, "new", tt.proposed, Options{}), Current: parsed(t, "old", tt.current, Options{})}
		if err := q.settlePlace(); q.Place != tt.want || (err != nil) != (tt.want == 0) {
			t.Errorf("%q, %q: %v, %v; want %v", tt.proposed, tt.current, q.Place, err, tt.want)
		}
	}
}

// TestHostileImpact: what files and peers say cannot break out of a report.
func TestHostileImpact(t *testing.T) {
	const evil = "x\x1b[31m<script>alert(1)</script>|`\"'\r\n"
	rules := "default: allow\nrules:\n- {id: \"r\\e[1m<b>|\", action: deny, dport: 1947, comment: \"\\e[31m<script>\"}\n"
	findings := found(t, "10.0.1.20:1947/tcp license_manager")
	findings[0].Product = evil
	clients := seen(t, "10.2.0.5 10.0.1.20:1947/tcp")
	clients[0].Source = evil
	m, err := NewImpact(t.Context(), Question{Proposed: parsed(t, "<new>.yaml", rules, Options{}), Findings: findings, Clients: clients, Asked: true, Now: now()})
	if err != nil {
		t.Fatal(err)
	}
	for ending, write := range Writers() {
		var b bytes.Buffer
		if err := write(&b, m); err != nil {
			t.Fatal(err)
		}
		out := b.String()
		if strings.ContainsAny(out, "\x1b\r") {
			t.Errorf("%s holds control characters:\n%q", ending, out)
		}
		if ending == ".html" && strings.Contains(out, "<script>") || ending == ".md" && strings.Contains(out, "<script>") && !strings.Contains(out, `\<script`) {
			t.Errorf("%s holds markup:\n%s", ending, out)
		}
	}
}

// TestReports compares what a change looks like in every format with the files
// in testdata; -update writes them.
func TestReports(t *testing.T) {
	o := Options{Assume: assume(t, "zone=eth1:10.2.0.0/16")}
	proposed, err := Parse("rules.v4", readTestdata(t, "rules.v4"), o)
	if err != nil {
		t.Fatal(err)
	}
	current := parsed(t, "old.v4", "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -s 10.9.0.0/16 -j DROP\nCOMMIT\n", o)
	m, err := NewImpact(t.Context(), Question{Proposed: proposed, Current: current, Place: Router, Asked: true, Now: now(),
		Findings: found(t, "10.0.1.20:1947/tcp license_manager", "10.0.1.20:1947/udp license_manager", "10.0.1.20:475/tcp license_manager", "10.0.1.21:3588/tcp dev_server"),
		Clients:  seen(t, "10.2.0.5 10.0.1.20:1947/tcp", "10.2.9.5 10.0.1.20:1947/tcp", "10.3.0.5 10.0.1.20:1947/tcp", "10.2.0.5 10.0.1.20:1947/udp", "10.2.0.5 10.0.1.77:1947/tcp")})
	if err != nil {
		t.Fatal(err)
	}
	for ending, write := range Writers() {
		var b bytes.Buffer
		if err := write(&b, m); err != nil {
			t.Fatal(err)
		}
		name := "impact.golden" + ending
		if *update {
			if err := os.WriteFile("testdata/"+name, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if d := cmp.Diff(string(readTestdata(t, name)), b.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestExceptions puts each exception where it says and asks again: those that
// were seen pass, and nobody else gains anything.
func TestExceptions(t *testing.T) {
	lm := registry.Port{Number: 1947, Proto: registry.TCP}
	server := scanner.Target{Addr: netip.MustParseAddr("10.0.1.20"), Port: lm}
	for _, tt := range []struct {
		name, text string
		insert     func(text, exception string) string
		replies    bool // the answer needs a rule of its own
	}{
		{name: "a.yaml", text: "default: deny\nrules:\n- {id: r1, action: deny, dport: 1947}\n", insert: before("- {id: r1")},
		{name: "b.yaml", text: "default: deny\nrules:\n- {id: r1, action: allow, dport: 80}\n", insert: atEnd("")},
		{name: "c.csv", text: "id,action,proto,src,dst,dport\nr1,deny,tcp,any,any,1947\ndefault,deny,,,,\n", insert: before("r1,")},
		{name: "d.v4", text: "*filter\n:FORWARD DROP [0:0]\n:X - [0:0]\n-A FORWARD -m state --state ESTABLISHED -j ACCEPT\n-A FORWARD -j X\n-A X -p tcp --dport 1947 -j DROP\nCOMMIT\n", insert: before("-A X")},
		{name: "e.v4", text: "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m state --state ESTABLISHED -j ACCEPT\nCOMMIT\n", insert: before("COMMIT")},
		{name: "f.v4", text: "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -s 10.0.1.20 -p tcp --sport 1947 -j DROP\nCOMMIT\n", insert: before("-A FORWARD"), replies: true},
		{name: "g.cfg", text: "ip access-list extended A\n 10 deny tcp any any eq 1947\n 20 permit ip any any\n", insert: atEnd("")},
		{name: "h.cfg", text: "access-list A extended deny tcp any any eq 1947\naccess-list A extended permit ip any any\n", insert: before("access-list A extended deny")},
		{name: "i.json", text: "{\"SecurityGroups\": [{\"GroupId\": \"sg-1\", \"IpPermissions\": [\n]}]}\n", insert: before("]}")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rs := parsed(t, tt.name, tt.text, Options{})
			clients := seen(t, "10.2.0.4 10.0.1.20:1947/tcp", "10.2.0.5 10.0.1.20:1947/tcp", "10.2.0.9 10.0.1.20:1947/tcp")
			m, err := NewImpact(t.Context(), Question{Proposed: rs, Place: Router, Findings: found(t, server.String()+" license_manager"), Clients: clients, Asked: true, Now: now()})
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Rules) != 1 || len(m.Rules[0].Exception) == 0 {
				t.Fatalf("no exception: %+v", m.Rules)
			}
			text := tt.insert(tt.text, strings.Join(m.Rules[0].Exception, "\n"))
			again := parsed(t, tt.name, text, Options{})
			after := again.Reach(Router, AnyIPv4(), server)
			want, _ := ParseAddrs("10.2.0.4/31,10.2.0.9")
			if got := with(after, Allow); !got.Equal(want) {
				t.Errorf("passes now: %v, want %v\n%s", AddrWords(got), AddrWords(want), text)
			}
		})
	}
}

// before inserts lines before the first one that begins so.
func before(mark string) func(text, lines string) string {
	return func(text, lines string) string {
		i := strings.Index("\n"+text, "\n"+mark)
		return text[:i] + lines + "\n" + text[i:]
	}
}

// atEnd appends lines.
func atEnd(indent string) func(text, lines string) string {
	return func(text, lines string) string { return text + indent + lines + "\n" }
}

// TestShadows finds the rules that no packet reaches, in chains too.
func TestShadows(t *testing.T) {
	text := `*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:X - [0:0]
:DEAD - [0:0]
-A FORWARD -m state --state ESTABLISHED -j ACCEPT
-A FORWARD -i lo -j ACCEPT
-A FORWARD -s 10.0.0.0/9 -j X
-A FORWARD -s 10.128.0.0/9 -m limit --limit 1/s -j DROP
-A FORWARD -s 10.0.0.0/8 -p tcp --dport 1947 -j ACCEPT
-A FORWARD -s 10.1.0.0/16 -p tcp --dport 1947 -j DROP
-A FORWARD -p icmp -j ACCEPT
-A X -p tcp --dport 1:2000 -j DROP
-A X -p tcp --dport 1947 -j ACCEPT
-A X -p tcp --dport 1940:2001 -j ACCEPT
-A DEAD -j ACCEPT
-A INPUT -j DROP
-A INPUT -s 10.0.0.1 -j DROP
COMMIT
`
	got, left := Shadows(parsed(t, "r.v4", text, Options{}), Router)
	if left != 0 {
		t.Errorf("%d rules were not looked at", left)
	}
	want := []Shadow{
		{Rule: "FORWARD:6", Line: 11, Text: "-A FORWARD -s 10.1.0.0/16 -p tcp --dport 1947 -j DROP", By: []string{"X:1", "FORWARD:1"}, Opposite: true},
		{Rule: "X:2", Line: 14, Text: "-A X -p tcp --dport 1947 -j ACCEPT", By: []string{"X:1"}, Opposite: true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestJSONComesBack: verify reads what impact writes.
func TestJSONComesBack(t *testing.T) {
	m, err := NewImpact(t.Context(), Question{Proposed: parsed(t, "a.yaml", "default: deny\nrules: []\n", Options{}), Findings: found(t, "10.0.1.20:1947/tcp license_manager"), Now: now()})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteJSON(&b, m); err != nil {
		t.Fatal(err)
	}
	var again Impact
	if err := json.Unmarshal(b.Bytes(), &again); err != nil {
		t.Fatal(err)
	}
	var c bytes.Buffer
	if err := WriteJSON(&c, &again); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b.String(), c.String()); d != "" {
		t.Errorf("(-written +read and written again):\n%s", d)
	}
}

// TestPlace: where a file filters both, the user says which one it is.
func TestPlace(t *testing.T) {
	both := parsed(t, "r.v4", "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n", Options{})
	host := parsed(t, "r.v4", "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n", Options{})
	if _, err := NewImpact(t.Context(), Question{Proposed: both, Now: now()}); err == nil || !strings.Contains(err.Error(), "--place router or --place server") {
		t.Errorf("error %v, want the flag that settles it", err)
	}
	m, err := NewImpact(t.Context(), Question{Proposed: host, Findings: found(t, "10.0.1.20:1947/tcp license_manager"), Now: now()})
	if err != nil || m.Place != Server.String() || !m.InUse() {
		t.Errorf("place %q, cut %t, error %v; want the server's, where the port is cut", m.Place, m.InUse(), err)
	}
}
