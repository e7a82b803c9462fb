// Package listeners tells who on this host listens on the dormant ports: the
// process behind each socket, its file, user, start, package, unit and
// container. It reads what the system tells and sends nothing.
//
//	report, err := listeners.Look(ctx, listeners.Config{Ports: ports})
//
// # Design
//
// Linux is read from /proc directly, in every network namespace that a visible
// process lives in and, where this process may enter them, in those that have a
// name but no process. A library was rejected for this part: the known ones
// hold every socket of the host in memory to find six ports.
//
// What cannot be seen is counted, not left out: a socket whose process belongs
// to somebody else is reported without its process, and Report.Hidden says how
// many there are and how many processes could not be looked into.
//
// Of a command line only the script of a known interpreter is kept: arguments
// hold passwords.
//
// /proc does not tell whether an IPv6 socket on :: takes IPv4 as well, and
// whether one is bound to the loopback interface: the kernel is asked by
// sock_diag. In a namespace that this process may not enter, an IPv6 socket is
// taken to take both, as it does unless the program asked otherwise.
//
// One program is started, /bin/rpm, where there is no other package database: by
// that path and without the caller's environment, because a folder of PATH that
// somebody else may write to would have his program run by root.
//
// Files of another mount namespace are read through os.Root, so that a link
// inside a container cannot lead to a file of the host.
package listeners
