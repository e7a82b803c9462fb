//go:build linux

package afpacket

import "testing"

func TestRoomFor(t *testing.T) {
	for _, tt := range []struct {
		name  string
		burst int
		want  int // bytes
	}{
		{"not known", 0, 8 << 20},
		{"one target", 1, 1 << 20},
		{"1,000 a second", 100, 1 << 20},
		{"30,000 a second", 3_000, 1 << 20},
		{"100,000 a second", 10_000, 7 << 18},
		{"300,000 a second", 30_000, 19 << 18},
		{"a /8", 1 << 30, 8 << 20},
	} {
		got := roomFor(tt.burst)
		if got.blocks*got.block != tt.want {
			t.Errorf("%s: roomFor(%d) is %d bytes, want %d", tt.name, tt.burst, got.blocks*got.block, tt.want)
		}
		if stall := got.blocks * got.retire; stall < 500 {
			t.Errorf("%s: roomFor(%d) bears a reader who stands still for %d ms, want half a second", tt.name, tt.burst, stall)
		}
		if room := got.blocks * (got.block / 160); tt.burst <= 32*(1<<18/160) && room < tt.burst {
			t.Errorf("%s: roomFor(%d) holds %d answers", tt.name, tt.burst, room)
		}
	}
}
