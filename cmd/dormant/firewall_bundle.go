package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"dormant/reports"
	"dormant/reports/firewall"
)

// bundleOptions are the flags of a bundle for the ticket.
type bundleOptions struct {
	path     string
	rules    []string
	before   string
	key      string
	newKey   bool
	ticket   string
	signedBy string
}

func (o *bundleOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.path, "bundle", "", "write a bundle for the ticket: `FILE.zip`")
	flags.StringArrayVar(&o.rules, "rules", nil, "rules to put into the bundle; they must be those of the impact: `FILE` (repeatable)")
	flags.StringVar(&o.before, "before", "", "findings of the scan to put into the bundle: `FILE`")
	flags.StringVar(&o.key, "key", "", "sign the bundle with the ed25519 key in `FILE` (PEM)")
	flags.BoolVar(&o.newKey, "new-key", false, "make that key if the file is not there")
	flags.StringVar(&o.ticket, "ticket", "", "change ticket, for the bundle")
	flags.StringVar(&o.signedBy, "signed-by", "", "`NAME` for the sign-off block (default: a line to sign on)")
}

// bundle is what a bundle holds before the probes; nil for none.
type bundle struct {
	o     *bundleOptions
	files []firewall.BundleFile
	key   ed25519.PrivateKey
	// impact is the first of the results.
	impact string
}

// prepare reads what goes in, and finds out what is wrong with it.
func (o *bundleOptions) prepare(m *firewall.Impact, impact []byte) (*bundle, error) {
	if o.path == "" {
		if len(o.rules) > 0 || o.before != "" || o.key != "" || o.newKey || o.ticket != "" || o.signedBy != "" {
			return nil, usageError("--rules, --before, --key, --new-key, --ticket and --signed-by go with --bundle")
		}
		return nil, nil
	}
	if o.newKey && o.key == "" {
		return nil, usageError("--new-key: say with --key where the key goes")
	}
	if err := reports.Check(o.path); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	b := &bundle{o: o, impact: m.Headline}
	add := func(name string, data []byte) { b.files = append(b.files, firewall.BundleFile{Name: name, Data: data}) }
	before, err := m.Before()
	if err != nil {
		return nil, err
	}
	var report bytes.Buffer
	if err := firewall.WriteHTML(&report, m); err != nil {
		return nil, err
	}
	add("before.json", before)
	add("impact.json", impact)
	add("impact.html", report.Bytes())
	for i, path := range o.rules {
		text, err := readWhole(path, maxBundle)
		if err != nil {
			return nil, usageError("--rules: %w", err)
		}
		sum := sha256.Sum256(text)
		which := ""
		switch got := hex.EncodeToString(sum[:]); {
		case got == m.Proposed.SHA256:
			which = "proposed"
		case m.Current != nil && got == m.Current.SHA256:
			which = "current"
		default:
			return nil, usageError("--rules %s: these are not the rules of the impact: want %s, unchanged", path, m.Proposed.File)
		}
		add(fmt.Sprintf("rules/%d-%s-%s", i+1, which, filepath.Base(path)), text)
	}
	if o.before != "" {
		text, err := readWhole(o.before, maxBundle)
		if err != nil {
			return nil, usageError("--before: %w", err)
		}
		add("before/"+filepath.Base(o.before), text)
	}
	return b, b.readKey()
}

// readKey reads the key, and makes it first where that was asked for.
func (b *bundle) readKey() error {
	if b.o.key == "" {
		return nil
	}
	text, err := readWhole(b.o.key, maxBundle)
	if errors.Is(err, fs.ErrNotExist) && b.o.newKey {
		if text, err = firewall.NewKey(); err != nil {
			return err
		}
		err = writeKey(b.o.key, text)
	}
	if err != nil {
		return usageError("--key: %w", err)
	}
	if b.key, err = firewall.ParseKey(text); err != nil {
		return usageError("--key %s: %w", b.o.key, err)
	}
	return nil
}

// writeKey writes a key that nobody else may read, and never over another file.
func writeKey(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// write completes the bundle with what was measured.
func (b *bundle) write(a *app, v *firewall.Verification) error {
	if b == nil {
		return nil
	}
	files := b.files
	for name, write := range map[string]func(io.Writer, firewall.Document) error{"after.json": firewall.WriteJSON, "after.html": firewall.WriteHTML} {
		var text bytes.Buffer
		if err := write(&text, v); err != nil {
			return err
		}
		files = append(files, firewall.BundleFile{Name: name, Data: text.Bytes()})
	}
	facts := firewall.BundleFacts{Ticket: b.o.ticket, SignedBy: b.o.signedBy, Version: version(), Made: time.Now(), Results: []string{b.impact, v.Headline}}
	if err := reports.WriteFile(b.o.path, func(w io.Writer) error { return firewall.WriteBundle(w, files, facts, b.key) }); err != nil {
		return err
	}
	if b.key == nil {
		a.log.Warn("the bundle is not signed: --key FILE signs it", "bundle", b.o.path)
	}
	return nil
}

// newCheck holds a bundle against its hashes and its signature.
func newCheck(a *app) *cobra.Command {
	var signer string
	cmd := &cobra.Command{
		Use:   "check FILE.zip",
		Short: "is a bundle of verify as it was written, and who signed it",
		Long: `Holds every file of a bundle against the manifest, and the manifest against its
signature. A signature says that the holder of a key wrote it; who that is says
only --signer, with the public key that you know: signer.pem of an earlier
bundle, or its base64.

Exit 0: unchanged. Exit 1: changed, or not signed by that key.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return runCheck(a, args[0], signer) },
	}
	cmd.Flags().StringVar(&signer, "signer", "", "want the signature of this public key: `FILE`, or its base64")
	return cmd
}

func runCheck(a *app, path, signer string) error {
	text, err := readWhole(path, maxBundle)
	if err != nil {
		return usageError("check: %w", err)
	}
	var want ed25519.PublicKey
	if signer != "" {
		key := []byte(signer)
		if file, err := readWhole(signer, maxBundle); err == nil {
			key = file
		}
		if want, err = firewall.ParsePublicKey(key); err != nil {
			return usageError("--signer %s: %w", signer, err)
		}
	}
	c, err := firewall.CheckBundle(text)
	if err != nil {
		return usageError("%s: %w", path, err)
	}
	if want != nil && !want.Equal(c.Signer) {
		c.Faults = append(c.Faults, "it is not signed by that key")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "bundle of %s, ticket %s, %d files\n", c.Made.Format(time.RFC3339), dash(reports.Line(c.Ticket)), c.Files)
	for _, r := range c.Results {
		fmt.Fprintf(&b, "  %s\n", reports.Line(r))
	}
	switch {
	case c.Signer != nil:
		fmt.Fprintf(&b, "signed by %s\n", base64.StdEncoding.EncodeToString(c.Signer))
	default:
		b.WriteString("not signed\n")
	}
	for _, f := range c.Faults {
		fmt.Fprintf(&b, "FAULT: %s\n", f)
	}
	if len(c.Faults) == 0 {
		b.WriteString("unchanged: every file has the hash of the manifest\n")
	}
	if _, err := a.stdout.Write(b.Bytes()); err != nil {
		return &exitError{exitOutput, err}
	}
	if len(c.Faults) > 0 {
		return &exitError{exitFindings, nil}
	}
	return nil
}
