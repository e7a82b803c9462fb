package main

import (
	"crypto/sha256"
	"encoding/hex"
)

// judgement is what a person found who read a text that is no plain licence.
type judgement struct {
	file string // where it stands, for the next reader
	// ids are the licences in it that concern what is linked; none if it sets no
	// condition for who passes the binary on.
	ids []string
	why string
}

// judgements are by the SHA-256 of the text: a text that was changed is a text
// that nobody has read, and fails the make until somebody does.
func judgements() map[string]judgement {
	return map[string]judgement{
		"96f408bfae65bf137fc2525d3ecb030271c50c1e90799f87abf8846d8dd505cc": {
			file: "PATENTS of Go, golang.org/x and google.golang.org/protobuf",
			why:  "a grant of patents beside the licence; it asks nothing of who passes a binary on",
		},
		"b4366b9c27a9364633e015011a231913ed19bf1228f335bf617e50a6f7b168a6": {
			file: "modernc.org/sqlite LICENSE-3RD-PARTY.md",
			ids:  []string{"BSD-3-Clause", "MIT", "blessing"},
			why:  "its section 1 is what is linked; the MPL-2.0 of section 3 is of golang-lru, which is compiled into nothing there and is no module of this program",
		},
		"5ae5bee3072a841376451b48d8cfcec7188e10543926d5870828d36c8a750dc5": {
			file: "modernc.org/memory LICENSE-LOGO",
			why:  "says where the picture in the source is from, which is not shipped",
		},
	}
}

// judged returns what a person said of exactly this text.
func judged(text []byte) (judgement, bool) {
	sum := sha256.Sum256(text)
	j, ok := judgements()[hex.EncodeToString(sum[:])]
	return j, ok
}
