package main

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// decodeRecord decodes a plaudit.v1.PlayerRecord (worker/proto/plaudit/v1/player.proto) and returns the keys of its
// chunks if it is split. Code that protoc-gen-go generates would do as well.
func decodeRecord(key string, value []byte) (*player, []string, error) {
	player := player{Achievements: []achievement{}}
	var chunks []string
	err := eachField(value, func(field protowire.Number, n uint64, raw []byte) error {
		switch field {
		case 1:
			if n != 1 {
				return fmt.Errorf("format %d is not known to this program; it needs a newer one", n)
			}
		case 2:
			player.Version = n
		case 5:
			player.UIN = n
		case 6:
			player.Platform = uint32(n)
		case 7:
			player.Zone = uint32(n)
		case 8:
			player.Server = uint32(n)
		case 9:
			player.Role = string(raw)
		case 11:
			return player.addAchievement(raw)
		case 12:
			chunk, err := chunkKey(key, raw)
			chunks = append(chunks, chunk)
			return err
		}
		return nil
	})
	return &player, chunks, err
}

// addChunk adds the achievements of a plaudit.v1.Chunk.
func (p *player) addChunk(value []byte) error {
	return eachField(value, func(field protowire.Number, _ uint64, raw []byte) error {
		if field != 4 {
			return nil
		}
		return p.addAchievement(raw)
	})
}

func (p *player) addAchievement(message []byte) error {
	var a achievement
	err := eachField(message, func(field protowire.Number, n uint64, raw []byte) error {
		switch field {
		case 1:
			a.Type = uint32(n)
		case 2:
			a.Value = protowire.DecodeZigZag(n)
		case 3:
			a.Data = string(raw)
		case 4:
			a.Timestamp = int64(n)
		case 9:
			a.FirstTime = int64(n)
		}
		return nil
	})
	p.Achievements = append(p.Achievements, a)
	return err
}

// chunkKey names the chunk of a plaudit.v1.ChunkRef.
func chunkKey(player string, reference []byte) (string, error) {
	var parts [4]uint64
	err := eachField(reference, func(field protowire.Number, n uint64, _ []byte) error {
		if int(field) < len(parts) {
			parts[field] = n
		}
		return nil
	})
	return fmt.Sprintf("%s#%016x%016x.%d", player, parts[1], parts[2], parts[3]), err
}

// eachField calls visit with each field of a protobuf message: numbers as n, the rest as raw.
func eachField(message []byte, visit func(field protowire.Number, n uint64, raw []byte) error) error {
	for len(message) > 0 {
		field, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		var n uint64
		var raw []byte
		switch kind {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			n, size = protowire.ConsumeFixed64(message)
		case protowire.Fixed32Type:
			var short uint32
			short, size = protowire.ConsumeFixed32(message)
			n = uint64(short)
		default:
			raw, size = protowire.ConsumeBytes(message)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := visit(field, n, raw); err != nil {
			return err
		}
		message = message[size:]
	}
	return nil
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
