package scanner_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/fakenet"
)

// TestLossIsEstimated holds what a run says of the loss against the loss that
// there was, and what it says it missed against what it missed.
func TestLossIsEstimated(t *testing.T) {
	for _, tt := range []struct {
		loss    float64
		retries int
	}{{0, 2}, {0.02, 2}, {0.1, 1}, {0.1, 2}, {0.3, 2}, {0.3, 6}} {
		t.Run(fmt.Sprint(tt.loss, " and ", tt.retries, " retries"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := everybody(5 * time.Millisecond)
				n.Loss, n.Forget = tt.loss, true
				_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 50000, HostRate: rate.Inf, Retries: tt.retries, Subnets: true}, plan(t, tcpOnly(), "10.0.0.0/20"))
				if err != nil || s.Loss == nil || s.Loss.Answers != s.Closed {
					t.Fatalf("Run = %+v, %v; want a loss of %d answers", s, err, s.Closed)
				}
				both, all := 1-(1-tt.loss)*(1-tt.loss), float64(s.Targets)
				if d := math.Abs(s.Loss.Rate - both); d > 5*math.Sqrt(both/all)+1e-9 {
					t.Errorf("loss %.4f, want about %.4f", s.Loss.Rate, both)
				}
				missed := float64(s.Filtered)
				if d := math.Abs(s.Loss.Missed - missed); d > 5*math.Sqrt(missed)+0.1*missed+4 {
					t.Errorf("%.1f missed as estimated, %d in truth", s.Loss.Missed, s.Filtered)
				}
				if d := math.Abs(s.Loss.Recall - float64(s.Closed)/all); d > 0.01 {
					t.Errorf("recall %.4f as estimated, %.4f in truth", s.Loss.Recall, float64(s.Closed)/all)
				}
				for _, sub := range s.Subnets {
					if sub.EstLoss == nil || math.Abs(*sub.EstLoss-both) > 6*math.Sqrt(both/float64(sub.Targets))+1e-9 {
						t.Errorf("%v: loss %v, want about %.4f", sub.Prefix, sub.EstLoss, both)
					}
				}
			})
		})
	}
}

// TestLossOfFirstProbes: a far router drops the first packet to each host while
// it looks for it, or the path is down for a second. The retries are not lost
// then, and nothing is missed.
func TestLossOfFirstProbes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ports   []registry.Port
		retries int
		down    bool
		rate    float64 // of the probes to those who answered
	}{
		{"the first packet to a host, one port", tcpOnly()[:1], 2, false, 0.5},
		{"one port and one retry", tcpOnly()[:1], 1, false, 0.5},
		{"the first packet to a host, six ports", tcpOnly(), 2, false, 1.0 / 7},
		{"a second without a path", tcpOnly(), 2, true, 0.15},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, begun, met := fakenet.New(nil, 5*time.Millisecond), time.Now(), map[netip.Addr]bool{}
				n.Truth = func(x scanner.Target) scanner.State {
					known := met[x.Addr] || tt.down
					met[x.Addr] = true
					if x.Addr.As4()[3]%12 != 1 || !known || tt.down && time.Since(begun).Truncate(time.Second) == time.Second {
						return 0
					}
					return scanner.Closed
				}
				_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 1000, Retries: tt.retries}, plan(t, tt.ports, "10.0.0.0/22"))
				if err != nil || s.Closed != uint64(88*len(tt.ports)) || s.Loss == nil || s.Loss.Missed > 0.1 || math.Abs(s.Loss.Rate-tt.rate) > 0.05 {
					t.Errorf("Run = %+v, %+v, %v; want a loss of %.2f and nothing missed", s, s.Loss, err, tt.rate)
				}
			})
		})
	}
}

// TestLossOfWhatIsSilent: silence alone is no loss, and without a retry, or
// without an answer, nothing is said.
func TestLossOfWhatIsSilent(t *testing.T) {
	one := states{target("10.0.0.1", "1947/tcp"): scanner.Open, target("10.0.0.1", "475/udp"): scanner.Closed}
	for _, tt := range []struct {
		name    string
		truth   states
		retries int
		want    *scanner.Loss
	}{
		{"one answers, the rest never does", one, 2, &scanner.Loss{Answers: 1, Recall: 1}},
		{"no retry", one, 0, nil},
		{"nobody", states{}, 2, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, s, err := run(t, t.Context(), fakenet.New(tt.truth, time.Millisecond), scanner.Config{Rate: 1000, Retries: tt.retries}, plan(t, dozen(), "10.0.0.0/29"))
				if err != nil || (s.Loss == nil) != (tt.want == nil) || s.Loss != nil && *s.Loss != *tt.want {
					t.Errorf("loss %+v, %v; want %+v", s.Loss, err, tt.want)
				}
			})
		})
	}
}

// TestMostBytesToHost holds the most bytes to a host against every probe that
// was sent, over networks of all kinds: exact, or not below it.
func TestMostBytesToHost(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	for i := range 40 {
		synctest.Test(t, func(t *testing.T) {
			prefix := []string{"10.0.0.0/28", "fd00::/124"}[i%2]
			p := plan(t, dozen(), prefix)
			truth := states{}
			for j := range p.Len() {
				if i%3 > 0 {
					truth[p.At(j)] = scanner.State(rnd.IntN(7))
				}
			}
			n := fakenet.New(truth, time.Millisecond)
			n.Loss = []float64{0, 0.2}[i/4%2]
			cfg := scanner.Config{Rate: 5000, HostRate: 5000, Retries: i % 3, Shard: uint64(i % 2), Shards: 2,
				Payload: func(p registry.Port) []byte { return make([]byte, p.Number%97) }}
			_, s, err := run(t, t.Context(), n, cfg, p)
			if err != nil {
				t.Fatal(err)
			}
			sent, probes := map[netip.Addr]uint64{}, map[netip.Addr]uint64{}
			header := map[bool]uint64{true: 20, false: 40}
			for j := range p.Len() {
				at := p.At(j)
				size := header[at.Addr.Is4()] + 40
				if at.Port.Proto == registry.UDP {
					size = header[at.Addr.Is4()] + 8 + uint64(at.Port.Number%97)
				}
				times := uint64(len(n.Sent(at)))
				sent[at.Addr] += times * size
				probes[at.Addr] += times
			}
			most, count := uint64(0), uint64(0)
			for addr := range sent {
				most, count = max(most, sent[addr]), max(count, probes[addr])
			}
			if s.MostToHost != count || s.MostBytesToHost < most || n.Loss == 0 && s.MostBytesToHost != most || s.MostBytesToHost > most+3*120 {
				t.Errorf("%d probes and %d bytes to one host, want %d and %d", s.MostToHost, s.MostBytesToHost, count, most)
			}
		})
	}
}

// TestShardOfAnotherOrder: shards that are cut from one plan are the same
// targets in whatever order they are asked.
func TestShardOfAnotherOrder(t *testing.T) {
	const shards = 3
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/26"), netip.MustParsePrefix("fd00::/125")}
	cut, err := scanner.NewPlan(prefixes, dozen(), 1)
	if err != nil {
		t.Fatal(err)
	}
	other, err := scanner.NewPlan(prefixes, dozen(), 2)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[scanner.Target]int{}
	for shard := range uint64(shards) {
		synctest.Test(t, func(t *testing.T) {
			addrs := []netip.Addr{}
			for a := range other.Addresses() {
				if a.AsSlice()[len(a.AsSlice())-1]%2 == 0 {
					addrs = append(addrs, a)
				}
			}
			n := fakenet.New(states{target("10.0.0.4", "1947/tcp"): scanner.Open}, time.Millisecond)
			cfg := scanner.Config{Rate: 1000, Retries: 1, Silent: true, Shard: shard, Shards: shards, Cut: cut, Subnets: true}
			got, s, err := run(t, t.Context(), fakenet.NewLink(n, addrs...), cfg, other)
			if err != nil || !s.Complete || uint64(len(got)) != s.Targets {
				t.Fatalf("shard %d: %d emitted, %+v, %v", shard, len(got), s, err)
			}
			sums(t, s)
			skipped := uint64(0)
			for _, o := range got {
				seen[o.Target]++
				if place, ok := cut.Place(o.Target); !ok || place%shards != shard {
					t.Errorf("shard %d asked %v, which is of another one", shard, o.Target)
				}
				if o.Reason == scanner.ARPNoReply {
					skipped++
				} else if sent := len(n.Sent(o.Target)); sent == 0 {
					t.Errorf("shard %d did not ask %v", shard, o.Target)
				}
			}
			if s.Skipped != skipped || s.Probes-s.Retries+s.Skipped != s.Targets {
				t.Errorf("shard %d: %+v; want %d skipped, and all others asked", shard, s, skipped)
			}
		})
	}
	for at, n := range seen {
		if n != 1 {
			t.Errorf("%v came %d times", at, n)
		}
	}
	if uint64(len(seen)) != cut.Len() {
		t.Errorf("%d targets, want %d", len(seen), cut.Len())
	}
	small := plan(t, dozen(), "10.0.0.0/28")
	if _, _, err := run(t, t.Context(), fakenet.New(nil, 0), scanner.Config{Rate: 1, Cut: small}, cut); err == nil {
		t.Error("a shard of another plan is run")
	}
}

// TestRecallOfALargeNetwork loses 2 % each way of a /16 in which every fourth
// address lives, at the default number of retries: of 65,536 open ports all but
// a few are found, and the run says how many it can have missed.
func TestRecallOfALargeNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	synctest.Test(t, func(t *testing.T) {
		n := fakenet.New(nil, 20*time.Millisecond)
		n.Forget, n.Loss, n.Duplicate = true, 0.02, 0.01
		n.RTTOf = func(a netip.Addr) time.Duration { return time.Duration(1+a.As4()[3]%50) * time.Millisecond }
		n.Truth = func(x scanner.Target) scanner.State {
			switch a := x.Addr.As4(); {
			case a[3]%4 != 1:
				return 0
			case x.Port.Number == 1947 || x.Port.Number == 3588:
				return scanner.Open
			default:
				return scanner.Closed
			}
		}
		open := 0
		p := plan(t, dozen(), "10.0.0.0/16")
		for j := range p.Len() {
			if n.Truth(p.At(j)) == scanner.Open {
				open++
			}
		}
		_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 100_000, Retries: 2}, p)
		if err != nil || !s.Complete {
			t.Fatalf("Run = %+v, %v; want complete", s, err)
		}
		recall := float64(s.Open) / float64(open)
		t.Logf("%d of %d open ports: recall %.5f; as estimated %.5f, loss %.4f; retries cost %.1f %% more probes", s.Open, open, recall,
			s.Loss.Recall, s.Loss.Rate, 100*float64(s.Retries)/float64(s.Probes-s.Retries))
		if open < 50_000 || recall < 0.9995 || math.Abs(recall-s.Loss.Recall) > 0.0002 {
			t.Errorf("%d of %d open ports found, recall %.5f, as estimated %.5f", s.Open, open, recall, s.Loss.Recall)
		}
		// Of the living 4 % are asked again, and then 0.16 %; of the dark all, twice.
		living, dark := float64(p.Len()/4), float64(p.Len()*3/4)
		if want := 0.0396*living*1.0396 + 2*dark; math.Abs(float64(s.Retries)-want) > 0.01*want {
			t.Errorf("%d retries, want about %.0f", s.Retries, want)
		}
	})
}
