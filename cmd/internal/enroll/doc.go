// Package enroll says who is an agent: the server's own certificate authority,
// one-time tokens, the credentials that they are turned into, and revocation.
//
//	on the server                                    on the agent's machine
//	Open       the authority in the state folder
//	NewToken   a token for one agent at one site  ->  Enroll: a key, a request to sign,
//	Serve      signs what the token says          ->  a credential folder
//	Admit      who a connection is, each second       Load, KeepFresh: used, and renewed
//	Revoke     ends it at once
//	Announce   where the server is and which places it has, for NewToken
//
// No goroutine is started here but by NATS for Serve's subscription.
//
// # Design
//
// The folder is the truth. A certificate is only the proof of a key: which agent
// it is, its site and its vantages are read from the agent's record each time,
// and a certificate that the record does not name is worth nothing. So `dormant
// server token` and `agents revoke` write a file beside a running server, which
// notices within a second, and there is no list of revoked certificates to
// distribute and no second protocol.
//
// A token carries the fingerprint of the authority's certificate, so that the
// agent knows the server before it says anything: there is no first connection
// on trust. The server keeps the hash of a token's secret only. What is signed
// is what the token was made for; of the request only the public key is taken.
//
// The server proves itself by the name ServerName, which stands in its
// certificate beside its addresses. The authority signs nobody else as a server
// (an agent's certificate is for clients only), so the address by which an agent
// reaches it, through which forwarding and under which name, does not matter.
//
// Certificates are dated two days back: the clock of an agent may be wrong, and
// to say so it must be able to connect. They are renewed when a third of their
// time is left. The one before is good until the new one was first used, so a
// reply that was lost locks nobody out, nor do those of many hours: the one that
// the agent surely has is the last to be forgotten.
//
// A name is one agent's until it is revoked or a token says that it replaces it.
// What cannot be written, a new certificate of the server or the record of an
// agent, costs neither the old certificate nor the token.
package enroll
