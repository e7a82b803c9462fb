package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(untilSignal()) }

// untilSignal is the whole program: an interrupt, a SIGTERM or a closed terminal ends
// it in good order. nohup keeps it going, as it does with every program.
func untilSignal() int {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		ends = append(ends, syscall.SIGHUP)
	}
	// Who reads stdout or stderr may go away, as head does: that output is then lost,
	// but not what else is to be written. Notify and not Ignore, which programs that
	// this one starts would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}
