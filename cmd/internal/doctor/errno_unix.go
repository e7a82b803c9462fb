//go:build unix && !linux

package doctor

import "syscall"

const refused = syscall.ECONNREFUSED
