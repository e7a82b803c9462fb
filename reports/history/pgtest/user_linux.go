package pgtest

import (
	"os"
	"syscall"
)

// nobody is Debian's user of that name.
const nobody = 65534

// notRoot says as whom the server runs, which refuses to be root: where the test
// is, it is nobody, or somebody in a user namespace of its own where this root
// is none outside. It gives dir to that user.
func notRoot(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if os.Chown(dir, nobody, nobody) == nil {
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}, nil
	}
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, Size: 1}},
	}, nil
}
