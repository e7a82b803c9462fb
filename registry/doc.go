// Package registry says what should be behind a port: who registered it, what
// became of them, what is found there instead, how to check and what to do. It
// is the leaf of the project and holds the two nouns that every other package
// shares, Proto and Port.
//
// A Registry holds dossiers ([Entry], one a port number) and, where the user
// imported it, IANA's list ([IANA]). Default returns the six dossiers that are
// built in, Load reads a user's own, Overlay puts them on top:
//
//	reg, err := registry.Default()
//	own, err := registry.Load(os.DirFS(dir))
//	list, err := registry.LoadIANA(path)
//	reg = reg.Overlay(own).WithIANA(list)
//	reg.Name(port) // the registered name: a claim, never what runs there
//
// # A file of dossiers
//
// One YAML document with the keys sources (short key to full name), checks
// (commands for all its ports) and ports, a list of:
//
//	port          1 to 65535, once in all files
//	title         what the number is known for
//	label         how a report may name it; the title when it is left out
//	status        ghost, legacy or current
//	summary       one paragraph
//	registration  service, description, assignee, contact, registered, modified,
//	              unauthorized_use, notes; may be left out
//	transports    list of transport (tcp or udp), speaks, ask, sign, MARK
//	facts         list of topic, text, MARK; see Topics for the words
//	lineage       list of date, text, MARK; oldest first
//	products      list of name, ports (1947/tcp), note, MARK
//	processes     list of name, system, note, MARK
//	checks        list of system, command, note, MARK; {port} is the number
//	related       list of port, text
//
// where MARK is the three keys standing (account, evidence, contradicts),
// confidence (high, medium, low) and source (a key of sources). port, title,
// status, summary and transports are required. What holds for several ports is
// written once with a YAML anchor and repeated by alias.
//
// # Design
//
// A statement without its standing would be worth little: the published
// accounts of these ports and the protocol evidence contradict each other (is
// 3047 HASP HL or Hardlock?). Both are printed, side by side and marked; the
// reader decides, and this program asserts only what the evidence carries.
//
// A dossier belongs to a number, not to a transport: nobody reads about
// 3588/tcp without wanting to know of 3588/udp. Lookup still asks for the
// transport, so that a dossier of tcp alone claims nothing for udp.
//
// The imported list is stored in IANA's own columns and read by the same
// parser: one format, one fuzz target, and the user may put the original file
// in its place. Rows of sctp and dccp and names without a port are left out.
package registry
