package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// age makes a run's folder so old.
func age(t *testing.T, root, id string, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	if err := os.Chtimes(filepath.Join(root, id), then, then); err != nil {
		t.Fatal(err)
	}
}

func TestPrune(t *testing.T) {
	const day = 24 * time.Hour
	root := t.TempDir()
	made := func(id string, old time.Duration) *Run {
		r, err := Create(root, header(id))
		if err != nil {
			t.Fatal(err)
		}
		age(t, root, id, old)
		return r
	}
	closed := func(id string, old time.Duration) {
		if err := made(id, old).Close(); err != nil {
			t.Fatal(err)
		}
	}
	closed("s_01 old", 31*day)
	locked := made("s_02 old and worked on", 31*day)
	closed("s_03 one too many", 2*day)
	closed("s_04 one too many and fresh", time.Minute)
	closed("s_05", 29*day)
	closed("s_06", 2*day)
	if err := os.WriteFile(filepath.Join(root, "s_00 a file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	resumed(t, root, "s_07", 31*day)
	for name, old := range map[string]time.Duration{"s_08 cut short": 2 * time.Hour, "s_09 being made": 0, "of somebody else": 99 * day} {
		if err := os.Mkdir(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
		age(t, root, name, old)
	}
	gone, err := Prune(root, Limits{Age: 30 * day, Number: 3}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	why := map[string]string{}
	for _, p := range gone {
		why[p.ID] = p.Why
	}
	want := map[string]string{"s_01 old": "nobody has resumed it for 31 days", "s_03 one too many": "there are more than 3 to resume", "s_08 cut short": "it cannot be resumed"}
	if d := cmp.Diff(want, why); d != "" {
		t.Errorf("pruned (-want +got):\n%s", d)
	}
	var left []string
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	wantLeft := []string{"of somebody else", "s_00 a file", "s_02 old and worked on", "s_04 one too many and fresh", "s_05", "s_06", "s_07", "s_09 being made"}
	if d := cmp.Diff(wantLeft, left); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
	if err := locked.Close(); err != nil {
		t.Fatal(err)
	}
	if gone, err := Prune(filepath.Join(root, "nowhere"), Limits{}, time.Now()); err != nil || gone != nil {
		t.Errorf("Prune of no folder = %v, %v; want nothing", gone, err)
	}
}

// resumed makes a run that was left long ago and is worked on again.
func resumed(t *testing.T, root, id string, old time.Duration) {
	t.Helper()
	r, err := Create(root, header(id))
	if err != nil {
		t.Fatal(err)
	}
	age(t, root, id, old)
	if err := errors.Join(r.Save(r.Position), r.Close()); err != nil {
		t.Fatal(err)
	}
}
