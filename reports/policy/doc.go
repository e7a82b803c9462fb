// Package policy holds findings against what an organisation has agreed on: who
// may serve what where, who answers for it, and what is tolerated until when.
//
//	version: 1
//	default: unknown            # no: what no rule allows is a breach
//	vantages:                   # the first that matches; * is any part of a name
//	  dmz-*: outside
//	  guest: inside             # takes back what the name says
//	rules:
//	  - name: cad-licenses
//	    address: [10.1.4.0/24, 10.9.0.7]
//	    port: 1947, 5093/udp    # a bare number is both transports
//	    verdict: license_manager
//	    product: sentinel*      # * is any part of the name, here and in vantage
//	    vantage: lan-*
//	    expected: "yes"
//	    owner: CAD team
//	    ticket: CHG0012345
//	  - verdict: [open_shell, possible_c2]
//	    expected: "no"
//	    severity: high
//	    reason: no shells
//	waivers:
//	  - address: 10.2.0.14
//	    port: 3588/tcp
//	    owner: R. Meyer
//	    reason: demo until the fair
//	    ticket: CHG0012345
//	    expires: 2027-03-31     # the last day
//
// The first rule that matches an open port decides. A breach is a finding with
// expected "no" that no waiver covers; it carries the flag policy_breach.
//
// A license manager that answers a vantage outside, or on a public address, is
// exposed: a finding of its own, with flags, a severity and the advice of the
// port's dossier. An Auditor marks it, also where there is no policy.
//
// # Design
//
// Exposure is no breach. A rule says who may serve what; that outsiders reach a
// license manager is never what a rule for its port and address was meant to
// allow, so a rule with expected yes does not cover it. A waiver does, because
// it has an owner, a reason and an end. With a policy both make a scan exit 1.
//
// A vantage that is just called internet, dmz or guest is outside without a
// policy, as its name says. Longer names are not taken apart: guest is also
// what a virtual machine is called, and a vantage is the host's name where
// nobody gave it one.
//
// A public address alone is of medium severity, a vantage outside of high: only
// the second shows that nothing stands before the server. Which addresses are
// public is IANA's registries' word, so documentation ranges are not.
//
// The first match decides, as in the firewall that the reader knows, so that an
// exception stands above what it is excepted from.
//
// expected is a word and not a truth value: "unknown" is what most of a network
// is at first, and neither a breach nor an approval. YAML reads a bare yes as a
// truth value, so both the word and the quoted word are taken.
//
// A waiver needs an owner, a reason and an end. One that has ended is named in
// the breach that it no longer covers. It is no fault of the file, and neither is
// a rule behind one that takes all that it matches: policies are kept for years,
// and a scan must not stop on the day after a waiver. Idle tells of both.
package policy
