//go:build !unix

package reports

import "os"

// openDirect opens a device or pipe.
func openDirect(path string) (*os.File, error) { return os.OpenFile(path, os.O_WRONLY, 0) }
