package main

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"
)

// A fence value holds its ID in these bytes; a player record its version and write ID in those (player.proto).
const (
	fenceIDBegin, fenceIDEnd = 5, 23
	headerBegin, headerEnd   = 5, 32
)

// writeID names a script: the nonce of a lane and its counter, both never zero.
type writeID struct{ high, low uint64 }

// fence is a plaudit.v1.Fence, without topic ID and incarnation.
type fence struct {
	id                       writeID
	position, settled, first int64
	owner                    string
}

func (f fence) encode() []byte {
	out := protowire.AppendTag(make([]byte, 0, 64+len(f.owner)), 1, protowire.Fixed32Type)
	out = protowire.AppendFixed32(out, 1)
	out = appendFixed64(out, 2, f.id.high)
	out = appendFixed64(out, 3, f.id.low)
	out = appendVarint(out, 4, uint64(f.position))
	out = appendVarint(out, 5, uint64(f.settled))
	out = appendString(out, 6, f.owner)
	return appendVarint(out, 9, uint64(f.first))
}

func (f fence) idBytes() []byte { return fence{id: f.id}.encode()[fenceIDBegin:fenceIDEnd] }

func decodeFence(value string) (fence, error) {
	var f fence
	err := eachField(value, func(field protowire.Number, n uint64, raw string) error {
		switch field {
		case 4:
			f.position = int64(n)
		case 5:
			f.settled = int64(n)
		case 6:
			f.owner = raw
		case 9:
			f.first = int64(n)
		}
		return nil
	})
	return f, err
}

// takeFence creates the fence of a partition, or replaces the ID of the one that is there.
func takeFence(ctx context.Context, store *redis.Client, key, owner string) (fence, error) {
	mine := fence{owner: owner}
	found, err := store.Get(ctx, key).Result()
	switch {
	case errors.Is(err, redis.Nil):
	case err != nil:
		return mine, err
	default:
		if mine, err = decodeFence(found); err != nil {
			return mine, err
		}
		if mine.owner != owner {
			return mine, errors.New("it belongs to " + mine.owner)
		}
	}
	mine.id = writeID{high: rand.Uint64() | 1, low: 1}
	return mine, store.Set(ctx, key, mine.encode(), 0).Err()
}
