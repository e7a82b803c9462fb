package main

import (
	"context"
	"fmt"
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

// showProgress draws the line until stop is called. It does nothing where
// nobody looks.
func (s *scan) showProgress(ctx context.Context, progress func() (sweep scanner.Progress, over, due uint64)) (stop func()) {
	if s.a.quiet || s.o.progress == "never" || s.o.progress == "auto" && !isTerminal(s.a.stderr) {
		return func() {}
	}
	bar := pb.ProgressBarTemplate(progressLine).New(0)
	bar.SetWriter(s.a.stderr)
	bar.Set(pb.Static, true) // drawn here, by one goroutine
	bar.Set(pb.CleanOnFinish, isTerminal(s.a.stderr))
	bar.Start()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { // ends when stop is called
		defer close(done)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			sweep, over, due := progress()
			drawProgress(bar, sweep, over, due)
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
		bar.Finish()
	}
}

// drawProgress shows the sweep, and when that is over the dialogues, which take
// longer on a small network.
func drawProgress(bar *pb.ProgressBar, p scanner.Progress, over, due uint64) {
	bar.Set("phase", string(p.Phase)).
		Set("sent", fmt.Sprintf("%d sent", p.Sent)).
		Set("rate", fmt.Sprintf("%.0f/s", p.Rate)).
		Set("open", fmt.Sprintf("%d open", p.Open)).
		Set("left", "")
	switch {
	case p.Phase == scanner.PhaseDone && over < due:
		bar.SetTotal(int64(due)).SetCurrent(int64(over))
		bar.Set("phase", "identify").Set("rate", "").Set("left", fmt.Sprintf("%d of %d named", over, due))
	default:
		bar.SetTotal(int64(p.Expected)).SetCurrent(int64(p.Sent))
		if p.Rate > 0 && p.Expected > p.Sent {
			left := time.Duration(float64(p.Expected-p.Sent) / p.Rate * float64(time.Second))
			bar.Set("left", "ETA "+left.Round(time.Second).String())
		}
	}
	bar.Write()
}
