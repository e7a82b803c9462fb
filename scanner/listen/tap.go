package listen

import (
	"context"
	"errors"
	"time"
)

// ErrUnsupported means that this system's interfaces cannot be heard by this
// program; capture files can be read everywhere.
var ErrUnsupported = errors.New("listen: interfaces are heard on Linux only; read a capture file instead")

// ErrDown means that an interface that was heard is down or gone.
var ErrDown = errors.New("listen: the interface is down or gone")

// Tap hears one interface and sends nothing.
type Tap interface {
	// Name is the interface's.
	Name() string
	// Listen calls hear for each frame of the ports from the calling goroutine
	// until ctx ends, and then returns nil. An error that is ErrDown may pass;
	// the tap must be opened anew then.
	Listen(ctx context.Context, hear func(source string, link LinkType, frame []byte, at time.Time)) error
	// Drops counts the frames that came too fast to be heard.
	Drops() (uint64, error)
	// Close frees the tap.
	Close() error
}
