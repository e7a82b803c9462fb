package main

import "testing"

func TestWorkers(t *testing.T) {
	for descriptors, want := range map[uint64]int{0: 256, 8: 16, 256: 128, 1024: 512, 1 << 20: 512} {
		if got := workers(descriptors); got != want {
			t.Errorf("workers(%d) = %d, want %d", descriptors, got, want)
		}
	}
}
