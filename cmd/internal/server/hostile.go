package server

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"go4.org/netipx"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/pipeline"
	"dormant/fingerprint"
	"dormant/reports"
	"dormant/scanner"
)

// The bounds of what an agent may say. An agent that is in somebody else's hands
// can lie about its own site; it must not be able to break the server, or say
// anything about what it was not asked. What a message alone shows to be wrong,
// fleet.Decode has refused before.
const (
	// clockSlack is how far a time may lie outside the run: agents date by the
	// server's clock, which they know to within a round trip.
	clockSlack = 10 * time.Minute
	// maxProbes is the most probes to a target, beside its retries: a sweep that
	// went on after a restart sends some again.
	maxProbes = 16
	// maxExchanges and maxReceived bound a dialogue: the real ones have at most a
	// dozen steps with 64 KiB each.
	maxExchanges = 64
	maxReceived  = 64 << 10
	maxText      = 1000 // bytes of a text for people
)

// checkPart returns why the part cannot be believed.
func (f *fold) checkPart(s *shard, p *fleet.Part, now time.Time) error {
	for i := range p.Results {
		if err := f.checkResult(s, &p.Results[i], now); err != nil {
			return fmt.Errorf("server: shard %d: %w", s.number, err)
		}
	}
	return nil
}

func (f *fold) checkResult(s *shard, r *pipeline.Result, now time.Time) error {
	if _, ok := s.index(f.run, r.Target); !ok {
		return fmt.Errorf("an answer of %v, which was not asked", r.Target)
	}
	switch {
	case !f.during(r.At, now):
		return fmt.Errorf("%v: answered at %v, outside the run", r.Target, r.At)
	case len(r.MAC) != 0 && len(r.MAC) != 6 && len(r.MAC) != 8:
		return fmt.Errorf("%v: a link-layer address of %d bytes", r.Target, len(r.MAC))
	case r.RTT < 0 || r.RTT > time.Hour:
		return fmt.Errorf("%v: a round trip of %v", r.Target, r.RTT)
	case r.From.Zone() != "" && len(r.From.Zone()) > 16:
		return fmt.Errorf("%v: answered by an address with a zone of %d bytes", r.Target, len(r.From.Zone()))
	case r.Evidence != nil:
		return f.checkEvidence(r, now)
	}
	return nil
}

func (f *fold) checkEvidence(r *pipeline.Result, now time.Time) error {
	ev := r.Evidence
	switch {
	case r.State != scanner.Open:
		return fmt.Errorf("%v: a dialogue with a port that is %v", r.Target, r.State)
	case !ev.Started.IsZero() && !f.during(ev.Started, now):
		return fmt.Errorf("%v: a dialogue at %v, outside the run", r.Target, ev.Started)
	case len(ev.Exchanges) > maxExchanges:
		return fmt.Errorf("%v: a dialogue of %d steps", r.Target, len(ev.Exchanges))
	case ev.Connections < 0 || ev.BytesSent < 0 || ev.BytesReceived < 0 || ev.Elapsed < 0 || ev.Elapsed > time.Hour:
		return fmt.Errorf("%v: a dialogue of impossible size", r.Target)
	case ev.Host.CanariesAsked < 0 || ev.Host.CanariesOpen < 0 || ev.Host.CanariesOpen > ev.Host.CanariesAsked:
		return fmt.Errorf("%v: canaries of impossible number", r.Target)
	}
	for i := range ev.Exchanges {
		if err := checkExchange(&ev.Exchanges[i]); err != nil {
			return fmt.Errorf("%v: step %d: %w", r.Target, i+1, err)
		}
	}
	return nil
}

func checkExchange(x *fingerprint.Exchange) error {
	switch {
	case len(x.Received) > maxReceived || len(x.Sent) > maxReceived:
		return errors.New("more than 64 KiB")
	case len(x.Probe) > maxText || len(x.Error) > 4*maxText || len(x.End) > maxText:
		return errors.New("a text of more than 1,000 bytes")
	case len(x.Chunks) > 256 || x.Conn < 0:
		return errors.New("impossible numbers")
	case x.TLS != nil && (len(x.TLS.Chain) > 4 || len(x.TLS.Version)+len(x.TLS.Cipher)+len(x.TLS.ALPN)+len(x.TLS.JARM) > maxText):
		return errors.New("a TLS handshake of impossible size")
	}
	return nil
}

// during reports whether a time can be one of the run.
func (f *fold) during(t, now time.Time) bool {
	return !t.Before(f.since.Add(-clockSlack)) && !t.After(now.Add(clockSlack))
}

// checkDone returns why the end of an attempt cannot be believed.
func (f *fold) checkDone(s *shard, agent string, d *fleet.Done, now time.Time) error {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("server: the end of shard %d: %s", s.number, fmt.Sprintf(format, args...))
	}
	switch {
	case d.Agent != agent:
		return fault("names agent %q", reports.Line(d.Agent))
	case !f.during(d.Started, now) || !f.during(d.Finished, now) || d.Finished.Before(d.Started):
		return fault("from %v to %v", d.Started, d.Finished)
	case len(d.Backend) > 64 || len(d.Outcome.Identify.Fault) > 4*maxText:
		return fault("a text that is too long")
	}
	spared, err := s.spared(d.Spared)
	if err != nil {
		return fault("%v", err)
	}
	if err := f.checkCounts(s, d, spared); err != nil {
		return fault("%v", err)
	}
	return nil
}

// spared counts the addresses of the shard that a list names.
func (s *shard) spared(list []netip.Prefix) (uint64, error) {
	if uint64(len(list)) > s.size {
		return 0, fmt.Errorf("%d spared prefixes of %d addresses", len(list), s.size)
	}
	var own, theirs netipx.IPSetBuilder
	for _, p := range s.prefixes {
		own.AddPrefix(p)
	}
	for _, p := range list {
		theirs.AddPrefix(p)
	}
	mine, err1 := own.IPSet()
	set, err2 := theirs.IPSet()
	if err := errors.Join(err1, err2); err != nil {
		return 0, err
	}
	for _, p := range set.Prefixes() {
		if !mine.ContainsPrefix(p) {
			return 0, fmt.Errorf("spared %v, which was not asked", p)
		}
	}
	return addresses(set.Prefixes()), nil
}

// checkCounts holds the numbers of an attempt against the shard.
func (f *fold) checkCounts(s *shard, d *fleet.Done, spared uint64) error {
	scan, talk, ports := &d.Outcome.Scan, &d.Outcome.Identify, uint64(len(f.run.Ports))
	most := (s.size - spared) * ports
	sum := uint64(0)
	for _, n := range []uint64{scan.Open, scan.Closed, scan.Filtered, scan.OpenFiltered, scan.Unreachable, scan.Unknown} {
		if n > most || sum+n > most {
			return fmt.Errorf("states of more than its %d targets", most)
		}
		sum += n
	}
	for _, c := range []struct {
		what    string
		n, most uint64
	}{
		{"targets", scan.Targets, most}, {"addresses", scan.Addresses, s.size - spared}, {"hosts", scan.HostsAlive, s.size - spared},
		{"probes", scan.Probes, most * uint64(f.run.Retries+1+maxProbes)}, {"repeated probes", scan.Retries, scan.Probes}, {"skipped targets", scan.Skipped, most},
		{"dialogues", talk.Ports, most}, {"lost answers", d.Outcome.Lost, math.MaxUint32}, {"subnets", uint64(len(scan.Subnets)), s.size},
	} {
		if c.n > c.most {
			return fmt.Errorf("%d %s of a shard with %d targets", c.n, c.what, most)
		}
	}
	switch {
	case d.Fault == "" && scan.Targets != most:
		return fmt.Errorf("without a fault %d targets of %d", scan.Targets, most)
	case scan.Complete && sum != scan.Targets:
		return fmt.Errorf("called complete with the states of %d targets of %d", sum, scan.Targets)
	case !sound(scan.Loss, most):
		return errors.New("an impossible loss")
	case math.IsNaN(scan.Rate) || math.IsInf(scan.Rate, 0) || scan.Rate < 0 || scan.Cooldown < 0:
		return errors.New("an impossible rate")
	}
	return f.checkSubnets(s, d)
}

// sound reports whether a loss can be one of so many targets.
func sound(l *scanner.Loss, targets uint64) bool {
	return l == nil || l.Answers <= targets && l.Late <= l.Answers && l.Rate >= 0 && l.Rate <= 1 && l.Missed >= 0 && l.Missed <= float64(targets)
}

// checkSubnets holds the coverage of an attempt against the shard.
func (f *fold) checkSubnets(s *shard, d *fleet.Done) error {
	ports := uint64(len(f.run.Ports))
	for _, sub := range d.Outcome.Scan.Subnets {
		if !sub.Prefix.IsValid() || sub.Targets > s.size*ports || max(sub.Probed, sub.Answered, sub.Open, sub.Unreachable, sub.LocalErrors) > sub.Targets {
			return fmt.Errorf("impossible coverage of %v", sub.Prefix)
		}
		if sub.Excluded > 0 || sub.ExcludedAddresses > 0 || sub.EstLoss != nil && !(*sub.EstLoss >= 0 && *sub.EstLoss <= 1) {
			return fmt.Errorf("impossible coverage of %v", sub.Prefix)
		}
		if !overlaps(s.prefixes, sub.Prefix) {
			return fmt.Errorf("coverage of %v, which was not asked", sub.Prefix)
		}
	}
	for _, list := range [][]string{d.Outcome.Scan.Why, d.Outcome.Scan.Notes} {
		if len(list) > 100 {
			return fmt.Errorf("%d reasons", len(list))
		}
		for _, text := range list {
			if len(text) > maxText {
				return errors.New("a reason of more than 1,000 bytes")
			}
		}
	}
	return nil
}

func overlaps(all []netip.Prefix, p netip.Prefix) bool {
	for _, q := range all {
		if p.Overlaps(q) {
			return true
		}
	}
	return false
}
