//go:build unix

package enroll

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// othersRead tells whether anybody but the owner may read or write the file.
func othersRead(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// CheckOwner returns why this process must not change what is in a folder: it is
// another user's, who could then not read what root writes there. A server would
// not notice that an agent was revoked. A folder that is not there is nobody's.
func CheckOwner(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("enroll: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() {
		return nil
	}
	name := "#" + strconv.FormatUint(uint64(stat.Uid), 10) // as sudo takes it
	if u, err := user.LookupId(name[1:]); err == nil {
		name = cmp.Or(u.Username, name)
	}
	return fmt.Errorf("enroll: %s belongs to the user %s, who could not read what is written here: want the same command with sudo -H -u %s before it", dir, name, name)
}
