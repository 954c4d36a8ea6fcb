package main

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fetchPool keeps what fetched batches are decompressed and decoded into.
type fetchPool struct {
	bytes, records sync.Pool
}

func (p *fetchPool) GetDecompressBytes(compressed []byte, _ kgo.CompressionCodecType) []byte {
	if kept, ok := p.bytes.Get().(*[]byte); ok {
		return *kept
	}
	return make([]byte, 0, 8*len(compressed))
}

func (p *fetchPool) PutDecompressBytes(slice []byte) { p.bytes.Put(&slice) }

func (p *fetchPool) GetRecords(n int) []kgo.Record {
	if kept, ok := p.records.Get().(*[]kgo.Record); ok && cap(*kept) >= n {
		return *kept
	}
	return make([]kgo.Record, n)
}

func (p *fetchPool) PutRecords(slice []kgo.Record) { p.records.Put(&slice) }
