package fleet

import (
	"errors"
	"fmt"
	"math"
	"net/netip"

	"dormant/registry"
	"dormant/scanner"
)

// Bounds on what one message may hold. They are far above what peers send.
const (
	maxShards   = 1 << 20
	maxPrefixes = 1 << 16
	maxPorts    = 1 << 17 // each number, tcp and udp
	maxResults  = 1 << 16
	maxParts    = 1 << 16 // of a shard
	maxRetries  = 100
	maxFault    = 1 << 10 // bytes
)

// Check returns why s cannot be a shard, whoever sent it: names, numbers and
// sizes. Whether its addresses may be asked is another question.
func (s *Shard) Check() error {
	if s.Version != Version {
		return fmt.Errorf("version %d: want %d", s.Version, Version)
	}
	if err := first(checkRun(s.Run), s.Place.Check()); err != nil {
		return err
	}
	switch {
	case s.Of < 1 || s.Of > maxShards || s.Number < 1 || s.Number > s.Of:
		return fmt.Errorf("shard %d of %d: want 1 to at most %d", s.Number, s.Of, maxShards)
	case len(s.Prefixes) == 0 || len(s.Prefixes) > maxPrefixes:
		return fmt.Errorf("%d prefixes: want 1 to %d", len(s.Prefixes), maxPrefixes)
	case len(s.Ports) == 0 || len(s.Ports) > maxPorts:
		return fmt.Errorf("%d ports: want 1 to %d", len(s.Ports), maxPorts)
	case !rateOK(s.Rate) || !rateOK(s.HostRate):
		return fmt.Errorf("rate %g, to a host %g: want 0 or more", s.Rate, s.HostRate)
	case s.Retries < 0 || s.Retries > maxRetries:
		return fmt.Errorf("retries %d: want 0 to %d", s.Retries, maxRetries)
	}
	for _, p := range s.Ports {
		if p.Number == 0 || p.Proto != registry.TCP && p.Proto != registry.UDP {
			return fmt.Errorf("port %s: want 1 to 65535, tcp or udp", p)
		}
	}
	return checkPrefixes(s.Prefixes)
}

// first returns the first fault: a message gets one line.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func rateOK(r float64) bool { return r >= 0 && !math.IsInf(r, 0) } // NaN is not >= 0

func checkPrefixes(all []netip.Prefix) error {
	for _, p := range all {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			return fmt.Errorf("prefix %s: want the first address of a subnet and its length", p)
		}
	}
	return nil
}

// Check returns why m cannot be what an agent sends: version, names, numbers
// and sizes. CheckOrigin tells whether it belongs to its subject.
func (m *Message) Check() error {
	switch {
	case m.Version != Version:
		return fmt.Errorf("version %d: want %d", m.Version, Version)
	case m.Part != nil && m.Done == nil:
		return m.Part.check()
	case m.Done != nil && m.Part == nil:
		return m.Done.check()
	default:
		return errors.New("want one of part and done")
	}
}

func (p *Part) check() error {
	if err := first(checkRun(p.Run), checkAttempt(p.Attempt)); err != nil {
		return err
	}
	switch {
	case p.Shard < 1 || p.Shard > maxShards:
		return fmt.Errorf("shard %d: want 1 to %d", p.Shard, maxShards)
	case p.Number < 1 || p.Number > maxParts:
		return fmt.Errorf("part %d: want 1 to %d", p.Number, maxParts)
	case len(p.Results) == 0 || len(p.Results) > maxResults:
		return fmt.Errorf("%d results: want 1 to %d", len(p.Results), maxResults)
	}
	for i := range p.Results {
		r := &p.Results[i]
		if err := checkObservation(&r.Observation); err != nil {
			return fmt.Errorf("result %d: %w", i+1, err)
		}
		if r.Evidence != nil && r.Evidence.Target != r.Target {
			return fmt.Errorf("result %d: the dialogue is with %s, the answer of %s", i+1, r.Evidence.Target, r.Target)
		}
	}
	return nil
}

func checkObservation(o *scanner.Observation) error {
	switch {
	case !o.Addr.IsValid() || o.Addr.Is4In6() || o.Addr.Zone() != "":
		return fmt.Errorf("address %s: want an address without a zone", o.Addr)
	case o.Port.Number == 0 || o.Port.Proto != registry.TCP && o.Port.Proto != registry.UDP:
		return fmt.Errorf("port %s: want 1 to 65535, tcp or udp", o.Port)
	case o.State == 0 || o.Reason == 0:
		return fmt.Errorf("%s: want a state and a reason", o.Target)
	case len(o.Payload) > scanner.MaxPayload:
		return fmt.Errorf("%s: a reply of %d bytes: want at most %d", o.Target, len(o.Payload), scanner.MaxPayload)
	}
	return nil
}

func (d *Done) check() error {
	if err := first(checkRun(d.Run), checkAttempt(d.Attempt), CheckName("agent", d.Agent)); err != nil {
		return err
	}
	switch {
	case d.Shard < 1 || d.Shard > maxShards:
		return fmt.Errorf("shard %d: want 1 to %d", d.Shard, maxShards)
	case d.Parts < 0 || d.Parts > maxParts:
		return fmt.Errorf("%d parts: want 0 to %d", d.Parts, maxParts)
	case !rateOK(d.Rate):
		return fmt.Errorf("rate %g: want 0 or more", d.Rate)
	case len(d.Fault) > maxFault:
		return fmt.Errorf("a fault of %d bytes: want at most %d", len(d.Fault), maxFault)
	case len(d.Spared) > maxPrefixes:
		return fmt.Errorf("%d prefixes spared: want at most %d", len(d.Spared), maxPrefixes)
	}
	return checkPrefixes(d.Spared)
}
