// Package pipeline joins the stages: a Source finds and questions open ports,
// the rules judge what they said, a Sink writes it down.
//
//	Source (sweep, dialogue) -> results -> Judge -> Finding -> Sink
//
// The goroutines, and what ends them:
//
//	sweep    Local.Run itself            plan done, cooldown over, ctx, error
//	feeder   Local.Run                   queue closed and empty
//	crew     Local.Run, in Crew.Run      feeder's channel closed, ctx
//	writer   Pipeline.Run                results closed
//
// The receiver of a backend never waits for any of them: it puts into a queue
// that grows, and beyond its limit counts what it drops, which makes the run
// incomplete. The silent targets can be far more than it holds, but nobody answers
// any more when the sweep tells them: so the sweep waits for room. Cancelling ends
// the sweep, the dialogues and that wait; what was found by then is still judged
// and written.
package pipeline
