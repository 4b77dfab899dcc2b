package model

import (
	"encoding/json"
	"strconv"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/workflow"
)

// NewWorkflowVersion makes the API's form of a workflow version.
func NewWorkflowVersion(v *engine.Version) *WorkflowVersion {
	steps := make([]map[string]any, len(v.Definition.Steps))
	for i, s := range v.Definition.Steps {
		b, err := json.Marshal(s)
		if err == nil {
			err = json.Unmarshal(b, &steps[i])
		}
		if err != nil {
			steps[i] = map[string]any{} // cannot be: it was decoded from JSON
		}
	}
	return &WorkflowVersion{
		ID: globalID(VersionTag, strconv.FormatInt(v.ID, 10)), Key: v.Key, Number: v.Number, Name: v.Definition.Name,
		Categories: v.Definition.Categories, Steps: steps, CreatedAt: v.CreatedAt,
	}
}

// Definition is the workflow that the input describes.
func (in *UpsertWorkflowInput) Definition() (*workflow.Definition, error) {
	d := &workflow.Definition{Name: in.Name, Categories: in.Categories}
	for i := range in.Steps {
		s := &in.Steps[i]
		step := workflow.Step{Ref: s.Ref}
		if s.Name != nil {
			step.Name = *s.Name
		}
		if s.Condition != nil {
			step.Condition = *s.Condition
		}
		if s.Conditions != nil {
			b, err := json.Marshal(s.Conditions)
			if err != nil {
				return nil, belfry.Errorf(belfry.Invalid, "not representable as JSON").At("input.steps[%d].conditions", i)
			}
			step.Conditions = b
		}
		if s.InApp != nil {
			step.InApp = s.InApp.definition()
		}
		d.Steps = append(d.Steps, step)
	}
	return d, nil
}

func (in *InAppStepInput) definition() *workflow.InApp {
	out := &workflow.InApp{Channel: in.Channel, Body: in.Body, Format: workflow.Format(in.Format), Data: in.Data}
	if in.ActionURL != nil {
		out.ActionURL = *in.ActionURL
	}
	for _, b := range in.Buttons {
		out.Buttons = append(out.Buttons, workflow.Button{Label: b.Label, Action: b.Action})
	}
	return out
}

// NewProblems makes the API's form of what is wrong with a workflow.
func NewProblems(problems []workflow.Problem) []WorkflowProblem {
	out := make([]WorkflowProblem, len(problems))
	for i, p := range problems {
		out[i] = WorkflowProblem{Step: optional(p.Step), Path: p.Path, Message: p.Message}
		if p.Line > 0 {
			out[i].Line = &p.Line
		}
		if p.Column > 0 {
			out[i].Column = &p.Column
		}
	}
	return out
}
