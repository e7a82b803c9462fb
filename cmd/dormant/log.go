package main

import (
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// logOptions are the flags of every command that say how much goes to stderr.
type logOptions struct {
	level  string
	format string
	quiet  bool
}

func (o *logOptions) addFlags(flags *pflag.FlagSet) {
	flags.Var(oneOf(&o.level, "info", "debug", "warn", "error"), "log-level", "least level of the log on stderr")
	flags.Var(oneOf(&o.format, "text", "json"), "log-format", "form of the log on stderr")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "only errors on stderr, no progress line, no table beside an output file")
}

// logger writes to w, never to stdout.
func (o logOptions) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(o.level)) // the flag takes no word that it does not
	if o.quiet {
		level = max(level, slog.LevelError)
	}
	if o.format == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !colored(w)}))
}

// colored reports whether w is a terminal whose user has not refused colour
// (the NO_COLOR convention).
func colored(w io.Writer) bool {
	_, refused := os.LookupEnv("NO_COLOR")
	return isTerminal(w) && !refused && os.Getenv("TERM") != "dumb"
}

func isTerminal(w any) bool {
	if s, ok := w.(*screen); ok {
		w = s.w
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width returns the columns of a terminal, else 0.
func width(w io.Writer) int {
	if s, ok := w.(*screen); ok {
		w = s.w
	}
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}
