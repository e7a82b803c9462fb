// Package server carries out the jobs of a fleet: it cuts a run into shards,
// gives them to the agents of a place, folds what they found into one run, has
// it judged, stored and reported, and tells the truth about what is missing.
//
//	Load          a jobs file
//	Server.Run    everything, until its context ends
//	Server.Start  a job now; Server.Requeue what was given up
//	Operator      the same for a local command, over the broker
//	Desk          the seam to rules, history, reports and people
//
// The goroutines, and what ends them:
//
//	Run           the list of open runs is its own; ctx
//	conductor     one a run, Run            the run is over and reported; ctx
//	reader        one a run, conductor      the run is over; ctx
//	writer        one a run, pipeline       the run is over; ctx
//	listeners     Run: beats, hellos, local commands; ctx
//	mourner       Run: what the broker gave up; ctx
//	scheduler     gocron                    Run's end
//
// # Design
//
// A run is one job at one place. What it asks is kept in the state bucket from
// its start to its end, and is not changed by an edit of the jobs file. Nothing
// else is kept: what became of the shards is in the result stream, which is
// folded from its first message, by the first process or by the next. The fold
// does not depend on order or repetition: every answer has a rank, and the best
// answer of a target counts, whoever gave it and whether or not the attempt came
// to its end.
//
// The work queue holds exactly the shards that are still to be done. The server
// brings it there whenever it begins, and when a window of the job opens or
// closes; a message id keeps what was published before a kill from standing
// there twice. Before anything is given out, given up or called missing,
// everything that is in the result stream has been folded.
//
// A shard is done when an attempt says so without a fault and all its parts have
// come. One that the broker has given out too often is dead: the broker says so
// once, and a stream keeps that for a server that is not there. An attempt that
// was acknowledged and is not believed, because its end cannot be true or parts
// of it were refused, is given out again as often. So is a shard that left the
// queue and of which nothing came: its agent did it for the broker of before, which
// was restored from a backup.
//
// A message that holds one thing that cannot be true is refused as a whole: who
// lies about one target is not believed about another.
//
// A failure of this side, a full disk or a database that is away, gives up
// nothing: the run is folded again from the stream until it is stored, and only
// then forgotten by the broker, the run itself before its results, so that a
// kill in between does not have it done twice.
//
// Results stay in their stream until their run is over, so runs that are too
// large together fill it, and then none of them can end but by its deadline: a
// stream that is nearly full is a fault of the server before it is full.
//
// A timer knows nothing of a clock that is set, or of a machine that sleeps. The
// server looks every few seconds whether the time of day went as far as time did;
// if not, jobs are planned anew, and what was due in between was missed. A run in
// which the clock is set back believes the times of before and after.
//
// What the broker still has of a run that is over, results that came too late,
// is dropped and said. The run had said that they were missing.
package server
