package scanner

import (
	"net/netip"
	"slices"

	"dormant/registry"
)

// The IP packets of probes, in bytes: headers (RFC 791, 8200, 768, 9293), and 20
// bytes of TCP options, as current systems send them in a SYN.
const (
	headerIPv4, headerIPv6 = 20, 40
	headerUDP              = 8
	headerSYN              = 20 + 20
)

// packetSizes returns the length of the IP packet of a probe for each port of
// the plan, for IPv4; in IPv6 each is longer by the difference of the headers.
func packetSizes(ports []registry.Port, payloads [][]byte) []uint64 {
	sizes := make([]uint64, len(ports))
	for i, port := range ports {
		sizes[i] = headerIPv4 + headerSYN
		if port.Proto == registry.UDP {
			sizes[i] = headerIPv4 + headerUDP + uint64(len(payloads[i]))
		}
	}
	return sizes
}

// bytesFor returns how many bytes n probes to one host can be at most, in IPv4:
// no target gets more than rounds of them.
func bytesFor(n, rounds uint64, sizes []uint64) (sum uint64) {
	sorted := slices.Sorted(slices.Values(sizes))
	for _, size := range slices.Backward(sorted) {
		take := min(n, rounds)
		sum, n = sum+take*size, n-take
	}
	return sum
}

// overhead is by how much n packets to addr are longer than in IPv4.
func overhead(addr netip.Addr, n uint64) uint64 {
	if addr.Is4() {
		return 0
	}
	return n * (headerIPv6 - headerIPv4)
}

// mostBytes returns the most bytes that any one address got. No book is kept of
// that: the number of probes to each address is known, and which of its targets
// kept silent and so got one in every round. What is left went to targets that
// answered a retry, and is taken to be the longest that it can have been.
func (r *run) mostBytes(whole bool) (most uint64) {
	rounds := uint64(r.attempt.Load()) + 1
	exact := whole && r.cfg.From.Spent.Parts == 0
	bounds := map[uint64]uint64{} // by the number of probes
	for k := range r.plan.NumAddrs() {
		n := r.meter.count(k)
		if n == 0 {
			continue
		}
		bound, ok := bounds[n]
		if !ok {
			bound = bytesFor(n, rounds, r.sizes)
			bounds[n] = bound
		}
		addr := r.plan.addr(k)
		if bound += overhead(addr, n); bound <= most {
			continue
		}
		if exact {
			bound = min(bound, r.bytesTo(k, n, rounds)+overhead(addr, n))
		}
		most = max(most, bound)
	}
	return most
}

// bytesTo returns the bytes of the n probes to address k, in IPv4, after a run
// that came to its end: never less than they were.
func (r *run) bytesTo(k, n, rounds uint64) (sum uint64) {
	var again []uint64 // sizes of targets that can have got more than one
	left, ports := n, uint64(len(r.plan.ports))
	for j := k * ports; j < (k+1)*ports; j++ {
		if !r.inShard(j) {
			continue
		}
		times := rounds
		if answers(State(r.states.get(j))) {
			times = 1
			again = append(again, r.sizes[j%ports])
		}
		if times > left { // cannot be
			return bytesFor(n, rounds, r.sizes)
		}
		sum, left = sum+times*r.sizes[j%ports], left-times
	}
	return sum + bytesFor(left, rounds-1, again)
}

// bytesAtMost bounds the bytes to any one address while the run goes on.
func (r *run) bytesAtMost() uint64 {
	n := r.meter.most
	sum := bytesFor(n, uint64(r.attempt.Load())+1, r.sizes)
	if last := r.plan.spans[len(r.plan.spans)-1]; !last.first.Is4() { // sorted: IPv6 comes last
		sum += overhead(last.first, n)
	}
	return sum
}
