// Package scanner finds out who answers. It turns target lists into a plan,
// paces the probes, hands them to a Backend and reports observations; what an
// answer means is not its business.
//
// The way of one probe: [ParseRanges] reads what the user wrote, takes the
// exclusions away and leaves disjoint prefixes; [NewPlan] numbers every address
// × port and shuffles the numbers by a key; [Engine.Run] walks the plan, waits
// for a token of the total rate once per batch, and gives the batch to the
// [Backend]; the Backend calls back with each answer; the engine looks it up in
// the plan, asks the [Guard], keeps the best state, and emits it. Then it asks
// the silent targets again, waits for late answers, and tells in [Summary] what
// was done and what could not be.
//
// # Goroutines
//
//	goroutine  started by  ends when                               may block on
//	sender     the caller  plan and retries done, ctx, an error    limiter, Backend.Send, waits
//	receiver   Engine.Run  the sender has ended, ctx, an error     Backend.Receive; never on emit
//
// The sender is the goroutine that called Run. What the two share is in arrays
// of atomic words with one writer each; counters are plain fields, read after
// the receiver has ended. Progress and Position may be called by anyone: they
// read a few more atomics, and the sender's marks under a lock.
//
// # Design
//
// No state per target before it answers, except half a byte of the engine: three
// bits for the best state so far (the receiver writes, the sender reads to know
// whom to ask again) and one that tells whether it was asked in this round; how
// often it was asked follows from the round. Order, shard and lookup are
// arithmetic on the natural index, which the keyed Feistel permutation maps
// to scan order and back. Hence [MaxTargets]. A cyclic group as zmap has it
// needs no memory either, but has no cheap inverse, and the inverse is what
// tells a reply of another shard. The permutation turns the rows and columns of
// a rectangle and does not mix the halves of a power of two, where a value can
// land outside and must be walked on: 2.7 walks a probe for a /16 with six ports.
//
// The total rate takes one WaitN per batch, and a batch is at most 10 ms of the
// rate: 1000 a second come as ten every 10 ms. A fixed batch of 64 would make
// 10 a second come as one shot every six seconds.
//
// The rate of a host is two moments per table slot (GCRA), of what is reserved and
// of what was sent, not a limiter object per host. Millions of hosts share the
// slots of a table that is sized by the total rate; sharing makes it stricter,
// never looser. A probe whose host has no token is given its moment at once and
// waits in a bounded heap while others go first; one that comes late is given
// another where the next ones are on time. In any second a host gets at most 1.25
// times its rate.
//
// A run can be cut anywhere and go on later: see Position. A position is a place
// in scan order before which every target has had the time to answer, so what is
// kept is one number beside the answers, not a bitmap. It lies one cooldown
// behind the sender: after a resume a little is asked twice, and nothing is
// missed, even without retries. The first half of a retry round, the hosts known
// to be alive, is done again as a whole: it is short, and who is alive may have
// changed.
//
// The state budget and the summary's MaxHalfOpen count the SYNs of 120 seconds
// that were not answered. An answer whose round trip is not known is not
// credited: the number may be too high, never too low.
//
// The rate is lowered to half when more than one in a hundred probes of a
// quarter of a second is lost on this side, and when the share of SYNs that are
// answered falls below a quarter of what it was; it comes back by itself, at
// --rate max until nothing holds it back any more. What a full local queue costs
// is no loss, so at --rate max it is no reason. After a pause the moments of all
// deferred probes move by as much, so that no host gets at once what would have
// been spread over the pause.
//
// Dense and sparse subnets cannot be taken for a failing path: the order is
// shuffled, so every stretch of the sweep is a sample of the whole. It is judged
// when 24 answers are due, and of TCP only, because hosts limit their ICMP errors.
// Answers that stayed away and that the retries did not bring either make the run
// incomplete: a firewall that has had enough of a scanner drops the rest in
// silence, and nothing else would tell that from nobody being there.
//
// Retries go round by round, in each first to the addresses that have answered
// anything. A round begins when answers to the last one can no longer be
// expected: RFC 6298 from measured round trips, at least twice the longest one,
// because one estimate stands for near and far hosts; 100 ms at least before a
// retry, 200 ms at least before the end. A run in which everything answers ends
// with the last answer.
//
// A gateway says that nobody is there only when it has asked for the neighbour
// itself, for three seconds on Linux. So a run in which something behind a
// gateway keeps silent takes at least 3.2 s from its first round to its end; the
// retries usually fill that. On-link sweeps do not wait for it, nor do backends
// that do not know the way. Such an error tells nothing of round trips.
//
// UDP silence of a host that sends ICMP errors may be its limit on them: Linux
// sends six at once and then one a second, common routers two a second. Hosts
// that have used up six get their UDP retries one a second: a host with n closed
// UDP ports takes about n-6 seconds more, side by side with all other hosts.
// Hosts that sent errors for fewer than half of the UDP ports get those of the
// first retry round two a second, but that adds at most a second and a half to
// the run. Six closed ports are within the burst of Linux, so there the default
// ports cost no waiting.
//
// Several addresses of one machine share its limit, and nothing tells that they
// do: of those the ports beyond the limit stay open_filtered. Going slow wherever
// it might be so would cost every run with silent UDP ports half a minute.
//
// What gets lost is told by the targets that answered only a retry: the attempt
// that is answered has a geometric distribution, cut off behind the last retry.
// The first probe gets a chance of its own where that explains the answers far
// better: a far router loses it while it looks for the neighbour, and a sweep of
// one port would be taken for a network that loses nearly everything.
// ICMP errors do not count, for a late one need not have been lost. Targets that
// lose all their probes are silent, and cannot be told from those that never
// answer: their number is an expectation, and [Loss] says how it comes about.
//
// A shard is every n-th place of one order. Config.Cut lets a run in another
// order ask the same targets: it walks all places, and passes over those whose
// place in the first order is of another shard. That costs a second look-up for
// each target, and only in the second pass of an estimate.
//
// How many bytes the host got that got the most is computed at the end from the
// number of probes to each address and from which of its targets kept silent: a
// counter of bytes would take two bytes more for each address.
//
// A CIDR with host bits set is read as its network, as nmap does, and said
// (Ranges.Notes): refusing it would stop nobody from meaning it. Link-local
// targets need their zone; an exclusion without zone holds on all of them.
// Multicast, broadcast and unspecified blocks are refused.
//
// ipranger is the guard and nothing else, in one file: it is asked for both ends
// of every prefix of the plan and for every accepted reply, not per probe. It
// holds prefixes only, /32 and /128 included, each one looked up after it was
// added. New runs in a private temporary folder, because it deletes old folders
// of others. The names of addresses are kept in Ranges: ipranger loses a name
// that is part of another.
//
// What ipranger.New makes in that folder is a database for names of hosts, with
// room in memory for 4 MiB of them. There are none here: an empty map takes its
// place at once, and the folder goes. A process that is killed in these
// milliseconds leaves it behind; a later run removes it.
package scanner
