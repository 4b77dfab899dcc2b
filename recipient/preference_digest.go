package recipient

import (
	"bytes"
	"crypto/sha256"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/belfryhq/belfry"
)

// SetDigests say of recipients which sets they have, and what is in them, in the form of recipients.set_digests: a nameDigest and
// a contentDigest for each set, one behind the other. Who has none is missing.
type SetDigests map[belfry.RecipientID]setDigests

type setDigests []byte

// A nameDigest begins the SHA-256 of a set's name, a contentDigest that of its text.
type (
	nameDigest    [8]byte
	contentDigest [16]byte
)

const setDigestSize = len(nameDigest{}) + len(contentDigest{})

func digestName(set string) nameDigest {
	sum := sha256.Sum256([]byte(set))
	return nameDigest(sum[:len(nameDigest{})])
}

func digestContent(stored []byte) contentDigest {
	sum := sha256.Sum256(stored)
	return contentDigest(sum[:len(contentDigest{})])
}

// find is what is in a set; false if there is none of that name.
func (d setDigests) find(set nameDigest) (content contentDigest, ok bool) {
	for ; len(d) >= setDigestSize; d = d[setDigestSize:] {
		if nameDigest(d[:len(set)]) == set {
			return contentDigest(d[len(set):setDigestSize]), true
		}
	}
	return content, false
}

// decodedSets keeps sets by what is stored. Decoding one costs as much as half a run, and people who choose from the same page
// make few different ones.
var decodedSets = func() *lru.Cache[contentDigest, *PreferenceSet] {
	cache, err := lru.New[contentDigest, *PreferenceSet](5000)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return cache
}()

// maxCachedSet bounds what is kept decoded, in bytes.
const maxCachedSet = 2 << 10

// decodePreferences reads a stored set.
func decodePreferences(stored []byte) (*PreferenceSet, error) {
	digest := digestContent(stored)
	if set, ok := decodedSets.Get(digest); ok {
		return set, nil
	}
	content, err := decode(stored)
	set := &PreferenceSet{content: content, asks: &asks{variables: bytes.Contains(stored, []byte("vars"))}}
	if err == nil && bytes.Contains(stored, []byte(audienceOperator)) {
		set.asks.audiences = set.audiences()
	}
	if err == nil && len(stored) <= maxCachedSet {
		decodedSets.Add(digest, set)
	}
	return set, err
}
