package enroll

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dormant/cmd/internal/fleet"
)

// TestAnnouncedPlaces: another process reads what the last server wrote, and a
// file that was damaged is an error with its name.
func TestAnnouncedPlaces(t *testing.T) {
	dir := t.TempDir()
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.AnnouncedPlaces(); got != nil || err != nil {
		t.Errorf("before a server ran: %v, %v", got, err)
	}
	want := []fleet.Place{{Site: "hq", Vantage: "dmz"}, {Site: "hq", Vantage: "lan"}}
	for _, places := range [][]fleet.Place{{{Site: "old", Vantage: "lan"}}, want} {
		if err := a.AnnouncePlaces(places); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.AnnouncePlaces([]fleet.Place{{Site: "h.q", Vantage: "lan"}}); err == nil || !strings.Contains(err.Error(), `site "h.q"`) {
		t.Errorf("a name that cannot be: %v", err)
	}
	beside, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := beside.AnnouncedPlaces()
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	path := filepath.Join(dir, placesFile)
	if err := os.WriteFile(path, []byte(`[{"site":"\u001b"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := a.AnnouncedPlaces(); got != nil || err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged file: %v, %v", got, err)
	}
}
