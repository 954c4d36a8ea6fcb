// Sends reports to Plaudit and reads players, as docs/formats.md describes it.
//
//	go run . send --uin 10001 --zone 3 --item 1001=37 --item 1002=5:gold
//	go run . get --uin 10001 --zone 3
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/twmb/franz-go/pkg/kgo"
)

type item struct {
	Type  uint32 `json:"type"`
	Value int64  `json:"value"`
	Data  string `json:"data,omitempty"`
}

type report struct {
	id
	Items []item `json:"items"`
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	commands := map[string]func(context.Context, []string) error{"send": send, "get": get}
	if len(args) > 0 && commands[args[0]] != nil {
		return commands[args[0]](ctx, args[1:])
	}
	return errors.New("usage: achievements send|get [flags]; achievements send --help lists them")
}

// send sends one report and waits until Kafka has it.
func send(ctx context.Context, args []string) error {
	var report report
	flags := flag.NewFlagSet("send", flag.ExitOnError)
	report.id.flags(flags)
	flags.Func("item", "`TYPE=VALUE[:DATA]`, may be given often", func(text string) error {
		item, err := parseItem(text)
		report.Items = append(report.Items, item)
		return err
	})
	timestamp := flags.Int64("timestamp-ms", time.Now().UnixMilli(), "milliseconds since 1970")
	servers := flags.String("bootstrap-servers", "127.0.0.1:9092", "Kafka brokers, separated by commas")
	topic := flags.String("topic", "achievement-reports", "")
	flags.Parse(args)
	if report.UIN == 0 || len(report.Items) == 0 {
		return errors.New("a report needs --uin and at least one --item")
	}

	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(*servers, ",")...),
		// The Java client's choice of partition. It is also the default.
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	value, err := json.Marshal(report)
	if err != nil {
		return err
	}
	sent, err := client.ProduceSync(ctx, &kgo.Record{
		Topic:     *topic,
		Key:       strconv.AppendUint(nil, report.UIN, 10),
		Value:     value,
		Timestamp: time.UnixMilli(*timestamp),
	}).First()
	if err != nil {
		return fmt.Errorf("could not send to topic %s at %s: %w", *topic, *servers, err)
	}
	fmt.Printf("sent to %s, partition %d, offset %d\n", sent.Topic, sent.Partition, sent.Offset)
	return nil
}

// get prints a player as JSON.
func get(ctx context.Context, args []string) error {
	var id id
	flags := flag.NewFlagSet("get", flag.ExitOnError)
	id.flags(flags)
	address := flags.String("store-address", "127.0.0.1:6379", "Redis or Valkey")
	prefix := flags.String("key-prefix", "plaudit:", "what every key starts with")
	buckets := flags.Uint("buckets", 240, "number of hash tags")
	flags.Parse(args)
	if id.UIN == 0 {
		return errors.New("--uin says which player")
	}

	// It says the same as the errors it returns.
	logging.Disable()
	store := redis.NewClient(&redis.Options{Addr: *address})
	defer store.Close()
	key := id.key(*prefix, uint32(*buckets))
	player, err := readPlayer(ctx, store, key)
	switch {
	case errors.Is(err, redis.Nil):
		return fmt.Errorf("no player is stored under %s", key)
	case err != nil:
		return fmt.Errorf("could not read %s from %s: %w", key, *address, err)
	}
	text, err := json.MarshalIndent(player, "", "  ")
	fmt.Println(string(text))
	return err
}

func parseItem(text string) (item, error) {
	kind, rest, _ := strings.Cut(text, "=")
	number, data, _ := strings.Cut(rest, ":")
	type_, wrongType := strconv.ParseUint(kind, 10, 32)
	value, wrongValue := strconv.ParseInt(number, 10, 64)
	if wrongType != nil || wrongValue != nil {
		return item{}, errors.New("want TYPE=VALUE or TYPE=VALUE:DATA")
	}
	return item{Type: uint32(type_), Value: value, Data: data}, nil
}
