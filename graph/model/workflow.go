package model

import (
	"cmp"
	"encoding/json"
	"strconv"

	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/workflow"
)

// WorkflowVersion is a workflow version as the API shows it.
type WorkflowVersion struct {
	*engine.Version
	// Remembered says that it may have been read long ago: whether the workflow is active may have changed since.
	Remembered bool
}

// IsNode marks the version as fetchable by id.
func (WorkflowVersion) IsNode() {}

// ID is the version's global id.
func (v *WorkflowVersion) ID() string {
	return globalID(VersionTag, strconv.FormatInt(v.Version.ID, 10))
}

// Name is for people, like description and tags.
func (v *WorkflowVersion) Name() string { return v.Definition.Name }

// Description is nil if there is none.
func (v *WorkflowVersion) Description() *string { return optional(v.Definition.Description) }

// Categories is what people set preferences by.
func (v *WorkflowVersion) Categories() []string { return list(v.Definition.Categories) }

// Tags are for people.
func (v *WorkflowVersion) Tags() []string { return list(v.Definition.Tags) }

// Condition is the trigger's, as an expression; nil if there is none in that form.
func (v *WorkflowVersion) Condition() *string { return optional(v.Definition.Condition) }

// Conditions is the trigger's condition in the structured form; nil if there is none in that form.
func (v *WorkflowVersion) Conditions() (map[string]any, error) {
	return rawObject(v.Definition.Conditions)
}

// Frequency says which triggers start a run.
func (v *WorkflowVersion) Frequency() WorkflowFrequency {
	return WorkflowFrequency(cmp.Or(v.Definition.Frequency, workflow.EveryTrigger))
}

// DataSchema is a JSON Schema; nil if there is none.
func (v *WorkflowVersion) DataSchema() (map[string]any, error) {
	return rawObject(v.Definition.DataSchema)
}

// Settings say how preferences apply.
func (v *WorkflowVersion) Settings() workflow.Settings { return v.Definition.Settings }

// Steps are the steps as JSON, in the form of the input.
func (v *WorkflowVersion) Steps() ([]map[string]any, error) {
	var steps []map[string]any
	err := convert(v.Definition.Steps, &steps)
	return steps, err
}

// list is never nil: null isn't an empty list.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// rawObject decodes optional JSON.
func rawObject(raw json.RawMessage) (map[string]any, error) {
	var object map[string]any
	if raw == nil {
		return nil, nil
	}
	err := convert(raw, &object)
	return object, err
}

// Definition is the workflow that the input describes. Both are spelled the same.
func (in *UpsertWorkflowInput) Definition() (*workflow.Definition, error) {
	d := &workflow.Definition{}
	return d, convert(in, d)
}

// NewProblems makes the API's form of what is wrong with a workflow.
func NewProblems(problems []workflow.Problem) []WorkflowProblem {
	out := make([]WorkflowProblem, len(problems))
	for i, p := range problems {
		out[i] = WorkflowProblem{Step: optional(p.Step), Path: p.Path, Line: place(p.Line), Column: place(p.Column), Message: p.Message}
	}
	return out
}

// place is a line or column; nil if it isn't known.
func place(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// NewWorkflowConnection makes the API's form of a page of workflows. A workflow's key is its cursor.
func NewWorkflowConnection(page []engine.Version, more, continued bool) *WorkflowConnection {
	out := &WorkflowConnection{Edges: make([]WorkflowEdge, len(page)), PageInfo: PageInfo{HasNextPage: more, HasPreviousPage: continued}}
	for i := range page {
		v := &page[i]
		out.Edges[i] = WorkflowEdge{Cursor: v.Key, Node: WorkflowVersion{Version: v}}
		if out.PageInfo.EndCursor = &v.Key; i == 0 {
			out.PageInfo.StartCursor = &v.Key
		}
	}
	return out
}
