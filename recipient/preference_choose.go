package recipient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// PreferenceWish is what somebody chose: true or false for a topic, or for one channel type of it.
type PreferenceWish struct {
	Rule        belfry.PreferenceRule
	Key         string             // as of a PreferenceTopic
	ChannelType belfry.ChannelType // empty: the topic as a whole
	On          bool
}

// Center is what holds for whom a link is about, in the name of the link's tenant.
func (s *Service) Center(ctx context.Context, l *OpenedLink) (PreferenceSets, error) {
	return readPreferences(ctx, s.pool, l.owner())
}

func (l *OpenedLink) owner() PreferenceOwner {
	o := PreferenceOwner{Environment: l.Environment, Recipient: l.Recipient}
	if l.For != nil {
		o.Tenant, o.TenantID = l.For.ID, l.For.ExternalID
	}
	return o
}

// Choose merges wishes into the sets of whom a link is about: advertising into the default one, everything else into that for the
// link's tenant, if it has one. It is one transaction, and doing it again changes nothing. Errors: those of SetPreferences;
// NotFound if the recipient was deleted meanwhile.
//
// The first set that somebody gets for a tenant changes which levels are asked (docs/preferences.md). It begins as a copy of
// what held until then, so that leaving one thing never brings another one back.
func (s *Service) Choose(ctx context.Context, l *OpenedLink, wishes []PreferenceWish) error {
	owner := l.owner()
	set := belfry.DefaultPreferences
	if owner.Tenant != 0 {
		set = owner.TenantID
	}
	about, person := contentOf(wishes)
	err := postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
		id, err := lockLinked(ctx, tx, &l.Link)
		if err != nil {
			return err
		}
		owner.Recipient = id
		if len(about.Map()) > 0 && owner.Tenant != 0 {
			sets, err := readPreferences(ctx, tx, owner)
			if err != nil {
				return err
			}
			if sets.RecipientTenant == nil && sets.Tenant == nil {
				about = sets.Recipient.aboutTopics().Merge(about)
			}
		}
		news := map[string]*PreferenceSet{set: about}
		news[belfry.DefaultPreferences] = news[belfry.DefaultPreferences].Merge(person)
		var writes []preferenceWrite
		for _, name := range slices.Sorted(maps.Keys(news)) {
			if len(news[name].Map()) == 0 {
				continue
			}
			parsed, err := ParsePreferences(news[name].Map(), LevelOf(name), "preferences")
			if err != nil {
				return err
			}
			writes = append(writes, preferenceWrite{setKey{id, name}, parsed, belfry.MergePreferences, "preferences"})
		}
		_, err = s.writePreferences(ctx, tx, l.Environment, writes)
		return err
	})
	if err != nil && belfry.CodeOf(err) == belfry.Internal {
		return fmt.Errorf("store choices: %w", err)
	}
	return err
}

// contentOf are wishes as preferences: those about messages, and those about the person, which tenants' sets don't have.
func contentOf(wishes []PreferenceWish) (about, person *PreferenceSet) {
	sets := map[bool]*PreferenceSet{}
	for _, w := range wishes {
		one := map[string]any{}
		switch w.Rule {
		case belfry.CommercialRule:
			one[commercialKey] = w.On
		case belfry.ChannelRule:
			if w.Key != "" {
				one[channelsKey] = map[string]any{w.Key: w.On}
			} else {
				one[channelTypesKey] = map[string]any{string(w.ChannelType): w.On}
			}
		case belfry.CategoryRule, belfry.WorkflowRule:
			var entry any = w.On
			if w.ChannelType != "" {
				entry = map[string]any{channelTypesKey: map[string]any{string(w.ChannelType): w.On}}
			}
			section := workflowsKey
			if w.Rule == belfry.CategoryRule {
				section = categoriesKey
			}
			one[section] = map[string]any{w.Key: entry}
		}
		personal := w.Rule == belfry.CommercialRule
		sets[personal] = sets[personal].Merge(&PreferenceSet{content: one})
	}
	return sets[false], sets[true]
}

// aboutTopics is the set without what is about the person, which counts whichever tenant it is.
func (s *PreferenceSet) aboutTopics() *PreferenceSet {
	out := maps.Clone(s.Map())
	for _, key := range []string{commercialKey, mutesKey, quietHoursKey} {
		delete(out, key)
	}
	return &PreferenceSet{content: out}
}

// lockLinked locks whom a link is about: whoever took over, if they were merged since it was opened.
func lockLinked(ctx context.Context, tx *postgres.Tx, l *Link) (id belfry.RecipientID, err error) {
	for range 2 { // the first look may have waited for the very merge
		err = tx.QueryRow(ctx, lockRecipientByID, l.Environment, l.Recipient).Scan(&id)
		if !errors.Is(err, pgx.ErrNoRows) {
			return id, err
		}
	}
	return 0, errLink
}

const lockRecipientByID = `SELECT id FROM recipients
 WHERE environment_id = $1 AND id = coalesce((SELECT into_id FROM merged WHERE environment_id = $1 AND from_id = $2), $2) FOR NO KEY UPDATE`
