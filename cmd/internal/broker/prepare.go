package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/fleet"
)

// defaultResults bounds the stream of results, in bytes.
const defaultResults = 3 << 30

// Streams say what Prepare makes.
type Streams struct {
	Places []fleet.Place
	// Replicas are the copies of each stream. Zero: what is there already, else 3
	// in a cluster that can hold them, else 1.
	Replicas int
	// ResultBytes bounds the stream of results on disk. Zero: 3 GiB.
	ResultBytes int64
}

// Prepare makes the streams, the bucket of the state and the consumers of the
// places, or changes them to what they should be. It may be called again at any
// time; consumers of places that are not named are left as they are.
func Prepare(ctx context.Context, conn *nats.Conn, s Streams) (jetstream.JetStream, error) {
	for _, p := range s.Places {
		if err := p.Check(); err != nil {
			return nil, fmt.Errorf("broker: %w", err)
		}
	}
	if s.ResultBytes == 0 {
		s.ResultBytes = defaultResults
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	replicas, err := s.replicas(ctx, js, conn)
	if err != nil {
		return nil, err
	}
	err = s.make(ctx, js, replicas)
	if few, ok := errors.AsType[*jetstream.APIError](err); ok && s.Replicas == 0 && replicas > 1 && noPeers(few) {
		err = s.make(ctx, js, 1)
	}
	if err != nil {
		return nil, err
	}
	return js, nil
}

// replicas is how many copies are wanted.
func (s *Streams) replicas(ctx context.Context, js jetstream.JetStream, conn *nats.Conn) (int, error) {
	if s.Replicas != 0 {
		return s.Replicas, nil
	}
	there, err := js.Stream(ctx, fleet.ResultStream)
	switch {
	case err == nil:
		return max(1, there.CachedInfo().Config.Replicas), nil
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return 0, fmt.Errorf("broker: stream %s: %w", fleet.ResultStream, err)
	case conn.ConnectedClusterName() != "":
		return 3, nil
	default:
		return 1, nil
	}
}

// noPeers tells that the cluster is too small for the replicas: 10005 is "no
// suitable peers for placement", 10074 "replicas > 1 not supported in
// non-clustered mode" (nats-server, server/errors.json).
func noPeers(err *jetstream.APIError) bool {
	return err.ErrorCode == 10005 || err.ErrorCode == 10074
}

// noStorage is "insufficient storage resources available" (nats-server,
// server/errors.json).
const noStorage = 10047

func (s *Streams) make(ctx context.Context, js jetstream.JetStream, replicas int) error {
	for _, c := range []jetstream.StreamConfig{
		fleet.WorkConfig(replicas),
		fleet.ResultConfig(replicas, s.ResultBytes),
	} {
		_, err := js.CreateOrUpdateStream(ctx, c)
		if few, ok := errors.AsType[*jetstream.APIError](err); ok && few.ErrorCode == noStorage {
			return fmt.Errorf("broker: stream %s: the store is smaller than what is set apart in it for results, %d MiB now or more before: want a larger one: %w",
				c.Name, s.ResultBytes>>20, err)
		}
		if err != nil {
			return fmt.Errorf("broker: stream %s: %w", c.Name, err)
		}
	}
	_, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:      fleet.StateBucket,
		Description: "runs that are not over",
		History:     1,
		Storage:     jetstream.FileStorage,
		Replicas:    replicas,
	})
	if err != nil {
		return fmt.Errorf("broker: bucket %s: %w", fleet.StateBucket, err)
	}
	for _, p := range s.Places {
		if _, err := js.CreateOrUpdateConsumer(ctx, fleet.WorkStream, fleet.ConsumerConfig(p)); err != nil {
			return fmt.Errorf("broker: consumer for %s: %w", p, err)
		}
	}
	return nil
}
