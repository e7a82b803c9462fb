package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
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

// TestInterruptedWhileItPrepares: that is no fault of the history or of a name.
func TestInterruptedWhileItPrepares(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range []string{
		"scan 127.0.0.1 --db " + filepath.Join(t.TempDir(), "h.db"),
		"scan name.invalid --no-history",
	} {
		var said bytes.Buffer
		if got := run(ctx, strings.Fields(args), strings.NewReader(""), io.Discard, &said); got != exitInterrupted || said.String() != "dormant: interrupted\n" {
			t.Errorf("%s: exit %d, said %q; want %d and one line", args, got, &said, exitInterrupted)
		}
	}
}

func TestIdentifyNamesThePortRange(t *testing.T) {
	for _, arg := range []string{"10.0.0.1:0", "10.0.0.1:0/udp", "10.0.0.1:65536", "10.0.0.1"} {
		if _, err := parseEndpoints([]string{arg}); err == nil || !strings.Contains(err.Error(), "1 to 65535") {
			t.Errorf("parseEndpoints(%q) = %v; want the range of ports", arg, err)
		}
	}
}
