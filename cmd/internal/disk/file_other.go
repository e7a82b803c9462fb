//go:build !unix

package disk

import "os"

// Lock opens path. There is no lock that goes with the process everywhere.
func Lock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}
