package main

import (
	"os"
	"os/user"
	"slices"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// checkManifest finds out before the first probe whether the manifest can be
// written.
func (s *scan) checkManifest() error {
	path, err := s.manifestPath()
	if err != nil || path == "" {
		return err
	}
	if err := reports.Check(path); err != nil {
		return usageError("--manifest: %w", err)
	}
	return nil
}

// writeManifest writes what the run was, and the digests of its outputs.
func (s *scan) writeManifest() error {
	path, err := s.manifestPath()
	if err != nil || path == "" {
		return err
	}
	return writeManifestFile(path, &s.o.outputOptions, reports.Manifest{Run: s.run, By: s.origin(), Settings: s.settings()})
}

// manifestPath is --manifest, else the companion of the outputs, else "".
func (s *scan) manifestPath() (string, error) {
	if s.o.control.manifest != "" {
		return s.o.control.manifest, nil
	}
	stem, err := s.o.stem()
	if err != nil || stem == "" {
		return "", err
	}
	return stem + ".manifest.json", nil
}

// writeManifestFile writes what known says of the run, with the digests of all
// outputs.
func writeManifestFile(path string, o *outputOptions, known reports.Manifest) error {
	paths, err := o.paths()
	if err != nil {
		return err
	}
	files := slices.DeleteFunc(slices.Clone(paths), func(o string) bool { return o == "-" })
	m, err := reports.NewManifest(known.Run, files...)
	if err != nil {
		return err
	}
	m.By, m.Settings = known.By, known.Settings
	return m.WriteFile(path)
}

// maxWays bounds how many prefixes of a plan are asked for the source towards them.
const maxWays = 256

// origin is who made the run, and from where.
func (s *scan) origin() (by reports.Origin) {
	by.Host, _ = os.Hostname() // a host without a name has none
	if u, err := user.Current(); err == nil {
		by.User = u.Username
	}
	if s.o.iface != "" && !s.o.source.IsValid() {
		return by // the kernel would tell what it selects without the interface
	}
	prefixes := s.plan.Prefixes()
	for _, p := range prefixes[:min(len(prefixes), maxWays)] {
		source := s.o.sourceFor(scanner.Target{Addr: p.Addr(), Port: registry.Port{Number: 9}})
		if source.IsValid() && !slices.Contains(by.Sources, source) {
			by.Sources = append(by.Sources, source)
		}
	}
	return by
}

// settings is what bounded the run.
func (s *scan) settings() reports.Settings {
	return reports.Settings{
		Rate: s.o.rate.String(), HostRate: s.o.hostRate, Retries: int(s.o.retries), States: s.o.states,
		StateBudget: s.o.control.stateBudget, Window: s.o.control.window.String(),
		MaxRuntime: s.o.control.maxRuntime, Canaries: s.o.control.canaries.GetSlice(),
		ConnectionsPerHost: 1, // by the crew: one dialogue, one connection at a time
		PlanTargets:        s.plan.Len(),
		Budget:             budget(s.o),
	}
}

// budget is what a dialogue may cost at most.
func budget(o *scanOptions) reports.Budget {
	if o.noIdentify {
		return reports.Budget{}
	}
	return reports.Budget{
		ConnectionsPerPort: o.talk.connections(), JARM: o.talk.deep,
		HostTime: fingerprint.HostTime, HostBytes: fingerprint.HostBytes, Fragile: o.talk.lists,
	}
}
