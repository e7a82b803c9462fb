package connect

import (
	"fmt"
	"net"
)

func newAsker(cfg Config) (asker, error) {
	index := 0
	if cfg.Interface != "" {
		device, err := net.InterfaceByName(cfg.Interface)
		if err != nil {
			return nil, fmt.Errorf("connect: interface %q does not exist: want one that ip link shows", cfg.Interface)
		}
		index = device.Index
	}
	return newSockets(cfg.Source, cfg.Interface, index), nil
}
