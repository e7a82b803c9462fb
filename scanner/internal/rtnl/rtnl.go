//go:build linux

// Package rtnl reads whole tables of the kernel by netlink.
package rtnl

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// Whole returns what dump does, again when the table changed meanwhile, and after
// some tries what there is: a busy table (neighbours that come and go, routes of a
// routing daemon) can change during every dump, and what changes is little of it.
func Whole[T any](dump func() ([]T, error)) ([]T, error) {
	const tries = 5
	for try := 1; ; try++ {
		all, err := dump()
		switch {
		case !errors.Is(err, netlink.ErrDumpInterrupted):
			return all, err
		case try == tries:
			return all, nil
		}
	}
}
