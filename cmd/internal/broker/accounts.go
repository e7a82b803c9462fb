package broker

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"dormant/cmd/internal/fleet"
)

// AccountsConfig returns what a cluster of the user's own must be told so that an
// agent can work there, in the syntax of NATS's configuration file: the account
// of the server, named by account, and that of the agent, each without its
// users. Several agents share the first block.
func AccountsConfig(account, agent string, places []fleet.Place) (string, error) {
	err := fleet.CheckName("agent", agent)
	for _, p := range places {
		if err == nil {
			err = p.Check()
		}
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("broker: %w", err)
	case len(places) == 0:
		return "", errors.New("broker: want at least one place")
	case account == "" || strings.ContainsFunc(account, notInName):
		return "", fmt.Errorf("broker: account %q: want letters, digits, - and _", account)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `accounts {
  # The account of dormant server. Add its users here; write this block once.
  %s: {
    jetstream: enabled
    exports: [
`, account)
	for _, s := range fleet.Services() {
		kind := ""
		if s.Streamed {
			kind = ", response_type: stream"
		}
		fmt.Fprintf(&b, "      { service: %s%s, response_threshold: %q }\n", strconv.Quote(s.Subject), kind, answerWithin)
	}
	fmt.Fprintf(&b, `    ]
  }
  # The account of the agent %[1]s. Add its user here, and no other: an account of
  # its own is what keeps it from everyone else's subjects.
  %[2]s_%[1]s: {
    imports: [
`, agent, account)
	may := fleet.AgentPermissions(agent, places)
	for _, subject := range may.Publish {
		fmt.Fprintf(&b, "      { service: { account: %s, subject: %s } }\n", account, strconv.Quote(subject))
	}
	fmt.Fprintf(&b, `    ]
    default_permissions: {
      publish: { allow: [%s] }
      subscribe: { allow: [%s] }
    }
  }
}
`, quoted(may.Publish), quoted(may.Subscribe))
	return b.String(), nil
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

func quoted(all []string) string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = strconv.Quote(s)
	}
	return strings.Join(out, ", ")
}
