// Command dist makes what is shipped: for every platform an archive with the
// program, its manual pages, completions and licences, a list of its parts
// (CycloneDX 1.6), and for Linux a Debian package and a folder that a container
// is built from; and the digests of all of it.
//
//	make dist VERSION=1.2.3
//
// # Design
//
// What is shipped is a commit, never a working tree: the build runs in a clone
// under the tag of the version, so that Go itself writes version, commit and time
// into the program, and a forgotten change is told and left out. Where there is
// no repository, as in an unpacked archive of the source, the folder is built as
// it is; the program then calls itself "devel".
//
// The same commit gives the same bytes. The archives are written here rather than
// by tar, zip and dpkg-deb, whose output depends on their release, and have one
// time, that of the commit or SOURCE_DATE_EPOCH. What differs is another release
// of Go. make dist-again builds all a second time, without the cache of the
// first, at another place, and compares.
//
// What is in a binary is what the binary says (debug/buildinfo), not what go.mod
// lists. The licences are those at the top of each module and on the way down to
// each package that is linked. They are recognised by sentences that only they
// have; a text that is not recognised, or that speaks of a licence that may not be
// shipped, fails the make, until a person has read it and says so in judgements,
// for exactly that text. MIT, BSD, Apache-2.0, ISC, ICU and Zlib may be shipped,
// and what asks for nothing: 0BSD, Unlicense, CC0, SQLite's blessing.
//
// The Debian package has services and starts none. The agent's right to raw
// sockets is a capability of its unit, not of the file, so that only the service
// has it. Server and agent are two users: what the agent hears comes from
// strangers, and it must not reach the keys of a server on the same machine. The
// sandbox of the units is that of dormant schedule.
//
// Neither user's state is in /var/lib/dormant: dormant schedule has a unit with a
// dynamic user there, and systemd would move the folder away.
package main
