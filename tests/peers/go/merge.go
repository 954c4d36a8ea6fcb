package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

type policy uint8

const (
	latest policy = iota
	maximum
	sum
)

type policies map[uint32]policy

func (p policies) parse(text string) error {
	names := map[string]policy{"latest": latest, "max": maximum, "sum": sum}
	for entry := range strings.SplitSeq(text, ",") {
		kind, name, _ := strings.Cut(entry, "=")
		number, err := strconv.ParseUint(kind, 10, 32)
		policy, known := names[name]
		if err != nil || !known {
			return fmt.Errorf("%q is not TYPE=latest|max|sum", entry)
		}
		p[uint32(number)] = policy
	}
	return nil
}

// apply merges one item; it reports whether the achievement has to be written.
func (p *player) apply(a achievement, policy policy) bool {
	at, found := p.find(a.kind)
	if !found {
		p.achievements = slices.Insert(p.achievements, at, a)
		return true
	}
	stored := &p.achievements[at]
	order := a.compare(stored)
	firstTime := min(a.timestamp, stored.firstTime)
	changed := firstTime < stored.firstTime || policy == sum
	wins := false
	switch policy {
	case latest:
		wins = order > 0
	case maximum:
		wins = a.value > stored.value || a.value == stored.value && order < 0
	case sum:
		// Overflows are dead letters, which are left out.
		a.value += stored.value
		stored.value = a.value
		wins = order > 0
	}
	if wins {
		*stored = a
	}
	stored.firstTime = firstTime
	return changed || wins
}

// compare orders the items of a player.
func (a *achievement) compare(b *achievement) int {
	return cmp.Or(
		cmp.Compare(a.timestamp, b.timestamp),
		cmp.Compare(a.partition, b.partition),
		cmp.Compare(a.offset, b.offset),
		cmp.Compare(a.index, b.index),
	)
}
