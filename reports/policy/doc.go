// Package policy holds findings against what an organisation has agreed on: who
// may serve what where, who answers for it, and what is tolerated until when.
//
//	version: 1
//	default: unknown            # no: what no rule allows is a breach
//	rules:
//	  - name: cad-licenses
//	    address: [10.1.4.0/24, 10.9.0.7]
//	    port: 1947, 5093/udp    # a bare number is both transports
//	    verdict: license_manager
//	    product: sentinel*
//	    expected: "yes"
//	    owner: CAD team
//	  - verdict: [open_shell, possible_c2]
//	    expected: "no"
//	    severity: high
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
// # Design
//
// The first match decides, as in the firewall that the reader knows, so that an
// exception stands above what it is excepted from.
//
// expected is a word and not a truth value: "unknown" is what most of a network
// is at first, and neither a breach nor an approval. YAML reads a bare yes as a
// truth value, so both the word and the quoted word are taken.
//
// A waiver needs an owner, a reason and an end. One that has ended is named in
// the breach that it no longer covers.
package policy
