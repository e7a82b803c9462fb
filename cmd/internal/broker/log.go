package broker

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/time/rate"
)

// logger turns NATS's lines into records. They may hold what a peer said, and as
// many of them come as peers like, so they are attributes and limited.
type logger struct {
	log   *slog.Logger
	lines *rate.Limiter
	fatal chan error // the first line by which NATS gives up
}

var _ server.Logger = (*logger)(nil)

func newLogger(log *slog.Logger) *logger {
	return &logger{log: log, lines: rate.NewLimiter(1, 20), fatal: make(chan error, 1)}
}

// Noticef is what NATS tells of itself.
func (l *logger) Noticef(format string, v ...any) {
	l.log.Debug("broker", "said", fmt.Sprintf(format, v...))
}

// Warnf is mostly about peers.
func (l *logger) Warnf(format string, v ...any) { l.say(format, v) }

// Errorf is about peers, too, and about the store.
func (l *logger) Errorf(format string, v ...any) { l.say(format, v) }

// Fatalf is called where NATS itself would end the process.
func (l *logger) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Errorf(format, v...):
	default: // the first one says why
	}
}

// Debugf is not called: debugging is off.
func (l *logger) Debugf(string, ...any) {}

// Tracef is not called: tracing is off.
func (l *logger) Tracef(string, ...any) {}

// meant is how the warnings begin that are about what we ask NATS for.
const meant = "Clients that are not using"

func (l *logger) say(format string, v []any) {
	if !strings.HasPrefix(format, meant) && l.lines.Allow() {
		l.log.Warn("broker", "said", fmt.Sprintf(format, v...))
	}
}
