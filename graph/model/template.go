package model

import (
	"maps"
	"slices"

	"github.com/belfryhq/belfry/workflow/condition"
	"github.com/belfryhq/belfry/workflow/template"
)

// NewPartials makes the API's form of the environment's partials, by key.
func NewPartials(partials template.Partials) []Partial {
	out := make([]Partial, 0, len(partials))
	for _, key := range slices.Sorted(maps.Keys(partials)) {
		out = append(out, Partial{Key: key, Source: partials[key]})
	}
	return out
}

// NewVariables makes the API's form of the environment's variables, by name.
func NewVariables(variables map[string]any) []Variable {
	out := make([]Variable, 0, len(variables))
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		out = append(out, Variable{Name: name, Value: variables[name]})
	}
	return out
}

// NewTemplateProblem makes the API's form of what is wrong with a template.
func NewTemplateProblem(e *template.Error) TemplateProblem {
	return TemplateProblem{Partial: optional(e.Partial), Line: place(e.Line), Column: place(e.Column), Message: e.Message}
}

// NewConditions makes the API's form of structured conditions.
func NewConditions(g condition.Group) (map[string]any, error) {
	var out map[string]any
	err := convert(g, &out)
	return out, err
}
