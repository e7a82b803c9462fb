package agent

import (
	"math/rand/v2"
	"testing"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/pipeline"
	"dormant/fingerprint"
	"dormant/scanner"
)

// said is a result whose dialogue brought n bytes that cannot be packed.
func said(plan *scanner.Plan, i uint64, n int) pipeline.Result {
	r := pipeline.Result{Observation: scanner.Observation{Target: plan.At(i), State: scanner.Open, Reason: scanner.SynAck, At: time.Now()}}
	noise := make([]byte, n)
	for j := range noise {
		noise[j] = byte(rand.Uint32())
	}
	if n > 0 {
		r.Evidence = &fingerprint.Evidence{Target: r.Target, Started: r.At, Exchanges: []fingerprint.Exchange{{Probe: "silence", Received: noise}}}
	}
	return r
}

func targets(t testing.TB, n uint64) *scanner.Plan {
	t.Helper()
	s := shard(1)
	plan, err := scanner.NewPlan(s.Prefixes, s.Ports, 1)
	if err != nil || plan.Len() < n {
		t.Fatal(err)
	}
	return plan
}

func newCollector(s *spool, payload int, ahead time.Duration) *collector {
	one := shard(1)
	return &collector{
		spool: s, shard: &one, attempt: "0123456789abcdef", subject: here.ResultSubject("a1", one.Run),
		payload: payload, ahead: ahead, failed: func(error) {},
	}
}

// TestPartsFitTheConnection: no message is longer than the connection takes;
// what fits into none loses its dialogue, and that is counted.
func TestPartsFitTheConnection(t *testing.T) {
	const payload = 64 << 10
	plan, s := targets(t, 9), open(t, t.TempDir(), 1<<30)
	c := newCollector(s, payload, 0)
	sizes := []int{20 << 10, 0, 30 << 10, 25 << 10, 200 << 10, 100, 40 << 10, 0}
	for i, n := range sizes {
		c.add(t.Context(), said(plan, uint64(i), n))
	}
	parts, lost, err := c.end(t.Context())
	if err != nil || lost != 1 || parts < 3 {
		t.Fatalf("end = %d parts, %d lost, %v; want at least 3, 1, nil", parts, lost, err)
	}
	number, i := 0, 0
	for _, r := range drain(t, s) {
		if len(r.data) > payload {
			t.Errorf("a message of %d bytes, want at most %d", len(r.data), payload)
		}
		m, err := fleet.Decode(r.data)
		if err != nil {
			t.Fatal(err)
		}
		if number++; m.Part.Number != number || m.Part.ID() != r.id {
			t.Errorf("part %d has number %d and id %q", number, m.Part.Number, r.id)
		}
		for _, got := range m.Part.Results {
			n := 0
			if got.Evidence != nil {
				n = len(got.Evidence.Exchanges[0].Received)
			}
			want := sizes[i]
			if want > payload {
				want = 0
			}
			if got.Target != plan.At(uint64(i)) || n != want || got.Cut != (sizes[i] > payload) {
				t.Errorf("result %d: %v with %d bytes, cut %t; want %v with %d", i, got.Target, n, got.Cut, plan.At(uint64(i)), want)
			}
			i++
		}
	}
	if number != parts || i != len(sizes) {
		t.Errorf("%d parts with %d results in the spool, want %d with %d", number, i, parts, len(sizes))
	}
}

// TestPartsAreBounded: a part is made of so many bytes, or of what has waited for
// long enough, and not before.
func TestPartsAreBounded(t *testing.T) {
	plan, s := targets(t, 9), open(t, t.TempDir(), 1<<30)
	c := newCollector(s, 1<<20, 0)
	one := said(plan, 1, 0)
	for range partBytes / weigh(&one) {
		c.add(t.Context(), one)
	}
	c.flushOlder(t.Context(), time.Hour)
	if c.parts != 0 {
		t.Errorf("%d parts of what is new and short", c.parts)
	}
	c.add(t.Context(), one)
	c.add(t.Context(), said(plan, 3, partBytes/2))
	if c.parts != 1 {
		t.Errorf("%d parts; want 1 of %d bytes", c.parts, partBytes)
	}
	c.add(t.Context(), said(plan, 4, partBytes/2))
	if c.parts != 2 {
		t.Errorf("%d parts; want 2, the second of two dialogues", c.parts)
	}
	c.flushOlder(t.Context(), 0)
	c.add(t.Context(), one)
	c.flushOlder(t.Context(), 0)
	if c.parts != 3 {
		t.Errorf("%d parts; want 3, the third of what has waited", c.parts)
	}
}

func TestCollectorDates(t *testing.T) {
	s := open(t, t.TempDir(), 1<<30)
	c := newCollector(s, 1<<20, 5*time.Hour)
	r := said(targets(t, 1), 0, 10)
	original := *r.Evidence
	c.add(t.Context(), r)
	if _, _, err := c.end(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := fleet.Decode(drain(t, s)[0].data)
	if err != nil {
		t.Fatal(err)
	}
	got := m.Part.Results[0]
	if want := r.At.Add(-5 * time.Hour); !got.At.Equal(want) || !got.Evidence.Started.Equal(want) {
		t.Errorf("dated %v and %v, want %v", got.At, got.Evidence.Started, want)
	}
	if !r.Evidence.Started.Equal(original.Started) {
		t.Error("the sweeper's own evidence was changed")
	}
}

// BenchmarkCollect takes answers with short dialogues to the disk.
func BenchmarkCollect(b *testing.B) {
	s := open(b, b.TempDir(), 1<<40)
	c := newCollector(s, 1<<20, time.Hour)
	r := said(targets(b, 1), 0, 200)
	b.ReportAllocs()
	for b.Loop() {
		c.add(b.Context(), r)
		if s.last() > s.settled {
			drain(b, s)
		}
	}
	if _, _, err := c.end(b.Context()); err != nil {
		b.Fatal(err)
	}
}
