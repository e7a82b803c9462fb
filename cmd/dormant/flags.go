package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// word is a flag value that takes one of a few words. It implements pflag.Value.
type word struct {
	value   *string
	allowed []string
}

// oneOf makes a flag value of which the first word is the default.
func oneOf(value *string, allowed ...string) *word {
	*value = allowed[0]
	return &word{value, allowed}
}

func (w *word) String() string {
	if w.value == nil {
		return ""
	}
	return *w.value
}

func (w *word) Type() string { return strings.Join(w.named(), "|") }

// named is the allowed words without the empty one, which nobody types.
func (w *word) named() []string {
	return slices.DeleteFunc(slices.Clone(w.allowed), func(s string) bool { return s == "" })
}

func (w *word) Set(s string) error {
	if !slices.Contains(w.allowed, s) {
		return fmt.Errorf("want %s", orList(w.named()))
	}
	*w.value = s
	return nil
}

// orList joins words as a sentence does: "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// address is a flag value: a numeric address. The zero value is none.
type address netip.Addr

// addSourceFlag adds --source, which every command that sends has.
func addSourceFlag(flags *pflag.FlagSet, source *netip.Addr) {
	flags.Var((*address)(source), "source", "send from this `ADDRESS` of this host")
}

func (a *address) Type() string { return "ADDRESS" }

func (a *address) String() string {
	if addr := netip.Addr(*a); addr.IsValid() {
		return addr.String()
	}
	return ""
}

func (a *address) Set(s string) error {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return errors.New("want a numeric address, like 10.0.0.5")
	}
	*a = address(addr)
	return nil
}

// searchName is a flag value: the name in the search datagram, which has room for
// 21 bytes.
type searchName string

// addDiscoveryFlag adds --discovery-name, which every command that asks 1947/udp
// has.
func addDiscoveryFlag(flags *pflag.FlagSet, name *string) {
	*name = "dormant"
	flags.Var((*searchName)(name), "discovery-name", "host `NAME` in the license manager search datagram of udp 1947, may be empty")
}

func (n *searchName) Type() string { return "NAME" }

func (n *searchName) String() string { return string(*n) }

func (n *searchName) Set(s string) error {
	if len(s) > 21 {
		return errors.New("want at most 21 bytes")
	}
	*n = searchName(s)
	return nil
}
