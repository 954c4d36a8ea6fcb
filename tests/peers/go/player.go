package main

import (
	"cmp"
	"errors"
	"slices"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// player is a plaudit.v1.PlayerRecord that is not split.
type player struct {
	version      uint64
	watermarks   []watermark
	achievements []achievement
}

type watermark struct {
	partition uint32
	offset    int64
}

type achievement struct {
	kind      uint32
	value     int64
	data      string
	timestamp int64
	partition uint32
	offset    int64
	index     uint32
	firstTime int64
}

// reset forgets the player and keeps the memory.
func (p *player) reset() {
	p.version, p.watermarks, p.achievements = 0, p.watermarks[:0], p.achievements[:0]
}

// decode reads a record; texts go on lying in value.
func (p *player) decode(value string) error {
	return eachField(value, func(field protowire.Number, n uint64, raw string) error {
		switch field {
		case 2:
			p.version = n
		case 12, 13, 14, 15:
			return errors.New("split players, what is yet to be sent, and deletions are left out here")
		case 10:
			var mark watermark
			err := eachField(raw, func(field protowire.Number, n uint64, _ string) error {
				switch field {
				case 2:
					mark.partition = uint32(n)
				case 3:
					mark.offset = int64(n)
				}
				return nil
			})
			p.watermarks = append(p.watermarks, mark)
			return err
		case 11:
			p.achievements = append(p.achievements, achievement{})
			return p.achievements[len(p.achievements)-1].decode(raw)
		}
		return nil
	})
}

func (a *achievement) decode(value string) error {
	return eachField(value, func(field protowire.Number, n uint64, raw string) error {
		switch field {
		case 1:
			a.kind = uint32(n)
		case 2:
			a.value = protowire.DecodeZigZag(n)
		case 3:
			a.data = raw
		case 4:
			a.timestamp = int64(n)
		case 6:
			a.partition = uint32(n)
		case 7:
			a.offset = int64(n)
		case 8:
			a.index = uint32(n)
		case 9:
			a.firstTime = int64(n)
		}
		return nil
	})
}

// append writes the record of id; scratch is memory for its parts.
func (p *player) append(out []byte, id *playerID, write writeID, scratch *[]byte) []byte {
	out = protowire.AppendTag(out, 1, protowire.Fixed32Type)
	out = protowire.AppendFixed32(out, 1)
	out = appendFixed64(out, 2, p.version)
	out = appendFixed64(out, 3, write.high)
	out = appendFixed64(out, 4, write.low)
	out = appendVarint(out, 5, id.uin)
	out = appendVarint(out, 6, uint64(id.platform))
	out = appendVarint(out, 7, uint64(id.zone))
	out = appendVarint(out, 8, uint64(id.server))
	out = appendString(out, 9, id.role)
	for _, mark := range p.watermarks {
		part := appendVarint((*scratch)[:0], 2, uint64(mark.partition))
		*scratch = appendVarint(part, 3, uint64(mark.offset))
		out = appendMessage(out, 10, *scratch)
	}
	for i := range p.achievements {
		a := &p.achievements[i]
		part := appendVarint((*scratch)[:0], 1, uint64(a.kind))
		part = appendVarint(part, 2, protowire.EncodeZigZag(a.value))
		part = appendString(part, 3, a.data)
		part = appendVarint(part, 4, uint64(a.timestamp))
		part = appendVarint(part, 6, uint64(a.partition))
		part = appendVarint(part, 7, uint64(a.offset))
		part = appendVarint(part, 8, uint64(a.index))
		*scratch = appendVarint(part, 9, uint64(a.firstTime))
		out = appendMessage(out, 11, *scratch)
	}
	return out
}

// watermark returns the offset below which records of the partition are applied.
func (p *player) watermark(partition uint32) int64 {
	for _, mark := range p.watermarks {
		if mark.partition == partition {
			return mark.offset
		}
	}
	return 0
}

func (p *player) raiseWatermark(partition uint32, offset int64) {
	for i := range p.watermarks {
		if p.watermarks[i].partition == partition {
			p.watermarks[i].offset = offset
			return
		}
	}
	p.watermarks = append(p.watermarks, watermark{partition, offset})
}

// find returns the place of a type: achievements ascend by type.
func (p *player) find(kind uint32) (int, bool) {
	return slices.BinarySearchFunc(p.achievements, kind, func(a achievement, kind uint32) int {
		return cmp.Compare(a.kind, kind)
	})
}

func appendVarint(out []byte, field protowire.Number, value uint64) []byte {
	if value == 0 {
		return out
	}
	return protowire.AppendVarint(protowire.AppendTag(out, field, protowire.VarintType), value)
}

func appendFixed64(out []byte, field protowire.Number, value uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(out, field, protowire.Fixed64Type), value)
}

func appendString(out []byte, field protowire.Number, text string) []byte {
	if text == "" {
		return out
	}
	return protowire.AppendString(protowire.AppendTag(out, field, protowire.BytesType), text)
}

func appendMessage(out []byte, field protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(out, field, protowire.BytesType), message)
}

// eachField calls visit with each field of a message: numbers as n, the rest as raw, a part of the message.
func eachField(message string, visit func(field protowire.Number, n uint64, raw string) error) error {
	// Read only, as strings are.
	rest := unsafe.Slice(unsafe.StringData(message), len(message))
	for len(rest) > 0 {
		field, kind, size := protowire.ConsumeTag(rest)
		if size < 0 {
			return protowire.ParseError(size)
		}
		rest = rest[size:]
		var n uint64
		var raw []byte
		switch kind {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(rest)
		case protowire.Fixed64Type:
			n, size = protowire.ConsumeFixed64(rest)
		case protowire.Fixed32Type:
			var short uint32
			short, size = protowire.ConsumeFixed32(rest)
			n = uint64(short)
		default:
			raw, size = protowire.ConsumeBytes(rest)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := visit(field, n, unsafe.String(unsafe.SliceData(raw), len(raw))); err != nil {
			return err
		}
		rest = rest[size:]
	}
	return nil
}
