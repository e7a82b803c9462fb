package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"dormant/cmd/internal/disk"
)

// The files of Config.Local, readable for their user only.
const (
	secretFile = "operator.key"
	socketFile = "operator.sock"
	// longestSocket is what the address of a socket may have everywhere, in
	// bytes: 104 with the final zero on macOS, 108 on Linux (unix(4), unix(7)).
	longestSocket = 103
	// maxLocal bounds the local commands that are connected at a time.
	maxLocal = 32
)

// ErrNotRunning says that no server runs on the state folder.
var ErrNotRunning = errors.New("no server is running there")

// DialLocal connects to the server whose Config.Local is dir, on this machine,
// with all permissions. It returns ErrNotRunning if there is none.
func DialLocal(ctx context.Context, dir string, o Options) (*nats.Conn, error) {
	secret, err := readSecret(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("broker: %s: %w", dir, err)
	}
	path := filepath.Join(dir, socketFile)
	try, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("broker: %s: %w", dir, ErrNotRunning)
	}
	o.inProcess, o.user, o.password = &localDialer{path: path, first: try}, localUser, secret
	return Dial(ctx, o)
}

// localDialer gives NATS the socket, and again when it is lost.
type localDialer struct {
	path  string
	mu    sync.Mutex
	first net.Conn
}

// InProcessConn returns a connection to the socket.
func (d *localDialer) InProcessConn() (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.first; c != nil {
		d.first = nil
		return c, nil
	}
	return net.DialTimeout("unix", d.path, dialWithin)
}

// localSecret reads the secret of the folder, or makes it.
func localSecret(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	secret, err := readSecret(dir)
	if errors.Is(err, fs.ErrNotExist) {
		secret = rand.Text() + rand.Text()
		err = disk.Replace(filepath.Join(dir, secretFile), []byte(secret+"\n"))
	}
	return secret, err
}

func readSecret(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, secretFile))
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(b))
	if len(secret) < 26 { // rand.Text has 26 characters
		return "", fmt.Errorf("%s is cut: remove it, and the server makes another", secretFile)
	}
	return secret, nil
}

// door is the socket of local commands. Without one its methods do nothing.
type door struct{ listener net.Listener }

func (s *Server) openLocal() (door, error) {
	if s.c.Local == "" {
		return door{}, nil
	}
	path := filepath.Join(s.c.Local, socketFile)
	if len(path) > longestSocket {
		return door{}, fmt.Errorf("broker: socket %s: the path has %d bytes: want a state folder with a shorter one, at most %d", path, len(path), longestSocket)
	}
	if c, err := net.Dial("unix", path); err == nil {
		return door{}, errors.Join(fmt.Errorf("broker: %s: another server runs on this folder", s.c.Local), c.Close())
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a server that was killed
		return door{}, fmt.Errorf("broker: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return door{}, fmt.Errorf("broker: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return door{}, errors.Join(fmt.Errorf("broker: %w", err), l.Close())
	}
	return door{l}, nil
}

// serve takes local commands until ctx ends, and returns when all are gone.
func (d door) serve(ctx context.Context, s *Server) {
	if d.listener == nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = d.listener.Close() }) // removes the socket, too
	defer stop()
	var group sync.WaitGroup
	defer group.Wait()
	seats := make(chan struct{}, maxLocal)
	for {
		c, err := d.listener.Accept()
		if err != nil {
			if ctx.Err() == nil {
				s.c.Log.Error("the socket of local commands is closed", "error", err)
			}
			return
		}
		select {
		case seats <- struct{}{}:
			group.Go(func() { // ends when either side hangs up, or with ctx
				defer func() { <-seats }()
				join(ctx, c, s)
			})
		default:
			_ = c.Close()
		}
	}
}

// join carries bytes between a local command and the broker until either hangs
// up.
func join(ctx context.Context, c net.Conn, s *Server) {
	inside, err := s.InProcessConn()
	if err != nil {
		_ = c.Close()
		return
	}
	hangUp := func() { _, _ = c.Close(), inside.Close() }
	stop := context.AfterFunc(ctx, hangUp)
	defer stop()
	var group sync.WaitGroup
	group.Go(func() { // ends when the broker hangs up
		defer hangUp()
		_, _ = io.Copy(c, inside)
	})
	_, _ = io.Copy(inside, c)
	hangUp()
	group.Wait()
}
