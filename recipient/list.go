package recipient

import (
	"context"
	"fmt"

	"github.com/belfryhq/belfry"
)

const (
	// MaxPage is how many recipients one page has at most.
	MaxPage = 100
	// maxScan is how many recipients are looked at for one page of a list by name; beyond, the page is short.
	maxScan = 2000
)

// Filter leaves recipients out of a list. Whatever is empty leaves nobody out.
type Filter struct {
	IDPrefix string // of the external id
	Name     string // part of it, in whichever case
	Email    string // the whole, in whichever case
	// PhoneNumber is the whole, in E.164 form.
	PhoneNumber string
}

// List asks for a page of a collection, in the order of external ids.
type List struct {
	Collection string
	Filter     Filter
	After      string // external id that the page begins behind; empty: at the start
	First      int    // 1 to MaxPage
}

// Page is a stretch of a list.
type Page struct {
	Recipients []Known
	// End is what to pass as After for the next page. It is behind the last recipient if a filter left others out.
	End  string
	More bool // there may be a next page, which may be empty
}

func (l *List) validate() error {
	switch {
	case l.First < 1:
		return belfry.Errorf(belfry.Invalid, "must be at least 1").At("first")
	case l.First > MaxPage:
		return belfry.Beyond("first", MaxPage, "recipients a page")
	}
	for _, f := range []struct{ field, text string }{
		{"filter.idPrefix", l.Filter.IDPrefix}, {"filter.name", l.Filter.Name}, {"filter.email", l.Filter.Email},
		{"filter.phoneNumber", l.Filter.PhoneNumber}, {"after", l.After}, {"collection", l.Collection},
	} {
		if err := belfry.ValidateText(f.text, f.field); err != nil {
			return err
		}
		if len(f.text) > maxReservedLength {
			return belfry.Beyond(f.field, maxReservedLength, "bytes")
		}
	}
	return nil
}

// List reads a page of the recipients of a collection.
func (s *Service) List(ctx context.Context, env belfry.EnvironmentID, l List) (*Page, error) {
	if err := l.validate(); err != nil {
		return nil, err
	}
	// "\U0010FFFF" is no character, so nobody's id has it: it comes behind all ids that begin with the prefix.
	args := []any{env, l.Collection, l.After, l.Filter.IDPrefix, l.Filter.IDPrefix + "\U0010FFFF"}
	page := &Page{End: l.After}
	sql := selectPage
	switch {
	case l.Filter.Name != "":
		sql, args = selectNamed, append(args, maxScan, l.Filter.Name, l.Filter.Email, l.Filter.PhoneNumber)
	case l.Filter.Email != "":
		sql, args = selectByEmail, append(args, l.Filter.Email, l.Filter.PhoneNumber)
	case l.Filter.PhoneNumber != "":
		sql, args = selectByPhone, append(args, l.Filter.PhoneNumber)
	}
	if err := s.read(ctx, page, l.First, sql, args); err != nil {
		return nil, fmt.Errorf("list recipients: %w", err)
	}
	if l.Filter.Name == "" || page.More {
		return page, nil
	}
	// Nobody else was found among those that were looked at: the list may go on behind them.
	var last string
	var looked int
	if err := s.pool.QueryRow(ctx, selectScanned, args[:6]...).Scan(&last, &looked); err != nil {
		return nil, fmt.Errorf("list recipients: %w", err)
	}
	if looked == maxScan {
		page.End, page.More = last, true
	}
	return page, nil
}

func (s *Service) read(ctx context.Context, page *Page, first int, sql string, args []any) error {
	rows, err := s.pool.Query(ctx, sql+fmt.Sprintf(" LIMIT %d", first+1), args...)
	if err != nil {
		return err
	}
	if page.Recipients, err = collectKnown(rows); err != nil {
		return err
	}
	if page.More = len(page.Recipients) > first; page.More {
		page.Recipients = page.Recipients[:first]
	}
	if n := len(page.Recipients); n > 0 {
		page.End = page.Recipients[n-1].ExternalID
	}
	return nil
}

const (
	stretch = ` FROM recipients WHERE environment_id = $1 AND collection = $2 AND external_id > $3 AND external_id >= $4 AND external_id < $5`

	selectPage = `SELECT ` + columns + `, created_at, updated_at` + stretch + ` ORDER BY external_id`

	inStretch = ` WHERE external_id > $3 AND external_id >= $4 AND external_id < $5`

	// selectByEmail finds people by the index first, and lays out the page among them. Asked at once, the planner takes the
	// index that already has the page's order, and with it everybody in the environment.
	selectByEmail = `WITH found AS MATERIALIZED (SELECT * FROM recipients
 WHERE environment_id = $1 AND collection = $2 AND lower(properties ->> 'email') = lower($6) AND properties ->> 'email' IS NOT NULL)
SELECT ` + columns + `, created_at, updated_at FROM found` + inStretch + ` AND ($7 = '' OR properties ->> 'phone_number' = $7)
 ORDER BY external_id`

	// selectByPhone goes the same way.
	selectByPhone = `WITH found AS MATERIALIZED (SELECT * FROM recipients
 WHERE environment_id = $1 AND collection = $2 AND properties ->> 'phone_number' = $6 AND properties ->> 'phone_number' IS NOT NULL)
SELECT ` + columns + `, created_at, updated_at FROM found` + inStretch + `
 ORDER BY external_id`

	// selectNamed looks at no more than a stretch, however rare the name.
	selectNamed = `WITH scanned AS MATERIALIZED (SELECT *` + stretch + ` ORDER BY external_id LIMIT $6)
SELECT ` + columns + `, created_at, updated_at FROM scanned
 WHERE strpos(lower(properties ->> 'name'), lower($7)) > 0
   AND ($8 = '' OR lower(properties ->> 'email') = lower($8)) AND ($9 = '' OR properties ->> 'phone_number' = $9)
 ORDER BY external_id`

	selectScanned = `SELECT coalesce(max(external_id), ''), count(*) FROM (SELECT external_id` + stretch + ` ORDER BY external_id LIMIT $6) s`
)
