package broker

import (
	"strings"
	"testing"

	"dormant/cmd/internal/fleet"
)

// TestSmallStore: a store of any size that New takes has room for its stream of
// results, also the next time, and one that is too small for what is asked says
// so.
func TestSmallStore(t *testing.T) {
	for _, tt := range []struct{ most, want int64 }{
		{64 << 20, 48 << 20},
		{100_000_000, 75_000_000},
		{0, 3 << 30},
	} {
		s := run(t, Config{Dir: t.TempDir(), MaxStore: tt.most})
		conn, err := s.Dial(t.Context(), Options{Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		streams := Streams{Places: []fleet.Place{{Site: "hq", Vantage: "lan"}}, ResultBytes: s.ResultBytes()}
		for range 2 {
			js, err := Prepare(t.Context(), conn, streams)
			if err != nil {
				t.Fatalf("store of %d bytes: %v", tt.most, err)
			}
			results, err := js.Stream(t.Context(), fleet.ResultStream)
			if err != nil {
				t.Fatal(err)
			}
			if got := results.CachedInfo().Config.MaxBytes; got != tt.want {
				t.Errorf("store of %d bytes: results of %d, want %d", tt.most, got, tt.want)
			}
		}
		streams.ResultBytes = 5 << 30
		if _, err := Prepare(t.Context(), conn, streams); err == nil || !strings.Contains(err.Error(), "set apart in it for results, 5120 MiB now") {
			t.Errorf("store of %d bytes: Prepare of more = %v", tt.most, err)
		}
	}
}
