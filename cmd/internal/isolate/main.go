//go:build linux

// Command isolate runs another command in a fresh network namespace in which
// only the loopback interface is up: no test can send a packet anywhere. Root
// needs nothing else; anybody else gets a user namespace in which it is root,
// as "unshare -Urn" gives. Told to end, it tells the command, which so can clean
// up, and ends as the command does.
//
//	go test -exec bin/isolate ./...
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/vishvananda/netlink"
)

const inside = "DORMANT_ISOLATED"

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "isolate:", err)
	}
	os.Exit(code)
}

// run starts this program again in the namespaces, where it brings loopback up
// and becomes the command.
func run(args []string) (int, error) {
	if len(args) == 0 {
		return 2, errors.New("usage: isolate COMMAND [ARGUMENT…]")
	}
	if os.Getenv(inside) != "" {
		return 126, become(args)
	}
	self, err := os.Executable()
	if err != nil {
		return 126, err
	}
	cmd := exec.Command(self, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	if err := cmd.Start(); err != nil {
		return 126, fmt.Errorf("no namespace here (%w): allow user namespaces or run as root", err)
	}
	go func() { // ends with this process
		for s := range signals {
			_ = cmd.Process.Signal(s) // fails only when the command has ended
		}
	}()
	return exitCode(cmd.Wait())
}

// exitCode is what the command ended with, as a shell has it: 128 and the signal
// that ended it.
func exitCode(err error) (int, error) {
	if err == nil {
		return 0, nil
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return 126, err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}

// become replaces this process by the command.
func become(args []string) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	if err := os.Unsetenv(inside); err != nil {
		return err
	}
	return syscall.Exec(path, args, os.Environ())
}
