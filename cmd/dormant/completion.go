package main

import (
	"github.com/spf13/cobra"
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
