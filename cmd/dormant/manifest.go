package main

import (
	"slices"

	"dormant/fingerprint"
	"dormant/reports"
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
	return writeManifestFile(path, &s.o.outputOptions, s.run, s.settings())
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

// writeManifestFile writes the manifest with the digests of all outputs.
func writeManifestFile(path string, o *outputOptions, run reports.Run, settings reports.Settings) error {
	paths, err := o.paths()
	if err != nil {
		return err
	}
	files := slices.DeleteFunc(slices.Clone(paths), func(o string) bool { return o == "-" })
	m, err := reports.NewManifest(run, files...)
	if err != nil {
		return err
	}
	m.Settings = settings
	return m.WriteFile(path)
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
