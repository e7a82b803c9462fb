//go:build linux

package wire

import "sync"

// lane is one way out of an interface.
type lane struct {
	out Writer
	tx  sync.Mutex // one WriteFrames at a time: senders and Resolve may meet
}

// lanes returns all ways out over a link, the link itself first.
func lanes(l Link) []*lane {
	all := []*lane{{out: l}}
	if more, ok := l.(Lanes); ok {
		for _, w := range more.Lanes() {
			all = append(all, &lane{out: w})
		}
	}
	return all
}

// write hands frames to the link.
func (l *lane) write(frames [][]byte) (int, error) {
	l.tx.Lock()
	defer l.tx.Unlock()
	return l.out.WriteFrames(frames)
}
