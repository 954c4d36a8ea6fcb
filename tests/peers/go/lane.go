package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Fetches of a partition that wait for its lane.
const waiting = 1

// source.maxClockSkewSeconds
const clockSkew = 300 * time.Second

type playerID struct {
	uin                    uint64
	platform, zone, server uint32
	role                   string
}

type report struct {
	UIN      uint64 `json:"uin"`
	Platform uint32 `json:"platform"`
	Zone     uint32 `json:"zone"`
	Server   uint32 `json:"server"`
	Role     string `json:"role"`
	Items    []item `json:"items"`
}

type item struct {
	Type  uint32 `json:"type"`
	Value int64  `json:"value"`
	Data  string `json:"data"`
}

// lane is the serial consumer of one partition. What follows `groups` is memory that batches share.
type lane struct {
	*peer
	client    *kgo.Client
	partition int32
	records   chan []*kgo.Record
	done      chan struct{}
	fenceKey  any
	fence     fence

	groups  map[playerID]int
	players []group
	reports []entry
	items   []item
	report  report
	args    []any
	state   player
	keys    []byte
	values  []byte
	scratch []byte
	headers []byte
}

// group is one player of a batch: reports as a chain, the key as it is sent.
type group struct {
	id          playerID
	first, last int
	key         any
}

// entry is a report of a batch: where its items end, and the player's next one.
type entry struct {
	offset, timestamp int64
	begin, end, next  int
}

func newLane(ctx context.Context, p *peer, client *kgo.Client, partition int32) (*lane, error) {
	key := fmt.Sprintf("%s{%d}fence:%d", p.prefix, partition, partition)
	fence, err := takeFence(ctx, p.store, key, p.owner)
	return &lane{
		peer:      p,
		client:    client,
		partition: partition,
		records:   make(chan []*kgo.Record, waiting),
		done:      make(chan struct{}),
		fenceKey:  key,
		fence:     fence,
		groups:    map[playerID]int{},
	}, err
}

// run stores what comes until records is closed.
func (l *lane) run() error {
	defer close(l.done)
	for records := range l.records {
		for len(records) > 0 {
			size := min(len(records), l.maxRecords)
			if err := l.batch(context.Background(), records[:size]); err != nil {
				return err
			}
			records = records[size:]
		}
	}
	return nil
}

// batch takes records from decoding to the commit's mark.
func (l *lane) batch(ctx context.Context, records []*kgo.Record) error {
	last := kgo.EpochOffset{Epoch: records[len(records)-1].LeaderEpoch, Offset: records[len(records)-1].Offset + 1}
	l.decode(records)
	if last.Offset > l.fence.position {
		stored, err := l.load(ctx)
		if err != nil {
			return fmt.Errorf("could not load players: %w", err)
		}
		if err := l.write(ctx, stored, last.Offset); err != nil {
			return fmt.Errorf("could not store players: %w", err)
		}
	}
	l.client.MarkCommitOffsets(map[string]map[int32]kgo.EpochOffset{l.topic: {l.partition: last}})
	return nil
}

// decode groups the reports by player, and gives the records back.
func (l *lane) decode(records []*kgo.Record) {
	clear(l.groups)
	l.players, l.reports, l.items = l.players[:0], l.reports[:0], l.items[:0]
	for _, record := range records {
		// What is below is stored already.
		if record.Offset >= l.fence.position {
			l.add(record)
		}
		record.Recycle()
	}
	l.keys = l.keys[:0]
	for i := range l.players {
		begin := len(l.keys)
		l.keys = l.players[i].id.appendKey(l.keys, l.prefix, uint32(l.buckets))
		l.players[i].key = string(l.keys[begin:])
	}
}

func (l *lane) add(record *kgo.Record) {
	r := &l.report
	*r = report{Items: r.Items[:0]}
	err := l.unmarshal(record.Value, r)
	if err == nil {
		err = r.validate(record)
	}
	if err != nil {
		log.Printf("record %d of partition %d is skipped: %v", record.Offset, l.partition, err)
		return
	}
	begin := len(l.items)
	l.items = append(l.items, r.Items...)
	// The decoder keeps what a list held before in fields that it does not find.
	clear(r.Items)
	at := len(l.reports)
	l.reports = append(l.reports, entry{record.Offset, record.Timestamp.UnixMilli(), begin, len(l.items), -1})
	id := playerID{r.UIN, r.Platform, r.Zone, r.Server, r.Role}
	if known, ok := l.groups[id]; ok {
		group := &l.players[known]
		l.reports[group.last].next, group.last = at, at
		return
	}
	l.groups[id] = len(l.players)
	l.players = append(l.players, group{id: id, first: at, last: at})
}

// validate holds a report against the limits of docs/formats.md.
func (r *report) validate(record *kgo.Record) error {
	if len(record.Value) > 65536 || len(r.Role) > 128 || len(r.Items) == 0 || len(r.Items) > 256 {
		return errors.New("a limit is exceeded")
	}
	for i := range r.Items {
		if len(r.Items[i].Data) > 1024 {
			return errors.New("data of an item is too long")
		}
	}
	if record.Timestamp.After(time.Now().Add(clockSkew)) {
		return errors.New("it is of the future")
	}
	return nil
}

// load reads the players of the batch, and the fence, which has to be the lane's own.
func (l *lane) load(ctx context.Context) ([]any, error) {
	l.args = append(l.args[:0], "MGET", l.fenceKey)
	for i := range l.players {
		l.args = append(l.args, l.players[i].key)
	}
	stored, err := l.store.Do(ctx, l.args...).Slice()
	if err != nil {
		return nil, err
	}
	held, _ := stored[0].(string)
	if len(held) < fenceIDEnd || held[fenceIDBegin:fenceIDEnd] != string(l.fence.idBytes()) {
		return nil, fmt.Errorf("somebody else holds the fence")
	}
	return stored[1:], nil
}

// write merges the reports into the players and runs the script.
func (l *lane) write(ctx context.Context, stored []any, position int64) error {
	next := l.fence
	next.id.low += 2
	next.position, next.settled = position, l.fence.position
	part := l.fence
	part.id.low = next.id.low + 1

	changed := l.players[:0]
	ends := make([]int, 0, len(l.players))
	l.values, l.headers = l.values[:0], l.headers[:0]
	isNew := true
	for i := range l.players {
		value, _ := stored[i].(string)
		if done, err := l.merge(&l.players[i], value); err != nil {
			return fmt.Errorf("%v: %w", l.players[i].key, err)
		} else if !done {
			continue
		}
		if value == "" {
			l.headers = append(l.headers, make([]byte, headerEnd-headerBegin)...)
		} else {
			l.headers, isNew = append(l.headers, value[headerBegin:headerEnd]...), false
		}
		l.values = l.state.append(l.values, &l.players[i].id, next.id, &l.scratch)
		ends = append(ends, len(l.values))
		changed = append(changed, l.players[i])
	}
	if isNew {
		l.headers = l.headers[:0]
	}
	l.args = append(l.args[:0], "EVALSHA", l.sha, 1+len(changed), l.fenceKey)
	for i := range changed {
		l.args = append(l.args, changed[i].key)
	}
	l.args = append(l.args, l.fence.idBytes(), next.encode(), part.encode(), len(changed), l.headers)
	begin := 0
	for _, end := range ends {
		l.args = append(l.args, l.values[begin:end])
		begin = end
	}
	answer, err := l.store.Do(ctx, l.args...).Result()
	if err != nil {
		return err
	}
	if answer != "" {
		return fmt.Errorf("the script refused players or the fence: %v", answer)
	}
	l.fence = next
	return nil
}

// merge makes l.state the player with the reports of the batch; it reports whether anything changed.
func (l *lane) merge(group *group, value string) (bool, error) {
	l.state.reset()
	if err := l.state.decode(value); err != nil {
		return false, err
	}
	watermark := l.state.watermark(uint32(l.partition))
	changed := false
	for at := group.first; at >= 0; at = l.reports[at].next {
		report := &l.reports[at]
		if report.offset < watermark {
			continue
		}
		for index, item := range l.items[report.begin:report.end] {
			applied := l.state.apply(achievement{
				kind:      item.Type,
				value:     item.Value,
				data:      item.Data,
				timestamp: report.timestamp,
				partition: uint32(l.partition),
				offset:    report.offset,
				index:     uint32(index),
				firstTime: report.timestamp,
			}, l.policies[item.Type])
			changed = changed || applied
		}
	}
	l.state.raiseWatermark(uint32(l.partition), l.reports[group.last].offset+1)
	l.state.version++
	return changed, nil
}
