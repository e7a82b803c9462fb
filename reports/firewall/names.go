package firewall

import (
	"strconv"

	"dormant/registry"
)

// protocol reads an IP protocol, by name or number: what of it is probed, and
// whether the word is a protocol at all. The names are those of IANA's list in
// /etc/protocols, by which iptables and nft print, and those of Cisco. "ipv4"
// and "ipv6" there are the protocols 4 and 41: packets inside of packets.
func protocol(word string) (Protos, bool) {
	if n, err := strconv.ParseUint(word, 10, 8); err == nil {
		if n == 0 { // netfilter and Cisco: all
			return BothProto, true
		}
		return protoBit(registry.Proto(n)), true
	}
	switch word {
	case "tcp":
		return ProtoTCP, true
	case "udp":
		return ProtoUDP, true
	case "all", "ip":
		return BothProto, true
	case "icmp", "icmpv6", "ipv6-icmp", "icmp6", "udplite", "sctp", "dccp", "esp", "ah", "ahp", "gre", "ipip", "ipinip", "ipencap",
		"ipv4", "ipv6", "ipv6-route", "ipv6-frag", "ipv6-nonxt", "ipv6-opts", "hopopt", "igmp", "igp", "igrp", "egp", "eigrp", "ospf",
		"ospfigp", "pim", "pcp", "nos", "vrrp", "carp", "snp", "l2tp", "pptp", "ipcomp", "comp", "mh", "mobility-header", "etherip",
		"rsvp", "ggp", "st", "pup", "hmp", "xns-idp", "rdp", "iso-tp4", "xtp", "ddp", "idpr-cmtp", "idrp", "skip", "rspf", "vmtp",
		"ax.25", "encap", "isis", "fc", "mpls-in-ip", "manet", "hip", "shim6", "wesp", "rohc", "ethernet", "mptcp":
		return 0, true
	default:
		return 0, false
	}
}

// portNumber reads a port, as a number or by one of the names that Cisco and
// nft print instead of numbers.
func portNumber(word string) (uint16, bool) {
	if n, err := strconv.ParseUint(word, 10, 16); err == nil {
		return uint16(n), true
	}
	n, ok := portNames()[word]
	return n, ok
}

// portNames returns the names that IOS and ASA print for ports, from their
// command references, and those of IANA that differ.
func portNames() map[string]uint16 {
	return map[string]uint16{
		"aol": 5190, "bgp": 179, "biff": 512, "bootpc": 68, "bootps": 67, "chargen": 19, "cifs": 3020, "citrix-ica": 1494,
		"cmd": 514, "connectedapps-plain": 15001, "connectedapps-tls": 15002, "ctiqbe": 2748, "daytime": 13, "discard": 9,
		"dnsix": 195, "domain": 53, "drip": 3949, "echo": 7, "exec": 512, "finger": 79, "ftp": 21, "ftp-data": 20, "gopher": 70,
		"h323": 1720, "hostname": 101, "http": 80, "https": 443, "ident": 113, "imap4": 143, "irc": 194, "isakmp": 500,
		"kerberos": 750, "klogin": 543, "kshell": 544, "ldap": 389, "ldaps": 636, "login": 513, "lotusnotes": 1352, "lpd": 515,
		"mobile-ip": 434, "msrpc": 135, "nameserver": 42, "netbios-dgm": 138, "netbios-ns": 137, "netbios-ss": 139,
		"netbios-ssn": 139, "nfs": 2049, "nntp": 119, "non500-isakmp": 4500, "ntp": 123, "onep-plain": 15001, "onep-tls": 15002,
		"pcanywhere-data": 5631, "pcanywhere-status": 5632, "pim-auto-rp": 496, "pop2": 109, "pop3": 110, "pptp": 1723,
		"radius": 1645, "radius-acct": 1646, "rip": 520, "rsh": 514, "rtsp": 554, "secureid-udp": 5510, "sip": 5060, "smtp": 25,
		"snmp": 161, "snmptrap": 162, "sqlnet": 1521, "ssh": 22, "sunrpc": 111, "syslog": 514, "tacacs": 49, "tacacs-ds": 49,
		"talk": 517, "telnet": 23, "tftp": 69, "time": 37, "uucp": 540, "vxlan": 4789, "who": 513, "whois": 43, "www": 80,
		"xdmcp": 177,
	}
}
