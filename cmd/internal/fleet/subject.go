package fleet

import (
	"fmt"
	"regexp"
	"time"
)

// BeatEvery is how often an agent says that it is there. One that was silent
// for three beats counts as away.
const BeatEvery = 10 * time.Second

// Away is after how long a silence an agent counts as away.
const Away = 3 * BeatEvery

// EnrollSubject is where a one-time token is turned into a credential.
const EnrollSubject = "dormant.enroll"

// nameForm is what a site, a vantage and an agent may be called: a token of a
// subject, of a consumer's name and of a file name alike.
const nameForm = `^[a-z0-9][a-z0-9-]{0,31}$`

// CheckName returns why name cannot be that of a site, a vantage or an agent;
// kind says of which.
func CheckName(kind, name string) error {
	if !regexp.MustCompile(nameForm).MatchString(name) {
		return fmt.Errorf("%s %q: want a to z, 0 to 9 and -, at most 32", kind, name)
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

// Permissions are the subjects of one agent. There is no other that its
// credential lets it publish to or subscribe to.
type Permissions struct {
	Publish, Subscribe []string
}

// AgentPermissions returns what the agent needs at its places, and nothing else:
// it takes work of its places, and publishes under its own name.
func AgentPermissions(agent string, places []Place) Permissions {
	p := Permissions{Subscribe: []string{Inbox(agent) + ".>"}}
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
