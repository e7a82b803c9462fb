package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"dormant/registry/yamlfile"
)

// ownConfig marks a command whose --config is a file of another kind. Its flags
// are set by the environment and by the standing configuration file only.
const ownConfig = "own-config"

// applyConfig gives every flag of cmd that the command line left alone the
// value of the environment, else of the configuration file. The keys are the
// flags' names, the values are read by the flags themselves, so that a value
// is right or wrong in all three places alike.
func applyConfig(cmd *cobra.Command, environ func(string) (string, bool)) error {
	path, err := configPath(cmd, environ)
	if err != nil {
		return err
	}
	set := map[string]bool{}
	cmd.Flags().Visit(func(f *pflag.Flag) { set[f.Name] = true })
	if set["resume"] { // the settings of the run that goes on were settled when it began
		cmd.Flags().VisitAll(func(f *pflag.Flag) { set[f.Name] = set[f.Name] || !notOfTheRun(f.Name) })
	}
	if err := applyEnvironment(cmd.Flags(), set, environ); err != nil {
		return err
	}
	if path == "" {
		return nil
	}
	return applyFile(cmd, set, path)
}

// configPath is --config, DORMANT_CONFIG, or the user's own file where it exists.
func configPath(cmd *cobra.Command, environ func(string) (string, bool)) (string, error) {
	flag := cmd.Flags().Lookup("config")
	if flag == nil {
		return "", nil
	}
	if flag.Changed && cmd.Annotations[ownConfig] == "" {
		return flag.Value.String(), nil
	}
	if path, ok := environ("DORMANT_CONFIG"); ok {
		return path, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", nil // no home, no standing configuration
	}
	path := filepath.Join(dir, "dormant", "config.yaml")
	_, err = os.Stat(path)
	use, note := standingConfig(path, err)
	if quiet, _ := cmd.Flags().GetBool("quiet"); note != "" && !quiet {
		fmt.Fprintln(cmd.ErrOrStderr(), "dormant:", note)
	}
	return use, nil
}

// standingConfig decides about the file that nobody named by what looking for
// it gave: none is used where there is none, and where HOME is another user's,
// as after setpriv or sudo -E.
func standingConfig(path string, err error) (use, note string) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", ""
	case errors.Is(err, fs.ErrPermission):
		return "", path + " is out of reach for this user: going on without a configuration file"
	default: // also what cannot be looked at: reading it says why
		return path, ""
	}
}

// applyEnvironment reads DORMANT_HOST_RATE for --host-rate, and so on.
func applyEnvironment(flags *pflag.FlagSet, set map[string]bool, environ func(string) (string, bool)) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		name := "DORMANT_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := environ(name)
		if !ok || set[f.Name] || f.Name == "config" || f.Name == "help" || err != nil {
			return
		}
		if e := setStanding(flags, f.Name, value); e != nil {
			err = usageError("environment %s: value %q: %w", name, value, cause(e))
			return
		}
		set[f.Name] = true
	})
	return err
}

// maxConfig is far above any configuration file, in bytes.
const maxConfig = 1 << 20

// applyFile reads a YAML mapping of flag names. A key that no command knows is
// an error; one that only another command knows is that command's business.
func applyFile(cmd *cobra.Command, set map[string]bool, path string) error {
	text, err := readWhole(path, maxConfig)
	if err != nil {
		return usageError("config: %w", err)
	}
	m, more, err := yamlfile.Document(text)
	switch {
	case err != nil:
		return usageError("config: %s: %w", path, err)
	case more > 0:
		return usageError("config: %s:%d: a second document: want one", path, more)
	case m == nil: // an empty file
		return nil
	}
	if m.Kind != yaml.MappingNode {
		return usageError("config: %s:%d: want a mapping of flag names to values", path, m.Line)
	}
	seen := map[string]bool{}
	for i := 0; i < len(m.Content); i += 2 {
		key, value := m.Content[i], m.Content[i+1]
		if seen[key.Value] {
			return usageError("config: %s:%d: key %q stands there twice", path, key.Line, key.Value)
		}
		seen[key.Value] = true
		if err := applyKey(cmd, set, key.Value, value); err != nil {
			return usageError("config: %s:%d: key %q: %w", path, key.Line, key.Value, err)
		}
	}
	return nil
}

func applyKey(cmd *cobra.Command, set map[string]bool, name string, value *yaml.Node) error {
	if name == "config" || name == "help" {
		return errors.New("not allowed in a configuration file")
	}
	flag := cmd.Flags().Lookup(name)
	if flag == nil {
		if knownFlag(cmd.Root(), name) {
			return nil
		}
		return errors.New("no such flag; want the name of a flag without its dashes")
	}
	values, err := scalars(value)
	if err != nil {
		return err
	}
	if set[name] { // the command line and the environment win, but a wrong value is still wrong
		return nil
	}
	if _, list := flag.Value.(pflag.SliceValue); !list {
		if len(values) == 0 {
			return errors.New("an empty list; want a value")
		}
		values = []string{strings.Join(values, ",")} // as --ports takes several
	}
	for _, v := range values {
		if err := setStanding(cmd.Flags(), name, v); err != nil {
			return fmt.Errorf("value %q: %w", v, cause(err))
		}
	}
	return nil
}

// cause is what a flag said of its value, without the words about the command
// line: the value stood elsewhere.
func cause(err error) error {
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fault(e)
	}
	return err
}

// scalars returns one value, or the values of a list.
func scalars(n *yaml.Node) ([]string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		return []string{n.Value}, nil
	case yaml.SequenceNode:
		var all []string
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("line %d: want plain values in the list", item.Line)
			}
			all = append(all, item.Value)
		}
		return all, nil
	default:
		return nil, errors.New("want a value or a list of values")
	}
}

// knownFlag reports whether any command below c has a flag of that name.
func knownFlag(c *cobra.Command, name string) bool {
	if c.Flags().Lookup(name) != nil || c.PersistentFlags().Lookup(name) != nil {
		return true
	}
	for _, sub := range c.Commands() {
		if knownFlag(sub, name) {
			return true
		}
	}
	return false
}
