package scanner

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"dormant/registry"
)

func TestBatchAndBurst(t *testing.T) {
	for _, tt := range []struct {
		limit        rate.Limit
		most         int
		batch, burst int
	}{
		{0.5, 64, 1, 2},
		{32, 64, 1, 2},
		{1000, 64, 10, 20},
		{1e5, 64, 64, 2000},
		{1e6, 64, 64, 20000},
		{1e6, 4096, 4096, 20000},
		{rate.Inf, 64, 64, 128},
	} {
		batch := batchSize(tt.limit, tt.most)
		if l := newLimiter(tt.limit, batch); batch != tt.batch || l.Burst() != tt.burst {
			t.Errorf("%v with at most %d: batch %d, burst %d; want %d, %d", tt.limit, tt.most, batch, l.Burst(), tt.batch, tt.burst)
		}
	}
}

// TestMakesUp: a sender that wakes up late makes up for what it missed, within
// bounds, and one that begins does not begin with that much.
func TestMakesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, batch = 100_000, 256
		l := newLimiter(limit, batch)
		took := func(n int) time.Duration {
			start := time.Now()
			if err := waitFor(t.Context(), l, n); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		for _, tt := range []struct {
			name string
			late time.Duration
			n    int
			want time.Duration
		}{
			{"two batches to begin with", 0, 2 * batch, 0},
			{"then as asked", 0, 1000, 10 * time.Millisecond},
			{"15 ms late", 15 * time.Millisecond, 1500, 0},
			{"and no more than that", 0, 100, time.Millisecond},
			{"a second late: 20 ms are made up for", time.Second, 2100, time.Millisecond},
		} {
			time.Sleep(tt.late)
			if got := took(tt.n); got != tt.want {
				t.Errorf("%s: %d tokens took %v, want %v", tt.name, tt.n, got, tt.want)
			}
		}
	})
}

func TestWaitForMoreThanTheBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := waitFor(t.Context(), newLimiter(100, 1), 102); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("102 tokens at 100 a second with a burst of 2 took %v, want 1s", d)
		}
	})
}

func TestHostPacer(t *testing.T) {
	const ms = int64(time.Millisecond)
	h := newHostPacer(2, 20, 1000)
	var got []int64
	for range 8 {
		got = append(got, h.reserve(0, 0)/ms)
	}
	if want := []int64{0, 0, 0, 0, 0, 50, 100, 150}; !slices.Equal(got, want) {
		t.Errorf("host 0: due at %v ms, want %v", got, want)
	}
	if due := h.reserve(1, 7*ms); due != 7*ms {
		t.Errorf("host 1: due at %d, want now", due)
	}
	if due := h.reserve(0, 10000*ms); due != 10000*ms {
		t.Errorf("host 0 after a pause: due at %d, want now", due)
	}
	var none hostPacer
	if due := none.reserve(99, 5); due != 5 {
		t.Errorf("no limit: due at %d, want now", due)
	}
}

// TestHostPacerIsBounded checks that millions of hosts share a table that is
// large enough for the total rate, and that sharing only makes it stricter.
func TestHostPacerIsBounded(t *testing.T) {
	for _, tt := range []struct {
		hosts          uint64
		perHost, total rate.Limit
		slots          int
	}{
		{1, 20, 1000, 1},
		{20, 20, 1000, 32},
		{1 << 24, 20, 1000, 1 << 16},
		{1 << 24, 20, 1e6, 1 << 19},
		{1 << 24, 1, rate.Inf, 1 << 20},
		{1 << 24, rate.Inf, 1000, 0},
	} {
		h := newHostPacer(tt.hosts, tt.perHost, tt.total)
		if len(h.slots) != tt.slots {
			t.Errorf("%d hosts, %v of %v a second: %d slots, want %d", tt.hosts, tt.perHost, tt.total, len(h.slots), tt.slots)
		}
	}
	h := newHostPacer(1<<24, 20, 1000)
	for range 5 {
		h.reserve(3, 0)
	}
	if due := h.reserve(3+1<<16, 0); due == 0 {
		t.Error("a host in a used-up slot is due at once, want it to wait with the other")
	}
}

func TestQueueIsSorted(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	q := newQueue(1)
	var want, got []int64
	for !q.full() {
		due := rnd.Int64N(1000)
		want = append(want, due)
		q.push(deferred{due: due, target: uint64(due)})
		if rnd.IntN(3) == 0 {
			d := q.pop()
			if d.due != slices.Min(want) || d.target != uint64(d.due) {
				t.Fatalf("pop = %+v, want due %d", d, slices.Min(want))
			}
			i := slices.Index(want, d.due)
			want = slices.Delete(want, i, i+1)
		}
	}
	for range len(want) {
		got = append(got, q.pop().due)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) || len(want) != minQueue {
		t.Errorf("%d popped out of order or lost, want %d", len(got), minQueue)
	}
	if _, ok := q.next(); ok {
		t.Error("an empty queue has a next")
	}
}

func TestCellsAndBitset(t *testing.T) {
	const n = 1003
	rnd := rand.New(rand.NewPCG(1, 2))
	c, b := newCells(n), newBitset(n)
	want := map[uint64]uint8{}
	for range 5000 {
		i, v := rnd.Uint64N(n), uint8(rnd.UintN(cellMax+1))
		c.set(i, v)
		b.set(i)
		want[i] = v
	}
	for i := range uint64(n) {
		v, set := want[i]
		if c.get(i) != v || b.get(i) != set {
			t.Fatalf("cell %d = %d, bit %v; want %d, %v", i, c.get(i), b.get(i), v, set)
		}
	}
	c.set(7, cellMax-1)
	c.increment(7)
	c.increment(7)
	if c.get(7) != cellMax || c.get(6) != want[6] || c.get(8) != want[8] {
		t.Errorf("cells 6 to 8 = %d %d %d, want %d 7 %d", c.get(6), c.get(7), c.get(8), want[6], want[8])
	}
}

func TestRoundTrips(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name    string
		samples []time.Duration
		want    time.Duration
	}{
		{"nothing answered", nil, time.Second},
		{"not measured", []time.Duration{0, -1}, time.Second},
		{"a near network is given the floor", []time.Duration{ms, ms, ms}, 200 * ms},
		{"one sample: SRTT + 4 × SRTT/2", []time.Duration{200 * ms}, 600 * ms},
		{"steady: twice the longest", slices.Repeat([]time.Duration{300 * ms}, 100), 600 * ms},
		{"one far host among near ones", append(slices.Repeat([]time.Duration{ms}, 100), 900*ms, ms, ms, ms), 1800 * ms},
		{"bounded", []time.Duration{time.Minute}, 8 * time.Second},
	} {
		var r roundTrips
		for _, d := range tt.samples {
			r.observe(d)
		}
		if got := r.timeout(finalFloor, finalBlind, defaultMaxCooldown); got != tt.want {
			t.Errorf("%s: timeout = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestSentTimesAreSampled(t *testing.T) {
	var r roundTrips
	r.record([]uint64{0, 5, 5 + sampleSlots}, 7)
	for _, tt := range []struct {
		target uint64
		want   time.Duration
	}{
		{0, time.Second}, {5 + sampleSlots, time.Second},
		{5, 0}, // overwritten
		{1, 0}, // never sent
	} {
		if got := r.since(tt.target, 7+int64(time.Second)); got != tt.want {
			t.Errorf("since(%d) = %v, want %v", tt.target, got, tt.want)
		}
	}
}

func TestSynWindow(t *testing.T) {
	const s = int64(time.Second)
	type add struct {
		moment int64
		n      uint64
	}
	steady := []add{}
	for i := range int64(1000) {
		steady = append(steady, add{i * s, 10})
	}
	for _, tt := range []struct {
		name string
		adds []add
		want uint64
	}{
		{"none", nil, 0},
		{"one batch", []add{{0, 64}}, 64},
		{"within the timeout", []add{{0, 64}, {119 * s, 10}}, 74},
		{"beyond the timeout", []add{{0, 64}, {121 * s, 10}}, 64},
		{"long after", []add{{0, 64}, {1e6 * s, 70}}, 70},
		{"steady: 121 whole seconds can touch the window", steady, 1210},
	} {
		var w synWindow
		for _, a := range tt.adds {
			w.add(a.moment, a.n)
		}
		if w.largest != tt.want {
			t.Errorf("%s: largest = %d, want %d", tt.name, w.largest, tt.want)
		}
	}
	var w synWindow // a slot that comes round again has no answers yet
	for round := range int64(3) {
		at := round * windowSlots * s
		if held := w.add(at, 10); held != 10 {
			t.Errorf("round %d: %d held, want 10", round, held)
		}
		for range 10 {
			w.answered(at)
		}
		if held := w.held(at); held != 0 {
			t.Errorf("round %d: %d held after as many answers, want none", round, held)
		}
	}
}

// sink is a backend that takes everything and hears nothing.
type sink struct{ sent uint64 }

func (s *sink) Send(_ context.Context, batch []Probe) (int, error) {
	s.sent += uint64(len(batch))
	return len(batch), nil
}

func (s *sink) Receive(ctx context.Context, _ func(Observation)) error {
	<-ctx.Done()
	return nil
}

func (s *sink) Counters() Counters { return Counters{} }

func twelve() []registry.Port {
	var all []registry.Port
	for n := range uint16(6) {
		all = append(all, registry.Port{Number: 4000 + n, Proto: registry.TCP}, registry.Port{Number: 4000 + n, Proto: registry.UDP})
	}
	return all
}

// sweep asks every target of a /20 once, without the waits.
func sweep(tb testing.TB, limit rate.Limit, p *Plan) {
	s := &sink{}
	cfg, err := Config{Rate: limit, HostRate: 1e6}.withDefaults() // paced, but never held back
	if err != nil {
		tb.Fatal(err)
	}
	r := newRun(s, cfg, p, func(Observation) {})
	r.timer = time.NewTimer(0)
	defer r.timer.Stop()
	if err := r.round(tb.Context(), 0); err != nil || s.sent != p.Len() {
		tb.Fatalf("round = %v, sent %d of %d", err, s.sent, p.Len())
	}
}

// TestProbesAllocateNothing compares sweeps of different size: what a run
// allocates must not depend on the number of probes.
func TestProbesAllocateNothing(t *testing.T) {
	allocs := func(bits int) float64 {
		p := mustPlan(t, 1, twelve(), netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), bits).String())
		return testing.AllocsPerRun(3, func() { sweep(t, rate.Inf, p) })
	}
	small, large := allocs(26), allocs(18)
	if perProbe := (large - small) / (1 << 14 * 12); perProbe > 0.001 {
		t.Errorf("%.0f allocations for 768 probes, %.0f for 196608: %.4f per probe, want 0", small, large, perProbe)
	}
}

// An answer counts when its target was asked, in this round or in one before.
func TestAnswersOfTheAsked(t *testing.T) {
	p := mustPlan(t, 1, twelve(), "10.0.0.0/30")
	cfg, err := Config{Rate: rate.Inf}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r := newRun(&sink{}, cfg, p, func(Observation) {})
	r.flags.set(7, true)
	for j := range p.Len() {
		if got := r.asksFor(j); got != (j == 7) {
			t.Errorf("sweep: asksFor(%d) = %v", j, got)
		}
		r.flags.set(j, true)
	}
	r.attempt.Store(1)
	for j := range p.Len() {
		if !r.asksFor(j) {
			t.Errorf("first retry: asksFor(%d) = false, want true as it was asked in the sweep", j)
		}
	}
}

// A deferred probe whose host is not free when its moment comes is not lost.
func TestDeferredAgain(t *testing.T) {
	p := mustPlan(t, 1, twelve(), "10.0.0.0/30")
	cfg, err := Config{Rate: rate.Inf, HostRate: 1}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r := newRun(&sink{}, cfg, p, func(Observation) {})
	r.filled = r.now()
	r.pacer.send(0, r.now())
	r.queue.push(deferred{due: r.now(), target: 0})
	r.fill(t.Context(), &walk{done: true})
	if due, ok := r.queue.next(); len(r.batch) != 0 || !ok || due < int64(time.Second)/2 {
		t.Errorf("batch %v, next at %v, %v; want none, and about a second", r.batch, time.Duration(due), ok)
	}
}

// A place is noted before everything that still waits for its host's token, but for
// the first half of a retry, which is done again from its beginning.
func TestMarkIsBeforeTheDeferred(t *testing.T) {
	p := mustPlan(t, 1, twelve(), "10.0.0.0/28")
	for _, tt := range []struct {
		name string
		walk walk
		live bool // the host that waits
		want uint64
	}{
		{name: "sweep", walk: walk{i: 40}, want: 3},
		{name: "the living", walk: walk{attempt: 1, i: 40}, live: true, want: 0},
		{name: "the dark", walk: walk{attempt: 1, dark: true, i: 40}, want: 3},
		{name: "one of the living is left", walk: walk{attempt: 1, dark: true, i: 40}, live: true, want: 40},
	} {
		r := newRun(&sink{}, Config{Rate: rate.Inf, MaxCooldown: time.Second}, p, func(Observation) {})
		r.live, r.marked = newBitset(p.NumAddrs()), -int64(markEvery)
		if tt.live {
			r.live.set(0)
		}
		r.queue.push(deferred{due: 1, target: 0, place: 3})
		r.mark(&tt.walk)
		if _, newest := r.marks.before(0); newest.Next != tt.want {
			t.Errorf("%s: next = %d, want %d", tt.name, newest.Next, tt.want)
		}
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	p := mustPlan(t, 1, twelve(), "10.0.0.0/18")
	cfg, err := Config{Rate: rate.Inf}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r := newRun(&sink{}, cfg, p, func(Observation) {})
	for j := range p.Len() {
		r.flags.set(j, true)
	}
	j := uint64(0)
	at := time.Now()
	if got := testing.AllocsPerRun(1000, func() {
		target := p.natural(j)
		r.observe(Observation{Target: target, State: Open, Reason: SynAck, From: target.Addr, At: at, RTT: time.Millisecond})
		j++
	}); got != 0 {
		t.Errorf("%v allocations per observation, want 0", got)
	}
}

func BenchmarkProbe(b *testing.B) {
	for name, limit := range map[string]rate.Limit{"max": rate.Inf, "1M": 1e6} {
		b.Run(name, func(b *testing.B) {
			p := mustPlan(b, 1, twelve(), "10.0.0.0/18")
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				sweep(b, limit, p)
				n++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n)/float64(p.Len()), "ns/probe")
			b.ReportMetric(float64(n)*float64(p.Len())/b.Elapsed().Seconds(), "pps")
		})
	}
}
