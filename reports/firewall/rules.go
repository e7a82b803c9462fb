package firewall

import "slices"

// Effect is what becomes of a packet. The zero value means "not set".
type Effect uint8

// The effects. Unknown stands for both, with the reasons.
const (
	Allow Effect = iota + 1
	Deny
	Unknown
)

// String returns "allow", "deny", "unknown", and "" for the zero value.
func (e Effect) String() string {
	return [...]string{Allow: "allow", Deny: "deny", Unknown: "unknown"}[e]
}

// Phases is a set of moments in the life of a flow, as bits: what conditions on
// connection states and TCP flags come down to.
type Phases uint8

// The moments. A TCP flow has SYN, SYN-ACK and ACK there, a UDP flow the first
// datagram, the answer and all later datagrams of the client.
const (
	First     Phases = 1 << iota // conntrack: NEW
	Reply                        // conntrack: ESTABLISHED, from the server
	Later                        // conntrack: ESTABLISHED, from the client
	AllPhases = First | Reply | Later
)

// Action is what a rule does with a packet that it matches. The zero value is
// to do nothing: counting, logging, marking.
type Action uint8

// The actions.
const (
	Pass    Action = iota // go on with the next rule
	Accept                // allow; in a base chain, go on with the next base chain
	Drop                  // deny: drop, reject, reset
	Jump                  // go through Target and come back
	Goto                  // go through Target and leave this chain behind it
	Return                // leave this chain
	Obscure               // what happens is not in the file: NAT, queues, unknown targets
)

// Rule is one rule of a chain.
type Rule struct {
	// ID is how people name it: "r10", "FORWARD:3", "outside_in:30".
	ID string
	// Line is its line in the file, from 1.
	Line int
	// Text is the rule as the file has it, cut and printable.
	Text string
	// Boxes are the packets that it matches as far as that is known, Phases the
	// moments. No box: it concerns nothing that is probed.
	Boxes  []Box
	Phases Phases
	// Doubts are the conditions that cannot be judged: with one, the rule may
	// match or not. For Obscure they say why.
	Doubts []string
	Action Action
	Target *Chain // of Jump and Goto
	// Hits is the rule's packet counter, nil when the file has none. It is weak
	// evidence: counters start anew at a reboot or a reload.
	Hits *uint64

	translates bool   // the source, after which the packet goes on
	parts      *Chain // with a rule for each of many boxes
}

// Chain is a list of rules, the first match decides.
type Chain struct {
	Name  string
	Rules []*Rule
	// Policy is what becomes of the packets that reach the end: 0 in a chain
	// that is jumped to, which returns.
	Policy Effect
	// PolicyLine is where the file says so, 0 when it is the format's rule.
	PolicyLine int
	// Doubts: with one, packets may pass the chain by.
	Doubts []string

	index *index // of Rules, made when the file was read
}

// Place is where the firewall stands. The zero value means "not set".
type Place uint8

// The places.
const (
	Router Place = iota + 1 // between client and server
	Server                  // on the server itself
)

// String returns the words for a report.
func (p Place) String() string {
	switch p {
	case Router:
		return "router (forwarded packets)"
	case Server:
		return "server (packets to the host itself)"
	default:
		return ""
	}
}

// Path is the base chains that packets pass, in order.
type Path struct {
	Request []*Chain // from client to server
	// Reply is the way back, nil where it is not in the file or open by nature.
	Reply []*Chain
}

// filters reports whether anything on the path can hold a packet up.
func (p Path) filters() bool {
	return slices.ContainsFunc(slices.Concat(p.Request, p.Reply), func(c *Chain) bool { return c.Policy != Allow || len(c.Rules) > 0 })
}

// Note is a remark on a line of a file; line 0 is the whole file.
type Note struct {
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
}

// RuleSet is one file of rules, in the form that every syntax is brought to.
type RuleSet struct {
	File   string
	Format string // a key of Formats
	SHA256 string // of the file, in hex
	// Domain are the addresses of which the rules speak; about others nothing
	// is known.
	Domain Addrs
	// Stateful is true where replies and later packets pass by nature.
	Stateful bool
	Paths    map[Place]Path
	// Chains are all chains in the order of the file.
	Chains []*Chain
	// Assumed says in words what was taken for granted, Notes what was not read.
	Assumed []string
	Notes   []Note

	columns []string // of a simple CSV, for exceptions
}

// Rules counts the rules of all chains.
func (rs *RuleSet) Rules() int {
	n := 0
	for _, c := range rs.Chains {
		for _, r := range c.Rules {
			if r.ID != "" {
				n++
			}
		}
	}
	return n
}
