package fleet

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// DeadStream keeps what the broker says of shards that were given out MaxDeliver
// times, for a server that is not there when it happens.
const DeadStream = "DORMANT_DEAD"

// DeadSubject is what the broker publishes that to, with the name of the
// consumer at the end.
const DeadSubject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES." + WorkStream + ".*"

// DeadConfig is the stream of dead shards. A shard itself stays in the work
// queue until its run is over.
func DeadConfig(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        DeadStream,
		Description: "shards that were given out too often",
		Subjects:    []string{DeadSubject},
		Storage:     jetstream.FileStorage,
		Replicas:    replicas,
		MaxAge:      31 * 24 * time.Hour,
		MaxMsgs:     1 << 20,
	}
}

// Advisory is what the broker says of a shard that was given out too often, as
// far as it is of use
// (https://docs.nats.io/nats-concepts/jetstream/consumers, MaxDeliver).
type Advisory struct {
	Stream     string `json:"stream"`
	Sequence   uint64 `json:"stream_seq"`
	Deliveries int    `json:"deliveries"`
}
