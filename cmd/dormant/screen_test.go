package main

import (
	"io"
	"strings"
	"testing"

	"dormant/scanner"
)

// onTerminal is what a terminal shows of text: \r goes back to the first column.
func onTerminal(text string) []string {
	lines, at := [][]rune{nil}, 0
	for _, r := range text {
		last := len(lines) - 1
		switch {
		case r == '\n':
			lines, at = append(lines, nil), 0
		case r == '\r':
			at = 0
		case at < len(lines[last]):
			lines[last][at] = r
			at++
		default:
			lines[last] = append(lines[last], r)
			at++
		}
	}
	var out []string
	for _, l := range lines {
		out = append(out, strings.TrimRight(string(l), " "))
	}
	return out
}

func TestScreenKeepsOneLineAtTheEnd(t *testing.T) {
	var tty strings.Builder
	s := &screen{w: &tty}
	for _, step := range []struct {
		name string
		do   func()
		want string // what is visible, lines separated by |
	}{
		{"before the first line", func() { io.WriteString(s, "one\n") }, "one|"},
		{"the line", func() { s.draw("sweep 12%") }, "one|sweep 12%"},
		{"a log line", func() { io.WriteString(s, "two\n") }, "one|two|sweep 12%"},
		{"a shorter line", func() { s.draw("wait") }, "one|two|wait"},
		{"half a log line", func() { io.WriteString(s, "thr") }, "one|two|thr"},
		{"its rest", func() { io.WriteString(s, "ee\n") }, "one|two|three|"},
		{"drawn again", func() { s.draw("identify 93%") }, "one|two|three|identify 93%"},
		{"a key, which the terminal echoes", func() { io.WriteString(&tty, "^C"); s.draw("wait") }, "one|two|three|wait"},
		{"the end", func() { s.draw("") }, "one|two|three|"},
		{"the table", func() { io.WriteString(&tty, "TABLE\n") }, "one|two|three|TABLE|"},
	} {
		step.do()
		if got := strings.Join(onTerminal(tty.String()), "|"); got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
}

func TestProgressLine(t *testing.T) {
	for _, tt := range []struct {
		name      string
		p         scanner.Progress
		over, due uint64
		want      []string
	}{
		{"before the sweep", scanner.Progress{Phase: scanner.PhaseIdle}, 0, 0, []string{"resolving [", "0.00% 0 sent"}},
		{"neighbours", scanner.Progress{Phase: scanner.PhaseResolve, Expected: 100}, 0, 0, []string{"resolving [", "0.00% 0 sent"}},
		{"sweep", scanner.Progress{Phase: scanner.PhaseSweep, Sent: 50, Expected: 100, Rate: 25, Open: 3}, 0, 0, []string{"sweep [", "50.00% 50 sent 25/s 3 open ETA 2s"}},
		{"held", scanner.Progress{Phase: scanner.PhaseHeld, Sent: 50, Expected: 100, Rate: 25, Open: 3}, 0, 0, []string{"held [", "50.00% 50 sent  3 open"}},
		{"late answers", scanner.Progress{Phase: scanner.PhaseWait, Sent: 50, Expected: 100, Rate: 25, Open: 3}, 0, 0, []string{"wait [", "50.00% 50 sent  3 open"}},
		{"retries", scanner.Progress{Phase: scanner.PhaseRetry, Sent: 50, Expected: 100, Rate: 25}, 0, 0, []string{"retry [", "25/s 0 open ETA 2s"}},
		{"dialogues", scanner.Progress{Phase: scanner.PhaseDone, Sent: 100, Expected: 100}, 1, 4, []string{"identify [", "25.00%", "1 of 4 named"}},
	} {
		for _, columns := range []int{80, 30} {
			got := progressText(newBar(), tt.p, tt.over, tt.due, columns)
			if len(got+"^C") >= columns || strings.Contains(got, "?") || strings.Contains(got, "idle") {
				t.Errorf("%s, %d columns: %q", tt.name, columns, got)
			}
			for _, want := range tt.want {
				if ends := strings.HasSuffix(want, "open"); columns == 80 && (!strings.Contains(got, want) || ends && !strings.HasSuffix(got, want)) {
					t.Errorf("%s: %q, want %q in it", tt.name, got, want)
				}
			}
		}
	}
}
