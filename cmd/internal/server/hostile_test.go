package server

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/cmd/internal/fleet"
	"dormant/fingerprint"
	"dormant/scanner"
)

// TestHostileMessages: nothing of a message is taken that holds one thing that
// cannot be true, and the attempt does not end the shard.
func TestHostileMessages(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*fleet.Part, *fleet.Done)
		want   string // of what is said
	}{
		{"outside the shard", func(p *fleet.Part, _ *fleet.Done) {
			p.Results[0] = answer1(target("10.0.1.9", 1947), scanner.Open, time.Now())
		}, "was not asked"},
		{"outside the run", func(p *fleet.Part, _ *fleet.Done) {
			p.Results[0] = answer1(target("8.8.8.8", 1947), scanner.Open, time.Now())
		}, "was not asked"},
		{"a port not asked for", func(p *fleet.Part, _ *fleet.Done) {
			p.Results[0] = answer1(target("10.0.0.9", 22), scanner.Open, time.Now())
		}, "was not asked"},
		{"last year", func(p *fleet.Part, _ *fleet.Done) { p.Results[0].At = time.Now().AddDate(-1, 0, 0) }, "outside the run"},
		{"tomorrow", func(p *fleet.Part, _ *fleet.Done) { p.Results[0].At = time.Now().AddDate(0, 0, 1) }, "outside the run"},
		{"a dialogue with a closed port", func(p *fleet.Part, _ *fleet.Done) { p.Results[0].State = scanner.Closed }, "a dialogue with a port"},
		{"too much received", func(p *fleet.Part, _ *fleet.Done) { p.Results[0].Evidence.Exchanges[0].Received = make([]byte, 65<<10) }, "64 KiB"},
		{"a thousand steps", func(p *fleet.Part, _ *fleet.Done) {
			p.Results[0].Evidence.Exchanges = make([]fingerprint.Exchange, 1000)
		}, "1000 steps"},
		{"a novel for a probe", func(p *fleet.Part, _ *fleet.Done) {
			p.Results[0].Evidence.Exchanges[0].Probe = strings.Repeat("x", 1001)
		}, "1,000 bytes"},
		{"a shard that is none", func(p *fleet.Part, _ *fleet.Done) { p.Shard = 77 }, "1 to 4"},
		{"another run", func(p *fleet.Part, _ *fleet.Done) { p.Run = "s_2" }, "run"},
		{"another's name", func(_ *fleet.Part, d *fleet.Done) { d.Agent = "b" }, "agent"},
		{"ended before it began", func(_ *fleet.Part, d *fleet.Done) { d.Finished = d.Started.Add(-time.Second) }, "from"},
		{"fewer targets than asked", func(_ *fleet.Part, d *fleet.Done) { d.Outcome.Scan.Targets = 3 }, "3 targets of 256"},
		{"more states than targets", func(_ *fleet.Part, d *fleet.Done) { d.Outcome.Scan.Closed = 300 }, "states of more"},
		{"states that wrap around", func(_ *fleet.Part, d *fleet.Done) { d.Outcome.Scan.Closed = 1<<64 - 1 }, "states of more"},
		{"complete, and half measured", func(_ *fleet.Part, d *fleet.Done) { d.Outcome.Scan.Filtered = 100 }, "called complete"},
		{"a million probes", func(_ *fleet.Part, d *fleet.Done) { d.Outcome.Scan.Probes = 1e6 }, "probes"},
		{"spared what was not asked", func(_ *fleet.Part, d *fleet.Done) { d.Spared = []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")} }, "spared 10.0.1.0/24"},
		{"spared, and asked all the same", func(_ *fleet.Part, d *fleet.Done) { d.Spared = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/26")} }, "more than its 128 targets"},
		{"coverage of elsewhere", func(_ *fleet.Part, d *fleet.Done) {
			d.Outcome.Scan.Subnets = []scanner.Subnet{{Prefix: netip.MustParsePrefix("10.9.0.0/24"), Targets: 1}}
		}, "coverage of 10.9.0.0/24"},
		{"a novel for a reason", func(_ *fleet.Part, d *fleet.Done) { d.Outcome.Scan.Why = []string{strings.Repeat("x", 5000)} }, "1,000 bytes"},
		{"a novel for a fault", func(_ *fleet.Part, d *fleet.Done) { d.Outcome.Identify.Fault = strings.Repeat("x", 5000) }, "too long"},
		{"parts that never came", func(_ *fleet.Part, d *fleet.Done) { d.Parts = 9 }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := aRun()
			f := newFold(run)
			part, done := outcomeOf(*run.shard(1, 4, f.shards[0].prefixes, time.Time{}), "a", []scanner.Target{target("10.0.0.9", 1947)})
			tt.change(&part, &done)
			better, err1 := f.take("a", fleet.Message{Part: &part}, time.Now())
			_, err2 := f.take("a", fleet.Message{Done: &done}, time.Now())
			said := ""
			for _, err := range []error{err1, err2} {
				if err != nil {
					said += err.Error()
				}
			}
			if !strings.Contains(said, tt.want) || (tt.want == "") != (said == "") {
				t.Errorf("refused with %q; want %q", said, tt.want)
			}
			if err1 != nil && (len(better) > 0 || f.open > 0) {
				t.Errorf("%d results of a part that is refused", len(better))
			}
			if f.left != 4 || f.shards[0].done() != nil {
				t.Errorf("%d shards left, the first done: %t; want the shard to be done again", f.left, f.shards[0].done() != nil)
			}
			if tt.want != "" && f.refused["a"] == 0 {
				t.Error("not counted")
			}
		})
	}
}

// TestAgentCannotEndAnothersAttempt: an attempt belongs to the agent whose
// subject it came by.
func TestAgentCannotEndAnothersAttempt(t *testing.T) {
	run := aRun()
	f := newFold(run)
	part, done := outcomeOf(*run.shard(1, 4, f.shards[0].prefixes, time.Time{}), "a", []scanner.Target{target("10.0.0.9", 1947)})
	take(t, f, "a", fleet.Message{Part: &part})
	done.Agent = "b"
	take(t, f, "b", fleet.Message{Done: &done})
	if f.left != 4 {
		t.Error("the end of another agent's attempt was believed")
	}
}

// TestNewerAgent: a reason that this version has no word for loses no finding,
// and the run says who gave it.
func TestNewerAgent(t *testing.T) {
	run := aRun()
	part, _ := outcomeOf(*run.shard(1, 4, newFold(run).shards[0].prefixes, time.Time{}), "a", []scanner.Target{target("10.0.0.9", 1947)})
	data, err := fleet.Encode(fleet.Message{Version: fleet.Version, Part: &part})
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(data), `"syn-ack"`, `"syn-ack-later"`, 1)
	if newer == string(data) {
		t.Fatal("no reason in the message")
	}
	c := &conductor{s: &Server{cfg: Config{Program: "1.2"}}, run: run}
	w := &work{c: c, fold: newFold(run)}
	better, err := w.takeIn(arrived{subject: "dormant.result.hq.lan.a.s_1", data: []byte(newer)}, time.Now())
	if err != nil || len(better) != 1 || better[0].Reason != scanner.OtherReason || better[0].State != scanner.Open {
		t.Fatalf("takeIn = %+v, %v; want the open port, for another reason", better, err)
	}
	want := []string{"agent a is newer than this server, 1.2: reasons that have no word here are shown as other"}
	if d := cmp.Diff(want, c.finished(w).Scan.Notes); d != "" {
		t.Errorf("notes (-want +got):\n%s", d)
	}
}

// FuzzTakeIn: whatever agents send, nothing is taken of what was not asked.
func FuzzTakeIn(f *testing.F) {
	run := aRun()
	part, done := outcomeOf(*run.shard(1, 4, newFold(run).shards[0].prefixes, time.Time{}), "a", []scanner.Target{target("10.0.0.9", 1947)})
	for _, m := range []fleet.Message{{Version: fleet.Version, Part: &part}, {Version: fleet.Version, Done: &done}} {
		data, err := fleet.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("dormant.result.hq.lan.a.s_1", data)
	}
	f.Add("dormant.result.plant.lan.a.s_1", []byte("{}"))
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		run := aRun()
		w := &work{c: &conductor{run: run}, fold: newFold(run)}
		better, err := w.takeIn(arrived{subject: subject, data: data}, time.Now())
		if err != nil && len(better) > 0 {
			t.Fatal("results of a message that was refused")
		}
		for _, r := range better {
			if _, ok := w.fold.shards[0].index(run, r.Target); !ok && !run.Prefixes[0].Contains(r.Addr) {
				t.Fatalf("%v was not asked", r.Target)
			}
		}
		if !strings.HasPrefix(subject, "dormant.result.hq.lan.") && len(better) > 0 {
			t.Fatalf("results by subject %q", subject)
		}
	})
}
