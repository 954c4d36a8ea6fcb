#!/usr/bin/env python3
"""Sends reports to Plaudit and reads players, as docs/formats.md describes it.

    pip install -r requirements.txt
    python3 achievements.py send --uin 10001 --zone 3 --item 1001=37 --item 1002=5:gold
    python3 achievements.py get --uin 10001 --zone 3
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from urllib.parse import quote

import redis
from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.partitioner import murmur2

# A record that is replaced this often while we read its chunks is damaged.
TRIES = 16


class Damaged(Exception):
    """A stored record that cannot be used."""


def send(args):
    """Sends one report and waits until Kafka has it."""
    report = {
        "uin": args.uin,
        "platform": args.platform,
        "zone": args.zone,
        "server": args.server,
        "role": args.role,
        "items": args.items,
    }
    # This client's own partitioner is the Java client's; with confluent-kafka, set partitioner=murmur2_random.
    producer = KafkaProducer(
        bootstrap_servers=args.bootstrap_servers,
        allow_auto_create_topics=False,
        bootstrap_timeout_ms=10_000,
        max_block_ms=10_000,
    )
    key, value = str(args.uin).encode(), json.dumps(report).encode()
    sent = producer.send(args.topic, key=key, value=value, timestamp_ms=args.timestamp_ms).get(timeout=30)
    print(f"sent to {sent.topic}, partition {sent.partition}, offset {sent.offset}")


def get(args):
    """Prints a player as JSON."""
    with redis.from_url(f"redis://{args.store_address}", socket_timeout=10) as store:
        player = read_player(store, player_key(args))
    if player is None:
        sys.exit(f"no player is stored under {player_key(args)}")
    print(json.dumps(player, indent=2, ensure_ascii=False))


def player_key(args):
    bucket = (murmur2(str(args.uin).encode()) & 0x7FFFFFFF) % args.buckets
    role = quote(args.role, safe="").replace("~", "%7E")
    return f"{args.key_prefix}{{{bucket}}}{args.uin}:{args.platform}:{args.zone}:{args.server}:{role}"


def read_player(store, key):
    """The player under this key, None if there is none."""
    for attempt in range(TRIES):
        value = store.get(key)
        if value is None:
            return None
        record = fields(value)
        if number(record, 1) != 1:
            raise Damaged(f"format {number(record, 1)} of {key} is not known to this program; it needs a newer one")
        messages = record[11]
        if record[12]:
            chunks = store.mget([chunk_key(key, fields(reference)) for reference in record[12]])
            if None in chunks:
                # The record was replaced between the two reads: begin again.
                time.sleep(attempt / 1000)
                continue
            messages = [message for chunk in chunks for message in fields(chunk)[4]]
        achievements = [achievement(fields(message)) for message in messages]
        return {
            "uin": number(record, 5),
            "platform": number(record, 6),
            "zone": number(record, 7),
            "server": number(record, 8),
            "role": text(record, 9),
            "version": number(record, 2),
            "achievements": sorted(achievements, key=lambda stored: (-stored["timestamp"], stored["type"])),
        }
    raise Damaged(f"chunks of {key} are still missing after {TRIES} tries")


def chunk_key(player, reference):
    return f"{player}#{number(reference, 1):016x}{number(reference, 2):016x}.{number(reference, 3)}"


def achievement(message):
    zigzag = number(message, 2)
    return {
        "type": number(message, 1),
        "value": (zigzag >> 1) ^ -(zigzag & 1),
        "data": text(message, 3),
        "timestamp": signed(number(message, 4)),
        "firstTime": signed(number(message, 9)),
    }


# What follows reads protobuf without generated code; `protoc --python_out` on player.proto would do as well.


def fields(message):
    """The values of a protobuf message by field number: numbers as they are written, the rest as bytes."""
    values, at = defaultdict(list), 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value

    try:
        while at < len(message):
            field, wire_type = divmod(varint(), 8)
            if wire_type == 0:
                values[field].append(varint())
                continue
            size = {1: lambda: 8, 2: varint, 5: lambda: 4}[wire_type]()
            raw, at = message[at : at + size], at + size
            values[field].append(raw if wire_type == 2 else int.from_bytes(raw, "little"))
    except (IndexError, KeyError):
        at = None
    if at != len(message):
        raise Damaged("what is stored is not a protobuf message")
    return values


def number(message, field):
    return message[field][-1] if field in message else 0


def text(message, field):
    return message[field][-1].decode() if field in message else ""


def signed(value):
    return value - (1 << 64) if value >> 63 else value


def item(argument):
    """TYPE=VALUE or TYPE=VALUE:DATA"""
    kind, _, rest = argument.partition("=")
    value, _, data = rest.partition(":")
    return {"type": int(kind), "value": int(value), **({"data": data} if data else {})}


def arguments():
    player = argparse.ArgumentParser(add_help=False)
    player.add_argument("--uin", type=int, required=True)
    player.add_argument("--platform", type=int, default=0)
    player.add_argument("--zone", type=int, default=0)
    player.add_argument("--server", type=int, default=0)
    player.add_argument("--role", default="")

    parser = argparse.ArgumentParser(description="Sends reports to Plaudit and reads players.")
    commands = parser.add_subparsers(required=True)

    sending = commands.add_parser("send", parents=[player], help="send one report")
    sending.add_argument("--item", dest="items", type=item, action="append", required=True, metavar="TYPE=VALUE[:DATA]")
    sending.add_argument("--timestamp-ms", type=int, help="milliseconds since 1970; default: now")
    sending.add_argument("--bootstrap-servers", default="127.0.0.1:9092")
    sending.add_argument("--topic", default="achievement-reports")
    sending.set_defaults(run=send)

    getting = commands.add_parser("get", parents=[player], help="print a player as JSON")
    getting.add_argument("--store-address", default="127.0.0.1:6379")
    getting.add_argument("--key-prefix", default="plaudit:")
    getting.add_argument("--buckets", type=int, default=240)
    getting.set_defaults(run=get)
    return parser.parse_args()


if __name__ == "__main__":
    args = arguments()
    try:
        args.run(args)
    except KafkaError as error:
        sys.exit(f"could not send to topic {args.topic} at {args.bootstrap_servers}: {error}")
    except (redis.RedisError, ValueError) as error:
        sys.exit(f"could not read from {args.store_address}: {error}")
    except Damaged as error:
        sys.exit(str(error))
