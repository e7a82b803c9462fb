package scanner

import (
	"errors"
	"fmt"
	"testing"
)

func TestOneCauseIsSaidOnce(t *testing.T) {
	down, full := errors.New("wire: the interface is down"), errors.New("disk is full")
	for _, tt := range []struct {
		name           string
		sent, received error
		want           string
	}{
		{"none", nil, nil, "<nil>"},
		{"sender", full, nil, "disk is full"},
		{"receiver", nil, down, "wire: the interface is down"},
		{"one thing", fmt.Errorf("send: %w", down), fmt.Errorf("receive: %w", down), "receive: wire: the interface is down"},
		{"two things", fmt.Errorf("send: %w", full), fmt.Errorf("receive: %w", down), "send: disk is full; receive: wire: the interface is down"},
	} {
		if got := oneError(tt.sent, tt.received); fmt.Sprint(got) != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, got, tt.want)
		}
	}
}
