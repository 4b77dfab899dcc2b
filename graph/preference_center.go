package graph

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/recipient"
)

// MaxPreferenceLabel bounds the label of a row, in characters.
const MaxPreferenceLabel = 255

// preferenceCenter is what a page shows on which somebody chooses.
func (r *Resolver) preferenceCenter(ctx context.Context, env belfry.EnvironmentID, who belfry.RecipientRef, tenant string, rows []model.PreferenceRowInput) (*model.PreferenceCenter, error) {
	topics, err := topicsOf(rows)
	if err != nil {
		return nil, err
	}
	sets, err := r.Recipients.PreferenceSetsOf(ctx, env, who, tenant)
	if err != nil {
		return nil, err
	}
	workflows, err := r.Engine.PreferenceWorkflows(ctx, env)
	if err != nil {
		return nil, err
	}
	if err := r.nameTopics(ctx, env, topics); err != nil {
		return nil, err
	}
	out := &model.PreferenceCenter{Set: tenant, Rows: []model.PreferenceRow{}}
	if tenant == "" {
		out.Set = belfry.DefaultPreferences
	}
	for _, row := range sets.Rows(topics, workflows) {
		out.Rows = append(out.Rows, newRow(&row))
	}
	return out, nil
}

// nameTopics labels workflows by their names. Not all of them are among the ones that a preference center knows.
func (r *Resolver) nameTopics(ctx context.Context, env belfry.EnvironmentID, topics []recipient.PreferenceTopic) error {
	var keys []string
	for _, t := range topics {
		if t.Rule == belfry.WorkflowRule && t.Label == "" {
			keys = append(keys, t.Key)
		}
	}
	names, err := r.Engine.WorkflowNames(ctx, env, keys)
	for i := range topics {
		if t := &topics[i]; t.Rule == belfry.WorkflowRule && t.Label == "" {
			t.Label = names[t.Key]
		}
	}
	return err
}

// rowRules says which rule a row is about.
var rowRules = map[model.PreferenceRowKind]belfry.PreferenceRule{
	model.PreferenceRowKindChannelTypes: belfry.ChannelRule, model.PreferenceRowKindChannel: belfry.ChannelRule, model.PreferenceRowKindCategory: belfry.CategoryRule,
	model.PreferenceRowKindWorkflow: belfry.WorkflowRule, model.PreferenceRowKindCommercial: belfry.CommercialRule,
}

// topicsOf checks what rows are asked for; nil if nothing in particular is.
func topicsOf(rows []model.PreferenceRowInput) ([]recipient.PreferenceTopic, error) {
	if len(rows) > recipient.MaxPreferenceRows {
		return nil, belfry.Beyond("rows", recipient.MaxPreferenceRows, "rows")
	}
	if rows == nil {
		return nil, nil
	}
	topics := make([]recipient.PreferenceTopic, len(rows))
	for i := range rows {
		row := &rows[i]
		if err := validateRow(row, fmt.Sprintf("rows[%d]", i)); err != nil {
			return nil, err
		}
		topics[i].Rule = rowRules[row.Kind]
		if row.Key != nil {
			topics[i].Key = *row.Key
		}
		if row.Label != nil {
			topics[i].Label = *row.Label
		}
	}
	return topics, nil
}

func validateRow(row *model.PreferenceRowInput, field string) error {
	named := row.Kind != model.PreferenceRowKindChannelTypes && row.Kind != model.PreferenceRowKindCommercial
	switch {
	case named && (row.Key == nil || *row.Key == ""):
		return belfry.Errorf(belfry.Invalid, "say which: give a key").At("%s.key", field)
	case !named && row.Key != nil:
		return belfry.Errorf(belfry.Invalid, "there is only one: leave the key out").At("%s.key", field)
	case named && utf8.RuneCountInString(*row.Key) > recipient.MaxPreferenceName:
		return belfry.Beyond(field+".key", recipient.MaxPreferenceName, "characters")
	case row.Label != nil && utf8.RuneCountInString(*row.Label) > MaxPreferenceLabel:
		return belfry.Beyond(field+".label", MaxPreferenceLabel, "characters")
	case named:
		return belfry.ValidateText(*row.Key, field+".key")
	}
	return nil
}

func newRow(row *recipient.PreferenceRow) model.PreferenceRow {
	out := model.PreferenceRow{Kind: kindOf(row.PreferenceTopic), Label: row.Label, On: row.On, ReadOnly: row.ReadOnly(), ChannelTypes: []model.PreferenceToggle{}}
	if row.Key != "" {
		out.Key = &row.Key
	}
	for _, t := range row.Toggles {
		out.ChannelTypes = append(out.ChannelTypes, model.PreferenceToggle{Type: model.ChannelType(strings.ToUpper(string(t.Type))), On: t.On, ReadOnly: t.ReadOnly()})
	}
	return out
}

func kindOf(t recipient.PreferenceTopic) model.PreferenceRowKind {
	if t.Rule == belfry.ChannelRule && t.Key == "" {
		return model.PreferenceRowKindChannelTypes
	}
	return map[belfry.PreferenceRule]model.PreferenceRowKind{belfry.ChannelRule: model.PreferenceRowKindChannel, belfry.CategoryRule: model.PreferenceRowKindCategory,
		belfry.WorkflowRule: model.PreferenceRowKindWorkflow, belfry.CommercialRule: model.PreferenceRowKindCommercial}[t.Rule]
}
