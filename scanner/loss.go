package scanner

// Loss is what the answers of a run with retries say of the packets that were
// lost: targets that answered only when they were asked again.
type Loss struct {
	// Answers counts the targets that answered themselves, with a SYN-ACK, an RST
	// or a datagram. Late counts those of them that answered a retry. ICMP errors
	// are left out: hosts limit them, and a late one need not have been lost.
	Answers uint64 `json:"answers"`
	Late    uint64 `json:"answers_to_retries"`
	// Rate is the share, 0 to 1, of probes of which they or their answers are
	// lost, as the answers show it.
	Rate float64 `json:"rate"`
	// Missed is how many targets that would have answered are expected to have
	// lost all their probes, at most those that were silent. Recall is the share
	// of the answers that the run is expected to have.
	Missed float64 `json:"missed"`
	Recall float64 `json:"recall"`
}

// tries counts answers by the attempts that they took. It is all that an
// estimate of the loss needs.
type tries struct {
	answers, late uint64
	retries       uint64 // before the probe that was answered, added up
}

// add counts an answer. It reports false for one that tells nothing of loss.
func (t *tries) add(o Observation) bool {
	if o.Reason != SynAck && o.Reason != Rst && o.Reason != UDPReply {
		return false
	}
	t.answers++
	t.retries += uint64(o.Attempt)
	if o.Attempt > 0 {
		t.late++
	}
	return true
}

// rate returns the share of probes lost when there were so many retries, and
// false when nothing can be said.
//
// The attempt that is answered has a geometric distribution, cut off behind the
// last retry; its likeliest parameter is the one whose mean is the mean of the
// answers. The mean grows with the parameter, so it is found by halving.
func (t *tries) rate(retries int) (float64, bool) {
	if t.answers == 0 || retries == 0 {
		return 0, false
	}
	mean, low, high := float64(t.retries)/float64(t.answers), 0.0, 1.0
	for range 50 {
		if p := (low + high) / 2; cutMean(p, retries+1) < mean {
			low = p
		} else {
			high = p
		}
	}
	if t.retries == 0 {
		return 0, true
	}
	return (low + high) / 2, true
}

// cutMean is the mean of a geometric distribution that counts failures of
// probability p before a success, cut off at n tries. 0 < p < 1.
func cutMean(p float64, n int) float64 {
	all := power(p, n)
	return p/(1-p) - float64(n)*all/(1-all)
}

// power returns p to the power of n.
func power(p float64, n int) float64 {
	all := 1.0
	for range n {
		all *= p
	}
	return all
}

// loss sums the answers up. retries were made, and silent targets are left; it
// is nil when nothing can be said.
func (t *tries) loss(retries int, silent uint64) *Loss {
	p, ok := t.rate(retries)
	if !ok {
		return nil
	}
	all, n := power(p, retries+1), float64(t.answers)
	l := &Loss{Answers: t.answers, Late: t.late, Rate: p, Missed: float64(silent)}
	if all < 1 {
		l.Missed = min(l.Missed, n*all/(1-all))
	}
	l.Recall = n / (n + l.Missed)
	return l
}

// countLoss fills in what is lost, of the run and of its subnets.
func (r *run) countLoss(s *Summary) {
	retries := int(r.attempt.Load())
	if retries == 0 && r.cfg.Retries > 0 && r.allAnswered() {
		retries = r.cfg.Retries // nobody was left to be asked again
	}
	s.Loss = r.tries.loss(retries, s.Filtered+s.OpenFiltered)
	for i := range s.Subnets {
		t := r.subnetTries[s.Subnets[i].Prefix]
		if t == nil {
			continue
		}
		if rate, ok := t.rate(retries); ok {
			s.Subnets[i].EstLoss = &rate
		}
	}
}
