package reports

import (
	"slices"
	"strings"

	"dormant/fingerprint"
)

// The flags of a license manager that outsiders may reach. Package policy sets
// them.
const (
	FlagPublic  = "exposed_public_address" // its address is routed on the Internet
	FlagOutside = "exposed_outside"        // it answered where outsiders are
	// FlagExposureWaived takes the place of both where a waiver tolerates it.
	FlagExposureWaived = "exposure_waived"
)

// Exposure says that a license manager answers where outsiders may reach it.
type Exposure struct {
	Why    []string // in words: "on a public address", "from internet, which is outside"
	Advice string   // the dossier's, "" where it has none
}

// Exposed reports whether outsiders may reach the finding and no waiver
// tolerates it.
func Exposed(f *Finding) bool { return slices.ContainsFunc(f.Flags, exposesManager) }

func exposesManager(flag string) bool { return flag == FlagPublic || flag == FlagOutside }

// exposureWords is why outsiders may reach the finding, as a report says it.
func exposureWords(f *Finding) string {
	var why []string
	switch {
	case f.Exposure != nil:
		why = escapeAll(f.Exposure.Why)
	default: // flags that were read back from a file
		for _, flag := range f.Flags {
			switch flag {
			case FlagPublic:
				why = append(why, "on a public address")
			case FlagOutside:
				why = append(why, "from a vantage that is outside")
			}
		}
	}
	return "answers " + strings.Join(why, " and ")
}

// explainExposed puts into e what the exposure of a license manager means.
func explainExposed(f *Finding, e Explanation) Explanation {
	if f.Verdict != fingerprint.LicenseManager {
		return e
	}
	e.Title, e.Many = "License manager that outsiders may reach", "license managers that outsiders may reach"
	e.Why = "It " + exposureWords(f) + ". Outsiders learn what is licensed here and may take seats; a flaw in it is theirs to use."
	if slices.Contains(f.Flags, FlagPublic) && !slices.Contains(f.Flags, FlagOutside) {
		e.Else = "A firewall may keep the Internet from it: this scan did not come from there. Scan it from outside to know."
	}
	e.Advice = "Let only the clients of the product reach it; who must work from outside comes by VPN. Keep its version current."
	if f.Exposure != nil && f.Exposure.Advice != "" {
		e.Advice = escape(f.Exposure.Advice, maxAdvice)
	}
	return e
}

// maxAdvice bounds the advice of a dossier, in bytes: users bring their own.
const maxAdvice = 1000
