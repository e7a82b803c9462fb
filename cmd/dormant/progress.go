package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cheggaaa/pb/v3"

	"dormant/scanner"
)

// progressEvery is how often the line is drawn: often enough to look alive,
// too rarely to cost anything.
const progressEvery = 200 * time.Millisecond

// progressLine shows what is sent, how fast, what is open, and the time left,
// counted over targets × ports × retries.
const progressLine = `{{string . "phase"}} {{bar . "[" "=" ">" " " "]"}} {{percent .}} {{string . "sent"}} {{string . "rate"}} {{string . "open"}} {{string . "left"}}`

// showProgress draws the line until stop is called, which leaves nothing of it
// on a terminal. It does nothing where nobody looks.
func (s *scan) showProgress(ctx context.Context, progress func() (sweep scanner.Progress, over, due uint64)) (stop func()) {
	if s.a.quiet || s.o.progress == "never" || s.o.progress == "auto" && !isTerminal(s.a.stderr) {
		return func() {}
	}
	out, ok := s.a.stderr.(*screen)
	if !ok {
		return func() {}
	}
	bar, every := newBar(), progressEvery
	draw := func() {
		p, over, due := progress()
		out.draw(progressText(bar, p, over, due, cmp.Or(width(out), 80)))
	}
	if !isTerminal(out) { // lines, one below the other
		every = time.Second
		draw = func() {
			p, over, due := progress()
			fmt.Fprintln(out, progressText(bar, p, over, due, 80))
		}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { // ends when stop is called
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			draw()
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
		out.draw("")
	}
}

// newBar makes the line's text; it draws nothing itself.
func newBar() *pb.ProgressBar {
	bar := pb.ProgressBarTemplate(progressLine).New(0)
	bar.SetWriter(io.Discard)
	bar.Set(pb.Static, true)
	return bar.Start()
}

// progressText is the line, shorter than so many columns also with an echo behind
// it. It shows the sweep, how fast while it sends, and when that is over the
// dialogues, which take longer on a small network.
func progressText(bar *pb.ProgressBar, p scanner.Progress, over, due uint64, columns int) string {
	phase := string(p.Phase)
	if p.Phase == scanner.PhaseIdle || p.Phase == scanner.PhaseResolve {
		phase = "resolving"
	}
	bar.SetTotal(int64(max(1, p.Expected))).SetCurrent(int64(p.Sent)) // of 0 there is no percentage
	bar.Set("phase", phase).
		Set("sent", fmt.Sprintf("%d sent", p.Sent)).
		Set("rate", "").
		Set("open", fmt.Sprintf("%d open", p.Open)).
		Set("left", "")
	switch {
	case p.Phase == scanner.PhaseDone && over < due:
		bar.SetTotal(int64(due)).SetCurrent(int64(over))
		bar.Set("phase", "identify").Set("left", fmt.Sprintf("%d of %d named", over, due))
	case p.Phase == scanner.PhaseSweep || p.Phase == scanner.PhaseRetry:
		bar.Set("rate", fmt.Sprintf("%.0f/s", p.Rate))
		if p.Rate > 0 && p.Expected > p.Sent {
			left := time.Duration(float64(p.Expected-p.Sent) / p.Rate * float64(time.Second))
			bar.Set("left", "ETA "+left.Round(time.Second).String())
		}
	}
	columns = max(0, columns-1-echo)
	text := []rune(bar.SetWidth(columns).String())
	return strings.TrimRight(string(text[:min(len(text), columns)]), " ")
}
