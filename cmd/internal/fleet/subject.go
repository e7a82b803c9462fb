package fleet

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// BeatEvery is how often an agent says that it is there. One that was silent
// for three beats counts as away.
const BeatEvery = 10 * time.Second

// Away is after how long a silence an agent counts as away.
const Away = 3 * BeatEvery

// EnrollSubject is where a one-time token is turned into a credential.
const EnrollSubject = "dormant.enroll"

// RenewSubject is where the agent has a new certificate signed before its old
// one ends. Only its own credential may publish there, so the subject says who
// asks.
func RenewSubject(agent string) string { return "dormant.renew." + agent }

// CheckName returns why name cannot be that of a site, a vantage or an agent;
// kind says of which. A name is a token of a subject, of a consumer's name and
// of a file name alike: a to z, 0 to 9 and -, at most 32, and no - first.
func CheckName(kind, name string) error {
	if !wellFormed(name, 32, "-") || name[0] == '-' {
		return fmt.Errorf("%s %.64q: want a to z, 0 to 9 and -, at most 32, and no - first", kind, name)
	}
	return nil
}

// wellFormed tells whether s is of 1 to longest bytes out of a to z, 0 to 9 and
// those of also.
func wellFormed(s string, longest int, also string) bool {
	if s == "" || len(s) > longest {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte(also, c) < 0 {
			return false
		}
	}
	return true
}

// upperCase may stand in the ids of runs and attempts, beside what names have.
const upperCase = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// checkRun returns why run cannot be the id of a run: it is a token of a subject.
func checkRun(run string) error {
	if !wellFormed(run, 64, upperCase+"-_") {
		return fmt.Errorf("run %.64q: want letters, digits, - and _, at most 64", run)
	}
	return nil
}

// checkAttempt returns why attempt cannot be that of a shard. Message ids are
// shared by all publishers of a stream, and one that is used twice is dropped:
// so an attempt must be long enough that nobody can guess it.
func checkAttempt(attempt string) error {
	if len(attempt) < 16 || !wellFormed(attempt, 64, upperCase+"-_") {
		return fmt.Errorf("attempt %.64q: want 16 to 64 letters, digits, - and _, by chance", attempt)
	}
	return nil
}

// Place is a vantage of a site.
type Place struct {
	Site    string `json:"site"`
	Vantage string `json:"vantage"`
}

// String is the place in the words of every output.
func (p Place) String() string { return p.Site + "/" + p.Vantage }

// Check returns why one of the names cannot be used.
func (p Place) Check() error {
	if err := CheckName("site", p.Site); err != nil {
		return err
	}
	return CheckName("vantage", p.Vantage)
}

// WorkSubject is where shards for the place are put.
func (p Place) WorkSubject() string { return "dormant.work." + p.Site + "." + p.Vantage }

// Consumer is the name of the durable consumer of DORMANT_WORK that all agents
// of the place share.
func (p Place) Consumer() string { return p.Site + "_" + p.Vantage }

// ResultSubject is where the agent puts what it found for a run.
func (p Place) ResultSubject(agent, run string) string {
	return "dormant.result." + p.Site + "." + p.Vantage + "." + agent + "." + run
}

// RunResults selects the results of a run from all agents of the place.
func (p Place) RunResults(run string) string { return p.ResultSubject("*", run) }

// BeatSubject is where the agent says that it is there.
func (p Place) BeatSubject(agent string) string {
	return "dormant.beat." + p.Site + "." + p.Vantage + "." + agent
}

// HelloSubject is where the agent asks for the server's time and terms.
func (p Place) HelloSubject(agent string) string {
	return "dormant.hello." + p.Site + "." + p.Vantage + "." + agent
}

// Inbox is the prefix of everything that is sent to the agent alone. Agents use
// it instead of the common one, which each of them could read.
func Inbox(agent string) string { return "_INBOX_" + agent }

// EnrollInbox is the prefix of the answers to one that has no credential yet.
// nonce is of its own choice and not to be guessed; see CheckNonce.
func EnrollInbox(nonce string) string { return "_INBOX_enroll_" + nonce }

// Service is a subject of the server's account that agents' accounts import.
type Service struct {
	Subject string
	// Streamed is true if one request may bring several answers.
	Streamed bool
}

// Services are all that the server's account exports, for all agents. Which of
// them an agent reaches is said by what its own account imports; see "Design".
func Services() []Service {
	return []Service{
		{Subject: "$JS.API.CONSUMER.INFO." + WorkStream + ".*"},
		{Subject: "$JS.API.CONSUMER.MSG.NEXT." + WorkStream + ".*", Streamed: true},
		{Subject: "$JS.ACK." + WorkStream + ".*.>"},
		{Subject: "dormant.result.*.*.*.*"},
		{Subject: "dormant.beat.*.*.*"},
		{Subject: "dormant.hello.*.*.*"},
		{Subject: "dormant.renew.*"},
		{Subject: EnrollSubject},
	}
}

// Permissions are the subjects of one agent. There is no other that its
// credential lets it publish to or subscribe to.
type Permissions struct {
	Publish, Subscribe []string
}

// EnrollPermissions are those of one that has a token and no credential: it may
// ask to be enrolled, and read the answer to itself.
func EnrollPermissions(nonce string) Permissions {
	return Permissions{Publish: []string{EnrollSubject}, Subscribe: []string{EnrollInbox(nonce) + ".>"}}
}

// CheckNonce returns why nonce does not serve as that of EnrollInbox: it is 16
// bytes in lower-case hexadecimal digits.
func CheckNonce(nonce string) error {
	if b, err := hex.DecodeString(nonce); err != nil || len(b) != 16 || strings.ToLower(nonce) != nonce {
		return fmt.Errorf("fleet: nonce: want 32 lower-case hexadecimal digits")
	}
	return nil
}

// AgentPermissions returns what the agent needs at its places, and nothing else:
// it takes work of its places, and publishes under its own name.
func AgentPermissions(agent string, places []Place) Permissions {
	p := Permissions{Publish: []string{RenewSubject(agent)}, Subscribe: []string{Inbox(agent) + ".>"}}
	for _, at := range places {
		p.Publish = append(p.Publish,
			"$JS.API.CONSUMER.INFO."+WorkStream+"."+at.Consumer(),
			"$JS.API.CONSUMER.MSG.NEXT."+WorkStream+"."+at.Consumer(),
			"$JS.ACK."+WorkStream+"."+at.Consumer()+".>",
			at.ResultSubject(agent, "*"),
			at.BeatSubject(agent),
			at.HelloSubject(agent),
		)
	}
	return p
}
