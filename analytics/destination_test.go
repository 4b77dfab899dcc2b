package analytics

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
)

func TestSetSegmentValidates(t *testing.T) {
	t.Parallel()
	const base = "https://example.com/"
	tests := map[string]struct {
		writeKey, endpoint string
		field              string // "" if valid
		code               belfry.Code
		limit              int
	}{
		"Segment's own":           {writeKey: "abc"},
		"own collector":           {writeKey: "abc", endpoint: "http://127.0.0.1:8080"},
		"with a path":             {writeKey: "abc", endpoint: "https://events.example.com/segment/"},
		"key at the limit":        {writeKey: strings.Repeat("k", MaxWriteKeyLength)},
		"key over the limit":      {writeKey: strings.Repeat("k", MaxWriteKeyLength+1), field: "writeKey", code: belfry.TooLarge, limit: MaxWriteKeyLength},
		"no key":                  {field: "writeKey", code: belfry.Invalid},
		"key with a space":        {writeKey: "abc ", field: "writeKey", code: belfry.Invalid},
		"key with a colon":        {writeKey: "a:b", field: "writeKey", code: belfry.Invalid},
		"key with a line break":   {writeKey: "a\nb", field: "writeKey", code: belfry.Invalid},
		"endpoint at the limit":   {writeKey: "abc", endpoint: base + strings.Repeat("p", MaxEndpointLength-len(base))},
		"endpoint over the limit": {writeKey: "abc", endpoint: base + strings.Repeat("p", MaxEndpointLength-len(base)+1), field: "endpoint", code: belfry.TooLarge, limit: MaxEndpointLength},
		"not a URL":               {writeKey: "abc", endpoint: "segment", field: "endpoint", code: belfry.Invalid},
		"other scheme":            {writeKey: "abc", endpoint: "ftp://example.com", field: "endpoint", code: belfry.Invalid},
		"no host":                 {writeKey: "abc", endpoint: "https://:443", field: "endpoint", code: belfry.Invalid},
		"bad escape":              {writeKey: "abc", endpoint: "https://%zz", field: "endpoint", code: belfry.Invalid},
		"credentials":             {writeKey: "abc", endpoint: "https://me:secret@example.com", field: "endpoint", code: belfry.Invalid},
		"query":                   {writeKey: "abc", endpoint: "https://example.com?a=b", field: "endpoint", code: belfry.Invalid},
		"fragment":                {writeKey: "abc", endpoint: "https://example.com#a", field: "endpoint", code: belfry.Invalid},
	}
	f := newFixture(t)
	for name, test := range tests {
		err := f.destinations.SetSegment(t.Context(), f.env, test.writeKey, test.endpoint)
		var got belfry.Error
		if e, ok := errors.AsType[*belfry.Error](err); ok {
			got = *e
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got.Field != test.field || got.Code != test.code || got.Limit != test.limit {
			t.Errorf("%s: got %+v, want %s at %q", name, got, test.code, test.field)
		}
	}
}

func TestDestinationsAreStored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := f.environment("staging")
	if _, err := f.destinations.GetSegment(t.Context(), f.env); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("before there is one: got %v, want NOT_FOUND", err)
	}
	for _, set := range []Destination{
		{WriteKey: "one", Endpoint: "", UpdatedAt: f.clock.now()},
		{WriteKey: "two", Endpoint: "https://example.com/a", UpdatedAt: f.clock.now().Add(time.Hour)},
	} {
		if err := f.destinations.SetSegment(t.Context(), f.env, set.WriteKey, set.Endpoint); err != nil {
			t.Fatal(err)
		}
		got, err := f.destinations.GetSegment(t.Context(), f.env)
		got.UpdatedAt = got.UpdatedAt.UTC()
		if diff := cmp.Diff(set, got); diff != "" || err != nil {
			t.Error(err, diff)
		}
		f.clock.advance(time.Hour)
	}
	if _, err := f.destinations.GetSegment(t.Context(), other); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("of another environment: got %v, want NOT_FOUND", err)
	}
	for range 2 {
		if err := f.destinations.RemoveSegment(t.Context(), f.env); err != nil {
			t.Error(err)
		}
	}
	if _, err := f.destinations.GetSegment(t.Context(), f.env); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("after removing it: got %v, want NOT_FOUND", err)
	}
}

func TestANewDestinationStartsAtThePresent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.record(f.sent(1, 3))
	await(t, func() (past bool, state any) { // other tests' transactions keep it in the present for a while
		err := f.pool.QueryRow(t.Context(), `SELECT max(xid) < pg_snapshot_xmin(pg_current_snapshot()) FROM events`).Scan(&past)
		return past, err
	})
	f.connect(f.env, "key")
	f.record(f.sent(4, 2))
	s := f.segment()
	f.run(s)
	f.awaitIdle(s)
	tracks, _ := f.collector.accepted()
	if len(tracks) != 2 || tracks[0].UserID != "user-4" {
		t.Errorf("got %v, want only what was sent since", tracks)
	}
}

func TestAChangedDestinationKeepsItsPlace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connect(f.env, "old")
	f.record(f.sent(1, 1))
	s := f.segment()
	stop := f.run(s)
	f.awaitIdle(s)
	stop()
	f.record(f.sent(2, 1)) // nobody sends this until the key has changed
	f.connect(f.env, "new")
	f.run(s)
	tracks := f.collector.awaitDistinct(2)
	if tracks[0].WriteKey != "old" || tracks[1].WriteKey != "new" || tracks[1].UserID != "user-2" {
		t.Errorf("got %v", tracks)
	}
}
