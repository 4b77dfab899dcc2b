package analytics

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
)

const (
	MaxWriteKeyLength = 256  // bytes
	MaxEndpointLength = 2048 // bytes
)

// Destinations stores where environments report to. Each has at most one destination.
type Destinations struct {
	pool *pgxpool.Pool
	now  func() time.Time
}

// NewDestinations makes a store on a migrated database.
func NewDestinations(pool *pgxpool.Pool, now func() time.Time) *Destinations {
	return &Destinations{pool, now}
}

// Destination is a Segment source (in Segment's words) that receives an environment's events.
type Destination struct {
	WriteKey  string // a secret: never show more than its end
	Endpoint  string // base URL, to which "/v1/batch" is appended; empty for Segment's own
	Failures  int    // attempts that failed since the last that succeeded; 0 when all is well
	LastError string // why the last of them failed; empty when all is well
	UpdatedAt time.Time
}

// SetSegment makes an environment report to Segment. endpoint is empty for Segment's own, or the base URL of
// something that speaks the same protocol. A new destination starts at the present: at the oldest transaction that
// still runs, so it may also get some events that were committed since that one began. Changing a destination keeps
// its place in the log and tries the new settings at once.
func (d *Destinations) SetSegment(ctx context.Context, env belfry.EnvironmentID, writeKey, endpoint string) error {
	if err := validateWriteKey(writeKey); err != nil {
		return err
	}
	endpoint = strings.TrimRight(endpoint, "/")
	if err := validateEndpoint(endpoint); err != nil {
		return err
	}
	if _, err := d.pool.Exec(ctx, setDestination, int64(env), writeKey, endpoint, d.now()); err != nil {
		return fmt.Errorf("set the Segment destination of environment %d: %w", env, err)
	}
	return nil
}

// GetSegment returns an environment's destination, or a NotFound error.
func (d *Destinations) GetSegment(ctx context.Context, env belfry.EnvironmentID) (Destination, error) {
	var dest Destination
	err := d.pool.QueryRow(ctx, getDestination, int64(env)).
		Scan(&dest.WriteKey, &dest.Endpoint, &dest.Failures, &dest.LastError, &dest.UpdatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return Destination{}, belfry.Errorf(belfry.NotFound, "this environment has no Segment destination")
	}
	if err != nil {
		return Destination{}, fmt.Errorf("get the Segment destination of environment %d: %w", env, err)
	}
	return dest, nil
}

// RemoveSegment stops an environment's reporting and forgets its place in the log. Removing what is not there is fine.
func (d *Destinations) RemoveSegment(ctx context.Context, env belfry.EnvironmentID) error {
	if _, err := d.pool.Exec(ctx, removeDestination, int64(env)); err != nil {
		return fmt.Errorf("remove the Segment destination of environment %d: %w", env, err)
	}
	return nil
}

// validateWriteKey lets through what can be the user name of HTTP basic authentication.
func validateWriteKey(key string) error {
	switch {
	case key == "":
		return belfry.Errorf(belfry.Invalid, "a write key is required: copy it from the source's settings in Segment").
			At("writeKey")
	case len(key) > MaxWriteKeyLength:
		return belfry.Beyond("writeKey", MaxWriteKeyLength, "bytes")
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }):
		return belfry.Errorf(belfry.Invalid, "a write key is made of ASCII letters, digits and signs, without spaces or ':'").
			At("writeKey")
	}
	return nil
}

func validateEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	if len(endpoint) > MaxEndpointLength {
		return belfry.Beyond("endpoint", MaxEndpointLength, "bytes")
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return belfry.Errorf(belfry.Invalid, "must be an http or https URL, such as https://api.segment.io").At("endpoint")
	case u.User != nil:
		return belfry.Errorf(belfry.Invalid, "must not hold credentials: the write key is what authenticates").At("endpoint")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(endpoint, "#"):
		return belfry.Errorf(belfry.Invalid, `must not have a query or fragment: "/v1/batch" is appended to it`).At("endpoint")
	}
	return nil
}
