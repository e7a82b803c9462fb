package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/cmd/internal/disk"
)

func message(n int) record {
	r := record{subject: "dormant.result.hq.lan.a1.s_1", id: fmt.Sprint("s_1/1/x/", n), results: uint64(n), data: bytes.Repeat([]byte{byte(n)}, 10*n)}
	if n%3 == 0 {
		r.finishes = finish{fmt.Sprint("s_1/", n), fmt.Sprint("s_1/", n, "@7")}
	}
	return r
}

func compare() cmp.Option { return cmp.AllowUnexported(record{}, finish{}) }

func open(t testing.TB, dir string, limit int64) *spool {
	t.Helper()
	s, err := openSpool(dir, limit, shy())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

// drain reads and settles all there is.
func drain(t testing.TB, s *spool) (all []record) {
	t.Helper()
	for s.last() > s.settled {
		r, err := s.oldest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kept := r
		kept.data = bytes.Clone(r.data)
		all = append(all, kept)
		if err := s.settle(r); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSpoolKeepsTheOrder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	var want []record
	for n := 1; n <= 20; n++ {
		want = append(want, message(n))
		if number, err := s.append(t.Context(), message(n)); err != nil || number != uint64(n) {
			t.Fatalf("append = %d, %v; want %d", number, err, n)
		}
		if n == 7 { // in between another process
			if err := s.close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, 1<<20)
		}
	}
	if number, ok := s.done(finish{"s_1/18", "s_1/18@8"}); !ok || number != 18 {
		t.Errorf("another item of a shard on its way: done = %d, %t; want 18, true", number, ok)
	}
	if s.results() != 210 {
		t.Errorf("%d results wait, want 210", s.results())
	}
	if d := cmp.Diff(want, drain(t, s), compare()); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
	if s.results() != 0 || s.size != 0 || len(segments(t, dir)) != 0 {
		t.Errorf("%d results, %d bytes, files %v; want nothing left", s.results(), s.size, segments(t, dir))
	}
	for f, want := range map[finish]bool{{"s_1/18", "s_1/18@7"}: true, {"s_1/18", "s_1/18@8"}: false, {"s_1/17", "s_1/17@7"}: false} {
		if _, ok := s.done(f); ok != want {
			t.Errorf("done(%v) = %t, want %t", f, ok, want)
		}
	}
}

// TestSpoolCutAnywhere cuts the segment at every byte, as a kill does: whole
// records are there, in order, and the spool goes on behind them.
func TestSpoolCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	var ends []int64 // of the records
	for n := 1; n <= 4; n++ {
		if _, err := s.append(t.Context(), message(n)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, s.size)
	}
	path := segments(t, dir)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range int64(len(whole)) {
		there := t.TempDir()
		if err := os.WriteFile(filepath.Join(there, filepath.Base(path)), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, there, 1<<20)
		var want []record
		for i, end := range ends {
			if end <= cut {
				want = append(want, message(i+1))
			}
		}
		if _, err := s.append(t.Context(), message(5)); err != nil {
			t.Fatal(err)
		}
		want = append(want, message(5))
		if d := cmp.Diff(want, drain(t, s), compare()); d != "" {
			t.Fatalf("cut at %d (-want +got):\n%s", cut, d)
		}
	}
}

func TestSpoolIsBounded(t *testing.T) {
	s := open(t, t.TempDir(), 1000)
	big := record{subject: "s", id: "i", results: 1, data: make([]byte, 400)}
	for range 2 {
		if _, err := s.append(t.Context(), big); err != nil {
			t.Fatal(err)
		}
	}
	if s.roomy() {
		t.Errorf("%d of 1000 bytes are used, and it says there is room", s.size)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.append(ctx, big); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "full") {
		t.Errorf("append to a full spool = %v, want that it waits", err)
	}
	end := big
	end.results = 0
	if _, err := s.append(ctx, end); err != nil {
		t.Errorf("the end of an attempt finds no room: %v", err)
	}
	waited := make(chan error, 1)
	go func() { // ends with append
		_, err := s.append(t.Context(), big)
		waited <- err
	}()
	for range 2 {
		r, err := s.oldest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.settle(r); err != nil {
			t.Fatal(err)
		}
	}
	// segments give their space back as a whole: settle what is left, too
	r, err := s.oldest(t.Context())
	if err == nil {
		err = s.settle(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Errorf("append after there was room = %v", err)
	}
}

func TestSpoolSegments(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<30)
	big := record{subject: "s", id: "i", results: 1, data: make([]byte, 3<<20)}
	for range 7 {
		if _, err := s.append(t.Context(), big); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(segments(t, dir)); n != 3 {
		t.Errorf("%d segments, want 3", n)
	}
	for range 3 {
		r, err := s.oldest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.settle(r); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(segments(t, dir)); n != 2 {
		t.Errorf("%d segments after the first one was settled, want 2", n)
	}
	if n := len(drain(t, s)); n != 4 {
		t.Errorf("%d records left, want 4", n)
	}
}

func TestFinishedAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "finished")
	f, err := openFinished(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 * keptFinished {
		if err := f.add(finish{fmt.Sprint("s_1/", n), "i"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b[:len(b)-1], 0o600); err != nil { // torn
		t.Fatal(err)
	}
	if f, err = openFinished(path); err != nil {
		t.Fatal(err)
	}
	defer f.close()
	if n := len(f.all); n < keptFinished-1 || n > keptFinished {
		t.Errorf("%d shards are remembered, want about %d", n, keptFinished)
	}
	if !f.has(finish{fmt.Sprint("s_1/", 3*keptFinished-2), "i"}) || f.has(finish{"s_1/1", "i"}) {
		t.Error("not the last ones are remembered")
	}
}

// FuzzSegment: of any bytes only whole records are read, and written again they
// are read the same.
func FuzzSegment(f *testing.F) {
	file := []byte(segmentMagic)
	for n := 1; n <= 3; n++ {
		file = disk.AppendFrame(file, message(n).append)
		f.Add(message(n).append(nil))
	}
	f.Add(file)
	f.Add(file[:len(file)-3])
	f.Fuzz(func(t *testing.T, in []byte) {
		if r, err := decodeRecord(in); err == nil {
			again, err := decodeRecord(r.append(nil))
			if d := cmp.Diff(r, again, compare()); err != nil || d != "" {
				t.Errorf("%v (-first +again):\n%s", err, d)
			}
		}
		read := func(b []byte) (all []record) {
			end, err := scanSegment(bytes.NewReader(b), func(r record) error {
				r.data = bytes.Clone(r.data)
				all = append(all, r)
				return nil
			})
			if err != nil || end > int64(len(b)) {
				t.Errorf("scan = %d, %v", end, err)
			}
			return all
		}
		first, out := read(in), []byte(segmentMagic)
		for _, r := range first {
			out = disk.AppendFrame(out, r.append)
		}
		if d := cmp.Diff(first, read(out), compare()); d != "" {
			t.Errorf("(-first +again):\n%s", d)
		}
	})
}

func BenchmarkSpool(b *testing.B) {
	s := open(b, b.TempDir(), 1<<40)
	r := record{subject: "dormant.result.hq.lan.a1.s_1", id: "s_1/1/x/1", results: 2000, data: make([]byte, 32<<10)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.append(b.Context(), r); err != nil {
			b.Fatal(err)
		}
		got, err := s.oldest(b.Context())
		if err == nil {
			err = s.settle(got)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func shy() *slog.Logger { return slog.New(slog.DiscardHandler) }
