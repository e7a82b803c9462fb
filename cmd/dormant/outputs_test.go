package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"dormant/reports"
)

// writes is a sink that writes to w when it is closed.
type writes struct {
	nowhere
	w   io.Writer
	own error
}

func (s writes) Close() error {
	if _, err := io.WriteString(s.w, strings.Repeat("x", 10_000)); err != nil {
		return fmt.Errorf("csv: %w", err)
	}
	return s.own
}

var _ reports.Sink = writes{}

func TestFaultOfStandardOutputIsSaidOnce(t *testing.T) {
	for _, tt := range []struct {
		name string
		to   io.Writer
		own  error
		want string
	}{
		{"full", full{}, nil, "csv: no space left on device"},
		{"room, and a fault of the sink", io.Discard, errors.New("csv: bad row"), "csv: bad row"},
		{"room", io.Discard, nil, "<nil>"},
	} {
		w := bufio.NewWriter(tt.to)
		f := &flushed{writes{w: w, own: tt.own}, w}
		if err := f.Close(); fmt.Sprint(err) != tt.want {
			t.Errorf("%s: Close = %v, want %s", tt.name, err, tt.want)
		}
	}
	// What only the flush finds out is not lost.
	w := bufio.NewWriter(full{})
	if _, err := w.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if err := (&flushed{nowhere{}, w}).Close(); err == nil {
		t.Error("Close before a flush that fails: no error")
	}
}

func TestIdentifyNamesThePortRange(t *testing.T) {
	for _, arg := range []string{"10.0.0.1:0", "10.0.0.1:0/udp", "10.0.0.1:65536", "10.0.0.1"} {
		if _, err := parseEndpoints([]string{arg}); err == nil || !strings.Contains(err.Error(), "1 to 65535") {
			t.Errorf("parseEndpoints(%q) = %v; want the range of ports", arg, err)
		}
	}
}
