package graph

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/recipient"
)

// Limits of a preference center.
const (
	MaxPreferenceRows  = 200
	MaxPreferenceLabel = 255 // characters
)

// preferenceCenter is what a page shows on which somebody chooses.
func (r *Resolver) preferenceCenter(ctx context.Context, env belfry.EnvironmentID, who belfry.RecipientRef, tenant string, rows []model.PreferenceRowInput) (*model.PreferenceCenter, error) {
	if len(rows) > MaxPreferenceRows {
		return nil, belfry.Beyond("rows", MaxPreferenceRows, "rows")
	}
	for i := range rows {
		if err := validateRow(&rows[i], fmt.Sprintf("rows[%d]", i)); err != nil {
			return nil, err
		}
	}
	sets, err := r.Recipients.PreferenceSetsOf(ctx, env, who, tenant)
	if err != nil {
		return nil, err
	}
	if rows == nil {
		workflows, _, err := r.Engine.Workflows(ctx, env, "", engine.MaxWorkflowPage)
		if err != nil {
			return nil, err
		}
		rows = usualRows(workflows)
	}
	names, err := r.Engine.WorkflowNames(ctx, env, workflowsOf(rows))
	if err != nil {
		return nil, err
	}
	out := &model.PreferenceCenter{Set: tenant, Rows: make([]model.PreferenceRow, len(rows))}
	if tenant == "" {
		out.Set = belfry.DefaultPreferences
	}
	for i := range rows {
		out.Rows[i] = newRow(&sets, &rows[i], names)
	}
	return out, nil
}

// workflowsOf is the keys of the workflows that rows are about.
func workflowsOf(rows []model.PreferenceRowInput) (keys []string) {
	for i := range rows {
		if rows[i].Kind == model.PreferenceRowKindWorkflow {
			keys = append(keys, *rows[i].Key)
		}
	}
	return keys
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

// usualRows are what somebody can choose who isn't asked about anything in particular.
func usualRows(workflows []engine.Version) []model.PreferenceRowInput {
	rows := []model.PreferenceRowInput{{Kind: model.PreferenceRowKindChannelTypes}}
	var categories []string
	commercial := false
	for i := range workflows {
		d := &workflows[i].Definition
		if d.Settings.OverridePreferences && !d.Settings.Commercial { // there is nothing to choose
			continue
		}
		categories = append(categories, d.Categories...)
		commercial = commercial || d.Settings.Commercial
	}
	slices.Sort(categories)
	for _, name := range slices.Compact(categories) {
		if len(rows) < MaxPreferenceRows-1 {
			rows = append(rows, model.PreferenceRowInput{Kind: model.PreferenceRowKindCategory, Key: &name})
		}
	}
	if commercial {
		rows = append(rows, model.PreferenceRowInput{Kind: model.PreferenceRowKindCommercial})
	}
	return rows
}

// rowRules says which rule a row is about.
var rowRules = map[model.PreferenceRowKind]belfry.PreferenceRule{
	model.PreferenceRowKindChannelTypes: belfry.ChannelRule, model.PreferenceRowKindChannel: belfry.ChannelRule, model.PreferenceRowKindCategory: belfry.CategoryRule,
	model.PreferenceRowKindWorkflow: belfry.WorkflowRule, model.PreferenceRowKindCommercial: belfry.CommercialRule,
}

func newRow(sets *recipient.PreferenceSets, in *model.PreferenceRowInput, names map[string]string) model.PreferenceRow {
	key := ""
	if in.Key != nil {
		key = *in.Key
	}
	out := model.PreferenceRow{Kind: in.Kind, Key: in.Key, Label: labelOf(in, names), ChannelTypes: []model.PreferenceToggle{}}
	rule := rowRules[in.Kind]
	if in.Kind == model.PreferenceRowKindChannel || in.Kind == model.PreferenceRowKindCommercial {
		choice := sets.Choice(rule, key, "")
		out.On, out.ReadOnly = choice.On, choice.ReadOnly
		return out
	}
	out.ReadOnly = true
	for _, t := range belfry.ChannelTypes {
		choice := sets.Choice(rule, key, t)
		out.On = out.On || choice.On
		out.ReadOnly = out.ReadOnly && choice.ReadOnly
		out.ChannelTypes = append(out.ChannelTypes, model.PreferenceToggle{Type: model.ChannelType(strings.ToUpper(string(t))), On: choice.On, ReadOnly: choice.ReadOnly})
	}
	return out
}

// labelOf is what people read.
func labelOf(in *model.PreferenceRowInput, names map[string]string) string {
	switch {
	case in.Label != nil:
		return *in.Label
	case in.Kind == model.PreferenceRowKindChannelTypes:
		return "All messages"
	case in.Kind == model.PreferenceRowKindCommercial:
		return "Offers and news"
	case in.Kind == model.PreferenceRowKindWorkflow && names[*in.Key] != "":
		return names[*in.Key]
	}
	return *in.Key
}
