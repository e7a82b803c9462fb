package firewall

import (
	"fmt"
	"strings"
)

// Assume says which addresses names stand for that the files leave open: a
// zone or interface, a security group, the firewall itself. Nothing else is
// taken to lie behind such a name. The zero value says nothing.
type Assume struct {
	names map[string]Addrs // by kind and name, "zone=inside"
}

// The kinds of names.
const (
	AssumeZone  = "zone"  // an interface or a zone: the addresses that lie behind it
	AssumeGroup = "group" // a security group, prefix list, object group or set: its members
	AssumeSelf  = "self"  // the firewall's own addresses
)

// Set reads "zone=inside:10.0.0.0/8,10.9.0.1", "group=sg-1:10.0.0.5" or
// "self:10.0.0.1".
func (a *Assume) Set(s string) error {
	key, list, ok := strings.Cut(s, ":")
	kind, name, named := strings.Cut(key, "=")
	self := kind == AssumeSelf && !named
	if !ok || !self && (name == "" || kind != AssumeZone && kind != AssumeGroup) {
		return fmt.Errorf("assumption %q: want zone=NAME:NETWORKS, group=NAME:NETWORKS or self:ADDRESSES", s)
	}
	addrs, ok := ParseAddrs(list)
	if !ok {
		return fmt.Errorf("assumption %q: %q: want addresses, networks or ranges with commas between", s, list)
	}
	if a.names == nil {
		a.names = map[string]Addrs{}
	}
	a.names[key] = a.names[key].Union(addrs)
	return nil
}

// given returns what is assumed of a name, and notes that it was taken for
// granted; words say what of the addresses.
func (p *parser) given(kind, name, words string) (Addrs, bool) {
	key := kind
	if kind != AssumeSelf {
		key += "=" + name
	}
	addrs, ok := p.options.Assume.names[key]
	if ok {
		p.assumed("%s %s, and nothing else", strings.Join(AddrWords(addrs), ", "), words)
	}
	return addrs, ok
}

// behind returns the addresses behind an interface. Nothing lies behind the
// loopback: what is between two hosts never passes it.
func (p *parser) behind(name string) (Addrs, bool) {
	if name == "lo" {
		return Addrs{}, true
	}
	return p.given(AssumeZone, name, "lie behind "+shown(name))
}
