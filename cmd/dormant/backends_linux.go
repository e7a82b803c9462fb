package main

import (
	"errors"

	"dormant/cmd/internal/doctor"
	"dormant/scanner/link/afpacket"
	"dormant/scanner/wire"
)

// rawBackends are those that build frames themselves.
func rawBackends() []backendKind {
	return []backendKind{
		{name: "afpacket", ready: doctor.RawSockets, open: openAFPacket},
	}
}

func openAFPacket(o backendOptions) (backend, error) {
	b, err := wire.Open(wire.Config{
		Prefixes: o.prefixes, Zones: o.zones, Ports: o.ports,
		Interface: o.iface, Source: o.source, Log: o.log,
		OpenLink: func(spec wire.LinkSpec) (wire.Link, error) { return afpacket.Open(spec) },
	})
	if errors.Is(err, wire.ErrPrivilege) || errors.Is(err, wire.ErrInterface) {
		return nil, &exitError{exitPrivilege, err}
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}
