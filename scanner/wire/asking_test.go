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
		questions := []*question{{key: key(1, 7)}, {key: key(2, 7)}, {key: key(3, 8)}}
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
			if taken, i := a.take(questions[:next], from, 9, nil); len(taken) != want || i != next {
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
		take("all", 0, 3, 3)
		answer(key(1, 7), 1, time.Millisecond)
		check("a quick answer", 100*time.Millisecond, 2, 0)
		take("again, but for the last", 0, 1, 2)
		answer(key(2, 7), 2, 40*time.Millisecond)
		check("an answer to either of two requests", 100*time.Millisecond, 1, 1)
		answer(key(1, 7), 9, 0)
		answer(key(3, 7), 9, 0)
		check("nothing new", 100*time.Millisecond, 1, 0)
		answer(key(3, 8), 3, 9*time.Millisecond)
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
		questions[0] = &question{key: key(1, 7)}
		a.begin(questions)
		take("once", 0, 1, 1)
		take("twice", 0, 1, 1)
		answer(key(1, 7), 1, 0)
		a.end() // as when sending fails: nobody has asked for the progress
		questions[0] = &question{key: key(1, 7)}
		a.begin(questions)
		check("of the last time nothing is left", 200*time.Millisecond, 1, 0)
		take("once", 0, 1, 1)
		answer(key(1, 7), 1, 800*time.Millisecond)
		check("800 ms", time.Second, 0, 0)
	})
}

// TestSecondAnswers: the sample is whole when everybody who was asked again has
// answered as often as asked, and no answer counts for another neighbour's.
func TestSecondAnswers(t *testing.T) {
	key := func(last byte) questionKey { return questionKey{netip.AddrFrom4([4]byte{10, 1, 0, last}), 7} }
	for _, tt := range []struct {
		name    string
		answers []byte // by whom
		whole   bool
	}{
		{"all", []byte{3, 1, 3}, true},
		{"one is missing", []byte{1, 3}, false},
		{"one answers for another", []byte{3, 3, 3}, false},
		{"one who was silent speaks", []byte{3, 2, 3}, false},
		{"nobody", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var a asking
			questions := []*question{{key: key(1)}, {key: key(2)}, {key: key(3)}}
			a.begin(questions)
			a.take(questions, 0, 3, nil)
			for _, last := range []byte{1, 3, 3} { // the third comes twice, as from two machines
				a.answer(key(last), [6]byte{last}, time.Now())
			}
			some := make([]*question, 3)
			a.sample(len(some))
			if next := a.takeAgain(questions, 2, some); next != 0 {
				t.Errorf("goes on at %d, want 0: three, one, three were taken", next)
			}
			for _, last := range tt.answers {
				a.answer(key(last), [6]byte{9}, time.Now())
			}
			if got := a.sampled(); got != tt.whole {
				t.Errorf("sampled = %t, want %t", got, tt.whole)
			}
			if questions[0].mac != [6]byte{1} {
				t.Errorf("MAC %x, want that of the first answer", questions[0].mac)
			}
		})
	}
}
