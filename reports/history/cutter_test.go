package history_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// cutter stands between the program and the server and cuts a connection after
// so many answers.
type cutter struct {
	dir, to string
	mu      sync.Mutex
	left    int // messages until the cut; 0 is never
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	dir, err := os.MkdirTemp("", "cut") // a short name: sockets have a limit
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{dir: dir, to: to}
	ln, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { // ends with the listener
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.serve(conn) }) // ends with either side
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
		_ = os.RemoveAll(dir)
	})
	return c
}

// after cuts the next connection that is used after n more answers, once.
func (c *cutter) after(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = n
}

// cut counts an answer, and reports whether it is the one that does not come.
func (c *cutter) cut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		return false
	}
	c.left--
	return c.left == 0
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // it is cut anyway
	server, err := net.Dial("unix", c.to)
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // likewise
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(server, client) // ends when either is closed
		_ = server.Close()
	})
	buf := make([]byte, 1<<16)
	for {
		n, err := server.Read(buf)
		if err != nil || c.cut() {
			break
		}
		if _, err := client.Write(buf[:n]); err != nil {
			break
		}
	}
	_ = client.Close()
	_ = server.Close()
	wg.Wait()
}
