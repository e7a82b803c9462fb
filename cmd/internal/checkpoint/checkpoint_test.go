package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dormant/cmd/internal/disk"
	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"
)

func target(last byte, number uint16) scanner.Target {
	return scanner.Target{Addr: netip.AddrFrom4([4]byte{10, 0, 0, last}), Port: registry.Port{Number: number, Proto: registry.TCP}}
}

// samples are observations with every field in use, and with none.
func samples() []scanner.Observation {
	full := scanner.Observation{
		Target: scanner.Target{Addr: netip.MustParseAddr("fe80::1%eth0"), Port: registry.Port{Number: 65535, Proto: registry.UDP}},
		State:  scanner.Open, Reason: scanner.UDPReply, From: netip.MustParseAddr("fe80::1%eth0"), TTL: 255, RTT: 1234567,
		At: time.Unix(1700000000, 5), Payload: []byte("re\x00ply"), MAC: []byte{1, 2, 3, 4, 5, 6}, Window: 65535, Attempt: 2, Sent: 3,
	}
	plain := scanner.Observation{Target: target(1, 1947), State: scanner.Filtered, Reason: scanner.ICMPAdminProhibited,
		From: netip.MustParseAddr("10.0.0.254"), At: time.Unix(0, 1)}
	return []scanner.Observation{full, plain}
}

func same() cmp.Options {
	return cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateApproxTime(0), cmpopts.EquateEmpty()}
}

func header(id string) Header {
	return Header{ScanID: id, Identity: "x", Seed: 7, Args: []string{"10.0.0.0/24"}, Flags: map[string][]string{"ports": {"1947"}}}
}

// fill makes a run with two answers, a dialogue, and a position behind them.
func fill(t *testing.T, root string) string {
	t.Helper()
	r, err := Create(root, header("s_1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range samples() {
		r.Observed(o)
	}
	if err := r.Identified(&fingerprint.Evidence{Target: target(1, 1947), Status: fingerprint.StatusDone}); err != nil {
		t.Fatal(err)
	}
	if err := r.SaveLast(scanner.Position{Round: 1, Dark: true, Next: 99}); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "s_1", "journal")
}

func TestWhatIsSavedComesBack(t *testing.T) {
	root := t.TempDir()
	fill(t, root)
	r, err := Open(root, "s_1")
	if err != nil {
		t.Fatal(err)
	}
	want := header("s_1")
	want.Schema = Schema
	if d := cmp.Diff(want, r.Header); d != "" {
		t.Errorf("header (-want +got):\n%s", d)
	}
	if d := cmp.Diff(samples(), slices.Collect(r.Known()), same()); d != "" {
		t.Errorf("answers (-want +got):\n%s", d)
	}
	dialogues, n, err := r.Dialogues()
	if err != nil || n != 2 || len(dialogues) != 1 || dialogues[target(1, 1947)].Status != fingerprint.StatusDone {
		t.Errorf("Dialogues = %v, %d, %v; want one done, two answers", dialogues, n, err)
	}
	if r.Position.Next != 99 || r.Position.Round != 1 || !r.Position.Dark {
		t.Errorf("position = %+v", r.Position)
	}
	if _, err := Open(root, "s_1"); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second Open = %v, want that it is locked", err)
	}
	if err := r.Remove(); err != nil {
		t.Fatal(err)
	}
	if ids, err := List(root); err != nil || len(ids) != 0 {
		t.Errorf("List after Remove = %v, %v", ids, err)
	}
}

// TestWhatAKilledRunSentIsNotCounted: only the last position of a run that
// ended counts everything, and once something is missing it stays missing.
func TestWhatAKilledRunSentIsNotCounted(t *testing.T) {
	for _, tt := range []struct {
		name string
		save func(*Run) error
		want bool
	}{
		{"killed before the first checkpoint", func(*Run) error { return nil }, true},
		{"killed behind a checkpoint", func(r *Run) error { return r.Save(scanner.Position{Next: 9}) }, true},
		{"ended", func(r *Run) error { return r.SaveLast(scanner.Position{Next: 9}) }, false},
		{"ended, and killed before", func(r *Run) error {
			return r.SaveLast(scanner.Position{Next: 9, Spent: scanner.Spent{Uncounted: true}})
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			r, err := Create(root, header("s_1"))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(tt.save(r), r.Close()); err != nil {
				t.Fatal(err)
			}
			if r, err = Open(root, "s_1"); err != nil {
				t.Fatal(err)
			}
			if got := r.Position.Spent.Uncounted; got != tt.want {
				t.Errorf("Uncounted = %t, want %t", got, tt.want)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestEveryTornEnd cuts the journal at every byte, as a kill does while it is
// written: what the position needs must be there, or the run is refused; what
// is behind it may be half.
func TestEveryTornEnd(t *testing.T) {
	root := t.TempDir()
	path := fill(t, root)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	more := disk.AppendFrame(nil, func(b []byte) []byte { return appendAnswer(b, samples()[0]) })
	for n := range len(whole) + len(more) + 1 {
		if err := os.WriteFile(path, slices.Concat(whole, more)[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(root, "s_1")
		if n < len(whole) {
			if err == nil || !strings.Contains(err.Error(), "damaged at byte") {
				t.Fatalf("cut at %d of %d: Open = %v, want that it is damaged", n, len(whole), err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("cut at %d, %d behind the position: %v", n, n-len(whole), err)
		}
		want := 2
		if n == len(whole)+len(more) {
			want = 3
		}
		r.Observed(samples()[1]) // goes on where the whole part ends
		if err := r.Save(r.Position); err != nil {
			t.Fatal(err)
		}
		if got := slices.Collect(r.Known()); len(got) != want+1 {
			t.Fatalf("cut at %d: %d answers, want %d", n, len(got), want+1)
		}
		if err := r.Save(scanner.Position{}); err != nil {
			t.Fatal(err)
		}
		if err := replaceState(r, int64(len(whole))); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// replaceState puts position.json back for the next row.
func replaceState(r *Run, journal int64) error {
	return writeJSON(filepath.Join(r.dir, "position.json"), state{Schema: Schema, Journal: journal})
}

// TestDamageInTheMiddleIsRefused: what a position promises is not cut off as a torn
// end, whether it was saved by the part that began the run or by a later one.
func TestDamageInTheMiddleIsRefused(t *testing.T) {
	for _, parts := range []int{1, 2} {
		for _, at := range []int{0, len(magic) + disk.FrameLen + 3, -1} {
			root := t.TempDir()
			path := fill(t, root)
			if parts > 1 {
				r, err := Open(root, "s_1")
				if err != nil {
					t.Fatal(err)
				}
				r.Observed(samples()[0])
				if err := errors.Join(r.Save(r.Position), r.Close()); err != nil {
					t.Fatal(err)
				}
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[(at+len(b))%len(b)] ^= 1
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(root, "s_1"); err == nil || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("%d parts, byte %d: Open = %v, want that it is damaged", parts, at, err)
			}
		}
	}
}

// TestMuchIsWrittenEarly: what waits in memory is bounded, however long it is until
// the next position.
func TestMuchIsWrittenEarly(t *testing.T) {
	root := t.TempDir()
	r, err := Create(root, header("s_1"))
	if err != nil {
		t.Fatal(err)
	}
	o := samples()[0]
	o.Payload = make([]byte, 1<<16)
	for range fullBytes>>16 + 1 {
		r.Observed(o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.Keep(ctx, time.Hour, func() scanner.Position { cancel(); return scanner.Position{Next: 7} }, slog.New(slog.DiscardHandler))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err = Open(root, "s_1"); err != nil || r.Position.Next != 7 {
		t.Fatalf("Open = %+v, %v; want position 7", r, err)
	}
	defer r.Close()
	if n := len(slices.Collect(r.Known())); n != fullBytes>>16+1 {
		t.Errorf("%d answers on disk, want all %d", n, fullBytes>>16+1)
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	if _, err := Find(root, "last"); err == nil {
		t.Error("Find in an empty folder succeeds")
	}
	for _, id := range []string{"s_10a", "s_10b", "s_2"} {
		r, err := Create(root, header(id))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "s_9"), 0o700); err != nil { // no run.json: no run
		t.Fatal(err)
	}
	for _, tt := range []struct{ want, id, fault string }{
		{"last", "s_2", ""}, {"s_10a", "s_10a", ""}, {"s_2", "s_2", ""}, {"s_10b", "s_10b", ""},
		{"s_10", "", "begins 2"}, {"s_3", "", "want last or one of"}, {"", "", "want last or one of"}, {"s_9", "", "want last"},
	} {
		id, err := Find(root, tt.want)
		if id != tt.id || (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("Find(%q) = %q, %v; want %q, %q", tt.want, id, err, tt.id, tt.fault)
		}
	}
}

func TestAnswersAllocateNothing(t *testing.T) {
	j := &journal{waiting: make([]byte, 0, 1<<20), full: make(chan struct{}, 1)}
	o := samples()[0]
	if n := testing.AllocsPerRun(1000, func() { j.answer(o) }); n != 0 {
		t.Errorf("%v allocations per answer, want 0", n)
	}
}

func FuzzJournal(f *testing.F) {
	var b []byte
	for _, o := range samples() {
		b = disk.AppendFrame(b, func(b []byte) []byte { return appendAnswer(b, o) })
		f.Add(appendAnswer(nil, o))
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 0 {
			if o, err := decodeAnswer(b[1:]); err == nil { // what can be read is written and read the same
				again, err := decodeAnswer(appendAnswer(nil, o)[1:])
				if d := cmp.Diff(o, again, same()); err != nil || d != "" {
					t.Errorf("%v (-first +again):\n%s", err, d)
				}
			}
		}
		r := bytes.NewReader(b)
		for buf := []byte(nil); ; {
			var err error
			if buf, err = disk.ReadFrame(r, buf); err != nil {
				break
			}
		}
	})
}

func BenchmarkObserved(b *testing.B) {
	j := &journal{full: make(chan struct{}, 1)}
	o := samples()[1]
	b.ReportAllocs()
	for b.Loop() {
		j.answer(o)
		if len(j.waiting) > fullBytes {
			j.waiting = j.waiting[:0]
		}
	}
	b.ReportMetric(float64(len(appendAnswer(nil, o))+disk.FrameLen), "bytes/answer")
}

// TestFullDiskEndsTheCheckpoints: answers that could not be written are promised by
// no position, also when there is room again, and what was saved before is kept.
func TestFullDiskEndsTheCheckpoints(t *testing.T) {
	root := t.TempDir()
	fill(t, root)
	r, err := Open(root, "s_1")
	if err != nil {
		t.Fatal(err)
	}
	answers, before := len(slices.Collect(r.Known())), r.Position
	full, err := os.Open(filepath.Join(r.dir, "journal")) // nothing can be written to it
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	file := r.journal.file
	r.Observed(samples()[0])
	r.journal.file = full
	if err := r.Save(scanner.Position{Next: 98}); err == nil {
		t.Error("Save succeeded on a full disk")
	}
	r.journal.file = file
	r.Observed(samples()[1])
	if len(r.journal.waiting) > 0 {
		t.Error("what comes later waits in memory for ever")
	}
	if err := r.SaveLast(scanner.Position{Next: 97}); err == nil {
		t.Error("SaveLast succeeded without the answers before")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r, err = Open(root, "s_1")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n := len(slices.Collect(r.Known())); n != answers || r.Position.Next != before.Next {
		t.Errorf("%d answers, position %+v; want %d and %+v as saved", n, r.Position, answers, before)
	}
}
