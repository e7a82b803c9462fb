package ways

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

// A table that changes while it is read is read again, but not for ever.
func TestWhole(t *testing.T) {
	other := errors.New("no")
	for _, tt := range []struct {
		name    string
		answers []error // one after the other, the last one ever after
		tries   int
		want    error
	}{
		{"still", []error{nil}, 1, nil},
		{"changed once", []error{netlink.ErrDumpInterrupted, nil}, 2, nil},
		{"changed once, wrapped", []error{fmt.Errorf("read: %w", netlink.ErrDumpInterrupted), nil}, 2, nil},
		{"changes all the time", []error{netlink.ErrDumpInterrupted}, readTries, nil},
		{"refused", []error{other}, 1, other},
		{"changed, then refused", []error{netlink.ErrDumpInterrupted, other}, 2, other},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tries := 0
			got, err := Whole(func() ([]int, error) {
				tries++
				return []int{tries}, tt.answers[min(tries, len(tt.answers))-1]
			})
			if !errors.Is(err, tt.want) || tries != tt.tries {
				t.Errorf("%d tries, error %v; want %d, %v", tries, err, tt.tries, tt.want)
			}
			if d := cmp.Diff([]int{tt.tries}, got); d != "" {
				t.Errorf("what the last try read (-want +got):\n%s", d)
			}
		})
	}
}
