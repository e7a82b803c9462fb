package broker

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dormant/cmd/internal/fleet"
)

// apiAlias stands for "$JS.API." inside an agent's account of a cluster: every
// account of a configuration file has an import of NATS's own for that one.
const apiAlias = "dormant.js."

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
	return "accounts {\n" + serverBlock(account) + agentBlock(account, agent, fleet.AgentPermissions(agent, places)) + "}\n", nil
}

// serverBlock is the server's account, with what it exports.
func serverBlock(account string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `  # The account of dormant server. Add its users here; write this block once.
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
	b.WriteString("    ]\n  }\n")
	return b.String()
}

// agentBlock is the agent's account, with what it imports of the server's.
func agentBlock(account, agent string, may fleet.Permissions) string {
	var b, mappings strings.Builder
	fmt.Fprintf(&b, `  # The account of the agent %[1]s. Add its user here, and no other: an account of
  # its own is what keeps it from everyone else's subjects.
  %[2]s_%[1]s: {
    imports: [
`, agent, account)
	publish := slices.Clone(may.Publish)
	for _, subject := range may.Publish {
		as := ""
		if rest, ok := strings.CutPrefix(subject, "$JS.API."); ok {
			as = ", to: " + strconv.Quote(apiAlias+rest)
			fmt.Fprintf(&mappings, "      %q: %q\n", subject, apiAlias+rest)
			publish = append(publish, apiAlias+rest) // permissions are looked at behind the mapping
		}
		fmt.Fprintf(&b, "      { service: { account: %s, subject: %s }%s }\n", account, strconv.Quote(subject), as)
	}
	fmt.Fprintf(&b, `    ]
    # Without this, NATS would answer itself that the account has no JetStream.
    mappings: {
%s    }
    default_permissions: {
      publish: { allow: [%s] }
      subscribe: { allow: [%s] }
    }
  }
`, mappings.String(), quoted(publish), quoted(may.Subscribe))
	return b.String()
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
