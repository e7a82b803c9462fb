package firewall

import (
	"fmt"
	"maps"
	"slices"
)

// nftBranch is one element of a verdict map.
type nftBranch struct {
	boxes  []Box
	phases Phases
	doubts []string
	action Action
	target *Chain
}

// vmap reads {"key": …, "data": "@map" or {"set": [[key, verdict], …]}}.
func (m *nftMatch) vmap(v any) error {
	body, ok := v.(map[string]any)
	if !ok {
		return m.errorf(m.rule.line, "vmap: want key and data")
	}
	key, why := nftKeyOf(body["key"])
	if key.kind == nftNever {
		m.never()
		return nil
	}
	if why != "" || slices.Contains([]nftKind{nftFlags, nftStatus, nftReverse, nftFragment}, key.kind) {
		key, why = nftLeft{}, "vmap by "+nftValue(body["key"])
	}
	elems, whySet, err := m.elements(body["data"])
	if err != nil {
		return err
	}
	if whySet != "" {
		m.branches = []nftBranch{{boxes: []Box{Everything()}, phases: AllPhases, doubts: []string{whySet}, action: Obscure}}
		return nil
	}
	var others []Box // that are sure to meet another element
	var otherPhases Phases
	var rest []nftBranch
	var unsureRest []string // why they may match less: an element may that cannot be judged
	for _, e := range elems {
		pair, ok := e.([]any)
		if !ok || len(pair) != 2 {
			return m.errorf(m.rule.line, "vmap: want elements [key, verdict]")
		}
		b := nftBranch{boxes: []Box{Everything()}, phases: AllPhases}
		if b.action, b.target, err = m.branchVerdict(&b, pair[1]); err != nil {
			return err
		}
		unsure := why
		if why == "" && nftIsRest(pair[0]) {
			rest = append(rest, b)
			continue
		} else if why == "" {
			if unsure, err = m.branch(key, pair[0], &b); err != nil {
				return err
			}
		}
		if unsure != "" {
			b.doubts = append(b.doubts, unsure)
			unsureRest = append(unsureRest, unsure)
		} else {
			others, otherPhases = append(others, b.boxes...), otherPhases|b.phases
		}
		m.branches = append(m.branches, b)
	}
	for _, b := range rest {
		b.doubts = append(b.doubts, unsureRest...)
		m.branches = append(m.branches, b.without(joinSides(key, others), otherPhases, key))
	}
	if why == "" {
		m.only(false, key.implied())
	}
	return nil
}

// without is the element for what no other key of the map holds.
func (b nftBranch) without(others []Box, phases Phases, key nftLeft) nftBranch {
	switch {
	case key.kind == nftState || key.kind == nftDirection:
		b.phases = AllPhases &^ phases
	case len(others) > maxNegated:
		b.doubts = append(b.doubts, fmt.Sprintf("the rest of a map with %d elements of several parts", len(others)))
	default:
		b.boxes = subtractAll(b.boxes, others)
	}
	return b
}

// branchVerdict reads the verdict of an element.
func (m *nftMatch) branchVerdict(b *nftBranch, v any) (Action, *Chain, error) {
	body, _ := v.(map[string]any)
	if len(body) != 1 {
		return 0, nil, m.errorf(m.rule.line, "verdict %s: want one of accept, drop, continue, return, jump, goto", nftValue(v))
	}
	kind := slices.Collect(maps.Keys(body))[0]
	action, target, why, err := m.verdict(kind, body[kind])
	if why != "" {
		b.doubts = append(b.doubts, why)
		action = Obscure
	}
	return action, target, err
}

// branch reads the key of an element, or says why it cannot be judged.
func (m *nftMatch) branch(key nftLeft, v any, b *nftBranch) (why string, err error) {
	boxes, phases, why, err := m.value(key, v)
	switch {
	case err != nil || why != "":
	case (key.kind == nftState || key.kind == nftDirection) && m.untracked:
		why = notTracked
	case key.kind == nftState || key.kind == nftDirection:
		b.phases = phases
	default:
		b.boxes = boxes
	}
	return why, err
}
