package main

import (
	"strings"

	"dormant/cmd/internal/portlist"
	"dormant/registry"
)

// portList is a flag value, without duplicates, in the order given:
// "1947/tcp,5093/udp,3588,8000-8100/tcp".
type portList []registry.Port

func (l *portList) Type() string { return "PORTS" }

// String is the shortest text that Set reads as the same list.
func (l *portList) String() string { return strings.Join(portSpans(*l), ",") }

func (l *portList) Set(s string) error {
	list, err := portlist.Parse(s)
	if err == nil {
		*l = list
	}
	return err
}

// portSpans are the ports in words; those that follow one another are one
// range.
func portSpans(ports []registry.Port) []string { return portlist.Spans(ports) }
