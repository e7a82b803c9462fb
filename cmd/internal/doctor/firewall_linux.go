package doctor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// firewall lists the base chains of nftables, which the present iptables makes
// too, and the tables of the older one.
func firewall() Firewall {
	var f Firewall
	chains, err := dump(unix.NFT_MSG_GETCHAIN)
	switch {
	case errors.Is(err, unix.EPERM):
		f.Err = errors.New("reading its rules needs root (CAP_NET_ADMIN)")
		return f
	case err != nil:
		f.Err = fmt.Errorf("nftables: %w", err)
		return f
	}
	rules, err := dump(unix.NFT_MSG_GETRULE)
	if err != nil {
		f.Err = fmt.Errorf("nftables: %w", err)
		return f
	}
	counts := map[[3]string]int{} // by family, table, chain
	for _, m := range rules {
		family, attrs := parseMessage(m)
		counts[[3]string{family, text(attrs[unix.NFTA_RULE_TABLE]), text(attrs[unix.NFTA_RULE_CHAIN])}]++
	}
	for _, m := range chains {
		if c, ok := parseChain(m); ok {
			c.Rules = counts[[3]string{c.Family, c.Table, c.Name}]
			f.Chains = append(f.Chains, c)
		}
	}
	for _, file := range []string{"/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"} {
		names, err := os.ReadFile(file)
		if err == nil { // not there without the older iptables
			f.Legacy = append(f.Legacy, strings.Fields(string(names))...)
		}
	}
	return f
}

// dump asks nftables for all objects of a kind, of every family.
func dump(kind int) ([][]byte, error) {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|kind, unix.NLM_F_DUMP)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.NFPROTO_UNSPEC, Version: nl.NFNETLINK_V0})
	return req.Execute(unix.NETLINK_NETFILTER, 0)
}

// parseMessage reads a message of nfnetlink: family, version, resource in four
// bytes, then attributes. What it cannot read is empty.
func parseMessage(b []byte) (family string, attrs map[uint16][]byte) {
	if len(b) < nl.SizeofNfgenmsg {
		return "", nil
	}
	return familyName(b[0]), attributes(b[nl.SizeofNfgenmsg:])
}

func familyName(n byte) string {
	switch n {
	case unix.NFPROTO_INET:
		return "inet"
	case unix.NFPROTO_IPV4:
		return "ip"
	case unix.NFPROTO_IPV6:
		return "ip6"
	default: // bridge, arp and netdev do not filter a host's own IP traffic by these hooks
		return ""
	}
}

func attributes(b []byte) map[uint16][]byte {
	list, err := nl.ParseRouteAttr(b)
	if err != nil {
		return nil
	}
	attrs := map[uint16][]byte{}
	for _, a := range list {
		attrs[a.Attr.Type&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)] = a.Value
	}
	return attrs
}

// parseChain reads a base chain that filters on this host's own way in or out;
// false for every other chain.
func parseChain(b []byte) (Chain, bool) {
	family, attrs := parseMessage(b)
	hook := attributes(attrs[unix.NFTA_CHAIN_HOOK])
	n, based := number(hook[unix.NFTA_HOOK_HOOKNUM])
	if family == "" || !based || text(attrs[unix.NFTA_CHAIN_TYPE]) != "filter" {
		return Chain{}, false
	}
	name, ok := hookName(n)
	return Chain{
		Family: family, Table: text(attrs[unix.NFTA_CHAIN_TABLE]), Name: text(attrs[unix.NFTA_CHAIN_NAME]),
		Hook: name, Drop: policy(attrs[unix.NFTA_CHAIN_POLICY]) == nfDrop,
	}, ok
}

const nfDrop, nfAccept = 0, 1 // linux/netfilter.h

// policy is what becomes of a packet that no rule decides: accept where the
// chain does not say.
func policy(b []byte) uint32 {
	if n, ok := number(b); ok {
		return n
	}
	return nfAccept
}

// hookName names the hooks that a host's own packets pass.
func hookName(n uint32) (string, bool) {
	switch n {
	case unix.NF_INET_PRE_ROUTING:
		return "prerouting", true
	case unix.NF_INET_LOCAL_IN:
		return "input", true
	case unix.NF_INET_LOCAL_OUT:
		return "output", true
	case unix.NF_INET_POST_ROUTING:
		return "postrouting", true
	default: // forward
		return "", false
	}
}

func number(b []byte) (uint32, bool) {
	if len(b) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}

// text is a name of nftables, without the zero byte at its end.
func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }
