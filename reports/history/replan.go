package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
)

// Leave stores what waits and leaves the run as it is, unfinished, in place of
// Close. Another recorder may go on with it.
func (r *Recorder) Leave() error { return r.flush() }

// Replan says before Close what the run has asked after all, where it is not
// what was planned: silence counts only for what is in the plan.
func (r *Recorder) Replan(ctx context.Context, plan Plan) error {
	if err := plan.compile(); err != nil {
		return err
	}
	text, err := json.Marshal(&plan)
	if err != nil {
		return fmt.Errorf("history: plan: %w", err)
	}
	r.mu.Lock()
	packed, err := r.pack.pack(text)
	r.mu.Unlock()
	if err != nil {
		return err
	}
	f := r.facts()
	return r.store.persist(ctx, func(ctx context.Context, tx *sql.Tx, _ int) error {
		return r.batch.update(ctx, tx, `plan = $3, plan_key = $4`, packed, plan.key(&f))
	})
}
