// Package broker carries the messages between a server and its agents: NATS with
// JetStream, embedded in the server by default, or the user's own cluster.
//
//	Server.Run      the embedded broker: a folder, and a port only if one is asked for
//	Server.Dial     the server's own connection to it, in process
//	DialLocal       a local command's connection to it, by a socket in the state folder
//	Dial            an agent's connection, and everyone's to a cluster of the user's own
//	Prepare         the streams, the bucket and the consumers, however often it is called
//	AccountsConfig  what the user's own cluster must be told of an agent
//
// The goroutines, and what ends them:
//
//	keeper    Server.Run itself         ctx, a start that fails
//	socket    Server.Run                ctx; one more for each connection of a local command
//	NATS's    server.Server.Start       Shutdown, which Run waits for
//
// # Design
//
// Each agent has an account of NATS of its own. An account is a space of
// subjects that nothing leaves but by an import, so an agent's account imports
// just the subjects of fleet.AgentPermissions from the server's account, as
// services. Permissions on subjects alone, all agents in one account, are not
// enough, and that is not a matter of care in writing them: the subject that a
// request names for its answer is published to by whoever answers, and JetStream
// answers with the permissions of the broker. TestReplyTrick shows it: in one
// account, an agent that may do nothing but pull its own shards has the broker
// delete the stream of all results, by naming
// $JS.API.STREAM.DELETE.DORMANT_RESULT for the answer to a pull; others' work and
// results are reached the same way. Through a service import the broker puts a
// subject of its own in place of the named one, and the answer comes out in the
// account that asked, wherever it was to go. An account for each site would let
// the agents of a site do this to each other. The streams stay in one account:
// the server sees one JetStream, and needs no connection for each site.
//
// The message ids by which JetStream drops repetitions are common to all who
// publish to a stream. So fleet wants attempts that cannot be guessed.
//
// A stolen credential can still fill the disk up to the bound of the streams,
// under its own name. The bound holds, the server says who it is, and revoking
// the agent ends it.
//
// A certificate is asked for and verified if one is given; a connection without
// one may only ask to be enrolled. Everyone else is looked up again every
// second, by the same question that was asked when they came: who was revoked,
// or has run out, or belongs to another site by now, is cut off.
//
// Local commands come through a socket that only the server's user can open, and
// with a secret that only that user can read. It works without any port.
//
// Every message is on the disk before it is acknowledged (SyncAlways): a part of
// results holds hundreds of answers, so that one fsync for each is cheap.
package broker
