package connect

import (
	"fmt"
	"net"
)

func newAsker(cfg Config) (asker, error) {
	if cfg.Interface != "" {
		if _, err := net.InterfaceByName(cfg.Interface); err != nil {
			return nil, fmt.Errorf("connect: interface %s: %w", cfg.Interface, err)
		}
	}
	return newSockets(cfg.Source, cfg.Interface), nil
}
