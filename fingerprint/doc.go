// Package fingerprint finds out what is behind an open port. An Identifier
// holds the dialogue and returns Evidence, the bytes as they were; Rules turn
// evidence into a Verdict. Judging is pure: stored evidence can be judged again
// by newer rules without a packet.
//
// # Rules
//
// One product is one file, rules/<id>.yaml, decoded strictly: an unknown key,
// a pattern that does not compile, a missing source or example is an error
// with its file and line, and all of them are reported together.
//
//	id: nginx                      # the file's name; lower case, digits, - and _
//	service: http                  # the protocol spoken, without TLS: http, ssh, postgresql
//	product: nginx                 # may hold {groups}; "" when only the protocol is known
//	version: "{version}"           # default: the group version
//	cpe: cpe:2.3:a:f5:nginx:{version}:*:*:*:*:*:*:*
//	verdict: known_service         # one of the classes of verdict.go
//	reason: web                    # optional code within the class; debugger, posix, …
//	family: Havoc                  # possible_c2 only, and required there
//	evidence: {kind: http_header, points: 75}
//	ports: [80/tcp]                # usual ports, for people; never evidence
//	on: [get10, get11]             # which answers to look at; default all
//	inside: any                    # or tls, or plain
//	match:                         # all must hold, for one and the same answer
//	  - {field: "header:server", pattern: '(?i)\Anginx(?:/(?P<version>[0-9.]+))?'}
//	tell: "nginx, {bytes} bytes"   # what was seen, in words; default the text that matched
//	flags: [web_server]            # facts beside the verdict
//	severity: info                 # info, low, medium, high; default by the class
//	confirm: hasp_options          # opener that is said once more where there is no version, or on another port
//	hint: one sentence a reader should know
//	settle: one sentence that says what would settle it
//	note: from documentation, not recorded
//	sources: ["captures of nginx 1.22"]
//	examples:
//	  - {text: "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\r\n", version: "1.22.1"}
//	not:
//	  - {text: "HTTP/1.1 200 OK\r\nServer: Apache\r\n\r\nnginx"}
//
// A probe in "on" is silence (what came before anything was sent), get10, get11,
// get404, tls (the answer of a plain port to a ClientHello, and the handshake of
// a TLS port), udp (the sweep's datagram) or the id of an opener. An HTTP answer
// inside TLS has the probe get10, get11 or get404, and its connection's certificate.
//
// A condition tests one field:
//
//	data            everything received, without the part that only echoes what was sent
//	status, code    the status line of an HTTP answer; its number
//	head            the status line and all header lines, raw
//	header:NAME     each value of that header; NAME in any case
//	body, title     the body, chunks joined, its first 32 KiB; the text of <title>
//	body:sha1, body:sha256, body:mmh3   hashes of the whole body, mmh3 signed
//	length, end, first_byte_ms, elapsed_ms   of the exchange
//	cert:subject, cert:issuer   "C=US, O=Acme Co, CN=x", in the certificate's order
//	cert:serial, cert:sha256, cert:sha1, cert:md5   lower-case hex without leading zeros in the serial
//	cert:not_before, cert:not_after (RFC 3339), cert:san (joined by commas), cert:self_signed, cert:key
//	tls:version, tls:cipher, tls:jarm, tls:wants_certificate, alpn
//
// by exactly one of
//
//	pattern: RE2 over the bytes read as Latin-1: \xNN is the byte NN, a character
//	         beyond ASCII is the bytes of its UTF-8 form; \A and \z anchor. Groups
//	         named version, product, hostname and edition are extracted: escaped,
//	         cut at 80 bytes, and left out when they do not look like one; a version
//	         also where the answer was cut off behind it
//	equals, contains: text
//	hex: a prefix of bytes, ?? for any byte: "05 ?? 00"
//	min, max: numbers, one or both
//	absent: true, when the answer has no such field
//
// or names a function of handshakes.go: {computed: nethasp}.
//
// A tell is for answers whose bytes say nothing to a reader, and is shown as
// evidence in their place: {bytes} is how many came, {begin} the first four in
// hex, {seen} the text that matched, and any group of the rule stands under its
// name. Where one of them is not known, the bytes are shown after all. The dialogue
// keeps every byte.
//
// Points say how much a sign is worth: 85 to 95 an exact banner or the
// structured reply of a protocol to its own opener (kind banner or protocol),
// 60 to 95 a product named in a header or by an exact body, 50 to 75 an error
// text that many products of one stack share, 25 to 40 medium, 5 to 15 weak. Of
// two rules that match, the one with more points names the product, so a
// specific rule must be worth more than the family that it belongs to.
//
// An example holds text, hex or base64, and optionally probe (default: the first
// of "on", else get10), sent (hex), inside: true, end, and fields, which stand in
// for a certificate: {"cert:subject": "CN=x"}. The keys product, version, cpe,
// hostname and service are what it must give; what is not named is not compared.
// Every example is held against all rules: it must be won by its own.
//
// # Openers
//
// openers.yaml lists the messages that start a protocol: id, transport, text or
// hex (at most 256 bytes), wait, first (ports where it goes before the generic
// probes), shapes (the shapes of a port, see Shape, in which it is tried last).
//
// # Dialogue
//
// An Identifier talks to an open TCP port in this order, one connection at a
// time with each host, and stops at the first answer that leaves no question:
//
//	canaries   two connects to random ports, once a host, a third when one was open
//	license    1947 and 475: the license manager's own opener
//	listen     connect, 3 s of silence; if nothing came, GET / HTTP/1.0 on the same connection
//	further    the generic probe that tells most (GET / HTTP/1.1, TLS with the GET inside, the
//	           page that is not there), then the opener for the port's shape, as connections are
//	           left, and a second one on a port that has not said a byte; a TLS server without a
//	           cipher suite in common is sent a hello of older ones
//	confirm    one opener more where the best rule wants it: a license manager without a
//	           version, or on a port that is not its own; a Redis or a VNC server, whether it asks for a
//	           password
//	deep       on request, ten hellos of a JARM, where TLS has no name or shows a sign of
//	           command and control
//	again      a minute later, only after a sign of command and control
//
// Run holds many dialogues at a time: a line for each host, and no worker that
// waits for a host while another could be asked.
//
// # Design
//
// Rules are data and handshakes are code, because a reviewer of a rule is an
// analyst, and the diff of a rule should be the claim, its source and its proof.
// Computed answers (NetHASP, Sentinel RMS, the search datagram) are functions
// that rules name, so that they too have sources and examples.
//
// An echo is taken off every answer before any rule reads it. Otherwise our own
// GET would come back as a "match"; and a terminal that echoes the line before
// its shell complains would hide the complaint.
//
// Evidence is a sum only for possible_c2. A benign name is never made of weak
// signs: the best single one decides, and agreement of two kinds raises the
// confidence, not the points.
//
// A license manager that its own protocol proves stands before the block page:
// an Admin Control Center that refuses everybody may give its one page to any
// bytes at all.
//
// Against a sign of command and control a Server header is worth no more than
// 75 points, whatever its rule says: it is what the operator of the listener
// chose to claim, and those that are known claim nginx or Apache. The other
// evidence for an innocent name counts in full, except a mere runtime: Go's
// not-found page says in what a listener was written, not whose it is. A sign is repeated only when
// the same probe showed it on another connection at least 30 s later, so that
// two looks within one dialogue are one.
//
// A plain HTTP port that nothing names is sent a ClientHello before a second
// page is asked for. Its error text names the stack where no header does, and a
// filter that answers for somebody else gives the same page to it.
//
// Rules look for a literal of their pattern before they run it, which made a
// judgement some fifteen times faster. One automaton for all patterns would be
// faster still, and would give up the groups and the one-file-a-rule form.
//
// Silence comes first and shares its connection with the GET: servers that
// greet are heard, and single-client servers are met once. Only a strong match
// shortens it, because a rhythm of a few bytes is seen by listening, and JDWP
// and sslh show themselves by closing after 2.0 s.
//
// A pause of 300 ms ends an answer, except where the head of an HTTP answer says
// that its page is longer: servers send the head and then make the page. One that
// never comes costs the 5 s that silence would have cost.
//
// A host's budget of 20 s counts the waiting for answers, not the silences, and
// never denies a port its first step and its second connection. Otherwise six
// ordinary services on one machine would spend it, and the last would have no
// name for no fault of its own.
//
// Where TLS agrees on HTTP/2, the page is asked for on a further connection
// that offers only HTTP/1.1. Speaking HTTP/2 would save it, but its compressed
// headers are nothing that a rule or a reader of the transcript can read.
//
// A failed TLS handshake is not tried again, with one exception: a server that
// says that no cipher suite is common gets a hello of our own bytes, which
// offers what Go cannot do, finite-field Diffie-Hellman above all. No session
// can come of it, and none is needed: version, suite and certificate of old
// servers are in the clear, and are read from the wire, as they are where Go
// refuses the key or cannot parse the certificate. Offering those suites in the
// first hello would have meant a TLS stack of our own.
//
// A JARM is taken with hellos of the same kind, by the published description,
// and held against the values that others have published: it is worth something
// only as long as it is the same number. The ten answers are evidence, and no
// rule reads them one by one.
//
// Default leaves the built-in rules unread until there is something to hold
// against them, and their examples for ever; patterns are compiled when a value
// first holds their literal. A command that scans three hosts should not pay for
// 600 files before its first packet. A built-in rule that is broken is a broken
// program, which the tests find; those of a user's folder are read at once, and
// what is wrong with them is said before anything is sent. One file with all
// rules, or generated code, would be faster and could not be reviewed rule by
// rule.
//
// A silent port is asked for DNS before SMB: of servers that take both a GET
// and a ClientHello for the beginning of something longer, DNS was the most
// frequent among those recorded. SMB is asked for on the connection that only a
// port without a word has more. A git daemon and distccd have no turn there:
// they close on text, as MQTT and RDP do, which are met far more often, and the
// greeting of distccd is the beginning of a job.
package fingerprint
