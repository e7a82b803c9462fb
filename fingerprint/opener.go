package fingerprint

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dormant/registry"
)

// maxOpener is the longest opener or datagram that is ever sent, in bytes:
// CVE-2005-0353 kills old license managers with some 836, and no protocol here
// needs more to say hello.
const maxOpener = 256

// Opener is the first well-formed message of a protocol: harmless, without
// credentials, understood by its own server and nonsense to any other.
type Opener struct {
	ID        string // the Probe of the exchange that it makes
	Transport registry.Proto
	Send      []byte // 1 to 256 bytes, shared, must not be changed
	// Wait is how long to wait for the first byte.
	Wait time.Duration
	// First lists the ports where it goes before the generic probes, on a
	// connection of its own.
	First []registry.Port
	// Shapes are those in which it is a candidate for the last step.
	Shapes  []Shape
	Note    string
	Sources []string
}

// openerFile is the YAML form of Opener.
type openerFile struct {
	ID        string   `yaml:"id"`
	Transport string   `yaml:"transport"`
	Text      *string  `yaml:"text"`
	Hex       *string  `yaml:"hex"`
	Wait      string   `yaml:"wait"`
	First     []string `yaml:"first"`
	Shapes    []string `yaml:"shapes"`
	Note      string   `yaml:"note"`
	Sources   []string `yaml:"sources"`
}

// opener checks f. All faults are returned together.
func (f openerFile) opener() (Opener, faults) {
	var bad faults
	o := Opener{ID: f.ID, Note: f.Note, Sources: f.Sources, Wait: 5 * time.Second}
	if !isID(f.ID) || genericProbe(f.ID) {
		bad.add("id", "id %q: want lower-case letters, digits, _ and -, and not the name of a generic probe", f.ID)
	}
	var err error
	if o.Transport, err = registry.ParseProto(f.Transport); err != nil {
		bad.add("transport", "transport %q: want tcp or udp", f.Transport)
	}
	switch {
	case (f.Text == nil) == (f.Hex == nil):
		bad.add("id", "want exactly one of text and hex")
	case f.Text != nil:
		o.Send = []byte(*f.Text)
	default:
		if o.Send, err = parseHex(*f.Hex); err != nil {
			bad.add("hex", "%w", err)
		}
	}
	if len(o.Send) > maxOpener || err == nil && len(o.Send) == 0 {
		bad.add("id", "opener of %d bytes: want 1 to %d", len(o.Send), maxOpener)
	}
	if f.Wait != "" {
		if o.Wait, err = time.ParseDuration(f.Wait); err != nil || o.Wait < 100*time.Millisecond || o.Wait > 10*time.Second {
			bad.add("wait", "wait %q: want a duration from 100ms to 10s", f.Wait)
		}
	}
	for i, text := range f.First {
		p, err := registry.ParsePort(text)
		if err != nil || p.Proto != o.Transport {
			bad.add(fmt.Sprintf("first[%d]", i), "port %q: want NUMBER/%s", text, f.Transport)
		}
		o.First = append(o.First, p)
	}
	for i, text := range f.Shapes {
		if !knownShape(Shape(text)) {
			bad.add(fmt.Sprintf("shapes[%d]", i), "shape %q: want %s", text, shapeList())
		}
		o.Shapes = append(o.Shapes, Shape(text))
	}
	if len(f.Sources) == 0 {
		bad.add("id", "no source: every opener says where its bytes are from")
	}
	return o, bad
}

func shapeList() string {
	var names []string
	for _, s := range shapes() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// firstOpener returns the message that goes before the generic probes on port,
// the license manager's own on the ports that are registered for one. It runs
// on a connection of its own; a strong answer ends the dialogue.
func (r *Rules) firstOpener(port registry.Port) (Opener, bool) {
	for _, o := range r.openers {
		if slices.Contains(o.First, port) {
			return o, true
		}
	}
	return Opener{}, false
}

// stageTwo returns the TCP openers worth trying on a port of that shape, the
// most likely first. The caller takes as many as its budget of connections
// has room for, by default one.
func (r *Rules) stageTwo(shape Shape) []Opener {
	var list []Opener
	for _, o := range r.openers {
		if o.Transport == registry.TCP && slices.Contains(o.Shapes, shape) {
			list = append(list, o)
		}
	}
	return list
}

// confirm returns the opener that settles a doubtful proof: the strongest rule
// asks for it, and names the port without a version, or on a port that is not
// one of its own. It runs where that rule's answer came from.
func (r *Rules) confirm(ev Evidence) (op Opener, inside, ok bool) {
	hits := r.hits(ev, nil)
	if len(hits) == 0 || hits[0].rule.Confirm == "" {
		return Opener{}, false, false
	}
	h := hits[0]
	if h.sign.Version != "" && slices.Contains(h.rule.Ports, ev.Target.Port) ||
		slices.ContainsFunc(ev.Exchanges, func(ex Exchange) bool { return ex.Probe == h.rule.Confirm }) {
		return Opener{}, false, false
	}
	op, ok = r.Opener(h.rule.Confirm)
	return op, ev.Exchanges[h.exchanges[0]].Inside, ok
}

// Opener returns the opener of that id.
func (r *Rules) Opener(id string) (Opener, bool) {
	for _, o := range r.openers {
		if o.ID == id {
			return o, true
		}
	}
	return Opener{}, false
}

// Payload returns the datagram that a sweep sends to a UDP port: the license
// manager's own question where one is known, else nil for an empty datagram,
// which lets the host's ICMP tell a closed port. The bytes are shared.
func (r *Rules) Payload(port registry.Port) []byte {
	if port.Proto != registry.UDP {
		return nil
	}
	if port.Number == 1947 {
		return r.search
	}
	if o, ok := r.firstOpener(port); ok {
		return o.Send
	}
	return nil
}

// WithSearch returns the same rules with another search datagram for
// 1947/udp; nil sends an empty one there.
func (r *Rules) WithSearch(s *LMSearch) *Rules {
	other := *r
	other.search = nil
	if s != nil {
		other.search = s.Encode()
	}
	return &other
}
