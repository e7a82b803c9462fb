package main

import (
	"errors"
	"fmt"
	"syscall"

	"dormant/cmd/internal/doctor"
)

// tooFew makes one clear line, and the exit code of a privilege that is missing,
// of a scan that could not begin because no file descriptor was left. What
// happens later has an exit code of its own.
func tooFew(err error) error {
	if e, ok := errors.AsType[*exitError](err); ok && e.code != exitUsage {
		return err
	}
	if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
		return err
	}
	return &exitError{exitPrivilege, fmt.Errorf("no file descriptor is left to begin with: this process may have %d, raise that (ulimit -n)", doctor.Descriptors())}
}
