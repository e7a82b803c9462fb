package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Status is the outcome of a check.
type Status string

// The outcomes, from good to bad, and the one that says nothing.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail" // no scan can run, or none can be believed
	Skip Status = "skip" // not looked at
)

// Check is one line of the report.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"` // what to do, where there is something
}

// CanScan reports whether none of the checks failed.
func CanScan(checks []Check) bool {
	return !slices.ContainsFunc(checks, func(c Check) bool { return c.Status == Fail })
}

// Examine turns facts into checks, always in the same order.
func Examine(f Facts) []Check {
	checks := []Check{f.raw(), f.backend()}
	checks = append(checks, f.interfaces()...)
	checks = append(checks, f.routes()...)
	return append(checks, f.proxy(), f.firewall(), f.conntrack(), f.descriptors(), f.ephemeral(),
		f.neverScan(), f.state(), f.temp(), f.clock())
}

func (f Facts) raw() Check {
	c := Check{Name: "raw sockets", Status: OK, Detail: "permitted"}
	switch {
	case f.Raw.Err != nil:
		c.Status, c.Detail = Warn, f.Raw.Err.Error()
		c.Advice = "run as root, or grant the one capability: sudo setcap cap_net_raw+ep PATH-TO-dormant"
	case f.Raw.Namespace:
		c.Detail = "permitted, in a user namespace: they reach only its own networks"
	}
	return c
}

func (f Facts) backend() Check {
	b := f.Backend
	if b.Err != nil {
		return Check{"backend", Fail, b.Err.Error(), "allow this program to open sockets"}
	}
	c := Check{Name: "backend", Status: OK, Detail: "auto takes " + b.Name}
	if b.Note != "" {
		c.Detail += ": " + b.Note
	}
	return c
}

func (f Facts) interfaces() []Check {
	var checks []Check
	var down []string
	reachable := false
	for _, i := range f.Interfaces {
		if !i.Up {
			down = append(down, i.Name)
			continue
		}
		addrs := make([]string, len(i.Addrs))
		for n, a := range i.Addrs {
			addrs[n] = a.String()
			reachable = reachable || !i.Loopback && !a.Addr().IsLinkLocalUnicast()
		}
		c := Check{Name: "interface", Status: OK, Detail: fmt.Sprintf("%s up, mtu %d, %s", i.Name, i.MTU, orNone(addrs))}
		if i.MTU < 576 { // RFC 791 section 3.2: what every IPv4 host must take
			c.Status, c.Advice = Warn, fmt.Sprintf("raise the MTU: ip link set %s mtu 1500", i.Name)
		}
		checks = append(checks, c)
	}
	if len(down) > 0 {
		checks = append(checks, Check{Name: "interface", Status: OK, Detail: "down: " + strings.Join(down, ", ")})
	}
	if !reachable {
		checks = append(checks, Check{"interface", Warn, "no interface but loopback has an address: nothing beyond this host can be scanned", "connect this host to the network that is to be scanned"})
	}
	return checks
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "no address"
	}
	return strings.Join(words, ", ")
}

func (f Facts) routes() []Check {
	if !f.Asked {
		return []Check{{"route", Skip, "no targets named", "dormant doctor 10.1.0.0/16 says how they are reached"}}
	}
	var checks []Check
	for _, r := range f.Routes {
		c := Check{Name: "route", Status: OK}
		var ways []string
		for _, h := range r.Hops {
			way := h.String()
			if h.Err != nil || !h.Source.IsValid() && !h.Local {
				c.Status, c.Advice = Warn, "add a route, or scan from a host that has one: these targets would be local-error"
			}
			if !slices.Contains(ways, way) {
				ways = append(ways, way)
			}
		}
		c.Detail = r.Group + " " + strings.Join(ways, "; its end ")
		if len(ways) > 1 && c.Status == OK {
			c.Status, c.Advice = Warn, "the group is reached by more than one way: check that this is meant"
		}
		checks = append(checks, c)
	}
	return checks
}

// String is the way in words, without the address.
func (h Hop) String() string {
	switch {
	case h.Err != nil:
		return h.Err.Error()
	case h.Local:
		return "is this host itself"
	case h.Gateway.IsValid():
		return fmt.Sprintf("via %v on %s from %v", h.Gateway, h.Interface, h.Source)
	case h.Source.IsValid():
		return fmt.Sprintf("on-link on %s from %v", h.Interface, h.Source)
	default:
		return "on-link on " + h.Interface + ", which has no address of that kind"
	}
}

func (f Facts) proxy() Check {
	c := Check{Name: "proxy", Status: OK, Detail: "a connect to a closed local port is refused, as it must be"}
	switch {
	case f.Proxy.Connected:
		c.Status = Fail
		c.Detail = "a connect to a closed local port succeeded: something on this host answers in the place of others"
		c.Advice = "turn off the transparent proxy or the web shield of the virus scanner: every port would look open"
	case f.Proxy.Err != nil:
		c.Status, c.Detail = Warn, "a connect to a closed local port was not refused: "+f.Proxy.Err.Error()
		c.Advice = "look for a local firewall on loopback: closed ports may be taken for filtered ones"
	}
	return c
}

func (f Facts) firewall() Check {
	w := f.Firewall
	c := Check{Name: "local firewall", Status: OK}
	if w.Err != nil {
		c.Status, c.Detail = Skip, "not looked at: "+w.Err.Error()
		return c
	}
	rules, dropping := 0, []string{}
	for _, chain := range w.Chains {
		rules += chain.Rules
		if chain.Drop {
			dropping = append(dropping, fmt.Sprintf("%s %s %s (%s)", chain.Family, chain.Table, chain.Name, chain.Hook))
		}
	}
	switch {
	case len(w.Chains) == 0:
		c.Detail = "no nftables chain on the way in or out"
	default:
		c.Detail = fmt.Sprintf("nftables: %d chains on the way in or out, %d rules, not interpreted", len(w.Chains), rules)
	}
	if len(dropping) > 0 {
		c.Status = Warn
		c.Detail += "; drop by default: " + strings.Join(dropping, ", ")
		c.Advice = "let this program's probes out and their answers in, or use afpacket, which netfilter does not see"
	}
	if len(w.Legacy) > 0 {
		c.Status = Warn
		c.Detail += "; tables of the older iptables, not looked into: " + strings.Join(w.Legacy, ", ")
		if c.Advice == "" {
			c.Advice = "look yourself: iptables-legacy -S"
		}
	}
	return c
}

func (f Facts) conntrack() Check {
	t := f.Conntrack
	if t.Max == 0 {
		return Check{Name: "connection tracking", Status: OK, Detail: "none on this host"}
	}
	c := Check{Name: "connection tracking", Status: OK, Detail: fmt.Sprintf("%d of %d entries used", t.Used, t.Max)}
	if t.Max-t.Used < 4*f.Backend.InFlight || t.Used > t.Max/2 {
		c.Status, c.Advice = Warn, "a full table drops packets: raise net.netfilter.nf_conntrack_max, or lower --rate"
	}
	return c
}

const (
	leastDescriptors = 32 // for a scan one try after another, its files and its report
	goodDescriptors  = 1024
)

func (f Facts) descriptors() Check {
	c := Check{Name: "descriptors", Status: OK, Detail: fmt.Sprintf("%d, hence %d probes at once by connect", f.Descriptors, f.Backend.InFlight)}
	const advice = "raise the limit: ulimit -n 20000"
	switch {
	case f.Descriptors == 0:
		c.Status, c.Detail = Skip, "this system has no such limit to read"
	case f.Descriptors < leastDescriptors:
		c.Status, c.Advice = Fail, advice
	case f.Descriptors < goodDescriptors:
		c.Status, c.Advice = Warn, advice
	}
	return c
}

func (f Facts) ephemeral() Check {
	s := f.Ephemeral
	if s == (Span{}) {
		return Check{Name: "ephemeral ports", Status: Skip, Detail: "not known on this system"}
	}
	c := Check{Name: "ephemeral ports", Status: OK, Detail: fmt.Sprintf("%d-%d, no dormant port among them", s.First, s.Last)}
	var inside []string
	for _, p := range f.Ports {
		if s.First <= p && p <= s.Last {
			inside = append(inside, fmt.Sprint(p))
		}
	}
	if len(inside) > 0 {
		c.Status = Warn
		c.Detail = fmt.Sprintf("%d-%d, which contain %s", s.First, s.Last, strings.Join(inside, ", "))
		c.Advice = "this host's own connections use these ports: sysctl net.ipv4.ip_local_port_range=\"32768 60999\""
	}
	return c
}

func (f Facts) neverScan() Check {
	n := f.NeverScan
	c := Check{Name: "never-scan", Status: OK}
	switch {
	case n.Missing:
		c.Detail = n.Path + " does not exist: it excludes nothing"
	case n.Err != nil:
		c.Status, c.Detail = Fail, n.Err.Error()
		c.Advice = "repair it: a scan that cannot read its standing exclusions does not start"
	default:
		addresses := "addresses"
		if n.IPv4 == 1 {
			addresses = "address"
		}
		c.Detail = fmt.Sprintf("%s is good and excludes %d IPv4 %s", n.Path, n.IPv4, addresses)
	}
	return c
}

func (f Facts) state() Check {
	if f.State.Err != nil {
		return Check{"state folder", Warn, f.State.Err.Error(), "name another file with --db, or do without history: --no-history"}
	}
	return Check{Name: "state folder", Status: OK, Detail: f.State.Path + " can be written"}
}

func (f Facts) temp() Check {
	if f.Temp.Err != nil {
		return Check{"temporary folder", Fail, f.Temp.Err.Error(), "set TMPDIR to a folder that can be written"}
	}
	return Check{Name: "temporary folder", Status: OK, Detail: f.Temp.Path + " can be written"}
}

func (f Facts) clock() Check {
	k := f.Clock
	c := Check{Name: "clock", Status: OK, Detail: k.Now.Format(time.RFC3339)}
	switch {
	case k.Now.Before(k.NotBefore):
		c.Status = Warn
		c.Detail += ", before this program was made"
		c.Advice = "set the clock: reports and history carry its time"
	case k.Unsynced:
		c.Status = Warn
		c.Detail += ", and the kernel says that nobody keeps it"
		c.Advice = "start a time service (chrony, systemd-timesyncd): findings are compared by time"
	case k.SyncReadable:
		c.Detail += ", synchronised"
	}
	return c
}
