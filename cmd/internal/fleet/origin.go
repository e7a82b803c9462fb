package fleet

import (
	"errors"
	"fmt"
	"strings"
)

// Origin is who published to a subject: the broker lets nobody else.
type Origin struct {
	Place
	Agent string
	Run   string // of a result, else empty
}

// ParseSubject reads a subject of results, beats or hellos.
func ParseSubject(subject string) (Origin, error) {
	t := strings.Split(subject, ".")
	if len(t) < 5 || t[0] != "dormant" {
		return Origin{}, fmt.Errorf("fleet: subject %.200q: want dormant.KIND.SITE.VANTAGE.AGENT", subject)
	}
	o := Origin{Place: Place{Site: t[2], Vantage: t[3]}, Agent: t[4]}
	err := first(o.Check(), CheckName("agent", o.Agent))
	switch kind := t[1]; {
	case kind == "result" && len(t) == 6:
		o.Run = t[5]
		err = first(err, checkRun(o.Run))
	case (kind == "beat" || kind == "hello") && len(t) == 5:
	default:
		err = first(err, errors.New("want a result, a beat or a hello"))
	}
	if err != nil {
		return Origin{}, fmt.Errorf("fleet: subject %.200q: %w", subject, err)
	}
	return o, nil
}

// CheckOrigin returns why m does not belong to the subject that it came by: the
// run and the agent that it names must be those of the subject. What is at the
// subject's site alone is known by the subject; so the caller must also know
// that the run is one of the subject's place.
func CheckOrigin(subject string, m Message) error {
	o, err := ParseSubject(subject)
	switch {
	case err != nil:
		return err
	case m.Part != nil && m.Done == nil && m.Part.Run == o.Run && o.Run != "":
		return nil
	case m.Done != nil && m.Part == nil && m.Done.Run == o.Run && m.Done.Agent == o.Agent && o.Run != "":
		return nil
	default:
		return fmt.Errorf("fleet: a message of another run or agent than its subject %q", subject)
	}
}

// CheckShard returns why s does not belong to the subject that it came by: a
// shard of another place, which nobody but a server of ours may move.
func CheckShard(subject string, s Shard) error {
	if want := s.WorkSubject(); subject != want {
		return fmt.Errorf("fleet: a shard for %s on the subject %.200q", s.Place, subject)
	}
	return nil
}
