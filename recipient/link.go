package recipient

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// MaxLinkSecrets is how many secrets of an environment are kept: links made with older ones stop working.
const MaxLinkSecrets = 3

const linkSecretSize = 32

// Paths below PublicURL where links lead. A token follows.
const (
	PreferencesPath = "/preferences/"
	UnsubscribePath = "/unsubscribe/"
)

// Links makes the links of an environment, as of when it was read. nil, it makes none: PublicURL isn't set.
type Links struct {
	base   string
	env    belfry.EnvironmentID
	secret []byte // nil: examples
}

// ExampleLinks look like links, and lead nowhere: for previews and tests.
func ExampleLinks(publicURL string) *Links { return &Links{base: publicURL} }

// URL is a link's address. The link's environment is set.
func (l *Links) URL(link Link) string {
	path := UnsubscribePath
	if link.Purpose == ToPreferences {
		path = PreferencesPath
	}
	if l.secret == nil {
		return l.base + path + "example"
	}
	link.Environment = l.env
	return l.base + path + link.token(l.secret)
}

// LoadLinks reads what the links of environments are made with; nothing if PublicURL isn't set.
func (s *Service) LoadLinks(ctx context.Context, q querier, envs []belfry.EnvironmentID) (map[belfry.EnvironmentID]*Links, error) {
	if s.PublicURL == "" || len(envs) == 0 {
		return nil, nil
	}
	rows, err := q.Query(ctx, selectLinkSecret, envs)
	if err != nil {
		return nil, fmt.Errorf("read link secrets: %w", err)
	}
	out := map[belfry.EnvironmentID]*Links{}
	var env belfry.EnvironmentID
	var secret []byte
	if _, err := pgx.ForEachRow(rows, []any{&env, &secret}, func() error {
		out[env] = &Links{base: s.PublicURL, env: env, secret: append([]byte(nil), secret...)}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read link secrets: %w", err)
	}
	return out, nil
}

// ErrNoPublicURL says that links can't be made.
var ErrNoPublicURL = belfry.Errorf(belfry.NotConfigured, "links to preferences need the server's public address: set BELFRY_PUBLIC_URL")

// LinkURL makes a link for somebody who is known, in the name of a tenant unless tenant is empty. Errors: NotConfigured without
// PublicURL, NotFound for a tenant that nobody knows, Invalid and TooLarge for the key, at "category" or "workflow".
func (s *Service) LinkURL(ctx context.Context, env belfry.EnvironmentID, link Link, tenant string) (string, error) {
	if s.PublicURL == "" {
		return "", ErrNoPublicURL
	}
	if link.Purpose.keyed() {
		field := "category"
		if link.Purpose == LeaveWorkflow {
			field = "workflow"
		}
		if err := belfry.ValidateText(link.Key, field); err != nil {
			return "", err
		}
		if link.Key == "" {
			return "", belfry.Errorf(belfry.Invalid, "must not be empty").At("%s", field)
		}
		if utf8.RuneCountInString(link.Key) > MaxPreferenceName {
			return "", belfry.Beyond(field, MaxPreferenceName, "characters")
		}
	}
	if tenant != "" {
		id, err := s.ID(ctx, env, belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: tenant})
		if err != nil {
			return "", err
		}
		if id == 0 {
			return "", belfry.Errorf(belfry.NotFound, "no tenant has the id %.100q: identify it first", tenant).At("tenant")
		}
		link.Tenant = id
	}
	links, err := s.LoadLinks(ctx, s.pool, []belfry.EnvironmentID{env})
	if err != nil {
		return "", err
	}
	if links[env] == nil {
		return "", errLink
	}
	return links[env].URL(link), nil
}

// errLink is all that a stranger learns: not what is wrong, nor whether there ever was somebody.
var errLink = belfry.Errorf(belfry.NotFound, "this link doesn't work: it is incomplete, or whoever it was for is no longer known here")

// OpenedLink is a link that is genuine, with whom it is about.
type OpenedLink struct {
	Link
	Who Known
	For *Known // the tenant; nil: none, or it is gone
}

// OpenLink reads a token. Whatever is wrong with it is NotFound: it was changed, is of another installation, signed with a
// secret that was revoked, or the recipient was deleted. A link of somebody who was merged is one of whoever took over.
func (s *Service) OpenLink(ctx context.Context, token string) (*OpenedLink, error) {
	u, ok := parseLink(token)
	if !ok {
		return nil, errLink
	}
	var secrets [][]byte
	err := s.pool.QueryRow(ctx, selectLinkSecrets, u.Environment).Scan(&secrets)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !u.signedBy(secrets) {
		return nil, errLink
	}
	if err != nil {
		return nil, fmt.Errorf("read link secrets: %w", err)
	}
	found, err := s.linked(ctx, &u.Link)
	if err != nil {
		return nil, fmt.Errorf("read whom a link is for: %w", err)
	}
	who := found[u.Recipient]
	if who == nil {
		return nil, errLink
	}
	out := &OpenedLink{Link: u.Link, Who: *who}
	if tenant := found[u.Tenant]; tenant != nil && tenant.Collection == belfry.Tenants {
		out.For = tenant
	}
	return out, nil
}

// linked reads those whom a link names. If the recipient was merged, the link is that of whoever took over from then on.
func (s *Service) linked(ctx context.Context, l *Link) (map[belfry.RecipientID]*Known, error) {
	ids := []belfry.RecipientID{l.Recipient}
	if l.Tenant != 0 {
		ids = append(ids, l.Tenant)
	}
	found, err := s.Recipients(ctx, l.Environment, ids)
	if err != nil || found[l.Recipient] != nil {
		return found, err
	}
	err = s.pool.QueryRow(ctx, selectMerged, l.Environment, l.Recipient).Scan(&l.Recipient)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids[0] = l.Recipient
	return s.Recipients(ctx, l.Environment, ids)
}

// RotateLinkSecret makes a new secret for an environment. Links that were made before go on working, until RevokeLinkSecrets or
// MaxLinkSecrets rotations. It returns how many secrets there are.
func (s *Service) RotateLinkSecret(ctx context.Context, env belfry.EnvironmentID) (secrets int, err error) {
	secret := make([]byte, linkSecretSize)
	_, _ = rand.Read(secret) // it never fails: it crashes the program
	err = s.pool.QueryRow(ctx, rotateLinkSecret, env, secret, MaxLinkSecrets).Scan(&secrets)
	return secrets, err
}

// RevokeLinkSecrets forgets all secrets but the newest: links that were made before the last rotation stop working at once. It
// returns how many were forgotten.
func (s *Service) RevokeLinkSecrets(ctx context.Context, env belfry.EnvironmentID) (revoked int, err error) {
	err = s.pool.QueryRow(ctx, revokeLinkSecrets, env).Scan(&revoked)
	return revoked, err
}

const selectMerged = `SELECT into_id FROM merged WHERE environment_id = $1 AND from_id = $2`

const selectLinkSecret = `SELECT id, link_secrets[1] FROM environments WHERE id = ANY ($1)`

const selectLinkSecrets = `SELECT link_secrets FROM environments WHERE id = $1`

const rotateLinkSecret = `UPDATE environments SET link_secrets = (ARRAY[$2::bytea] || link_secrets)[1:$3::int]
 WHERE id = $1 RETURNING cardinality(link_secrets)`

const revokeLinkSecrets = `WITH before AS (SELECT id, cardinality(link_secrets) AS n FROM environments WHERE id = $1 FOR NO KEY UPDATE)
UPDATE environments e SET link_secrets = e.link_secrets[1:1] FROM before WHERE e.id = before.id RETURNING before.n - 1`
