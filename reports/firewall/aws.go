package firewall

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

func isAWS(_ string, text []byte) bool {
	if !startsJSON(text) && !bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		return false
	}
	return awsWrapped(text) || bytes.Contains(text, []byte(`"IpPermissions"`)) || bytes.Contains(text, []byte(`"SecurityGroupRuleId"`))
}

// awsWrapped reports whether the groups or rules stand under their name, as
// they do without --query.
func awsWrapped(text []byte) bool {
	return bytes.Contains(text, []byte(`"SecurityGroups"`)) || bytes.Contains(text, []byte(`"SecurityGroupRules"`))
}

// aws reads the output of aws ec2 describe-security-groups and
// describe-security-group-rules, whole or what --query SecurityGroups or
// SecurityGroups[0] leaves of it. Groups only allow, and replies pass by
// themselves.
type aws struct {
	*parser
	line   lineCounter
	d      *json.Decoder
	groups []awsGroup
}

type awsGroup struct {
	id, name    string
	line        int
	permissions []awsPermission
}

type awsPermission struct {
	Protocol string       `json:"IpProtocol"`
	From     *int         `json:"FromPort"`
	To       *int         `json:"ToPort"`
	Ranges   []awsNetwork `json:"IpRanges,omitempty"`
	Ranges6  []awsNetwork `json:"Ipv6Ranges,omitempty"`
	Lists    []awsName    `json:"PrefixListIds,omitempty"`
	Groups   []awsName    `json:"UserIdGroupPairs,omitempty"`

	line int
}

// awsNetwork and awsName are the sources of a permission; each has one of its
// fields.
type (
	awsNetwork struct {
		CIDR4 string `json:"CidrIp,omitempty"`
		CIDR6 string `json:"CidrIpv6,omitempty"`
	}
	awsName struct {
		List  string `json:"PrefixListId"`
		Group string `json:"GroupId"`
	}
)

func parseAWS(p *parser) error {
	a := &aws{parser: p, line: lineCounter{text: p.text}, d: json.NewDecoder(bytes.NewReader(p.text))}
	read := a.group
	switch {
	case bytes.HasPrefix(bytes.TrimSpace(p.text), []byte("[")):
		read = func() error { return a.list(a.group) }
	case awsWrapped(p.text):
		read = func() error { return a.object(a.wrapped) }
	}
	if err := read(); err != nil {
		return err
	}
	if len(a.groups) == 0 {
		return p.errorf(1, `no group: want {"SecurityGroups": [ … ]}, the output of aws ec2 describe-security-groups, or of describe-security-group-rules`)
	}
	a.assumed("the groups of the clients let them out: only what comes in is judged")
	return a.rules()
}

// wrapped reads what stands under a key at the top.
func (a *aws) wrapped(key string) error {
	switch key {
	case "SecurityGroups", "SecurityGroupRules":
		return a.list(a.group)
	case "NextToken":
		var token string
		if err := a.decode(&token); err != nil {
			return err
		}
		if token != "" {
			return a.errorf(a.line.at(a.d.InputOffset()), "NextToken: the list goes on behind this file, want all of it: leave out --max-items")
		}
		return nil
	default:
		return a.decode(new(json.RawMessage))
	}
}

func (a *aws) fault(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return a.errorf(a.line.at(a.d.InputOffset()), "JSON: %v", err)
}

// decode takes the value that follows.
func (a *aws) decode(to any) error {
	if err := a.d.Decode(to); err != nil {
		return a.fault(err)
	}
	return nil
}

// delim takes an expected bracket.
func (a *aws) delim(want json.Delim) error {
	got, err := a.d.Token()
	if err != nil {
		return a.fault(err)
	}
	if got != want {
		return a.errorf(a.line.at(a.d.InputOffset()), "JSON: %v: want %v", got, want)
	}
	return nil
}

// object calls fn for each key, which takes the value.
func (a *aws) object(fn func(key string) error) error {
	if err := a.delim('{'); err != nil {
		return err
	}
	for a.d.More() {
		key, err := a.d.Token()
		if err != nil {
			return a.fault(err)
		}
		if err := fn(fmt.Sprint(key)); err != nil {
			return err
		}
	}
	return a.delim('}')
}

// list calls fn for each element, which takes it.
func (a *aws) list(fn func() error) error {
	if err := a.delim('['); err != nil {
		return err
	}
	for a.d.More() {
		if err := fn(); err != nil {
			return err
		}
	}
	return a.delim(']')
}

// group reads one group, and where its permissions stand, or one rule of a
// group.
func (a *aws) group() error {
	g := awsGroup{line: a.line.next(a.d.InputOffset())}
	p := awsPermission{line: g.line}
	var rule string // its name, of an entry of describe-security-group-rules; it has just one source
	var egress bool
	var network awsNetwork
	var list, from awsName
	fields := map[string]any{"GroupId": &g.id, "GroupName": &g.name, "SecurityGroupRuleId": &rule, "IsEgress": &egress,
		"IpProtocol": &p.Protocol, "FromPort": &p.From, "ToPort": &p.To, "CidrIpv4": &network.CIDR4, "CidrIpv6": &network.CIDR6,
		"PrefixListId": &list.List, "ReferencedGroupInfo": &from}
	err := a.object(func(key string) error {
		if key == "IpPermissions" {
			return a.list(func() error {
				g.permissions = append(g.permissions, awsPermission{line: a.line.next(a.d.InputOffset())})
				return a.decode(&g.permissions[len(g.permissions)-1])
			})
		}
		to, known := fields[key]
		if !known {
			to = new(json.RawMessage)
		}
		return a.decode(to)
	})
	if err != nil {
		return err
	}
	if g.id == "" {
		return a.errorf(g.line, "a group without GroupId")
	}
	at := slices.IndexFunc(a.groups, func(other awsGroup) bool { return other.id == g.id })
	switch {
	case rule == "" && at >= 0:
		return a.errorf(g.line, "group %q is there twice", shown(g.id))
	case at < 0:
		at = len(a.groups)
		a.groups = append(a.groups, g)
	}
	if rule != "" && !egress {
		p.Ranges, p.Groups = []awsNetwork{network}, []awsName{list, from}
		a.groups[at].permissions = append(a.groups[at].permissions, p)
	}
	return nil
}

// rules makes one chain: what no group of the destination allows is denied.
func (a *aws) rules() error {
	c := &Chain{Name: "security groups", Policy: Deny}
	for _, g := range a.groups {
		members, known := a.given(AssumeGroup, g.id, "carry the group "+shown(g.id))
		doubt := ""
		switch {
		case known:
		case len(a.groups) == 1:
			members = AnyAddr()
			a.assumed("every service carries %s, the only group of the file", shown(g.id))
		default:
			members = AnyAddr()
			doubt = "which hosts carry " + shown(g.id) + " is not in the file: say so with --assume group=" + shown(g.id) + ":ADDRESSES"
		}
		for i := range g.permissions {
			rules, err := a.permission(&g, i)
			if err != nil {
				return err
			}
			for _, r := range rules {
				r.Boxes = intersectAll(r.Boxes, []Box{dstBox(members)})
				if doubt != "" {
					r.Doubts = append(r.Doubts, doubt)
				}
			}
			c.Rules = append(c.Rules, rules...)
		}
	}
	a.set.Chains = []*Chain{c}
	a.set.Stateful = true
	path := Path{Request: []*Chain{c}}
	a.set.Paths[Router], a.set.Paths[Server] = path, path
	return nil
}

// permission makes a rule for the networks of a permission, and one for each
// group or prefix list that it names as a source.
func (a *aws) permission(g *awsGroup, i int) ([]*Rule, error) {
	p := &g.permissions[i]
	box, err := a.ports(p)
	if err != nil {
		return nil, err
	}
	var out []*Rule
	add := func(from Addrs, words string, doubts ...string) {
		b := box
		b.Src = from
		out = append(out, &Rule{
			ID: fmt.Sprintf("%s:%d", shown(g.id), i+1), Line: p.line, Boxes: []Box{b}, Phases: AllPhases, Action: Accept, Doubts: doubts,
			Text: shown(fmt.Sprintf("%s (%s) allows %s ports %s from %s", g.id, g.name, p.Protocol, PortWords(box.DstPorts), words)),
		})
	}
	var networks []netip.Prefix
	var words []string
	for _, n := range slices.Concat(p.Ranges, p.Ranges6) {
		cidr := n.CIDR4 + n.CIDR6
		if cidr == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return nil, a.errorf(p.line, "network %q: want ADDRESS/LENGTH", shown(cidr))
		}
		networks, words = append(networks, prefix), append(words, cidr)
	}
	if len(networks) > 0 {
		add(prefixSet(networks...), strings.Join(words, ", "))
	}
	for _, n := range slices.Concat(p.Groups, p.Lists) {
		name := n.List + n.Group
		if name == "" {
			continue
		}
		if from, known := a.given(AssumeGroup, name, "carry the group "+shown(name)); known {
			add(from, name)
			continue
		}
		add(AnyAddr(), name, "who is in "+shown(name)+" is not in the file: say so with --assume group="+shown(name)+":ADDRESSES")
	}
	return out, nil
}

// ports returns the box of a permission from anywhere.
func (a *aws) ports(p *awsPermission) (Box, error) {
	box := Everything()
	if p.Protocol == "-1" {
		return box, nil
	}
	var ok bool
	if box.Protos, ok = protocol(p.Protocol); !ok || p.Protocol == "0" {
		return box, a.errorf(p.line, "IpProtocol %q: want tcp, udp, a number or -1", shown(p.Protocol))
	}
	if box.Protos == 0 || p.From == nil || p.To == nil || *p.From == -1 { // ICMP types; all ports
		return box, nil
	}
	if *p.From < 0 || *p.To > 65535 || *p.From > *p.To {
		return box, a.errorf(p.line, "ports %d to %d: want 0 to 65535, the lower one first", *p.From, *p.To)
	}
	box.DstPorts = NewSet(Span[Port]{Port(*p.From), Port(*p.To)})
	return box, nil
}
