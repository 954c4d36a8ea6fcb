package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A record that is replaced this often while we read its chunks is damaged.
const tries = 16

// id says who a player is.
type id struct {
	UIN      uint64 `json:"uin"`
	Platform uint32 `json:"platform"`
	Zone     uint32 `json:"zone"`
	Server   uint32 `json:"server"`
	Role     string `json:"role"`
}

type player struct {
	id
	Version      uint64        `json:"version"`
	Achievements []achievement `json:"achievements"`
}

type achievement struct {
	Type      uint32 `json:"type"`
	Value     int64  `json:"value"`
	Data      string `json:"data"`
	Timestamp int64  `json:"timestamp"`
	FirstTime int64  `json:"firstTime"`
}

func (id *id) flags(flags *flag.FlagSet) {
	flags.Uint64Var(&id.UIN, "uin", 0, "the player's user number")
	for name, part := range map[string]*uint32{"platform": &id.Platform, "zone": &id.Zone, "server": &id.Server} {
		flags.Func(name, "default 0", func(text string) error {
			number, err := strconv.ParseUint(text, 10, 32)
			*part = uint32(number)
			return err
		})
	}
	flags.StringVar(&id.Role, "role", "", "")
}

func (id *id) key(prefix string, buckets uint32) string {
	uin := fmt.Sprint(id.UIN)
	bucket := (murmur2([]byte(uin)) & 0x7fffffff) % buckets
	var role strings.Builder
	for _, char := range []byte(id.Role) {
		switch {
		case 'A' <= char && char <= 'Z', 'a' <= char && char <= 'z', '0' <= char && char <= '9', strings.IndexByte("_.-", char) >= 0:
			role.WriteByte(char)
		default:
			fmt.Fprintf(&role, "%%%02X", char)
		}
	}
	return fmt.Sprintf("%s{%d}%s:%d:%d:%d:%s", prefix, bucket, uin, id.Platform, id.Zone, id.Server, &role)
}

// readPlayer returns the player under key, or redis.Nil if there is none.
func readPlayer(ctx context.Context, store *redis.Client, key string) (*player, error) {
	for attempt := range tries {
		value, err := store.Get(ctx, key).Bytes()
		if err != nil {
			return nil, err
		}
		player, chunks, err := decodeRecord(key, value)
		if err != nil {
			return nil, err
		}
		if len(chunks) > 0 {
			found, err := store.MGet(ctx, chunks...).Result()
			if err != nil {
				return nil, err
			}
			if slices.Contains(found, nil) {
				// The record was replaced between the two reads: begin again.
				time.Sleep(time.Duration(attempt) * time.Millisecond)
				continue
			}
			for _, chunk := range found {
				if err := player.addChunk([]byte(chunk.(string))); err != nil {
					return nil, err
				}
			}
		}
		slices.SortFunc(player.Achievements, func(a, b achievement) int {
			return cmp.Or(cmp.Compare(b.Timestamp, a.Timestamp), cmp.Compare(a.Type, b.Type))
		})
		return player, nil
	}
	return nil, fmt.Errorf("chunks are still missing after %d tries", tries)
}
