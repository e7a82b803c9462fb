//go:build unix

package reports

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlantedLink: another user's link in a folder for all is not followed, and what
// it leads to stays as it is; one's own link is.
func TestPlantedLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a link to another user")
	}
	const nobody = 65534
	for _, tt := range []struct {
		name    string
		owner   int
		mode    os.FileMode
		refused bool
	}{
		{"another user's, in a folder like /tmp", nobody, 0o777 | os.ModeSticky, true},
		{"our own there", 0, 0o777 | os.ModeSticky, false},
		{"another user's in a folder of ours", nobody, 0o755, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			target, link := filepath.Join(t.TempDir(), "target"), filepath.Join(dir, "out.csv")
			for _, err := range []error{
				os.WriteFile(target, []byte("old"), 0o600), os.Symlink(target, link), os.Lchown(link, tt.owner, -1), os.Chmod(dir, tt.mode),
			} {
				if err != nil {
					t.Skipf("no other users here: %v", err)
				}
			}
			a, err := createAtomic(link)
			if (err != nil) != tt.refused || err != nil && !strings.Contains(err.Error(), "another user's link") {
				t.Fatalf("createAtomic: %v; want refused: %t", err, tt.refused)
			}
			if a != nil {
				if err := a.Abort(); err != nil {
					t.Error(err)
				}
			}
			if text, err := os.ReadFile(target); err != nil || string(text) != "old" {
				t.Errorf("the target holds %q, %v; want what it held", text, err)
			}
		})
	}
}
