//go:build !linux

package listen

import "dormant/registry"

// Interfaces returns ErrUnsupported.
func Interfaces() ([]string, error) { return nil, ErrUnsupported }

// OpenTap returns ErrUnsupported.
func OpenTap(string, []registry.Port, bool) (Tap, error) { return nil, ErrUnsupported }

// IsPrivilege reports whether an error of OpenTap is a missing privilege.
func IsPrivilege(error) bool { return false }
