// Package memo keeps what has been made of one thing, so that those who share the thing make it once.
//
// What it is not: a cache. It lives as long as the thing does, forgets nothing before, and takes no more than [MaxResults].
package memo

import "sync"

// MaxResults is how many results a Memo keeps. Those who share a thing want one of a few; the more there are, the longer
// everybody searches, one at a time, and the fewer share each.
const MaxResults = 16

// Memo is what has been made of one thing, by key. The zero Memo is empty; a nil *Memo keeps nothing, which is right for
// a thing that nobody shares. It is safe for concurrent use, and must not be copied.
type Memo struct {
	mu   sync.Mutex
	made []*result // at most MaxResults: searched from the beginning
}

type result struct {
	key   any
	once  sync.Once
	value any
}

// Do returns what make makes. It is called once for each key, which must be comparable: others wait for it meanwhile, and
// get the same value, which nobody may change. If it panics, the others get nil. For a key beyond the first MaxResults it is
// called each time, and nothing is kept.
func (m *Memo) Do(key any, make func() any) any {
	if m == nil {
		return make()
	}
	r := m.result(key)
	if r == nil {
		return make()
	}
	r.once.Do(func() { r.value = make() })
	return r.value
}

// result is that of a key; nil if there are too many others.
func (m *Memo) result(key any) *result {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.made {
		if r.key == key {
			return r
		}
	}
	if len(m.made) == MaxResults {
		return nil
	}
	r := &result{key: key}
	m.made = append(m.made, r)
	return r
}
