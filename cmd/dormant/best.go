package main

import (
	"context"
	"errors"

	"dormant/reports"
	"dormant/scanner"
)

// best passes on one finding for each target. More than one comes where a later
// answer told more than the first: a firewall's error, then the SYN-ACK. It
// stands behind a sorter, so those of one target follow each other, and holds
// one finding, which the sorter does not change any more.
type best struct {
	next reports.Sink
	held reports.Finding
	any  bool
}

var _ reports.Sink = (*best)(nil)

// Write holds the finding until it is known to be the best of its target.
func (b *best) Write(ctx context.Context, f reports.Finding) error {
	if b.any && b.held.IP == f.IP && b.held.Port == f.Port && b.held.Transport == f.Transport {
		if !tellsLess(f, b.held) {
			b.held = f
		}
		return nil
	}
	err := b.flush(ctx)
	b.held, b.any = f, true
	return err
}

func (b *best) flush(ctx context.Context) error {
	if !b.any {
		return nil
	}
	b.any = false
	return b.next.Write(ctx, b.held)
}

// Close passes the last finding on.
func (b *best) Close() error {
	return errors.Join(b.flush(context.Background()), b.next.Close()) // what was found is written whatever became of the run
}

// tellsLess reports whether f says less of its target than g: of equals the
// later one counts, unless only the earlier one has a dialogue.
func tellsLess(f, g reports.Finding) bool {
	if x, y := weight(f.State), weight(g.State); x != y {
		return x < y
	}
	return f.Dialogue == nil && g.Dialogue != nil
}

// weight orders states by how much they tell.
func weight(s scanner.State) int {
	switch s {
	case scanner.Open:
		return 5
	case scanner.Closed:
		return 4
	case scanner.Filtered:
		return 3
	case scanner.Unreachable:
		return 2
	case scanner.OpenFiltered:
		return 1
	case scanner.Unknown:
		return 0
	}
	return 0
}
