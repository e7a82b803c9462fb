package agent

import (
	"context"
	"strings"
	"sync"
	"time"

	"dormant/cmd/internal/fleet"
)

// The kinds of faults that a beat tells, the gravest first.
const (
	faultList    = iota // the never-scan list
	faultSweep          // the last shard
	faultPull           // no shard can be had
	faultPublish        // the server takes no results
	faultTerms          // or gives no work
	faultKinds
)

// faults are what does not work at the moment, one of each kind.
type faults struct {
	mu  sync.Mutex
	all [faultKinds]string
}

// set remembers the fault of a kind; nil is none. It reports whether that is
// news.
func (f *faults) set(kind int, err error) (news bool) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	news = f.all[kind] != text
	f.all[kind] = text
	return news
}

func (f *faults) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var said []string
	for _, s := range f.all {
		if s != "" {
			said = append(said, s)
		}
	}
	return clip(strings.Join(said, "; "))
}

// longestFault is the longest text of a fault in a message, in bytes.
const longestFault = 1000

// clip bounds a text by the bytes, on the border of a character.
func clip(s string) string {
	if len(s) <= longestFault {
		return s
	}
	return strings.ToValidUTF8(s[:longestFault], "") + "…"
}

// beats says for every vantage that the agent is there, and at the end that it
// leaves. A beat that cannot be sent now is not sent later.
func (a *Agent) beats(ctx context.Context) {
	tick := time.NewTicker(a.cfg.pace.beat)
	defer tick.Stop()
	for {
		a.beat(false)
		select {
		case <-ctx.Done():
			a.beat(true)
			// the last words go out before the caller closes the connection
			_ = a.cfg.Conn.FlushTimeout(min(a.cfg.pace.request, time.Second))
			return
		case <-tick.C:
		}
	}
}

func (a *Agent) beat(leaves bool) {
	if !a.cfg.Conn.IsConnected() {
		return
	}
	for _, v := range a.vantages {
		b := v.beat()
		b.Leaves = leaves
		data, err := fleet.EncodeSmall(b)
		if err == nil {
			err = a.cfg.Conn.Publish(v.place.BeatSubject(a.cfg.Agent), data)
		}
		if err != nil {
			v.log.Debug("a beat was not sent", "error", err)
		}
	}
}

// beat is what the vantage is at.
func (v *vantage) beat() fleet.Beat {
	cfg := &v.agent.cfg
	b := fleet.Beat{
		Version: fleet.Version, Program: cfg.Program, Host: cfg.Host, Process: v.agent.process, Backend: v.sweeper.Backend(),
		Now: time.Now(), Skew: v.terms.skew(), Waits: v.spool.results(), Fault: v.faults.String(),
	}
	if at := v.atWork.Load(); at != nil {
		p := v.sweeper.Progress()
		b.Run, b.Shard, b.Sent, b.Total, b.Open = at.Run, at.Number, p.Sent, p.Expected, p.Open
	}
	return b
}
