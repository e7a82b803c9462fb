//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// watchSignals pauses and continues on SIGUSR1 and SIGUSR2 or SIGCONT, until
// stop is called.
func watchSignals(h *hold) (stop func()) {
	signals, ended, done := make(chan os.Signal, 4), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT)
	go func() { // ends when ended is closed, by stop
		defer close(done)
		for {
			select {
			case <-ended:
				return
			case s := <-signals:
				if s == syscall.SIGUSR1 {
					h.pause()
				} else {
					h.proceed()
				}
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(ended)
		<-done
	}
}
