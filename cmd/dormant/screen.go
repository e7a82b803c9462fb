package main

import (
	"io"
	"strings"
	"sync"
)

// screen is stderr with at most one line at its end that is drawn again and
// again. What else is written to it comes to stand above that line. Its methods
// may be called from several goroutines.
type screen struct {
	w io.Writer

	mu    sync.Mutex // guards what follows, and w
	line  string
	dirty bool // line is on the screen
}

// Write writes p, whole lines, above the line.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirty {
		return s.w.Write(p)
	}
	text := s.wipe() + string(p)
	if s.dirty = strings.HasSuffix(text, "\n"); s.dirty { // else the next draw is soon enough
		text += s.line
	}
	if _, err := io.WriteString(s.w, text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// draw puts line, which leaves columns of the terminal for an echo, in the place of
// the last one; the empty line leaves nothing.
func (s *screen) draw(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := line
	if s.dirty {
		text = s.wipe() + line
	}
	s.line, s.dirty = line, line != ""
	_, _ = io.WriteString(s.w, text) // a line that nobody can see is no fault of the run
}

// echo is how many columns a terminal puts behind the line for a key such as Ctrl-C.
const echo = len("^C")

// wipe is what makes an empty line of the drawn one, on every terminal.
func (s *screen) wipe() string {
	return "\r" + strings.Repeat(" ", len([]rune(s.line))+echo) + "\r"
}
