package web

import (
	"context"
	"time"

	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner"
)

// Store is the history that the pages read; *history.Store is one.
type Store interface {
	Places(ctx context.Context) ([]history.Place, error)
	RunsOf(ctx context.Context, f history.RunFilter) ([]history.Run, error)
	Find(ctx context.Context, name string) (history.Run, error)
	Base(ctx context.Context, r history.Run) (history.Run, bool, error)
	SearchOnce(ctx context.Context, q history.Query) (history.Page, error)
	CountOnce(ctx context.Context, q history.Query) (uint64, error)
	Tally(ctx context.Context, run history.Run) (history.Tally, error)
	Changes(ctx context.Context, run history.Run) (base string, changes map[history.Kind]uint64, err error)
	History(ctx context.Context, f history.RunFilter, t scanner.Target) ([]history.Look, error)
	Finding(ctx context.Context, run history.Run, t scanner.Target) (reports.Finding, bool, error)
	Seen(ctx context.Context, run history.Run, t scanner.Target) (first, last time.Time, err error)
	Findings(ctx context.Context, run history.Run, fn func(reports.Finding) error) error
	Diff(ctx context.Context, from, to history.Run, fn func(history.Change) error) error
	Annotate(run history.Run, next reports.Sink) *history.Annotator
}

var _ Store = (*history.Store)(nil)
