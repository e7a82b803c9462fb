//go:build !linux

package pgtest

import "syscall"

func notRoot(string) (*syscall.SysProcAttr, error) { return nil, errNone }
