package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// What a command line gets wrong is said in one voice, whether cobra, pflag or
// a flag's own value has found it: what was given, and what was expected.

// usageError is a fault in what the user gave: exit 2.
func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// flagFault says of a flag on the command line what was expected.
func flagFault(c *cobra.Command, err error) error {
	noFlag := func(name string) error {
		return usageError("%s: no such flag: %s --help lists them", name, c.CommandPath())
	}
	if bad, is := errors.AsType[*pflag.InvalidValueError](err); is {
		return usageError("--%s %q: %w", bad.GetFlag().Name, bad.GetValue(), fault(bad))
	}
	if empty, is := errors.AsType[*pflag.ValueRequiredError](err); is {
		want, _ := pflag.UnquoteUsage(empty.GetFlag())
		if one, is := empty.GetFlag().Value.(*word); is {
			want = orList(one.named())
		}
		return usageError("--%s: a value is missing: want %s", empty.GetFlag().Name, want)
	}
	if unknown, is := errors.AsType[*pflag.NotExistError](err); is {
		if unknown.GetSpecifiedShortnames() != "" {
			return noFlag("-" + unknown.GetSpecifiedName())
		}
		return noFlag("--" + unknown.GetSpecifiedName())
	}
	if broken, is := errors.AsType[*pflag.InvalidSyntaxError](err); is {
		return noFlag(broken.GetSpecifiedFlag())
	}
	return err
}

// fault is what a flag says of a value that it does not take. A list names the item:
// not when that is the whole value, which stands before it.
func fault(bad *pflag.InvalidValueError) error {
	if want, known := wanted()[bad.GetFlag().Value.Type()]; known {
		return errors.New("want " + want)
	}
	if _, why, one := strings.Cut(bad.Unwrap().Error(), fmt.Sprintf("%q: ", bad.GetValue())); one {
		return errors.New(why)
	}
	return bad.Unwrap()
}

// wanted is what kinds of flags take whose own errors are in the words of Go.
func wanted() map[string]string {
	return map[string]string{
		"uint8": "a small whole number, 0 or more", "uint": "a whole number, 0 or more", "uint64": "a whole number, 0 or more",
		"int": "a whole number", "float64": "a number", "bool": "true or false", "duration": "a time such as 500ms, 30s or 2h",
	}
}

// missingFlags refuses a command without the flags that it cannot do without. It
// is asked when all of their sources are read, and before cobra asks.
func missingFlags(c *cobra.Command) (err error) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if required := f.Annotations[cobra.BashCompOneRequiredFlag]; slices.Contains(required, "true") && !f.Changed && err == nil {
			err = usageError("--%s is missing: want %s", f.Name, c.UseLine())
		}
	})
	return err
}

// sayWanted lets c and all commands below say how they are called when their
// arguments are not those that they take.
func sayWanted(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if check(c, args) == nil {
				return nil
			}
			return argsFault(c, check, args)
		}
	}
	for _, sub := range c.Commands() {
		sayWanted(sub)
	}
}

// argsFault says what is wrong with arguments that check refuses.
func argsFault(c *cobra.Command, check cobra.PositionalArgs, args []string) error {
	for n, arg := range args {
		switch {
		case check(c, args[:n]) != nil:
			continue
		case c.HasSubCommands():
			return noCommand(c, arg)
		}
		return usageError("argument %q is one too many: want %s", arg, c.UseLine())
	}
	if len(args) > 0 && len(c.ValidArgs) > 0 {
		return usageError("argument %q: want %s", args[0], orList(c.ValidArgs))
	}
	return usageError("an argument is missing: want %s", c.UseLine())
}

// noCommand is the fault of a word where c has commands.
func noCommand(c *cobra.Command, word string) error {
	c.SuggestionsMinimumDistance = 2 // letters
	near := ""
	if meant := c.SuggestionsFor(word); len(meant) > 0 {
		near = fmt.Sprintf("did you mean %s? ", orList(meant))
	}
	return usageError("no command %q: %s%s --help lists them", word, near, c.CommandPath())
}

// newHelp is what people type who do not know of --help.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND…]", Short: "show the help of a command", Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			asked, err := findCommand(cmd.Root(), args)
			if err != nil {
				return err
			}
			asked.InitDefaultHelpFlag()
			return asked.Help()
		},
	}
}

// findCommand returns the command that the words name. It returns usage errors.
func findCommand(root *cobra.Command, words []string) (*cobra.Command, error) {
	c, rest, err := root.Find(words)
	if err == nil && len(rest) > 0 {
		err = noCommand(c, rest[0])
	}
	return c, err
}
