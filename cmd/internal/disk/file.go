package disk

import (
	"errors"
	"os"

	"dormant/registry/durable"
)

// ErrLocked is returned by Lock for a file that another process holds.
var ErrLocked = errors.New("locked")

// Replace writes b to path as a whole, or leaves path as it was. The file is
// readable for its user only.
func Replace(path string, b []byte) error {
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return durable.Rename(part, path)
}

// SyncDir brings to the disk which files a folder has.
func SyncDir(dir string) error { return durable.SyncDir(dir) }
