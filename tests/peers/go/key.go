package main

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// appendKey writes the key of a player (docs/formats.md).
func (id *playerID) appendKey(out []byte, prefix string, buckets uint32) []byte {
	var digits [20]byte
	uin := strconv.AppendUint(digits[:0], id.uin, 10)
	out = append(append(out, prefix...), '{')
	out = strconv.AppendUint(out, uint64((murmur2(uin)&0x7fffffff)%buckets), 10)
	out = append(append(out, '}'), uin...)
	for _, part := range [...]uint32{id.platform, id.zone, id.server} {
		out = strconv.AppendUint(append(out, ':'), uint64(part), 10)
	}
	out = append(out, ':')
	for _, char := range []byte(id.role) {
		switch {
		case 'A' <= char && char <= 'Z', 'a' <= char && char <= 'z', '0' <= char && char <= '9', char == '_', char == '.', char == '-':
			out = append(out, char)
		default:
			out = fmt.Appendf(out, "%%%02X", char)
		}
	}
	return out
}

// murmur2 is the hash of Kafka's Java client.
func murmur2(data []byte) uint32 {
	const m, seed = 0x5bd1e995, 0x9747b28c
	hash := uint32(seed) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := binary.LittleEndian.Uint32(data) * m
		k = (k ^ k>>24) * m
		hash = hash*m ^ k
	}
	for i := len(data) - 1; i >= 0; i-- {
		hash ^= uint32(data[i]) << (8 * i)
	}
	if len(data) > 0 {
		hash *= m
	}
	hash = (hash ^ hash>>13) * m
	return hash ^ hash>>15
}
