package server

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/pipeline"
	"dormant/registry"
	"dormant/scanner"
)

// aRun asks two /24 with two ports, in shards of 128 addresses.
func aRun() *Run {
	return &Run{
		ID: "s_1", Job: "j", Place: fleet.Place{Site: "hq", Vantage: "lan"}, Started: time.Now().Add(-time.Minute), Deadline: time.Now().Add(time.Hour),
		Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/23")},
		Sweep:    Sweep{Ports: []registry.Port{{Number: 1947, Proto: registry.TCP}, {Number: 3588, Proto: registry.TCP}}, ShardSize: 128, Retries: 2},
	}
}

// TestFoldDoesNotDependOnOrder: any order and any repetition of the parts and
// ends of several attempts, some of them cut short, gives the same findings and
// the same truth about coverage.
func TestFoldDoesNotDependOnOrder(t *testing.T) {
	const seeds = 40
	for seed := range uint64(seeds) {
		rng := rand.New(rand.NewPCG(seed, 1))
		run := aRun()
		messages := randomAttempts(rng, run)
		want, wantOut := foldAll(t, run, messages)
		for range 4 {
			mixed := slices.Clone(messages)
			for range len(messages) / 2 { // repetitions
				mixed = append(mixed, messages[rng.IntN(len(messages))])
			}
			rng.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
			got, gotOut := foldAll(t, run, mixed)
			if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
				t.Fatalf("seed %d: findings (-first order +other order):\n%s", seed, d)
			}
			if d := cmp.Diff(wantOut, gotOut, cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("seed %d: outcome (-first order +other order):\n%s", seed, d)
			}
		}
	}
}

// sent is a message with the agent that it came from.
type sent struct {
	agent string
	fleet.Message
}

// randomAttempts carries each shard out up to three times: with other answers,
// sometimes without an end, sometimes with a fault.
func randomAttempts(rng *rand.Rand, run *Run) []sent {
	var all []sent
	f := newFold(run)
	for _, s := range f.shards {
		for n := range rng.IntN(4) {
			item := run.shard(s.number, len(f.shards), s.prefixes, time.Time{})
			var open []scanner.Target
			for range rng.IntN(6) {
				addr := s.prefixes[0].Addr()
				for range rng.IntN(100) {
					addr = addr.Next()
				}
				if target := (scanner.Target{Addr: addr, Port: run.Ports[rng.IntN(2)]}); !slices.Contains(open, target) {
					open = append(open, target)
				}
			}
			agent := "a" + string(rune('0'+n))
			part, done := outcomeOf(*item, agent, open)
			for i := range part.Results {
				part.Results[i].At = run.Started.Add(time.Duration(rng.IntN(5)) * time.Millisecond).UTC().Round(0)
				if rng.IntN(3) == 0 {
					part.Results[i] = answer1(part.Results[i].Target, scanner.Closed, part.Results[i].At)
					done.Outcome.Scan.Open--
					done.Outcome.Scan.Closed++
				}
			}
			done.Finished = done.Started.Add(time.Duration(rng.IntN(3)))
			if len(part.Results) > 0 {
				all = append(all, sent{agent, fleet.Message{Part: &part}})
			}
			switch rng.IntN(4) {
			case 0: // killed
			case 1:
				done.Fault = "no route"
				fallthrough
			default:
				all = append(all, sent{agent, fleet.Message{Done: &done}})
			}
		}
	}
	return all
}

// foldAll returns the last answer of each target, as JSON, and the outcome.
func foldAll(t *testing.T, run *Run, messages []sent) (map[string]string, pipeline.Outcome) {
	t.Helper()
	f := newFold(run)
	got := map[string]string{}
	for _, m := range messages {
		better, err := f.take(m.agent, m.Message, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range better {
			b, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			got[r.Target.String()] = string(b)
		}
	}
	open := uint64(0)
	for _, s := range f.shards {
		open += s.answered()[scanner.Open]
	}
	if open != f.open {
		t.Errorf("%d open counted on the way, %d at the end", f.open, open)
	}
	left := 0
	for _, s := range f.shards {
		if s.done() == nil {
			left++
		}
	}
	if left != f.left {
		t.Errorf("%d shards left counted on the way, %d at the end", f.left, left)
	}
	return got, f.outcome("why")
}

// TestOutcomeSaysWhatIsMissing and what the site spared.
func TestOutcomeSaysWhatIsMissing(t *testing.T) {
	run := aRun()
	f := newFold(run)
	spared := netip.MustParsePrefix("10.0.0.8/30")
	for _, s := range f.shards[:3] {
		part, done := outcomeOf(*run.shard(s.number, 4, s.prefixes, time.Time{}), "a", []scanner.Target{target("10.0.0.1", 1947)})
		if s.number == 1 {
			done.Spared = []netip.Prefix{spared}
			done.Outcome.Scan.Targets -= 8
			done.Outcome.Scan.Filtered -= 8
			done.Outcome.Scan.Addresses -= 4
			done.Outcome.Scan.Subnets = []scanner.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Targets: 248, Probed: 248, Answered: 1, Open: 1}}
		}
		if len(part.Results) > 0 {
			take(t, f, "a", fleet.Message{Part: &part})
		}
		take(t, f, "a", fleet.Message{Done: &done})
	}
	// The fourth was begun, found something, and was given up.
	part, _ := outcomeOf(*run.shard(4, 4, f.shards[3].prefixes, time.Time{}), "a", []scanner.Target{target("10.0.1.200", 3588)})
	if better := take(t, f, "a", fleet.Message{Part: &part}); len(better) != 1 {
		t.Errorf("what an unfinished attempt found gave %d results", len(better))
	}
	part.Number, part.Results = 2, nil
	for i, state := range []scanner.State{scanner.Closed, scanner.Filtered, scanner.OpenFiltered, scanner.Unreachable, scanner.Unknown} {
		for n := range i + 1 {
			part.Results = append(part.Results, answer1(target(fmt.Sprintf("10.0.1.%d", 210+10*i+n), 1947), state, time.Now()))
		}
	}
	take(t, f, "a", fleet.Message{Part: &part})
	out := f.outcome("nobody was there")
	got := []uint64{out.Scan.Closed, out.Scan.Filtered, out.Scan.OpenFiltered, out.Scan.Unreachable, out.Scan.Unknown}
	if d := cmp.Diff([]uint64{1, 2 + 3*256 - 8 - 1, 3, 4, 5}, got); d != "" {
		t.Errorf("closed, filtered, open or filtered, unreachable, unknown (-want +got):\n%s", d)
	}
	if out.Scan.Complete || out.Scan.Open != 2 || out.Scan.Targets != 1024-8 || out.Scan.HostsAlive != 1+16 {
		t.Errorf("summary %+v", out.Scan)
	}
	if got := strings.Join(out.Scan.Why, "; "); got != "1 shard was not done: 10.0.1.128/25; nobody was there" {
		t.Errorf("why = %q", got)
	}
	want := []scanner.Subnet{
		{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Targets: 248, Probed: 248, Answered: 1, Open: 1, Excluded: 8, ExcludedAddresses: 4},
		{Prefix: netip.MustParsePrefix("10.0.1.0/24"), Targets: 256},
	}
	if d := cmp.Diff(want, out.Scan.Subnets, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
		t.Errorf("coverage (-want +got):\n%s", d)
	}
	if got := f.spared(); len(got) != 1 || got[0] != spared {
		t.Errorf("spared = %v", got)
	}
}

// TestLostAndDead: which shards the broker will not give out again by itself, and
// what giving up and trying again makes of them.
func TestLostAndDead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*fleet.Part, *fleet.Done)
		lost   int
		done   bool
	}{
		{"carried out", func(*fleet.Part, *fleet.Done) {}, 0, true},
		{"given back", func(_ *fleet.Part, d *fleet.Done) { d.Fault = "no route" }, 0, false},
		{"a part is missing", func(_ *fleet.Part, d *fleet.Done) { d.Parts = 2 }, 1, false},
		{"not believed", func(p *fleet.Part, _ *fleet.Done) { p.Results[0].At = time.Now().AddDate(1, 0, 0) }, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := aRun()
			f := newFold(run)
			s := f.shards[0]
			part, done := outcomeOf(*run.shard(1, 4, s.prefixes, time.Time{}), "a", []scanner.Target{target("10.0.0.9", 1947)})
			tt.change(&part, &done)
			_, _ = f.take("a", fleet.Message{Part: &part}, time.Now())
			_, _ = f.take("a", fleet.Message{Done: &done}, time.Now())
			is := func(when string, lost, left int, dead string, renew bool) {
				t.Helper()
				if s.lost() != lost || f.left != left || s.dead != dead || s.renew != renew || (s.done() != nil) != tt.done {
					t.Errorf("%s: %d lost, %d left, dead %q, renew %t, done %t; want %d, %d, %q, %t, %t",
						when, s.lost(), f.left, s.dead, s.renew, s.done() != nil, lost, left, dead, renew, tt.done)
				}
			}
			if tt.done {
				is("at first", 0, 3, "", false)
				f.bury(s, "too often", time.Now())
				is("buried", 0, 3, "", false)
				f.revive(s)
				is("revived", 0, 3, "", false)
				return
			}
			is("at first", tt.lost, 4, "", false)
			f.bury(s, "too often", time.Now())
			f.bury(s, "again", time.Now())
			is("buried", tt.lost, 3, "too often", false)
			f.revive(s)
			is("revived", 0, 4, "", true)
		})
	}
}

// TestEveryNumberIsMerged: a field that is new in the summaries must not be lost
// on the way through a server.
func TestEveryNumberIsMerged(t *testing.T) {
	run := aRun()
	run.Prefixes = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/25")} // one shard: nothing is missing, which adds numbers of its own
	f := newFold(run)
	_, done := outcomeOf(*run.shard(1, 1, f.shards[0].prefixes, time.Time{}), "a", nil)
	fill(reflect.ValueOf(&done.Outcome).Elem())
	done.Finished = done.Started.Add(time.Second)
	done.Outcome.Scan.Subnets[0].Prefix = netip.MustParsePrefix("10.0.0.0/24")
	f.shards[0].attempts["a/x"] = &attempt{agent: "a", done: &done}
	out := f.outcome("")
	for _, empty := range zeros("", reflect.ValueOf(out)) {
		if !slices.Contains([]string{
			".Scan.Estimate",                                            // agents sweep once
			".Scan.Why",                                                 // it is complete
			".Scan.Subnets.Excluded", ".Scan.Subnets.ExcludedAddresses", // agents do not know them
		}, empty) {
			t.Errorf("%s is not merged", empty)
		}
	}
}

// fill sets everything that has a value, also behind pointers and in slices.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Uint64:
		v.SetUint(3)
	case reflect.Int64, reflect.Int:
		v.SetInt(3)
	case reflect.Float64:
		v.SetFloat(0.5)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	default:
	}
}

// zeros names what is not set in v.
func zeros(name string, v reflect.Value) (all []string) {
	switch {
	case v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0:
		return []string{name}
	case v.Kind() == reflect.Pointer:
		return zeros(name, v.Elem())
	case v.Kind() == reflect.Slice:
		return zeros(name, v.Index(0))
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]() && v.Type() != reflect.TypeFor[netip.Prefix]():
		for i := range v.NumField() {
			all = append(all, zeros(name+"."+v.Type().Field(i).Name, v.Field(i))...)
		}
	}
	return all
}

func take(t *testing.T, f *fold, agent string, m fleet.Message) []pipeline.Result {
	t.Helper()
	better, err := f.take(agent, m, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return better
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		name     string
		prefixes string
		size     uint64
		want     string
	}{
		{"small ones together", "10.0.0.0/30 10.0.1.0/30 10.0.2.0/30", 8, "10.0.0.0/30 10.0.1.0/30 | 10.0.2.0/30"},
		{"a big one in pieces", "10.0.0.0/22", 512, "10.0.0.0/23 | 10.0.2.0/23"},
		{"no power of two", "10.0.0.0/22", 768, "10.0.0.0/23 10.0.2.0/24 | 10.0.3.0/24"},
		{"less than a subnet", "10.0.0.0/30", 1, "10.0.0.0/32 | 10.0.0.1/32 | 10.0.0.2/32 | 10.0.0.3/32"},
		{"the end of the space", "255.255.255.254/31", 1, "255.255.255.254/32 | 255.255.255.255/32"},
		{"both families", "10.0.0.0/31 fd00::/127", 4, "10.0.0.0/31 fd00::/127"},
	} {
		var prefixes []netip.Prefix
		for word := range strings.FieldsSeq(tt.prefixes) {
			prefixes = append(prefixes, netip.MustParsePrefix(word))
		}
		var parts []string
		for _, part := range cut(prefixes, tt.size) {
			var words []string
			for _, p := range part {
				words = append(words, p.String())
			}
			parts = append(parts, strings.Join(words, " "))
		}
		if got := strings.Join(parts, " | "); got != tt.want {
			t.Errorf("%s: cut(%s, %d) = %s; want %s", tt.name, tt.prefixes, tt.size, got, tt.want)
		}
	}
}

// FuzzCut: the parts are the whole, none is too large, and every target of a
// part has a place of its own in it.
func FuzzCut(f *testing.F) {
	f.Add(uint32(0x0a000000), uint8(20), uint32(0x0a001000), uint8(29), uint64(300))
	f.Fuzz(func(t *testing.T, a uint32, abits uint8, b uint32, bbits uint8, size uint64) {
		size = size%5000 + 1
		p := netip.PrefixFrom(v4(a), int(abits)%17+16).Masked()
		q := netip.PrefixFrom(v4(b), int(bbits)%17+16).Masked()
		all := []netip.Prefix{p, q}
		if p.Overlaps(q) {
			all = all[:1]
		}
		slices.SortFunc(all, netip.Prefix.Compare)
		run := &Run{Prefixes: all, Sweep: Sweep{Ports: []registry.Port{{Number: 1, Proto: registry.TCP}, {Number: 1, Proto: registry.UDP}}, ShardSize: size}}
		sum := uint64(0)
		for _, s := range newFold(run).shards {
			if s.size > size || s.size == 0 {
				t.Fatalf("a part of %d addresses, at most %d", s.size, size)
			}
			sum += s.size
			last, ok := s.index(run, scanner.Target{Addr: s.prefixes[0].Addr(), Port: run.Ports[1]})
			if !ok || last != 1 {
				t.Fatalf("the first address has the places 0 and %d, %t", last, ok)
			}
		}
		if sum != addresses(all) {
			t.Fatalf("%d addresses in the parts of %v; want %d", sum, all, addresses(all))
		}
	})
}

func v4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// TestCoverageTellsExclusions: what the jobs file excludes and what the site
// spares stand in the same column.
func TestCoverageTellsExclusions(t *testing.T) {
	jobs, err := Parse("f", []byte("version: 1\nsites: {hq: {vantages: [lan], exclude: [10.0.0.4/30]}}\njobs: [{name: j, targets: {hq: 10.0.0.0/24}, exclude: 10.0.0.200, ports: 1947/tcp}]"))
	if err != nil {
		t.Fatal(err)
	}
	run := newRun(jobs.Jobs[0], &jobs.Jobs[0].Asks[0], time.Now(), 1)
	f := newFold(run)
	_, done := outcomeOf(*run.shard(1, 1, f.shards[0].prefixes, time.Time{}), "a", nil)
	done.Spared = []netip.Prefix{netip.MustParsePrefix("10.0.0.16/31")}
	done.Outcome.Scan.Subnets = []scanner.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Targets: 249, Probed: 249}}
	done.Outcome.Scan.Targets -= 2
	done.Outcome.Scan.Filtered -= 2
	done.Outcome.Scan.Addresses -= 2
	take(t, f, "a", fleet.Message{Done: &done})
	out := f.outcome("")
	if len(out.Scan.Subnets) != 1 || out.Scan.Subnets[0].ExcludedAddresses != 4+1+2 || out.Scan.Subnets[0].Targets != 249 {
		t.Errorf("coverage %+v", out.Scan.Subnets)
	}
}
