package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dormant/fingerprint"
	"dormant/reports"
	"dormant/reports/policy"
)

// newCompletion prints a completion script for one shell.
func newCompletion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "print a completion script for a shell",
		Example: `  source <(dormant completion bash)
  dormant completion zsh > "${fpath[1]}/_dormant"`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return outputFault(root.GenBashCompletionV2(a.stdout, true))
			case "zsh":
				return outputFault(root.GenZshCompletion(a.stdout))
			case "fish":
				return outputFault(root.GenFishCompletion(a.stdout, true))
			default: // ValidArgs leaves only this one
				return outputFault(root.GenPowerShellCompletionWithDesc(a.stdout))
			}
		},
	}
}

// offerWords lets shells complete the flags of c and all commands below that take
// words of a closed list: one of them, or several between commas. The words are
// those that the values are checked against.
func offerWords(c *cobra.Command) {
	offer := func(f *pflag.Flag) {
		var complete cobra.CompletionFunc
		if one, is := f.Value.(*word); is {
			complete = cobra.FixedCompletions(one.named(), cobra.ShellCompDirectiveNoFileComp)
		} else if several, is := wordLists()[f.Name]; is {
			complete = completeList(several)
		} else {
			return
		}
		if err := c.RegisterFlagCompletionFunc(f.Name, complete); err != nil {
			panic(err) // f is a flag of c, and this is its first
		}
	}
	c.Flags().VisitAll(offer)
	c.PersistentFlags().VisitAll(offer)
	for _, sub := range c.Commands() {
		offerWords(sub)
	}
}

// wordLists are the words of flags that take several, by the flag's name.
func wordLists() map[string]func() []string {
	return map[string]func() []string{
		"fail-on":     policy.FailWords,
		"csv-columns": reports.ColumnNames,
		"opener": func() []string {
			rules, err := fingerprint.Default()
			if err != nil {
				return nil // the command itself says why
			}
			return udpOpeners(rules)
		},
	}
}

// completeList completes the last word of a list between commas.
func completeList(words func() []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		before := typed[:strings.LastIndex(typed, ",")+1]
		var all []cobra.Completion
		for _, w := range words() {
			all = append(all, before+w)
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}
