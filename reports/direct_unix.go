//go:build unix

package reports

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// readerPatience is how long a pipe may wait for whoever reads it: enough for
// a reader that the same command line starts. The value is a judgement.
const readerPatience = 2 * time.Second

// openDirect opens a device or pipe. An ordinary open of a pipe that nobody
// reads would block, and neither an interrupt nor a deadline could end it.
func openDirect(path string) (*os.File, error) {
	for waited := time.Duration(0); ; waited += 50 * time.Millisecond {
		f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if !errors.Is(err, syscall.ENXIO) {
			return f, err
		}
		if waited >= readerPatience {
			return nil, errors.New("nobody reads from this pipe: start the reader first")
		}
		time.Sleep(50 * time.Millisecond)
	}
}
