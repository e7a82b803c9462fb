// Package fleet is what a server and its agents say to each other: the subjects,
// the streams and the messages. Both sides import it and neither imports the
// other.
//
//	server                      JetStream                     agent
//	cuts a run into shards  ->  DORMANT_WORK                ->  takes one, asks its targets
//	judges, stores, reports <-  DORMANT_RESULT              <-  parts of results, then done
//	sees who is there       <-  dormant.beat.…              <-  a beat every BeatEvery
//
// A site is a network with an administration of its own; a vantage is a place in
// it that is scanned from; an agent is one process there. The same private
// addresses at two sites are two networks, so a site's name is part of every
// subject, and the runs of two sites never meet.
//
// # Design
//
// A shard is a set of subnets with all ports, not every n-th target: one that no
// agent can do then says by itself which subnets are missing, and the site's own
// never-scan list is a subtraction. The order within a shard is shuffled as in
// any scan.
//
// The result stream is the journal of a run. The server folds it from its first
// message, so a server that was killed folds it again and ends with the same
// findings, and a shard that was done twice changes nothing: a target is found
// once, however often it is reported. What an agent found before it was killed
// is in the stream and counts.
//
// The verdict is given by the server's rules; an agent sends what was said.
//
// An agent's subjects are those of AgentPermissions, in an account of NATS of its
// own that imports nothing else; package broker says why subjects alone would not
// do. So the subject of a message is proof of the site, the vantage and the agent
// that it came from, and CheckOrigin holds the message against it. What is in a
// message is not proof of anything: Decode and Check bound it, and the server
// looks at each result once more with what it knows of the run.
//
// Messages are JSON, so that a person with NATS's own tools can read the stream
// of a small run, and packed with S2 from 1 KiB on: S2 says in the head how long
// the whole will be, so that a bound holds before a byte is unpacked, and needs
// no state between messages. Fields that this version does not know are skipped,
// and a reason for which it has no word is taken for "other", which the run says:
// a release may add some without a new Version, and agents may be upgraded before
// their server. A new state of a port is a new Version: the numbers at the end of
// a shard would not add up.
package fleet
