package server

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dormant/cmd/internal/fleet"
	"dormant/scanner"
)

const manyRuns = `version: 1
sites:
	hq: {vantages: [lan, dmz]}
	plant: {vantages: [floor]}
jobs:
	- {name: a, targets: {hq/lan: 10.0.0.0/24, hq/dmz: 10.0.0.0/25, plant: 10.0.0.0/24}, ports: "1947/tcp, 3588/tcp", shard_size: 32, deadline: 1h}
	- {name: b, targets: {hq/lan: 10.0.0.128/25, plant: 10.0.0.64/26}, ports: 1947/tcp, shard_size: 16, deadline: 1h}
`

// trouble is what happens to the shards of a model, by chance.
type trouble struct {
	mu   sync.Mutex
	rng  *rand.Rand
	open map[fleet.Place][]scanner.Target   // what is true
	said map[string]map[scanner.Target]bool // open ports that the broker has, by run
}

func (m *trouble) n(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rng.IntN(n)
}

// do carries a shard out, in one of the ways in which that can go.
func (m *trouble) do(a *fakeAgent, s fleet.Shard) (acknowledged bool) {
	part, done := outcomeOf(s, a.id, m.open[a.place])
	tell := func(i int) {
		if len(part.Results) > 0 {
			a.send(fleet.Message{Part: &part}, s.Run, fmt.Sprint(part.ID(), i))
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.said[s.Run] == nil {
				m.said[s.Run] = map[scanner.Target]bool{}
			}
			for _, r := range part.Results {
				m.said[s.Run][r.Target] = true
			}
		}
	}
	end := func(i int) {
		a.send(fleet.Message{Done: &done}, s.Run, fmt.Sprint(done.ID(), i))
	}
	switch m.n(10) {
	case 0: // killed in the middle
		tell(0)
		return false
	case 1: // killed before the acknowledgement
		tell(0)
		end(0)
		return false
	case 2: // the end comes before what it ends
		end(0)
		tell(0)
	case 3: // everything twice
		tell(0)
		end(0)
		tell(1)
		end(1)
	case 4: // a fault
		done.Fault = "no route"
		tell(0)
		end(0)
		return false
	case 5: // a part is lost: the shard is done again
		done.Parts++
		tell(0)
		a.send(fleet.Message{Done: &done}, s.Run, done.ID())
	case 6: // nothing
		return false
	default:
		tell(0)
		end(0)
	}
	return true
}

// TestModel: whatever happens to agents, messages, servers and the clock, every
// run ends, and what it says of itself is true.
func TestModel(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			modelled(t, seed)
		})
	}
}

func modelled(t *testing.T, seed uint64) {
	jobs := jobsOf(t, manyRuns)
	conn := startBroker(t, jobs.Places()...)
	desk := newShelf(t)
	m := &trouble{rng: rand.New(rand.NewPCG(seed, 8)), open: map[fleet.Place][]scanner.Target{}, said: map[string]map[scanner.Target]bool{}}
	for i, place := range jobs.Places() {
		for range 40 {
			at := scanner.Target{Addr: v4(10<<24 | uint32(m.n(256))), Port: target("10.0.0.1", []uint16{1947, 3588}[m.n(2)]).Port}
			if !slices.Contains(m.open[place], at) {
				m.open[place] = append(m.open[place], at)
			}
		}
		for k := range 2 {
			(&fakeAgent{t: t, conn: conn, place: place, id: fmt.Sprintf("a%d-%d", i, k), do: m.do}).start()
		}
	}
	var ahead atomic.Int64
	cfg := Config{Jobs: jobs, Conn: conn, Desk: desk, Log: slog.New(slog.DiscardHandler)}
	cfg.pace.ahead = func() time.Duration { return time.Duration(ahead.Load()) }
	s, stop := startServer(t, cfg)
	begun := 0
	for begun < 4 || s.running() > 0 {
		switch m.n(8) {
		case 0:
			stop()
			s, stop = startServer(t, cfg)
			until(t, "the server is there", func() bool { return operable(t, conn) })
		case 1: // 3 hours: over every deadline
			ahead.Store(int64([]time.Duration{0, 20 * time.Minute, -20 * time.Minute, 3 * time.Hour}[m.n(4)]))
		case 2, 3:
			if begun < 4 {
				begun++
				_ = s.Start(t.Context(), []string{"a", "b"}[m.n(2)]) // one that runs is not started again
			}
		case 4:
			_, _ = s.Requeue(t.Context(), "")
		}
		time.Sleep(time.Duration(m.n(60)) * time.Millisecond)
	}
	m.judge(t, s, desk)
}

// operable reports whether a server answers.
func operable(t *testing.T, conn *nats.Conn) bool {
	_, err := (Operator{conn}).Status(t.Context())
	return err == nil
}

// judge holds what the runs say against what happened.
func (m *trouble) judge(t *testing.T, s *Server, desk *shelf) {
	for _, id := range desk.runs() {
		found, facts := desk.open(id)
		place := fleet.Place{Site: facts.Site, Vantage: facts.Vantage}
		var asked []netip.Prefix
		for _, text := range facts.Targets {
			asked = append(asked, netip.MustParsePrefix(text))
		}
		ports := uint64(len(facts.Ports))
		if want := addresses(asked) * ports; facts.Scan.Targets != want || facts.Scan.Open != uint64(len(found)) {
			t.Errorf("run %s at %s: %d targets, %d open; want %d, and %d are stored: %v", id, place, facts.Scan.Targets, facts.Scan.Open, want, len(found), facts.Reasons())
		}
		var truth []string
		for _, at := range slices.SortedFunc(slices.Values(m.open[place]), scanner.Target.Compare) {
			if overlaps(asked, netip.PrefixFrom(at.Addr, 32)) && slices.Contains(facts.Ports, at.Port.String()) {
				truth = append(truth, at.String())
			}
		}
		for _, one := range found {
			if !slices.Contains(truth, one) {
				t.Errorf("run %s at %s: %s was never open", id, place, one)
			}
		}
		if facts.Complete() && !slices.Equal(found, truth) {
			t.Errorf("run %s at %s is complete with %d of %d open ports", id, place, len(found), len(truth))
		}
		if !facts.Complete() && len(facts.Reasons()) == 0 {
			t.Errorf("run %s at %s is incomplete and does not say why", id, place)
		}
		late := strings.Contains(strings.Join(facts.Reasons(), ";"), "deadline") // then some came after its end
		for at := range m.said[id] {
			if !late && !slices.Contains(found, at.String()) {
				t.Errorf("run %s at %s: %s was told and is lost: %v", id, place, at, facts.Reasons())
			}
		}
	}
	if told := slices.Compact(slices.Sorted(slices.Values(desk.told))); !slices.Equal(told, desk.runs()) {
		t.Errorf("runs that were reported %v; want each: %v", told, desk.runs())
	}
	if keys, err := s.keys(t.Context(), "run."); err != nil || len(keys) > 0 {
		t.Errorf("runs that are kept: %v, %v", keys, err)
	}
}
