package wire

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestAsking: only the first answer to what was asked counts, and what is waited for
// follows the slowest answer that is clearly to one request.
func TestAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a asking
		key := func(last byte, index int) questionKey {
			return questionKey{netip.AddrFrom4([4]byte{10, 1, 0, last}), index}
		}
		questions := []question{{key: key(1, 7)}, {key: key(2, 7)}, {key: key(3, 8)}}
		check := func(step string, wait time.Duration, left, late int) {
			t.Helper()
			if got := a.wait(); got != wait {
				t.Errorf("%s: wait %v, want %v", step, got, wait)
			}
			if gotLeft, gotLate := a.progress(); gotLeft != left || gotLate != late {
				t.Errorf("%s: %d left and %d late, want %d and %d", step, gotLeft, gotLate, left, late)
			}
		}
		take := func(step string, from, want, next int) {
			t.Helper()
			if taken, i := a.take(questions, from, 9, nil); len(taken) != want || i != next {
				t.Errorf("%s: took %d up to %d, want %d up to %d", step, len(taken), i, want, next)
			}
		}
		answer := func(k questionKey, mac byte, after time.Duration) {
			time.Sleep(after)
			a.answer(k, [6]byte{mac}, time.Now())
		}
		a.begin(questions)
		answer(key(1, 7), 9, 0)
		check("nobody was asked", 200*time.Millisecond, 3, 0)
		take("one interface", 0, 2, 2)
		answer(key(1, 7), 1, time.Millisecond)
		check("a quick answer", 100*time.Millisecond, 2, 0)
		take("again", 0, 1, 2)
		take("the other interface", 2, 1, 3)
		answer(key(2, 7), 2, 40*time.Millisecond)
		check("an answer to either of two requests", 100*time.Millisecond, 1, 1)
		answer(key(1, 7), 9, 0)
		answer(key(3, 7), 9, 0)
		check("nothing new", 100*time.Millisecond, 1, 0)
		answer(key(3, 8), 3, 10*time.Millisecond)
		check("50 ms", 200*time.Millisecond, 0, 0)
		<-a.done
		a.end()
		answer(key(1, 7), 9, 0)
		for i, q := range questions {
			if !q.closed || q.mac != [6]byte{byte(i + 1)} {
				t.Errorf("question %d: closed %t by %v, want by the first answer", i, q.closed, q.mac)
			}
		}

		questions = questions[:1]
		questions[0] = question{key: key(1, 7)}
		a.begin(questions)
		take("once", 0, 1, 1)
		take("twice", 0, 1, 1)
		answer(key(1, 7), 1, 0)
		a.end() // as when sending fails: nobody has asked for the progress
		questions[0] = question{key: key(1, 7)}
		a.begin(questions)
		check("of the last time nothing is left", 200*time.Millisecond, 1, 0)
		take("once", 0, 1, 1)
		answer(key(1, 7), 1, 800*time.Millisecond)
		check("800 ms", time.Second, 0, 0)
	})
}
