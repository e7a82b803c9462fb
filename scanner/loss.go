package scanner

import "math"

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

// fit returns the share of probes that are lost, and how many targets are
// expected to have lost all of theirs, when there were so many retries; false
// when nothing can be said.
//
// The attempt that is answered has a geometric distribution, cut off behind the
// last retry. But the first probe can have a chance of its own: a far router
// drops it while it looks for the neighbour, or the path was down for a while. It
// gets one where that explains the answers far better, and the retries do better.
func (t *tries) fit(retries int) (rate, missed float64, ok bool) {
	if t.answers == 0 || retries == 0 {
		return 0, 0, false
	}
	n, late := float64(t.answers), float64(t.late)
	all := geometric(n, float64(t.retries), retries+1)
	if t.late == 0 {
		return all.lost, 0, true
	}
	again := geometric(late, float64(t.retries-t.late), retries)
	first := plogp(n-late, n) + plogp(late, n)
	if again.lost < all.lost && 2*(first+again.likelihood-all.likelihood) > apart {
		return float64(t.retries) / (n + float64(t.retries)), late * again.odds(), true
	}
	return all.lost, n * all.odds(), true
}

// apart is the likelihood ratio that one more parameter reaches by chance in one
// case of a hundred: the quantile of chi squared with one degree of freedom.
const apart = 6.635

// chances is what some answers say of the tries that they took.
type chances struct {
	lost       float64 // chance that a try fails
	tries      int     // at most
	likelihood float64 // its logarithm
}

// geometric returns the likeliest chance that a try fails when so many answers
// took so many failures before, of at most tries each. The mean of the cut-off
// distribution grows with its parameter, so it is found by halving.
func geometric(answers, failures float64, tries int) chances {
	low, high := 0.0, 1.0
	for range 50 {
		if p := (low + high) / 2; cutMean(p, tries) < failures/answers {
			low = p
		} else {
			high = p
		}
	}
	c := chances{lost: (low + high) / 2, tries: tries}
	if failures == 0 {
		c.lost = 0
		return c
	}
	c.likelihood = answers*math.Log((1-c.lost)/(1-power(c.lost, tries))) + failures*math.Log(c.lost)
	return c
}

// odds is how many targets fail all tries for each that answers one.
func (c chances) odds() float64 {
	all := power(c.lost, c.tries)
	return all / (1 - all)
}

// plogp is the logarithm of the likelihood that k of n fall where they did.
func plogp(k, n float64) float64 {
	if k == 0 {
		return 0
	}
	return k * math.Log(k/n)
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
	rate, missed, ok := t.fit(retries)
	if !ok {
		return nil
	}
	missed = min(missed, float64(silent))
	n := float64(t.answers)
	return &Loss{Answers: t.answers, Late: t.late, Rate: rate, Missed: missed, Recall: n / (n + missed)}
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
		if rate, _, ok := t.fit(retries); ok {
			s.Subnets[i].EstLoss = &rate
		}
	}
}
