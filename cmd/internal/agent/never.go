package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"dormant/scanner"
)

// CheckLists returns why the never-scan lists cannot be read, before anything is
// begun.
func (c *Config) CheckLists(ctx context.Context) error {
	_, err := c.neverScan(ctx)
	return err
}

// neverScan reads the site's lists of what is never sent to.
func (c *Config) neverScan(ctx context.Context) (*scanner.Spared, error) {
	var lists []scanner.List
	var files []io.Closer
	defer func() {
		for _, f := range files {
			_ = f.Close() // read only
		}
	}()
	paths := c.NeverScan
	if c.Standing != "" {
		paths = append([]string{c.Standing}, paths...)
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) && path == c.Standing {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("never-scan list: %w", err)
		}
		files = append(files, f)
		lists = append(lists, scanner.List{Name: path, Reader: f})
	}
	spared, err := scanner.ParseSpared(ctx, "never-scan entry", lists, c.Lookup)
	if err != nil {
		return nil, fmt.Errorf("never-scan list: %w", err)
	}
	return spared, nil
}
