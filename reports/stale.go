package reports

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A temporary file is a dot, the final name, a dot, tempRandom characters of
// chance, and tempEnd.
const (
	tempRandom = 8
	tempEnd    = ".tmp"
)

// staleAfter is how old a temporary file must be before it can be one that a
// killed process has left: whoever makes one locks it within that time.
const staleAfter = time.Minute

// removeStale removes the temporary files of final that processes have left that
// were killed. It is a courtesy: what cannot be removed stays.
func removeStale(final string) {
	begin := "." + filepath.Base(final) + "."
	dir := filepath.Dir(final)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // a folder that can be written to need not be readable
	}
	for _, e := range entries {
		random, ok := strings.CutPrefix(e.Name(), begin)
		random, end := strings.CutSuffix(random, tempEnd)
		if !ok || !end || len(random) != tempRandom || !e.Type().IsRegular() {
			continue
		}
		st, err := e.Info()
		if path := filepath.Join(dir, e.Name()); err == nil && time.Since(st.ModTime()) > staleAfter && abandoned(path) {
			_ = os.Remove(path)
		}
	}
}
