//go:build !linux

package connect

import (
	"fmt"
	"runtime"
)

func newAsker(cfg Config) (asker, error) {
	if cfg.Interface != "" {
		return nil, fmt.Errorf("connect: interface %s: cannot be chosen on %s, only the source address", cfg.Interface, runtime.GOOS)
	}
	return newDialer(cfg.Source), nil
}
