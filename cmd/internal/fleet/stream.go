package fleet

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The streams and the bucket. They belong to one server.
const (
	WorkStream   = "DORMANT_WORK"
	ResultStream = "DORMANT_RESULT"
	// StateBucket holds the runs that are not over, by their scan id.
	StateBucket = "DORMANT_STATE"
)

const (
	// AckWait is after how long a shard is given to another agent, unless the one
	// that has it says that it is still at it.
	AckWait = 30 * time.Second
	// MaxDeliver is how often a shard is given out before it counts as dead.
	MaxDeliver = 5
	// dedupe is how long a message id is remembered. What comes later is seen as
	// the same by the fold.
	dedupe = 10 * time.Minute
)

// WorkConfig is the work queue: a shard leaves it when it is acknowledged.
func WorkConfig(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        WorkStream,
		Description: "shards that wait for an agent",
		Subjects:    []string{"dormant.work.*.*"},
		Retention:   jetstream.WorkQueuePolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    replicas,
		Duplicates:  dedupe,
		Discard:     jetstream.DiscardNew,
	}
}

// ResultConfig is the journal of the runs that are not over: the server purges
// the subjects of a run when it has stored it. maxBytes bounds it on disk;
// beyond it publishers are refused and wait.
func ResultConfig(replicas int, maxBytes int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        ResultStream,
		Description: "what agents found, until the run is stored",
		Subjects:    []string{"dormant.result.*.*.*.*"},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    replicas,
		Duplicates:  dedupe,
		Discard:     jetstream.DiscardNew,
		MaxBytes:    maxBytes,
	}
}

// ConsumerConfig is the consumer of a place. The server makes it; agents only
// pull from it.
func ConsumerConfig(p Place) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       p.Consumer(),
		Description:   "shards for " + p.String(),
		FilterSubject: p.WorkSubject(),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       AckWait,
		MaxDeliver:    MaxDeliver,
		MaxAckPending: 1024,
	}
}
